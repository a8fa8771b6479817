/*
 * rebuild.h: the data of a reset: one COPY out of the primary, read once and written to all replicas at the same time, then on each
 * replica the indexes, and the swap of the new table for the old one.
 *
 * Everything happens in one thread and one poll loop over non-blocking connections; memory is the feed's few chunks, however
 * large the table. A replica that fails or makes no progress is dropped with its reason while the others go on; a
 * primary that fails ends all. Every replica works in one transaction, so that whatever happens, at whatever moment, it
 * either has the new table completely or still serves the old one.
 */
#ifndef PGFANOUT_CONSUMER_RESET_REBUILD_H
#define PGFANOUT_CONSUMER_RESET_REBUILD_H

#include "common/base/base.h"
#include "common/base/clock.h"
#include "common/base/err.h"

struct pg_conn;

/* What a replica is doing, and what moves it on. */
enum rebuild_state {
	REBUILD_OPENING, /* COPY was sent               -> the server wants data */
	REBUILD_LOADING, /* is fed                      -> the feed is at its end, or the server reports an error */
	REBUILD_ENDING,	   /* end of data was sent        -> the server has counted the rows */
	REBUILD_RECORDING, /* the snapshot is written down -> done */
	REBUILD_PLANNING,  /* asks for the statements that remain -> has them */
	REBUILD_FINISHING, /* indexes, statistics, grants, one by one, as long as they take -> all done */
	REBUILD_SWAPPING, /* lock, swap, commit, all in one message -> committed, or the lock was not to be had */
	REBUILD_REWINDING, /* takes the failed swap back and asks who was in the way -> knows */
	REBUILD_PAUSING,   /* lets readers through        -> time for the next try */
	REBUILD_DONE, /* the new table is in place; connection closed, and with it the reset's lock is gone */
	REBUILD_FAILED, /* err says why; connection closed, the server rolls back: the old table is in place */
};

struct rebuild_target {
	/* Set by the caller. */
	const char *name;
	const char *due; /* for reset_record.sql; NULL: none */
	/* In a transaction in which products_reset was made, by no savepoint: FREEZE asks for that. Taken, and closed. */
	struct pg_conn *conn;

	/* Facts for whoever shows progress. */
	enum rebuild_state state;
	int64_t rows, bytes;
	struct mono ended;
	int64_t stuck_ms; /* while loading: has taken nothing for so long, though there is something to take */
	char doing[160]; /* "building index products_pkey"; "" while loading */
	struct err err;
	bool unsure; /* FAILED in the middle of the swap: it has the old table or the new one, complete */
};

struct rebuild_job {
	struct pg_conn *primary; /* taken and closed; in the snapshot's transaction */
	const char *source, *snapshot, *floor, *taken_at; /* for reset_record.sql */
	int64_t stall_ms;				  /* no progress for so long: given up */
	int64_t swap_ms; /* tries so long to get the lock for the swap */
	struct rebuild_target *targets;
	size_t n;
	/* Called often from the loop, at least every 200 ms: shows progress; must not block. */
	void (*tick)(void *arg);
	void *arg;

	/* rebuild_run's own. */
	bool stopping;
	int64_t rows; /* as the primary counted them, once the feed has ended */
};

/* Each target is then DONE, or FAILED for the reason it has. */
enum rebuild_outcome {
	REBUILD_RAN,
	REBUILD_STOPPED, /* a signal came: targets that were not yet in their swap FAILED */
};

enum rebuild_outcome rebuild_run(struct rebuild_job *job);

#endif
