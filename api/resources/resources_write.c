/*
 * resources_write.c: writes of resources. A worker's thread.
 *
 * request->id stands for the row: a hash of its table and key, so that a batch has each row once and batches
 * lock rows in one order (write_batch.h). A new row whose key the database makes has one by chance.
 *
 * What the database refuses, and why, is told in words of ours, with the column where one is to blame: what it
 * says itself may hold whole rows.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/batch/scratch.h"
#include "api/batch/write_batch.h"
#include "api/resources/resources_private.h"
#include "common/base/clip.h"
#include "common/json/jscan.h"

static const struct write_calls calls;

/* ---- statements ---- */

static bool make(struct request *r, const struct query_write *w, bool joins)
{
	struct resource_request *of = r->of;

	if (!resources_make_write(store_of(r)->made, of->query.model, w, of->made)) {
		request_unavailable(r, "too many different statements are under way; try again");
		return false;
	}
	of->made[WRITE_FREE]->writes = (struct write_statement){
		.calls = &calls,
		.joins = joins,
		.nparams = (int)query_write_params(w),
		.made = { of->made[WRITE_FREE], of->made[WRITE_WAITS] },
	};
	r->write = &of->made[WRITE_FREE]->writes;
	return true;
}

/* Whether others may be written together with it. A statement that names a row twice writes it once, and the other
 * request would be told that there is none: rows are told apart by the texts of their keys, and no trigger
 * drops one of them. */
static bool may_join(const struct resource_request *of, size_t params)
{
	const struct model_resource *r = of->query.resource;

	switch (of->verb) {
	case QUERY_INSERT:
		return r->joined && params > 0;
	case QUERY_REPLACE:
		return r->replaced && model_key_is_exact(r);
	default:
		return model_key_is_exact(r);
	}
}

/* ---- what a request says ---- */

static void name_row(struct request *r)
{
	const struct resource_request *of = r->of;
	const struct model_resource *resource = of->query.resource;

	if (of->verb == QUERY_INSERT) {
		(void)row_name(&r->id, resource, &of->in);
		return;
	}
	row_name_begin(&r->id, resource);
	for (size_t k = 0; k < resource->nkey; k++) {
		const struct query_value *key = query_key(&of->query, k);

		row_name_add(&r->id, of->query.text.data + key->at, key->len);
	}
}

static bool is_path_key(const struct resource_request *of, const struct row_value *v)
{
	const struct model_column *c = &of->query.resource->columns[v->column];
	const struct query_value *key = query_key(&of->query, (size_t)c->key);

	const char *text = of->in.text.data + v->at, *path = of->query.text.data + key->at;
	return !v->null && v->len == key->len && memcmp(text, path, key->len) == 0;
}

/* The columns of the body that the statement writes; those of the key must be the path's. */
static bool read_columns(struct request *r, size_t *columns, size_t *ret_n)
{
	struct resource_request *of = r->of;
	const struct model_resource *resource = of->query.resource;
	size_t n = 0;

	for (size_t i = 0; i < of->in.n; i++) {
		const struct row_value *v = &of->in.values[i];
		const struct model_column *c = &resource->columns[v->column];

		if (c->key >= 0 && of->verb != QUERY_INSERT) {
			if (is_path_key(of, v))
				continue;
			request_fail(r, 422, c->name, "%s differs from the one in the path",
				     c->name);
			return false;
		}
		if (c->identity_always) {
			request_fail(r, 422, c->name, "%s is made by the database: leave it out",
				     c->name);
			return false;
		}
		columns[n++] = v->column;
	}
	*ret_n = n;
	return true;
}

static bool read_body(struct request *r)
{
	const struct strbuf *body = http_request_body(r->http);
	struct row_fault fault = { 0 };

	if (row_input_read(&r->of->in, r->of->query.resource, strbuf_str(body), body->len, &fault))
		return true;
	request_fail(r, fault.status, fault.field[0] ? fault.field : NULL, "%s", fault.err.text);
	return false;
}

static bool make_for(struct request *r)
{
	struct resource_request *of = r->of;
	const struct model_resource *resource = of->query.resource;
	AUTO_FREE size_t *columns = xcalloc(of->in.n + 1, sizeof(*columns));
	struct query_write w = { .resource = resource, .verb = of->verb, .columns = columns };

	if (!read_columns(r, columns, &w.ncolumns))
		return false;
	if (of->verb == QUERY_UPDATE && w.ncolumns == 0) {
		request_fail(r, 422, NULL, "nothing to change: give at least one column");
		return false;
	}
	name_row(r);
	return make(r, &w, may_join(of, query_write_params(&w)));
}

static bool plan(struct request *r)
{
	struct resource_request *of = r->of;
	const struct model *m = resources_model(r);
	const struct model_resource *resource = m ? resources_find(r, m, r->part[0]) : NULL;

	if (!resource)
		return false;
	of->query.model = model_ref(m);
	of->query.resource = resource;
	/* A row whose key only the database can make cannot be made by PUT. */
	if (of->verb == QUERY_REPLACE && model_key_is_made(resource))
		of->verb = QUERY_UPDATE;
	return (of->verb == QUERY_INSERT || resources_read_key(r)) &&
	       (of->verb == QUERY_DELETE || read_body(r)) && make_for(r);
}

/* ---- handlers ---- */

static void begin(struct request *r, enum query_verb verb)
{
	resources_init(r, plan, write_submit);
	r->of->verb = verb;
	resources_start(r);
}

void resources_create(struct request *r)
{
	begin(r, QUERY_INSERT);
}

void resources_replace(struct request *r)
{
	begin(r, QUERY_REPLACE);
}

void resources_update(struct request *r)
{
	begin(r, QUERY_UPDATE);
}

void resources_delete(struct request *r)
{
	begin(r, QUERY_DELETE);
}

/* ---- parameters ---- */

/* All rows of a statement have the same columns. */
static void add_row(struct pgarray *arrays, const struct request *r)
{
	const struct resource_request *of = r->of;
	const struct query *q = &of->query;
	size_t at = 0;

	for (size_t k = 0; of->verb != QUERY_INSERT && k < q->resource->nkey; k++)
		pgarray_add_text(&arrays[at++], q->text.data + query_key(q, k)->at,
				 query_key(q, k)->len);
	for (size_t i = 0; i < of->in.n; i++) {
		const struct row_value *v = &of->in.values[i];

		if (of->verb != QUERY_INSERT && q->resource->columns[v->column].key >= 0)
			continue;
		if (v->null)
			pgarray_add_null(&arrays[at++]);
		else
			pgarray_add_text(&arrays[at++], of->in.text.data + v->at, v->len);
	}
}

static void params(struct request *const *rows, size_t n, struct db_param *ret)
{
	size_t count = (size_t)rows[0]->write->nparams;
	struct pgarray *arrays = scratch_arrays(store_of(rows[0])->scratch, count);

	for (size_t i = 0; i < count; i++)
		pgarray_begin(&arrays[i], PGARRAY_TEXT);
	for (size_t i = 0; i < n; i++)
		add_row(arrays, rows[i]);
	for (size_t i = 0; i < count; i++)
		ret[i] = pgarray_finish(&arrays[i]);
}

/* ---- answers ---- */

/* Those without a number are the rows that were not left out, in their order; those that were come first. */
static size_t find(struct request *const *rows, size_t n, const struct pg_result *res, int row,
		   size_t from)
{
	bool first = row == 0 || db_is_null(res, row - 1, 1);

	if (!db_is_null(res, row, 0)) {
		int64_t number = pg_get_int8(db_value(res, row, 0));

		return number >= 1 && (uint64_t)number <= n ? (size_t)number - 1 : n;
	}
	/* Somebody has just made a trigger that drops rows: no place says whose a row is. */
	if ((size_t)db_rows(res) != n)
		return n;
	for (size_t at = first ? 0 : from; at < n; at++) {
		bool left_out = false;

		for (int i = 0; !left_out && i < row && db_is_null(res, i, 1); i++)
			left_out = pg_get_int8(db_value(res, i, 0)) == (int64_t)at + 1;
		if (!left_out)
			return at;
	}
	(void)rows;
	return n;
}

static void add_percent(struct strbuf *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		    strchr("-._~:", c) != NULL)
			strbuf_addch(out, text[i]);
		else
			strbuf_addf(out, "%%%02X", c);
	}
}

#define LOCATION_MAX \
	6000 /* no request line could hold a longer one, nor the head of an answer a much longer one */

/* Location: /api/users/1. A key that is not known by a path of its own, as "", has none. */
static void add_location(struct request *r, const char *key, size_t len)
{
	AUTO_STRBUF path = STRBUF_INIT, text = STRBUF_INIT;
	struct jscan_value document, value;
	struct jscan_iter it;
	struct err ignored;
	const char *separator = "/";
	bool empty = false;

	if (!jscan_document(key, len, &document, &ignored))
		return;
	strbuf_addstr(&path, resources_prefix(r));
	strbuf_addf(&path, "/%s", r->of->query.resource->name);
	for (jscan_iter_init(&it, &document); jscan_iter_next(&it, NULL, &value);) {
		strbuf_addstr(&path, separator);
		separator = ",";
		strbuf_reset(&text);
		jscan_string(&value, &text, NULL);
		empty = text.len == 0 && r->of->query.resource->nkey == 1;
		add_percent(&path, strbuf_str(&text), text.len);
	}
	if (!empty && path.len <= LOCATION_MAX)
		http_header(r->http, "Location", strbuf_str(&path));
}

static void answer_deleted(struct request *r)
{
	if (!resources_envelope(r)) {
		request_reply(r, 204);
		return;
	}
	strbuf_addstr(http_out(r->http), "{\"success\":true,\"data\":null");
	resources_message(r, http_out(r->http), "deleted");
	request_reply(r, 200);
}

static void on_row(struct request *r, const struct pg_result *res, int row)
{
	bool created = db_value(res, row, 2)[0] != 0, envelope = resources_envelope(r);

	if (r->of->verb == QUERY_DELETE) {
		answer_deleted(r);
		return;
	}
	struct strbuf *out = http_out(r->http);

	if (created)
		add_location(r, db_value(res, row, 3), (size_t)db_length(res, row, 3));
	if (envelope)
		strbuf_addstr(out, "{\"success\":true,\"data\":");
	strbuf_add(out, db_value(res, row, 1), (size_t)db_length(res, row, 1));
	if (envelope)
		resources_message(r, out, created ? "created" : "updated");
	request_reply(r, created ? 201 : 200);
}

static void on_missing(struct request *r)
{
	if (r->write->joins && r->of->verb <= QUERY_REPLACE)
		request_unavailable(
			r,
			"a trigger of the database drops rows: this one may or may not have been made");
	else if (r->of->verb <= QUERY_REPLACE)
		request_fail(r, 422, NULL, "the database took the row but did not keep it");
	else
		request_fail(r, 404, NULL, "there is no row with this key");
}

/* ---- refusals ---- */

static bool quotes(const struct err *err, const char *text, size_t len)
{
	AUTO_STRBUF quoted = STRBUF_INIT;

	strbuf_addf(&quoted, "\"%s\"", text);
	return len > 0 && strstr(err->text, strbuf_str(&quoted)) != NULL;
}

/* Whether a value of what was sent is none of its type. */
static bool is_of_type(const struct err *err)
{
	return strncmp(err->sqlstate, "22", 2) == 0 || resources_blames_value(err);
}

/* The only column whose text the server names in what it says of a value; NULL: none, or several. */
static const char *column_quoted(const struct request *r, const struct err *err)
{
	const struct resource_request *of = r->of;
	const char *found = NULL;

	/* Anything else may quote what it likes: a name of the database, another row. */
	if (!is_of_type(err))
		return NULL;
	for (size_t i = 0; i < of->in.n; i++) {
		const struct row_value *v = &of->in.values[i];

		if (v->null || !quotes(err, of->in.text.data + v->at, v->len))
			continue;
		if (found)
			return NULL;
		found = of->query.resource->columns[v->column].name;
	}
	return found;
}

/* The same of the path's key. */
static const char *key_quoted(const struct request *r, const struct err *err)
{
	const struct resource_request *of = r->of;
	const struct model_resource *resource = of->query.resource;

	if (of->verb == QUERY_INSERT || !is_of_type(err))
		return NULL;
	for (size_t k = 0; k < resource->nkey; k++) {
		const struct query_value *v = query_key(&of->query, k);

		if (quotes(err, of->query.text.data + v->at, v->len))
			return resource->columns[resource->key[k]].name;
	}
	return NULL;
}

/* The only column that was sent, in the path or in the body, whose type PostgreSQL alone knows: others are not looked
 * up, nor read by a grammar. NULL: none, or several. */
static const struct model_column *only_other(const struct resource_request *of)
{
	const struct model_resource *resource = of->query.resource;
	bool path = of->verb != QUERY_INSERT;
	const struct model_column *found = NULL;
	size_t n = 0;

	for (size_t c = 0; c < resource->ncolumns; c++) {
		const struct row_value *v = row_input_find(&of->in, c);

		if (resource->columns[c].kind != MODEL_OTHER ||
		    !((path && resource->columns[c].key >= 0) || (v && !v->null)))
			continue;
		found = &resource->columns[c];
		n++;
	}
	return n == 1 ? found : NULL;
}

static const struct refusal {
	const char *sqlstate; /* or its class */
	int status;
	const char *words;
} refusals[] = {
	{ "23502", 422, "a value is missing" },
	{ "23503", 409, "it refers to a row that does not exist, or another row refers to it" },
	{ "23505", 409, "another row has the same value already" },
	{ "23P01", 409, "another row excludes it" },
	{ "23514", 422, "a check of the table does not allow it" },
	{ "22001", 422, "a text is too long for its column" },
	{ "22003", 422, "a number is out of its column's range" },
	{ "2200H", 422, "there are no more numbers for a column that is made" },
	{ "22", 422, "a value is none of its column's type" },
	{ "54000", 422, "a value is more than its column's type, or an index, can hold" },
	{ "42501", 403, "the API's role may not do it: rights, or row security" },
	{ "44", 422, "a view's check does not allow it" },
	{ "428C9", 422, "a column is made by the database: leave it out" },
};

static const struct refusal *refusal_of(const struct err *err)
{
	const char *sqlstate = resources_blames_value(err) ? "22" : err->sqlstate;

	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++)
		if (strncmp(sqlstate, refusals[i].sqlstate, strlen(refusals[i].sqlstate)) == 0)
			return &refusals[i];
	return NULL;
}

/* Whether what the server names is of this table. Of a partition its name is not known here: what a function does, such
 * as a trigger's, may be about any table. */
static bool is_own(const struct model_resource *resource, const struct err *err)
{
	return err->table[0] == '\0' || (resource->partitioned && err->of_values) ||
	       (strcmp(err->table, resource->relation) == 0 &&
		strcmp(err->schema, resource->schema) == 0);
}

/* What the server names, without looking at what was sent. NULL: nothing of this table. */
static const char *column_named(const struct model_resource *resource, const struct err *err)
{
	if (!is_own(resource, err))
		return NULL;
	int column = model_column_find(resource, err->column, strlen(err->column));

	if (err->column[0])
		return column < 0 ? NULL : resource->columns[column].name;
	return err->constraint[0] ? model_constraint_column(resource, err->constraint) : NULL;
}

void resources_explain(const struct model_resource *resource, const struct err *err, char *field,
		       size_t size, struct err *ret)
{
	const struct refusal *why = refusal_of(err);
	const char *name = column_named(resource, err);

	clip_text(field, size, name ? name : "");
	err_set(ret, "%s%s%s", field, *field ? ": " : "",
		why ? why->words : "the database does not allow it");
}

/* No other time would do: also what the table's rules or its deferred key do not let a statement do (0A, 55), as
 * against what the model did not know. */
static bool is_final(enum db_outcome outcome, const struct err *err)
{
	return outcome == DB_REFUSED ||
	       (outcome == DB_SCHEMA &&
		(strncmp(err->sqlstate, "0A", 2) == 0 || strncmp(err->sqlstate, "55", 2) == 0));
}

/* The column that is to blame; NULL: it is not known. What a trigger does may be refused for a column of another
 * table, which is nobody's business. */
static const char *column_to_blame(const struct request *r, const struct err *err)
{
	return err->column[0] || err->constraint[0] ? column_named(r->of->query.resource, err)
						    : column_quoted(r, err);
}

static bool on_refused(struct request *r, enum db_outcome outcome, const struct err *err)
{
	const struct refusal *why = refusal_of(err);
	const char *field = column_to_blame(r, err), *key = key_quoted(r, err);
	char name[64];

	if (!field && !key && resources_blames_value(err)) {
		const struct model_column *c = only_other(r->of);

		if (c && c->key >= 0 && r->of->verb != QUERY_INSERT)
			key = c->name;
		else if (c)
			field = c->name;
	}
	if (!why && resources_is_outdated(err))
		return resources_wait(r);
	if (!why && !is_final(outcome, err))
		return false;
	/* As GET answers it. */
	if (key && !field) {
		request_fail(r, 400, key, "a value is none of its column's type");
		return true;
	}
	clip_text(name, sizeof(name), field ? field : "");
	request_fail(r, why ? why->status : 422, field ? name : NULL, "%s%s%s", field ? name : "",
		     field ? ": " : "", why ? why->words : "the database does not allow it");
	return true;
}

struct relay *resources_relay(const struct service *service, const struct model_resource *resource)
{
	for (size_t i = 0; i < relays_count(service->relays); i++) {
		const char *stream;
		struct relay *relay = relays_get(service->relays, i, &stream);

		if (resource->stream && strcmp(stream, resource->stream) == 0)
			return relay;
	}
	return NULL;
}

static struct relay *relay_of(const struct request *r)
{
	return resources_relay(r->all->service, r->of->query.resource);
}

static const struct write_calls calls = {
	.params = params,
	.find = find,
	.row = on_row,
	.missing = on_missing,
	.refused = on_refused,
	.relay = relay_of,
	.version = 4,
};
