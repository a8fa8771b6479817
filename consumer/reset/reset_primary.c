/*
 * reset_primary.c: see reset_primary.h.
 */
#include "consumer/reset/reset_primary.h"

#include <stdlib.h>
#include <string.h>

#include "common/pg/db.h"
#include "common/pg/schema.h"
#include "common/base/stop.h"
#include "common/base/uri.h"

#include "consumer/reset/sql/reset_due.sql.h"
#include "consumer/reset/sql/reset_floor.sql.h"
#include "consumer/reset/sql/reset_published.sql.h"
#include "consumer/reset/sql/reset_settle.sql.h"
#include "consumer/reset/sql/reset_snapshot.sql.h"

#define STATEMENT_MS 30000
#define LOCK_TIMEOUT "10s"
#define PUBLISHED_MS 3000
#define POLL_MS	     20

static const struct db_options options = { .application_name = "reset-replicas",
					   .guc = "-c client_min_messages=error" };

static enum db_outcome ask(struct reset_primary *p, const char *sql, struct pg_result **ret,
			   struct err *err)
{
	return db_query(p->conn, sql, 0, NULL, false, mono_add_ms(mono_now(), STATEMENT_MS), ret,
			err);
}

/* A standby may lag behind changes that were published and applied long ago; a snapshot of it would
 * lose them for good. */
static enum exit_code refuse_standby(struct reset_primary *p, struct err *err)
{
	struct pg_result *found;
	enum db_outcome outcome = ask(p, "SELECT pg_is_in_recovery()", &found, err);

	if (outcome != DB_OK)
		return db_exit_code(outcome);
	bool standby = strcmp(db_value(found, 0, 0), "t") == 0;
	db_result_clear(found);
	if (!standby)
		return EXIT_OK;
	err_set(err, "DATABASE_URL (%s) leads to a standby server; it has to be the primary",
		p->name);
	return EXIT_USAGE;
}

/* What is not captured would be missing from the replicas again, and a table that was put in the
 * place of products would become theirs. */
static enum exit_code refuse_broken_capture(struct reset_primary *p, struct err *err)
{
	struct pg_result *found;
	enum db_outcome outcome = ask(p, "SELECT products_capture_fault()", &found, err);

	if (outcome != DB_OK)
		return db_exit_code(outcome);
	bool whole = db_is_null(found, 0, 0);
	if (!whole)
		err_set(err,
			"primary (%s): its table products is not as it should be, run "
			"pgfanout-migrate up: %s",
			p->name, db_value(found, 0, 0));
	db_result_clear(found);
	return whole ? EXIT_OK : EXIT_SCHEMA;
}

enum exit_code reset_primary_connect(struct reset_primary *p, const char *url, struct err *err)
{
	p->url = url;
	uri_scrub(url, p->name, sizeof(p->name));
	p->conn = db_connect_raw(url, &options, err);
	if (p->conn == NULL)
		return db_exit_code(sqlstate_outcome(err->sqlstate));
	enum db_outcome outcome = db_check_schema(p->conn, "primary", SCHEMA_PRIMARY, err);
	if (outcome != DB_OK)
		return db_exit_code(outcome);
	enum exit_code code = refuse_standby(p, err);
	return code == EXIT_OK ? refuse_broken_capture(p, err) : code;
}

/* In a session of its own: the snapshot's is read-only, and its transaction stays open. */
static enum exit_code settle(const struct reset_primary *p, struct err *err)
{
	struct pg_conn *conn = db_connect_raw(p->url, &options, err);

	if (conn == NULL)
		return db_exit_code(DB_LOST);
	enum db_outcome outcome = db_query(conn, sql_reset_settle, 0, NULL, false,
					   mono_add_ms(mono_now(), STATEMENT_MS), NULL, err);
	db_conn_close(conn);
	return outcome == DB_OK ? EXIT_OK : db_exit_code(outcome);
}

/* What was published before the replica's queues were bound never comes through them. All of that is
 * in the snapshot, and its messages count as received if the snapshot knows of them (reset_record.sql).
 * So this waits until the relay has noted what was recorded by now. Not for long: the relay may be
 * held up, or far behind with a huge backlog. Then the replica may be marked once more after this
 * reset, for messages that it was not missing. */
static enum db_outcome let_relay_note(struct reset_primary *p, struct err *err)
{
	struct mono until = mono_add_ms(mono_now(), PUBLISHED_MS);
	struct pg_result *found;
	enum db_outcome outcome = ask(p, "SELECT pg_current_snapshot()", &found, err);
	bool noted = false;

	if (outcome != DB_OK)
		return outcome;
	AUTO_FREE char *snapshot = xstrdup(db_value(found, 0, 0));
	const struct db_param params[] = { DB_TEXT(snapshot) };

	db_result_clear(found);
	while (!noted && !mono_reached(until, mono_now())) {
		outcome = db_query(p->conn, sql_reset_published, 1, params, false,
				   mono_add_ms(mono_now(), STATEMENT_MS), &found, err);
		if (outcome != DB_OK)
			return outcome;
		noted = *db_value(found, 0, 0) == 't';
		db_result_clear(found);
		if (!noted && stop_sleep_ms(POLL_MS))
			break;
	}
	return DB_OK;
}

enum exit_code reset_primary_snapshot(struct reset_primary *p, struct err *err)
{
	/* Lock first, then snapshot: a TRUNCATE or rewrite of the table is over, or has to wait. */
	static const char *const before[] = {
		"SET client_connection_check_interval = 1000",
		"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
		"SET LOCAL lock_timeout = '" LOCK_TIMEOUT "'",
		"LOCK TABLE products IN ACCESS SHARE MODE",
	};
	enum db_outcome outcome;
	struct pg_result *found;

	outcome = let_relay_note(p, err);
	if (outcome != DB_OK)
		return db_exit_code(outcome);
	for (size_t i = 0; i < ARRAY_SIZE(before); i++) {
		outcome = ask(p, before[i], NULL, err);
		if (outcome != DB_OK && i > 0) /* not every platform has the first one */
			return db_exit_code(outcome);
	}
	outcome = ask(p, sql_reset_snapshot, &found, err);
	if (outcome != DB_OK)
		return db_exit_code(outcome);
	p->snapshot = xstrdup(db_value(found, 0, 0));
	p->source = xstrdup(db_value(found, 0, 1));
	p->rows = strtoll(db_value(found, 0, 2), NULL, 10);
	p->bytes = strtoll(db_value(found, 0, 3), NULL, 10);
	p->taken_at = xstrdup(db_value(found, 0, 4));
	p->published = xstrdup(db_value(found, 0, 5));
	db_result_clear(found);
	outcome = ask(p, sql_reset_floor, &found, err);
	if (outcome != DB_OK)
		return db_exit_code(outcome);
	p->floor = xstrdup(db_value(found, 0, 0));
	db_result_clear(found);
	outcome = ask(p, sql_reset_due, &p->due, err);
	return outcome == DB_OK ? settle(p, err) : db_exit_code(outcome);
}

const char *reset_primary_due(const struct reset_primary *p, const char *replica)
{
	for (int i = 0; p->due != NULL && i < db_rows(p->due); i++)
		if (strcmp(db_value(p->due, i, 0), replica) == 0)
			return db_value(p->due, i, 1);
	return NULL;
}

void reset_primary_clear(struct reset_primary *p)
{
	db_conn_close(p->conn);
	p->conn = NULL;
	db_result_clear(p->due);
	p->due = NULL;
	free(p->snapshot);
	free(p->source);
	free(p->floor);
	free(p->taken_at);
	free(p->published);
	p->snapshot = p->source = p->floor = p->taken_at = p->published = NULL;
}
