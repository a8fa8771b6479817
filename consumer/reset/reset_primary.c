/*
 * reset_primary.c: see reset_primary.h.
 */
#include "consumer/reset/reset_primary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/pg/db.h"
#include "common/pg/schema.h"
#include "common/base/stop.h"
#include "common/base/uri.h"
#include "common/wire/table_sql.h"
#include "common/wire/topology.h"

#include "consumer/reset/sql/reset_altered.sql.h"
#include "consumer/reset/sql/reset_due.sql.h"
#include "consumer/reset/sql/reset_floor.sql.h"
#include "consumer/reset/sql/reset_place.sql.h"
#include "consumer/reset/sql/reset_published.sql.h"
#include "consumer/reset/sql/reset_settle.sql.h"
#include "consumer/reset/sql/reset_snapshot.sql.h"
#include "consumer/reset/sql/reset_streams.sql.h"
#include "consumer/reset/sql/reset_tables.sql.h"
#include "consumer/reset/sql/reset_unknown.sql.h"

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

enum {
	COL_ID,
	COL_SHAPE,
	COL_DESCRIPTION,
	COL_RELATION,
	COL_FILTER,
	COL_STREAM,
	COL_NAME,
	COL_OID,
	COL_FAULT,
	COL_ALTERED
};

static void clear_table(struct reset_table *t)
{
	table_free(t->shape);
	free(t->description);
	free(t->relation);
	free(t->oid);
	free(t->filter);
	free(t->copy_out);
}

static char *text_or_null(const struct pg_result *r, int row, int col)
{
	return db_is_null(r, row, col) ? NULL : xstrdup(db_value(r, row, col));
}

static bool take_table(struct reset_table *t, const struct pg_result *r, int row, struct err *err)
{
	AUTO_STRBUF copy = STRBUF_INIT;

	*t = (struct reset_table){ .description = xstrdup(db_value(r, row, COL_DESCRIPTION)),
				   .relation = xstrdup(db_value(r, row, COL_RELATION)),
				   .oid = xstrdup(db_value(r, row, COL_OID)),
				   .filter = text_or_null(r, row, COL_FILTER) };
	topology_stream(&t->stream, (int)strtol(db_value(r, row, COL_STREAM), NULL, 10),
			db_value(r, row, COL_NAME));
	t->shape = table_read((int)strtol(db_value(r, row, COL_SHAPE), NULL, 10), t->description,
			      err);
	if (t->shape == NULL)
		return false;
	table_sql_copy_out(&copy, t->shape, t->relation, t->filter);
	t->copy_out = strbuf_detach(&copy, NULL);
	return true;
}

/* A name that was mistyped, or a table that is not registered: better nothing than a part. */
static enum exit_code refuse_unknown(struct reset_primary *p, const char *names, struct err *err)
{
	const struct db_param params[] = { DB_TEXT(names) };
	struct pg_result *r = NULL;

	if (names == NULL)
		return EXIT_OK;
	enum db_outcome outcome = db_query(p->conn, sql_reset_unknown, 1, params, false,
					   mono_add_ms(mono_now(), STATEMENT_MS), &r, err);
	if (outcome != DB_OK)
		return db_exit_code(outcome);
	bool unknown = db_rows(r) > 0;
	if (unknown)
		err_set(err, "%.150s is not registered; what is: %.300s", db_value(r, 0, 0),
			db_value(r, 0, 1));
	db_result_clear(r);
	return unknown ? EXIT_USAGE : EXIT_OK;
}

static void add_stream(struct reset_primary *p, const struct stream *stream, bool whole)
{
	for (size_t i = 0; i < p->nstreams; i++)
		if (p->streams[i].stream.number == stream->number)
			return;
	p->streams = xreallocarray(p->streams, p->nstreams + 1, sizeof(*p->streams));
	p->streams[p->nstreams++] = (struct reset_stream){ .stream = *stream, .whole = whole };
}

static void leave_out(struct reset_primary *p, const struct pg_result *r, int row)
{
	const struct table *t = p->tables[p->ntables - 1].shape;

	log_error("the primary's capture of a table is broken: it is left out, and loaded when "
		  "pgfanout.refresh() has mended that",
		  KV_S("table", t->full), KV_S("reason", db_value(r, row, COL_FAULT)));
	p->broken = xreallocarray(p->broken, p->nbroken + 1, sizeof(*p->broken));
	p->broken[p->nbroken++] = t->id;
	clear_table(&p->tables[--p->ntables]);
}

/* What is not captured would be missing from the replicas again, and a table that was put in the
 * place of another would become theirs. */
static enum exit_code read_tables(struct reset_primary *p, const struct stream *stream,
				  const char *names, struct err *err)
{
	const struct db_param params[] = { DB_TEXT(stream ? stream->text : NULL), DB_TEXT(names) };
	struct pg_result *r = NULL;
	enum db_outcome outcome = db_query(p->conn, sql_reset_tables, 2, params, false,
					   mono_add_ms(mono_now(), STATEMENT_MS), &r, err);
	enum exit_code code = EXIT_OK;

	if (outcome != DB_OK)
		return db_exit_code(outcome);
	p->tables = xreallocarray(p->tables, p->ntables + (size_t)db_rows(r) + 1,
				  sizeof(*p->tables));
	for (int i = 0; i < db_rows(r) && code == EXIT_OK; i++) {
		if (!take_table(&p->tables[p->ntables++], r, i, err)) {
			code = EXIT_SCHEMA;
		} else if (!db_is_null(r, i, COL_FAULT)) {
			const struct table *t = p->tables[p->ntables - 1].shape;
			const bool altered = *db_value(r, i, COL_ALTERED) == '1';

			if (names == NULL && !altered && !t->flat) {
				leave_out(p, r, i);
				continue;
			}
			err_set(err,
				"primary (%s): its table %s is not as it should be, run %s: %s",
				p->name, t->name,
				t->flat ? "pgfanout-migrate up" : "pgfanout.refresh()",
				db_value(r, i, COL_FAULT));
			code = altered ? EXIT_BUSY : EXIT_SCHEMA;
		}
		if (code == EXIT_OK)
			add_stream(p, &p->tables[p->ntables - 1].stream, false);
	}
	db_result_clear(r);
	return code;
}

static enum exit_code read_streams(struct reset_primary *p, const struct stream *stream,
				   struct err *err)
{
	const struct db_param params[] = { DB_TEXT(stream ? stream->text : NULL) };
	struct pg_result *r = NULL;
	enum db_outcome outcome = db_query(p->conn, sql_reset_streams, 1, params, false,
					   mono_add_ms(mono_now(), STATEMENT_MS), &r, err);

	if (outcome != DB_OK)
		return db_exit_code(outcome);
	for (int i = 0; i < db_rows(r); i++) {
		struct stream s;

		topology_stream(&s, (int)strtol(db_value(r, i, 0), NULL, 10), db_value(r, i, 1));
		add_stream(p, &s, true);
	}
	db_result_clear(r);
	return EXIT_OK;
}

enum exit_code reset_primary_connect(struct reset_primary *p, const char *url,
				     const struct stream *stream, const char *names,
				     struct err *err)
{
	p->url = url;
	p->names = names;
	uri_scrub(url, p->name, sizeof(p->name));
	p->conn = leader_connect(url, &options, err);
	if (p->conn == NULL)
		return db_exit_code(sqlstate_outcome(err->sqlstate));
	enum db_outcome outcome = db_check_schema(p->conn, "primary", SCHEMA_PRIMARY, err);
	if (outcome != DB_OK)
		return db_exit_code(outcome);
	enum exit_code code = refuse_standby(p, err);
	if (code == EXIT_OK) {
		outcome = leader_source(p->conn, p->leads, err);
		code = outcome == DB_OK ? EXIT_OK : db_exit_code(outcome);
	}
	if (code == EXIT_OK) {
		/* Tables that have just been altered are known as they are. */
		outcome = db_query(p->conn, "SELECT pgfanout.notice(false)", 0, NULL, false,
				   mono_add_ms(mono_now(), STATEMENT_MS), NULL, err);
		code = outcome == DB_OK ? EXIT_OK : db_exit_code(outcome);
	}
	if (code == EXIT_OK)
		code = refuse_unknown(p, names, err);
	if (code == EXIT_OK && names == NULL)
		code = read_streams(p, stream, err);
	return code == EXIT_OK ? read_tables(p, stream, names, err) : code;
}

enum exit_code reset_primary_add(struct reset_primary *p, const char *numbers, struct err *err)
{
	return read_tables(p, NULL, numbers, err);
}

/* In a session of its own: the snapshot's is read-only, and its transaction stays open. */
static enum exit_code settle(const struct reset_primary *p, struct err *err)
{
	/* What it commits is to be on the primary's disk: a synchronous standby may be away. */
	struct db_options local = options;

	local.guc = "-c client_min_messages=error -c synchronous_commit=local";

	struct pg_conn *conn = leader_connect_same(p->url, &local, p->leads, err);

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
static enum db_outcome let_relay_note(struct reset_primary *p, const struct stream *stream,
				      struct err *err)
{
	char lock[16];
	struct mono until = mono_add_ms(mono_now(), PUBLISHED_MS);
	struct pg_result *found;
	enum db_outcome outcome = ask(p, "SELECT pg_current_snapshot()", &found, err);
	bool noted = false;

	if (outcome != DB_OK)
		return outcome;
	AUTO_FREE char *snapshot = xstrdup(db_value(found, 0, 0));
	const struct db_param params[] = { DB_TEXT(snapshot), DB_TEXT(stream->text),
					   DB_TEXT(lock) };

	snprintf(lock, sizeof(lock), "%d", topology_lead_lock(stream));
	db_result_clear(found);
	while (!noted && !mono_reached(until, mono_now())) {
		outcome = db_query(p->conn, sql_reset_published, 3, params, false,
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

static enum db_outcome let_relays_note(struct reset_primary *p, struct err *err)
{
	enum db_outcome outcome = DB_OK;

	for (size_t i = 0; i < p->nstreams && outcome == DB_OK; i++)
		outcome = let_relay_note(p, &p->streams[i].stream, err);
	return outcome;
}

/* Locks first, then the snapshot: a TRUNCATE or rewrite of a table is over, or has to wait. */
static enum db_outcome begin_snapshot(struct reset_primary *p, struct err *err)
{
	AUTO_STRBUF lock = STRBUF_INIT;
	enum db_outcome outcome;

	/* Not every platform has it. */
	(void)ask(p, "SET client_connection_check_interval = 1000", NULL, err);
	outcome = ask(p, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", NULL, err);
	if (outcome == DB_OK)
		outcome = ask(p, "SET LOCAL lock_timeout = '" LOCK_TIMEOUT "'", NULL, err);
	strbuf_addstr(&lock, "LOCK TABLE ");
	for (size_t i = 0; i < p->ntables; i++)
		strbuf_addf(&lock, "%s%s", i > 0 ? ", " : "", p->tables[i].relation);
	strbuf_addstr(&lock, " IN ACCESS SHARE MODE");
	return outcome == DB_OK && p->ntables > 0 ? ask(p, strbuf_str(&lock), NULL, err) : outcome;
}

void reset_primary_tables(const struct reset_primary *p, struct strbuf *out)
{
	strbuf_addch(out, '[');
	for (size_t i = 0; i < p->ntables; i++)
		strbuf_addf(out, "%s{\"id\":%d,\"shape\":%d}", i > 0 ? "," : "",
			    p->tables[i].shape->id, p->tables[i].shape->shape);
	strbuf_addch(out, ']');
}

static enum exit_code refuse_altered(struct reset_primary *p, struct err *err)
{
	AUTO_STRBUF tables = STRBUF_INIT;
	struct pg_result *found;

	reset_primary_tables(p, &tables);
	const struct db_param params[] = { DB_TEXT(strbuf_str(&tables)) };
	enum db_outcome outcome = db_query(p->conn, sql_reset_altered, 1, params, false,
					   mono_add_ms(mono_now(), STATEMENT_MS), &found, err);
	if (outcome != DB_OK)
		return db_exit_code(outcome);
	bool altered = db_rows(found) > 0;
	if (altered)
		err_set(err, "its table %s has just been altered: try again",
			db_value(found, 0, 0));
	db_result_clear(found);
	return altered ? EXIT_BUSY : EXIT_OK;
}

/* A table was renamed or dropped, or its schema was, since it was read what it is called. */
static bool is_moved(const struct err *err)
{
	return strcmp(err->sqlstate, "42P01") == 0 || strcmp(err->sqlstate, "3F000") == 0;
}

enum exit_code reset_primary_snapshot(struct reset_primary *p, struct err *err)
{
	AUTO_STRBUF oids = STRBUF_INIT;
	enum db_outcome outcome;
	struct pg_result *found;

	outcome = let_relays_note(p, err);
	if (outcome == DB_OK)
		outcome = ask(p, sql_reset_place, &found, err);
	if (outcome == DB_OK) {
		p->before = xstrdup(db_value(found, 0, 0));
		db_result_clear(found);
		outcome = begin_snapshot(p, err);
	}
	if (outcome != DB_OK && is_moved(err))
		return EXIT_BUSY;
	if (outcome != DB_OK)
		return db_exit_code(outcome);
	enum exit_code code = refuse_altered(p, err);
	if (code != EXIT_OK)
		return code;
	strbuf_addch(&oids, '{');
	for (size_t i = 0; i < p->ntables; i++)
		strbuf_addf(&oids, "%s%s", i > 0 ? "," : "", p->tables[i].oid);
	strbuf_addch(&oids, '}');
	const struct db_param params[] = { DB_TEXT(strbuf_str(&oids)) };
	outcome = db_query(p->conn, sql_reset_snapshot, 1, params, false,
			   mono_add_ms(mono_now(), STATEMENT_MS), &found, err);
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
	p->after = xstrdup(db_value(found, 0, 1));
	db_result_clear(found);
	outcome = ask(p, sql_reset_due, &p->due, err);
	return outcome == DB_OK ? settle(p, err) : db_exit_code(outcome);
}

void reset_primary_due(const struct reset_primary *p, const char *replica, struct strbuf *out)
{
	size_t n = 0;

	strbuf_addch(out, '{');
	for (int i = 0; p->due != NULL && i < db_rows(p->due); i++)
		if (strcmp(db_value(p->due, i, 0), replica) == 0)
			strbuf_addf(out, "%s\"%s\":\"%s\"", n++ > 0 ? "," : "",
				    db_value(p->due, i, 2), db_value(p->due, i, 1));
	strbuf_addch(out, '}');
}

void reset_primary_clear(struct reset_primary *p)
{
	db_conn_close(p->conn);
	p->conn = NULL;
	db_result_clear(p->due);
	p->due = NULL;
	for (size_t i = 0; i < p->ntables; i++)
		clear_table(&p->tables[i]);
	free(p->broken);
	p->broken = NULL;
	p->nbroken = 0;
	free(p->tables);
	p->tables = NULL;
	p->ntables = 0;
	free(p->streams);
	p->streams = NULL;
	p->nstreams = 0;
	free(p->snapshot);
	free(p->source);
	free(p->floor);
	free(p->taken_at);
	free(p->published);
	free(p->before);
	free(p->after);
	p->snapshot = p->source = p->floor = p->taken_at = p->published = NULL;
	p->before = p->after = NULL;
}
