/*
 * sqlstate.h: what a database error means for the one who sent the statement: one table from
 * SQLSTATE to an outcome. Pure.
 */
#ifndef PGFANOUT_COMMON_PG_SQLSTATE_H
#define PGFANOUT_COMMON_PG_SQLSTATE_H

enum db_outcome {
	DB_OK,	    /* done, and committed where it was its own transaction */
	DB_REFUSED, /* this statement's own data is at fault (classes 22, 23, a raise in a trigger, …): others would succeed */
	DB_RETRY, /* worth the same try again at once or soon (serialization, deadlock, lock timeout) */
	DB_UNFIT, /* the server answers but cannot serve now: full, read-only, no connections, out of resources, shutting down */
	DB_SCHEMA, /* table, column, function or permission missing: not migrated, or a wrong user */
	DB_BROKEN, /* the server's own fault (corruption: XX001, XX002): a person must act. Other rows may still be fine */
	DB_BUSY,   /* the replica is being reset (SQLSTATE PF001): wait, keep the messages */
	DB_LOST,   /* the connection died or the deadline passed: the outcome is unknown */
};

/* sqlstate: five characters, or NULL/"" for a lost connection. */
enum db_outcome sqlstate_outcome(const char *sqlstate);
const char *db_outcome_name(enum db_outcome o);

#endif
