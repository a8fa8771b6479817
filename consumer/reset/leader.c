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
	static const char sql[] = "SELECT pgfanout.current_source(), pgfanout.is_fenced()";
	struct pg_result *r = NULL;
	enum db_outcome outcome = db_query(primary, sql, 0, NULL, false,
					   mono_add_ms(mono_now(), STATEMENT_MS), &r, err);

	if (outcome != DB_OK)
		return outcome;
	snprintf(ret, SOURCE_MAX, "%s", db_value(r, 0, 0));
	if (db_value(r, 0, 1)[0] == 't') {
		err_set(err, "the server at DATABASE_URL is the primary no more: it is fenced "
			     "(pgfanout.fence())");
		outcome = DB_SCHEMA;
	}
	db_result_clear(r);
	return outcome;
}

struct pg_conn *leader_connect(const char *url, const struct db_options *opt, struct err *err)
{
	const unsigned hosts = db_host_count(url);
	struct db_options one = *opt;
	char newest[SOURCE_MAX] = "";
	struct pg_conn *leader = NULL;

	one.session_attrs = "read-write";
	for (; hosts > 1 && one.host_turn < hosts && !stop_requested(); one.host_turn++) {
		char source[SOURCE_MAX];
		struct err other;
		struct pg_conn *conn = db_connect_raw(url, &one, &other);

		if (conn == NULL)
			continue;
		if (leader_source(conn, source, &other) != DB_OK ||
		    (leader && !source_succeeds(source, newest))) {
			db_conn_close(conn);
			continue;
		}
		db_conn_close(leader);
		leader = conn;
		memcpy(newest, source, sizeof(newest));
	}
	/* If none will do, what is said of the first is what is wrong. */
	return leader ? leader : db_connect_raw(url, opt, err);
}

static bool is_same(const char *answer, void *source, struct err *err)
{
	return strcmp(answer, source) == 0 ||
	       err_set(err, "it is another server than before: its source is %s, and was %s",
		       answer, (const char *)source);
}

/* What asks the servers of a URL one after another, until one has that source. */
struct same {
	const char *url;
	char source[SOURCE_MAX];
	struct db_options opt;
};

static void same_begin(struct same *s, const char *url, const struct db_options *opt,
		       const char *source)
{
	s->url = url;
	snprintf(s->source, sizeof(s->source), "%s", source);
	s->opt = *opt;
	s->opt.suits_sql = "SELECT pgfanout.current_source()";
	s->opt.suits = is_same;
	s->opt.suits_arg = s->source;
}

static bool same_next(struct same *s)
{
	return ++s->opt.host_turn < db_host_count(s->url) && !stop_requested();
}

struct pg_conn *leader_connect_same(const char *url, const struct db_options *opt,
				    const char *source, struct err *err)
{
	struct same s;
	struct pg_conn *conn;

	same_begin(&s, url, opt, source);
	do
		conn = db_connect_raw(url, &s.opt, err);
	while (!conn && same_next(&s));
	return conn;
}

struct db *leader_open_same(const char *url, const struct db_options *opt, const char *source,
			    const struct db_statement *statements, size_t n, struct err *err)
{
	struct same s;
	struct db *db;

	same_begin(&s, url, opt, source);
	do
		db = db_open(url, &s.opt, statements, n, err);
	while (!db && same_next(&s));
	return db;
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
