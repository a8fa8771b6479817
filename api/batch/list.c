/*
 * list.c: see list.h.
 *
 * Two buffers: `sending` is what the reader callback copies from, `filled` is the chunk after it,
 * asked for as soon as `sending` begins, which is when it comes, if the reader waits for it. Both
 * belong to the list, which lives until the request goes.
 */
#include "api/batch/list.h"

#include <stdlib.h>
#include <string.h>

#include "api/measures.h"

/* How long a running list waits for a database that can go on with it. */
#define PATIENCE_MS 10000

/* The next chunk: not asked for, or the last one came -> asked -> filled -> idle, when it is the one
 * that is sent. */
enum chunk_state { CHUNK_IDLE, CHUNK_ASKED, CHUNK_FILLED };

struct list {
	struct strbuf sending, filled;
	size_t sent; /* of sending */
	enum chunk_state chunk;
	bool running; /* the answer has begun */
	bool wrote;   /* at least one row */
	bool last;    /* the last chunk came */
	bool failed;  /* cut the connection */
	bool placed;  /* has one of the places for lists */
	struct tempo tempo;
	struct mono patience; /* never: not waiting for a database */
};

/* ---- pages ---- */

static int first_row(struct request *r, const struct pg_result *rows)
{
	int first = list_first_row(r);

	return first + (r->listing->first ? r->listing->first(r, rows, first) : 0);
}

static void page_rows(struct request *r, const struct pg_result *rows, const struct upstream *up)
{
	struct strbuf *out = http_out(r->http);
	int first = first_row(r, rows);
	int n = db_rows(rows) - first, wanted = r->limit - 1;
	int shown = n < wanted ? n : wanted;

	r->listing->open(r, out);
	for (int i = 0; i < shown; i++) {
		if (i > 0)
			strbuf_addch(out, ',');
		r->listing->row(r, out, rows, first + i);
	}
	r->listing->close_page(r, out, rows, first + shown - 1, n > wanted);
	request_served_by(r, up);
	request_reply(r, 200);
}

void page_start(struct request *r)
{
	read_submit(r);
}

/* ---- lists ---- */

void list_again(struct request *r)
{
	r->list->chunk = CHUNK_ASKED;
	/* Each may try every database. */
	r->want.tried = r->want.behind = 0;
	r->want.tried_primary = r->want.whole = r->want.late = false;
	r->place_by = (struct mono){ 0 };
	read_submit(r);
}

/* The filled chunk is the one that is sent from now on, and the next is asked for. */
static void send_filled(struct request *r)
{
	struct list *list = r->list;
	struct strbuf empty = list->sending;

	list->sending = list->filled;
	list->filled = empty;
	strbuf_reset(&list->filled);
	list->sent = 0;
	list->chunk = CHUNK_IDLE;
	if (!list->last)
		list_again(r);
}

/* The reader of http.h. */
static ssize_t read_list(void *arg, char *buf, size_t max)
{
	struct request *r = arg;
	struct list *list = r->list;

	if (list->failed)
		return HTTP_STREAM_CUT;
	if (list->sent == list->sending.len) {
		if (list->chunk != CHUNK_FILLED) {
			tempo_rest(&list->tempo);
			return list->last && list->chunk == CHUNK_IDLE ? HTTP_STREAM_END : 0;
		}
		send_filled(r);
		if (list->failed)
			return HTTP_STREAM_CUT;
	}
	size_t n = min_size(max, list->sending.len - list->sent);

	memcpy(buf, list->sending.data + list->sent, n);
	list->sent += n;
	tempo_moved(&list->tempo, n, store_of(r)->pool->now);
	return (ssize_t)n;
}

bool list_smaller(struct request *r)
{
	if (r->limit <= 1)
		return false;
	r->limit = r->limit > 4 ? r->limit / 4 : 1;
	list_again(r);
	return true;
}

bool list_is_running(const struct request *r)
{
	return r->list && r->list->running;
}

void list_cut(struct request *r)
{
	r->state = REQUEST_STREAMING;
	r->list->failed = true;
	http_wake(r->http);
}

/* Rows of the next chunk, after one of n that has so many bytes: at most twice as many, for what rows cost may change. */
static int rows_after(int n, size_t bytes)
{
	size_t rows = LIST_BYTES / (bytes / (size_t)n + 1);

	rows = min_size(min_size(rows, 2 * (size_t)n), LIST_ROWS);
	return rows < 1 ? 1 : (int)rows;
}

/* What the chunks behind the first one will show, and whose they are, is not known yet: the client's next read is the
 * primary's. */
static void tell_place(struct request *r)
{
	if (!r->list->last)
		r->told.lsn = POSITION_UNKNOWN;
	request_tell_place(r);
}

static void chunk_rows(struct request *r, const struct pg_result *rows, const struct upstream *up)
{
	struct list *list = r->list;
	int first = first_row(r, rows), n = db_rows(rows) - first;

	r->state = REQUEST_STREAMING;
	r->want.home = up;
	list->patience = MONO_NEVER;
	if (!list->running)
		r->listing->open(r, &list->filled);
	for (int i = 0; i < n; i++) {
		if (list->wrote)
			strbuf_addch(&list->filled, ',');
		list->wrote = true;
		r->listing->row(r, &list->filled, rows, first + i);
	}
	list->last = n < r->limit;
	if (list->last) {
		r->listing->close(r, &list->filled);
	} else if (!r->listing->behind(r, rows, first + n - 1)) {
		if (list->running)
			list_cut(r);
		return;
	} else {
		r->limit = rows_after(n, list->filled.len);
	}
	list->chunk = CHUNK_FILLED;
	if (list->running) {
		http_wake(r->http);
	} else {
		list->running = true;
		request_settle(r); /* its time and place are those of a list from now on */
		r->state = REQUEST_STREAMING;
		request_served_by(r, up);
		tell_place(r);
		http_reply_stream(r->http, 200, read_list, r);
	}
	if (list->chunk == CHUNK_FILLED && list->sent == list->sending.len)
		send_filled(r);
}

bool list_rows(struct request *r, const struct pg_result *rows, const struct upstream *up)
{
	if (r->listing->whole && !up->primary && !r->listing->whole(r, rows))
		return false;
	if (r->list)
		chunk_rows(r, rows, up);
	else
		page_rows(r, rows, up);
	return true;
}

void list_none(struct request *r)
{
	struct store *s = store_of(r);
	struct list *list = r->list;

	if (!list || !list->running) {
		read_unavailable(r);
		return;
	}
	if (mono_is_never(list->patience))
		list->patience = mono_add_ms(s->pool->now, PATIENCE_MS);
	r->state = REQUEST_DELAYED;
	queue_push(&s->lists->waiting, r);
}

void list_tick(struct store *s)
{
	/* Those that find no database again come back to the queue, behind the ones of this
	 * tick. */
	for (size_t n = s->lists->waiting.n; n > 0; n--) {
		struct request *r = queue_pop(&s->lists->waiting);

		if (!mono_reached(r->list->patience, s->pool->now)) {
			list_again(r);
			continue;
		}
		list_cut(r);
	}
}

static void leave_place(struct request *r)
{
	struct lists *lists = store_of(r)->lists;

	if (!r->list->placed)
		return;
	r->list->placed = false;
	tempo_leave(&lists->tempos, &r->list->tempo);
	lists->n--;
	metric_add(M_LISTS_RUNNING, 0, -1);
}

static void list_free(struct request *r)
{
	struct list *list = r->list;

	leave_place(r);
	strbuf_clear(&list->sending);
	strbuf_clear(&list->filled);
	free(list);
	r->list = NULL;
}

/* The one whose client reads slowest, if it is slow. libmicrohttpd ends it in its next turn; the
 * place is free at once. */
static void end_slowest(struct store *s)
{
	struct request *r = tempo_slowest(&s->lists->tempos, s->pool->now);

	if (!r)
		return;
	r->list->failed = true;
	leave_place(r);
	http_cut(r->http);
}

void list_start(struct request *r)
{
	struct lists *lists = store_of(r)->lists;

	if (lists->n >= lists->max)
		end_slowest(store_of(r));
	if (lists->n >= lists->max) {
		metric_add(M_OVERLOADED, 0, 1);
		request_unavailable(
			r, "too many full lists are being sent; try again, or use ?limit=");
		return;
	}
	r->list = xcalloc(1, sizeof(*r->list));
	r->list->placed = true;
	lists->n++;
	tempo_join(&lists->tempos, &r->list->tempo, r, store_of(r)->pool->now);
	tempo_rest(&r->list->tempo);
	metric_add(M_LISTS_RUNNING, 0, 1);
	r->list->patience = MONO_NEVER;
	r->gone = list_free;
	r->limit = LIST_FIRST;
	list_again(r);
}
