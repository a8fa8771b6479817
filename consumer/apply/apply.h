/*
 * apply.h: brings one batch at a time into a replica: by the function of each table, a unit halved until
 * a change that is refused stands alone.
 *
 * Promise: APPLY_DONE means that every change of the batch is committed on the replica (or was
 * stale there), or waits there for others, or is in the batch's list of failures, its row recorded there as
 * wrong (pgfanout.dead_letters). Anything else
 * means that some of it may be committed and some not; applying it again is harmless.
 *
 * Owned by one worker's thread; the connection is the worker's. Does not wait and does not log.
 */
#ifndef PGFANOUT_CONSUMER_APPLY_APPLY_H
#define PGFANOUT_CONSUMER_APPLY_APPLY_H

#include "common/base/clock.h"
#include "common/pg/db.h"
#include "consumer/apply/batch.h"
#include "consumer/apply/tables.h"
#include "consumer/settings.h"
#include "consumer/apply/verdict.h"

struct apply;

enum apply_state {
	APPLY_IDLE,    /* no batch */
	APPLY_BUSY,    /* a unit is in flight, or waits for its next try */
	APPLY_DONE,    /* apply_finish() hands the batch back */
	APPLY_TROUBLE, /* the replica's, see apply_trouble(); the batch can only be given up */
};

struct apply_trouble {
	enum db_outcome outcome;
	struct verdict verdict;
	struct err err;
};

struct apply_counts {
	size_t applied;	   /* changes that changed something */
	size_t refused;	   /* failures of the batch */
	size_t kept;	   /* changes that wait on the replica for others */
	size_t units;	   /* transactions */
	bool numbers_left; /* the numbers of its messages are not on the replica yet */
	bool recorded;	   /* rows that are wrong there were recorded */
	/* Why the replica has refused that, else NULL; until the next apply_start(). */
	const struct err *record_refused;
	struct mono started;
};

/* Settings and tables are borrowed. The tables change only while it is IDLE. */
struct apply *apply_new(const struct consumer_settings *settings, const struct stream *stream,
			const char *replica, const struct tables *tables);
struct apply *apply_free(struct apply *a); /* NULL is fine; returns NULL */

/* db serves the tables' statements and stays until apply_abandon() or another call of this. IDLE
 * only. */
void apply_use(struct apply *a, struct db *db);
/* The batch is sealed here and borrowed until apply_finish() or apply_abandon(). IDLE only; goes on
 * to BUSY, or to DONE if there is nothing to apply. numbers: those of its messages are due. They
 * are so too if it has heartbeats or failures; otherwise they are left for a later batch. */
void apply_start(struct apply *a, struct batch *b, bool numbers, struct mono now);
/* Sends what can be sent; call after each db_io() and when apply_wake() has come. */
enum apply_state apply_step(struct apply *a, struct mono now);
struct mono apply_since(const struct apply *a); /* BUSY: when apply_start() was; else never */
struct mono apply_wake(const struct apply *a);	/* the time of a try again, or never */
const struct apply_trouble *apply_trouble(const struct apply *a);

/* DONE -> IDLE; the counts of this batch. */
struct apply_counts apply_finish(struct apply *a);
/* Any state -> IDLE. The connection must have been closed or drained, so that no answer is on its
 * way. */
void apply_abandon(struct apply *a);

#endif
