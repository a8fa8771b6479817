/*
 * write_batch_private.h: what the three parts of the writes share.
 *
 * write_batch.c  which writes are sent together, and when
 * write_batch_unit.c   a statement on its way: its parameters, its outcome, the answers
 * write_batch_wait.c   writes that somebody else's lock keeps waiting
 */
#ifndef PGFANOUT_API_BATCH_WRITE_BATCH_PRIVATE_H
#define PGFANOUT_API_BATCH_WRITE_BATCH_PRIVATE_H

#include "api/batch/write_batch.h"

#define WRITE_ROWS 256 /* in a batch */

struct write_unit {
	struct link *link;
	struct write_unit *next;		 /* of those to be used again */
	const struct write_statement *statement; /* the rows' */
	bool waits; /* for locked rows; else they are left out, and told */
	size_t n;
	struct request *rows[WRITE_ROWS];
};

/* ---- write_batch_unit.c ---- */
/* Empty; the caller puts its rows in, sorted by id, and sends it. */
struct write_unit *write_unit_new(struct store *s, struct link *l,
				  const struct write_statement *statement);
void write_unit_send(struct write_unit *u);

/* ---- write_batch_wait.c ---- */
/* A lock of somebody else is in the way: it is sent again until its deadline is near. */
void write_wait(struct request *r);
/* If one of its id is being waited with, it waits behind that, in the same way: in a batch it would
 * only meet the same lock. */
bool write_wait_joins(struct request *r);
void write_wait_dispatch(struct store *s);
void write_wait_tick(struct store *s);
/* It is done. Whether it was sent on a wait link. */
bool write_wait_done(struct store *s, const struct write_unit *u);

#endif
