/*
 * apply.c: see apply.h.
 *
 * A batch is cut into ranges of batch->order, each a transaction of its own, one in flight at a
 * time. Open ranges are on a stack; the verdict on a unit says what becomes of its range:
 *   1. applied: the next range.
 *   2. refused, because of another row: the same range one by one (pgfanout.apply_each()), which keeps on
 *      the replica what waits for others; waiting.c has it tried again.
 *   3. refused, several changes, for values of theirs: both halves instead of it. 1 bad change of 2000 costs
 *      about 20 small transactions.
 *   4. refused, one change, for its own values: it is a failure of the batch. The next newest change of the
 *      same row takes its place, because it would have been applied had it come in another batch.
 *   5. again: the same range after a short back-off.
 *   6. wait: the batch ends here.
 *
 * Rows whose changes failed are recorded as wrong before the batch's heartbeats and numbers go to the replica.
 * So who finds there that everything has come, or another consumer that passes on a heartbeat from behind it,
 * finds these rows recorded. A change that cannot be read, so that its row is not known, is not one that the
 * primary has sent: it holds up nothing. If the replica refuses the record, its heartbeats have no place in
 * the WAL from then on, until the process ends: they would speak for rows that nobody knows to be wrong.
 *
 * The heartbeats of a batch and the numbers of its messages go with its last unit, so that they count
 * only when all changes before them are committed or wait; if no change is left for that unit, with an empty
 * one. Of a change that failed the message has arrived all the same: it is moved next, or, after
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
#include "common/wire/topology.h"
#include "consumer/apply/replica.h"

/* The server's own statement_timeout comes first; only if it hangs does the connection's deadline
 * pass. */
#define GRACE_MS 3000

struct range {
	size_t from, n;
	bool each; /* one by one */
};

struct apply {
	const struct consumer_settings *settings;
	const struct tables *tables;
	char queues[2][TOPOLOGY_NAME_MAX]; /* by enum change_kind */
	struct db *db;
	enum apply_state state;
	struct batch *batch;
	struct batch_params params;

	struct range *open; /* stack of ranges that are still to do; its top is the one in flight */
	size_t nopen, open_cap;
	bool in_flight;
	bool arrivals_due;  /* heartbeats and numbers are still to be passed on */
	bool arrivals_sent; /* with the unit that is in flight */
	unsigned tries;	    /* of the top range */
	struct backoff backoff;
	struct mono again_at;
	size_t unit_max; /* changes of a unit, 1 … settings->batch_max_changes */

	struct apply_counts counts;
	struct apply_trouble trouble;
	bool ends_marks; /* a record was refused, for this reason: */
	struct err record_err;
};

struct apply *apply_new(const struct consumer_settings *settings, const struct stream *stream,
			const char *replica, const struct tables *tables)
{
	struct apply *a = xcalloc(1, sizeof(*a));

	a->settings = settings;
	a->tables = tables;
	topology_queue(a->queues[CHANGE_SYNC], stream, CHANGE_SYNC, replica);
	topology_queue(a->queues[CHANGE_DELETE], stream, CHANGE_DELETE, replica);
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

static void push_range(struct apply *a, struct range range)
{
	if (a->nopen == a->open_cap) {
		a->open_cap = a->open_cap ? 2 * a->open_cap : 32;
		a->open = xreallocarray(a->open, a->open_cap, sizeof(*a->open));
	}
	a->open[a->nopen++] = range;
	a->tries = 0;
}

static void push(struct apply *a, size_t from, size_t n)
{
	push_range(a, (struct range){ from, n, false });
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
	a->state = APPLY_BUSY;
}

/* ---- answers ---- */

/* A batch with failures: its messages are acknowledged one by one, so no number may wait. */
static void fail_change(struct apply *a, uint32_t change, const struct err *err)
{
	a->arrivals_due = a->arrivals_due || a->counts.numbers_left;
	a->counts.numbers_left = false;
	a->counts.refused++;
	batch_fail_change(a->batch, change, err);
}

static void give_up(struct apply *a, enum db_outcome outcome, struct verdict verdict,
		    const struct err *err)
{
	a->state = APPLY_TROUBLE;
	a->trouble = (struct apply_trouble){ outcome, verdict, *err };
	if (outcome == DB_LOST || outcome == DB_RETRY)
		a->unit_max = a->unit_max > 4 ? a->unit_max / 4 : 1;
}

static bool may_wait(const struct apply *a, struct range range, const struct err *err)
{
	return range.n > 0 && !range.each && verdict_waits(err->sqlstate) &&
	       !a->batch->changes[a->batch->order[range.from]].change.truncate;
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
	if (outcome == DB_REFUSED && may_wait(a, top, err)) {
		pop(a);
		push_range(a, (struct range){ top.from, top.n, true });
		return;
	}
	switch (verdict.action) {
	case VERDICT_NEXT:
		if (a->arrivals_sent)
			a->arrivals_due = false;
		pop(a);
		if (db_rows(r) == 1 && db_length(r, 0, 0) == 8)
			a->counts.applied += (size_t)pg_get_int8(db_value(r, 0, 0));
		if (top.each && db_rows(r) == 1)
			a->counts.kept += (size_t)pg_get_int8(db_value(r, 0, 1));
		a->unit_max = min_size(2 * a->unit_max, (size_t)a->settings->batch_max_changes);
		break;
	case VERDICT_HALVE:
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
		uint32_t change = a->batch->order[top.from];
		fail_change(a, change, err);
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

/* What failed is recorded, or is not going to be. */
static void on_recorded(void *arg, enum db_outcome outcome, const struct pg_result *r,
			const struct err *err)
{
	struct apply *a = arg;

	(void)r;
	a->in_flight = false;
	if (a->state != APPLY_BUSY)
		return;
	struct verdict verdict = verdict_of_unit(outcome, 1, a->tries);
	switch (verdict.action) {
	case VERDICT_NEXT:
		a->counts.recorded = a->batch->recorded = true;
		break;
	case VERDICT_FAIL_CHANGE:
		a->batch->recorded = a->ends_marks = true;
		a->record_err = *err;
		a->counts.record_refused = &a->record_err;
		break;
	case VERDICT_AGAIN:
		a->again_at = mono_add_ms(mono_now(), backoff_next_ms(&a->backoff));
		return;
	default:
		give_up(a, outcome, verdict, err);
		return;
	}
	a->tries = 0;
	backoff_reset(&a->backoff);
}

static void send_record(struct apply *a, struct mono now)
{
	const char *const queues[] = { a->queues[0], a->queues[1] };
	struct db_param params[BATCH_RECORD_PARAMS];
	struct err err = { .text = "" };

	batch_record_build(&a->params, a->batch, queues, params);
	a->tries++;
	a->in_flight = true;
	if (!db_send(a->db, REPLICA_RECORD_WRONG, params, false,
		     mono_add_ms(now, a->settings->apply_timeout_ms + GRACE_MS), on_recorded, a,
		     &err)) {
		a->in_flight = false;
		give_up(a, DB_LOST, verdict_of_unit(DB_LOST, 1, a->tries), &err);
	}
}

static void send_unit(struct apply *a, struct mono now)
{
	struct range top = a->open[a->nopen - 1];
	struct db_param params[TABLE_EACH_PARAMS];
	struct err err = { .text = "" };
	size_t statement = a->tables->arrive;

	a->arrivals_sent = a->arrivals_due && a->nopen == 1 && !top.each &&
			   !batch_to_record(a->batch);
	enum batch_arrivals arrivals = !a->arrivals_sent ? BATCH_NO_ARRIVALS
				       : a->ends_marks	 ? BATCH_NO_MARKS
							 : BATCH_ARRIVALS;
	if (top.n > 0) {
		const struct change *first = &a->batch->changes[a->batch->order[top.from]].change;
		const struct tables_statements *of = tables_statements(a->tables, first->table);

		statement = top.each ? of->each : first->truncate ? of->truncate : of->apply;
		if (top.each) {
			const char *const queues[] = { a->queues[0], a->queues[1] };
			batch_each_build(&a->params, a->batch, top.from, top.n, queues, params);
		} else if (first->truncate)
			batch_truncate_build(&a->params, a->batch, top.from, arrivals, params);
		else
			batch_params_build(&a->params, a->batch, top.from, top.n, arrivals, params);
	} else {
		batch_arrivals_build(&a->params, a->batch, arrivals, params);
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
	bool record = a->nopen == 0 && batch_to_record(a->batch);
	if (a->nopen == 0 && a->arrivals_due && !record)
		push(a, 0, 0);
	if (record)
		send_record(a, now);
	else if (a->nopen == 0)
		a->state = APPLY_DONE;
	else
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
	batch_params_reset(&a->params);
	return a->counts;
}

void apply_abandon(struct apply *a)
{
	a->batch = NULL;
	batch_params_reset(&a->params);
	a->nopen = 0;
	a->in_flight = false;
	a->again_at = (struct mono){ 0 };
	a->state = APPLY_IDLE;
}
