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
#include "api/serve/worker.h"

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

struct request *request_new(struct worker *w, struct http_request *http)
{
	struct request *r = w->free_requests;
	struct product_input in = { 0 };

	if (r) {
		w->free_requests = r->next;
		w->nfree--;
		in = r->in;
	} else {
		r = xmalloc(sizeof(*r));
	}
	memset(r, 0, sizeof(*r));
	r->in = in;
	r->worker = w;
	r->http = http;
	r->refs = 1;
	r->began = w->now;
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
	struct worker *w = r->worker;

	if (--r->refs > 0)
		return;
	if (w->nfree < KEEP_MAX) {
		r->next = w->free_requests;
		w->free_requests = r;
		w->nfree++;
	} else {
		product_input_clear(&r->in);
		free(r);
	}
}

static void deadline_leave(struct request *r)
{
	struct worker *w = r->worker;

	if (mono_is_never(r->deadline))
		return;
	r->deadline = MONO_NEVER;
	if (r->older)
		r->older->newer = r->newer;
	else
		w->oldest = r->newer;
	if (r->newer)
		r->newer->older = r->older;
	else
		w->newest = r->older;
	r->older = r->newer = NULL;
}

bool request_admit(struct request *r)
{
	struct worker *w = r->worker;

	if (w->in_flight >= w->max_in_flight) {
		metric_add(M_OVERLOADED, 0, 1);
		request_unavailable(r, "too many requests are under way; try again");
		return false;
	}
	w->in_flight++;
	r->counted = true;
	/* All have the same time, so the list is in the order of the deadlines. */
	r->deadline = mono_add_ms(w->now, w->settings->request_timeout_ms);
	r->older = w->newest;
	if (w->newest)
		w->newest->newer = r;
	else
		w->oldest = r;
	w->newest = r;
	return true;
}

void request_settle(struct request *r)
{
	queue_remove(r);
	deadline_leave(r);
	if (r->counted) {
		r->counted = false;
		r->worker->in_flight--;
	}
	r->state = REQUEST_ANSWERED;
}

void request_expire(struct worker *w)
{
	while (w->oldest && mono_reached(w->oldest->deadline, w->now)) {
		struct request *r = w->oldest;

		metric_add(M_TIMEOUTS, 0, 1);
		if (r->route->method == HTTP_GET)
			request_fail(r, 504, NULL, "no database answered in time");
		else if (r->state == REQUEST_IN_FLIGHT)
			request_fail(
				r, 504, NULL,
				"the database did not answer in time: the change may or may not have been made");
		else
			request_fail(r, 504, NULL,
				     "the database was not reached in time: nothing was changed");
	}
}

/* ---- answers ---- */

void request_reply(struct request *r, int status)
{
	struct http_request *http = r->http;

	request_settle(r);
	if (!http || http_replied(http))
		return;
	if (status >= 500)
		metric_add(M_ANSWERS_5XX, 0, 1);
	else if (status >= 400)
		metric_add(M_ANSWERS_4XX, 0, 1);
	metric_observe_us(M_DURATION, 0, mono_diff_us(r->worker->now, r->began));
	http_reply(http, status);
}

static void fail(struct request *r, int status, const char *field, const char *text)
{
	struct http_request *http = r->http;

	request_settle(r);
	if (!http || http_replied(http))
		return;
	metric_add(status >= 500 ? M_ANSWERS_5XX : M_ANSWERS_4XX, 0, 1);
	metric_observe_us(M_DURATION, 0, mono_diff_us(r->worker->now, r->began));
	http_reply_error(http, status, field, text);
}

void request_fail(struct request *r, int status, const char *field, const char *fmt, ...)
{
	char text[640];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fail(r, status, field, text);
}

void request_unavailable(struct request *r, const char *fmt, ...)
{
	char text[640];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (r->http && !http_replied(r->http))
		http_header(r->http, "Retry-After", "1");
	fail(r, 503, NULL, text);
}

void request_reply_product(struct request *r, int status, const struct product_row *row,
			   const char *message)
{
	struct strbuf *out = http_out(r->http);

	strbuf_addstr(out, "{\"success\":true,\"data\":");
	product_write_open(out, &row->id, row->name, row->name_len, row->price, row->price_len,
			   row->stock, row->created_us, row->updated_us);
	strbuf_addstr(out, "},\"message\":\"");
	strbuf_addstr(out, message);
	strbuf_addstr(out, "\"}");
	request_reply(r, status);
}

void request_served_by(struct request *r, const struct upstream *up)
{
	http_header(r->http, "X-Served-By", up->name);
}
