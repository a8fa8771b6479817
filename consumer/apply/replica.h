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
#include "consumer/settings.h"

enum replica_statement {
	REPLICA_APPLY,
	REPLICA_STATE,
	REPLICA_MARK,
	REPLICA_DECLARED,
	REPLICA_WRONG,
	REPLICA_RECORD_WRONG,
};

/* NULL on failure; *ret_outcome then says what kind it is: DB_SCHEMA (not migrated, a wrong user),
 * DB_UNFIT, DB_LOST, … */
struct db *replica_open(const struct consumer_settings *settings,
			const struct replica_setting *replica, enum db_outcome *ret_outcome,
			struct err *err);

/* Whether batches can be applied now: applies an empty one. DB_BUSY: a reset is running. Also finds
 * a replica that has become read-only or lost its schema. */
MUST_CHECK enum db_outcome replica_try(struct db *db, struct err *err);

#define REPLICA_REASON_MAX 256
struct replica_state {
	bool needs_reset;
	bool may_reset; /* it lost changes in its queues: the consumer may reset it by itself */
	bool declared;	/* its queues were declared once, so that a missing one was deleted */
	char reason[REPLICA_REASON_MAX];
};
MUST_CHECK enum db_outcome replica_read_state(struct db *db, struct replica_state *ret,
					      struct err *err);
/* The same from the result of REPLICA_STATE; false if it is empty, which no migration leaves it. */
MUST_CHECK bool replica_take_state(const struct pg_result *r, struct replica_state *ret);
/* It has lost changes in its queues. */
MUST_CHECK enum db_outcome replica_mark(struct db *db, const char *reason, struct err *err);
/* Its queues exist from now on. */
MUST_CHECK enum db_outcome replica_note_declared(struct db *db, struct err *err);

#endif
