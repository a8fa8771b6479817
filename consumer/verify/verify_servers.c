/*
 * verify_servers.c: see verify_servers.h.
 */
#include "consumer/verify/verify_servers.h"

#include <poll.h>
#include <stdio.h>

#include "common/settings/config.h"
#include "common/pg/schema.h"
#include "consumer/reset/leader.h"
#include "common/base/stop.h"

#include "consumer/verify/sql/verify_beats.sql.h"
#include "consumer/verify/sql/verify_begin.sql.h"
#include "consumer/verify/sql/verify_complete.sql.h"
#include "consumer/verify/sql/verify_table.sql.h"

/* A chunk takes milliseconds; but few rows may fulfil a filter. */
#define STATEMENT_MS 120000

static const struct db_statement of_primary[] = {
	[VERIFY_PATH] = { "path", VERIFY_SET_PATH, 1, NULL },
	[VERIFY_BEGIN] = { "begin", sql_verify_begin, 1, NULL },
};

static const struct db_statement of_replica[] = {
	[VERIFY_PATH] = { "path", VERIFY_SET_PATH, 1, NULL },
	[VERIFY_TABLE] = { "table", sql_verify_table, 1, NULL },
	[VERIFY_BEATS] = { "beats", sql_verify_beats, 1, NULL },
	[VERIFY_COMPLETE] = { "complete", sql_verify_complete, 1, NULL },
};

/* What follows them, in the order of enum verify_statement. */
static const enum verify_text texts_of_primary[] = { VERIFY_TEXT_ROWS, VERIFY_TEXT_ROWS_NEXT,
						     VERIFY_TEXT_ABSENT, VERIFY_TEXT_ORIGINALS };
static const enum verify_text texts_of_replica[] = { VERIFY_TEXT_KEYS,	    VERIFY_TEXT_KEYS_NEXT,
						     VERIFY_TEXT_DIFFERENT, VERIFY_TEXT_MARKS,
						     VERIFY_TEXT_COPIES,    VERIFY_TEXT_LOWER };

/* Every statement follows the key's index: other plans only look cheap on a table without statistics. The
 * texts of values are the same on both sides. */
static const struct db_options options = {
	.application_name = "reset-replicas",
	.statement_timeout_ms = STATEMENT_MS,
	.guc = "-c client_min_messages=error -c enable_seqscan=off -c enable_bitmapscan=off"
	       " -c enable_sort=off -c enable_hashjoin=off -c enable_mergejoin=off"
	       " -c enable_material=off -c max_parallel_workers_per_gather=0"
	       " -c intervalstyle=postgres -c bytea_output=hex -c lc_monetary=C",
};

bool verify_server_fail(struct verify_server *s, enum exit_code code, const char *why)
{
	s->failed = code;
	return err_set(&s->err, "%s", why);
}

struct pg_conn *verify_server_connect(const struct verify_server *s, struct err *err)
{
	return s->primary ? leader_connect_same(s->url, &options, s->leads, err)
			  : db_connect_raw(s->url, &options, err);
}

bool verify_server_check(struct verify_server *s, const char *leads)
{
	struct err err;
	struct pg_conn *conn = verify_server_connect(s, &err);

	if (conn == NULL)
		return verify_server_fail(s, db_exit_code(sqlstate_outcome(err.sqlstate)),
					  err.text);
	enum db_outcome outcome = db_check_schema(conn, s->name, SCHEMA_REPLICA, &err);
	if (outcome == DB_OK)
		outcome = leader_check(conn, leads, s->checked_at, &err);
	db_conn_close(conn);
	return outcome == DB_OK || verify_server_fail(s, db_exit_code(outcome), err.text);
}

bool verify_server_open(struct verify_server *s)
{
	struct err err;

	verify_server_close(s);
	if (s->failed != EXIT_OK)
		return false;
	s->db = s->primary ? leader_open_same(s->url, &options, s->leads, of_primary,
					      ARRAY_SIZE(of_primary), &err)
			   : db_open(s->url, &options, of_replica, ARRAY_SIZE(of_replica), &err);
	return s->db != NULL ||
	       verify_server_fail(s, db_exit_code(sqlstate_outcome(err.sqlstate)), err.text);
}

static void take_nothing(void *arg, const struct pg_result *r)
{
	(void)arg;
	(void)r;
}

void verify_server_prepare(struct verify_server *s, const struct verify_names *names)
{
	const enum verify_text *texts = s->primary ? texts_of_primary : texts_of_replica;
	size_t n = s->primary ? ARRAY_SIZE(texts_of_primary) : ARRAY_SIZE(texts_of_replica);
	AUTO_STRBUF path = STRBUF_INIT;

	for (size_t i = 0; i < n && s->db != NULL; i++) {
		AUTO_STRBUF sql = STRBUF_INIT;
		char name[24];

		snprintf(name, sizeof(name), "verify_%zu", i);
		verify_sql_text(&sql, texts[i], names);
		(void)db_add_statement(s->db, name, strbuf_str(&sql), verify_text_params[texts[i]]);
	}
	verify_sql_path(&path, names->t);
	const struct db_param params[] = { DB_TEXT(strbuf_str(&path)) };
	verify_ask(s, VERIFY_PATH, params, take_nothing, NULL);
}

void verify_server_close(struct verify_server *s)
{
	db_close(s->db);
	s->db = NULL;
}

static void answered(void *arg, enum db_outcome outcome, const struct pg_result *r,
		     const struct err *err)
{
	struct verify_server *s = arg;

	if (outcome == DB_OK)
		s->take(s->arg, r);
	else
		(void)!verify_server_fail(s, db_exit_code(outcome), err->text);
}

void verify_ask(struct verify_server *s, enum verify_statement statement,
		const struct db_param *params, verify_take take, void *arg)
{
	struct err err;

	if (s->failed != EXIT_OK || s->db == NULL)
		return;
	s->take = take;
	s->arg = arg;
	if (!db_send(s->db, statement, params, true, mono_add_ms(mono_now(), STATEMENT_MS + 1000),
		     answered, s, &err))
		(void)!verify_server_fail(s, db_exit_code(DB_LOST), err.text);
}

bool verify_wait(struct verify_server *const *servers, size_t n)
{
	struct pollfd fds[REPLICAS_MAX + 2];

	for (;;) {
		struct mono now = mono_now(), until = MONO_NEVER;
		size_t waiting = 0;

		for (size_t i = 0; i < n; i++) {
			struct db *db = servers[i]->db;

			if (db == NULL || db_in_flight(db) == 0)
				continue;
			db_io(db);
			db_tick(db, now);
			if (db_in_flight(db) == 0)
				continue;
			fds[waiting++] = (struct pollfd){
				.fd = db_fd(db),
				.events = (short)(POLLIN | (db_wants_write(db) ? POLLOUT : 0))
			};
			until = mono_earlier(until, db_next_deadline(db));
		}
		if (stop_requested())
			return false;
		if (waiting == 0)
			return true;
		fds[waiting++] = (struct pollfd){ .fd = stop_fd(), .events = POLLIN };
		(void)!poll(fds, waiting, mono_until_ms(until, now, 1000));
	}
}
