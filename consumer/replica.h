/*
 * replica.h: a replica's database as a worker uses it: its connection with the prepared statements,
 * and the small questions.
 *
 * The functions that ask block, for a few seconds at most; the worker calls them between sessions,
 * never within one. Applying batches is apply.h's.
 */
#ifndef PGFANOUT_CONSUMER_REPLICA_H
#define PGFANOUT_CONSUMER_REPLICA_H

#include "common/db.h"
#include "consumer/settings.h"

enum replica_statement {
	REPLICA_APPLY,
	REPLICA_STATE,
	REPLICA_MARK,
	REPLICA_WRONG,
	REPLICA_RECORD_WRONG,
};

/* NULL on failure; *ret_outcome then says what kind it is: DB_SCHEMA (not migrated, a wrong user),
 * DB_UNFIT, DB_LOST, … */
struct db *replica_open(const struct settings *settings, const struct replica_setting *replica,
			enum db_outcome *ret_outcome, struct err *err);

/* Whether batches can be applied now: applies an empty one. DB_BUSY: a reset is running. Also finds
 * a replica that has become read-only or lost its schema. */
MUST_CHECK enum db_outcome replica_try(struct db *db, struct err *err);

/* reason: at least REPLICA_REASON_MAX bytes. */
#define REPLICA_REASON_MAX 256
MUST_CHECK enum db_outcome replica_read_state(struct db *db, bool *ret_needs_reset,
					      char *ret_reason, struct err *err);
/* The same from the result of REPLICA_STATE; false if it is empty, which no migration leaves it. */
MUST_CHECK bool replica_take_state(const struct pg_result *r, bool *ret_needs_reset,
				   char *ret_reason);
MUST_CHECK enum db_outcome replica_mark(struct db *db, const char *reason, struct err *err);

#endif
