/*
 * import.c: imports as the client sees them: its lines become batches, their outcomes one answer. A worker's thread.
 *
 * Ownership: an import belongs to its request while there is one (import_gone() cuts the tie) and to its units in flight while
 * there are any; the last of them frees it. Lines that were read but not yet committed when the client goes away are dropped:
 * nobody was told that they were taken.
 */
#include "api/products/import_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/measures.h"
#include "common/json/jscan.h"

#define LINE_MAX_BYTES 65536

void imports_clear(struct imports *s)
{
	pgarray_clear(&s->ids);
	pgarray_clear(&s->names);
	pgarray_clear(&s->prices);
	pgarray_clear(&s->stocks);
}

void import_free(struct import *m)
{
	strbuf_clear(&m->line);
	for (size_t i = 0; i < m->nerrors; i++)
		free(m->errors[i].json);
	product_input_clear(&m->in);
	import_rows_clear(&m->fill);
	for (size_t i = 0; i < IMPORT_BATCHES; i++)
		import_rows_clear(&m->batch[i].rows);
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
	strbuf_addstr(&json, "{\"line\":");
	strbuf_addint(&json, (int64_t)line);
	strbuf_addstr(&json, ",\"error\":");
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
	strbuf_addstr(out, "{\"created\":");
	strbuf_addint(out, m->created);
	strbuf_addstr(out, ",\"replaced\":");
	strbuf_addint(out, m->replaced);
	strbuf_addstr(out, ",\"rejected\":");
	strbuf_addint(out, m->rejected);
	strbuf_addstr(out, ",\"errors\":[");
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

	strbuf_addstr(out, "{\"success\":true,\"data\":");
	write_counts(m, out);
	strbuf_addstr(out, ",\"message\":\"Products imported successfully\"}");
	request_reply(m->request, 200);
}

/* The rest of the body is thrown away by http.c; the answer goes out after it. */
void import_give_up(struct import *m, const struct err *err)
{
	if (m->failed || !m->request)
		return;
	m->failed = true;
	import_dequeue(m);
	struct http_request *http = m->request->http;
	struct strbuf *out = http_out(http);
	char text[640];

	snprintf(text, sizeof(text),
		 "the import stopped: %s; what was counted until then is stored", err->text);
	strbuf_addstr(out, "{\"success\":false,\"error\":");
	jscan_write_string(out, text, strlen(text));
	strbuf_addstr(out, ",\"data\":");
	write_counts(m, out);
	strbuf_addch(out, '}');
	http_header(http, "Retry-After", "1");
	request_reply(m->request, 503);
}

/* ---- lines ---- */

/* Gives what was read to a batch that is free. False: there is none, or one at work holds an id of it, which must take effect first. */
static bool start_work(struct import *m)
{
	struct import_batch *to = NULL;

	import_rows_sort(&m->fill);
	for (size_t i = 0; i < IMPORT_BATCHES; i++) {
		struct import_batch *b = &m->batch[i];

		if (!b->working)
			to = b;
		else if (import_rows_share(&m->fill, &b->rows))
			return false;
	}
	if (!to)
		return false;
	struct import_rows empty = to->rows;

	to->rows = m->fill;
	m->fill = empty;
	import_rows_reset(&m->fill);
	m->sealed = false;
	m->working++;
	import_batch_start(m, to);
	return true;
}

static bool is_blank(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (s[i] != ' ' && s[i] != '\t' && s[i] != '\r')
			return false;
	return true;
}

/* Takes a complete line. False: its id is in the batch already, which must go first; the line is to be given again. */
static bool take_line(struct import *m, const char *s, size_t len)
{
	const unsigned required = PRODUCT_NAME | PRODUCT_PRICE | PRODUCT_STOCK;
	struct product_fault fault = { 0 };

	if (is_blank(s, len)) {
		m->line_number++;
		return true;
	}
	if (!product_parse(s, len, required, required | PRODUCT_ID, &m->in, &fault)) {
		import_reject(m, ++m->line_number, fault.field, fault.err.text);
		return true;
	}
	if (!(m->in.given & PRODUCT_ID))
		uuid_make(&m->in.id);
	if (!import_rows_add(&m->fill, &m->in, m->line_number + 1)) {
		m->sealed = true;
		return false;
	}
	m->line_number++;
	m->sealed = import_rows_full(&m->fill);
	return true;
}

/* Makes room if there is none. False: all batches are busy. */
static bool make_room(struct import *m)
{
	return !m->sealed || start_work(m);
}

void import_pump(struct import *m)
{
	if (m->failed || !m->request)
		return;
	while (make_room(m) && m->line_ready) {
		if (!take_line(m, strbuf_str(&m->line), m->line.len))
			continue;
		m->line_ready = false;
		strbuf_reset(&m->line);
	}
	if (m->ended && !m->line_ready) {
		if (m->fill.n > 0)
			m->sealed = true;
		if (make_room(m) && m->working == 0)
			answer(m);
	}
	if (m->paused && !m->sealed && !m->line_ready && m->request->http) {
		m->paused = false;
		http_resume(m->request->http);
	}
}

size_t import_data(struct request *r, const char *data, size_t len)
{
	struct import *m = r->import;
	size_t at = 0;

	while (at < len && !m->failed) {
		const char *s = data + at;
		const char *end = memchr(s, '\n', len - at);
		size_t n = end ? (size_t)(end - s) : len - at;
		size_t with_end = n + (end ? 1 : 0);

		if (m->line_ready || !make_room(m)) {
			m->paused = true;
			return at;
		}
		if (m->skipping) {
			m->skipping = !end;
		} else if (m->line.len + n > LINE_MAX_BYTES) {
			char text[64];

			snprintf(text, sizeof(text), "the line is longer than %d bytes",
				 LINE_MAX_BYTES);
			import_reject(m, ++m->line_number, NULL, text);
			strbuf_reset(&m->line);
			m->skipping = !end;
		} else if (end && m->line.len == 0) {
			if (!take_line(m, s, n))
				continue; /* the same line again, when there is room */
		} else {
			strbuf_add(&m->line, s, n);
			if (end && take_line(m, strbuf_str(&m->line), m->line.len))
				strbuf_reset(&m->line);
			else
				m->line_ready = end != NULL;
		}
		at += with_end;
		if (m->line_ready)
			import_pump(m);
	}
	return len;
}

void import_end(struct request *r)
{
	struct import *m = r->import;

	m->ended = true;
	m->line_ready = m->line_ready || m->line.len > 0; /* the last line needs no end */
	import_pump(m);
}

static void import_gone(struct request *r)
{
	struct import *m = r->import;

	r->import = NULL;
	m->store->imports->n--;
	metric_add(M_IMPORTS_RUNNING, 0, -1);
	import_dequeue(m);
	m->request = NULL;
	if (m->in_flight == 0)
		import_free(m);
}

void import_start(struct request *r)
{
	struct store *s = store_of(r);

	if (s->imports->n >= s->imports->max) {
		metric_add(M_OVERLOADED, 0, 1);
		request_unavailable(r, "too many imports are running; try again");
		return;
	}
	if (!atomic_load(&upstreams_primary(s->pool->upstreams)->fit)) {
		request_unavailable(
			r, "the primary cannot be used now, see /status: nothing was changed");
		return;
	}
	struct import *m = xcalloc(1, sizeof(*m));

	m->request = r;
	m->store = s;
	s->imports->n++;
	metric_add(M_IMPORTS_RUNNING, 0, 1);
	r->import = m;
	r->gone = import_gone;
	r->state = REQUEST_STREAMING;
}
