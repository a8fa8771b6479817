/*
 * query_sql.c: the statements of a query: see query_sql.h. Rows are query_sql_row.c's, embeds
 * query_sql_embed.c's.
 *
 * Promise: the text depends on the model, and on which columns, operators and embeds are asked for, on how many
 * values there are and which of a cursor are NULL, and on nothing else of a request: query_sql_form() is all of
 * that. Pure; any thread.
 *
 *   1. What is readable is asked where nothing of a row is needed, so the planner makes it a condition that
 *      is looked at once, before the first row (One-Time Filter), and also if there is none.
 *   2. With embeds, the page is cut in a subquery, so that only its rows are joined.
 *   3. Behind a cursor: a row comparison, if all of the order goes one way and nothing of it may be NULL.
 *      Else, column by column: a >= $1 AND (a > $1 OR what is behind in the rest), whose first part an index
 *      serves. NULLs come last in an ascending order, and first in a descending one, as PostgreSQL
 *      has it.
 *   4. Where NULLs are still to come behind values, or values behind NULLs, no index serves the
 *      alternative: these are two pages, and the first rows of both together are the page.
 *   5. An estimated count: without filters what the planner thinks of the table, if that is more than 10000, else
 *      its rows counted up to 10001. With filters, their rows counted up to 10001; if there are that many,
 *      what the planner thinks of the whole table, but no less.
 *   6. Values are cast to the column's type without its length: a longer or finer value is not cut until it fits.
 */
#include <string.h>

#include "api/pool/position.h"
#include "api/resources/query_private.h"
#include "api/resources/query_sql.h"

#define ROW		"p"
#define COUNTED_MAX	"10000"
#define COUNTED_AT_MOST "10001"

/* ---- conditions ---- */

/* $3::integer */
static void add_parameter(struct strbuf *out, const struct query *q, size_t value)
{
	strbuf_addf(out, "$%zu::", value + 1);
	query_sql_type(out, &q->resource->columns[q->values[value].column]);
}

static void add_like(struct strbuf *out, const struct query *q, const struct query_filter *f,
		     const char *column)
{
	static const char *const ends[] = { " ~>=~ ", " ~<~ ", " >= ", " < " };

	strbuf_addf(out, "%s LIKE $%zu::text", column, f->first_value + 1);
	if (f->nvalues < 3)
		return;
	/* True of all that it finds, for the two kinds of index. */
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		strbuf_addf(out, " AND %s%s", column, ends[i]);
		add_parameter(out, q, f->first_value + 1 + i % 2);
		strbuf_addstr(out, i < 2 ? "" : " COLLATE \"C\"");
	}
}

static void add_is_null(struct strbuf *out, const struct query *q, const struct query_filter *f,
			const char *column)
{
	bool composite = q->resource->columns[f->column].kind == MODEL_OTHER,
	     null = f->op == QUERY_NULL;

	/* IS NULL is also true of a composite value that is made of NULLs. */
	strbuf_addf(out, "%s IS %s%sNULL", column, composite == null ? "NOT " : "",
		    composite ? "DISTINCT FROM " : "");
}

static void add_filter(struct strbuf *out, const struct query *q, const struct query_filter *f)
{
	static const char *const operators[] = {
		[QUERY_EQ] = " = ",   [QUERY_NEQ] = " <> ", [QUERY_LT] = " < ",
		[QUERY_LTE] = " <= ", [QUERY_GT] = " > ",   [QUERY_GTE] = " >= ",
	};
	AUTO_STRBUF column = STRBUF_INIT;

	query_sql_column(&column, ROW, q->resource, f->column);
	switch (f->op) {
	case QUERY_IN:
		strbuf_addf(out, "%s IN (", column.data);
		for (size_t i = 0; i < f->nvalues; i++) {
			strbuf_addstr(out, i > 0 ? ", " : "");
			add_parameter(out, q, f->first_value + i);
		}
		strbuf_addch(out, ')');
		break;
	case QUERY_LIKE:
		add_like(out, q, f, column.data);
		break;
	case QUERY_NULL:
	case QUERY_NOT_NULL:
		add_is_null(out, q, f, column.data);
		break;
	case QUERY_TRUE:
	case QUERY_FALSE:
		strbuf_addf(out, "%s%s", f->op == QUERY_TRUE ? "" : "NOT ", column.data);
		break;
	default:
		strbuf_addf(out, "%s%s", column.data, operators[f->op]);
		add_parameter(out, q, f->first_value);
	}
}

/* ---- behind a cursor ---- */

static bool may_be_null(const struct query *q, size_t order)
{
	const struct model_column *c = &q->resource->columns[q->orders[order].column];

	return !c->not_null && c->key < 0;
}

static bool is_null(const struct query *q, size_t order)
{
	return order < 32 && (q->cursor_nulls >> order & 1) != 0;
}

/* 3. */
static bool one_way(const struct query *q)
{
	for (size_t i = 0; i < q->norders; i++)
		if (may_be_null(q, i) || q->orders[i].desc != q->orders[0].desc)
			return false;
	return true;
}

/* Its place in q->values, where NULLs have none. */
static size_t cursor_value(const struct query *q, size_t order)
{
	size_t at = q->cursor;

	for (size_t i = 0; i < order; i++)
		at += !is_null(q, i);
	return at;
}

static void add_row_comparison(struct strbuf *out, const struct query *q)
{
	strbuf_addch(out, '(');
	for (size_t i = 0; i < q->norders; i++) {
		strbuf_addstr(out, i > 0 ? ", " : "");
		query_sql_column(out, ROW, q->resource, q->orders[i].column);
	}
	strbuf_addstr(out, q->orders[0].desc ? ") < (" : ") > (");
	for (size_t i = 0; i < q->norders; i++) {
		strbuf_addstr(out, i > 0 ? ", " : "");
		add_parameter(out, q, cursor_value(q, i));
	}
	strbuf_addch(out, ')');
}

static void add_behind(struct strbuf *out, const struct query *q, size_t i);

/* Behind the cursor, its column i being NULL, and the row's too. */
static void add_null_and_rest(struct strbuf *out, const struct query *q, size_t i,
			      const char *column)
{
	strbuf_addf(out, "%s IS NULL AND ", column);
	if (i + 1 == q->norders)
		strbuf_addstr(out, "false");
	else
		add_behind(out, q, i + 1);
}

/* Neither is NULL. */
static void add_value_and_rest(struct strbuf *out, const struct query *q, size_t i,
			       const char *column)
{
	char operator= q->orders[i].desc ? '<' : '>';
	bool last = i + 1 == q->norders;

	strbuf_addf(out, "%s %c%s ", column, operator, last ? "" : "=");
	add_parameter(out, q, cursor_value(q, i));
	if (last)
		return;
	strbuf_addf(out, " AND (%s %c ", column, operator);
	add_parameter(out, q, cursor_value(q, i));
	strbuf_addstr(out, " OR ");
	add_behind(out, q, i + 1);
	strbuf_addch(out, ')');
}

/* 4: what comes behind all rows that add_near() is of. */
static bool has_far(const struct query *q, size_t i)
{
	return may_be_null(q, i) && q->orders[i].desc == is_null(q, i);
}

static void add_far(struct strbuf *out, const struct query *q, size_t i, const char *column)
{
	strbuf_addf(out, "%s IS %sNULL", column, is_null(q, i) ? "NOT " : "");
}

static void add_near(struct strbuf *out, const struct query *q, size_t i, const char *column)
{
	if (is_null(q, i))
		add_null_and_rest(out, q, i, column);
	else
		add_value_and_rest(out, q, i, column);
}

/* Behind the cursor in the columns from i on. */
static void add_behind(struct strbuf *out, const struct query *q, size_t i)
{
	AUTO_STRBUF column = STRBUF_INIT;

	query_sql_column(&column, ROW, q->resource, q->orders[i].column);
	strbuf_addch(out, '(');
	add_near(out, q, i, column.data);
	if (has_far(q, i)) {
		strbuf_addstr(out, " OR ");
		add_far(out, q, i, column.data);
	}
	strbuf_addch(out, ')');
}

/* ---- pages ---- */

/* Which rows behind a cursor: 4. */
enum part { WHOLE, NEAR, FAR };

static void add_cursor(struct strbuf *out, const struct query *q, enum part part)
{
	AUTO_STRBUF column = STRBUF_INIT;

	query_sql_column(&column, ROW, q->resource, q->orders[0].column);
	if (part == NEAR)
		add_near(out, q, 0, column.data);
	else if (part == FAR)
		add_far(out, q, 0, column.data);
	else if (one_way(q))
		add_row_comparison(out, q);
	else
		add_behind(out, q, 0);
}

/* "WHERE a AND b": readable first, if it is wanted. */
static void add_where(struct strbuf *out, const struct query *q, bool readable, bool cursor,
		      enum part part)
{
	const char *between = "\nWHERE ";

	if (readable) {
		strbuf_addstr(out, between);
		query_sql_readable(out, q);
		between = " AND ";
	}
	for (size_t i = 0; i < q->nfilters; i++) {
		strbuf_addstr(out, between);
		add_filter(out, q, &q->filters[i]);
		between = " AND ";
	}
	if (cursor && q->ncursor > 0) {
		strbuf_addstr(out, between);
		add_cursor(out, q, part);
	}
}

static void add_order(struct strbuf *out, const struct query *q)
{
	for (size_t i = 0; i < q->norders; i++) {
		strbuf_addstr(out, i > 0 ? ", " : "\nORDER BY ");
		query_sql_column(out, ROW, q->resource, q->orders[i].column);
		strbuf_addstr(out, q->orders[i].desc ? " DESC" : "");
	}
}

static void add_limit(struct strbuf *out, const struct query *q)
{
	strbuf_addf(out, "\nLIMIT $%zu::bigint", q->nvalues + 1);
}

static void add_subquery(struct strbuf *out, const struct query *q, bool primary, enum part part)
{
	strbuf_addstr(out, "(SELECT " ROW ".* FROM ");
	query_sql_table(out, q->resource, primary, ROW);
	add_where(out, q, false, true, part);
	add_order(out, q);
	add_limit(out, q);
	strbuf_addch(out, ')');
}

static void add_rows(struct strbuf *out, const struct query *q, bool primary, bool readable)
{
	bool two = q->ncursor > 0 && has_far(q, 0), subquery = two || q->nembeds > 0;

	strbuf_addstr(out, "SELECT ");
	query_sql_row(out, q, ROW);
	strbuf_addstr(out, ",\n\t");
	for (size_t i = 0; i < q->norders; i++) {
		size_t column = q->orders[i].column;

		strbuf_addstr(out, i > 0 ? ", " : "");
		query_sql_column(out, ROW, q->resource, column);
		strbuf_addstr(out, q->resource->columns[column].kind == MODEL_INTEGER ? "::bigint"
										      : "::text");
	}
	query_sql_lacks(out, q, ROW);
	strbuf_addstr(out, "\nFROM ");
	if (!subquery) {
		query_sql_table(out, q->resource, primary, ROW);
		add_where(out, q, readable, true, WHOLE);
		add_order(out, q);
		add_limit(out, q);
		return;
	}
	strbuf_addstr(out, two ? "(SELECT " ROW ".* FROM (" : "");
	add_subquery(out, q, primary, two ? NEAR : WHOLE);
	if (two) {
		strbuf_addstr(out, "\nUNION ALL ");
		add_subquery(out, q, primary, FAR);
		strbuf_addstr(out, ") AS " ROW);
		add_order(out, q);
		add_limit(out, q);
		strbuf_addch(out, ')');
	}
	strbuf_addstr(out, " AS " ROW);
	query_sql_joins(out, q, ROW, primary);
	if (readable) {
		strbuf_addstr(out, "\nWHERE ");
		query_sql_readable(out, q);
	}
	add_order(out, q);
}

/* ---- counts ---- */

static void add_exact(struct strbuf *out, const struct query *q, bool primary)
{
	strbuf_addstr(out, "SELECT count(*) FROM ");
	query_sql_table(out, q->resource, primary, ROW);
	add_where(out, q, false, false, WHOLE);
}

/* What the planner thinks of the table, or of its partitions. */
static void add_thought(struct strbuf *out, const struct query *q)
{
	AUTO_STRBUF name = STRBUF_INIT;

	query_sql_relation(&name, q->resource);
	strbuf_addstr(out, "(SELECT coalesce(sum(r.reltuples), 0)::bigint AS n\n\tFROM (SELECT ");
	query_sql_literal(out, name.data, name.len);
	strbuf_addstr(
		out,
		"::regclass AS t) AS t,\n"
		"\t\tunnest(t.t || ARRAY(SELECT l.relid FROM pg_partition_tree(t.t) AS l WHERE l.isleaf)) AS u\n"
		"\tJOIN pg_class AS r ON r.oid = u WHERE r.reltuples > 0 AND r.relkind <> 'p')");
}

static void add_counted(struct strbuf *out, const struct query *q, bool primary)
{
	strbuf_addstr(out, "(SELECT count(*) AS n FROM (SELECT FROM ");
	query_sql_table(out, q->resource, primary, ROW);
	add_where(out, q, false, false, WHOLE);
	strbuf_addstr(out, " LIMIT " COUNTED_AT_MOST ") AS c)");
}

/* 5. */
static void add_estimated(struct strbuf *out, const struct query *q, bool primary)
{
	if (q->nfilters == 0 && !(primary && q->resource->filter != NULL)) {
		strbuf_addstr(out, "SELECT CASE WHEN t.n > " COUNTED_MAX " THEN t.n ELSE ");
		add_counted(out, q, primary);
		strbuf_addstr(out, " END FROM ");
		add_thought(out, q);
		strbuf_addstr(out, " AS t");
		return;
	}
	strbuf_addstr(out, "SELECT CASE WHEN c.n > " COUNTED_MAX " THEN greatest(c.n, ");
	add_thought(out, q);
	strbuf_addstr(out, ") ELSE c.n END FROM ");
	add_counted(out, q, primary);
	strbuf_addstr(out, " AS c");
}

/* ---- statements ---- */

static void add_form(struct strbuf *out, size_t n)
{
	uint32_t bytes = (uint32_t)n;

	strbuf_add(out, (const char *)&bytes, sizeof(bytes));
}

/* Each list behind how many there are. */
void query_sql_form(struct strbuf *out, const struct query *q)
{
	add_form(out, (size_t)(q->resource - q->model->resources));
	add_form(out, q->count);
	add_form(out, q->selects ? q->nselect + 1 : 0);
	for (size_t i = 0; q->selects && i < q->nselect; i++)
		add_form(out, q->select[i]);
	add_form(out, q->nfilters);
	for (size_t i = 0; i < q->nfilters; i++) {
		add_form(out, q->filters[i].column);
		add_form(out, q->filters[i].op);
		add_form(out, q->filters[i].nvalues);
		add_form(out, q->filters[i].first_value);
	}
	add_form(out, q->norders);
	for (size_t i = 0; i < q->norders; i++)
		add_form(out, q->orders[i].column * 2 + q->orders[i].desc);
	add_form(out, q->ncursor);
	add_form(out, q->cursor);
	add_form(out, q->cursor_nulls);
	add_form(out, q->nembeds);
	for (size_t i = 0; i < q->nembeds; i++) {
		add_form(out, (size_t)(q->embeds[i].reference - q->model->references));
		add_form(out, (size_t)(q->embeds[i].of + 1) * 2 + q->embeds[i].up);
		add_form(out, (size_t)q->embeds[i].column + 1);
	}
}

/* Of the streams that the query's tables belong to. */
static void add_place(struct strbuf *out, const struct query *q, bool primary)
{
	int streams[QUERY_EMBEDS_MAX + 1] = { q->resource->stream_number };
	size_t n = 1;

	for (size_t i = 0; i < q->nembeds; i++) {
		int stream = query_embedded(q, i)->stream_number;
		size_t at = 0;

		while (at < n && streams[at] != stream)
			at++;
		streams[at] = stream;
		n += at == n;
	}
	place_sql(out, streams, n, primary);
}

static void add_first_page_row(struct strbuf *out, const struct query *q, bool primary)
{
	strbuf_addstr(out, "SELECT ");
	add_place(out, q, primary);
	for (size_t i = 0; i < q->norders; i++)
		strbuf_addstr(out, ", NULL");
	strbuf_addstr(out, query_has_parents(q, -1) ? ", false\nUNION ALL\n(" : "\nUNION ALL\n(");
}

static void add_page(struct strbuf *out, const struct query *q, bool primary)
{
	if (q->count == QUERY_NO_COUNT) {
		add_rows(out, q, primary, true);
		return;
	}
	/* The count's part comes first, and looks at what is readable for both. */
	strbuf_addstr(out, "SELECT (");
	if (q->count == QUERY_EXACT)
		add_exact(out, q, primary);
	else
		add_estimated(out, q, primary);
	strbuf_addstr(out, ")::text");
	for (size_t i = 0; i < q->norders; i++)
		strbuf_addstr(out, ", NULL");
	strbuf_addstr(out, query_has_parents(q, -1) ? ", false\nWHERE " : "\nWHERE ");
	query_sql_readable(out, q);
	strbuf_addstr(out, "\nUNION ALL\n(");
	add_rows(out, q, primary, false);
	strbuf_addch(out, ')');
}

void query_sql_page(struct strbuf *out, const struct query *q, bool primary, bool placed)
{
	if (placed)
		add_first_page_row(out, q, primary);
	add_page(out, q, primary);
	strbuf_addstr(out, placed ? ")" : "");
}

/* Only of a row that stands alone: it says nothing of what is embedded. */
static void add_version(struct strbuf *out, const struct model_resource *r, bool primary)
{
	if (primary || !r->version) {
		strbuf_addstr(out, ",\n\tNULL::bigint");
	} else {
		strbuf_addstr(out, ",\n\t" ROW ".");
		query_sql_name(out, r->version);
	}
}

void query_sql_keys(struct strbuf *out, const struct query *q, bool primary, bool placed)
{
	const struct model_resource *r = q->resource;
	bool versions = placed && q->nembeds == 0;

	if (placed) {
		strbuf_addstr(out, "SELECT 0::bigint, ");
		add_place(out, q, primary);
		strbuf_addstr(out, versions		      ? ", NULL::bigint"
				   : query_has_parents(q, -1) ? ", false"
							      : "");
		strbuf_addstr(out, "\nUNION ALL\n");
	}
	strbuf_addstr(out, "SELECT w.n, ");
	query_sql_row(out, q, ROW);
	if (versions)
		add_version(out, r, primary);
	query_sql_lacks(out, q, ROW);
	strbuf_addstr(out, "\nFROM unnest(");
	for (size_t k = 0; k < r->nkey; k++)
		strbuf_addf(out, "%s$%zu::text[]", k > 0 ? ", " : "", k + 1);
	strbuf_addstr(out, ") WITH ORDINALITY AS w (");
	for (size_t k = 0; k < r->nkey; k++)
		strbuf_addf(out, "k%zu, ", k + 1);
	strbuf_addstr(out, "n)\nJOIN ");
	query_sql_table(out, r, primary, ROW);
	for (size_t k = 0; k < r->nkey; k++) {
		strbuf_addstr(out, k > 0 ? " AND " : " ON ");
		query_sql_column(out, ROW, r, r->key[k]);
		strbuf_addf(out, " = w.k%zu::", k + 1);
		query_sql_type(out, &r->columns[r->key[k]]);
	}
	query_sql_joins(out, q, ROW, primary);
	strbuf_addstr(out, "\nWHERE ");
	query_sql_readable(out, q);
}
