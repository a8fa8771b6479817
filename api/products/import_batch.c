/*
 * import_batch.c: batches of imports on their way into the primary, see import.h; the states of a
 * batch are in import_private.h. A worker's thread.
 *
 * What becomes of rows that were sent:
 *   1. committed: counted.
 *   2. refused for their data: halved; a single row is rejected.
 *   3. not done for another reason: sent again after RETRY_MS, for PATIENCE_MS; then the import is
 *      given up.
 * A batch is done when no rows are left. When the process dies before that, what was committed
 * stays; the client got no answer and sends all again.
 */
#include <stdio.h>
#include <string.h>

#include "api/products/import_private.h"
#include "api/measures.h"
#include "api/products/write_batch.h"

#define PATIENCE_MS 30000 /* how long a batch is tried before the import is given up */
#define RETRY_MS    200

/* ---- the worker's queue for the bulk links ---- */

static void enqueue(struct import_batch *b)
{
	struct import_batch **at = &b->import->store->imports->waiting;

	while (*at)
		at = &(*at)->next;
	*at = b;
	b->next = NULL;
	b->state = BATCH_QUEUED;
}

static void dequeue(struct import_batch *b, enum import_batch_state to)
{
	struct import_batch **at = &b->import->store->imports->waiting;

	while (*at != b)
		at = &(*at)->next;
	*at = b->next;
	b->state = to;
}

void import_dequeue(struct import *m)
{
	for (size_t i = 0; i < ARRAY_SIZE(m->batch); i++)
		if (m->batch[i].state == BATCH_QUEUED)
			dequeue(&m->batch[i], BATCH_FREE);
}

void import_batch_start(struct import_batch *b)
{
	b->todo[0] = (struct import_range){ 0, b->rows.n };
	b->ntodo = 1;
	b->patience = MONO_NEVER;
	enqueue(b);
}

/* ---- outcomes ---- */

/* The rows just sent are to be sent again, unless that was tried for long enough. */
static void later(struct import_batch *b, const struct err *err)
{
	struct mono now = b->import->store->pool->now;

	b->todo[b->ntodo++] = b->sent;
	if (mono_is_never(b->patience))
		b->patience = mono_add_ms(now, PATIENCE_MS);
	b->retry_at = mono_add_ms(now, RETRY_MS);
	if (mono_reached(b->patience, now))
		import_give_up(b->import, err);
}

/* The rows just sent were refused for their data: each half is tried by itself. */
static void halve(struct import_batch *b, const struct err *err)
{
	struct import_range s = b->sent;
	size_t middle = s.from + (s.to - s.from) / 2;

	if (s.to - s.from == 1) {
		char text[640];

		snprintf(text, sizeof(text), "the database refused it: %s", err->text);
		import_reject(b->import, b->rows.list[s.from].line, NULL, text);
		return;
	}
	b->todo[b->ntodo++] = (struct import_range){ middle, s.to };
	b->todo[b->ntodo++] = (struct import_range){ s.from, middle };
}

static void count_rows(struct import *m, const struct pg_result *res)
{
	int rows = db_rows(res);
	int created = 0;

	for (int i = 0; i < rows; i++)
		created += db_value(res, i, 0)[0] != 0;
	m->created += created;
	m->replaced += rows - created;
	metric_add(M_IMPORT_ROWS, 0, rows);
}

static void take_outcome(struct import_batch *b, enum db_outcome outcome,
			 const struct pg_result *res, const struct err *err)
{
	switch (outcome) {
	case DB_OK:
		count_rows(b->import, res);
		b->patience = MONO_NEVER;
		return;
	case DB_REFUSED:
		halve(b, err);
		return;
	case DB_SCHEMA:
		import_give_up(b->import, err);
		return;
	case DB_RETRY:
	case DB_UNFIT:
	case DB_BROKEN:
	case DB_BUSY:
	case DB_FOREIGN:
	case DB_LOST:
		/* After DB_LOST nobody knows whether the rows were committed. Sent again they are
		 * the same rows, under the same ids, only counted as replaced. Single writes are
		 * not sent again: their client can decide. An import's client could only send all
		 * of it again, which does to all rows what this does to those of one batch. */
		later(b, err);
		return;
	}
}

static void on_batch(void *arg, enum db_outcome outcome, const struct pg_result *res,
		     const struct err *err)
{
	struct import_batch *b = arg;
	struct import *m = b->import;

	m->store->imports->current[b->link] = NULL;
	if (outcome == DB_OK)
		relay_wake(m->store->service->relay);
	if (m->state < IMPORT_ANSWERED)
		take_outcome(b, outcome, res, err);
	if (m->state < IMPORT_ANSWERED && b->ntodo > 0) {
		enqueue(b);
		return;
	}
	b->state = BATCH_FREE;
	if (m->state == IMPORT_GONE && import_count(m, BATCH_IN_FLIGHT) == 0)
		import_free(m);
	else
		import_pump(m);
}

/* ---- sending ---- */

static void send_range(struct import_batch *b, size_t link)
{
	struct store *store = b->import->store;
	struct pool *p = store->pool;
	struct write_batches *s = store->writes; /* its arrays are free between two sends */
	struct link *l = p->bulk[link];
	struct err err;

	b->sent = b->todo[--b->ntodo];
	pgarray_begin(&s->ids, PGARRAY_UUID);
	pgarray_begin(&s->names, PGARRAY_TEXT);
	pgarray_begin(&s->prices, PGARRAY_TEXT);
	pgarray_begin(&s->stocks, PGARRAY_INT4);
	for (size_t i = b->sent.from; i < b->sent.to; i++) {
		const struct import_row *row = &b->rows.list[i];

		pgarray_add_uuid(&s->ids, &row->id);
		pgarray_add_text(&s->names, b->rows.names.data + row->name_at, row->name_len);
		pgarray_add_text(&s->prices, row->price, strlen(row->price));
		pgarray_add_int4(&s->stocks, row->stock);
	}
	struct db_param params[4] = {
		pgarray_finish(&s->ids),
		pgarray_finish(&s->names),
		pgarray_finish(&s->prices),
		pgarray_finish(&s->stocks),
	};

	b->link = link;
	store->imports->current[link] = b;
	l->touched = true;
	metric_add(M_WRITE_UNITS, 0, 1);
	if (!db_send(l->db, WRITE_IMPORT, params, true,
		     mono_add_ms(p->now, p->settings->request_timeout_ms), on_batch, b, &err))
		on_batch(b, DB_LOST, NULL, &err);
}

void import_dispatch(struct store *s)
{
	for (size_t i = 0; i < IMPORT_BATCHES; i++) {
		struct import_batch *b = s->imports->waiting;

		if (s->imports->current[i] || !link_usable(s->pool->bulk[i]))
			continue;
		while (b && !mono_reached(b->retry_at, s->pool->now))
			b = b->next;
		if (!b)
			return;
		dequeue(b, BATCH_IN_FLIGHT);
		send_range(b, i);
	}
}

void import_tick(struct store *s)
{
	struct import_batch *b = s->imports->waiting;
	struct err err;

	for (size_t i = 0; i < IMPORT_BATCHES; i++)
		if (link_usable(s->pool->bulk[i]))
			return;
	err_set(&err, "the primary does not answer");
	while (b) {
		if (mono_is_never(b->patience))
			b->patience = mono_add_ms(s->pool->now, PATIENCE_MS);
		if (mono_reached(b->patience, s->pool->now)) {
			/* All batches of the import leave the queue. */
			import_give_up(b->import, &err);
			b = s->imports->waiting;
		} else {
			b = b->next;
		}
	}
}
