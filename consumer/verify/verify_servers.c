/*
 * verify_servers.c: see verify_servers.h.
 */
#include "consumer/verify/verify_servers.h"

#include <poll.h>

#include "common/settings/config.h"
#include "common/pg/schema.h"
#include "common/base/stop.h"

#include "consumer/verify/sql/repair_lower.sql.h"
#include "consumer/verify/sql/verify_beats.sql.h"
#include "consumer/verify/sql/verify_chunk.sql.h"
#include "consumer/verify/sql/verify_chunk_copy.sql.h"
#include "consumer/verify/sql/verify_complete.sql.h"
#include "consumer/verify/sql/verify_look.sql.h"
#include "consumer/verify/sql/verify_look_copy.sql.h"
#include "consumer/verify/sql/verify_marks.sql.h"
#include "consumer/verify/sql/verify_rows.sql.h"
#include "consumer/verify/sql/verify_total.sql.h"

/* A chunk takes milliseconds. */
#define STATEMENT_MS 30000

static const struct db_statement of_primary[] = {
	[VERIFY_ROWS] = { "rows", sql_verify_rows, 3, NULL },
	[VERIFY_CHUNK_OF_PRIMARY] = { "chunk", sql_verify_chunk, 2, NULL },
	[VERIFY_LOOK_AT_PRIMARY] = { "look", sql_verify_look, 2, NULL },
	[VERIFY_TOTAL] = { "total", sql_verify_total, 0, NULL },
};

static const struct db_statement of_replica[] = {
	[VERIFY_ROWS] = { "rows", sql_verify_rows, 3, NULL },
	[VERIFY_CHUNK_OF_COPY] = { "chunk", sql_verify_chunk_copy, 3, NULL },
	[VERIFY_LOOK_AT_COPY] = { "look", sql_verify_look_copy, 2, NULL },
	[VERIFY_MARKS] = { "marks", sql_verify_marks, 4, NULL },
	[VERIFY_BEATS] = { "beats", sql_verify_beats, 0, NULL },
	[VERIFY_COMPLETE] = { "complete", sql_verify_complete, 0, NULL },
	[VERIFY_LOWER] = { "lower", sql_repair_lower, 5, NULL },
};

/* Every statement follows the primary key: other plans only look cheap on a table without
 * statistics. */
static const struct db_options options = {
	.application_name = "reset-replicas",
	.statement_timeout_ms = STATEMENT_MS,
	.guc = "-c client_min_messages=error -c enable_seqscan=off -c enable_bitmapscan=off"
	       " -c enable_sort=off -c enable_hashjoin=off -c enable_mergejoin=off"
	       " -c enable_material=off -c max_parallel_workers_per_gather=0",
};

bool verify_server_fail(struct verify_server *s, enum exit_code code, const char *why)
{
	s->failed = code;
	return err_set(&s->err, "%s", why);
}

bool verify_server_open(struct verify_server *s, bool primary)
{
	static const int schema[] = { [false] = SCHEMA_REPLICA, [true] = SCHEMA_PRIMARY };
	struct err err;
	struct pg_conn *conn = db_connect_raw(s->url, &options, &err);

	if (conn == NULL)
		return verify_server_fail(s, db_exit_code(sqlstate_outcome(err.sqlstate)),
					  err.text);
	enum db_outcome outcome = db_check_schema(conn, s->name, schema[primary], &err);
	db_conn_close(conn);
	if (outcome != DB_OK)
		return verify_server_fail(s, db_exit_code(outcome), err.text);
	s->db = db_open(s->url, &options, primary ? of_primary : of_replica,
			primary ? ARRAY_SIZE(of_primary) : ARRAY_SIZE(of_replica), &err);
	return s->db != NULL ||
	       verify_server_fail(s, db_exit_code(sqlstate_outcome(err.sqlstate)), err.text);
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
