/*
 * table_replica.c: see table_replica.h. Any thread with a connection of its own.
 */
#include "common/wire/table_replica.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/strbuf.h"
#include "common/wire/table_sql.h"

#define STATEMENT_MS 60000

static struct mono limit(void)
{
	return mono_add_ms(mono_now(), STATEMENT_MS);
}

static enum db_outcome run(struct pg_conn *c, const char *sql, int nparams,
			   const struct db_param *params, struct err *err)
{
	return db_query(c, sql, nparams, params, false, limit(), NULL, err);
}

static enum db_outcome generate(struct pg_conn *c, const struct table *t, const char *local,
				int stream, struct err *err)
{
	static const char news[] =
		"UPDATE pgfanout.tables SET generated = md5($2::text)"
		" WHERE id = $1::integer AND generated IS DISTINCT FROM md5($2::text) RETURNING id";
	AUTO_STRBUF script = STRBUF_INIT;
	struct pg_result *r = NULL;
	char id[16];

	snprintf(id, sizeof(id), "%d", t->id);
	table_sql_apply(&script, t, local, stream);
	table_sql_arrive(&script, stream);
	const struct db_param params[] = { DB_TEXT(id), DB_TEXT(strbuf_str(&script)) };
	enum db_outcome outcome = db_query(c, news, 2, params, false, limit(), &r, err);
	if (outcome != DB_OK)
		return outcome;
	bool is_news = db_rows(r) > 0;
	db_result_clear(r);
	return is_news ? db_script(c, strbuf_str(&script), limit(), err) : DB_OK;
}

enum db_outcome table_generate_all(struct pg_conn *c, struct err *err)
{
	static const char sql[] =
		"SELECT t.shape, s.description, t.stream, format('%I.%I', n.nspname, c.relname)"
		" FROM pgfanout.tables t JOIN pgfanout.shapes s ON s.id = t.shape"
		" JOIN pg_class c ON c.oid = t.relation JOIN pg_namespace n ON n.oid = c.relnamespace"
		" ORDER BY t.id";
	struct pg_result *r = NULL;
	enum db_outcome outcome = db_query(c, sql, 0, NULL, false, limit(), &r, err);

	if (outcome != DB_OK)
		return outcome;
	for (int i = 0; i < db_rows(r) && outcome == DB_OK; i++) {
		struct table *t = table_read((int)strtol(db_value(r, i, 0), NULL, 10),
					     db_value(r, i, 1), err);

		outcome = t == NULL ? DB_SCHEMA
				    : generate(c, t, db_value(r, i, 3),
					       (int)strtol(db_value(r, i, 2), NULL, 10), err);
		table_free(t);
	}
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

static enum db_outcome note_shape(struct pg_conn *c, const struct stream *stream, int shape,
				  const char *description, struct err *err)
{
	static const char shapes[] = "INSERT INTO pgfanout.shapes (id, description)"
				     " VALUES ($1::integer, $2::jsonb) ON CONFLICT DO NOTHING";
	char number[16];

	snprintf(number, sizeof(number), "%d", shape);
	const struct db_param params[] = { DB_TEXT(number), DB_TEXT(description) };
	enum db_outcome outcome = note_stream(c, stream, err);

	return outcome == DB_OK ? run(c, shapes, 2, params, err) : outcome;
}

/* The shape that the replica has of it; 0: it does not know it. */
static enum db_outcome known_shape(struct pg_conn *c, const struct table *t, int *ret,
				   struct err *err)
{
	char id[16];
	struct pg_result *r = NULL;

	snprintf(id, sizeof(id), "%d", t->id);
	const struct db_param params[] = { DB_TEXT(id) };
	enum db_outcome outcome =
		db_query(c, "SELECT shape FROM pgfanout.tables WHERE id = $1::integer", 1, params,
			 false, limit(), &r, err);

	if (outcome != DB_OK)
		return outcome;
	*ret = db_rows(r) == 1 ? (int)strtol(db_value(r, 0, 0), NULL, 10) : 0;
	db_result_clear(r);
	return DB_OK;
}

static enum db_outcome make(struct pg_conn *c, const struct stream *stream, const struct table *t,
			    struct err *err)
{
	static const char known[] =
		"INSERT INTO pgfanout.tables (id, stream, relation, shape)"
		" VALUES ($1::integer, $2::smallint, $3::regclass, $4::integer)";
	AUTO_STRBUF script = STRBUF_INIT, local = STRBUF_INIT;
	char id[16], shape[16];

	snprintf(id, sizeof(id), "%d", t->id);
	snprintf(shape, sizeof(shape), "%d", t->shape);
	table_sql_name(&local, t);
	table_sql_create(&script, t, strbuf_str(&local));
	const struct db_param params[] = { DB_TEXT(id), DB_TEXT(stream->text),
					   DB_TEXT(strbuf_str(&local)), DB_TEXT(shape) };
	enum db_outcome outcome = db_script(c, strbuf_str(&script), limit(), err);

	if (outcome == DB_OK)
		outcome = run(c, known, 4, params, err);
	if (outcome == DB_OK)
		outcome = generate(c, t, strbuf_str(&local), stream->number, err);
	return outcome;
}

enum db_outcome table_bring(struct pg_conn *c, const struct stream *stream, int shape,
			    const char *description, bool *ret_made, struct err *err)
{
	struct table *t = table_read(shape, description, err);
	int known = 0;
	enum db_outcome outcome;

	*ret_made = false;
	if (t == NULL)
		return DB_SCHEMA;
	outcome = note_shape(c, stream, shape, description, err);
	if (outcome == DB_OK)
		outcome = known_shape(c, t, &known, err);
	if (outcome == DB_OK && known == 0) {
		*ret_made = true;
		outcome = make(c, stream, t, err);
	}
	if (outcome != DB_OK)
		err_prefix(err, "table %s", t->full);
	table_free(t);
	return outcome;
}
