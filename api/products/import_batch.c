/*
 * import_batch.c: batches of imports on their way into the primary, see import.h. A worker's thread.
 *
 * A batch is queued -> in flight on a bulk link -> done; refused for its data -> its halves are queued; not done for another
 * reason -> queued again after RETRY_MS, for PATIENCE_MS. When the process dies in between, what was committed stays; the
 * client got no answer and sends all again.
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
	struct imports *s = b->import->store->imports;

	b->next = NULL;
	if (s->waiting_last)
		s->waiting_last->next = b;
	else
		s->waiting = b;
	s->waiting_last = b;
	b->queued = true;
}

static void dequeue(struct import_batch *b)
{
	struct import_batch *before = NULL;

	if (!b->queued) /* maybe it never was: then it has no import */
		return;
	struct imports *s = b->import->store->imports;

	for (struct import_batch *i = s->waiting; i != b; i = i->next)
		before = i;
	if (before)
		before->next = b->next;
	else
		s->waiting = b->next;
	if (s->waiting_last == b)
		s->waiting_last = before;
	b->queued = false;
}

void import_dequeue(struct import *m)
{
	for (size_t i = 0; i < IMPORT_BATCHES; i++)
		dequeue(&m->batch[i]);
}

void import_batch_start(struct import *m, struct import_batch *b)
{
	b->import = m;
	b->working = true;
	b->todo[0] = (struct import_range){ 0, b->rows.n };
	b->ntodo = 1;
	b->patience = MONO_NEVER;
	b->retry_at = (struct mono){ 0 };
	enqueue(b);
}

/* ---- outcomes ---- */

static void later(struct import_batch *b, const struct err *err)
{
	struct mono now = b->import->store->pool->now;

	b->todo[b->ntodo++] = b->sent;
	if (mono_is_never(b->patience))
		b->patience = mono_add_ms(now, PATIENCE_MS);
	if (mono_reached(b->patience, now)) {
		import_give_up(b->import, err);
		return;
	}
	b->retry_at = mono_add_ms(now, RETRY_MS);
	enqueue(b);
}

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

	for (int i = 0; i < rows; i++) {
		if (db_value(res, i, 0)[0])
			m->created++;
		else
			m->replaced++;
	}
	metric_add(M_IMPORT_ROWS, 0, rows);
}

static void on_batch(void *arg, enum db_outcome outcome, const struct pg_result *res,
		     const struct err *err)
{
	struct import_batch *b = arg;
	struct import *m = b->import;

	m->store->imports->current[b->link] = NULL;
	m->in_flight--;
	if (outcome == DB_OK)
		relay_wake(m->store->service->relay);
	if (!m->request) {
		if (m->in_flight == 0)
			import_free(m);
		return;
	}
	if (m->failed) /* because of another batch; it is answered */
		return;
	switch (outcome) {
	case DB_OK:
		count_rows(m, res);
		b->patience = MONO_NEVER;
		break;
	case DB_REFUSED:
		halve(b, err);
		break;
	case DB_SCHEMA:
		import_give_up(m, err);
		return;
	case DB_RETRY:
	case DB_UNFIT:
	case DB_BROKEN:
	case DB_BUSY:
	case DB_LOST:
		/* Of a lost one the outcome is unknown: done again it leaves the same rows, under the same ids, but counts them as
		 * replaced. Single writes are not done again, their client knows better; an import would have to be sent again
		 * as a whole, which does the same to all its lines that this does to one batch. */
		later(b, err);
		return;
	}
	if (b->ntodo > 0) {
		enqueue(b);
		return;
	}
	b->working = false;
	m->working--;
	import_pump(m);
}

/* ---- sending ---- */

static void send_range(struct import_batch *b, size_t link)
{
	struct pool *p = b->import->store->pool;
	struct imports *s = b->import->store->imports;
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
	b->import->in_flight++;
	s->current[link] = b;
	l->touched = true;
	metric_add(M_WRITE_UNITS, 0, 1);
	if (!db_send(l->db, WRITE_IMPORT, params, true,
		     mono_add_ms(p->now, p->settings->request_timeout_ms), on_batch, b, &err))
		on_batch(b, DB_LOST, NULL, &err);
}

/* The first that waits and may be tried now; NULL: none. */
static struct import_batch *next_batch(const struct store *s)
{
	for (struct import_batch *b = s->imports->waiting; b; b = b->next)
		if (mono_reached(b->retry_at, s->pool->now))
			return b;
	return NULL;
}

void import_dispatch(struct store *s)
{
	for (size_t i = 0; i < IMPORT_BATCHES; i++) {
		struct import_batch *b;

		if (s->imports->current[i] || !link_usable(s->pool->bulk[i]))
			continue;
		b = next_batch(s);
		if (!b)
			return;
		b->retry_at = (struct mono){ 0 };
		dequeue(b);
		send_range(b, i);
	}
}

/* Gives up those that wait for a connection that does not come. */
void import_tick(struct store *s)
{
	for (size_t i = 0; i < IMPORT_BATCHES; i++)
		if (link_usable(s->pool->bulk[i]))
			return;
	for (struct import_batch *b = s->imports->waiting; b; b = b->next)
		if (mono_is_never(b->patience))
			b->patience = mono_add_ms(s->pool->now, PATIENCE_MS);
	for (struct import_batch *b = s->imports->waiting; b;) {
		if (!mono_reached(b->patience, s->pool->now)) {
			b = b->next;
			continue;
		}
		struct err err;

		err_set(&err, "the primary does not answer");
		import_give_up(b->import, &err); /* takes all its batches out of the queue */
		b = s->imports->waiting;
	}
}
