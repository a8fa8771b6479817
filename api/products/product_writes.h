/*
 * product_writes.h: the statements that write products, and what becomes of their rows. A worker's thread.
 */
#ifndef PGFANOUT_API_PRODUCTS_PRODUCT_WRITES_H
#define PGFANOUT_API_PRODUCTS_PRODUCT_WRITES_H

#include "api/batch/statements.h"
#include "common/pg/pgarray.h"

/* The statements of product_write_kind, by number: those that are prepared with each connection. Imports have
 * their own: a mark, and what ends the session that has it. PLACE: where the primary's WAL is. */
enum {
	PRODUCT_UPSERT,
	PRODUCT_UPSERT_FREE,
	PRODUCT_PATCH,
	PRODUCT_PATCH_FREE,
	PRODUCT_DELETE,
	PRODUCT_DELETE_FREE,
	PRODUCT_IMPORT,
	PRODUCT_IMPORT_FREE,
	PRODUCT_MARK,
	PRODUCT_END,
	PRODUCT_PLACE,
	PRODUCT_STATEMENTS
};
extern const struct connector_kind product_write_kind;

extern const struct write_statement product_writes[WRITE_KINDS];

/* The parameters of most: ids, names, prices, stocks. */
#define PRODUCT_ARRAYS 4
void product_arrays_begin(struct pgarray arrays[PRODUCT_ARRAYS]);
void product_arrays_finish(struct pgarray arrays[PRODUCT_ARRAYS],
			   struct db_param ret[PRODUCT_ARRAYS]);

#endif
