/*
 * import.h: POST /api/products/import: products line by line, of any number, in batches. A worker's thread.
 *
 * States of an import, and what moves it on:
 *   reading    lines come; a batch fills up                 batch full, an id twice in it, or the end of the body
 *   waiting    a full batch while two others are at the     the database's answer
 *              database, or one that has an id of it: the
 *              client's connection rests
 *   finishing  the body has ended, batches are under way    the last answer -> 200
 *   failed     the database refused for good                the rest of the body is thrown away -> 503
 *
 * Up to IMPORT_BATCHES are at the database, each on a connection of its own, while the next is filled. No id is in two of them:
 * lines with the same id must take effect in their order, also when the first batch has to be redone. Each batch is one
 * transaction; what was committed stays, whatever comes after. A batch that is refused for its data is halved until the row at
 * fault is alone.
 */
#ifndef PGFANOUT_API_PRODUCTS_IMPORT_H
#define PGFANOUT_API_PRODUCTS_IMPORT_H

#include "api/products/store.h"
#include "common/pg/pgarray.h"

#define IMPORT_BATCHES POOL_BULK_LINKS /* of an import at the database */

struct import_batch;

struct imports {
	size_t n, max;
	struct import_batch *waiting, *waiting_last;  /* for a bulk link, first come first served */
	struct import_batch *current[IMPORT_BATCHES]; /* in flight, by bulk link */
	struct pgarray ids, names, prices, stocks;
};

void imports_clear(struct imports *s);

void import_start(struct request *r); /* the head is here: streams the body or refuses */
size_t import_data(struct request *r, const char *data, size_t len);
void import_end(struct request *r); /* the body has ended */
void import_dispatch(struct store *s);
void import_tick(struct store *s);

#endif
