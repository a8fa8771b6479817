/*
 * import.c: see import.h. A worker's thread.
 *
 * Ownership: an import belongs to its request while there is one (import_gone() cuts the tie) and to the unit in flight while
 * there is one; the last of the two frees it. Lines that were read but not yet committed when the client goes away are dropped:
 * nobody was told that they were taken.
 */
#include "api/import.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/import_rows.h"
#include "api/measures.h"
#include "api/relay.h"
#include "api/service.h"
#include "api/worker.h"
#include "common/jscan.h"

#define LINE_MAX_BYTES 65536
#define ERRORS_SHOWN   20
#define RANGES_MAX     32    /* halving 1000 rows leaves at most one half for each of 10 levels */
#define PATIENCE_MS    30000 /* how long a batch is tried before the import is given up */
#define RETRY_MS       200

struct range {
	size_t from, to;
};

/* A line that was not taken. The database's refusals come after later lines' faults, and in any order. */
struct rejection {
	uint64_t line;
	char *json; /* owned: its object in the answer */
};

struct import {
	struct request *request; /* NULL: the client has gone */
	struct worker *worker;
	struct import *next; /* in the worker's queue */
	bool queued, in_flight;

	/* reading */
	struct strbuf line;
	bool line_ready; /* line is complete and waits for room */
	bool skipping;	 /* the rest of a line that is too long */
	bool paused;	 /* the client's connection rests */
	bool ended;
	bool failed;
	uint64_t line_number; /* of the line being read */
	struct product_input in;

	struct import_rows fill, work;
	bool sealed;  /* fill is to go to the database before another line is taken */
	bool working; /* work is at the database, or on its way */
	struct range todo[RANGES_MAX], sent;
	size_t ntodo;
	struct mono retry_at, patience; /* 0: none */

	int64_t created, replaced, rejected;
	struct rejection errors[ERRORS_SHOWN]; /* those of the first lines, by line */
	size_t nerrors;
};

void imports_init(struct imports *s)
{
	memset(s, 0, sizeof(*s));
}

void imports_clear(struct imports *s)
{
	pgarray_clear(&s->ids);
	pgarray_clear(&s->names);
	pgarray_clear(&s->prices);
	pgarray_clear(&s->stocks);
}

static void import_free(struct import *m)
{
	strbuf_clear(&m->line);
	for (size_t i = 0; i < m->nerrors; i++)
		free(m->errors[i].json);
	product_input_clear(&m->in);
	import_rows_clear(&m->fill);
	import_rows_clear(&m->work);
	free(m);
}

/* ---- counts and answers ---- */

static void reject(struct import *m, uint64_t line, const char *field, const char *text)
{
	struct strbuf json = STRBUF_INIT;
	size_t at = m->nerrors;

	m->rejected++;
	metric_add(M_IMPORT_REJECTED, 0, 1);
	while (at > 0 && m->errors[at - 1].line > line)
		at--;
	if (at == ERRORS_SHOWN)
		return;
	if (m->nerrors == ERRORS_SHOWN)
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
static void give_up(struct import *m, const struct err *err)
{
	m->failed = true;
	m->working = false;
	if (!m->request)
		return;
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

/* ---- the worker's queue for the bulk link ---- */

static void enqueue(struct import *m)
{
	struct imports *s = &m->worker->imports;

	m->next = NULL;
	if (s->waiting_last)
		s->waiting_last->next = m;
	else
		s->waiting = m;
	s->waiting_last = m;
	m->queued = true;
}

static void dequeue(struct import *m)
{
	struct imports *s = &m->worker->imports;
	struct import *before = NULL;

	if (!m->queued)
		return;
	for (struct import *i = s->waiting; i != m; i = i->next)
		before = i;
	if (before)
		before->next = m->next;
	else
		s->waiting = m->next;
	if (s->waiting_last == m)
		s->waiting_last = before;
	m->queued = false;
}

/* ---- lines ---- */

static void start_work(struct import *m)
{
	struct import_rows empty = m->work;

	m->work = m->fill;
	m->fill = empty;
	import_rows_reset(&m->fill);
	import_rows_sort(&m->work);
	m->sealed = false;
	m->working = true;
	m->todo[0] = (struct range){ 0, m->work.n };
	m->ntodo = 1;
	enqueue(m);
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
		reject(m, ++m->line_number, fault.field, fault.err.text);
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

/* Makes room if there is none. False: both batches are busy. */
static bool make_room(struct import *m)
{
	if (m->sealed && !m->working)
		start_work(m);
	return !m->sealed;
}

/* Moves on after something has changed: work done, or the body's end. */
static void pump(struct import *m)
{
	if (m->failed || !m->request)
		return;
	while (make_room(m) && m->line_ready) {
		if (!take_line(m, strbuf_str(&m->line), m->line.len))
			continue;
		m->line_ready = false;
		strbuf_reset(&m->line);
	}
	if (m->ended && !m->line_ready && !m->working) {
		if (m->fill.n > 0)
			start_work(m);
		else
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
			reject(m, ++m->line_number, NULL, text);
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
			pump(m);
	}
	return len;
}

void import_end(struct request *r)
{
	struct import *m = r->import;

	m->ended = true;
	m->line_ready = m->line_ready || m->line.len > 0; /* the last line needs no end */
	pump(m);
}

void import_start(struct request *r)
{
	struct worker *w = r->worker;

	if (w->imports.n >= w->max_imports) {
		metric_add(M_OVERLOADED, 0, 1);
		request_unavailable(r, "too many imports are running; try again");
		return;
	}
	if (!atomic_load(&upstreams_primary(w->upstreams)->fit)) {
		request_unavailable(
			r, "the primary cannot be used now, see /status: nothing was changed");
		return;
	}
	struct import *m = xcalloc(1, sizeof(*m));

	m->request = r;
	m->worker = w;
	w->imports.n++;
	metric_add(M_IMPORTS_RUNNING, 0, 1);
	r->import = m;
	r->state = REQUEST_STREAMING;
}

void import_gone(struct request *r)
{
	struct import *m = r->import;

	r->import = NULL;
	r->worker->imports.n--;
	metric_add(M_IMPORTS_RUNNING, 0, -1);
	dequeue(m);
	m->request = NULL;
	if (!m->in_flight)
		import_free(m);
}

/* ---- at the database ---- */

static void later(struct import *m, const struct err *err)
{
	struct worker *w = m->worker;

	m->todo[m->ntodo++] = m->sent;
	if (m->patience.us == 0)
		m->patience = mono_add_ms(w->now, PATIENCE_MS);
	if (mono_reached(m->patience, w->now)) {
		give_up(m, err);
		return;
	}
	m->retry_at = mono_add_ms(w->now, RETRY_MS);
	enqueue(m);
}

static void halve(struct import *m, const struct err *err)
{
	struct range s = m->sent;
	size_t middle = s.from + (s.to - s.from) / 2;

	if (s.to - s.from == 1) {
		char text[640];

		snprintf(text, sizeof(text), "the database refused it: %s", err->text);
		reject(m, m->work.list[s.from].line, NULL, text);
		return;
	}
	m->todo[m->ntodo++] = (struct range){ middle, s.to };
	m->todo[m->ntodo++] = (struct range){ s.from, middle };
}

static void count_rows(struct import *m, const struct pg_result *res)
{
	int rows = db_rows(res);

	for (int i = 0; i < rows; i++) {
		if (db_value(res, i, 6)[0])
			m->created++;
		else
			m->replaced++;
	}
	metric_add(M_IMPORT_ROWS, 0, rows);
}

static void on_batch(void *arg, enum db_outcome outcome, const struct pg_result *res,
		     const struct err *err)
{
	struct import *m = arg;

	m->worker->imports.current = NULL;
	m->in_flight = false;
	if (outcome == DB_OK)
		relay_wake(m->worker->service->relay);
	if (!m->request) {
		import_free(m);
		return;
	}
	switch (outcome) {
	case DB_OK:
		count_rows(m, res);
		m->patience.us = 0;
		break;
	case DB_REFUSED:
		halve(m, err);
		break;
	case DB_SCHEMA:
		give_up(m, err);
		return;
	case DB_RETRY:
	case DB_UNFIT:
	case DB_BROKEN:
	case DB_BUSY:
	case DB_LOST:
		/* Of a lost one the outcome is unknown: done again it leaves the same rows, under the same ids, but counts them as
		 * replaced. Single writes are not done again, their client knows better; an import would have to be sent again
		 * as a whole, which does the same to all its lines that this does to one batch. */
		later(m, err);
		return;
	}
	if (m->ntodo > 0) {
		enqueue(m);
		return;
	}
	m->working = false;
	pump(m);
}

static void send_range(struct import *m)
{
	struct worker *w = m->worker;
	struct imports *s = &w->imports;
	struct err err;

	m->sent = m->todo[--m->ntodo];
	pgarray_begin(&s->ids, PGARRAY_UUID);
	pgarray_begin(&s->names, PGARRAY_TEXT);
	pgarray_begin(&s->prices, PGARRAY_TEXT);
	pgarray_begin(&s->stocks, PGARRAY_INT4);
	for (size_t i = m->sent.from; i < m->sent.to; i++) {
		const struct import_row *row = &m->work.list[i];

		pgarray_add_uuid(&s->ids, &row->id);
		pgarray_add_text(&s->names, m->work.names.data + row->name_at, row->name_len);
		pgarray_add_text(&s->prices, row->price, strlen(row->price));
		pgarray_add_int4(&s->stocks, row->stock);
	}
	struct db_param params[4] = {
		pgarray_finish(&s->ids),
		pgarray_finish(&s->names),
		pgarray_finish(&s->prices),
		pgarray_finish(&s->stocks),
	};

	m->in_flight = true;
	s->current = m;
	w->bulk->touched = true;
	metric_add(M_WRITE_UNITS, 0, 1);
	if (!db_send(w->bulk->db, WRITE_UPSERT, params, true,
		     mono_add_ms(w->now, w->settings->request_timeout_ms), on_batch, m, &err))
		on_batch(m, DB_LOST, NULL, &err);
}

void import_dispatch(struct worker *w)
{
	struct imports *s = &w->imports;

	for (struct import *m = s->waiting, *next; m && !s->current && link_usable(w->bulk);
	     m = next) {
		next = m->next;
		if (m->retry_at.us != 0 && !mono_reached(m->retry_at, w->now))
			continue;
		m->retry_at.us = 0;
		dequeue(m);
		send_range(m);
	}
}

/* Gives up those that wait for a connection that does not come. */
void import_tick(struct worker *w)
{
	if (link_usable(w->bulk))
		return;
	for (struct import *m = w->imports.waiting, *next; m; m = next) {
		next = m->next;
		if (m->patience.us == 0) {
			m->patience = mono_add_ms(w->now, PATIENCE_MS);
		} else if (mono_reached(m->patience, w->now)) {
			struct err err;

			err_set(&err, "the primary does not answer");
			dequeue(m);
			give_up(m, &err);
		}
	}
}
