/*
 * read_batch.h: reads on their way to a database: products by id, many in one unit, and scans (a page or a chunk of a list),
 * one a unit. A worker's thread.
 *
 * Reads by id that wait for the same link are sent as one unit; at most READ_UNITS are in flight on it, and what comes
 * meanwhile is the next. A read that a database does not answer goes to the next one (replicas_pick), with the primary as
 * the last. A read for which there is none, but soon will be (replicas_expected), waits within its deadline.
 */
#ifndef PGFANOUT_API_PRODUCTS_READ_BATCH_H
#define PGFANOUT_API_PRODUCTS_READ_BATCH_H

#include "api/pool/upstreams.h"
#include "common/pg/pgarray.h"

struct read_unit;
struct scan_unit;

struct read_batches {
	struct request_queue waiting; /* for a link that the connector is opening */
	struct pgarray ids;
	struct read_unit *free_units;
	struct scan_unit *free_scans;
};

extern const struct db_statement read_statements[];
extern const size_t read_statement_count;

void read_batches_init(struct read_batches *b);
void read_batches_clear(struct read_batches *b);

/* request->id is wanted; it is answered in the end. */
void read_submit(struct request *r);
/* A page (list NULL) or the next chunk of request->list: limit, has_after, after. */
void scan_submit(struct request *r);

void read_dispatch(struct link *l);
/* The link is silent (silence.h): others are asked as well. */
void read_hedge(struct link *l);
/* Looks again for those that wait. */
void read_tick(struct worker *w);
/* Sends what waits for a link that is no more elsewhere. */
void read_reroute(struct link *l);

/* The columns of a row from column `first` on. */
struct product_row read_row(const struct pg_result *r, int row, int first);

#endif
