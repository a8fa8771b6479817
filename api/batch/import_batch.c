/*
 * import_batch.c: batches of imports on their way into the primary, see import.h; the states of a
 * batch are in import_private.h. A worker's thread.
 *
 * What becomes of rows that were sent:
 *   1. committed: counted.
 *   2. refused for their data: halved; a single row is rejected.
 *   3. not done for another reason: sent again after RETRY_MS, for PATIENCE_MS; then the import is
 *      given up.
 *   4. nobody knows, because the connection was lost: the session on the server may have the rows
 *      still before it (a server that hung, a network that was cut). It is ended, and when it is
 *      gone they are sent again.
 *   5. left out, because somebody else has locked their rows: sent again, as in 3, when the
 *      others are done. The first try of a batch waits for locks, for connector_lock_ms(): to leave
 *      rows out costs time, and is seldom needed.
 * A batch is done when no rows are left. When the process dies before that, what was committed
 * stays; the client got no answer and sends all again.
 *
 * For rule 4 a bulk link marks its session before its first batch: with an advisory lock of its
 * own, which goes when the session ends, and shows who holds it. So a session is told apart from one
 * that has its process number later, and from one that a pooler has given to somebody else.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/batch/import_private.h"
#include "api/measures.h"

#define PATIENCE_MS 30000 /* how long a batch is tried before the import is given up */
#define RETRY_MS    200
#define SOON_MS	    20
#define MARKS	    INT64_C(1885824609) /* the upper half of all marks, so that they can be told */

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
	b->careful = false;
	b->lost = 0;
	enqueue(b);
}

/* ---- outcomes ---- */

/* What was to be done is to be tried again, unless that was tried for long enough. */
static void later(struct import_batch *b, const struct err *err)
{
	struct mono now = b->import->store->pool->now;

	if (mono_is_never(b->patience))
		b->patience = mono_add_ms(now, PATIENCE_MS);
	b->retry_at = mono_add_ms(now, RETRY_MS);
	if (mono_reached(b->patience, now))
		import_give_up(b->import, err);
}

static void reject(struct import_batch *b, uint64_t line, const struct err *err)
{
	struct import_fault fault = { .field = "" };

	if (b->import->calls->refused)
		b->import->calls->refused(b->data, err, &fault);
	else
		err_set(&fault.err, "the database refused it: %s", err_shown(err));
	import_reject(b->import, line, fault.field, fault.err.text);
}

/* The rows just sent were refused for their data: each half is tried by itself. */
static void halve(struct import_batch *b, const struct err *err)
{
	struct import_range s = b->sent;
	size_t middle = s.from + (s.to - s.from) / 2;

	if (s.to - s.from == 1) {
		reject(b, b->rows.list[s.from].line, err);
		return;
	}
	b->todo[b->ntodo++] = (struct import_range){ middle, s.to };
	b->todo[b->ntodo++] = (struct import_range){ s.from, middle };
}

static void wake_relay(struct import_batch *b)
{
	struct relay *relay = b->import->calls->relay(b->data);

	if (relay)
		relay_wake(relay);
}

static void take_stored(struct import_batch *b, const struct pg_result *res)
{
	struct import *m = b->import;
	int rows = 0;
	int created = m->calls->created(b->data, &b->rows, b->sent.from, b->sent.to, b->careful,
					res, &rows);

	m->created += created;
	m->replaced += rows - created;
	metric_add(M_IMPORT_ROWS, 0, rows);
	if (rows == 0)
		return;
	b->patience = MONO_NEVER;
	wake_relay(b);
}

/* When all rows were sent: those that were left out are what is to be done next. */
static void keep_locked(struct import_batch *b)
{
	struct err err;

	if (!b->careful || b->ntodo > 0)
		return;
	import_rows_keep_locked(&b->rows);
	if (b->rows.n == 0)
		return;
	b->todo[b->ntodo++] = (struct import_range){ 0, b->rows.n };
	err_set(&err, "another session of the database has locked %zu of the rows", b->rows.n);
	later(b, &err);
}

static void take_outcome(struct import_batch *b, enum db_outcome outcome,
			 const struct pg_result *res, const struct err *err)
{
	struct import *m = b->import;

	if (outcome == DB_SCHEMA && m->calls->blames_row && m->calls->blames_row(b->data, err))
		outcome = DB_REFUSED;
	if (outcome != DB_OK && m->calls->outdated && m->calls->outdated(b->data, err)) {
		b->todo[b->ntodo++] = b->sent;
		later(b, err);
		b->retry_at = mono_add_ms(m->store->pool->now, SOON_MS);
		return;
	}
	switch (outcome) {
	case DB_OK:
		take_stored(b, res);
		keep_locked(b);
		return;
	case DB_REFUSED:
		halve(b, err);
		keep_locked(b);
		return;
	case DB_SCHEMA:
		import_give_up(m, err);
		return;
	case DB_LOST:
		/* If the rows were committed nevertheless: sent again they are the same rows, under
		 * the same ids, only counted as replaced. Single writes are not sent again: their
		 * client can decide. An import's client could only send all of it again, which does
		 * to all rows what this does to those of one batch. */
		b->lost = b->mark;
		b->todo[b->ntodo++] = b->sent;
		later(b, err);
		return;
	case DB_RETRY:
	case DB_UNFIT:
	case DB_BROKEN:
	case DB_BUSY:
	case DB_FOREIGN:
		b->careful = b->careful || outcome == DB_RETRY;
		b->todo[b->ntodo++] = b->sent;
		later(b, err);
		return;
	}
}

/* The batch goes on, or is done. */
static void go_on(struct import_batch *b)
{
	struct import *m = b->import;

	m->store->imports->current[b->link] = NULL;
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

static void note_place(struct import_batch *b)
{
	const struct place place = link_place(b->import->store->pool->bulk[b->link]);

	if (b->import->place < place.seen)
		b->import->place = place.seen;
}

static void on_batch(void *arg, enum db_outcome outcome, const struct pg_result *res,
		     const struct err *err)
{
	struct import_batch *b = arg;
	struct import *m = b->import;

	if (outcome == DB_OK)
		note_place(b);
	if (m->state < IMPORT_ANSWERED)
		take_outcome(b, outcome, res, err);
	else if (outcome == DB_OK)
		wake_relay(b);
	go_on(b);
}

static void on_end(void *arg, enum db_outcome outcome, const struct pg_result *res,
		   const struct err *err)
{
	struct import_batch *b = arg;
	struct err alive;

	err_set(&alive, "a session of the database that was lost has not ended yet");
	if (outcome == DB_OK && db_rows(res) == 0)
		b->lost = 0;
	else if (b->import->state < IMPORT_ANSWERED)
		later(b, outcome == DB_OK ? &alive : err);
	go_on(b);
}

/* ---- sending ---- */

static void on_mark(void *arg, enum db_outcome outcome, const struct pg_result *res,
		    const struct err *err)
{
	struct link *l = arg;

	(void)res;
	(void)err;
	if (outcome == DB_OK)
		l->marked = true;
	else
		l->mark = 0; /* is asked for again */
}

/* A statement with a mark as its parameter. False: it could not be sent. */
static bool send_mark(struct link *l, size_t statement, int64_t mark, db_callback cb, void *arg)
{
	struct pool *p = l->pool;
	char text[24];
	struct err err;

	snprintf(text, sizeof(text), "%" PRId64, mark);
	const struct db_param param = DB_TEXT(text);

	l->touched = true;
	return db_send(l->db, statement, &param, true,
		       mono_add_ms(p->now, p->settings->request_timeout_ms), cb, arg, &err);
}

static void mark_session(const struct store *s, struct link *l)
{
	struct uuid random;
	uint32_t low;

	uuid_make(&random);
	memcpy(&low, random.b + sizeof(random.b) - sizeof(low), sizeof(low));
	l->mark = MARKS << 32 | low;
	if (!send_mark(l, s->imports->statements.mark, l->mark, on_mark, l))
		l->mark = 0;
}

/* Ends the session whose outcome is not known. */
static void send_end(struct import_batch *b, size_t link)
{
	struct store *store = b->import->store;
	struct err err;

	b->link = link;
	store->imports->current[link] = b;
	if (send_mark(store->pool->bulk[link], store->imports->statements.end, b->lost, on_end, b))
		return;
	err_set(&err, "the connection to the primary was lost");
	on_end(b, DB_LOST, NULL, &err);
}

static void send_range(struct import_batch *b, size_t link)
{
	struct store *store = b->import->store;
	struct pool *p = store->pool;
	struct link *l = p->bulk[link];
	struct db_param *params;
	struct err err;

	b->sent = b->todo[--b->ntodo];
	size_t statement = b->import->calls->statement(b->data, &b->rows, b->sent.from, b->sent.to,
						       b->careful, l, store->scratch, &params);

	b->link = link;
	b->mark = l->mark;
	store->imports->current[link] = b;
	l->touched = true;
	if (statement == IMPORT_NO_STATEMENT) {
		err_set(&err, "too many different statements are under way");
		on_batch(b, DB_UNFIT, NULL, &err);
		return;
	}
	metric_add(M_WRITE_UNITS, 0, 1);
	if (!db_send_then(l->db, statement, params, true, store->imports->statements.place,
			  mono_add_ms(p->now, p->settings->request_timeout_ms), on_batch, b, &err))
		on_batch(b, DB_LOST, NULL, &err);
}

void import_dispatch(struct store *s)
{
	if (upstream_refuses_writes(upstreams_primary(s->pool->upstreams)))
		return;
	for (size_t i = 0; i < IMPORT_BATCHES; i++) {
		struct import_batch *b = s->imports->waiting;
		struct link *l = s->pool->bulk[i];

		if (s->imports->current[i] || !link_usable(l))
			continue;
		if (!l->mark)
			mark_session(s, l);
		if (!l->marked)
			continue;
		while (b && !mono_reached(b->retry_at, s->pool->now))
			b = b->next;
		if (!b)
			return;
		dequeue(b, BATCH_IN_FLIGHT);
		if (b->lost)
			send_end(b, i);
		else
			send_range(b, i);
	}
}

void import_tick(struct store *s)
{
	const char *why = upstream_refuses_writes(upstreams_primary(s->pool->upstreams));
	struct import_batch *b = s->imports->waiting;
	struct err err;

	for (size_t i = 0; i < IMPORT_BATCHES; i++)
		if (link_usable(s->pool->bulk[i]) && s->pool->bulk[i]->marked && !why)
			return;
	err_set(&err, "%s", why ? why : "the primary does not answer");
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
