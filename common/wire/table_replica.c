/*
 * table_replica.c: see table_replica.h. Any thread with a connection of its own.
 */
#include "common/wire/table_replica.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/stop.h"
#include "common/base/strbuf.h"
#include "common/wire/table_sql.h"

#define STATEMENT_MS 60000
/* While somebody waits for a table that is read, later readers queue behind: so not for long at a time. */
#define LOCK_WAIT    "500ms"
#define PAUSE_MS     1000
#define LOCK_TRIES   7

static struct mono limit(void)
{
	return mono_add_ms(mono_now(), STATEMENT_MS);
}

static enum db_outcome run(struct pg_conn *c, const char *sql, int nparams,
			   const struct db_param *params, struct err *err)
{
	return db_query(c, sql, nparams, params, false, limit(), NULL, err);
}

/* A script that is not the one that was run for this shape. */
static enum db_outcome generate_shape(struct pg_conn *c, const struct table *t,
				      const struct strbuf *script, struct err *err)
{
	static const char news[] =
		"UPDATE pgfanout.shapes SET generated = md5($2::text)"
		" WHERE id = $1::integer AND generated IS DISTINCT FROM md5($2::text) RETURNING id";
	struct pg_result *r = NULL;
	char shape[16];

	snprintf(shape, sizeof(shape), "%d", t->shape);
	const struct db_param params[] = { DB_TEXT(shape), DB_TEXT(strbuf_str(script)) };
	enum db_outcome outcome = db_query(c, news, 2, params, false, limit(), &r, err);
	if (outcome != DB_OK)
		return outcome;
	bool is_news = db_rows(r) > 0;
	db_result_clear(r);
	return is_news ? db_script(c, strbuf_str(script), limit(), err) : DB_OK;
}

/* What applies changes of one table, of all shapes of it that are known. local: what it is called, or is when
 * this is committed; NULL: as it is. */
static enum db_outcome generate(struct pg_conn *c, const char *id, const char *local,
				struct err *err)
{
	static const char sql[] =
		"SELECT s.id, s.description, t.shape, h.description, t.stream,"
		" format('%I.%I', n.nspname, c.relname)"
		" FROM pgfanout.tables t JOIN pgfanout.shapes h ON h.id = t.shape"
		" JOIN pgfanout.shapes s ON s.description -> 'table' = to_jsonb(t.id) AND s.id <= t.shape"
		" JOIN pg_class c ON c.oid = t.relation JOIN pg_namespace n ON n.oid = c.relnamespace"
		" WHERE t.id = $1::integer ORDER BY s.id";
	AUTO_STRBUF script = STRBUF_INIT;
	struct pg_result *r = NULL;
	const struct db_param params[] = { DB_TEXT(id) };
	enum db_outcome outcome = db_query(c, sql, 1, params, false, limit(), &r, err);

	if (outcome != DB_OK)
		return outcome;
	for (int i = 0; i < db_rows(r) && outcome == DB_OK; i++) {
		int stream = (int)strtol(db_value(r, i, 4), NULL, 10);
		struct table *t = table_read((int)strtol(db_value(r, i, 0), NULL, 10),
					     db_value(r, i, 1), err),
			     *has = table_read((int)strtol(db_value(r, i, 2), NULL, 10),
					       db_value(r, i, 3), err);

		if (t != NULL && has != NULL && !table_same_key(t, has)) {
			/* Its changes are left out: what has the other key was loaded later. */
		} else if (t != NULL && has != NULL) {
			strbuf_reset(&script);
			table_follow(t, has);
			table_sql_apply(&script, t, local != NULL ? local : db_value(r, i, 5),
					stream);
			if (t->shape == has->shape)
				table_sql_arrive(&script, stream);
			outcome = generate_shape(c, t, &script, err);
		} else {
			outcome = DB_SCHEMA;
		}
		table_free(t);
		table_free(has);
	}
	db_result_clear(r);
	return outcome;
}

enum db_outcome table_generate_all(struct pg_conn *c, struct err *err)
{
	struct pg_result *r = NULL;
	enum db_outcome outcome = db_query(c, "SELECT id FROM pgfanout.tables ORDER BY id", 0, NULL,
					   false, limit(), &r, err);

	if (outcome != DB_OK)
		return outcome;
	for (int i = 0; i < db_rows(r) && outcome == DB_OK; i++)
		outcome = generate(c, db_value(r, i, 0), NULL, err);
	db_result_clear(r);
	return outcome;
}

/* ---- a stream ---- */

static enum db_outcome note_stream(struct pg_conn *c, const struct stream *stream, struct err *err)
{
	static const char sql[] = "INSERT INTO pgfanout.streams (stream, name, needs_reset)"
				  " VALUES ($1::smallint, $2::text, false) ON CONFLICT DO NOTHING";
	const struct db_param params[] = { DB_TEXT(stream->text), DB_TEXT(stream->name) };

	return run(c, sql, 2, params, err);
}

enum db_outcome table_bring_stream(struct pg_conn *c, const struct stream *stream, struct err *err)
{
	static const char known[] =
		"SELECT to_regprocedure('pgfanout.arrive_' || $1 || '(text,bigint[],jsonb)') IS NOT NULL";
	AUTO_STRBUF script = STRBUF_INIT;
	const struct db_param params[] = { DB_TEXT(stream->text) };
	struct pg_result *r = NULL;
	struct err ignored;
	enum db_outcome outcome = db_query(c, known, 1, params, false, limit(), &r, err);

	if (outcome != DB_OK)
		return outcome;
	bool there = *db_value(r, 0, 0) == 't';
	db_result_clear(r);
	if (there)
		return DB_OK;
	/* One at a time, as everything that makes something: pgfanout-migrate, other workers. */
	strbuf_addstr(&script, "SELECT pg_advisory_xact_lock(1885824609, 4);\n");
	table_sql_arrive(&script, stream->number);
	outcome = run(c, "BEGIN", 0, NULL, err);
	if (outcome == DB_OK)
		outcome = db_script(c, strbuf_str(&script), limit(), err);
	if (outcome == DB_OK)
		outcome = note_stream(c, stream, err);
	if (outcome == DB_OK)
		return run(c, "COMMIT", 0, NULL, err);
	(void)!run(c, "ROLLBACK", 0, NULL, &ignored);
	return outcome;
}

/* ---- one table ---- */

static bool is_locked(enum db_outcome outcome, const struct err *err)
{
	return outcome != DB_OK && strcmp(err->sqlstate, "55P03") == 0;
}

/* waiting: why it cannot be had; NULL: it can. */
static enum db_outcome note_shape(struct pg_conn *c, const struct stream *stream, int shape,
				  const char *description, const char *waiting, struct err *err)
{
	static const char shapes[] = "INSERT INTO pgfanout.shapes (id, description, waiting)"
				     " VALUES ($1::integer, $2::jsonb, $3::text)"
				     " ON CONFLICT (id) DO UPDATE SET waiting = excluded.waiting";
	char number[16];

	snprintf(number, sizeof(number), "%d", shape);
	const struct db_param params[] = { DB_TEXT(number), DB_TEXT(description),
					   DB_TEXT(waiting) };
	enum db_outcome outcome = note_stream(c, stream, err);

	return outcome == DB_OK ? run(c, shapes, 3, params, err) : outcome;
}

/* The shape that the replica has of it, and its table, "" if that is gone; NULL: it does not know it. */
struct had {
	struct table *shape; /* owned */
	char *local;	     /* owned */
};

static void had_clear(struct had *had)
{
	table_free(had->shape);
	free(had->local);
	*had = (struct had){ NULL, NULL };
}

static enum db_outcome read_had(struct pg_conn *c, const char *id, struct had *ret, struct err *err)
{
	static const char sql[] =
		"SELECT t.shape, h.description, coalesce(quote_ident(n.nspname) || '.' || quote_ident(c.relname), '')"
		" FROM pgfanout.tables t JOIN pgfanout.shapes h ON h.id = t.shape"
		" LEFT JOIN pg_class c ON c.oid = t.relation LEFT JOIN pg_namespace n ON n.oid = c.relnamespace"
		" WHERE t.id = $1::integer";
	struct pg_result *r = NULL;
	const struct db_param params[] = { DB_TEXT(id) };
	enum db_outcome outcome = db_query(c, sql, 1, params, false, limit(), &r, err);

	*ret = (struct had){ NULL, NULL };
	if (outcome != DB_OK)
		return outcome;
	if (db_rows(r) == 1) {
		ret->shape = table_read((int)strtol(db_value(r, 0, 0), NULL, 10), db_value(r, 0, 1),
					err);
		ret->local = xstrdup(db_value(r, 0, 2));
		if (ret->shape == NULL)
			outcome = DB_SCHEMA;
	}
	db_result_clear(r);
	return outcome;
}

static enum db_outcome bring_needed(struct pg_conn *c, const char *id, const char *description,
				    struct err *err)
{
	static const char sql[] =
		"SELECT pgfanout.bring_needed((SELECT h.description FROM pgfanout.tables t"
		" JOIN pgfanout.shapes h ON h.id = t.shape WHERE t.id = $1::integer), $2::jsonb)";
	const struct db_param params[] = { DB_TEXT(id), DB_TEXT(description) };

	return run(c, sql, 2, params, err);
}

static enum db_outcome make_indexes(struct pg_conn *c, const char *local, const char *description,
				    struct err *err)
{
	const struct db_param params[] = { DB_TEXT(local), DB_TEXT(description) };

	return run(c, "SELECT pgfanout.make_indexes($1::regclass, $2::jsonb)", 2, params, err);
}

static enum db_outcome make(struct pg_conn *c, const struct stream *stream, const struct table *t,
			    const char *id, const char *description, struct err *err)
{
	/* Under another number it was registered before; under this one it was dropped here. */
	static const char other[] =
		"DELETE FROM pgfanout.tables WHERE relation = to_regclass($1::text) OR id = $2::integer"
		" RETURNING id";
	static const char there[] = "SELECT to_regclass($1::text) IS NOT NULL";
	static const char known[] =
		"INSERT INTO pgfanout.tables (id, stream, relation, shape, due)"
		" VALUES ($1::integer, $2::smallint, $3::regclass, $4::integer, true)";
	AUTO_STRBUF script = STRBUF_INIT, local = STRBUF_INIT;
	struct pg_result *r = NULL;
	char shape[16];

	snprintf(shape, sizeof(shape), "%d", t->shape);
	table_sql_name(&local, t);
	const struct db_param name[] = { DB_TEXT(strbuf_str(&local)), DB_TEXT(id) };
	enum db_outcome outcome = db_query(c, other, 2, name, false, limit(), &r, err);
	if (outcome != DB_OK)
		return outcome;
	for (int i = 0; i < db_rows(r); i++)
		strbuf_addf(&script,
			    "DROP TABLE pgfanout.tombstones_%1$s;\n"
			    "DELETE FROM pgfanout.dead_letters WHERE \"table\" = %1$s;\n",
			    db_value(r, i, 0));
	db_result_clear(r);
	outcome = db_query(c, there, 1, name, false, limit(), &r, err);
	if (outcome != DB_OK)
		return outcome;
	bool is_there = *db_value(r, 0, 0) == 't';
	db_result_clear(r);
	table_sql_create(&script, t, strbuf_str(&local));
	const struct db_param params[] = { DB_TEXT(id), DB_TEXT(stream->text),
					   DB_TEXT(strbuf_str(&local)), DB_TEXT(shape) };
	outcome = db_script(c, strbuf_str(&script), limit(), err);
	if (outcome == DB_OK && !is_there)
		outcome = make_indexes(c, strbuf_str(&local), description, err);
	return outcome == DB_OK ? run(c, known, 4, params, err) : outcome;
}

static enum db_outcome run_script(struct pg_conn *c, const struct strbuf *script, struct err *err)
{
	return script->len > 0 ? db_script(c, strbuf_str(script), limit(), err) : DB_OK;
}

static enum db_outcome note_changed(struct pg_conn *c, const struct table *t, const char *id,
				    bool load, struct err *err)
{
	static const char sql[] = "UPDATE pgfanout.tables SET shape = $2::integer,"
				  " due = due OR $3::boolean WHERE id = $1::integer";
	char shape[16];

	snprintf(shape, sizeof(shape), "%d", t->shape);
	const struct db_param params[] = { DB_TEXT(id), DB_TEXT(shape),
					   DB_TEXT(load ? "true" : "false") };
	return run(c, sql, 3, params, err);
}

/* That it can be done is tried now, while somebody can be told: what hangs on a column that goes, or on the
 * key, keeps it. */
static enum db_outcome put_off(struct pg_conn *c, const struct had *had, const struct table *t,
			       const char *id, struct strbuf *columns, struct err *err)
{
	static const char sql[] =
		"WITH put_off AS (UPDATE pgfanout.shapes SET pending = true WHERE id = $2::integer)"
		" UPDATE pgfanout.tables SET due = true WHERE id = $1::integer";
	bool is_known = false;
	char shape[16];

	snprintf(shape, sizeof(shape), "%d", t->shape);
	const struct db_param params[] = { DB_TEXT(id), DB_TEXT(shape) };
	table_sql_key(columns, "drop_key", t, had->local);
	enum db_outcome outcome = table_is_put_off(c, t, &is_known, err);
	if (outcome == DB_OK)
		outcome = run(c, "SAVEPOINT try", 0, NULL, err);
	if (outcome == DB_OK)
		outcome = run_script(c, columns, err);
	/* It was tried before: readers do not keep the load from beginning. */
	if (is_known && is_locked(outcome, err))
		outcome = DB_OK;
	if (outcome == DB_OK)
		outcome = run(c, "ROLLBACK TO SAVEPOINT try", 0, NULL, err);
	return outcome == DB_OK ? run(c, sql, 2, params, err) : outcome;
}

/* What rows of this shape have, and those here lack, would be seen half done: the change is put off until the
 * load (table_remake()), and so is that of a key. */
static enum db_outcome change(struct pg_conn *c, const struct had *had, const struct table *t,
			      const char *id, bool *ret_put_off, struct err *err)
{
	AUTO_STRBUF script = STRBUF_INIT;

	*ret_put_off = table_sql_columns(&script, had->shape, t, had->local) ||
		       !table_same_key(had->shape, t);
	if (*ret_put_off)
		return put_off(c, had, t, id, &script, err);
	table_sql_rest(&script, had->shape, t, had->local);
	enum db_outcome outcome = run_script(c, &script, err);
	return outcome == DB_OK ? note_changed(c, t, id, had->shape->loads != t->loads, err)
				: outcome;
}

/* Whether it is due after all this. Changes of shapes that waited, or were put off, were left out until now. */
static enum db_outcome settle(struct pg_conn *c, const struct table *t, const char *id,
			      enum table_brought *ret, struct err *err)
{
	static const char sql[] =
		"WITH late AS (UPDATE pgfanout.shapes SET waiting = NULL, pending = false"
		" WHERE (waiting IS NOT NULL OR pending) AND description -> 'table' = to_jsonb($1::integer) AND id <= $2::integer RETURNING id),"
		" due AS (UPDATE pgfanout.tables SET due = true WHERE id = $1::integer"
		" AND EXISTS (SELECT FROM late))"
		" SELECT (t.due OR EXISTS (SELECT FROM late))::int FROM pgfanout.tables t WHERE t.id = $1::integer";
	struct pg_result *r = NULL;
	char shape[16];

	snprintf(shape, sizeof(shape), "%d", t->shape);
	const struct db_param params[] = { DB_TEXT(id), DB_TEXT(shape) };
	enum db_outcome outcome = db_query(c, sql, 2, params, false, limit(), &r, err);
	if (outcome != DB_OK)
		return outcome;
	*ret = db_rows(r) == 1 && *db_value(r, 0, 0) == '1' ? TABLE_DUE : TABLE_THERE;
	db_result_clear(r);
	return DB_OK;
}

static enum db_outcome bring(struct pg_conn *c, const char *replica, const struct stream *stream,
			     const struct table *t, const char *description,
			     enum table_brought *ret, struct err *err)
{
	struct had had = { NULL, NULL };
	bool is_put_off = false;
	char id[16];

	snprintf(id, sizeof(id), "%d", t->id);
	enum db_outcome outcome = note_shape(c, stream, t->shape, description, NULL, err);
	if (outcome == DB_OK)
		outcome = read_had(c, id, &had, err);
	const bool make_it = had.shape == NULL || (had.local[0] == '\0' && !t->flat);
	/* Otherwise there is nothing to make. */
	if (outcome == DB_OK && table_is_for(t, replica) &&
	    (make_it || had.shape->shape < t->shape)) {
		outcome = bring_needed(c, id, description, err);
		if (outcome == DB_OK && make_it)
			outcome = make(c, stream, t, id, description, err);
		else if (outcome == DB_OK)
			outcome = change(c, &had, t, id, &is_put_off, err);
	}
	had_clear(&had);
	*ret = TABLE_DUE;
	if (is_put_off)
		return outcome;
	if (outcome == DB_OK)
		outcome = generate(c, id, NULL, err);
	return outcome == DB_OK ? settle(c, t, id, ret, err) : outcome;
}

enum db_outcome table_bring(struct pg_conn *c, const char *replica, const struct stream *stream,
			    int shape, const char *description, enum table_brought *ret,
			    struct err *err)
{
	struct table *t = table_read(shape, description, err);
	struct err ignored;

	if (t == NULL)
		return DB_SCHEMA;
	enum db_outcome outcome = run(c, "SAVEPOINT bring", 0, NULL, err);
	for (int i = 1; outcome == DB_OK; i++) {
		outcome = run(c, "SET LOCAL lock_timeout = '" LOCK_WAIT "'", 0, NULL, err);
		if (outcome == DB_OK)
			outcome = bring(c, replica, stream, t, description, ret, err);
		if (!is_locked(outcome, err) || i == LOCK_TRIES || stop_requested())
			break;
		outcome = run(c, "ROLLBACK TO SAVEPOINT bring", 0, NULL, err);
		(void)stop_sleep_ms(PAUSE_MS);
	}
	if (outcome != DB_OK)
		err_prefix(err, "table %s", t->full);
	table_free(t);
	/* What is in the way is of this table; the others must not wait for it. */
	if ((outcome == DB_SCHEMA || outcome == DB_REFUSED) &&
	    run(c, "ROLLBACK TO SAVEPOINT bring", 0, NULL, &ignored) == DB_OK &&
	    note_shape(c, stream, shape, description, err->text, &ignored) == DB_OK) {
		*ret = TABLE_WAITS;
		return DB_OK;
	}
	return outcome;
}

/* The scripts of a change that was put off. anew: the table that is loaded; is_replaced: it takes the old one's
 * place, else that one is altered, to get the new one's rows. */
static void write_remake(const struct had *had, const struct table *t, const char *anew,
			 bool is_replaced, const char *moved, struct strbuf *now,
			 struct strbuf *before, struct strbuf *after)
{
	/* What is made now speaks of the table as it will be. */
	strbuf_addstr(now, "SET LOCAL check_function_bodies = off;\n");
	(void)!table_sql_columns(now, had->shape, t, anew);
	if (is_replaced) {
		table_sql_key(now, "drop_key", t, anew);
		table_sql_key(now, "make_key", t, anew);
	} else {
		(void)!table_sql_columns(before, had->shape, t, had->local);
		table_sql_key(before, "drop_key", t, had->local);
	}
	table_sql_rest(after, had->shape, t, had->local);
	table_sql_key(after, "make_key", t, moved);
	if (!is_replaced) /* those that went with a column */
		strbuf_addf(after,
			    "SELECT pgfanout.make_indexes(t.relation, s.description)"
			    " FROM pgfanout.tables t JOIN pgfanout.shapes s ON s.id = t.shape"
			    " WHERE t.id = %d;\n",
			    t->id);
}

enum db_outcome table_remake(struct pg_conn *c, const struct table *t, const char *anew,
			     bool is_replaced, struct strbuf *before, struct strbuf *after,
			     struct err *err)
{
	AUTO_STRBUF now = STRBUF_INIT, moved = STRBUF_INIT;
	enum table_brought ignored;
	struct had had;
	char id[16];

	snprintf(id, sizeof(id), "%d", t->id);
	enum db_outcome outcome = read_had(c, id, &had, err);
	if (outcome == DB_OK && had.shape != NULL) {
		table_sql_moved(&moved, had.shape, t, had.local);
		write_remake(&had, t, anew, is_replaced, strbuf_str(&moved), &now, before, after);
	}
	if (outcome == DB_OK)
		outcome = run_script(c, &now, err);
	if (outcome == DB_OK)
		outcome = note_changed(c, t, id, true, err);
	if (outcome == DB_OK)
		outcome = generate(c, id, strbuf_str(&moved), err);
	if (outcome == DB_OK)
		outcome = settle(c, t, id, &ignored, err);
	if (outcome != DB_OK)
		err_prefix(err, "table %s", t->full);
	had_clear(&had);
	return outcome;
}

enum db_outcome table_is_put_off(struct pg_conn *c, const struct table *t, bool *ret,
				 struct err *err)
{
	static const char sql[] = "SELECT FROM pgfanout.shapes WHERE id = $1::integer AND pending";
	struct pg_result *r = NULL;
	char shape[16];

	snprintf(shape, sizeof(shape), "%d", t->shape);
	const struct db_param params[] = { DB_TEXT(shape) };
	enum db_outcome outcome = db_query(c, sql, 1, params, false, limit(), &r, err);
	if (outcome != DB_OK)
		return outcome;
	*ret = db_rows(r) > 0;
	db_result_clear(r);
	return DB_OK;
}

enum db_outcome table_leave(struct pg_conn *c, const struct stream *stream, int shape,
			    const char *description, const char *queue, enum table_brought *ret,
			    struct err *err)
{
	static const char sql[] =
		"SELECT l.gone::int, l.reason FROM pgfanout.leave(($1::jsonb -> 'table')::integer, $2::text,"
		" $1::jsonb ->> 'dropped' = 'purge') AS l";
	const struct db_param params[] = { DB_TEXT(description), DB_TEXT(queue) };
	struct pg_result *r = NULL;
	enum db_outcome outcome = db_query(c, sql, 2, params, false, limit(), &r, err);

	if (outcome != DB_OK)
		return outcome;
	*ret = *db_value(r, 0, 0) == '1' ? TABLE_LEFT : TABLE_LEAVES;
	if (*ret == TABLE_LEFT)
		outcome = note_shape(c, stream, shape, description, NULL, err);
	if (outcome == DB_OK)
		err_set(err, "%s", db_value(r, 0, 1));
	db_result_clear(r);
	return outcome;
}
