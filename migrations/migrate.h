/*
 * migrate.h: one database and its migrations. migrate.c does the work on one database, main.c
 * decides about all of them.
 */
#ifndef PGFANOUT_MIGRATIONS_MIGRATE_H
#define PGFANOUT_MIGRATIONS_MIGRATE_H

#include "common/pg/db.h"
#include "common/wire/source.h"

/* The table in the generated migrations/migrations.h, sorted by side, then number; numbers of a
 * side are 1, 2, … */
struct migration {
	const char *side; /* "primary" or "replica" */
	int number;
	const char *name;
	const char *up;
	const char *down;
};

#define REGISTRY_MAX 1000

/* A row of pgfanout_migrations. */
struct registered {
	int number;
	char name[64];
	char applied_at[32]; /* "2026-01-31T12:00:00Z" */
};

struct target {
	const char *side;
	const char *name; /* "primary", or the replica's */
	const char *url;
	unsigned host_turn; /* as in struct db_options, and so is the next one */
	const char *session_attrs;
	int64_t limit_ms; /* for an answer, then the connection is lost; 0: as long as a migration may take */
	struct pg_conn *conn;	     /* NULL: could not be connected to, or given up */
	int code;		     /* EXIT_OK, or why this database was not done */
	char identity[96];	     /* equal for two connections to one database */
	struct registered *registry; /* as read last, oldest first */
	size_t registered;
};

/* The table's entry, or NULL. */
const struct migration *migration_find(const char *side, int number);
int migration_newest(const char *side);
/* Whether the table is whole and common/pg/schema.h names its newest numbers; err says what is
 * wrong with the build. */
MUST_CHECK bool migrations_check(struct err *err);

/* All of these: false with err and t->code set; the connection is closed if it is of no more
 * use. */

/* Connects, finds out who the database is, reads its registry and checks that it fits the table
 * (side, and not newer). */
MUST_CHECK bool target_open(struct target *t, struct err *err);
void target_close(struct target *t); /* also one that never opened */

/* A statement outside of a transaction; ret may be NULL. */
MUST_CHECK bool target_query(struct target *t, const char *sql, int nparams,
			     const struct db_param *params, struct pg_result **ret,
			     struct err *err);
/* Whether it has all migrations. */
MUST_CHECK bool target_migrated(struct target *t, struct err *err);

/* Applies one migration in one transaction, under the lock. *ret_done is false if somebody else had
 * done it meanwhile. */
MUST_CHECK bool target_up(struct target *t, const struct migration *m, bool *ret_done,
			  struct err *err);
/* Takes the newest one back likewise; *ret_done is NULL if there was none. */
MUST_CHECK bool target_down(struct target *t, const struct migration **ret_done, struct err *err);

/* Of a primary that has all migrations: why its changes are not all captured, "" if they are. */
MUST_CHECK bool primary_fault(struct target *t, char *ret_fault, size_t size, struct err *err);
/* Of the same: whether an ALTER of a table is seen to in its own transaction, by event triggers. */
MUST_CHECK bool primary_follows(struct target *t, bool *ret_at_once, struct err *err);
/* Makes capture whole again, and notes for all replicas whose queues exist that they need a reset.
 * ret_fault as above: what was wrong. *ret_marked has their names, a row each, NULL if nothing was
 * wrong; db_result_clear() it. */
MUST_CHECK bool primary_repair(struct target *t, char *ret_fault, size_t size,
			       struct pg_result **ret_marked, struct err *err);

/* Of a replica that has all migrations: the functions that apply changes are generated, those that are
 * not as they must be anew. */
MUST_CHECK bool replica_generate(struct target *t, struct err *err);

/* Whether a replica that is empty now misses nothing: the primary has never had a product, and all
 * that comes reaches the replica, because its queues exist already or nobody publishes yet. */
MUST_CHECK bool primary_is_pristine(struct target *t, bool queues_declared, bool *ret,
				    char ret_source[SOURCE_MAX], struct err *err);
/* After the replica's migrations: an empty replica of a pristine primary (its source; else NULL) that
 * was never reset needs no reset, and follows that primary. *ret_needs_reset and the reason (64 bytes) are the result. */
MUST_CHECK bool replica_settle(struct target *t, const char *pristine_source, bool *ret_needs_reset,
			       char *ret_reason, struct err *err);

#endif
