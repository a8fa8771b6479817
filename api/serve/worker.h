/*
 * worker.h: one of the threads that do the work. Workers share next to nothing: each has its own
 * loop, HTTP server and connections.
 *
 * A turn of the loop:
 *   1. what the databases answered: callbacks answer requests, which resumes their connections;
 *   2. http_run(): sends those answers, reads new requests, which queue up;
 *   3. dispatch: what is queued becomes units, as many requests in one as there are, and is sent.
 * So nobody waits for a timer, and the busier it is, the larger the batches.
 */
#ifndef PGFANOUT_API_SERVE_WORKER_H
#define PGFANOUT_API_SERVE_WORKER_H

#include "api/serve/service.h"

struct worker;

/* The sockets are taken over, also on failure. */
struct worker *worker_new(unsigned number, struct service *service,
			  const struct http_sockets *sockets, struct err *err);
MUST_CHECK bool worker_start(struct worker *w, struct err *err);
void worker_stop(struct worker *w); /* asks; any thread */
void worker_join(struct worker *w); /* one that was started */
/* After worker_join(), or never started; after the connectors have stopped. NULL is fine. */
void worker_free(struct worker *w);

#endif
