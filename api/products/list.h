/*
 * list.h: the full list of products, streamed. A worker's thread.
 *
 * The list is read in chunks of LIST_CHUNK rows, each a short statement "after the last id" of its own: no transaction stays
 * open while a slow client reads, so vacuum and a reset of the replica are not held up, and memory is two chunks
 * whatever the table's size. What it costs: the list is no snapshot of one moment; products that are created or deleted while
 * it is sent may or may not be in it, all others are, each once.
 *
 * If the replica fails in the middle, the list goes on from the last id on another database. If none answers, the
 * connection is cut: a list that is well-formed but short must not be.
 *
 *   chunk states: idle -> asked (scan_submit) -> filled (list_chunk) -> idle (the reader took it); ended after the last
 */
#ifndef PGFANOUT_API_PRODUCTS_LIST_H
#define PGFANOUT_API_PRODUCTS_LIST_H

#include "api/pool/upstreams.h"

struct list;

struct lists {
	size_t n;
	struct request_queue waiting; /* running ones that no database can serve now */
};

#define LIST_CHUNK 500

/* Begins; the request is answered in the end. */
void list_start(struct request *r);
/* A chunk came (r of LIST_CHUNK rows asked), from this upstream. */
void list_chunk(struct request *r, const struct pg_result *rows, const struct upstream *up);
/* No database could serve the chunk. */
void list_failed(struct request *r);
void list_tick(struct worker *w);
void list_free(struct request *r); /* when the request goes */

#endif
