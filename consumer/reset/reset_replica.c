/*
 * reset_replica.c: see reset_replica.h.
 *
 * The locks, in the order in which they are taken. All end with the session:
 *   1. Advisory locks 1885824610/<stream>, exclusive, by the streams' numbers: no batch of it is applied
 *      (PF001), no other reset begins.
 *   2. SHARE UPDATE EXCLUSIVE on the tables: readers and writers go on; nobody alters, indexes or
 *      vacuums them. A running autovacuum gives way to this request; it would not give way to
 *      the short ones of the swap.
 *   3. pgfanout_reset_<table>: made in the transaction, invisible to others, gone with it.
 */
#include "consumer/reset/reset_replica.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/pg/db.h"
#include "common/pg/schema.h"
#include "common/wire/table_replica.h"
#include "common/wire/table_sql.h"
#include "common/base/strbuf.h"
#include "consumer/reset/leader.h"
#include "consumer/reset/rebuild_table.h"

#include "consumer/reset/sql/reset_create.sql.h"
#include "consumer/reset/sql/reset_finish.sql.h"
#include "consumer/reset/sql/reset_forget.sql.h"
#include "consumer/reset/sql/reset_lock_holders.sql.h"
#include "consumer/reset/sql/reset_mark.sql.h"
#include "consumer/reset/sql/reset_obstacles.sql.h"
#include "consumer/reset/sql/reset_related.sql.h"

#define STATEMENT_MS	   15000
/* How long batches under way, or the session of a reset that was just killed, may take to end. */
#define LOCK_TIMEOUT	   "5s"
#define TABLE_LOCK_TIMEOUT "10s"
#define RESET_CREATE	   "reset_create"
#define RESET_OBSTACLES	   "reset_obstacles"

bool reset_replica_fail(struct reset_replica *r, enum exit_code code, const struct err *err)
{
	r->failed = code;
	if (err != &r->err)
		r->err = *err;
	db_conn_close(r->conn);
	r->conn = NULL;
	return false;
}

static enum db_outcome query(struct reset_replica *r, const char *sql, struct pg_result **ret,
			     struct err *err)
{
	return db_query(r->conn, sql, 0, NULL, false, mono_add_ms(mono_now(), STATEMENT_MS), ret,
			err);
}

static bool failed(struct reset_replica *r, const char *what, enum db_outcome outcome,
		   struct err *err)
{
	if (what != NULL)
		err_prefix(err, "%s", what);
	return reset_replica_fail(r, db_exit_code(outcome), err);
}

/* what: for the error text, may be NULL, as ret. False: the replica takes no part any more. */
static bool ask(struct reset_replica *r, const char *what, const char *sql, struct pg_result **ret)
{
	struct err err;
	enum db_outcome outcome = query(r, sql, ret, &err);

	return outcome == DB_OK || failed(r, what, outcome, &err);
}

static bool run(struct reset_replica *r, const char *what, const char *sql)
{
	return ask(r, what, sql, NULL);
}

/* What is asked more than once, of each table mostly, and planned once. rebuild_finish.c asks the last one too. */
static const struct {
	const char *name, *sql;
} statements[] = {
	{ RESET_OBSTACLES, sql_reset_obstacles },
	{ RESET_CREATE, sql_reset_create },
	{ RESET_FINISH, sql_reset_finish },
};

static bool prepare_statements(struct reset_replica *r)
{
	struct err err;

	for (size_t i = 0; i < ARRAY_SIZE(statements); i++) {
		enum db_outcome outcome = db_prepare(r->conn, statements[i].name, statements[i].sql,
						     mono_add_ms(mono_now(), STATEMENT_MS), &err);
		if (outcome != DB_OK)
			return failed(r, NULL, outcome, &err);
	}
	return true;
}

/* A statement whose only parameter is an array of the numbers of its tables. name: it was prepared, and sql is
 * NULL. */
static bool ask_of_all(struct reset_replica *r, const char *what, const char *sql, const char *name,
		       struct pg_result **ret)
{
	AUTO_STRBUF ids = STRBUF_INIT;
	struct err err;

	for (size_t i = 0; i < r->primary->ntables; i++) {
		const struct table *t = r->primary->tables[i].shape;

		if (table_is_for(t, r->name))
			strbuf_addf(&ids, "%s%d", ids.len == 0 ? "{" : ",", t->id);
	}
	strbuf_addstr(&ids, ids.len == 0 ? "{}" : "}");
	const struct db_param params[] = { DB_TEXT(strbuf_str(&ids)) };
	struct mono deadline = mono_add_ms(mono_now(), STATEMENT_MS);
	enum db_outcome outcome =
		sql == NULL ? db_query_prepared(r->conn, name, 1, params, deadline, ret, &err)
			    : db_query(r->conn, sql, 1, params, false, deadline, ret, &err);
	return outcome == DB_OK || failed(r, what, outcome, &err);
}

/* The row that begins with a table's number; or -1. */
static int row_of(const struct pg_result *found, const struct reset_table *t)
{
	int k = 0;

	while (k < db_rows(found) && strtol(db_value(found, k, 0), NULL, 10) != t->shape->id)
		k++;
	return k < db_rows(found) ? k : -1;
}

/* All obstacles in one line, so that they can be removed in one go. */
static bool check_obstacles(struct reset_replica *r)
{
	AUTO_STRBUF list = STRBUF_INIT, tables = STRBUF_INIT;
	struct pg_result *found;
	struct err err;

	if (!ask_of_all(r, "looking at its tables", NULL, RESET_OBSTACLES, &found))
		return false;
	for (int k = 0; k < db_rows(found); k++)
		strbuf_addf(&list, "%s%s", k == 0 ? "" : "; ", db_value(found, k, 1));
	for (size_t i = 0; i < r->primary->ntables; i++)
		if (row_of(found, &r->primary->tables[i]) >= 0)
			strbuf_addf(&tables, "%s%s", tables.len == 0 ? "" : ", ",
				    r->primary->tables[i].shape->name);
	db_result_clear(found);
	if (list.len == 0)
		return true;
	err_set(&err,
		"its table %s cannot be replaced; drop or change first (and recreate after): %s",
		strbuf_str(&tables), strbuf_str(&list));
	return reset_replica_fail(r, EXIT_DIFFERENT, &err);
}

static bool estimate_rows(struct reset_replica *r)
{
	static const char sql[] =
		"SELECT CASE WHEN min(c.reltuples) < 0 THEN -1 ELSE coalesce(sum(c.reltuples::bigint), 0) END"
		" FROM pg_class c JOIN pgfanout.tables t ON t.relation = c.oid WHERE t.id = ANY ($1::integer[])";
	struct pg_result *found;

	if (!ask_of_all(r, NULL, sql, NULL, &found))
		return false;
	r->rows = strtoll(db_value(found, 0, 0), NULL, 10);
	db_result_clear(found);
	return true;
}

bool reset_replica_connect(struct reset_replica *r)
{
	static const struct db_options options = { .application_name = "reset-replicas",
						   .guc = "-c client_min_messages=error" };
	struct err err;

	r->conn = db_connect_raw(r->url, &options, &err);
	if (r->conn == NULL)
		return failed(r, NULL, sqlstate_outcome(err.sqlstate), &err);
	/* The server then notices within a second that we are gone, also during an index build. On
	 * platforms without this setting it notices at the end of the statement. */
	(void)query(r, "SET client_connection_check_interval = 1000", NULL, &err);
	enum db_outcome outcome = db_check_schema(r->conn, r->name, SCHEMA_REPLICA, &err);
	if (outcome == DB_OK)
		outcome = leader_check(r->conn, r->primary->leads, &err);
	if (outcome != DB_OK)
		return failed(r, NULL, outcome, &err);
	return prepare_statements(r) && check_obstacles(r) && estimate_rows(r);
}

/* All that are asked for, those that are left out too if they are broken. */
static void add_numbers(const struct reset_replica *r, bool broken, struct strbuf *out)
{
	const struct reset_primary *p = r->primary;
	const char *before = "{";

	for (size_t i = 0; i < p->ntables; i++, before = ",")
		strbuf_addf(out, "%s%d", before, p->tables[i].shape->id);
	for (size_t i = 0; broken && i < p->nbroken; i++, before = ",")
		strbuf_addf(out, "%s%d", before, p->broken[i]);
	strbuf_addstr(out, *before == '{' ? "{}" : "}");
}

bool reset_replica_related(struct reset_replica *r, struct strbuf *ret)
{
	AUTO_STRBUF ids = STRBUF_INIT;
	struct pg_result *found = NULL;
	struct err err;

	add_numbers(r, false, &ids);
	const struct db_param params[] = { DB_TEXT(strbuf_str(&ids)) };
	enum db_outcome outcome = db_query(r->conn, sql_reset_related, 1, params, false,
					   mono_add_ms(mono_now(), STATEMENT_MS), &found, &err);
	if (outcome != DB_OK)
		return failed(r, "looking for foreign keys", outcome, &err);
	strbuf_reset(ret);
	strbuf_addstr(ret, db_value(found, 0, 0));
	db_result_clear(found);
	return true;
}

/* Says who holds the lock. */
static bool fail_busy(struct reset_replica *r)
{
	struct pg_result *found;
	struct err err;

	if (!ask(r, NULL, sql_reset_lock_holders, &found))
		return false;
	if (db_rows(found) == 0)
		err_set(&err,
			"its lock was taken for " LOCK_TIMEOUT ", and is free now: try again");
	else if (strcmp(db_value(found, 0, 0), "t") == 0)
		err_set(&err, "another reset of %s is running (process %s on its server)", r->name,
			db_value(found, 0, 1));
	else
		err_set(&err,
			"a batch of changes that began before has not ended within " LOCK_TIMEOUT
			" (process %s, %s, on its server): try again",
			db_value(found, 0, 1), db_value(found, 0, 2));
	db_result_clear(found);
	return reset_replica_fail(r, EXIT_BUSY, &err);
}

bool reset_replica_mark(struct reset_replica *r, const struct stream *stream)
{
	const struct db_param params[] = { DB_TEXT(stream->text) };
	struct err err;
	enum db_outcome outcome = db_query(r->conn, sql_reset_mark, 1, params, false,
					   mono_add_ms(mono_now(), STATEMENT_MS), NULL, &err);

	return outcome == DB_OK || failed(r, "marking it as needing a reset", outcome, &err);
}

bool reset_replica_lock(struct reset_replica *r)
{
	AUTO_STRBUF sql = STRBUF_INIT;
	struct err err;

	strbuf_addstr(&sql,
		      "SELECT pg_advisory_lock(1885824610, s) FROM (SELECT DISTINCT unnest('{");
	for (size_t i = 0; i < r->primary->nstreams; i++)
		strbuf_addf(&sql, "%s%d", i > 0 ? "," : "", r->primary->streams[i].stream.number);
	strbuf_addstr(&sql, "}'::integer[]) AS s ORDER BY s) AS streams");
	const char *lock = strbuf_str(&sql);

	/* While this request waits, batches that only try to take the lock get none, so a stream
	 * of them cannot hold it off. */
	if (!run(r, "setting lock_timeout", "SET lock_timeout = '" LOCK_TIMEOUT "'"))
		return false;
	enum db_outcome outcome = query(r, lock, NULL, &err);
	if (outcome == DB_RETRY && strcmp(err.sqlstate, "55P03") == 0)
		return fail_busy(r);
	if (outcome != DB_OK)
		return failed(r, "locking out the consumer", outcome, &err);
	return run(r, "setting lock_timeout", "SET lock_timeout = 0");
}

static bool forget_others(struct reset_replica *r)
{
	AUTO_STRBUF streams = STRBUF_INIT, numbers = STRBUF_INIT;
	const struct reset_primary *p = r->primary;
	struct err err;

	strbuf_addch(&streams, '{');
	for (size_t i = 0; i < p->nstreams; i++)
		if (p->streams[i].whole)
			strbuf_addf(&streams, "%s%d", streams.len > 1 ? "," : "",
				    p->streams[i].stream.number);
	strbuf_addch(&streams, '}');
	add_numbers(r, true, &numbers);
	const struct db_param params[] = { DB_TEXT(strbuf_str(&streams)), DB_TEXT(p->names),
					   DB_TEXT(strbuf_str(&numbers)) };
	enum db_outcome outcome = db_query(r->conn, sql_reset_forget, 3, params, false,
					   mono_add_ms(mono_now(), STATEMENT_MS), NULL, &err);
	return outcome == DB_OK || failed(r, "forgetting tables", outcome, &err);
}

/* Each table is there, and looks as the primary's, but those that wait, which are left out. */
static bool bring_all(struct reset_replica *r)
{
	bool ok = run(r, "making tables", "SELECT pg_advisory_xact_lock(1885824609, 4)") &&
		  forget_others(r);

	free(r->waits);
	r->waits = xcalloc(r->primary->ntables + 1, sizeof(*r->waits));
	for (size_t i = 0; ok && i < r->primary->ntables; i++) {
		const struct reset_table *t = &r->primary->tables[i];
		enum table_brought how = TABLE_THERE;
		struct err err;

		if (!table_is_for(t->shape, r->name))
			continue;
		enum db_outcome outcome = table_bring(r->conn, r->name, &t->stream, t->shape->shape,
						      t->description, &how, &err);
		ok = outcome == DB_OK || failed(r, NULL, outcome, &err);
		r->waits[i] = how == TABLE_WAITS;
		if (ok && r->waits[i])
			log_error("a table cannot be brought to the replica: it is left out",
				  KV_S("replica", r->name), KV_S("error", err.text));
	}
	return ok;
}

/* Their names here. They are locked against changes of their definition. */
static bool lock_tables(struct reset_replica *r)
{
	static const char sql[] =
		"SELECT t.id, format('%I.%I', n.nspname, c.relname) FROM pgfanout.tables t"
		" JOIN pg_class c ON c.oid = t.relation JOIN pg_namespace n ON n.oid = c.relnamespace"
		" WHERE t.id = ANY ($1::integer[])";
	const struct reset_primary *p = r->primary;
	AUTO_STRBUF lock = STRBUF_INIT;
	struct pg_result *found;
	const struct table *gone = NULL;
	struct err err;

	r->here = xcalloc(p->ntables + 1, sizeof(*r->here));
	if (!ask_of_all(r, "finding its tables", sql, NULL, &found))
		return false;
	for (size_t i = 0; i < p->ntables && gone == NULL; i++) {
		if (!table_is_for(p->tables[i].shape, r->name) || r->waits[i])
			continue;
		int k = row_of(found, &p->tables[i]);
		if (k < 0) {
			gone = p->tables[i].shape;
			continue;
		}
		r->here[i].local = xstrdup(db_value(found, k, 1));
		strbuf_addf(&lock, "%s%s", lock.len == 0 ? "LOCK TABLE " : ", ", r->here[i].local);
	}
	db_result_clear(found);
	if (gone != NULL) {
		err_set(&err, "its table %s is gone: make it again, empty, with the columns it had",
			gone->name);
		return reset_replica_fail(r, EXIT_DIFFERENT, &err);
	}
	if (lock.len == 0)
		return true;
	strbuf_addstr(&lock, " IN SHARE UPDATE EXCLUSIVE MODE");
	return run(r, "locking tables against changes of their definition", strbuf_str(&lock));
}

/* What remains to be done for a table, by reset_finish.sql. */
static bool plan(struct reset_replica *r, size_t i, bool is_altered, struct pg_result **ret)
{
	char id[16];
	struct err err;
	const struct db_param params[] = { DB_TEXT(id), DB_TEXT(r->here[i].difference),
					   DB_TEXT("{}"), DB_TEXT(is_altered ? "true" : "false") };

	snprintf(id, sizeof(id), "%d", r->primary->tables[i].shape->id);
	enum db_outcome outcome = db_query_prepared(
		r->conn, RESET_FINISH, 4, params, mono_add_ms(mono_now(), STATEMENT_MS), ret, &err);
	return outcome == DB_OK || failed(r, "planning the end", outcome, &err);
}

/* Indexes and the like of the old table, while the new one is empty: the server then changes them with it. */
static bool take_over(struct reset_replica *r, size_t i)
{
	struct pg_result *steps = NULL;
	bool ok = plan(r, i, false, &steps);
	struct err err;

	for (int k = 0; ok && k < db_rows(steps); k++) {
		if (strcmp(db_value(steps, k, 0), "step") != 0)
			continue;
		enum db_outcome outcome = db_script(r->conn, db_value(steps, k, 3),
						    mono_add_ms(mono_now(), STATEMENT_MS), &err);
		ok = outcome == DB_OK || failed(r, db_value(steps, k, 2), outcome, &err);
	}
	db_result_clear(steps);
	return ok;
}

/* The new table gets the shape that was put off until now. */
static bool alter_table(struct reset_replica *r, size_t i, const char *anew)
{
	const struct table *t = r->primary->tables[i].shape;
	struct rebuild_here *here = &r->here[i];
	const bool is_replaced = here->difference == NULL;
	AUTO_STRBUF before = STRBUF_INIT, after = STRBUF_INIT;
	struct err err;

	if (is_replaced && !take_over(r, i))
		return false;
	enum db_outcome outcome = table_remake(r->conn, t, anew, is_replaced, &before, &after,
					       &err);
	if (outcome != DB_OK)
		return failed(r, "making a new table", outcome, &err);
	here->is_altered = true;
	here->before = xstrdup(strbuf_str(&before));
	here->after = xstrdup(strbuf_str(&after));
	return true;
}

static bool create_table(struct reset_replica *r, size_t i)
{
	const struct reset_table *t = &r->primary->tables[i];
	struct rebuild_here *here = &r->here[i];
	struct pg_result *made;
	AUTO_STRBUF copy = STRBUF_INIT, difference = STRBUF_INIT;
	bool ok = true, is_put_off = false;
	struct err err;

	char id[16];
	const struct db_param params[] = { DB_TEXT(id) };

	snprintf(id, sizeof(id), "%d", t->shape->id);
	enum db_outcome planned = db_query_prepared(r->conn, RESET_CREATE, 1, params,
						    mono_add_ms(mono_now(), STATEMENT_MS), &made,
						    &err);
	if (planned != DB_OK)
		return failed(r, "planning a new table", planned, &err);
	for (int k = 0; ok && k < db_rows(made); k++)
		ok = run(r, "making a new table", db_value(made, k, 1));
	if (ok && db_rows(made) > 0) {
		const char *anew = db_value(made, 0, 2);

		table_sql_copy_in(&copy, t->shape, anew);
		here->copy_in = strbuf_detach(&copy, NULL);
		if (*db_value(made, 0, 3) == '1') {
			table_sql_difference(&difference, t->shape, here->local, anew);
			here->difference = strbuf_detach(&difference, NULL);
		}
		enum db_outcome outcome = table_is_put_off(r->conn, t->shape, &is_put_off, &err);
		ok = outcome == DB_OK || failed(r, "making a new table", outcome, &err);
		ok = ok && (!is_put_off || alter_table(r, i, anew));
	}
	db_result_clear(made);
	return ok;
}

static bool create_tables(struct reset_replica *r)
{
	for (size_t i = 0; i < r->primary->ntables; i++)
		if (r->here[i].local != NULL && !create_table(r, i))
			return false;
	return true;
}

static bool limit_locks(struct reset_replica *r)
{
	return run(r, "setting lock_timeout", "SET LOCAL lock_timeout = '" TABLE_LOCK_TIMEOUT "'");
}

static bool begin(struct reset_replica *r)
{
	return run(r, "beginning", "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE") &&
	       limit_locks(r);
}

/* With tables that look as they must, in a transaction that begin() began. */
static bool prepare(struct reset_replica *r)
{
	return limit_locks(r) && lock_tables(r) &&
	       run(r, "setting lock_timeout", "SET LOCAL lock_timeout = 0") &&
	       run(r, "setting default_tablespace", "SET LOCAL default_tablespace = ''") &&
	       run(r, "setting maintenance_work_mem",
		   "SELECT set_config('maintenance_work_mem', '128MB', true)"
		   " WHERE pg_size_bytes(current_setting('maintenance_work_mem')) < pg_size_bytes('128MB')") &&
	       /* What fits into that is sorted quicker by one process, and there may be many replicas. */
	       run(r, "setting min_parallel_table_scan_size",
		   "SELECT set_config('min_parallel_table_scan_size', '256MB', true)"
		   " WHERE pg_size_bytes(current_setting('min_parallel_table_scan_size')) < pg_size_bytes('256MB')") &&
	       check_obstacles(r) && create_tables(r);
}

static bool plan_all(struct reset_replica *r)
{
	for (size_t i = 0; i < r->primary->ntables; i++)
		if (r->here[i].local != NULL && !plan(r, i, r->here[i].is_altered, NULL))
			return false;
	return true;
}

/* What alters a table locks out its readers: that is committed before the load. */
bool reset_replica_begin(struct reset_replica *r)
{
	return begin(r) && bring_all(r) && run(r, "committing its tables", "COMMIT") && begin(r) &&
	       prepare(r);
}

bool reset_replica_rehearse(struct reset_replica *r)
{
	return begin(r) && bring_all(r) && prepare(r) && plan_all(r) &&
	       run(r, "taking all back", "ROLLBACK");
}

void reset_replica_clear(struct reset_replica *r)
{
	db_conn_close(r->conn);
	r->conn = NULL;
	for (size_t i = 0; r->here != NULL && i < r->primary->ntables; i++) {
		free(r->here[i].local);
		free(r->here[i].copy_in);
		free(r->here[i].difference);
		free(r->here[i].before);
		free(r->here[i].after);
	}
	free(r->here);
	free(r->waits);
	r->waits = NULL;
	r->here = NULL;
}
