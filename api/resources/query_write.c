/*
 * query_write.c: see query_write.h. Pure.
 *
 * A statement is made of these parts, as WITH queries:
 *   w        the rows to be written: number, k1 … of the key, c1 … of the others, all texts; and whether
 *            somebody else has locked the row that is there
 *   written  what the write returns of those that are not
 * Rows are written in the order of their numbers, and come back in it. To look whether a row is locked costs a
 * look at the index, and only those that are there are locked.
 *
 * Row security applies to all of it. A row that it hides is not there. One that may be seen and not be updated cannot
 * be locked, so it looks as if somebody else had: then the statement that waits finds out what may be done with it.
 */
#include "api/resources/query_write.h"

#include "api/batch/statements.h"
#include "api/resources/query_private.h"
#include "api/resources/query_sql.h"

void query_write_form(struct strbuf *out, const struct query_write *w)
{
	int is[] = { w->resource->table, (int)w->verb, w->brief };

	strbuf_add(out, (const char *)is, sizeof(is));
	for (size_t c = 0; c < w->ncolumns; c++)
		strbuf_add(out, (const char *)&w->columns[c], sizeof(w->columns[c]));
}

size_t query_write_params(const struct query_write *w)
{
	return w->ncolumns + (w->verb == QUERY_INSERT ? 0 : w->resource->nkey);
}

static void add_column(struct strbuf *out, const struct query_write *w, size_t column)
{
	query_sql_name(out, w->resource->columns[column].name);
}

/* w.c1::numeric */
static void add_value(struct strbuf *out, const struct query_write *w, char kind, size_t n,
		      size_t column)
{
	strbuf_addf(out, "w.%c%zu::", kind, n + 1);
	query_sql_type(out, &w->resource->columns[column]);
}

/* p."id" = w.k1::integer */
static void add_match(struct strbuf *out, const struct query_write *w)
{
	const struct model_resource *r = w->resource;

	for (size_t k = 0; k < r->nkey; k++) {
		strbuf_addf(out, "%sp.", k ? " AND " : "");
		add_column(out, w, r->key[k]);
		strbuf_addstr(out, " = ");
		add_value(out, w, 'k', k, r->key[k]);
	}
}

/* unnest($1::text[], …) WITH ORDINALITY AS w (k1, …, c1, …, number) */
static void add_arrays(struct strbuf *out, const struct query_write *w)
{
	size_t params = query_write_params(w), nkey = params - w->ncolumns;

	strbuf_addstr(out, "unnest(");
	for (size_t i = 0; i < params; i++)
		strbuf_addf(out, "%s$%zu::text[]", i ? ", " : "", i + 1);
	strbuf_addstr(out, ") WITH ORDINALITY AS w (");
	for (size_t i = 0; i < params; i++)
		strbuf_addf(out, "%c%zu, ", i < nkey ? 'k' : 'c', (i < nkey ? i : i - nkey) + 1);
	strbuf_addstr(out, "number)");
}

static void add_guard(struct strbuf *out, const struct query_write *w)
{
	query_sql_readable(out, &(struct query){ .resource = w->resource });
}

static void add_rows(struct strbuf *out, const struct query_write *w, bool waits)
{
	strbuf_addstr(out, "WITH w AS (SELECT w.*, ");
	if (waits) {
		strbuf_addstr(out, "false AS locked FROM ");
		add_arrays(out, w);
	} else {
		strbuf_addstr(out, "here.yes IS NOT NULL AND free.yes IS NULL AS locked FROM ");
		add_arrays(out, w);
		strbuf_addstr(out, " LEFT JOIN LATERAL (SELECT true AS yes FROM ");
		query_sql_relation(out, w->resource);
		strbuf_addstr(out, " p WHERE ");
		add_match(out, w);
		strbuf_addstr(out, " OFFSET 0) AS here ON true "
				   "LEFT JOIN LATERAL (SELECT true AS yes FROM ");
		query_sql_relation(out, w->resource);
		strbuf_addstr(out, " p WHERE here.yes AND ");
		add_match(out, w);
		strbuf_addf(out, " FOR %s SKIP LOCKED) AS free ON true",
			    w->verb == QUERY_DELETE ? "UPDATE" : "NO KEY UPDATE");
	}
	strbuf_addstr(out, " WHERE ");
	add_guard(out, w);
	strbuf_addstr(out, "), written AS (");
}

static void add_key(struct strbuf *out, const struct query_write *w)
{
	strbuf_addstr(out, "json_build_array(");
	for (size_t k = 0; k < w->resource->nkey; k++) {
		strbuf_addf(out, "%sp.", k ? ", " : "");
		add_column(out, w, w->resource->key[k]);
		strbuf_addstr(out, "::text");
	}
	strbuf_addstr(out, ")::text AS key");
}

static void add_returning(struct strbuf *out, const struct query_write *w, const char *number,
			  const char *created)
{
	struct query q = { .resource = w->resource };

	strbuf_addf(out, " RETURNING %s AS number, ", number);
	if (w->brief)
		strbuf_addstr(out, "''::text");
	else if (w->verb == QUERY_DELETE)
		strbuf_addstr(out, "'{}'::text");
	else
		query_sql_row(out, &q, "p");
	strbuf_addf(out, " AS row, %s AS created, ", created);
	if (w->brief)
		strbuf_addstr(out, "NULL::text AS key");
	else
		add_key(out, w);
	strbuf_addstr(out, ", " WRITE_VERSION " AS version");
}

static void add_insert(struct strbuf *out, const struct query_write *w)
{
	const struct model_resource *r = w->resource;
	size_t nkey = query_write_params(w) - w->ncolumns;

	strbuf_addstr(out, "INSERT INTO ");
	query_sql_relation(out, w->resource);
	strbuf_addstr(out, " AS p (");
	for (size_t k = 0; k < nkey; k++) {
		add_column(out, w, r->key[k]);
		strbuf_addstr(out, k + 1 < nkey + w->ncolumns ? ", " : "");
	}
	for (size_t c = 0; c < w->ncolumns; c++) {
		add_column(out, w, w->columns[c]);
		strbuf_addstr(out, c + 1 < w->ncolumns ? ", " : "");
	}
	strbuf_addstr(out, ") SELECT ");
	for (size_t k = 0; k < nkey; k++) {
		add_value(out, w, 'k', k, r->key[k]);
		strbuf_addstr(out, k + 1 < nkey + w->ncolumns ? ", " : "");
	}
	for (size_t c = 0; c < w->ncolumns; c++) {
		add_value(out, w, 'c', c, w->columns[c]);
		strbuf_addstr(out, c + 1 < w->ncolumns ? ", " : "");
	}
	strbuf_addstr(out, " FROM w WHERE NOT w.locked ORDER BY w.number");
}

static bool is_written(const struct query_write *w, size_t column)
{
	for (size_t c = 0; c < w->ncolumns; c++)
		if (w->columns[c] == column)
			return true;
	return false;
}

/* What is not written gets its default; the first column of the key is set to what it is, so that there is
 * something to set. */
static void add_replace(struct strbuf *out, const struct query_write *w)
{
	const struct model_resource *r = w->resource;

	strbuf_addstr(out, " ON CONFLICT (");
	for (size_t k = 0; k < r->nkey; k++) {
		strbuf_addstr(out, k ? ", " : "");
		add_column(out, w, r->key[k]);
	}
	strbuf_addstr(out, ") DO UPDATE SET ");
	add_column(out, w, r->key[0]);
	strbuf_addstr(out, " = excluded.");
	add_column(out, w, r->key[0]);
	for (size_t c = 0; c < r->ncolumns; c++) {
		if (r->columns[c].key >= 0 || r->columns[c].generated)
			continue;
		strbuf_addstr(out, ", ");
		add_column(out, w, c);
		if (is_written(w, c)) {
			strbuf_addstr(out, " = excluded.");
			add_column(out, w, c);
		} else {
			strbuf_addstr(out, " = DEFAULT");
		}
	}
}

static void add_update(struct strbuf *out, const struct query_write *w)
{
	strbuf_addstr(out, "UPDATE ");
	query_sql_relation(out, w->resource);
	strbuf_addstr(out, " AS p SET ");
	for (size_t c = 0; c < w->ncolumns; c++) {
		strbuf_addstr(out, c ? ", " : "");
		add_column(out, w, w->columns[c]);
		strbuf_addstr(out, " = ");
		add_value(out, w, 'c', c, w->columns[c]);
	}
	strbuf_addstr(out, " FROM w WHERE NOT w.locked AND ");
	add_match(out, w);
}

static void add_delete(struct strbuf *out, const struct query_write *w)
{
	strbuf_addstr(out, "DELETE FROM ");
	query_sql_relation(out, w->resource);
	strbuf_addstr(out, " AS p USING w WHERE NOT w.locked AND ");
	add_match(out, w);
}

void query_write_sql(struct strbuf *out, const struct query_write *w, bool waits)
{
	/* A row of nothing but defaults: always alone. */
	if (query_write_params(w) == 0) {
		strbuf_addstr(out, "WITH written AS (INSERT INTO ");
		query_sql_relation(out, w->resource);
		strbuf_addstr(out, " AS p SELECT WHERE ");
		add_guard(out, w);
		add_returning(out, w, "NULL::bigint", "true");
		strbuf_addstr(out, ") SELECT * FROM written");
		return;
	}
	add_rows(out, w, waits || w->verb == QUERY_INSERT);
	switch (w->verb) {
	case QUERY_INSERT:
		add_insert(out, w);
		add_returning(out, w, "NULL::bigint", "true");
		break;
	case QUERY_REPLACE:
		add_insert(out, w);
		add_replace(out, w);
		add_returning(out, w, "NULL::bigint", "p.xmax = 0");
		break;
	case QUERY_UPDATE:
		add_update(out, w);
		add_returning(out, w, "w.number", "false");
		break;
	case QUERY_DELETE:
	case QUERY_VERBS:
		add_delete(out, w);
		add_returning(out, w, "w.number", "false");
		break;
	}
	strbuf_addstr(
		out,
		") SELECT w.number, NULL::text AS row, false AS created, NULL::text AS key, "
		"NULL::bigint AS version FROM w WHERE w.locked UNION ALL SELECT * FROM written");
}
