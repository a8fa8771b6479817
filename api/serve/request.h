/*
 * request.h: one request on its way through a worker: the states, who holds it, and how it is answered.
 *
 * Everything here belongs to one worker's thread.
 *
 *   state               where it is                              what moves it on
 *   REQUEST_RECEIVING   http.c collects its body                 whole(): the route's handler
 *   REQUEST_QUEUED      in a queue of a link or the write store  dispatch at the end of a turn; its deadline
 *   REQUEST_IN_FLIGHT   part of a unit at a database             the unit's answer; its deadline
 *   REQUEST_DELAYED     a write that is worth another try, a     not_before reached, a connection; its deadline
 *                       read that no database can take yet
 *   REQUEST_STREAMING   a list or an import with a machine of    list.c, import.c
 *                       its own
 *   REQUEST_ANSWERED    http.c has the answer                    gone()
 *
 * References: one while http.c knows the request (until gone()), one for each unit it is part of. A unit that comes back
 * late finds the request ANSWERED and only drops its reference; the memory goes back to the worker when nobody is left.
 */
#ifndef PGFANOUT_API_SERVE_REQUEST_H
#define PGFANOUT_API_SERVE_REQUEST_H

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/http/http.h"
#include "common/wire/product.h"
#include "common/base/uuid.h"

struct worker;
struct route;
struct upstream;
struct link;
struct list;
struct import;

enum request_state {
	REQUEST_RECEIVING,
	REQUEST_QUEUED,
	REQUEST_IN_FLIGHT,
	REQUEST_DELAYED,
	REQUEST_STREAMING,
	REQUEST_ANSWERED,
};

enum write_kind { WRITE_UPSERT, WRITE_PATCH, WRITE_DELETE, WRITE_KINDS };

struct request_queue {
	struct request *head, *tail;
	size_t n;
};

struct request {
	struct worker *worker;
	struct http_request *http; /* NULL after gone() */
	const struct route *route;
	unsigned refs;
	enum request_state state;
	bool counted;		       /* among the worker's requests in flight */
	struct mono began, deadline;   /* never: none */
	struct request *older, *newer; /* the worker's list by deadline */
	struct request *prev, *next;   /* in queue, or next free */
	struct request_queue *queue;

	struct uuid id; /* from the path, the body, or made here */

	/* reads */
	uint64_t tried; /* bit n: replica n did not answer this one */
	bool tried_primary;
	const struct link *asked; /* last, of those in flight */
	int limit;		  /* of a page */
	struct uuid after;
	bool has_after;
	struct list *list;
	const struct upstream *home; /* of a list that has begun: where the last chunk came from */

	/* writes */
	enum write_kind kind;
	bool alone;	/* not to be batched any more */
	unsigned tries; /* refused for the moment so often */
	struct mono not_before;
	struct product_input in;
	struct import *import;
};

/* ---- queues ---- */
void queue_push(struct request_queue *q, struct request *r);
void queue_remove(struct request *r);		    /* from whatever queue it is in, if any */
struct request *queue_pop(struct request_queue *q); /* NULL: empty */

/* ---- life ---- */
struct request *request_new(struct worker *w, struct http_request *http);
struct request *request_ref(struct request *r);
void request_unref(struct request *r);
/* Counts it among those in flight and sets its deadline; false: the worker has enough, it was answered with 503. */
MUST_CHECK bool request_admit(struct request *r);
/* Gives it up in whatever state it is: out of queue and deadline list, no longer counted; ANSWERED. */
void request_settle(struct request *r);
/* Answers those whose deadline has passed. */
void request_expire(struct worker *w);

/* ---- answers: each settles the request ---- */
void request_reply(struct request *r, int status); /* http_out() holds the body */
void request_fail(struct request *r, int status, const char *field, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
/* 503 with Retry-After. */
void request_unavailable(struct request *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* A reader's or writer's product: open is what product_write_open() makes, from these columns. */
struct product_row {
	struct uuid id;
	const char *name;
	size_t name_len;
	const char *price;
	size_t price_len;
	int32_t stock;
	int64_t created_us, updated_us;
};
void request_reply_product(struct request *r, int status, const struct product_row *row,
			   const char *message);
void request_served_by(struct request *r, const struct upstream *up);

#endif
