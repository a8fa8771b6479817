/*
 * import.h: POST /api/products/import: products, one a line, of any number. A worker's thread.
 *
 * Lines fill a batch; up to IMPORT_BATCHES of them are at the database, each on a connection of its
 * own, while the next one is filled. import_private.h lists the states.
 *
 *   1. No id is in two batches that are at the database: lines with the same id must take effect in
 *      their order, also when the first batch has to be done again. If nobody knows whether it was
 *      done, the session that it was sent to is ended first: else it might be done once more, later.
 *   2. Each batch is one transaction. What was committed stays, whatever comes after.
 *   3. A batch that is refused for its data is halved until the row at fault is alone.
 *   4. If there is no room for a line, the client's connection rests: memory is bounded.
 *   5. If there are as many imports as may be, the slowest client gives way to a new one (tempo.h),
 *      so that some that send next to nothing do not keep out all others.
 */
#ifndef PGFANOUT_API_PRODUCTS_IMPORT_H
#define PGFANOUT_API_PRODUCTS_IMPORT_H

#include "api/batch/tempo.h"
#include "api/batch/store.h"

#define IMPORT_BATCHES POOL_BULK_LINKS /* of one import at the database */

struct import_batch;

/* All imports of a worker. Zeroed: there are none. */
struct imports {
	size_t n, max;
	struct tempos tempos;			      /* of the n */
	struct import_batch *waiting;		      /* for a bulk link, first come first served */
	struct import_batch *current[IMPORT_BATCHES]; /* in flight, by bulk link */
};

void import_start(struct request *r); /* the head is here: streams the body or refuses */
/* Returns how many bytes it took. Fewer than len: the connection rests until http_resume(). */
size_t import_data(struct request *r, const char *data, size_t len);
void import_end(struct request *r); /* the body has ended */
/* At the end of a turn: batches that wait go to links that are free. */
void import_dispatch(struct store *s);
/* Gives up imports whose batches have waited too long for a link. */
void import_tick(struct store *s);

#endif
