/*
 * replica.h: a replica's database as a worker uses it: its connection with the prepared statements,
 * and the small questions.
 *
 * The functions that ask block, for a few seconds at most; the worker calls them between sessions,
 * never within one. Applying batches is apply.h's.
 */
#ifndef PGFANOUT_CONSUMER_APPLY_REPLICA_H
#define PGFANOUT_CONSUMER_APPLY_REPLICA_H

#include "common/pg/db.h"
#include "common/wire/table_replica.h"
#include "consumer/apply/tables.h"
#include "consumer/settings.h"

enum replica_statement {
	REPLICA_STATE,
	REPLICA_MARK,
	REPLICA_DECLARED,
	REPLICA_WRONG,
	REPLICA_RECORD_WRONG,
	REPLICA_STREAMS,
	REPLICA_LEFT_OUT,
	REPLICA_WAITING_SETTLE,
	REPLICA_WAITING_DEAD,
	REPLICA_WAITING_REMOVE,
};

/* Also reads the tables, and makes their statements known to the connection. NULL on failure; *ret_outcome
 * then says what kind it is: DB_SCHEMA (not migrated, a wrong user),
 * DB_UNFIT, DB_LOST, … */
struct db *replica_open(const struct consumer_settings *settings,
			const struct replica_setting *replica, const struct stream *stream,
			struct tables *tables, enum db_outcome *ret_outcome, struct err *err);

/* A plain connection for replica_bring(): db_conn_close(). NULL: sqlstate_outcome(err->sqlstate). */
struct pg_conn *replica_open_to_bring(const struct consumer_settings *settings,
				      const struct replica_setting *replica, struct err *err);
/* Brings a table, or a new shape of it, to the replica, in a transaction: table_bring(); leaves: the queue
 * that says that it is registered no more, table_leave(), else NULL. If it fails the connection is of no more
 * use. */
MUST_CHECK enum db_outcome replica_bring(struct pg_conn *c, const struct replica_setting *replica,
					 const struct stream *stream, int shape,
					 const char *description, const char *leaves,
					 enum table_brought *ret, struct err *err);
/* The same, on a connection of its own, for those that it is still to have. *ret_brought: how many it has now.
 * err: why one of them waits on. */
MUST_CHECK enum db_outcome replica_bring_waiting(const struct consumer_settings *settings,
						 const struct replica_setting *replica,
						 const struct stream *stream, size_t *ret_brought,
						 struct err *err);

/* Whether batches can be applied now: tells the replica of no arrival. DB_BUSY: a reset is running. Also finds
 * a replica that has become read-only or lost its schema. */
MUST_CHECK enum db_outcome replica_try(struct db *db, const struct tables *tables, struct err *err);

#define REPLICA_REASON_MAX 256
#define REPLICA_DUE_MAX	   2048
struct replica_state {
	bool needs_reset;
	bool may_reset; /* it lost changes in its queues: the consumer may reset it by itself */
	bool declared;	/* its queues were declared once, so that a missing one was deleted */
	bool unverified; /* it follows a new primary, and has not been compared with it yet: failover.h */
	char reason[REPLICA_REASON_MAX];
	char due[REPLICA_DUE_MAX]; /* tables that are yet to be loaded: "{101,102}", "{}" */
};
/* Whether there is something to load that the consumer may load. */
bool replica_state_due(const struct replica_state *s);
MUST_CHECK enum db_outcome replica_read_state(struct db *db, const struct stream *stream,
					      struct replica_state *ret, struct err *err);
/* The same from the result of REPLICA_STATE; false if it is empty, which no migration leaves it. */
MUST_CHECK bool replica_take_state(const struct pg_result *r, struct replica_state *ret);
/* It has lost changes in its queues. */
MUST_CHECK enum db_outcome replica_mark(struct db *db, const struct stream *stream,
					const char *reason, struct err *err);
/* Its queues exist from now on. */
MUST_CHECK enum db_outcome replica_note_declared(struct db *db, const struct stream *stream,
						 struct err *err);

#endif
