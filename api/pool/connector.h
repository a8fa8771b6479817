/*
 * connector.h: one thread for each database, which opens the workers' connections to it and watches
 * its state.
 *
 * Opening a connection blocks (name look-up, a hung server), so it is done here and not in a
 * worker; with a thread for each database a hung one delays only itself. The states of the thread
 * are at the head of connector.c.
 *
 * A write may hang in its commit for as long as a synchronous standby is away. It is given up in time, but PostgreSQL
 * ends its session only when the standby is back; whoever opens another one each time has soon taken all the
 * connections that the server allows. So none is opened in its place before it has ended; and as long as one hangs, of
 * this process or another, further writes are turned away. They are not ended by us: what such a commit has changed would
 * be seen, and could be lost.
 */
#ifndef PGFANOUT_API_POOL_CONNECTOR_H
#define PGFANOUT_API_POOL_CONNECTOR_H

#include "api/pool/upstreams.h"
#include "api/settings.h"
#include "common/pg/db.h"

/* What a kind of connection is for: the statements that are prepared on it. */
struct connector_kind {
	const struct db_statement *statements;
	size_t n;
	bool writes;
};

/* The same statements have the same numbers on replicas and on the primary. */
struct connector_kinds {
	struct connector_kind replica_reads, primary_reads, writes;
};

/* A connection that is wanted. The connector has it from connector_want() until deliver(). */
struct connector_order {
	struct connector_order *next; /* under the lock of whoever has it */
	struct upstream *up;
	const struct connector_kind *kind;
	void (*deliver)(
		struct connector_order *o); /* called in the connector's thread, db is set */
	struct db *db;			    /* goes to the receiver */
	unsigned heard;			    /* primary.changes when it was opened, or before */
	/* db_left_behind() of the connection that this one replaces: while that waits for a standby this one is not
	 * opened. 0: there is none. */
	int after;
	bool asked; /* the connector's: that session is in the question under way */
};

/* Plans are made once, maybe while the table is empty: the planner is to look up indexes whatever
 * the tables' statistics say. */
#define CONNECTOR_INDEX_ONLY                              \
	"-c enable_seqscan=off -c enable_bitmapscan=off " \
	"-c enable_hashjoin=off -c enable_mergejoin=off"

/* The statement that asks a replica for its marks, [1] a standby for what it has replayed; and what becomes of
 * its answer, in any thread. */
extern const struct db_statement connector_marks[2];
void connector_take_marks(struct upstream *up, const struct pg_result *r);

/* On a connection that writes: how long the server waits for a lock that somebody else holds. Short,
 * because what shares the connection waits too. */
int64_t connector_lock_ms(const struct api_settings *s);
/* And how long a statement may take. Less than REQUEST_TIMEOUT_MS, so that the server ends what is
 * slow, and says that nothing was changed, before the connection is given up. */
int64_t connector_statement_ms(const struct api_settings *s);
/* Of the i-th upstream. */
MUST_CHECK bool connector_start(struct upstreams *all, size_t i,
				const struct api_settings *settings, struct err *err);
/* Any thread, in the order of the calls. */
void connector_want(struct connector_order *o);
/* Looks at once, where it would look within a second. Any thread. */
void connector_look(struct upstream *up);
/* Once the workers have ended. Takes at most the connect timeout; nothing is delivered after it. */
void connector_stop(struct upstream *up);

#endif
