/*
 * read_batch.h: reads on their way to a database: products by id, many in one unit, and scans (a
 * page or a chunk of a list), one a unit. A worker's thread.
 *
 * Reads by id that wait for the same link are sent as one unit; at most READ_UNITS are in flight on
 * it, and what comes meanwhile is the next. A read that a database does not answer goes to the next
 * one (choice.h), the primary last. A read for which there is none, but soon will be, waits within
 * its deadline.
 */
#ifndef PGFANOUT_API_PRODUCTS_READ_BATCH_H
#define PGFANOUT_API_PRODUCTS_READ_BATCH_H

#include "api/products/store.h"
#include "common/pg/pgarray.h"

struct read_unit;

struct read_batches {
	struct request_queue points[POOL_READS_MAX], scans[POOL_READS_MAX]; /* by link->number */
	struct request_queue waiting; /* for a link that the connector is opening */
	struct pgarray ids;
	struct read_unit *free_points, *free_scans;
};

extern const struct connector_kind read_kind;

/* Zeroed: nothing is under way. */
void read_batches_clear(struct read_batches *b);

/* By request->want.id; or, with request->scan, a page or a chunk of a list: limit, has_after,
 * after. It is answered in the end. */
void read_submit(struct request *r);
void read_dispatch(struct store *s);
/* Looks again for those that wait, and for those whose link is silent (silence.h). */
void read_tick(struct store *s);

#endif
