/*
 * list.h: the full list of products, streamed; and pages, which are one chunk with another
 * envelope. A worker's thread.
 *
 * The list is read in chunks of LIST_CHUNK rows, each a short statement "after the last id" of its
 * own: no transaction stays open while a slow client reads, so vacuum and a reset of the replica
 * are not held up, and memory is two chunks whatever the table's size. What it costs: the list is
 * no snapshot of one moment; products that are created or deleted while it is sent may or may not
 * be in it, all others are, each once.
 *
 * If there are as many lists as may be, the client that reads slowest gives way to a new one
 * (tempo.h): its connection is cut.
 *
 * If the replica fails in the middle, the list goes on from the last id on another database. If
 * none answers, the connection is cut: a client must not take a short list for the whole one.
 */
#ifndef PGFANOUT_API_PRODUCTS_LIST_H
#define PGFANOUT_API_PRODUCTS_LIST_H

#include "api/products/tempo.h"
#include "api/products/store.h"

struct lists {
	size_t n, max;
	struct tempos tempos;	      /* of the n */
	struct request_queue waiting; /* running ones that no database can serve now */
};

#define LIST_CHUNK 500

/* Both begin; the request is answered in the end. A page: limit (one more than is shown), after,
 * has_after. */
void list_start(struct request *r);
void page_start(struct request *r);
void list_tick(struct store *s);

#endif
