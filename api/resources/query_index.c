/*
 * query_index.c: the rule of indexes. Without RESOURCE_SCANS a query is refused that would make a database
 * look at a whole table, and the refusal names the index that would help.
 *
 *   1. The key is an ordered index, whether the model lists it or not. A query without filter and order uses
 *      it.
 *   2. Of the filters one must be such that an index finds it: its column is the first of an ordered index,
 *      and the operator is eq, in, lt, lte, gt, gte, is.null, is.true, is.false; or the first of another
 *      index (a hash), and it is eq, in, is.true, is.false; or the first of one that LIKE can use, and it is
 *      a like that begins with other than a wildcard. The other filters may be anything. neq and
 *      is.notnull leave most rows, and never count.
 *   3. Columns with eq, is.null, is.true or is.false are fixed: all rows have the same there.
 *   4. An order must be that of an ordered index, forwards or backwards, when the fixed columns are left out
 *      of both. The rest of the order may be missing in the index if it is of columns of the key, and
 *      one before it is there: few rows are equal in that one, and are sorted. (A column
 *      of text_pattern_ops or another collation ends it: model.h.)
 *   5. Filters and an order may be served by different indexes: the planner then chooses one of them, and
 *      READ_TIMEOUT_MS bounds what that costs.
 *   6. Children, of one row or embedded, need no index on their foreign key: an application that lists them
 *      does so knowingly, and many have none. READ_TIMEOUT_MS bounds what that costs.
 *
 * Pure; any thread.
 */
#include <string.h>

#include "api/resources/query_private.h"

static bool fixes(enum query_op op)
{
	return op == QUERY_EQ || op == QUERY_NULL || op == QUERY_TRUE || op == QUERY_FALSE;
}

/* 3. */
static bool is_fixed(const struct query *q, size_t column)
{
	for (size_t i = 0; i < q->nfilters; i++)
		if (q->filters[i].column == column && fixes(q->filters[i].op))
			return true;
	return false;
}

/* ---- the index that would help ---- */

struct wanted {
	struct strbuf sql;
	size_t n;
};

static void wanted_open(struct wanted *w, const struct model_resource *r)
{
	w->sql = (struct strbuf)STRBUF_INIT;
	w->n = 0;
	strbuf_addstr(&w->sql, "CREATE INDEX ON ");
	if (strcmp(r->schema, "public") != 0) {
		query_sql_name(&w->sql, r->schema);
		strbuf_addch(&w->sql, '.');
	}
	query_sql_name(&w->sql, r->relation);
	strbuf_addstr(&w->sql, " (");
}

static void wanted_add(struct wanted *w, const struct model_column *c, const char *more)
{
	strbuf_addstr(&w->sql, w->n++ > 0 ? ", " : "");
	query_sql_name(&w->sql, c->name);
	strbuf_addstr(&w->sql, more);
}

static bool refuse_wanted(struct wanted *w, const char *field, const char *what,
			  struct query_fault *fault)
{
	strbuf_addch(&w->sql, ')');
	query_refuse(fault, field, "%s needs an index: %s", what, w->sql.data);
	strbuf_clear(&w->sql);
	return false;
}

/* The order behind what is fixed, which stands in front of it already. */
static void wanted_add_order(struct wanted *w, const struct query *q, size_t except)
{
	bool one_way = true;

	for (size_t i = 1; i < q->norders; i++)
		one_way = one_way && q->orders[i].desc == q->orders[0].desc;
	for (size_t i = 0; i < q->norders; i++) {
		size_t column = q->orders[i].column;

		if (!is_fixed(q, column) && column != except)
			wanted_add(w, &q->resource->columns[column],
				   q->orders[i].desc && !one_way ? " DESC" : "");
	}
}

/* ---- 2: filters ---- */

static bool served_by_order(enum query_op op)
{
	return op != QUERY_NEQ && op != QUERY_NOT_NULL && op != QUERY_LIKE;
}

static bool finds(const struct model_index *x, const struct model_index_column *c, enum query_op op)
{
	if (op == QUERY_LIKE)
		return c->pattern;
	if (c->unequal)
		return false;
	if (x->ordered && !c->unordered)
		return served_by_order(op);
	return op != QUERY_NULL && (fixes(op) || op == QUERY_IN);
}

bool query_serves(const struct model_resource *r, size_t column, enum query_op op)
{
	/* 1. */
	if (r->nkey > 0 && r->key[0] == column && served_by_order(op))
		return true;
	for (size_t i = 0; i < r->nindexes; i++) {
		const struct model_index *x = &r->indexes[i];

		if (x->ncolumns > 0 && x->columns[0].column == column &&
		    finds(x, &x->columns[0], op))
			return true;
	}
	return false;
}

static bool served(const struct model_resource *r, const struct query_filter *f)
{
	return (f->op != QUERY_LIKE || f->nvalues == 3) && query_serves(r, f->column, f->op);
}

static bool begins_plainly(const struct query *q, const struct query_filter *f)
{
	const char *pattern = q->text.data + q->values[f->first_value].at;

	return *pattern != '\0' && *pattern != '%' && *pattern != '_';
}

static bool check_filters(const struct query *q, struct query_fault *fault)
{
	const struct query_filter *could = NULL;
	struct wanted w;

	for (size_t i = 0; i < q->nfilters; i++) {
		const struct query_filter *f = &q->filters[i];
		bool may = f->op == QUERY_LIKE ? begins_plainly(q, f) : served_by_order(f->op);

		if (served(q->resource, f))
			return true;
		if (may && (could == NULL || (fixes(f->op) && !fixes(could->op))))
			could = f;
	}
	if (could == NULL) {
		const char *name = q->resource->columns[q->filters[0].column].name;

		return query_refuse(
			fault, name,
			"a filter of %s that no index can serve needs another one beside it, such as eq, in, "
			"lt, gt, or a like that does not begin with a wildcard",
			query_show(name).text);
	}

	const struct model_column *c = &q->resource->columns[could->column];
	AUTO_STRBUF what = STRBUF_INIT;
	const char *pattern = query_is_padded(c) ? " bpchar_pattern_ops" : " text_pattern_ops";
	strbuf_addf(&what, "a filter of %s", query_show(c->name).text);
	wanted_open(&w, q->resource);
	wanted_add(&w, c, could->op == QUERY_LIKE ? pattern : "");
	if (fixes(could->op))
		wanted_add_order(&w, q, could->column);
	return refuse_wanted(&w, c->name, what.data, fault);
}

/* ---- 4: orders ---- */

struct walk {
	const struct query *q;
	size_t at; /* of q->orders */
	size_t found;
	int turned; /* whether the index is read backwards; -1: not known yet */
};

static void skip_fixed(struct walk *w)
{
	while (w->at < w->q->norders && is_fixed(w->q, w->q->orders[w->at].column))
		w->at++;
}

/* Whether the order goes on with this column of the index. */
static bool step(struct walk *w, size_t column, bool desc)
{
	skip_fixed(w);
	if (w->at == w->q->norders)
		return false;

	const struct query_order *o = &w->q->orders[w->at];
	if (o->column != column)
		return is_fixed(w->q, column);
	if (w->turned >= 0 && w->turned != (o->desc != desc))
		return false;
	w->turned = o->desc != desc;
	w->at++;
	w->found++;
	return true;
}

static bool arrived(struct walk *w)
{
	skip_fixed(w);
	if (w->at < w->q->norders && w->found == 0)
		return false;
	for (size_t i = w->at; i < w->q->norders; i++)
		if (w->q->resource->columns[w->q->orders[i].column].key < 0)
			return false;
	return true;
}

static bool ordered_by(const struct query *q, const struct model_index *x)
{
	struct walk w = { .q = q, .turned = -1 };

	for (size_t i = 0; i < x->ncolumns; i++) {
		const struct model_index_column *c = &x->columns[i];

		if (c->unequal || (c->unordered && !is_fixed(q, c->column)) ||
		    !step(&w, c->column, c->desc))
			break;
	}
	return arrived(&w);
}

static bool ordered_by_key(const struct query *q)
{
	struct walk w = { .q = q, .turned = -1 };

	for (size_t i = 0; i < q->resource->nkey; i++)
		if (!step(&w, q->resource->key[i], false))
			break;
	return arrived(&w);
}

static bool check_order(const struct query *q, struct query_fault *fault)
{
	struct wanted w;

	if (ordered_by_key(q))
		return true;
	for (size_t i = 0; i < q->resource->nindexes; i++)
		if (q->resource->indexes[i].ordered && ordered_by(q, &q->resource->indexes[i]))
			return true;
	wanted_open(&w, q->resource);
	for (size_t i = 0; i < q->resource->ncolumns; i++)
		if (is_fixed(q, i))
			wanted_add(&w, &q->resource->columns[i], "");
	wanted_add_order(&w, q, SIZE_MAX);
	return refuse_wanted(&w, "order", "this order", fault);
}

bool query_check_indexes(const struct query *q, bool children, size_t nordered,
			 struct query_fault *fault)
{
	return (q->nfilters == 0 || children || check_filters(q, fault)) &&
	       (nordered == 0 || check_order(q, fault));
}
