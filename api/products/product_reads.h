/*
 * product_reads.h: the statements that read products, and what becomes of their rows. A worker's thread.
 */
#ifndef PGFANOUT_API_PRODUCTS_PRODUCT_READS_H
#define PGFANOUT_API_PRODUCTS_PRODUCT_READS_H

#include "api/batch/list.h"

/* The statements' texts are made with the first call, before any thread. */
#define PRODUCT_MARKS 6
struct connector_kind product_read_kind(bool primary);

/* By request->id; the first ones, and those behind request->after. [1]: with the database's place. */
extern const struct read_statement product_by_id[2], product_first[2], product_after[2];
extern const struct list_calls product_listing;

#endif
