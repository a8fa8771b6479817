/*
 * apply.c: see apply.h.
 *
 * A batch is cut into ranges of batch->order, each a transaction of its own, one in flight at a
 * time. Open ranges are on a stack; the verdict on a unit says what becomes of its range:
 *   1. applied: the next range.
 *   2. refused, several changes: both halves instead of it. 1 bad change of 2000 costs about 20
 *      small transactions. Units are in the order of ids, which is quicker for the indexes; from the
 *      first refusal on in the order of versions, so that no change takes a unique value before an
 *      earlier one, in the same batch, has passed it on.
 *   3. refused, one change, for its own values: it is a failure of the batch.
 *   4. refused, one change, maybe because of another row: it is kept for another pass.
 *      In both cases the next newest change of the same product takes its place, because it would
 *      have been applied had it come in another batch.
 *   5. again: the same range after a short back-off.
 *   6. wait: the batch ends here.
 *
 * Passes: when no range is left, the changes that were kept are tried again, as long as the pass
 * before took any (verdict_goes_on()). They go in the order of their versions, which is an order
 * that the primary could take them in: names that move up a chain of products, or are swapped by
 * way of a third name, so need one more pass, whatever the order of the ids. A primary without the
 * replica's constraint may have taken them in any order, so every other pass goes backwards. What
 * is left is a failure of the batch, and uses up no attempt while others that had been refused are
 * taken (verdict_is_free()): a chain may be longer than a batch. A cycle that only a constraint
 * that is checked later can take (DEFERRABLE) is tried as one unit at the head of each pass.
 *
 * The heartbeats of a batch and the numbers of its messages go with its last unit, so that they count
 * only when all changes before them are committed; if no change is left for that unit, with an empty
 * one. Of a change that was refused the message has arrived all the same: it is moved next, or, after
 * a crash, delivered again. Numbers may wait for a later batch, as long as their messages are not
 * acknowledged: a row for each small batch would cost as much as its changes.
 *
 * All of this is in memory. If the process dies, the messages come again, and what is committed is
 * then stale.
 *
 * A replica that was lost or too slow in the middle of a unit gets smaller ones for a while: a
 * batch that takes longer than the time limit would otherwise be tried for ever.
 */
#include "consumer/apply/apply.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/backoff.h"
#include "consumer/apply/replica.h"

/* The server's own statement_timeout comes first; only if it hangs does the connection's deadline
 * pass. */
#define GRACE_MS 3000

struct range {
	size_t from, n;
};

struct apply {
	const struct consumer_settings *settings;
	const struct tables *tables;
	struct db *db;
	enum apply_state state;
	struct batch *batch;
	struct batch_params params;

	struct range *open; /* stack of ranges that are still to do; its top is the one in flight */
	size_t nopen, open_cap;
	bool in_flight;
	bool arrivals_due;   /* heartbeats and numbers are still to be passed on */
	bool arrivals_sent;  /* with the unit that is in flight */
	unsigned pass;	     /* 0: the first one, of all changes */
	size_t left;	     /* changes that were refused when it began */
	bool progress;	     /* the first pass: something was applied */
	bool by_version;     /* the open ranges are in the order of versions */
	int64_t resolved_us; /* wall clock: a change was taken that had been refused; 0: never */
	unsigned tries;	     /* of the top range */
	struct backoff backoff;
	struct mono again_at;
	size_t unit_max; /* changes of a unit, 1 … settings->batch_max_changes */

	struct apply_counts counts;
	struct apply_trouble trouble;
};

struct apply *apply_new(const struct consumer_settings *settings, const struct tables *tables)
{
	struct apply *a = xcalloc(1, sizeof(*a));

	a->settings = settings;
	a->tables = tables;
	a->unit_max = (size_t)settings->batch_max_changes;
	backoff_init(&a->backoff, 20, 1000);
	return a;
}

struct apply *apply_free(struct apply *a)
{
	if (a == NULL)
		return NULL;
	batch_params_clear(&a->params);
	free(a->open);
	free(a);
	return NULL;
}

void apply_use(struct apply *a, struct db *db)
{
	a->db = db;
}

static void push(struct apply *a, size_t from, size_t n)
{
	if (a->nopen == a->open_cap) {
		a->open_cap = a->open_cap ? 2 * a->open_cap : 32;
		a->open = xreallocarray(a->open, a->open_cap, sizeof(*a->open));
	}
	a->open[a->nopen++] = (struct range){ from, n };
	a->tries = 0;
}

static struct range pop(struct apply *a)
{
	a->tries = 0;
	backoff_reset(&a->backoff);
	return a->open[--a->nopen];
}

/* Ranges of all that `order` holds, the first one on top: each of one table, the last one of a table may
 * be short. */
static void push_all(struct apply *a)
{
	const struct batch *b = a->batch;

	for (size_t end = b->norder, from; end > 0; end = from) {
		for (from = end - 1; from > 0 && batch_of_one_table(b, from - 1, end - 1);)
			from--;
		for (size_t n; end > from; end -= n) {
			n = (end - from) % a->unit_max;
			n = n ? n : a->unit_max;
			push(a, end - n, n);
		}
	}
}

void apply_start(struct apply *a, struct batch *b, bool numbers, struct mono now)
{
	a->batch = b;
	a->nopen = 0;
	a->again_at = (struct mono){ 0 };
	a->counts = (struct apply_counts){ .started = now };
	batch_seal(b);
	push_all(a);
	a->arrivals_due = batch_has_arrivals(b) && (numbers || b->nbeats > 0 || b->nfailures > 0);
	a->counts.numbers_left = b->nruns > 0 && !a->arrivals_due;
	a->pass = 0;
	a->progress = a->by_version = false;
	a->state = APPLY_BUSY;
}

/* ---- passes ---- */

/* Ranges of what `order` holds, the first one on top: as long as units may be, but an older change
 * of a product, whose newest one is there too, is alone. */
static void push_pass(struct apply *a)
{
	size_t end = a->batch->norder;

	while (end > 0) {
		size_t from = end - 1;
		while (batch_is_newest(a->batch, end - 1) && from > 0 && end - from < a->unit_max &&
		       batch_is_newest(a->batch, from - 1) &&
		       batch_of_one_table(a->batch, from - 1, end - 1))
			from--;
		push(a, from, end - from);
		end = from;
	}
}

/* No range is left: what was refused is tried again, or given up. */
static void end_pass(struct apply *a)
{
	struct batch *b = a->batch;
	size_t left = b->nrefused;
	size_t taken = a->pass == 0	? (a->progress ? left : 0)
		       : a->left > left ? a->left - left
					: 0;

	a->by_version = true;
	if (verdict_goes_on(taken, b->nrefused)) {
		a->left = b->nrefused;
		batch_retry(b, a->pass++ % 2 == 1);
		push_pass(a);
		return;
	}
	if (b->nrefused > 0) {
		size_t first = b->nfailures;
		a->counts.refused += b->nrefused;
		batch_give_up(b);
		for (size_t i = first; i < b->nfailures; i++) {
			struct batch_failure *f = &b->failures[i];
			const struct batch_message *m = &b->messages[f->message];
			f->free = verdict_is_free(m->attempt, m->failed_us, a->resolved_us);
		}
	}
	if (a->arrivals_due)
		push(a, 0, 0);
	else
		a->state = APPLY_DONE;
}

/* What is still to do in the first pass, by versions. The open ranges are next to each other: an
 * older change that batch_older() has put behind them is on top and alone, so it is gone by then. */
static void order_rest(struct apply *a)
{
	if (a->by_version || a->nopen == 0)
		return;
	size_t from = a->open[a->nopen - 1].from, n = 0;

	for (size_t i = 0; i < a->nopen; i++)
		n += a->open[i].n;
	batch_by_version(a->batch, from, n);
	a->by_version = true;
}

/* ---- answers ---- */

/* A batch with failures: its messages are acknowledged one by one, so no number may wait. */
static void refused(struct apply *a)
{
	order_rest(a);
	a->arrivals_due = a->arrivals_due || a->counts.numbers_left;
	a->counts.numbers_left = false;
}

static void give_up(struct apply *a, enum db_outcome outcome, struct verdict verdict,
		    const struct err *err)
{
	a->state = APPLY_TROUBLE;
	a->trouble = (struct apply_trouble){ outcome, verdict, *err };
	if (outcome == DB_LOST || outcome == DB_RETRY)
		a->unit_max = a->unit_max > 4 ? a->unit_max / 4 : 1;
}

static void on_answer(void *arg, enum db_outcome outcome, const struct pg_result *r,
		      const struct err *err)
{
	struct apply *a = arg;

	a->in_flight = false;
	if (a->state != APPLY_BUSY)
		return; /* given up meanwhile */
	struct range top = a->open[a->nopen - 1];
	struct verdict verdict = verdict_of_unit(outcome, top.n, a->tries);
	switch (verdict.action) {
	case VERDICT_NEXT:
		if (a->arrivals_sent)
			a->arrivals_due = false;
		if (batch_applied(a->batch, top.from, top.n))
			a->resolved_us = wall_now_us();
		a->progress = a->progress || top.n > 0;
		pop(a);
		if (db_rows(r) == 1 && db_length(r, 0, 0) == 8)
			a->counts.applied += (size_t)pg_get_int8(db_value(r, 0, 0));
		a->unit_max = min_size(2 * a->unit_max, (size_t)a->settings->batch_max_changes);
		break;
	case VERDICT_HALVE:
		refused(a);
		pop(a);
		push(a, top.from + top.n / 2, top.n - top.n / 2);
		push(a, top.from, top.n / 2);
		break;
	case VERDICT_FAIL_CHANGE: {
		size_t older;
		pop(a);
		if (top.n == 0) { /* nothing but arrivals: those of the next batch may do better */
			a->arrivals_due = false;
			break;
		}
		refused(a);
		uint32_t change = a->batch->order[top.from];
		if (verdict_may_pass(err->sqlstate)) {
			batch_refuse(a->batch, change, err);
		} else {
			a->counts.refused++;
			batch_fail_change(a->batch, change, err);
		}
		if (batch_older(a->batch, change, &older))
			push(a, older, 1);
		break;
	}
	case VERDICT_AGAIN:
		a->again_at = mono_add_ms(mono_now(), backoff_next_ms(&a->backoff));
		break;
	default:
		give_up(a, outcome, verdict, err);
		break;
	}
}

static void send_unit(struct apply *a, struct mono now)
{
	struct range top = a->open[a->nopen - 1];
	struct db_param params[TABLE_APPLY_PARAMS];
	struct err err = { .text = "" };
	size_t statement = a->tables->arrive;

	a->arrivals_sent = a->arrivals_due && a->nopen == 1 && a->batch->nrefused == 0;
	if (top.n > 0) {
		const struct change *first = &a->batch->changes[a->batch->order[top.from]].change;
		const struct tables_statements *of = tables_statements(a->tables, first->table);

		statement = first->truncate ? of->truncate : of->apply;
		if (first->truncate)
			batch_truncate_build(&a->params, a->batch, top.from, a->arrivals_sent,
					     params);
		else
			batch_params_build(&a->params, a->batch, top.from, top.n, a->arrivals_sent,
					   params);
	} else {
		batch_arrivals_build(&a->params, a->batch, a->arrivals_sent, params);
	}
	a->tries++;
	a->counts.units++;
	a->in_flight = true;
	if (!db_send(a->db, statement, params, true,
		     mono_add_ms(now, a->settings->apply_timeout_ms + GRACE_MS), on_answer, a,
		     &err)) {
		a->in_flight = false;
		give_up(a, DB_LOST, verdict_of_unit(DB_LOST, top.n, a->tries), &err);
	}
}

enum apply_state apply_step(struct apply *a, struct mono now)
{
	if (a->state != APPLY_BUSY || a->in_flight || !mono_reached(a->again_at, now))
		return a->state;
	a->again_at = (struct mono){ 0 };
	if (a->nopen == 0)
		end_pass(a);
	if (a->nopen > 0)
		send_unit(a, now);
	return a->state;
}

struct mono apply_since(const struct apply *a)
{
	return a->state == APPLY_BUSY ? a->counts.started : MONO_NEVER;
}

struct mono apply_wake(const struct apply *a)
{
	return a->state == APPLY_BUSY && !a->in_flight ? a->again_at : MONO_NEVER;
}

const struct apply_trouble *apply_trouble(const struct apply *a)
{
	return &a->trouble;
}

struct apply_counts apply_finish(struct apply *a)
{
	a->batch = NULL;
	a->state = APPLY_IDLE;
	return a->counts;
}

void apply_abandon(struct apply *a)
{
	a->batch = NULL;
	a->nopen = 0;
	a->in_flight = false;
	a->again_at = (struct mono){ 0 };
	a->state = APPLY_IDLE;
}
