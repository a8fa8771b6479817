/*
 * request.c: see request.h. A worker's thread.
 */
#include "api/serve/request.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/measures.h"
#include "api/serve/routes.h"

/* Finished requests kept for the next ones, with the memory of their names. */
#define KEEP_MAX 1024

/* ---- queues ---- */

void queue_push(struct request_queue *q, struct request *r)
{
	r->queue = q;
	r->next = NULL;
	r->prev = q->tail;
	if (q->tail)
		q->tail->next = r;
	else
		q->head = r;
	q->tail = r;
	q->n++;
}

void queue_remove(struct request *r)
{
	struct request_queue *q = r->queue;

	if (!q)
		return;
	if (r->prev)
		r->prev->next = r->next;
	else
		q->head = r->next;
	if (r->next)
		r->next->prev = r->prev;
	else
		q->tail = r->prev;
	q->n--;
	r->queue = NULL;
	r->prev = r->next = NULL;
}

struct request *queue_pop(struct request_queue *q)
{
	struct request *r = q->head;

	if (r)
		queue_remove(r);
	return r;
}

/* ---- life ---- */

struct request *request_new(struct requests *all, struct http_request *http)
{
	struct request *r = all->free;
	struct product_input in = { 0 };

	if (r) {
		all->free = r->next;
		all->nfree--;
		in = r->in;
	} else {
		r = xmalloc(sizeof(*r));
	}
	memset(r, 0, sizeof(*r));
	r->in = in;
	r->all = all;
	r->http = http;
	r->refs = 1;
	r->began = all->pool->now;
	r->deadline = MONO_NEVER;
	http_set_user(http, r);
	return r;
}

struct request *request_ref(struct request *r)
{
	r->refs++;
	return r;
}

void request_unref(struct request *r)
{
	struct requests *all = r->all;

	if (--r->refs > 0)
		return;
	if (r->clear)
		r->clear(r);
	if (all->nfree < KEEP_MAX) {
		r->next = all->free;
		all->free = r;
		all->nfree++;
	} else {
		product_input_clear(&r->in);
		free(r);
	}
}

void requests_clear(struct requests *all)
{
	for (struct request *r = all->free, *next; r; r = next) {
		next = r->next;
		product_input_clear(&r->in);
		free(r);
	}
}

static void deadline_leave(struct request *r)
{
	struct requests *all = r->all;

	if (mono_is_never(r->deadline))
		return;
	r->deadline = MONO_NEVER;
	if (r->older)
		r->older->newer = r->newer;
	else
		all->oldest = r->newer;
	if (r->newer)
		r->newer->older = r->older;
	else
		all->newest = r->older;
	r->older = r->newer = NULL;
}

bool request_admit(struct request *r)
{
	struct requests *all = r->all;

	if (all->in_flight >= all->max_in_flight) {
		metric_add(M_OVERLOADED, 0, 1);
		request_unavailable(r, "too many requests are under way; try again");
		return false;
	}
	all->in_flight++;
	r->counted = true;
	/* All have the same timeout, so the list is in the order of the deadlines. */
	r->deadline = mono_add_ms(all->pool->now, all->service->settings->request_timeout_ms);
	r->older = all->newest;
	if (all->newest)
		all->newest->newer = r;
	else
		all->oldest = r;
	all->newest = r;
	return true;
}

void request_settle(struct request *r)
{
	queue_remove(r);
	deadline_leave(r);
	if (r->counted) {
		r->counted = false;
		r->all->in_flight--;
	}
	r->state = REQUEST_ANSWERED;
}

void requests_expire(struct requests *all)
{
	while (all->oldest && mono_reached(all->oldest->deadline, all->pool->now))
		request_expire(all->oldest);
}

/* ---- answers ---- */

void request_expire(struct request *r)
{
	metric_add(M_TIMEOUTS, 0, 1);
	request_fail(r, 504, NULL, "%s",
		     r->route->method == HTTP_GET ? "no database answered in time"
		     : r->state == REQUEST_IN_FLIGHT
			     ? "the database did not answer in time: the change may or may "
			       "not have been made"
		     : r->state == REQUEST_LOCKED
			     ? "another session of the database holds a lock that this "
			       "change needs: nothing was changed"
			     : "the database was not reached in time: nothing was changed");
}

/* Settles and counts it. NULL: the client has gone, or has its answer. */
static struct http_request *answering(struct request *r, int status)
{
	struct http_request *http = r->http;

	request_settle(r);
	if (!http || http_replied(http))
		return NULL;
	if (status >= 400 && !r->asked_whether)
		metric_add(status >= 500 ? M_ANSWERS_5XX : M_ANSWERS_4XX, 0, 1);
	metric_observe_us(M_DURATION, 0, mono_diff_us(r->all->pool->now, r->began));
	return http;
}

void request_tell_place(struct request *r)
{
	char text[POSITION_TEXT_MAX + 1], cookie[POSITION_TEXT_MAX + 80];

	if (r->told.source == 0)
		return;
	position_write(&r->told, text);
	http_header(r->http, "X-Position", text);
	if (!r->all->service->settings->position_cookie)
		return;
	snprintf(cookie, sizeof(cookie), POSITION_COOKIE "=%s; Path=/; HttpOnly; SameSite=Lax",
		 text);
	http_header(r->http, "Set-Cookie", cookie);
}

void request_place(struct request *r, const struct upstream *up, const struct place *place,
		   int64_t version)
{
	uint32_t source = atomic_load_explicit(&r->all->service->upstreams.server->source,
					       memory_order_relaxed);
	struct place at = *place;

	r->told = r->want.at;
	if (up->primary) {
		position_at_primary(&r->told, source, at.seen, version);
	} else {
		at.source = at.source != 0 ? at.source : source;
		position_at_replica(&r->told, up->hash, &at, version);
	}
	if (request_is_placed(r)) /* what comes next must not be older */
		r->want.at = r->told;
}

void request_reply(struct request *r, int status)
{
	struct http_request *http = answering(r, status);

	if (!http)
		return;
	request_tell_place(r);
	http_reply(http, status);
}

void request_fail(struct request *r, int status, const char *field, const char *fmt, ...)
{
	struct http_request *http = answering(r, status);
	char text[640];
	va_list ap;

	if (!http)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (status == 503)
		http_header(http, "Retry-After", "1");
	else
		request_tell_place(r);
	http_reply_error(http, status, field, text);
}

void request_served_by(struct request *r, const struct upstream *up)
{
	http_header(r->http, "X-Served-By", up->name);
}
