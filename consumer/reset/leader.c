/*
 * leader.c: see leader.h.
 */
#include "consumer/reset/leader.h"

#include <stdio.h>
#include <string.h>

#include "common/base/stop.h"

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

struct pg_conn *leader_connect(const char *url, const struct db_options *opt, unsigned *ret_turn,
			       struct err *err)
{
	const unsigned hosts = db_host_count(url);
	struct db_options one = *opt;
	char newest[SOURCE_MAX] = "";
	struct pg_conn *leader = NULL;

	*ret_turn = 0;
	if (hosts == 1)
		return db_connect_raw(url, opt, err);
	for (; one.host_turn < hosts && !stop_requested(); one.host_turn++) {
		char source[SOURCE_MAX] = "";
		struct err other;
		struct pg_conn *conn = db_connect_raw(url, &one, one.host_turn == 0 ? err : &other);

		if (conn == NULL)
			continue;
		bool known = leader_source(conn, source, &other) == DB_OK;

		/* One that cannot say its source will do if there is no other: the caller finds out why. */
		if (leader && !(known && (newest[0] == '\0' || source_succeeds(source, newest)))) {
			db_conn_close(conn);
			continue;
		}
		db_conn_close(leader);
		leader = conn;
		*ret_turn = one.host_turn;
		memcpy(newest, source, sizeof(newest));
	}
	return leader;
}

enum db_outcome leader_check(struct pg_conn *replica, const char *source,
			     char ret_at[LEADER_TIME_MAX], struct err *err)
{
	static const char sql[] =
		"SELECT (SELECT follows FROM pgfanout.streams "
		"WHERE pgfanout.succeeds(follows, $1::text) LIMIT 1), clock_timestamp()";
	const struct db_param params[] = { DB_TEXT(source) };
	struct pg_result *r = NULL;
	enum db_outcome outcome = db_query(replica, sql, 1, params, false,
					   mono_add_ms(mono_now(), STATEMENT_MS), &r, err);

	if (outcome != DB_OK)
		return outcome;
	if (ret_at)
		snprintf(ret_at, LEADER_TIME_MAX, "%s", db_value(r, 0, 1));
	if (!db_is_null(r, 0, 0)) {
		err_set(err,
			"the server at DATABASE_URL is the primary no more: its source is %s, and "
			"the replica follows %s",
			source, db_value(r, 0, 0));
		outcome = DB_SCHEMA;
	}
	db_result_clear(r);
	return outcome;
}
