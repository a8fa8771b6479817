/*
 * write_batch.h: writes on their way to the primary: all that wait and are of one statement are sent as
 * one, in one transaction. A worker's thread.
 *
 *   1. A batch holds at most one write of a row, and is sorted by request->id, which stands for the row,
 *      so that batches of several workers and processes never lock rows in opposite orders.
 *   2. One batch is in flight on each of the worker's write links; what comes meanwhile is the
 *      next. While one is in flight, a smaller one waits to grow, for a few milliseconds at most.
 *   3. While there are rows that somebody else has locked, a batch does not wait for them: it leaves
 *      these writes out, and they wait elsewhere (write_batch_wait.c), so that they hold up nobody.
 *   4. A batch that is refused (its data, or a lock) changed nothing; its writes are sent again one
 *      by one, each a transaction of its own, so that only the one at fault fails.
 *   5. A write whose outcome is unknown (the connection died) is answered so, and never sent again:
 *      the first might still come through later, on a server that hung, and would then take back
 *      what somebody else was told since.
 *
 * How a write is sent (enum write_way), and after the colon what changes it:
 *   TOGETHER  in a batch: a batch that is refused, or meets a lock
 *   ALONE     by itself, on a write link, for its data may be refused: a lock
 *   APART     by itself, on a wait link, for it may have to wait for a lock that only shows when it
 *             is met (a table's, that of an id which somebody is just creating): its row is found
 *             locked, so a batch can leave it out
 */
#ifndef PGFANOUT_API_BATCH_WRITE_BATCH_H
#define PGFANOUT_API_BATCH_WRITE_BATCH_H

#include "api/batch/statements.h"
#include "common/base/uuid_set.h"

struct write_unit;

struct write_batches {
	size_t place; /* the statement that asks where the primary's WAL is */
	struct request_queue waiting;
	struct request_queue alone;
	struct request_queue delayed;

	struct request_queue unsure; /* these: write_batch_wait.c */
	struct request_queue locked;
	const struct write_unit *at_work[POOL_WAIT_LINKS]; /* by wait link */
	struct mono careful_until; /* batches leave out locked rows; past: there were none lately */
	bool look;		   /* there may be one that a wait link can take */
	size_t seen_waiting;	   /* as last added to the metrics */

	struct mono gather_until; /* when a batch that waits to grow is sent; never: none waits */
	struct mono away_since;	  /* never: the primary can be reached, as far as is known */
	struct uuid_set seen;	  /* ids of the batch being made */
	struct write_unit *free_units;
};

/* Zeroed, but for place. */
void write_batches_init(struct write_batches *b);
void write_batches_clear(struct write_batches *b);

/* request->write and id are set; it is answered in the end. */
void write_submit(struct request *r);
/* Answers one that cannot be written now: why, and that nothing was changed. */
void write_unreachable(struct request *r);
void write_dispatch(struct store *s);
/* Sends the delayed ones whose time has come; fails those that have waited too long for the
 * primary. */
void write_tick(struct store *s);

#endif
