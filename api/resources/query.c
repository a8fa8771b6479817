/*
 * query.c: reads what a GET asks for: see query.h. Values are query_value.c's, embeds query_embed.c's, and the
 * rule of indexes stands in query_index.c.
 *
 * Promise: what is let through names only what the model has, holds each bound of query.h, and means one
 * thing: limit, cursor, order, select, embed and count come at most once, a column is ordered by or
 * selected at most once. Pure; any thread.
 *
 *   order: what is asked for, then the columns of the key that are not in it: ascending, or descending if all
 *   that was asked for is descending, so that an index read backwards serves it. What comes behind all
 *   columns of the key orders nothing, and is left out.
 *   Names in order and select may be in double quotes, as values of in.(…): for those with a comma, and for
 *   columns that begin with a sign or a quote.
 */
#include <stdlib.h>
#include <string.h>

#include "api/resources/query_private.h"

/* In front of a column that is called as one of the parameters. */
#define COLUMN_PREFIX "column."

/* The parameters that are no filter. */
enum known { LIMIT, CURSOR, ORDER, SELECT, EMBED, COUNT, KNOWN };

static const char *const known_names[KNOWN] = { "limit",  "cursor", "order",
						"select", "embed",  "count" };

/* Decoded; given: which of them came. */
struct reading {
	bool key;
	bool given[KNOWN];
	struct strbuf known[KNOWN];
};

/* ---- parameters ---- */

static bool read_limit(struct query *q, const struct strbuf *value, struct query_fault *fault)
{
	int64_t n;

	if (value->len > 4 || !int64_from_text(strbuf_str(value), value->len, &n) ||
	    value->data[0] == '0' || n < 1 || n > QUERY_LIMIT_MAX)
		return query_refuse(fault, "limit", "limit must be a number from 1 to %d",
				    QUERY_LIMIT_MAX);
	q->limit = (int)n;
	return true;
}

static bool read_count(struct query *q, const struct strbuf *value, struct query_fault *fault)
{
	if (strcmp(strbuf_str(value), "exact") == 0)
		q->count = QUERY_EXACT;
	else if (strcmp(strbuf_str(value), "estimated") == 0)
		q->count = QUERY_ESTIMATED;
	else
		return query_refuse(fault, "count", "count must be exact or estimated");
	return true;
}

/* The next column of a list; *ret_column is -1 behind the last one. */
static bool next_column(const struct query *q, struct query_list *l, const char *what,
			char *ret_sign, int *ret_column, struct query_fault *fault)
{
	AUTO_STRBUF name = STRBUF_INIT;
	bool quoted;

	*ret_column = -1;
	switch (query_list_next(l, &name, &quoted, ret_sign)) {
	case QUERY_ITEMS_END:
		return true;
	case QUERY_ITEM_BAD:
		return query_refuse(fault, what,
				    "%s has quotes that do not end where a column does", what);
	case QUERY_ITEM:
		break;
	}
	if (name.len == 0)
		return query_refuse(fault, what, "%s must be names of columns, as in id,name",
				    what);
	*ret_column = model_column_find(q->resource, name.data, name.len);
	if (*ret_column < 0)
		return query_refuse(fault, what, "%s: %s has no column %s", what, q->resource->name,
				    query_show(name.data).text);
	return true;
}

static bool read_select(struct query *q, const struct strbuf *value, struct query_fault *fault)
{
	struct query_list l;
	int column;

	q->selects = true;
	q->select = xcalloc(q->resource->ncolumns, sizeof(*q->select));
	query_list_init(&l, value->data, value->len);
	for (;;) {
		if (!next_column(q, &l, "select", NULL, &column, fault))
			return false;
		if (column < 0)
			return true;
		for (size_t i = 0; i < q->nselect; i++)
			if (q->select[i] == (size_t)column)
				return query_refuse(
					fault, "select", "select has %s twice",
					query_show(q->resource->columns[column].name).text);
		q->select[q->nselect++] = (size_t)column;
	}
}

static bool is_ordered(const struct query *q, size_t column)
{
	for (size_t i = 0; i < q->norders; i++)
		if (q->orders[i].column == column)
			return true;
	return false;
}

static bool add_order(struct query *q, size_t column, bool desc, struct query_fault *fault)
{
	const struct model_column *c = &q->resource->columns[column];

	if (c->kind == MODEL_JSON || c->kind == MODEL_OTHER || c->kind == MODEL_ARRAY)
		return query_refuse(fault, "order",
				    "order: %s is of type %s, which has no order here",
				    query_show(c->name).text, query_show(c->type).text);
	if (is_ordered(q, column))
		return query_refuse(fault, "order", "order has %s twice", query_show(c->name).text);
	if (q->norders == QUERY_ORDERS_MAX)
		return query_refuse(fault, "order", "order has more than %d columns",
				    QUERY_ORDERS_MAX);
	q->orders[q->norders++] = (struct query_order){ .column = column, .desc = desc };
	return true;
}

static bool read_order(struct query *q, const struct strbuf *value, struct query_fault *fault)
{
	struct query_list l;
	int column;
	char sign;

	query_list_init(&l, value->data, value->len);
	for (;;) {
		if (!next_column(q, &l, "order", &sign, &column, fault))
			return false;
		if (column < 0)
			return true;
		if (!add_order(q, (size_t)column, sign == '-', fault))
			return false;
	}
}

static void complete_order(struct query *q)
{
	bool desc = q->norders > 0;
	size_t nkey = 0;

	for (size_t i = 0; i < q->norders; i++) {
		desc = desc && q->orders[i].desc;
		nkey += q->resource->columns[q->orders[i].column].key >= 0;
		/* No two rows are equal up to here. */
		if (nkey == q->resource->nkey)
			q->norders = i + 1;
	}
	for (size_t i = 0; i < q->resource->nkey; i++)
		if (!is_ordered(q, q->resource->key[i]))
			q->orders[q->norders++] =
				(struct query_order){ .column = q->resource->key[i], .desc = desc };
}

/* ---- filters ---- */

static bool read_column(struct query *q, const struct strbuf *name, const struct strbuf *value,
			struct query_fault *fault)
{
	const char *column = name->data;

	if (strncmp(column, COLUMN_PREFIX, strlen(COLUMN_PREFIX)) == 0)
		column += strlen(COLUMN_PREFIX);

	int found = model_column_find(q->resource, column, strlen(column));
	if (found < 0)
		return query_refuse(
			fault, name->data,
			"%s is no column of %s, and none of limit, cursor, order, select, embed, count",
			query_show(name->data).text, q->resource->name);
	return query_read_filter(q, (size_t)found, name->data, value, fault);
}

/* ---- all of it ---- */

static bool decode_part(struct strbuf *ret, const char *field, const char *what, const char *s,
			size_t len, struct query_fault *fault)
{
	const char *why;

	if (query_decode(s, len, true, ret, &why))
		return true;
	return query_refuse(fault, field, "%s %s", what, why);
}

bool query_is_parameter(const char *name)
{
	for (int k = 0; k < KNOWN; k++)
		if (strcmp(name, known_names[k]) == 0)
			return true;
	return strncmp(name, COLUMN_PREFIX, strlen(COLUMN_PREFIX)) == 0;
}

static bool take_known(struct reading *rd, enum known k, struct strbuf *value,
		       struct query_fault *fault)
{
	const char *name = known_names[k];

	if (rd->key && k != SELECT && k != EMBED)
		return query_refuse(fault, name,
				    "%s is not for one row by its key: only select and embed are",
				    name);
	if (rd->given[k])
		return query_refuse(fault, name, "%s is given more than once", name);
	rd->given[k] = true;
	rd->known[k] = *value;
	*value = (struct strbuf)STRBUF_INIT;
	return true;
}

/* Filters are read at once, the others together: select decides which embeds fit, order how long a cursor is. */
static bool read_param(struct query *q, struct reading *rd, const struct http_param *p,
		       struct query_fault *fault)
{
	AUTO_STRBUF raw = STRBUF_INIT, name = STRBUF_INIT, value = STRBUF_INIT;

	strbuf_add(&raw, p->key, min_size(p->key_len, sizeof(fault->field) * 3));
	if (!decode_part(&name, strbuf_str(&raw), "the name of a parameter", p->key, p->key_len,
			 fault))
		return false;
	if (name.len == 0)
		return query_refuse(fault, "", "a parameter has no name");

	struct query_shown shown = query_show(name.data);
	if (!decode_part(&value, name.data, shown.text, p->value,
			 p->value != NULL ? p->value_len : 0, fault))
		return false;
	if (value.len == 0)
		return query_refuse(fault, name.data, "%s has no value", shown.text);
	for (int k = 0; k < KNOWN; k++)
		if (strcmp(name.data, known_names[k]) == 0)
			return take_known(rd, k, &value, fault);
	if (rd->key)
		return query_refuse(fault, name.data,
				    "%s is not for one row by its key: only select and embed are",
				    shown.text);
	return read_column(q, &name, &value, fault);
}

static bool read_known(struct query *q, const struct reading *rd, const struct query_rules *rules,
		       struct query_fault *fault)
{
	if ((rd->given[LIMIT] && !read_limit(q, &rd->known[LIMIT], fault)) ||
	    (rd->given[COUNT] && !read_count(q, &rd->known[COUNT], fault)) ||
	    (rd->given[SELECT] && !read_select(q, &rd->known[SELECT], fault)) ||
	    (rd->given[ORDER] && !read_order(q, &rd->known[ORDER], fault)))
		return false;

	if (rules->children && !query_read_parent(q, rules, fault))
		return false;

	size_t nordered = q->norders;
	complete_order(q);
	if (rules->embeds != NULL && *rules->embeds != '\0' &&
	    !query_read_embeds(q, rules->embeds, strlen(rules->embeds), fault))
		return false;
	if (rd->given[EMBED] &&
	    !query_read_embeds(q, rd->known[EMBED].data, rd->known[EMBED].len, fault))
		return false;
	if (!query_name_embeds(q, fault))
		return false;
	if (rd->given[CURSOR] && !query_read_cursor(q, &rd->known[CURSOR], fault))
		return false;
	q->paged = rd->given[LIMIT] || rd->given[CURSOR];
	return rules->scans || query_check_indexes(q, rules->children != NULL, nordered, fault);
}

bool query_read(struct query *q, const struct model *m, const struct model_resource *r,
		const struct query_rules *rules, const struct http_param *params, size_t n,
		bool key, struct query_fault *fault)
{
	struct reading rd = { .key = key };
	bool ok = true;

	*fault = (struct query_fault){ .field = "" };
	q->model = model_ref(m);
	q->resource = r;
	q->limit = QUERY_LIMIT_DEFAULT;
	for (size_t i = 0; i < n && ok; i++)
		ok = read_param(q, &rd, &params[i], fault);
	ok = ok && read_known(q, &rd, rules, fault);
	for (int k = 0; k < KNOWN; k++)
		strbuf_clear(&rd.known[k]);
	return ok;
}

void query_clear(struct query *q)
{
	model_unref(q->model);
	strbuf_clear(&q->text);
	free(q->values);
	free(q->select);
	for (size_t i = 0; i < q->nembeds; i++)
		free(q->embeds[i].member);
	*q = (struct query){ .model = NULL };
}

/* ---- another model ---- */

/* Whether a column is read of the query's own resource. */
static bool reads(const struct query *q, size_t column)
{
	bool found = !q->selects;

	for (size_t i = 0; q->selects && i < q->nselect; i++)
		found = found || q->select[i] == column;
	for (size_t i = 0; i < q->norders; i++)
		found = found || q->orders[i].column == column;
	for (size_t i = 0; i < q->nfilters; i++)
		found = found || q->filters[i].column == column;
	return found;
}

/* Of an embed everything is read; of what it refers by, the columns too. */
static bool embed_is_gone(const struct query *q, size_t embed)
{
	const struct model_resource *r = query_embedded(q, embed);
	const struct model_reference *f = q->embeds[embed].reference;
	bool gone = false;

	for (size_t i = 0; i < r->ncolumns; i++)
		gone = gone || r->columns[i].gone;
	for (size_t k = 0; k < f->n; k++)
		gone = gone || q->model->resources[f->child].columns[f->columns[k]].gone ||
		       q->model->resources[f->parent].columns[f->keys[k]].gone;
	return gone;
}

/* A column of the order must be ordered as it was, and where the cursor is NULL there must be NULLs yet. */
static bool order_is_gone(const struct query *q, const struct model_resource *was)
{
	for (size_t i = 0; i < q->norders; i++) {
		const struct model_column *c = &q->resource->columns[q->orders[i].column];
		const struct model_column *old = &was->columns[q->orders[i].column];

		if ((c->kind != MODEL_INTEGER && strcmp(c->type, old->type) != 0) ||
		    c->collation != old->collation)
			return true;
		if (i < q->ncursor && (q->cursor_nulls >> i & 1) != 0 && c->not_null)
			return true;
	}
	return false;
}

bool query_follow(struct query *q, struct model *m)
{
	const struct model *was = q->model;
	const struct model_resource *old = q->resource;

	q->resource = &m->resources[q->resource - was->resources];
	for (size_t i = 0; i < q->nembeds; i++)
		q->embeds[i].reference = &m->references[q->embeds[i].reference - was->references];
	q->model = m;
	bool gone = order_is_gone(q, old);

	model_unref(was);
	for (size_t i = 0; i < q->resource->ncolumns; i++)
		gone = gone || (q->resource->columns[i].gone && reads(q, i));
	for (size_t i = 0; i < q->nembeds; i++)
		gone = gone || embed_is_gone(q, i);
	return !gone;
}

/* ---- keys ---- */

static bool read_key_part(struct query *q, size_t column, const char *s, size_t len,
			  struct query_fault *fault)
{
	const char *name = q->resource->columns[column].name, *why;
	AUTO_STRBUF value = STRBUF_INIT;

	if (!query_decode(s, len, false, &value, &why))
		return query_refuse(fault, name, "%s %s", query_show(name).text, why);
	if (!query_add_value(q, column, strbuf_str(&value), value.len, &why))
		return query_refuse(fault, name, "%s must be %s", query_show(name).text, why);
	return true;
}

bool query_read_key(struct query *q, const char *path, size_t len, struct query_fault *fault)
{
	const struct model_resource *r = q->resource;
	const char *at = path, *end = path + len;
	size_t commas = 0;

	*fault = (struct query_fault){ .field = "" };
	for (size_t i = 0; i < len; i++)
		commas += path[i] == ',';
	/* A comma in the only value needs no %2C. */
	if (r->nkey != 1 && commas + 1 != r->nkey)
		return query_refuse(
			fault, "",
			"the key of %s is %zu values with commas between them; a comma in one is %%2C",
			r->name, r->nkey);
	for (size_t i = 0; i < r->nkey; i++) {
		const char *comma = i + 1 < r->nkey ? memchr(at, ',', (size_t)(end - at)) : end;

		if (!read_key_part(q, r->key[i], at, (size_t)(comma - at), fault))
			return false;
		at = comma < end ? comma + 1 : end;
	}
	return true;
}
