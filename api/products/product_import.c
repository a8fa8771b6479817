/*
 * product_import.c: see product_import.h.
 *
 * In the rows' bytes a product is a struct packed and its name behind it.
 */
#include "api/products/product_import.h"

#include <stdlib.h>
#include <string.h>

#include "api/batch/import.h"
#include "api/batch/import_rows.h"
#include "api/products/product_writes.h"
#include "common/base/clip.h"

struct packed {
	char price[PRODUCT_PRICE_MAX];
	int32_t stock;
	size_t name_len;
};

struct batch_data {
	struct service *service;
	struct product_input in; /* of the line that is being read */
};

static void *data_new(struct request *r)
{
	struct batch_data *d = xcalloc(1, sizeof(*d));

	d->service = r->all->service;
	return d;
}

static void data_free(void *data)
{
	struct batch_data *d = data;

	product_input_clear(&d->in);
	free(d);
}

static void data_begin(void *data)
{
	(void)data;
}

static enum import_taken take(void *data, struct import_rows *rows, const char *line, size_t len,
			      uint64_t number, struct import_fault *ret)
{
	const unsigned required = PRODUCT_NAME | PRODUCT_PRICE | PRODUCT_STOCK;
	struct batch_data *d = data;
	struct product_fault fault = { 0 };

	if (!product_parse(line, len, required, required | PRODUCT_ID, &d->in, &fault)) {
		clip_text(ret->field, sizeof(ret->field), fault.field);
		ret->err = fault.err;
		return IMPORT_REJECTED;
	}
	if (!(d->in.given & PRODUCT_ID))
		uuid_make(&d->in.id);
	if (!import_rows_add(rows, &d->in.id, number))
		return IMPORT_NEXT;
	struct packed p = { .stock = d->in.stock, .name_len = d->in.name.len };

	memcpy(p.price, d->in.price, sizeof(p.price));
	strbuf_add(&rows->bytes, (const char *)&p, sizeof(p));
	strbuf_add(&rows->bytes, strbuf_str(&d->in.name), d->in.name.len);
	return IMPORT_TAKEN;
}

static size_t statement(void *data, const struct import_rows *rows, size_t from, size_t to,
			bool careful, struct link *l, struct scratch *scratch,
			struct db_param **ret_params)
{
	struct pgarray *arrays = scratch_arrays(scratch, PRODUCT_ARRAYS);

	(void)data;
	(void)l;
	product_arrays_begin(arrays);
	for (size_t i = from; i < to; i++) {
		const struct import_row *row = &rows->list[i];
		const char *at = rows->bytes.data + row->at;
		struct packed p;

		memcpy(&p, at, sizeof(p));
		pgarray_add_uuid(&arrays[0], &row->id);
		pgarray_add_text(&arrays[1], at + sizeof(p), p.name_len);
		pgarray_add_text(&arrays[2], p.price, strlen(p.price));
		pgarray_add_int4(&arrays[3], p.stock);
	}
	*ret_params = scratch_params(scratch, PRODUCT_ARRAYS);
	product_arrays_finish(arrays, *ret_params);
	return careful ? PRODUCT_IMPORT_FREE : PRODUCT_IMPORT;
}

/* Rows of products_import_free.sql: one with the counts, one for each product that is locked. */
static int take_locked(struct import_rows *rows, size_t from, size_t to,
		       const struct pg_result *res)
{
	int created = 0;

	for (int i = 0; i < db_rows(res); i++) {
		struct uuid id;

		if (db_is_null(res, i, 0)) {
			created = pg_get_int4(db_value(res, i, 1));
			continue;
		}
		memcpy(id.b, db_value(res, i, 0), sizeof(id.b));
		import_rows_lock(rows, from, to, &id);
	}
	return created;
}

/* Of products_import.sql one for each product. */
static int count_created(void *data, struct import_rows *rows, size_t from, size_t to, bool careful,
			 const struct pg_result *res, int *ret_written)
{
	int created = 0;

	(void)data;
	*ret_written = careful ? (int)(to - from) + 1 - db_rows(res) : db_rows(res);
	if (careful)
		return take_locked(rows, from, to, res);
	for (int i = 0; i < db_rows(res); i++)
		created += db_value(res, i, 0)[0] != 0;
	return created;
}

static struct relay *relay_of(void *data)
{
	const struct batch_data *d = data;

	return d->service->relay;
}

static const struct import_calls calls = {
	.new = data_new,
	.free = data_free,
	.begin = data_begin,
	.take = take,
	.statement = statement,
	.created = count_created,
	.relay = relay_of,
};

void products_import(struct request *r)
{
	import_start(r, &calls, "Products imported successfully");
}
