/*
 * resources_import.c: POST /api/users/import: rows, one a line (batch/import.h). A worker's thread.
 *
 * A row with its whole key is created or replaced, as by PUT; one without is created, as by POST. Where a key may be
 * written in several ways (1.0 and 1.00) each row with one is a batch, and waits for the one before. A batch is of
 * lines with the same columns, so that it is one statement: a line with others begins the next batch. In the
 * rows' bytes a value is its length (-1: NULL) and its text, in the order of the columns; the key comes first.
 *
 * A batch holds the model that its lines were read against. If the table was altered since, the columns are
 * looked up once more by their names.
 */
#include <stdlib.h>
#include <string.h>

#include "api/batch/import.h"
#include "api/batch/import_rows.h"
#include "api/resources/resources_private.h"
#include "common/base/clip.h"

struct batch_data {
	struct service *service;
	struct store *store;
	char *name; /* of the resource */
	struct model
		*model; /* a reference; these: of the batch's lines, NULL while there are none */
	const struct model_resource *resource;
	enum query_verb verb;
	size_t *columns, ncolumns;
	struct made *made[2]; /* references */
	struct row_input in;  /* of the line that is being read */
};

static void *data_new(struct request *r)
{
	struct batch_data *d = xcalloc(1, sizeof(*d));

	d->service = r->all->service;
	d->store = store_of(r);
	d->name = xstrdup(r->of->query.resource->name);
	return d;
}

static void forget(struct batch_data *d)
{
	resources_drop_made(d->made);
	free(d->columns);
	d->columns = NULL;
	d->ncolumns = 0;
	model_unref(d->model);
	d->model = NULL;
	d->resource = NULL;
}

static void data_free(void *data)
{
	struct batch_data *d = data;

	forget(d);
	row_input_clear(&d->in);
	free(d->name);
	free(d);
}

static void data_begin(void *data)
{
	forget(data);
}

/* ---- lines ---- */

static enum import_taken reject(struct import_fault *fault, const char *field, const char *text)
{
	clip_text(fault->field, sizeof(fault->field), field);
	err_set(&fault->err, "%s", text);
	return IMPORT_REJECTED;
}

/* The newest model, for the first line of a batch. */
static bool take_model(struct batch_data *d)
{
	const struct model *m = catalog_view(&d->store->resources->view, d->service->models);
	const struct model_resource *resource = m ? model_find(m, d->name, strlen(d->name)) : NULL;

	if (!resource)
		return false;
	d->model = model_ref(m);
	d->resource = resource;
	return true;
}

static bool has_columns(const struct batch_data *d)
{
	if (d->in.n != d->ncolumns)
		return false;
	for (size_t i = 0; i < d->ncolumns; i++)
		if (d->in.values[i].column != d->columns[i])
			return false;
	return true;
}

static void take_columns(struct batch_data *d, enum query_verb verb)
{
	d->verb = verb;
	d->ncolumns = d->in.n;
	d->columns = xcalloc(d->ncolumns + 1, sizeof(d->columns[0]));
	for (size_t i = 0; i < d->ncolumns; i++)
		d->columns[i] = d->in.values[i].column;
}

/* The columns that the statement writes beside the key. */
static size_t other_columns(const struct batch_data *d, size_t *ret)
{
	size_t n = 0;

	for (size_t i = 0; i < d->ncolumns; i++)
		if (d->verb == QUERY_INSERT || d->resource->columns[d->columns[i]].key < 0)
			ret[n++] = d->columns[i];
	return n;
}

static bool make(struct batch_data *d)
{
	AUTO_FREE size_t *columns = xcalloc(d->ncolumns + 1, sizeof(*columns));
	struct query_write w = { .resource = d->resource,
				 .verb = d->verb,
				 .columns = columns,
				 .ncolumns = other_columns(d, columns),
				 .brief = true };

	resources_drop_made(d->made);
	return resources_make_write(d->store->made, d->model, &w, d->made);
}

static void add_value(struct strbuf *bytes, const struct row_input *in, const struct row_value *v)
{
	int32_t len = v->null ? -1 : (int32_t)v->len;

	strbuf_add(bytes, (const char *)&len, sizeof(len));
	if (!v->null)
		strbuf_add(bytes, in->text.data + v->at, v->len);
}

static void add_bytes(struct batch_data *d, struct strbuf *bytes)
{
	const struct model_resource *r = d->resource;

	for (size_t k = 0; d->verb != QUERY_INSERT && k < r->nkey; k++)
		add_value(bytes, &d->in, row_input_find(&d->in, r->key[k]));
	for (size_t i = 0; i < d->in.n; i++)
		if (d->verb == QUERY_INSERT || r->columns[d->in.values[i].column].key < 0)
			add_value(bytes, &d->in, &d->in.values[i]);
}

/* Of those that only the database can make. */
static const char *made_column(const struct batch_data *d)
{
	for (size_t i = 0; i < d->in.n; i++)
		if (d->resource->columns[d->in.values[i].column].identity_always)
			return d->resource->columns[d->in.values[i].column].name;
	return NULL;
}

static void name_line(struct uuid *ret, uint64_t number)
{
	memset(ret->b, 0, sizeof(ret->b));
	for (size_t i = 0; i < sizeof(number); i++)
		ret->b[sizeof(ret->b) - 1 - i] = (unsigned char)(number >> 8 * i);
}

static enum import_taken take(void *data, struct import_rows *rows, const char *line, size_t len,
			      uint64_t number, struct import_fault *fault)
{
	struct batch_data *d = data;
	struct row_fault why = { 0 };
	struct uuid id;

	if (!d->model && !take_model(d))
		return reject(fault, "", "the table of this resource is not replicated now");
	if (!row_input_read(&d->in, d->resource, line, len, &why))
		return reject(fault, why.field, why.err.text);
	if (d->in.n == 0)
		return reject(fault, "", "the line has no column");
	if (made_column(d))
		return reject(fault, made_column(d), "it is made by the database: leave it out");
	enum query_verb verb = QUERY_REPLACE;

	if (!row_name(&id, d->resource, &d->in)) {
		verb = QUERY_INSERT;
		name_line(&id, number); /* so that they are made in the order of their lines */
	} else if (!model_key_is_exact(d->resource)) {
		name_line(&id, 0); /* any two may be one row: they are written one by one */
	}

	if (rows->n > 0 && (verb != d->verb || !has_columns(d)))
		return IMPORT_NEXT;
	if (!import_rows_add(rows, &id, number))
		return IMPORT_NEXT;
	if (rows->n == 1)
		take_columns(d, verb);
	add_bytes(d, &rows->bytes);
	return IMPORT_TAKEN;
}

/* ---- another model ---- */

/* The columns as they are in another model, found by their names. False: the rows do not fit it. */
static bool follow(struct batch_data *d, const struct model *m, const struct model_resource *now)
{
	AUTO_FREE size_t *columns = xcalloc(d->ncolumns + 1, sizeof(*columns));

	for (size_t i = 0; i < d->ncolumns; i++) {
		const struct model_column *was = &d->resource->columns[d->columns[i]];
		int place = model_column_find(now, was->name, strlen(was->name));

		if (place < 0 || now->columns[place].key != was->key)
			return false;
		columns[i] = (size_t)place;
	}
	if (now->nkey != d->resource->nkey)
		return false;
	memcpy(d->columns, columns, d->ncolumns * sizeof(*columns));
	model_unref(d->model);
	d->model = model_ref(m);
	d->resource = now;
	resources_drop_made(d->made);
	return true;
}

static void follow_newest(struct batch_data *d)
{
	const struct model *m = catalog_view(&d->store->resources->view, d->service->models);
	const struct model_resource *now = model_find(m, d->name, strlen(d->name));

	if (now && (now->table != d->resource->table || now->shape != d->resource->shape))
		(void)follow(d, m, now); /* or the database refuses the rows once more */
}

static bool is_outdated(void *data, const struct err *err)
{
	struct batch_data *d = data;

	if (!resources_is_outdated(err))
		return false;
	catalog_refresh(d->service->catalog, d->model->number);
	return true;
}

static bool blames_row(void *data, const struct err *err)
{
	(void)data;
	return resources_blames_value(err) || err->of_row;
}

/* ---- statements ---- */

static const char *add_to_array(struct pgarray *array, const char *at)
{
	int32_t len;

	memcpy(&len, at, sizeof(len));
	at += sizeof(len);
	if (len < 0)
		pgarray_add_null(array);
	else
		pgarray_add_text(array, at, (size_t)len);
	return at + (len < 0 ? 0 : len);
}

static size_t statement(void *data, const struct import_rows *rows, size_t from, size_t to,
			bool careful, struct link *l, struct scratch *scratch,
			struct db_param **ret_params)
{
	struct batch_data *d = data;
	size_t n = d->ncolumns;
	struct pgarray *arrays = scratch_arrays(scratch, n);

	for (size_t c = 0; c < n; c++)
		pgarray_begin(&arrays[c], PGARRAY_TEXT);
	for (size_t i = from; i < to; i++) {
		const char *at = rows->bytes.data + rows->list[i].at;

		for (size_t c = 0; c < n; c++)
			at = add_to_array(&arrays[c], at);
	}
	*ret_params = scratch_params(scratch, n);
	for (size_t c = 0; c < n; c++)
		(*ret_params)[c] = pgarray_finish(&arrays[c]);
	follow_newest(d);
	if (!d->made[WRITE_WAITS] && !make(d)) /* the last one that it makes */
		return IMPORT_NO_STATEMENT;
	return made_number(d->made[careful ? WRITE_FREE : WRITE_WAITS], l);
}

static int count_created(void *data, struct import_rows *rows, size_t from, size_t to, bool careful,
			 const struct pg_result *res, int *ret_written)
{
	int created = 0, n = db_rows(res);

	(void)data;
	(void)careful;
	*ret_written = 0;
	for (int i = 0; i < n; i++) {
		if (db_is_null(res, i, 1)) {
			int64_t number = pg_get_int8(db_value(res, i, 0));

			if (number >= 1 && (uint64_t)number <= to - from)
				rows->list[from + (size_t)number - 1].locked = true;
			continue;
		}
		++*ret_written;
		created += db_value(res, i, 2)[0] != 0;
	}
	return created;
}

static void explain(void *data, const struct err *err, struct import_fault *ret)
{
	const struct batch_data *d = data;

	resources_explain(d->resource, err, ret->field, sizeof(ret->field), &ret->err);
}

static struct relay *relay_of(void *data)
{
	const struct batch_data *d = data;

	return resources_relay(d->service, d->resource);
}

/* ---- handler ---- */

void resources_import(struct request *r)
{
	static const struct import_calls calls = {
		.new = data_new,
		.free = data_free,
		.begin = data_begin,
		.take = take,
		.statement = statement,
		.created = count_created,
		.refused = explain,
		.outdated = is_outdated,
		.blames_row = blames_row,
		.relay = relay_of,
	};
	const struct model *m = resources_model(r);
	const struct model_resource *resource = m ? resources_find(r, m, r->part[0]) : NULL;

	if (!resource)
		return;
	resources_init(r, NULL, NULL); /* nothing of it is read again */
	r->of->query.model = model_ref(m);
	r->of->query.resource = resource;
	import_start(r, &calls, resources_envelope(r) ? "Rows imported successfully" : NULL);
}
