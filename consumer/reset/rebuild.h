/*
 * rebuild.h: the data of a reset: a COPY of each table out of the primary, written to all replicas at
 * the same time; then each replica builds its indexes and swaps the new tables in for the old ones, or, where
 * something hangs on an old one, makes its rows those of the new one.
 *
 * One thread, one poll loop over non-blocking connections; memory is the feed's few chunks, however
 * large the table. A replica that fails or makes no progress is dropped, with its reason, and the
 * others go on; if the primary fails, all end. Each replica works in one transaction, so at any
 * time it has either the complete new table or still the old one.
 */
#ifndef PGFANOUT_CONSUMER_RESET_REBUILD_H
#define PGFANOUT_CONSUMER_RESET_REBUILD_H

#include "common/base/base.h"
#include "common/base/clock.h"
#include "common/base/err.h"

struct pg_conn;
struct rebuild_table;
struct rebuild_here;

/*
 * What a replica is doing. Each state leads to the next one when its command has ended, except
 *   LOADING -> ENDING when the feed is at its end, or when the server reports an error,
 *   SWAPPING -> DONE when committed, -> REWINDING when the lock was not granted in time,
 *   REWINDING -> PAUSING, or -> FAILED when swap_ms are over,
 *   PAUSING -> SWAPPING after a while.
 * Any state -> FAILED when its command fails, the connection is lost or a deadline passes.
 */
enum rebuild_state {
	REBUILD_OPENING,   /* COPY was sent */
	REBUILD_LOADING,   /* takes rows from the feed */
	REBUILD_ENDING,	   /* the end of the data was sent; the server counts the rows */
	REBUILD_RECORDING, /* writes down which snapshot the table is from */
	REBUILD_PLANNING,  /* asks for the statements that remain */
	REBUILD_FINISHING, /* indexes, statistics, grants, one by one, however long they take */
	REBUILD_SWAPPING,  /* lock, swap, commit, all in one message */
	REBUILD_REWINDING, /* rolls the failed swap back and asks who holds the table */
	REBUILD_PAUSING,   /* lets readers through */
	/* The connection is closed in both, and with it the reset's lock is gone. */
	REBUILD_DONE,	/* the new table is in place */
	REBUILD_FAILED, /* err says why; the server rolls back: the old table is in place */
};

static inline bool rebuild_state_ended(enum rebuild_state s)
{
	return s == REBUILD_DONE || s == REBUILD_FAILED;
}

struct rebuild_target {
	/* Set by the caller. */
	const char *name;
	const char *due;		 /* for reset_record.sql: JSON */
	const struct rebuild_here *here; /* of each table */
	/* In the transaction that made the new tables, outside any savepoint: COPY FREEZE needs
	 * that. rebuild_run() takes it over and closes it. */
	struct pg_conn *conn;

	/* For the display of progress. */
	enum rebuild_state state;
	int64_t rows, bytes;
	struct mono ended;
	int64_t stuck_ms; /* while loading: there is data for it, and it takes none for so long */
	char doing[160];  /* "building index products_pkey"; "" while loading */
	struct err err;
	bool unsure; /* FAILED during the swap: it has the old table or the new one, complete */
};

struct rebuild_job {
	struct pg_conn *primary; /* in the snapshot's transaction; taken over and closed */
	/* For reset_record.sql: */
	const char *source, *snapshot, *floor, *taken_at, *published, *before, *after;
	const struct rebuild_table *tables;
	size_t ntables;
	const char *streams; /* for reset_record.sql: JSON */
	int64_t stall_ms;    /* no progress for so long: given up */
	int64_t swap_ms;     /* tries so long to get the lock for the swap */
	struct rebuild_target *targets;
	size_t n;
	/* Called from the loop at least every 200 ms: shows progress; must not block. */
	void (*tick)(void *arg);
	void *arg;

	/* rebuild_run's own. */
	bool stopping;
};

/* Each target is then DONE, or FAILED for the reason it has. */
enum rebuild_outcome {
	REBUILD_RAN,
	REBUILD_STOPPED, /* a signal came: targets that were not yet in their swap FAILED */
};

enum rebuild_outcome rebuild_run(struct rebuild_job *job);

#endif
