/*
 * tables.c: see tables.h.
 */
#include "consumer/apply/tables.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/wire/table_sql.h"

#include "consumer/apply/sql/replica_left_out.sql.h"
#include "consumer/apply/sql/replica_tables.sql.h"

#define READ_MS 5000

void tables_clear(struct tables *ts)
{
	for (size_t i = 0; i < ts->n; i++)
		ts->list[i] = table_free(ts->list[i]);
	free(ts->list);
	free(ts->statements);
	free(ts->left_out);
	*ts = (struct tables){ 0 };
}

/* A row of replica_tables.sql. */
static struct table *take_shape(const struct pg_result *r, int i, struct err *err)
{
	struct table *t = table_read((int)strtol(db_value(r, i, 0), NULL, 10), db_value(r, i, 1),
				     err);

	if (t == NULL || db_is_null(r, i, 2))
		return t;
	struct table *has = table_read((int)strtol(db_value(r, i, 2), NULL, 10), db_value(r, i, 3),
				       err);
	if (has == NULL)
		return table_free(t);
	if (table_same_key(t, has))
		table_follow(t, has);
	else
		t->elsewhere = true;
	table_free(has);
	return t;
}

enum db_outcome tables_read(struct tables *ts, struct pg_conn *c, const struct stream *stream,
			    struct err *err)
{
	const struct db_param params[] = { DB_TEXT(stream->name) };
	struct pg_result *r = NULL;

	tables_clear(ts);
	ts->stream = stream;
	/* First: if it changes in between, the first batch that leaves something out finds that. */
	enum db_outcome outcome = db_query(c, sql_replica_left_out, 1, params, false,
					   mono_add_ms(mono_now(), READ_MS), &r, err);
	if (outcome != DB_OK)
		return outcome;
	ts->left_out = xstrdup(db_value(r, 0, 0));
	db_result_clear(r);
	outcome = db_query(c, sql_replica_tables, 1, params, false,
			   mono_add_ms(mono_now(), READ_MS), &r, err);
	if (outcome != DB_OK)
		return outcome;
	ts->list = xcalloc((size_t)db_rows(r) + 1, sizeof(struct table *));
	ts->statements = xcalloc((size_t)db_rows(r) + 1, sizeof(*ts->statements));
	for (int i = 0; i < db_rows(r) && outcome == DB_OK; i++) {
		struct table *t = take_shape(r, i, err);
		if (t == NULL) {
			outcome = DB_SCHEMA;
			break;
		}
		t->elsewhere = t->elsewhere || *db_value(r, i, 4) != '1';
		snprintf(t->leaving, sizeof(t->leaving), "%s", db_value(r, i, 6));
		ts->waiting += *db_value(r, i, 5) == '1';
		ts->list[ts->n++] = t;
	}
	db_result_clear(r);
	return outcome;
}

void tables_prepare(struct tables *ts, struct db *db)
{
	AUTO_STRBUF name = STRBUF_INIT, sql = STRBUF_INIT;

	strbuf_addf(&sql, "SELECT pgfanout.arrive_%d($1::text, $2::bigint[], $3::jsonb)",
		    ts->stream->number);
	ts->arrive = db_add_statement(db, "arrive", strbuf_str(&sql), TABLE_ARRIVE_PARAMS);

	for (size_t i = 0; i < ts->n; i++) {
		if (ts->list[i]->elsewhere)
			continue;
		strbuf_reset(&name);
		strbuf_reset(&sql);
		strbuf_addf(&name, "apply_%d", ts->list[i]->shape);
		table_sql_call(&sql, ts->list[i]);
		ts->statements[i].apply = db_add_statement(db, strbuf_str(&name), strbuf_str(&sql),
							   TABLE_APPLY_PARAMS);
		strbuf_reset(&name);
		strbuf_reset(&sql);
		strbuf_addf(&name, "truncate_%d", ts->list[i]->id);
		strbuf_addf(&sql,
			    "SELECT pgfanout.truncate_%d($1::text, $2::bigint, $3::xid8, "
			    "$4::bigint[], $5::jsonb, $6::bigint)",
			    ts->list[i]->id);
		ts->statements[i].truncate = db_add_statement(
			db, strbuf_str(&name), strbuf_str(&sql), TABLE_TRUNCATE_PARAMS);
		strbuf_reset(&name);
		strbuf_reset(&sql);
		strbuf_addf(&name, "each_%d", ts->list[i]->shape);
		table_sql_each(&sql, ts->list[i], ts->stream->number);
		ts->statements[i].each = db_add_statement(db, strbuf_str(&name), strbuf_str(&sql),
							  TABLE_EACH_PARAMS);
	}
}

/* Where a shape stands, or ts->n. For each message: there may be many tables. */
static size_t place_of(const struct tables *ts, int64_t shape)
{
	size_t low = 0, high = ts->n;

	while (low < high) {
		size_t mid = (low + high) / 2;
		if (ts->list[mid]->shape < shape)
			low = mid + 1;
		else
			high = mid;
	}
	return low < ts->n && ts->list[low]->shape == shape ? low : ts->n;
}

const struct table *tables_shape(const struct tables *ts, int64_t shape)
{
	size_t i = place_of(ts, shape);

	return i < ts->n ? ts->list[i] : NULL;
}

bool tables_left(const struct tables *ts, const struct table *dropped, const char *queue)
{
	if (tables_shape(ts, dropped->shape) != NULL)
		return true;
	for (size_t i = 0; i < ts->n; i++)
		if (ts->list[i]->id == dropped->id && strcmp(ts->list[i]->leaving, queue) == 0)
			return true;
	return false;
}

bool tables_lacks(const struct tables *ts, int64_t shape)
{
	return shape > 0 && shape <= INT32_MAX && shape != ts->unknown && tables_flat(ts) == NULL &&
	       tables_shape(ts, shape) == NULL;
}

const struct table *tables_find(const struct tables *ts, const struct jscan_value *name,
				const struct table *probably)
{
	const struct table *found = NULL;

	if (probably != NULL && jscan_string_is(name, probably->full))
		return probably;
	for (size_t i = ts->n; i-- > 0 && (found == NULL || found->elsewhere);)
		if ((found == NULL || !ts->list[i]->elsewhere) &&
		    jscan_string_is(name, ts->list[i]->full))
			found = ts->list[i];
	return found;
}

const struct table *tables_flat(const struct tables *ts)
{
	return ts->n > 0 && ts->list[0]->flat ? ts->list[0] : NULL;
}

const struct tables_statements *tables_statements(const struct tables *ts, const struct table *t)
{
	size_t i = place_of(ts, t->shape);

	if (i == ts->n)
		fatal("tables: %s is none of them", t->full);
	return &ts->statements[i];
}
