/*
 * waiting.c: see waiting.h. The states of a change that waits, and what a crash means, are told at
 * pgfanout.waiting (migrations/replica/0003_any_table.up.sql).
 *
 * The rule, read from the top; one statement is in flight at a time:
 *   1. Letters that are confirmed in the dead-letter queue are removed from the replica.
 *   2. Dead changes become moves (retry.c), which are recorded as wrong rows before they are published.
 *   3. What waits is tried: after each batch, but at most a tenth of the time goes into it; and each
 *      TRY_MS. While nothing waits, nothing is sent, but for one try at the beginning of a stretch.
 */
#include "consumer/apply/waiting.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/http/metrics.h"
#include "common/pg/pgarray.h"
#include "consumer/apply/batch.h"
#include "consumer/apply/replica.h"

#define TRY_MS	    1000
#define SHARE	    10	/* of the time */
#define LETTERS_MAX 100 /* in one statement: as its LIMIT */
/* A batch may be in front of it on the connection, and take its own whole timeout. */
#define GRACE_MS    8000

struct waiting {
	const struct consumer_settings *settings;
	const struct stream *stream;
	struct status *status;
	struct retry *retry;

	bool in_flight;
	int64_t n;		/* that wait or are dead, as far as is known */
	struct mono sent, over; /* the last try */
	struct mono try_at;
	bool descending; /* the next try; in turn */

	bool letters_due;     /* there are dead ones that were not taken yet */
	int64_t taken;	      /* the number of the last one that was */
	struct pgarray moved; /* numbers of those that are in the dead-letter queue */
	struct batch letter;  /* one at a time */
};

struct waiting *waiting_new(const struct consumer_settings *settings, const struct stream *stream,
			    struct status *status, struct retry *retry)
{
	struct waiting *w = xcalloc(1, sizeof(*w));

	w->settings = settings;
	w->stream = stream;
	w->status = status;
	w->retry = retry;
	w->try_at = MONO_NEVER;
	pgarray_begin(&w->moved, PGARRAY_INT8);
	batch_init(&w->letter);
	return w;
}

struct waiting *waiting_free(struct waiting *w)
{
	if (w == NULL)
		return NULL;
	pgarray_clear(&w->moved);
	batch_clear(&w->letter);
	free(w);
	return NULL;
}

void waiting_start(struct waiting *w)
{
	w->in_flight = w->letters_due = false;
	w->taken = 0;
	w->n = 1; /* not known: found out by a try */
	w->try_at = w->sent = w->over = mono_now();
	pgarray_begin(&w->moved, PGARRAY_INT8);
}

void waiting_batch(struct waiting *w, size_t kept)
{
	w->n += (int64_t)kept;
	if (w->n == 0)
		return;
	struct mono soon = mono_add_ms(w->over, SHARE * mono_diff_us(w->over, w->sent) / 1000);
	if (mono_is_never(w->try_at) || mono_reached(soon, w->try_at))
		w->try_at = soon;
}

void waiting_note(struct waiting *w, int64_t n)
{
	status_set_waiting(w->status, n);
	if (w->n == 0 && n > 0) {
		w->n = n;
		w->try_at = mono_now();
	}
}

void waiting_moved(struct waiting *w, uint64_t tag)
{
	pgarray_add_int8(&w->moved, (int64_t)(tag & ~WAITING_TAG));
}

/* ---- answers ---- */

static bool answered(struct waiting *w, enum db_outcome outcome, const struct err *err)
{
	w->in_flight = false;
	if (outcome == DB_OK || outcome == DB_LOST) /* which ends the stretch */
		return outcome == DB_OK;
	w->over = mono_now();
	w->try_at = mono_add_ms(w->over, TRY_MS);
	/* A reset, or a lock: that passes, and the next batch will say. */
	if (outcome != DB_BUSY && outcome != DB_RETRY && status_set_error(w->status, err->text))
		log_warn("changes that wait for others cannot be tried again; they go on waiting",
			 KV_S("replica", w->status->replica), KV_S("error", err->text));
	return false;
}

static int64_t number(const struct pg_result *r, int row, int column)
{
	return strtoll(db_value(r, row, column), NULL, 10);
}

static void on_tried(void *arg, enum db_outcome outcome, const struct pg_result *r,
		     const struct err *err)
{
	struct waiting *w = arg;

	if (!answered(w, outcome, err) || db_rows(r) != 1)
		return;
	int64_t applied = number(r, 0, 0), waits = number(r, 0, 1), dead = number(r, 0, 2);
	w->over = mono_now();
	w->n = waits + dead;
	w->letters_due = dead > 0;
	w->try_at = w->n > 0 ? mono_add_ms(w->over, TRY_MS) : MONO_NEVER;
	status_count(w->status, METRIC_APPLIED, applied);
	status_set_waiting(w->status, w->n);
	if (applied > 0)
		log_debug("changes that waited for others are applied", KV_I("applied", applied),
			  KV_I("waiting", waits));
}

/* A row of waiting_dead.sql as the only failure of a batch. */
static void take_letter(struct waiting *w, const struct pg_result *r, int i)
{
	struct batch *b = &w->letter;
	bool deleted = *db_value(r, i, 6) == '1';
	const char *body = db_value(r, i, 7), *state = db_value(r, i, 13);
	const char *constraint = db_value(r, i, 14);
	struct err why = { .text = "" };
	struct batch_failure f = {
		.table = (int)number(r, i, 1),
		.version = number(r, i, 3),
		.xid = strtoull(db_value(r, i, 4), NULL, 10),
	};

	batch_reset(b);
	batch_join_source(b, db_value(r, i, 5));
	struct batch_message *m = batch_add_message(b, WAITING_TAG | (uint64_t)number(r, i, 0),
						    deleted ? CHANGE_DELETE : CHANGE_SYNC);
	m->attempt = (unsigned)w->settings->max_attempts - 1;
	m->type_at = batch_add_text(b, db_value(r, i, 8), strlen(db_value(r, i, 8)));
	m->content_type_at = batch_add_text(b, db_value(r, i, 9), strlen(db_value(r, i, 9)));
	m->id_at = batch_add_text(b, db_value(r, i, 10), strlen(db_value(r, i, 10)));
	m->shape = number(r, i, 12);
	f.key_at = batch_add_text(b, db_value(r, i, 2), strlen(db_value(r, i, 2)));
	err_show(&why, "%s (%s%sSQLSTATE %s)", sqlstate_words(state), constraint,
		 *constraint ? ", " : "", state);
	f.shown_at = batch_add_text(b, why.shown, strlen(why.shown));
	f.raw = (struct batch_slice){ b->bodies.len, strlen(body) };
	strbuf_addstr(&b->bodies, body);
	batch_add_failure(b, f, db_value(r, i, 11));
	retry_take(w->retry, b);
	w->taken = number(r, i, 0);
}

static void on_letters(void *arg, enum db_outcome outcome, const struct pg_result *r,
		       const struct err *err)
{
	struct waiting *w = arg;

	if (!answered(w, outcome, err))
		return;
	for (int i = 0; i < db_rows(r); i++)
		take_letter(w, r, i);
	w->letters_due = db_rows(r) == LETTERS_MAX;
}

static void on_removed(void *arg, enum db_outcome outcome, const struct pg_result *r,
		       const struct err *err)
{
	(void)r;
	(void)!answered(arg, outcome, err); /* what is still there is published once more, later */
}

/* ---- sending ---- */

static void send(struct waiting *w, struct db *db, enum replica_statement statement,
		 const struct db_param *params, db_callback answer, struct mono now)
{
	struct err err = { .text = "" };

	/* If it cannot be sent the connection is dead, which ends the stretch. */
	w->in_flight = db_send(db, statement, params, false,
			       mono_add_ms(now, 2 * w->settings->apply_timeout_ms + GRACE_MS),
			       answer, w, &err);
}

static void remove_moved(struct waiting *w, struct db *db, struct mono now)
{
	const struct db_param params[] = { pgarray_finish(&w->moved) };

	send(w, db, REPLICA_WAITING_REMOVE, params, on_removed, now);
	pgarray_begin(&w->moved, PGARRAY_INT8);
}

static void ask_letters(struct waiting *w, struct db *db, struct mono now)
{
	char after[24];
	const struct db_param params[] = { DB_TEXT(w->stream->text), DB_TEXT(after) };

	snprintf(after, sizeof(after), "%lld", (long long)w->taken);
	send(w, db, REPLICA_WAITING_DEAD, params, on_letters, now);
}

static void try_all(struct waiting *w, struct db *db, struct mono now)
{
	char attempts[24], delay[24];
	const struct db_param params[] = { DB_TEXT(w->stream->text), DB_TEXT(attempts),
					   DB_TEXT(delay),
					   DB_TEXT(w->descending ? "true" : "false") };

	snprintf(attempts, sizeof(attempts), "%lld", (long long)w->settings->max_attempts);
	snprintf(delay, sizeof(delay), "%lld", (long long)w->settings->retry_delay_ms);
	w->descending = !w->descending;
	w->sent = now;
	send(w, db, REPLICA_WAITING_SETTLE, params, on_tried, now);
}

void waiting_step(struct waiting *w, struct db *db, struct mono now, bool try)
{
	if (w->in_flight || !db_alive(db))
		return;
	if (w->moved.n > 0)
		remove_moved(w, db, now);
	else if (w->letters_due && !retry_full(w->retry) && try)
		ask_letters(w, db, now);
	else if (mono_reached(w->try_at, now) && try)
		try_all(w, db, now);
}

struct mono waiting_wake(const struct waiting *w)
{
	return w->in_flight ? MONO_NEVER : w->try_at;
}
