/*
 * import.c: imports as the client sees them: its lines become batches, their outcomes one answer. A
 * worker's thread.
 *
 * Ownership: an import belongs to its request while there is one (import_gone() ends that) and to
 * its batches in flight while there are any; the last of them frees it. Lines that were read but
 * not yet committed when the client goes away are dropped: nobody was told that they were taken.
 */
#include "api/batch/import_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/batch/write_batch.h"
#include "api/measures.h"
#include "common/json/jscan.h"

#define LINE_MAX_BYTES 65536

/* From which states each one is entered. */
#define FROM(state) (1U << (state))
static const unsigned entered_from[] = {
	[IMPORT_READING] = FROM(IMPORT_WAITING),
	[IMPORT_WAITING] = FROM(IMPORT_READING),
	[IMPORT_FINISHING] = FROM(IMPORT_READING),
	[IMPORT_ANSWERED] = FROM(IMPORT_READING) | FROM(IMPORT_WAITING) | FROM(IMPORT_FINISHING),
	[IMPORT_GONE] = ~FROM(IMPORT_GONE),
};

/* False: no way leads there from the state it is in, and it stays. */
static bool enter(struct import *m, enum import_state to)
{
	if (!(entered_from[to] & FROM(m->state)))
		return false;
	if (m->state < IMPORT_ANSWERED && to >= IMPORT_ANSWERED) { /* its place is free */
		m->store->imports->n--;
		tempo_leave(&m->store->imports->tempos, &m->tempo);
		metric_add(M_IMPORTS_RUNNING, 0, -1);
	}
	if (to == IMPORT_READING)
		tempo_moved(&m->tempo, 0, m->store->pool->now);
	else
		tempo_rest(&m->tempo);
	m->state = to;
	return true;
}

size_t import_count(const struct import *m, enum import_batch_state state)
{
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(m->batch); i++)
		n += m->batch[i].state == state;
	return n;
}

void import_free(struct import *m)
{
	strbuf_clear(&m->line);
	for (size_t i = 0; i < m->nerrors; i++)
		free(m->errors[i].json);
	for (size_t i = 0; i < ARRAY_SIZE(m->batch); i++) {
		import_rows_clear(&m->batch[i].rows);
		m->calls->free(m->batch[i].data);
	}
	free(m);
}

/* ---- counts and answers ---- */

void import_reject(struct import *m, uint64_t line, const char *field, const char *text)
{
	struct strbuf json = STRBUF_INIT;
	size_t at = m->nerrors;

	m->rejected++;
	metric_add(M_IMPORT_REJECTED, 0, 1);
	while (at > 0 && m->errors[at - 1].line > line)
		at--;
	if (at == IMPORT_ERRORS_SHOWN)
		return;
	if (m->nerrors == IMPORT_ERRORS_SHOWN)
		free(m->errors[--m->nerrors].json);
	memmove(&m->errors[at + 1], &m->errors[at], (m->nerrors - at) * sizeof(m->errors[0]));
	m->nerrors++;
	strbuf_addf(&json, "{\"line\":%" PRIu64 ",\"error\":", line);
	jscan_write_string(&json, text, strlen(text));
	if (field && *field) {
		strbuf_addstr(&json, ",\"field\":");
		jscan_write_string(&json, field, strlen(field));
	}
	strbuf_addch(&json, '}');
	m->errors[at] = (struct rejection){ .line = line, .json = strbuf_detach(&json, NULL) };
}

static void write_counts(const struct import *m, struct strbuf *out)
{
	strbuf_addf(out,
		    "{\"created\":%" PRId64 ",\"replaced\":%" PRId64 ",\"rejected\":%" PRId64
		    ",\"errors\":[",
		    m->created, m->replaced, m->rejected);
	for (size_t i = 0; i < m->nerrors; i++) {
		if (i > 0)
			strbuf_addch(out, ',');
		strbuf_addstr(out, m->errors[i].json);
	}
	strbuf_addstr(out, "]}");
}

static void answer(struct import *m)
{
	struct strbuf *out = http_out(m->request->http);
	const struct place place = { .seen = m->place };

	enter(m, IMPORT_ANSWERED);
	if (m->place != 0)
		request_place(m->request, upstreams_primary(m->store->pool->upstreams), &place, 0);
	if (m->message)
		strbuf_addstr(out, "{\"success\":true,\"data\":");
	write_counts(m, out);
	if (m->message)
		strbuf_addf(out, ",\"message\":\"%s\"}", m->message);
	request_reply(m->request, 200);
}

/* The rest of the body is thrown away by http.c. */
void import_give_up(struct import *m, const struct err *err)
{
	if (!enter(m, IMPORT_ANSWERED))
		return;
	import_dequeue(m);
	struct http_request *http = m->request->http;
	struct strbuf *out = http_out(http);
	char text[640];

	snprintf(text, sizeof(text),
		 "the import stopped: %s; what was counted until then is stored", err_shown(err));
	strbuf_addstr(out, "{\"success\":false,\"error\":");
	jscan_write_string(out, text, strlen(text));
	strbuf_addstr(out, ",\"data\":");
	write_counts(m, out);
	strbuf_addch(out, '}');
	http_header(http, "Retry-After", "1");
	request_reply(m->request, 503);
}

/* ---- lines ---- */

static void seal(struct import_batch *b)
{
	b->state = BATCH_SEALED;
	import_rows_sort(&b->rows);
}

/* Sends the sealed batch off and begins the next. False: as many are at work as may be, or one of
 * them holds an id of it, which must take effect first. */
static bool start_work(struct import *m)
{
	struct import_batch *next = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(m->batch); i++) {
		struct import_batch *b = &m->batch[i];

		if (b->state == BATCH_FREE)
			next = b;
		else if (b != m->fill && import_rows_share(&m->fill->rows, &b->rows))
			return false;
	}
	if (!next)
		return false;
	import_batch_start(m->fill);
	m->fill = next;
	next->state = BATCH_FILLING;
	import_rows_reset(&next->rows);
	m->calls->begin(next->data);
	return true;
}

/* Editors on Windows put a byte order mark before the first line. */
static void skip_mark(const struct import *m, const char **s, size_t *len)
{
	if (m->line_number == 0 && *len >= 3 && memcmp(*s, "\xef\xbb\xbf", 3) == 0) {
		*s += 3;
		*len -= 3;
	}
}

/* Takes a complete line, behind which there is a line end or NUL. False: the batch must go first, and the line
 * is to be given again. */
static bool take_line(struct import *m, const char *s, size_t len)
{
	struct import_fault fault = { .field = "" };

	skip_mark(m, &s, &len);
	if (strspn(s, " \t\r") == len) { /* blank */
		m->line_number++;
		return true;
	}
	enum import_taken taken = m->calls->take(m->fill->data, &m->fill->rows, s, len,
						 m->line_number + 1, &fault);

	m->line_number += taken != IMPORT_NEXT;
	if (taken == IMPORT_REJECTED)
		import_reject(m, m->line_number, fault.field, fault.err.text);
	else if (taken == IMPORT_NEXT || import_rows_full(&m->fill->rows))
		seal(m->fill);
	return taken != IMPORT_NEXT;
}

/* Makes room for a line if there is none. False: it must wait for a batch that is at work. */
static bool make_room(struct import *m)
{
	return m->fill->state == BATCH_FILLING || start_work(m);
}

void import_pump(struct import *m)
{
	if (m->state >= IMPORT_ANSWERED)
		return;
	while (make_room(m) && m->line_state == LINE_READY) {
		if (!take_line(m, strbuf_str(&m->line), m->line.len))
			continue;
		m->line_state = LINE_COMING;
		strbuf_reset(&m->line);
	}
	if (m->line_state == LINE_READY)
		return;
	if (m->state == IMPORT_FINISHING) {
		if (m->fill->rows.n > 0)
			seal(m->fill);
		if (make_room(m) && import_count(m, BATCH_FREE) == IMPORT_BATCHES)
			answer(m);
	} else if (m->fill->state == BATCH_FILLING && enter(m, IMPORT_READING)) {
		http_resume(m->request->http);
	}
}

size_t import_data(struct request *r, const char *data, size_t len)
{
	struct import *m = r->import;
	size_t at = 0;

	tempo_moved(&m->tempo, len, m->store->pool->now);
	while (at < len && m->state < IMPORT_ANSWERED) {
		const char *s = data + at;
		const char *end = memchr(s, '\n', len - at);
		size_t n = end ? (size_t)(end - s) : len - at;

		if (m->line_state == LINE_READY || !make_room(m)) {
			enter(m, IMPORT_WAITING);
			return at;
		}
		if (m->line_state == LINE_SKIPPED) {
			m->line_state = end ? LINE_COMING : LINE_SKIPPED;
		} else if (m->line.len + n > LINE_MAX_BYTES) {
			char text[64];

			snprintf(text, sizeof(text), "the line is longer than %d bytes",
				 LINE_MAX_BYTES);
			import_reject(m, ++m->line_number, NULL, text);
			strbuf_reset(&m->line);
			m->line_state = end ? LINE_COMING : LINE_SKIPPED;
		} else if (end && m->line.len == 0) {
			if (!take_line(m, s, n))
				continue; /* the same line again, when there is room */
		} else {
			strbuf_add(&m->line, s, n);
			m->line_state = end ? LINE_READY : LINE_COMING;
			import_pump(m);
		}
		at += n + (end != NULL);
	}
	return len;
}

void import_end(struct request *r)
{
	struct import *m = r->import;

	if (!enter(m, IMPORT_FINISHING))
		return;
	if (m->line.len > 0) /* the last line needs no end */
		m->line_state = LINE_READY;
	import_pump(m);
}

static void import_gone(struct request *r)
{
	struct import *m = r->import;

	r->import = NULL;
	import_dequeue(m);
	enter(m, IMPORT_GONE);
	if (import_count(m, BATCH_IN_FLIGHT) == 0)
		import_free(m);
}

void import_start(struct request *r, const struct import_calls *calls, const char *message)
{
	struct store *s = store_of(r);
	struct err err;

	if (s->imports->n >= s->imports->max) {
		struct import *slowest = tempo_slowest(&s->imports->tempos, s->pool->now);

		err_set(&err, "its client sent less than %d bytes in %d s, and others waited",
			TEMPO_BYTES, TEMPO_MS / 1000);
		if (slowest)
			import_give_up(slowest, &err);
	}
	if (s->imports->n >= s->imports->max) {
		metric_add(M_OVERLOADED, 0, 1);
		request_unavailable(r, "too many imports are running; try again");
		return;
	}
	const struct upstream *primary = upstreams_primary(s->pool->upstreams);

	if (!atomic_load(&primary->fit) || upstream_refuses_writes(primary)) {
		write_unreachable(r);
		return;
	}
	struct import *m = xcalloc(1, sizeof(*m));

	m->calls = calls;
	m->message = message;
	m->request = r;
	m->store = s;
	for (size_t i = 0; i < ARRAY_SIZE(m->batch); i++) {
		m->batch[i].import = m;
		m->batch[i].data = calls->new (r);
	}
	m->fill = &m->batch[0];
	m->fill->state = BATCH_FILLING;
	calls->begin(m->fill->data);
	s->imports->n++;
	tempo_join(&s->imports->tempos, &m->tempo, m, s->pool->now);
	metric_add(M_IMPORTS_RUNNING, 0, 1);
	r->import = m;
	r->gone = import_gone;
	r->state = REQUEST_STREAMING;
}
