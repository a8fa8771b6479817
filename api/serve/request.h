/*
 * request.h: one request on its way through a worker, and the requests of a worker: who holds them,
 * and how they are answered.
 *
 * Everything here belongs to one worker's thread. References: one while http.c knows the request
 * (until gone()), one for each unit it is part of. A unit that comes back late finds the request
 * ANSWERED and only drops its reference; the memory is used again when nobody is left.
 */
#ifndef PGFANOUT_API_SERVE_REQUEST_H
#define PGFANOUT_API_SERVE_REQUEST_H

#include "api/pool/choice.h"
#include "api/serve/service.h"
#include "common/http/http.h"
#include "common/wire/product.h"

struct list;
struct list_calls;
struct import;
struct read_statement;
struct write_statement;
struct resource_request;

/* Where a request is; after the semicolon what moves it on. */
enum request_state {
	REQUEST_RECEIVING, /* http.c collects its body; whole(): the route's handler */
	REQUEST_QUEUED,	   /* to be sent; the store's dispatch at the end of a turn, its deadline */
	REQUEST_IN_FLIGHT, /* part of a unit at a database; the unit's answer, its deadline */
	REQUEST_DELAYED,   /* a write to be tried again, a read that no database can take yet;
			    * not_before, a connection, its deadline */
	REQUEST_LOCKED, /* a write that somebody else's lock keeps waiting; write_batch_wait.c, its
			    * deadline */
	REQUEST_STREAMING, /* a list or an import; list.c, import.c */
	REQUEST_ANSWERED,  /* http.c has the answer; gone() */
};

/* CREATE: under an id that was made here, which nobody else can have locked. */
enum write_kind { WRITE_CREATE, WRITE_UPSERT, WRITE_PATCH, WRITE_DELETE, WRITE_KINDS };

/* How a write is sent, once it has failed together with others: write_batch.h. */
enum write_way { WRITE_TOGETHER, WRITE_ALONE, WRITE_APART };

/* The cookie that has the position, with the setting of that name. */
#define POSITION_COOKIE "pgfanout_position"

struct request_queue {
	struct request *head, *tail;
	size_t n;
};

/* Those of one worker. */
struct requests {
	struct service *service; /* these: immutable after the start */
	struct store *store;
	struct pool *pool;
	size_t max_in_flight;

	size_t in_flight;
	struct request *oldest, *newest; /* by deadline */
	struct request *free;		 /* nfree of them, to be used again */
	size_t nfree;
};

struct request {
	struct requests *all;
	struct http_request *http; /* NULL after gone() */
	const struct route *route;
	void (*gone)(struct request *r);  /* when http.c is done with it; may be NULL */
	void (*clear)(struct request *r); /* when nobody holds it any more; may be NULL */
	unsigned refs;
	enum request_state state;
	bool asked_whether; /* an answer of 503 is no error: somebody asks whether we are ready */
	bool counted;	    /* in all->in_flight */
	struct mono began, deadline;   /* never: none */
	struct request *older, *newer; /* in the list by deadline */
	struct request *prev, *next;   /* in queue, or next free */
	struct request_queue *queue;

	struct route_part part[ROUTE_PARTS]; /* of the path; until gone() */
	struct uuid id; /* of a product: from the path, the body, or made here */

	struct position
		told; /* what the client has seen after the answer; source 0: that is not told */

	/* reads */
	struct read_want want;
	struct mono place_by;	  /* no replica is waited for after it; 0: none was yet */
	const struct link *asked; /* last, of those in flight */
	const struct read_statement *statement;
	bool alone;			  /* by key: what it was joined with was refused */
	const struct list_calls *listing; /* of a page or a list */
	int limit;			  /* rows that it asks for */
	struct uuid after;
	bool has_after;
	struct list *list;
	struct resource_request *of; /* of a resource; clear() frees it */

	/* writes */
	const struct write_statement *write;
	enum write_kind kind; /* of a product */
	enum write_way way;
	unsigned tries; /* refused for the moment so often */
	unsigned looks; /* found locked so often */
	struct mono not_before;
	struct product_input in;
	struct import *import;
};

/* ---- queues ---- */
void queue_push(struct request_queue *q, struct request *r);
void queue_remove(struct request *r);		    /* from whatever queue it is in, if any */
struct request *queue_pop(struct request_queue *q); /* NULL: empty */

/* ---- life ---- */
struct request *request_new(struct requests *all, struct http_request *http);
void requests_clear(struct requests *all);
struct request *request_ref(struct request *r);
void request_unref(struct request *r);
/* Counts it among those in flight and sets its deadline; false: there are enough, it was answered
 * with 503. */
MUST_CHECK bool request_admit(struct request *r);
/* Takes it out of its queue and the list by deadline; it is no longer counted, and ANSWERED. */
void request_settle(struct request *r);
/* Answers those whose deadline has passed. */
void requests_expire(struct requests *all);
/* Answers one whose deadline has come: 504, and what is known of its outcome. */
void request_expire(struct request *r);

/* ---- answers: each settles the request ---- */
void request_reply(struct request *r, int status); /* http_out() holds the body */
/* 503: with Retry-After. */
void request_fail(struct request *r, int status, const char *field, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
#define request_unavailable(r, ...) request_fail(r, 503, NULL, __VA_ARGS__)
/* Before the answer. */
void request_served_by(struct request *r, const struct upstream *up);
/* What the answer shows is from this database, as it is in this place. version: as choice_serves()'s. */
void request_place(struct request *r, const struct upstream *up, const struct place *place,
		   int64_t version);
/* Whether its client says what it has seen. Then the statement is to tell the database's place: without it, the
 * client is told to stay with that database, which costs the database nothing. */
static inline bool request_is_placed(const struct request *r)
{
	return r->want.at.source != 0;
}
/* The headers with the position: for answers that are no request_reply(). */
void request_tell_place(struct request *r);

#endif
