/*
 * migrate.c: the migrations of one database.
 *
 * Promises: each migration and its row in pgfanout_migrations are one transaction, so a crash
 * leaves all of it or nothing. The transaction first takes an advisory lock and then reads again
 * what is registered: two runs at once do everything once. Every wait has an end: 5 s for a login,
 * 10 s for a lock, an hour for a statement, and SIGTERM ends each of them; the server then rolls
 * back.
 *
 * Main thread only.
 */
#include "migrations/migrate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clip.h"
#include "common/pg/schema.h"
#include "common/wire/table_replica.h"
#include "common/base/stop.h"
#include "migrations/migrations.h"

#define CONNECT_TIMEOUT_S  5
#define LOCK_TIMEOUT_MS	   10000
#define STATEMENT_LIMIT_MS 3600000
#define STATEMENT_GRACE_MS 10000 /* for the server to say itself that the limit has passed */
/* Migrations up to this one replace what those before have made; later ones add to it, and the script of
 * this one cannot be run again. */
#define REPLACING	   3

/* ---- the table ---- */

const struct migration *migration_find(const char *side, int number)
{
	for (size_t i = 0; i < ARRAY_SIZE(migration_table); i++)
		if (migration_table[i].number == number &&
		    strcmp(migration_table[i].side, side) == 0)
			return &migration_table[i];
	return NULL;
}

int migration_newest(const char *side)
{
	int newest = 0;

	for (size_t i = 0; i < ARRAY_SIZE(migration_table); i++)
		if (strcmp(migration_table[i].side, side) == 0 &&
		    migration_table[i].number > newest)
			newest = migration_table[i].number;
	return newest;
}

bool migrations_check(struct err *err)
{
	static const struct {
		const char *side;
		int newest;
	} sides[] = { { "primary", SCHEMA_PRIMARY }, { "replica", SCHEMA_REPLICA } };

	for (size_t i = 0; i < ARRAY_SIZE(sides); i++) {
		int newest = migration_newest(sides[i].side);
		if (newest != sides[i].newest)
			return err_set(
				err,
				"common/pg/schema.h says %d for the %s, migrations/%s ends with %d",
				sides[i].newest, sides[i].side, sides[i].side, newest);
		for (int n = 1; n <= newest; n++) {
			const struct migration *m = migration_find(sides[i].side, n);
			if (m == NULL || *m->up == '\0' || *m->down == '\0')
				return err_set(err, "migrations/%s/%04d is missing or empty",
					       sides[i].side, n);
		}
	}
	return true;
}

/* ---- statements ---- */

static struct mono limit(const struct target *t)
{
	const int64_t most = STATEMENT_LIMIT_MS + STATEMENT_GRACE_MS;

	return mono_add_ms(mono_now(), t->limit_ms != 0 ? t->limit_ms : most);
}

static void disconnect(struct target *t)
{
	db_conn_close(t->conn);
	t->conn = NULL;
}

/* Turns a failed statement into t->code; closes a lost connection. Returns false. */
static bool failed(struct target *t, enum db_outcome outcome, struct err *err)
{
	if (outcome == DB_LOST) {
		t->code = db_exit_code(DB_LOST);
		disconnect(t);
		return false;
	}
	t->code = EXIT_RUNTIME;
	if (strcmp(err->sqlstate, "55P03") == 0) {
		t->code = EXIT_BUSY;
		err_set(err,
			"a table it must change was in use for more than %d s: let the transactions that use products "
			"end (pg_stat_activity shows them), then run it again",
			LOCK_TIMEOUT_MS / 1000);
	}
	return false;
}

bool target_query(struct target *t, const char *sql, int nparams, const struct db_param *params,
		  struct pg_result **ret, struct err *err)
{
	enum db_outcome outcome = db_query(t->conn, sql, nparams, params, false, limit(t), ret,
					   err);
	return outcome == DB_OK || failed(t, outcome, err);
}

static bool run_script(struct target *t, const char *sql, struct err *err)
{
	enum db_outcome outcome = db_script(t->conn, sql, limit(t), err);

	return outcome == DB_OK || failed(t, outcome, err);
}

/* ---- transactions ---- */

/* After a failure in a transaction; err keeps the failure's text. Returns false. */
static bool rollback(struct target *t)
{
	struct err ignored;

	if (t->conn &&
	    db_query(t->conn, "ROLLBACK", 0, NULL, false, limit(t), NULL, &ignored) != DB_OK)
		disconnect(t);
	return false;
}

static bool begin_locked(struct target *t, struct err *err)
{
	/* The same key for all databases of a server: advisory locks are apart for each of them. */
	static const char lock[] = "SELECT pg_advisory_xact_lock(1885824609, 4)";

	if (!target_query(t, "BEGIN", 0, NULL, NULL, err))
		return false;
	if (target_query(t, lock, 0, NULL, NULL, err))
		return true;
	if (t->code == EXIT_BUSY)
		err_set(err,
			"another pgfanout-migrate has been changing it for more than %d s: wait for that one, then "
			"run this again",
			LOCK_TIMEOUT_MS / 1000);
	return rollback(t);
}

static bool commit(struct target *t, struct err *err)
{
	return target_query(t, "COMMIT", 0, NULL, NULL, err) || rollback(t);
}

/* ---- the registry ---- */

static bool read_registry(struct target *t, struct err *err)
{
	/* Not to_regclass(): its answer may come from this session's cache, from before the wait
	 * for the lock. */
	static const char exists[] =
		"SELECT EXISTS (SELECT FROM pg_class WHERE relname = 'pgfanout_migrations'"
		" AND pg_table_is_visible(oid))";
	static const char sql[] =
		"SELECT number, left(name, 63),"
		" to_char(applied_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
		" FROM pgfanout_migrations ORDER BY number LIMIT 1000";
	struct pg_result *r = NULL;

	t->registered = 0;
	if (!target_query(t, exists, 0, NULL, &r, err))
		return false;
	bool found = *db_value(r, 0, 0) == 't';
	db_result_clear(r);
	if (!found)
		return true;

	if (!target_query(t, sql, 0, NULL, &r, err))
		return false;
	free(t->registry);
	t->registered = (size_t)db_rows(r);
	t->registry = xcalloc(t->registered + 1, sizeof(*t->registry));
	for (size_t i = 0; i < t->registered; i++) {
		struct registered *g = &t->registry[i];
		g->number = (int)strtol(db_value(r, (int)i, 0), NULL, 10);
		clip_text(g->name, sizeof(g->name), db_value(r, (int)i, 1));
		clip_text(g->applied_at, sizeof(g->applied_at), db_value(r, (int)i, 2));
	}
	db_result_clear(r);
	return true;
}

/* What is registered must be what the table says, for this side. */
static bool check_registry(struct target *t, struct err *err)
{
	for (size_t i = 0; i < t->registered; i++) {
		const struct registered *g = &t->registry[i];
		const struct migration *m = migration_find(t->side, g->number);

		t->code = EXIT_SCHEMA;
		if (g->number > migration_newest(t->side))
			return err_set(
				err,
				"it has migration %d (%s), this program knows %d: install the newer version",
				g->number, g->name, migration_newest(t->side));
		if (m == NULL || strcmp(m->name, g->name) != 0)
			return err_set(
				err,
				"its migration %d is %s, that of a %s is %s: is this the right database?",
				g->number, g->name, t->side, m ? m->name : "unknown");
		t->code = EXIT_OK;
	}
	return true;
}

static bool is_registered(const struct target *t, int number)
{
	for (size_t i = 0; i < t->registered; i++)
		if (t->registry[i].number == number)
			return true;
	return false;
}

/* ---- one database ---- */

/* The server's start time, to the microsecond, and the database. The system identifier would not
 * do: a replica may have begun as a physical copy of the primary. */
static bool identify(struct target *t, struct err *err)
{
	static const char sql[] = "SELECT oid || ' ' || pg_postmaster_start_time() FROM pg_database"
				  " WHERE datname = current_database()";
	struct pg_result *r = NULL;

	if (!target_query(t, sql, 0, NULL, &r, err))
		return false;
	snprintf(t->identity, sizeof(t->identity), "%s", db_value(r, 0, 0));
	db_result_clear(r);
	return true;
}

bool target_open(struct target *t, struct err *err)
{
	const struct db_options opt = {
		.application_name = "pgfanout-migrate",
		.connect_timeout_s = CONNECT_TIMEOUT_S,
		.statement_timeout_ms = STATEMENT_LIMIT_MS,
		.lock_timeout_ms = LOCK_TIMEOUT_MS,
		.host_turn = t->host_turn,
		.session_attrs = t->session_attrs,
	};

	t->conn = db_connect_raw(t->url, &opt, err);
	if (t->conn == NULL) {
		t->code = db_exit_code(sqlstate_outcome(err->sqlstate));
		return false;
	}
	if (identify(t, err) && read_registry(t, err) && check_registry(t, err))
		return true;
	disconnect(t);
	return false;
}

void target_close(struct target *t)
{
	disconnect(t);
	free(t->registry);
	t->registry = NULL;
	t->registered = 0;
}

bool target_migrated(struct target *t, struct err *err)
{
	if (is_registered(t, migration_newest(t->side)))
		return true;
	t->code = EXIT_SCHEMA;
	return err_set(err, "it has not been migrated: run pgfanout-migrate up");
}

/* What is made goes into the first schema of the search path. In front of tables that are there
 * already it would hide them. */
static bool check_schemas(struct target *t, struct err *err)
{
	static const char sql[] =
		"SELECT string_agg(format('%I.%I', n.nspname, c.relname), ', '), coalesce(current_schema(), 'none')"
		" FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
		" WHERE c.relname IN ('pgfanout_migrations', 'products', 'products_outbox', 'products_queues',"
		"  'products_capture', 'products_capture_paused', 'products_version_seq', 'products_tombstones',"
		"  'products_replication', 'products_dead_letters')"
		" AND pg_table_is_visible(c.oid) AND c.relpersistence <> 't'"
		" AND n.nspname IS DISTINCT FROM current_schema()";
	struct pg_result *r = NULL;

	if (!target_query(t, sql, 0, NULL, &r, err))
		return false;
	bool hidden = !db_is_null(r, 0, 0);
	if (hidden) {
		t->code = EXIT_RUNTIME;
		err_set(err,
			"%s is there already, but new tables would be made in front of it, in the first schema of "
			"the search path (%s): let search_path begin with the schema that has it (ALTER ROLE … SET "
			"search_path, or options=-csearch_path%%3D… in the connection string)",
			db_value(r, 0, 0), db_value(r, 0, 1));
	}
	db_result_clear(r);
	return !hidden;
}

bool target_up(struct target *t, const struct migration *m, bool *ret_done, struct err *err)
{
	static const char registry[] =
		"CREATE TABLE IF NOT EXISTS pgfanout_migrations ("
		" number integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now());"
		"COMMENT ON TABLE pgfanout_migrations IS"
		" 'pgfanout: the migrations this database has; written by pgfanout-migrate'";
	static const char reg[] =
		"INSERT INTO pgfanout_migrations (number, name) VALUES ($1::integer, $2)";
	char number[16];
	snprintf(number, sizeof(number), "%d", m->number);
	const struct db_param params[] = { DB_TEXT(number), DB_TEXT(m->name) };

	if (!begin_locked(t, err))
		return false;
	/* Under the lock: somebody else may have been here since target_open(). */
	if (!read_registry(t, err) || !check_registry(t, err))
		return rollback(t);
	if (is_registered(t, m->number)) {
		rollback(t);
		*ret_done = false;
		return true;
	}
	if (!check_schemas(t, err) || !run_script(t, registry, err) ||
	    !target_query(t, reg, 2, params, NULL, err) || !run_script(t, m->up, err))
		return rollback(t);
	if (!commit(t, err))
		return false;
	*ret_done = true;
	return true;
}

bool target_down(struct target *t, const struct migration **ret_done, struct err *err)
{
	static const char unreg[] = "DELETE FROM pgfanout_migrations WHERE number = $1::integer";

	if (!begin_locked(t, err))
		return false;
	if (!read_registry(t, err) || !check_registry(t, err))
		return rollback(t);
	if (t->registered == 0) {
		rollback(t);
		*ret_done = NULL;
		return true;
	}

	const struct migration *m = migration_find(t->side, t->registry[t->registered - 1].number);
	char number[16];
	snprintf(number, sizeof(number), "%d", m->number);
	const struct db_param params[] = { DB_TEXT(number) };

	/* What this one has replaced is there again: the scripts of those before are made for that. */
	for (int n = 1; m->number <= REPLACING && n < m->number; n++)
		if (!run_script(t, migration_find(t->side, n)->up, err))
			return rollback(t);
	if (!run_script(t, m->down, err) || !target_query(t, unreg, 1, params, NULL, err))
		return rollback(t);
	if (!commit(t, err))
		return false;
	*ret_done = m;
	return true;
}

/* ---- capture ---- */

bool primary_fault(struct target *t, char *ret_fault, size_t size, struct err *err)
{
	static const char sql[] = "SELECT pgfanout.capture_fault(1, to_regclass('products'))";
	struct pg_result *r = NULL;

	if (!target_query(t, sql, 0, NULL, &r, err))
		return false;
	snprintf(ret_fault, size, "%s", db_value(r, 0, 0));
	db_result_clear(r);
	return true;
}

bool primary_follows(struct target *t, bool *ret_at_once, struct err *err)
{
	static const char sql[] =
		"SELECT count(*) = 2 FROM pg_event_trigger WHERE evtenabled <> 'D'"
		" AND evtname IN ('pgfanout_altered', 'pgfanout_dropped')";
	struct pg_result *r = NULL;

	if (!target_query(t, sql, 0, NULL, &r, err))
		return false;
	*ret_at_once = *db_value(r, 0, 0) == 't';
	db_result_clear(r);
	return true;
}

static bool products_are_there(struct target *t, struct err *err)
{
	static const char sql[] = "SELECT to_regclass('products') IS NOT NULL";
	struct pg_result *r = NULL;

	if (!target_query(t, sql, 0, NULL, &r, err))
		return false;
	bool there = *db_value(r, 0, 0) == 't';
	db_result_clear(r);
	if (there)
		return true;
	t->code = EXIT_RUNTIME;
	return err_set(err, "there is no table products: if it was renamed, rename it back, then "
			    "run this again");
}

/* The first migration's script is made to be run again: it keeps all rows, checks the table, and makes
 * its rules anew; then its capture is. They lock out all writers, so what was missed was committed
 * before; and what they find wrong with the table ends this. The moment that is noted for the replicas
 * is taken under that lock. */
static bool repair(struct target *t, struct pg_result **ret_marked, struct err *err)
{
	static const char anew[] = "SELECT pgfanout.register_products()";
	static const char whole[] =
		"UPDATE pgfanout.registered SET broken_at = NULL, reason = NULL WHERE id = 1";
	static const char mark[] =
		"UPDATE pgfanout.queues SET reset_due_at ="
		"  greatest(clock_timestamp(), reset_due_at + interval '1 microsecond'),"
		" reason = 'changes of products were not captured on the primary for a while'"
		" WHERE stream = 1 RETURNING replica";
	char fault[512];

	if (!run_script(t, migration_find(t->side, 1)->up, err) ||
	    !target_query(t, anew, 0, NULL, NULL, err))
		return false;
	if (!target_query(t, whole, 0, NULL, NULL, err) ||
	    !primary_fault(t, fault, sizeof(fault), err))
		return false;
	if (fault[0] != '\0') {
		t->code = EXIT_RUNTIME;
		return err_set(err, "changes of products cannot all be captured: %s", fault);
	}
	return target_query(t, mark, 0, NULL, ret_marked, err);
}

bool primary_repair(struct target *t, char *ret_fault, size_t size, struct pg_result **ret_marked,
		    struct err *err)
{
	*ret_marked = NULL;
	if (!begin_locked(t, err))
		return false;
	/* Asked in a transaction that ends well or not at all: a failure leaves what it recorded. */
	if (!primary_fault(t, ret_fault, size, err))
		return rollback(t);
	if (ret_fault[0] == '\0')
		return commit(t, err);
	if (!target_query(t, "SAVEPOINT found", 0, NULL, NULL, err))
		return rollback(t);
	if (!products_are_there(t, err) || !check_schemas(t, err) || !repair(t, ret_marked, err)) {
		struct err ignored;

		db_result_clear(*ret_marked);
		*ret_marked = NULL;
		if (t->conn && target_query(t, "ROLLBACK TO found", 0, NULL, NULL, &ignored))
			(void)!commit(t, &ignored);
		return false;
	}
	return commit(t, err);
}

/* ---- generated functions ---- */

bool replica_generate(struct target *t, struct err *err)
{
	if (!begin_locked(t, err))
		return false;
	enum db_outcome outcome = table_generate_all(t->conn, err);
	if (outcome == DB_OK)
		return commit(t, err);
	(void)!failed(t, outcome, err);
	return rollback(t);
}

/* ---- a fresh system ---- */

bool primary_is_pristine(struct target *t, bool queues_declared, bool *ret,
			 char ret_source[SOURCE_MAX], struct err *err)
{
	/* is_called stays true once a version was taken, rolled back or not. Advisory lock
	 * 1885824609/3: held by the relay that publishes. */
	static const char sql[] =
		"SELECT NOT EXISTS (SELECT FROM products) AND NOT (SELECT is_called FROM pgfanout.version_seq)"
		" AND ($1::boolean OR NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted"
		" AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
		" AND classid = 1885824609 AND objid = 3 AND objsubid = 2)), pgfanout.source()";
	const struct db_param params[] = { DB_TEXT(queues_declared ? "true" : "false") };
	struct pg_result *r = NULL;

	if (!target_query(t, sql, 1, params, &r, err))
		return false;
	*ret = *db_value(r, 0, 0) == 't';
	snprintf(ret_source, SOURCE_MAX, "%s", db_value(r, 0, 1));
	db_result_clear(r);
	return true;
}

bool replica_settle(struct target *t, const char *pristine_source, bool *ret_needs_reset,
		    char *ret_reason, struct err *err)
{
	static const char settle[] =
		"UPDATE pgfanout.streams SET needs_reset = false, reason = NULL,"
		" follows = $1::text"
		" WHERE stream = 1 AND needs_reset AND reset_at IS NULL AND NOT EXISTS (SELECT FROM products)";
	static const char state[] =
		"SELECT needs_reset OR f.fault IS NOT NULL, left(coalesce(f.fault, reason, ''), 60)"
		" FROM (SELECT pgfanout.replica_fault(1::smallint) AS fault OFFSET 0) AS f"
		" JOIN pgfanout.streams ON stream = 1";
	const struct db_param params[] = { DB_TEXT(pristine_source) };
	struct pg_result *r = NULL;

	if (pristine_source && !target_query(t, settle, 1, params, NULL, err))
		return false;
	if (!target_query(t, state, 0, NULL, &r, err))
		return false;
	*ret_needs_reset = db_rows(r) == 0 || *db_value(r, 0, 0) == 't';
	clip_text(ret_reason, 64, db_rows(r) ? db_value(r, 0, 1) : "pgfanout.streams is empty");
	db_result_clear(r);
	return true;
}
