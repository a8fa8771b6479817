/*
 * reset_replica.c: see reset_replica.h.
 *
 * The locks, in the order in which they are taken. All end with the session:
 *   1. Advisory lock 1885824609/1, exclusive: no batch is applied (PF001), no other reset begins.
 *   2. SHARE UPDATE EXCLUSIVE on products: readers and writers go on; nobody alters, indexes or
 *      vacuums the table. A running autovacuum gives way to this request; it would not give way to
 *      the short ones of the swap.
 *   3. products_reset: made in the transaction, invisible to others, gone with it.
 */
#include "consumer/reset/reset_replica.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/pg/db.h"
#include "common/pg/schema.h"
#include "common/base/strbuf.h"

#include "consumer/reset/sql/reset_create.sql.h"
#include "consumer/reset/sql/reset_finish.sql.h"
#include "consumer/reset/sql/reset_lock_holders.sql.h"
#include "consumer/reset/sql/reset_mark.sql.h"
#include "consumer/reset/sql/reset_obstacles.sql.h"

#define STATEMENT_MS	   15000
/* How long batches under way, or the session of a reset that was just killed, may take to end. */
#define LOCK_TIMEOUT	   "5s"
#define TABLE_LOCK_TIMEOUT "10s"

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

/* All obstacles in one line, so that they can be removed in one go. */
static bool check_obstacles(struct reset_replica *r)
{
	AUTO_STRBUF list = STRBUF_INIT;
	struct pg_result *found;
	struct err err;

	if (!ask(r, "looking at its table products", sql_reset_obstacles, &found))
		return false;
	for (int i = 0; i < db_rows(found); i++)
		strbuf_addf(&list, "%s%s", i == 0 ? "" : "; ", db_value(found, i, 0));
	db_result_clear(found);
	if (list.len == 0)
		return true;
	err_set(&err,
		"its table products cannot be replaced; drop or change first (and recreate after): %s",
		strbuf_str(&list));
	return reset_replica_fail(r, EXIT_DIFFERENT, &err);
}

static bool estimate_rows(struct reset_replica *r)
{
	struct pg_result *found;

	if (!ask(r, NULL,
		 "SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass('products')",
		 &found))
		return false;
	r->rows = db_rows(found) == 1 ? strtoll(db_value(found, 0, 0), NULL, 10) : -1;
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
	if (outcome != DB_OK)
		return failed(r, NULL, outcome, &err);
	return check_obstacles(r) && estimate_rows(r);
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

bool reset_replica_mark(struct reset_replica *r)
{
	return run(r, "marking it as needing a reset", sql_reset_mark);
}

bool reset_replica_lock(struct reset_replica *r)
{
	struct err err;

	/* While this request waits, batches that only try to take the lock get none, so a stream
	 * of them cannot hold it off. */
	if (!run(r, "setting lock_timeout", "SET lock_timeout = '" LOCK_TIMEOUT "'"))
		return false;
	enum db_outcome outcome = query(r, "SELECT pg_advisory_lock(1885824609, 1)", NULL, &err);
	if (outcome == DB_RETRY && strcmp(err.sqlstate, "55P03") == 0)
		return fail_busy(r);
	if (outcome != DB_OK)
		return failed(r, "locking out the consumer", outcome, &err);
	return run(r, "setting lock_timeout", "SET lock_timeout = 0");
}

static bool create_table(struct reset_replica *r)
{
	struct pg_result *statements;
	bool ok = true;

	if (!ask(r, "planning products_reset", sql_reset_create, &statements))
		return false;
	for (int i = 0; ok && i < db_rows(statements); i++)
		ok = run(r, "making products_reset", db_value(statements, i, 1));
	db_result_clear(statements);
	return ok;
}

bool reset_replica_begin(struct reset_replica *r)
{
	return run(r, "beginning", "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE") &&
	       run(r, "setting lock_timeout",
		   "SET LOCAL lock_timeout = '" TABLE_LOCK_TIMEOUT "'") &&
	       run(r, "locking products against changes of its definition",
		   "LOCK TABLE products IN SHARE UPDATE EXCLUSIVE MODE") &&
	       run(r, "setting lock_timeout", "SET LOCAL lock_timeout = 0") &&
	       run(r, "setting default_tablespace", "SET LOCAL default_tablespace = ''") &&
	       run(r, "setting maintenance_work_mem",
		   "SELECT set_config('maintenance_work_mem', '128MB', true)"
		   " WHERE pg_size_bytes(current_setting('maintenance_work_mem')) < pg_size_bytes('128MB')") &&
	       check_obstacles(r) && create_table(r);
}

bool reset_replica_rehearse(struct reset_replica *r)
{
	return reset_replica_begin(r) && run(r, "planning the end", sql_reset_finish) &&
	       run(r, "taking all back", "ROLLBACK");
}
