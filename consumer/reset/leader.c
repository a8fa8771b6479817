/*
 * leader.c: see leader.h.
 */
#include "consumer/reset/leader.h"

#include <stdio.h>

#define STATEMENT_MS 5000

enum db_outcome leader_source(struct pg_conn *primary, char ret[SOURCE_MAX], struct err *err)
{
	struct pg_result *r = NULL;
	enum db_outcome outcome = db_query(primary, "SELECT pgfanout.current_source()", 0, NULL,
					   false, mono_add_ms(mono_now(), STATEMENT_MS), &r, err);

	if (outcome != DB_OK)
		return outcome;
	snprintf(ret, SOURCE_MAX, "%s", db_value(r, 0, 0));
	db_result_clear(r);
	return DB_OK;
}

enum db_outcome leader_check(struct pg_conn *replica, const char *source, struct err *err)
{
	static const char sql[] = "SELECT follows FROM pgfanout.streams "
				  "WHERE pgfanout.succeeds(follows, $1::text) LIMIT 1";
	const struct db_param params[] = { DB_TEXT(source) };
	struct pg_result *r = NULL;
	enum db_outcome outcome = db_query(replica, sql, 1, params, false,
					   mono_add_ms(mono_now(), STATEMENT_MS), &r, err);

	if (outcome != DB_OK)
		return outcome;
	if (db_rows(r) > 0) {
		err_set(err,
			"the server at DATABASE_URL is the primary no more: its source is %s, and "
			"the replica follows %s",
			source, db_value(r, 0, 0));
		outcome = DB_SCHEMA;
	}
	db_result_clear(r);
	return outcome;
}
