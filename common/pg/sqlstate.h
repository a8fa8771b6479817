/*
 * sqlstate.h: what a database error means for the one who sent the statement: one table from
 * SQLSTATE to an outcome. Pure.
 */
#ifndef PGFANOUT_COMMON_PG_SQLSTATE_H
#define PGFANOUT_COMMON_PG_SQLSTATE_H

enum db_outcome {
	/* Done, and committed where it was its own transaction. */
	DB_OK,
	/* The statement's own data is at fault (classes 22 and 23, an error raised in a trigger):
	 * other data would succeed. */
	DB_REFUSED,
	/* The same statement may succeed at once or soon: serialization, deadlock, lock timeout. */
	DB_RETRY,
	/* The server answers but cannot serve now: full, read-only, out of connections or other
	 * resources, shutting down. */
	DB_UNFIT,
	/* Table, column, function or permission missing: not migrated, or a wrong user. */
	DB_SCHEMA,
	/* The server's data is corrupt (XX001, XX002): a person must act; other rows may
	 * be fine. */
	DB_BROKEN,
	/* The replica is being reset (SQLSTATE PF001): wait, keep the messages. */
	DB_BUSY,
	/* These are changes of another primary (SQLSTATE PF002): wait, keep the messages. */
	DB_FOREIGN,
	/* The connection died or the deadline passed: the outcome is unknown. */
	DB_LOST,
};

/* statement_timeout passed, or a person cancelled it. */
#define SQLSTATE_CANCELED "57014"
/* Our own: a database that was connected to has another encoding than UTF8. */
#define SQLSTATE_ENCODING "PF005"

/* sqlstate: five characters, or NULL/"" for a lost connection. */
enum db_outcome sqlstate_outcome(const char *sqlstate);
/* The same in a few words for anybody: "a value does not fit". */
const char *sqlstate_words(const char *sqlstate);
const char *db_outcome_name(enum db_outcome o);

#endif
