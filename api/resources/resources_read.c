/*
 * resources_read.c: reads of resources: what is asked becomes a statement, and its rows the answer. A worker's
 * thread.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/batch/list.h"
#include "api/batch/read_batch.h"
#include "api/batch/scratch.h"
#include "api/resources/listed.h"
#include "api/resources/model_follow.h"
#include "api/resources/query_sql.h"
#include "api/resources/resources_private.h"
#include "common/base/base64.h"
#include "common/json/jscan.h"

static const struct read_calls row_calls, rows_calls;
static const struct list_calls listing;

_Static_assert(READ_TABLES > QUERY_EMBEDS_MAX, "a read's table and those that it embeds");

/* ---- statements ---- */

static struct made *find_or_make(struct request *r, char which, size_t nparams,
				 void (*write)(struct strbuf *, const struct query *, bool, bool))
{
	AUTO_STRBUF form = STRBUF_INIT, replica = STRBUF_INIT, primary = STRBUF_INIT;
	const struct query *q = &r->of->query;

	resources_form(&form, q->model, which);
	strbuf_addch(&form, request_is_placed(r) ? '+' : '-');
	query_sql_form(&form, q);
	struct made *m = made_find(store_of(r)->made, &form);

	if (m)
		return m;
	write(&replica, q, false, request_is_placed(r));
	write(&primary, q, true, request_is_placed(r));
	return made_add(store_of(r)->made, &form, replica.data, primary.data, (int)nparams);
}

static bool make(struct request *r, const struct read_calls *calls, bool joins, size_t nparams,
		 void (*write)(struct strbuf *, const struct query *, bool, bool))
{
	made_unref(r->of->made[0]);
	struct made *m = find_or_make(r, calls == &row_calls ? 'k' : 'p', nparams, write);
	bool placed = request_is_placed(r), row = calls == &row_calls;

	r->of->made[0] = m;
	if (!m) {
		request_unavailable(r, "too many different queries are under way; try again");
		return false;
	}
	m->reads = (struct read_statement){
		.calls = calls, .joins = joins, .made = m, .place = NO_PLACE
	};
	if (placed)
		m->reads.place = row ? QUERY_KEYS_PLACE : QUERY_PAGE_PLACE;
	if (placed && row && r->of->query.nembeds == 0)
		m->reads.version = QUERY_KEYS_VERSION;
	r->statement = &m->reads;
	return true;
}

static bool make_rows(struct request *r)
{
	return make(r, &rows_calls, false, r->of->query.nvalues + 1, query_sql_page);
}

/* Whether requests for rows of this resource may share a statement: each key must be found by its text alone. */
static bool make_row(struct request *r)
{
	const struct model_resource *resource = r->of->query.resource;

	return make(r, &row_calls, resource->plain, resource->nkey, query_sql_keys);
}

/* ---- what a request asks ---- */

#define PARAMS_MAX 64

static bool read_params(struct request *r, const struct model *m,
			const struct model_resource *resource, bool key,
			const struct model_reference *children)
{
	const struct listed_resource *listed = resources_listed(r, resource);
	const struct query_rules rules = {
		.scans = r->all->service->settings->resource_scans,
		.embeds = listed->embeds,
		.children = children,
		.parent = r->part[1].at,
		.parent_len = r->part[1].len,
	};
	struct http_param params[PARAMS_MAX];
	size_t n = http_request_params(r->http, params, PARAMS_MAX);
	struct query_fault fault = { 0 };

	if (n > PARAMS_MAX) {
		request_fail(r, 400, NULL, "too many query parameters");
		return false;
	}
	return query_read(&r->of->query, m, resource, &rules, params, n, key, &fault) ||
	       resources_refuse(r, &fault);
}

/* ---- whether a replica has it right ---- */

/* Keys whose text here is that in records of what is wrong (pgfanout.wrong_rows()). */
static bool has_plain_key(const struct model_resource *resource)
{
	for (size_t k = 0; k < resource->nkey; k++) {
		const struct model_column *c = &resource->columns[resource->key[k]];

		if (!c->plain || (c->kind != MODEL_INTEGER && c->kind != MODEL_TEXT))
			return false;
	}
	return true;
}

static uint64_t row_hash(const struct query *q)
{
	AUTO_STRBUF key = STRBUF_INIT;

	if (!has_plain_key(q->resource))
		return WRONG_ALL;
	for (size_t k = 0; k < q->resource->nkey; k++) {
		const struct query_value *v = query_key(q, k);

		if (k > 0)
			strbuf_addch(&key, '\x1f');
		strbuf_add(&key, q->text.data + v->at, v->len);
	}
	return wrong_hash(strbuf_str(&key), key.len);
}

static uint64_t stream_of(const struct model_resource *resource)
{
	return resource->stream_number > 0 ? lag_stream_bit(resource->stream_number) : 0;
}

static void want_tables(struct request *r)
{
	const struct query *q = &r->of->query;
	struct read_want *want = &r->want;

	want->tables[0] = q->resource->table;
	want->ntables = 1;
	want->streams = stream_of(q->resource);
	want->row = want->by_key ? row_hash(q) : WRONG_ALL;
	for (size_t i = 0; i < q->nembeds; i++) {
		want->tables[want->ntables++] = query_embedded(q, i)->table;
		want->streams |= stream_of(query_embedded(q, i));
	}
}

static bool plan_row(struct request *r)
{
	const struct model *m = resources_model(r);
	const struct model_resource *resource = m ? resources_find(r, m, r->part[0]) : NULL;

	if (!resource || !read_params(r, m, resource, true, NULL) || !make_row(r))
		return false;
	if (!resources_read_key(r))
		return false;
	want_tables(r);
	return true;
}

static bool plan_rows(struct request *r)
{
	const struct model *m = resources_model(r);
	const struct model_resource *resource = m ? resources_find(r, m, r->part[0]) : NULL;

	return resource && read_params(r, m, resource, false, NULL) && make_rows(r);
}

static bool plan_children(struct request *r)
{
	const struct model *m = resources_model(r);
	struct route_part name = r->part[2], plain = resources_name(name);
	const struct model_resource *parent = m ? resources_find(r, m, r->part[0]) : NULL;
	const struct model_resource *child = parent ? resources_find(r, m, plain) : NULL;

	if (!child)
		return false;
	bool named = plain.len < name.len; /* comments!author_id */
	const struct model_reference *f = query_children(m, child, parent,
							 named ? name.at + plain.len + 1 : NULL,
							 named ? name.len - plain.len - 1 : 0);

	if (f)
		return read_params(r, m, child, false, f) && make_rows(r);
	request_fail(r, 404, NULL,
		     "no foreign key, or more than one, leads from %s to the key of %s",
		     child->name, parent->name);
	return false;
}

/* ---- handlers ---- */

void resources_get(struct request *r)
{
	r->want.by_key = true;
	resources_init(r, plan_row, read_submit);
	resources_start(r);
}

static void submit_rows(struct request *r)
{
	want_tables(r);
	r->listing = &listing;
	if (r->list) { /* it begins once more, in its place */
		read_submit(r);
	} else if (r->of->query.paged) {
		r->limit = r->of->query.limit + 1; /* one more tells whether there is a next page */
		page_start(r);
	} else {
		list_start(r);
	}
}

void resources_list(struct request *r)
{
	resources_init(r, plan_rows, submit_rows);
	resources_start(r);
}

void resources_children(struct request *r)
{
	resources_init(r, plan_children, submit_rows);
	resources_start(r);
}

/* ---- parameters ---- */

static void rows_params(struct request *const *rows, size_t n, struct db_param *ret)
{
	struct request *r = rows[0];
	struct resource_request *of = r->of;
	const struct query *q = &of->query;

	(void)n; /* one */
	for (size_t i = 0; i < q->nvalues; i++)
		ret[i] = DB_TEXT(q->text.data + q->values[i].at);
	snprintf(of->number, sizeof(of->number), "%d", r->limit);
	ret[q->nvalues] = DB_TEXT(of->number);
}

static void row_params(struct request *const *rows, size_t n, struct db_param *ret)
{
	struct pgarray *keys = scratch_arrays(store_of(rows[0])->scratch,
					      rows[0]->of->query.resource->nkey);
	size_t nkey = rows[0]->of->query.resource->nkey;

	for (size_t k = 0; k < nkey; k++) {
		pgarray_begin(&keys[k], PGARRAY_TEXT);
		for (size_t i = 0; i < n; i++) {
			const struct query *q = &rows[i]->of->query;
			const struct query_value *v = query_key(q, k);

			pgarray_add_text(&keys[k], q->text.data + v->at, v->len);
		}
		ret[k] = pgarray_finish(&keys[k]);
	}
}

/* ---- answers ---- */

static bool lacks(const struct pg_result *rows, int row, int column)
{
	return db_value(rows, row, column)[0] != 0;
}

static bool row_row(struct request *r, const struct pg_result *res, int row,
		    const struct upstream *up)
{
	struct strbuf *out = http_out(r->http);

	if (!up->primary && query_has_parents(&r->of->query, -1) &&
	    lacks(res, row, QUERY_KEYS_LACKS))
		return false;
	request_served_by(r, up);
	if (resources_envelope(r))
		strbuf_addstr(out, "{\"success\":true,\"data\":");
	strbuf_add(out, db_value(res, row, 1), (size_t)db_length(res, row, 1));
	if (resources_envelope(r))
		resources_message(r, out, "retrieved");
	request_reply(r, 200);
	return true;
}

static void row_missing(struct request *r, const struct upstream *up)
{
	request_served_by(r, up);
	request_fail(r, 404, NULL, "there is no row with this key");
}

static void list_open(struct request *r, struct strbuf *out)
{
	strbuf_addstr(out, resources_envelope(r) ? "{\"success\":true,\"data\":[" : "[");
}

static void list_row(struct request *r, struct strbuf *out, const struct pg_result *rows, int row)
{
	(void)r;
	strbuf_add(out, db_value(rows, row, 0), (size_t)db_length(rows, row, 0));
}

static void list_close(struct request *r, struct strbuf *out)
{
	strbuf_addch(out, ']');
	if (resources_envelope(r))
		resources_message(r, out, "retrieved");
}

/* The texts of the order's columns in a row, as a JSON array: a whole number's needs no escapes. */
static void add_cursor(struct strbuf *out, const struct query *q, const struct pg_result *rows,
		       int row)
{
	for (size_t i = 0; i < q->norders; i++) {
		int column = (int)i + 1;

		strbuf_addch(out, i > 0 ? ',' : '[');
		if (db_is_null(rows, row, column))
			strbuf_addstr(out, "null");
		else if (q->resource->columns[q->orders[i].column].kind == MODEL_INTEGER)
			strbuf_addf(out, "\"%" PRId64 "\"",
				    pg_get_int8(db_value(rows, row, column)));
		else
			jscan_write_string(out, db_value(rows, row, column),
					   (size_t)db_length(rows, row, column));
	}
	strbuf_addch(out, ']');
}

static void list_close_page(struct request *r, struct strbuf *out, const struct pg_result *rows,
			    int last, bool more)
{
	AUTO_STRBUF cursor = STRBUF_INIT, next = STRBUF_INIT;

	if (more) {
		add_cursor(&cursor, &r->of->query, rows, last);
		base64_add(&next, BASE64_URL, cursor.data, cursor.len);
	}
	/* Nobody could ask for the next page, and without it this one would look like the last. */
	if (next.len > QUERY_CURSOR_MAX) {
		request_fail(
			r, 400, "limit",
			"the page ends with a key, or a value of its order, that is too long for a "
			"cursor: order it by other columns, or ask for all rows");
		return;
	}
	strbuf_addch(out, ']');
	if (!resources_envelope(r)) {
		if (more)
			http_header(r->http, "X-Next-Cursor", strbuf_str(&next));
		return;
	}
	strbuf_addstr(out, ",\"next\":");
	if (more)
		strbuf_addf(out, "\"%s\"", strbuf_str(&next));
	else
		strbuf_addstr(out, "null");
	resources_message(r, out, "retrieved");
}

/* This row may be the count of all. */
static int list_first(struct request *r, const struct pg_result *rows, int row)
{
	if (r->of->query.count == QUERY_NO_COUNT)
		return 0;
	if (!r->of->counted) {
		http_header(r->http, "X-Total-Count", db_value(rows, row, 0));
		r->of->counted = true;
	}
	return 1;
}

static bool list_whole(struct request *r, const struct pg_result *rows)
{
	const struct query *q = &r->of->query;

	if (!query_has_parents(q, -1))
		return true;
	for (int i = 0; i < db_rows(rows); i++)
		if (lacks(rows, i, (int)q->norders + 1))
			return false;
	return true;
}

static bool list_behind(struct request *r, const struct pg_result *rows, int row)
{
	struct query *q = &r->of->query;
	AUTO_STRBUF cursor = STRBUF_INIT;

	q->count = QUERY_NO_COUNT;
	r->of->patience = MONO_NEVER;
	add_cursor(&cursor, q, rows, row);
	if (query_set_cursor(q, cursor.data, cursor.len))
		return make_rows(r);
	request_unavailable(r, "a row's place in the list cannot be told");
	return false;
}

/* ---- refusals ---- */

/* The only column among the values whose type PostgreSQL alone knows. */
static const char *only_other(const struct query *q)
{
	const struct model_column *found = NULL;

	for (size_t i = 0; i < q->nvalues; i++) {
		const struct model_column *c = &q->resource->columns[q->values[i].column];

		if (c->kind != MODEL_OTHER || c == found)
			continue;
		if (found)
			return NULL;
		found = c;
	}
	return found ? found->name : NULL;
}

/* The field that a parameter of the statement comes from; NULL: it is not known. */
static const char *field_of(const struct request *r, int parameter)
{
	const struct query *q = &r->of->query;
	const struct model_resource *resource = q->resource;

	if (r->want.by_key)
		return resource->nkey == 1 ? resource->columns[resource->key[0]].name : NULL;
	if (parameter < 1 || (size_t)parameter > q->nvalues)
		return q->nvalues == 1 ? resource->columns[q->values[0].column].name
				       : only_other(q);
	return resource->columns[q->values[parameter - 1].column].name;
}

static bool has_newer_model(struct request *r)
{
	return resources_model(r)->number != r->of->query.model->number;
}

void resources_read_on(struct request *r)
{
	struct query *q = &r->of->query;

	if (query_follow(q, model_follow(q->model, resources_model(r))) && make_rows(r))
		list_again(r);
	else
		list_cut(r);
}

static bool on_refused(struct request *r, const struct upstream *up, enum db_outcome outcome,
		       const struct err *err)
{
	/* It would be slow elsewhere too. */
	bool slow = strcmp(err->sqlstate, SQLSTATE_CANCELED) == 0;

	if (list_is_running(r)) {
		bool outdated = up->primary && resources_is_outdated(err);

		if (outdated && has_newer_model(r))
			resources_read_on(r);
		else if (outdated ? !resources_wait(r) : slow && !list_smaller(r))
			list_cut(r);
		return slow || outdated;
	}
	if (slow) {
		request_unavailable(r, "the query takes longer than READ_TIMEOUT_MS allows");
		return true;
	}
	if (outcome == DB_REFUSED && strncmp(err->sqlstate, "22", 2) == 0) {
		request_served_by(r, up);
		request_fail(r, 400, field_of(r, err->parameter),
			     "a value is none of its column's type");
		return true;
	}
	/* What a replica cannot look up the primary may have. */
	if (up->primary && resources_blames_value(err)) {
		request_served_by(r, up);
		request_fail(r, 400, field_of(r, err->parameter),
			     "a value is none of its column's type, or cannot be compared there");
		return true;
	}
	return up->primary && resources_is_outdated(err) && resources_wait(r);
}

static void row_none(struct request *r)
{
	read_unavailable(r);
}

static const struct read_calls row_calls = {
	.params = row_params,
	.row = row_row,
	.missing = row_missing,
	.refused = on_refused,
	.none = row_none,
};
static const struct read_calls rows_calls = {
	.params = rows_params,
	.rows = list_rows,
	.refused = on_refused,
	.none = list_none,
};
static const struct list_calls listing = {
	.open = list_open,
	.row = list_row,
	.close = list_close,
	.close_page = list_close_page,
	.behind = list_behind,
	.first = list_first,
	.whole = list_whole,
};
