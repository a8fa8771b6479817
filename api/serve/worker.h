/*
 * worker.h: one of the threads that do the work. Share-nothing: each has its own loop, HTTP server and connections.
 *
 * A turn of the loop:
 *   1. what the databases answered: callbacks give answers to requests, which resumes their connections;
 *   2. http_run(): sends those answers, reads new requests, which queue up;
 *   3. dispatch: what is queued becomes units, as many requests in one as are there, and is sent.
 * So nobody waits for a timer, and the busier it is, the larger the batches.
 */
#ifndef PGFANOUT_API_SERVE_WORKER_H
#define PGFANOUT_API_SERVE_WORKER_H

#include "api/products/import.h"
#include "api/products/list.h"
#include "api/products/read_batch.h"
#include "api/pool/upstreams.h"
#include "api/serve/request.h"
#include "api/settings.h"
#include "api/products/write_batch.h"

#define WORKER_WRITE_LINKS 2

struct service;

struct worker {
	unsigned number; /* these: immutable after the start */
	const struct api_settings *settings;
	struct service *service;
	struct upstreams *upstreams;
	size_t max_in_flight, max_lists, max_imports;
	int epoll_fd;
	int wake_fd; /* eventfd: something is in the inbox, or stop */
	pthread_t thread;
	bool started;

	pthread_mutex_t inbox_lock;
	struct link *arrived; /* under inbox_lock */
	atomic_bool stopping;

	/* The rest belongs to the thread. */
	struct http_server *http;
	struct mono now; /* of this turn */
	bool ended;	 /* no request is left: links are not opened again */
	struct mono next_tick;
	struct link *links;
	size_t nlinks;
	struct link **points, **scans; /* by upstream index: the link for that role */
	struct wrong_view *wrong;      /* by upstream index */
	struct link *writes[WORKER_WRITE_LINKS];
	struct link *bulk[IMPORT_BATCHES];
	size_t turn; /* whose turn it is, replicas_pick() */
	uint64_t dice;

	size_t in_flight;
	struct request *oldest, *newest; /* by deadline */
	struct request *free_requests;
	size_t nfree;
	struct read_batches reads;
	struct write_batches writing;
	struct lists lists;
	struct imports imports;
	size_t seen_in_flight, seen_connections; /* as last added to the metrics */
};

/* listen_fd is taken over, also on failure. */
struct worker *worker_new(unsigned number, const struct api_settings *settings,
			  struct service *service, struct upstreams *upstreams, int listen_fd,
			  struct err *err);
MUST_CHECK bool worker_start(struct worker *w, struct err *err);
void worker_stop(struct worker *w); /* asks; any thread */
void worker_join(struct worker *w);
/* After worker_join() and after the connectors have stopped. NULL is fine. */
void worker_free(struct worker *w);

/* Hands an opened connection over. Any thread. */
void worker_deliver(struct link *l, struct db *db);

#endif
