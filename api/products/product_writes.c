/*
 * product_writes.c: see product_writes.h.
 */
#include "api/products/product_writes.h"

#include <string.h>

#include "api/batch/scratch.h"
#include "api/products/row.h"
#include "api/products/sql/products_delete.sql.h"
#include "api/products/sql/products_delete_free.sql.h"
#include "api/products/sql/products_import.sql.h"
#include "api/products/sql/products_import_free.sql.h"
#include "api/products/sql/products_patch.sql.h"
#include "api/products/sql/products_patch_free.sql.h"
#include "api/products/sql/products_upsert.sql.h"
#include "api/products/sql/products_upsert_free.sql.h"
#include "api/products/sql/place.sql.h"
#include "api/products/sql/session_end.sql.h"
#include "api/products/sql/session_mark.sql.h"

#define OID_INT8       20
#define OID_UUID_ARRAY 2951
#define OID_TEXT_ARRAY 1009
#define OID_INT4_ARRAY 1007

static const unsigned types[] = { OID_UUID_ARRAY, OID_TEXT_ARRAY, OID_TEXT_ARRAY, OID_INT4_ARRAY };
static const unsigned mark_type[] = { OID_INT8 };

static const struct db_statement statements[PRODUCT_STATEMENTS] = {
	[PRODUCT_UPSERT] = { "upsert", sql_products_upsert, 4, types },
	[PRODUCT_UPSERT_FREE] = { "upsert_free", sql_products_upsert_free, 4, types },
	[PRODUCT_PATCH] = { "patch", sql_products_patch, 4, types },
	[PRODUCT_PATCH_FREE] = { "patch_free", sql_products_patch_free, 4, types },
	[PRODUCT_DELETE] = { "delete", sql_products_delete, 1, types },
	[PRODUCT_DELETE_FREE] = { "delete_free", sql_products_delete_free, 1, types },
	[PRODUCT_IMPORT] = { "import", sql_products_import, 4, types },
	[PRODUCT_IMPORT_FREE] = { "import_free", sql_products_import_free, 4, types },
	[PRODUCT_MARK] = { "mark", sql_session_mark, 1, mark_type },
	[PRODUCT_END] = { "end", sql_session_end, 1, mark_type },
	[PRODUCT_PLACE] = { "place", sql_place, 0, NULL },
};
const struct connector_kind product_write_kind = { statements, ARRAY_SIZE(statements), true };

/* ---- parameters ---- */

void product_arrays_begin(struct pgarray arrays[PRODUCT_ARRAYS])
{
	pgarray_begin(&arrays[0], PGARRAY_UUID);
	pgarray_begin(&arrays[1], PGARRAY_TEXT);
	pgarray_begin(&arrays[2], PGARRAY_TEXT);
	pgarray_begin(&arrays[3], PGARRAY_INT4);
}

void product_arrays_finish(struct pgarray arrays[PRODUCT_ARRAYS],
			   struct db_param ret[PRODUCT_ARRAYS])
{
	for (size_t i = 0; i < PRODUCT_ARRAYS; i++)
		ret[i] = pgarray_finish(&arrays[i]);
}

static void add_row(struct pgarray *arrays, const struct request *r)
{
	const struct product_input *in = &r->in;

	pgarray_add_uuid(&arrays[0], &r->id);
	if (in->given & PRODUCT_NAME)
		pgarray_add_text(&arrays[1], strbuf_str(&in->name), in->name.len);
	else
		pgarray_add_null(&arrays[1]);
	if (in->given & PRODUCT_PRICE)
		pgarray_add_text(&arrays[2], in->price, strlen(in->price));
	else
		pgarray_add_null(&arrays[2]);
	if (in->given & PRODUCT_STOCK)
		pgarray_add_int4(&arrays[3], in->stock);
	else
		pgarray_add_null(&arrays[3]);
}

static void write_params(struct request *const *rows, size_t n, struct db_param *ret)
{
	struct pgarray *arrays = scratch_arrays(store_of(rows[0])->scratch, PRODUCT_ARRAYS);

	product_arrays_begin(arrays);
	for (size_t i = 0; i < n; i++)
		add_row(arrays, rows[i]);
	product_arrays_finish(arrays, ret);
}

static void delete_params(struct request *const *rows, size_t n, struct db_param *ret)
{
	struct pgarray *ids = scratch_arrays(store_of(rows[0])->scratch, 1);

	pgarray_begin(ids, PGARRAY_UUID);
	for (size_t i = 0; i < n; i++)
		pgarray_add_uuid(ids, &rows[i]->id);
	ret[0] = pgarray_finish(ids);
}

/* ---- answers ---- */

static size_t find(struct request *const *rows, size_t n, const struct pg_result *res, int row,
		   size_t from)
{
	const char *id = db_value(res, row, 0);

	for (size_t tried = 0, at = from; tried < n; tried++, at = at + 1 < n ? at + 1 : 0)
		if (memcmp(rows[at]->id.b, id, sizeof(rows[at]->id.b)) == 0)
			return at;
	return n;
}

static void answer_row(struct request *r, const struct pg_result *res, int row)
{
	struct product_row p = row_read(res, row, 0);
	bool created = r->kind <= WRITE_UPSERT && db_value(res, row, 6)[0] != 0;

	if (created) {
		char location[] = "/api/products/xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

		uuid_to_text(&p.id, location + strlen("/api/products/"));
		http_header(r->http, "Location", location);
	}
	row_reply(r, created ? 201 : 200, &p,
		  created ? "Product created successfully" : "Product updated successfully");
}

static void answer_deleted(struct request *r, const struct pg_result *res, int row)
{
	(void)res;
	(void)row;
	strbuf_addstr(http_out(r->http), "{\"success\":true,\"data\":null,"
					 "\"message\":\"Product deleted successfully\"}");
	request_reply(r, 200);
}

static void answer_not_kept(struct request *r)
{
	request_fail(r, 422, NULL, "the database took the product but did not keep it");
}

static void answer_missing(struct request *r)
{
	request_fail(r, 404, NULL, "there is no product with this id");
}

static struct relay *relay_of(const struct request *r)
{
	return r->all->service->relay;
}

/* ---- the tables ---- */

static const struct write_calls upsert_calls = {
	.params = write_params,
	.find = find,
	.row = answer_row,
	.missing = answer_not_kept,
	.relay = relay_of,
	.version = 7,
};
static const struct write_calls patch_calls = {
	.params = write_params,
	.find = find,
	.row = answer_row,
	.missing = answer_missing,
	.relay = relay_of,
	.version = 6,
};
static const struct write_calls delete_calls = {
	.params = delete_params,
	.find = find,
	.row = answer_deleted,
	.missing = answer_missing,
	.relay = relay_of,
	.version = 2,
};

/* What is created has an id that nobody else can have locked. */
const struct write_statement product_writes[WRITE_KINDS] = {
	[WRITE_CREATE] = { &upsert_calls,
			   true,
			   4,
			   { PRODUCT_UPSERT, PRODUCT_UPSERT },
			   { NULL, NULL } },
	[WRITE_UPSERT] = { &upsert_calls,
			   true,
			   4,
			   { PRODUCT_UPSERT_FREE, PRODUCT_UPSERT },
			   { NULL, NULL } },
	[WRITE_PATCH] = { &patch_calls,
			  true,
			  4,
			  { PRODUCT_PATCH_FREE, PRODUCT_PATCH },
			  { NULL, NULL } },
	[WRITE_DELETE] = { &delete_calls,
			   true,
			   1,
			   { PRODUCT_DELETE_FREE, PRODUCT_DELETE },
			   { NULL, NULL } },
};
