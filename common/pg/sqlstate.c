/*
 * sqlstate.c: one table from SQLSTATE to what it means for the sender. Pure; any thread.
 *
 * The promise behind the choice: DB_REFUSED may end in the dead-letter queue, so only that is
 * refused which comes from the data of the statement itself. What a person or time must put right
 * (disk full, not migrated) never uses up an attempt.
 */
#include "common/pg/sqlstate.h"

#include <stddef.h>
#include <string.h>

#include "common/base/base.h"

static const struct rule {
	const char *code; /* a whole SQLSTATE, or its class: the first two characters */
	enum db_outcome outcome;
	const char *why;
} rules[] = {
	/* Whole codes come first: the first row that fits decides. */
	{ "PF001", DB_BUSY, "applying: a reset of this replica is running" },
	{ SQLSTATE_ENCODING, DB_SCHEMA, "an encoding other than UTF8: a person must act" },
	{ "PF002", DB_FOREIGN, "applying: changes of another primary than this replica's" },
	{ "PF006", DB_RETRY,
	  "reading: the table is not here as it was asked for: another database may have it" },
	{ "25006", DB_UNFIT, "read only: a standby after a failover, or the operator's choice" },
	{ "40002", DB_REFUSED, "a deferred constraint, found at the commit" },
	{ "40003", DB_LOST, "the server itself does not know whether it was done" },
	{ "55006", DB_RETRY, "object in use: its user will be done soon" },
	{ "55P03", DB_RETRY, "lock not available: lock_timeout passed" },
	{ "57014", DB_RETRY, "statement_timeout passed, or a person cancelled it; rolled back" },
	{ "57P04", DB_SCHEMA, "the database was dropped: a person must act" },
	{ "57P05", DB_LOST, "idle_session_timeout: the server ended the session" },

	{ "08", DB_LOST, "connection exceptions" },
	{ "0A", DB_SCHEMA,
	  "the statements are fixed, so it is the server or the table that cannot do it" },
	{ "25", DB_LOST, "not the session we left: a pooler, or a timeout that ended it" },
	{ "26", DB_RETRY,
	  "prepared statement gone (a pooler): not executed; a new session prepares it again" },
	{ "28", DB_SCHEMA, "wrong user or password: a person must act" },
	{ "3D", DB_SCHEMA, "no such database" },
	{ "3F", DB_SCHEMA, "no such schema" },
	{ "40", DB_RETRY, "rolled back: serialization failure, deadlock" },
	{ "42", DB_SCHEMA,
	  "table, column, function or permission missing: not migrated, or a wrong user" },
	{ "53", DB_UNFIT, "out of disk, memory, connections or a configured limit" },
	{ "55", DB_SCHEMA, "an object is not in the state it needs: a person must act" },
	{ "57", DB_UNFIT, "operator intervention: shutting down, crashed, starting" },
	{ "58", DB_UNFIT, "the server's file system: I/O error, file missing" },
	{ "72", DB_RETRY, "snapshot too old: a new one will do" },
	{ "F0", DB_UNFIT, "the server's configuration file" },
	{ "HV", DB_UNFIT, "a foreign server that a trigger of this database needs" },
	{ "XX001", DB_BROKEN, "a corrupt table: of the server, not of the data sent" },
	{ "XX002", DB_BROKEN, "a corrupt index" },

	/* The statement's own data. What is not listed at all is refused too: a trigger may raise
	 * any code it likes. */
	{ "21", DB_REFUSED, "cardinality: one product twice in a batch" },
	{ "22", DB_REFUSED, "data: out of range, not representable, NUL byte" },
	{ "23", DB_REFUSED, "a constraint" },
	{ "27", DB_REFUSED, "a trigger changed the row under the statement" },
	{ "44", DB_REFUSED, "WITH CHECK OPTION of a view" },
	{ "54", DB_REFUSED, "program limits: the row is too large for an index here" },
	{ "P0", DB_REFUSED, "raised in PL/pgSQL: a trigger of this database says no" },
	{ "XX", DB_REFUSED, "internal error: an extension's, mostly, about these very rows" },
};

enum db_outcome sqlstate_outcome(const char *sqlstate)
{
	if (sqlstate == NULL || strlen(sqlstate) != 5)
		return DB_LOST;
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		if (strncmp(sqlstate, rules[i].code, strlen(rules[i].code)) == 0)
			return rules[i].outcome;
	}
	return DB_REFUSED;
}

const char *sqlstate_words(const char *sqlstate)
{
	static const struct {
		const char *code; /* whole, or a class; the first row that fits decides */
		const char *words;
	} rows[] = {
		{ "22001", "a text is too long for its column" },
		{ "22003", "a number is too large for its column" },
		{ "22", "a value does not fit its column" },
		{ "23502", "a column that needs a value would have none" },
		{ "23503", "a row that it refers to does not exist, or is referred to" },
		{ "23505", "another row has the same key already" },
		{ "23514", "a check of the table does not allow it" },
		{ "23P01", "another row excludes it" },
		{ "23", "a constraint of the table does not allow it" },
		{ "25006", "the server is read-only" },
		{ "28", "user or password is wrong" },
		{ "40", "it met another transaction" },
		{ "42501", "the user may not do it" },
		{ "42", "a table, column or function is not as it should be" },
		{ "53100", "the server's disk is full" },
		{ "53", "the server is short of memory, connections or another resource" },
		{ "54", "the row is too large for the server" },
		{ "55P03", "a lock was not free in time" },
		{ "57014", "it took too long, or was cancelled" },
		{ "57", "the server is starting, stopping or restarting" },
		{ "58", "the server's file system fails" },
		{ "P0", "a trigger or function of the database does not allow it" },
		{ "XX", "the server found an internal error" },
		{ "", "the database does not allow it" },
	};
	size_t i = 0;

	while (strncmp(sqlstate, rows[i].code, strlen(rows[i].code)) != 0)
		i++;
	return rows[i].words;
}

const char *db_outcome_name(enum db_outcome o)
{
	static const char *const names[] = {
		[DB_OK] = "ok",	      [DB_REFUSED] = "refused", [DB_RETRY] = "retry",
		[DB_UNFIT] = "unfit", [DB_SCHEMA] = "schema",	[DB_BUSY] = "busy",
		[DB_LOST] = "lost",   [DB_BROKEN] = "broken",	[DB_FOREIGN] = "foreign",
	};
	return (size_t)o < ARRAY_SIZE(names) ? names[o] : "?";
}
