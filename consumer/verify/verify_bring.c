/*
 * verify_bring.c: a row that is too large for a message goes to the replicas where it is wrong directly:
 *
 *   1. On the primary, in one transaction: lock the row, read it, take the next version, and then look
 *      whether the table still has the shape that is compared. Commit. Then ask where the WAL is: all of this was
 *      committed before.
 *   2. On each replica where it is wrong: apply it as a change with that version and that transaction, by
 *      the function that applies what comes in messages. Newest version wins.
 *
 * Nothing is recorded in the outbox: such a change would be sent by its key alone, and make the row wrong on
 * the replicas that are right.
 *
 * Why it is exact: while the row is locked, whoever wrote it before has committed and has an older version,
 * and whoever writes it next has to wait and takes a newer one. So what was read is what the row was at that
 * version, and the replica may have it before or after what comes through the queues. A load of the table
 * whose snapshot contains the transaction of 1 has this state of the row or a later one, and makes the
 * change stale. Changes of another shape cannot come in between: who writes the row by it has a newer
 * version, as the row is locked until the shape was looked at.
 *
 * If this process dies: before the commit of 1 nothing has happened; after it a version was given out that no
 * row has; 2 is one statement, which the replica's server does or does not. The next run repairs the rest.
 * What a replica applies was committed on the primary before: a crash there gives no version out again.
 * Rule 10 of table_sql.c gets the place in the WAL: who reads the row has seen what was committed by then.
 */
#include "consumer/verify/verify_bring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/strbuf.h"

#define STATEMENT_MS 120000

static enum db_outcome ask(struct pg_conn *conn, const char *sql, int n,
			   const struct db_param *params, struct pg_result **ret, struct err *err)
{
	return db_query(conn, sql, n, params, false, mono_add_ms(mono_now(), STATEMENT_MS), ret,
			err);
}

/* Whether it still has the shape that is compared. Not in the statement that locks the row, which sees what
 * was there before it had to wait. */
static enum db_outcome look_at_shape(const struct verify *v, struct pg_conn *conn, struct err *err)
{
	const struct table *t = v->table->shape;
	struct pg_result *r = NULL;
	char id[16];

	snprintf(id, sizeof(id), "%d", t->id);
	const struct db_param params[] = { DB_TEXT(id) };
	enum db_outcome outcome = ask(conn, "SELECT shape FROM pgfanout.registered WHERE id = $1",
				      1, params, &r, err);
	if (outcome != DB_OK)
		return outcome;
	if (db_rows(r) != 1 || strtol(db_value(r, 0, 0), NULL, 10) != t->shape) {
		err_set(err, "the table was altered meanwhile");
		outcome = DB_REFUSED;
	}
	db_result_clear(r);
	return outcome;
}

/* Step 1. *ret: the row, or none if there is no row; *ret_lsn: the place. */
static enum db_outcome read_row(const struct verify *v, struct pg_conn *conn, const char *key,
				struct pg_result **ret, struct pg_result **ret_lsn, struct err *err)
{
	const struct verify_names names = { .t = v->table->shape,
					    .relation = v->table->relation,
					    .filter = v->table->filter };
	AUTO_STRBUF path = STRBUF_INIT, row = STRBUF_INIT;
	struct pg_result *r = NULL;
	enum db_outcome outcome;

	verify_sql_path(&path, names.t);
	verify_sql_row(&row, &names);
	const struct db_param set[] = { DB_TEXT(strbuf_str(&path)) }, param[] = { DB_TEXT(key) };
	outcome = ask(conn, "BEGIN", 0, NULL, NULL, err);
	if (outcome == DB_OK)
		outcome = ask(conn, VERIFY_SET_PATH, 1, set, NULL, err);
	if (outcome == DB_OK)
		outcome = ask(conn, "SET LOCAL lock_timeout = '" REPAIR_LOCK_TIMEOUT "'", 0, NULL,
			      NULL, err);
	if (outcome == DB_OK)
		outcome = ask(conn, strbuf_str(&row), 1, param, &r, err);
	if (outcome == DB_OK)
		outcome = look_at_shape(v, conn, err);
	if (outcome == DB_OK)
		outcome = ask(conn, "COMMIT", 0, NULL, NULL, err);
	if (outcome == DB_OK)
		outcome = ask(conn, "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint", 0, NULL,
			      ret_lsn, err);
	if (outcome == DB_OK)
		*ret = r;
	else
		db_result_clear(r);
	return outcome;
}

/* Step 2. */
static bool write_row(const struct verify *v, const struct verify_server *s,
		      const struct pg_result *row, const struct pg_result *lsn, struct err *err)
{
	const struct table *t = v->table->shape;
	const size_t n = VERIFY_ROW_COLUMNS + t->ncolumns;
	AUTO_FREE struct db_param *params = xcalloc(n + 1, sizeof(*params));
	AUTO_STRBUF sql = STRBUF_INIT;
	struct pg_conn *conn = verify_server_connect(s, err);

	if (conn == NULL)
		return false;
	verify_sql_write(&sql, t);
	for (size_t i = 0; i < n; i++)
		params[i] = DB_TEXT(db_is_null(row, 0, (int)i) ? NULL : db_value(row, 0, (int)i));
	params[n] = DB_TEXT(db_value(lsn, 0, 0));
	enum db_outcome outcome = ask(conn, strbuf_str(&sql), (int)n + 1, params, NULL, err);
	db_conn_close(conn);
	return outcome == DB_OK;
}

enum db_outcome verify_bring(const struct verify *v, const struct verify_suspect *suspects,
			     size_t n, bool *ret_there, struct err *err)
{
	struct pg_conn *conn = verify_server_connect(&v->primary, err);
	struct pg_result *row = NULL, *lsn = NULL;

	if (conn == NULL)
		return DB_LOST;
	enum db_outcome outcome = read_row(v, conn, suspects[0].key, &row, &lsn, err);
	/* Ends the transaction of one that was refused. */
	db_conn_close(conn);
	if (outcome != DB_OK)
		return outcome;
	*ret_there = db_rows(row) == 1;
	for (size_t i = 0; i < n && *ret_there; i++) {
		const struct verify_server *s = &v->replicas[suspects[i].replica].server;
		struct err why;

		if (s->failed == EXIT_OK && !write_row(v, s, row, lsn, &why))
			log_error("not repaired", KV_S("replica", s->name),
				  KV_S("table", v->table->shape->full),
				  KV_S("key", suspects[i].key), KV_S("error", why.text));
	}
	db_result_clear(row);
	db_result_clear(lsn);
	return DB_OK;
}
