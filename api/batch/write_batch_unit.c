/*
 * write_batch_unit.c: a statement for writes on its way to the primary, and what becomes of them. A
 * worker's thread.
 *
 * A unit owns a reference to each of its writes and lives until its callback, which comes exactly
 * once, also when the connection dies. What a crash loses here was never acknowledged: the answer
 * is given only after the commit.
 *
 * What becomes of a write:
 *   1. committed: answered.
 *   2. left out, because somebody else has locked its row: waits, write_batch_wait.c.
 *   3. its unit was refused: sent again by itself, ALONE; by itself already: answered with 422.
 *   4. its unit met a lock, a deadlock or the like: sent again by itself, APART. A lock that itself
 *      alone met: it waits. Anything else: TRIES_MAX times, after a delay.
 *   5. outcome unknown: answered so.
 */
#include <stdlib.h>
#include <string.h>

#include "api/measures.h"
#include "api/batch/scratch.h"
#include "api/batch/write_batch_private.h"

#define TRIES_MAX      8
#define DELAY_FIRST_MS 5

/* ---- answers ---- */

static void wait_for_row(struct request *r)
{
	if (r->way == WRITE_APART) /* what its batch met was a lock on something else */
		r->way = WRITE_TOGETHER;
	write_wait(r);
}

static int64_t version_of(const struct pg_result *res, int row, int column)
{
	return db_is_null(res, row, column) ? 0 : pg_get_int8(db_value(res, row, column));
}

/* Returns how many were written. */
static int answer_rows(struct write_unit *u, const struct pg_result *res)
{
	const struct place place = link_place(u->link);
	const struct write_calls *calls = u->statement->calls;
	int rows = db_rows(res), locked = 0;
	size_t at = 0;

	/* Rows mostly come in the order of the requests: the search starts behind the last one that was
	 * found. */
	for (int i = 0; i < rows; i++) {
		bool left_out = db_is_null(res, i, 1);
		size_t found = calls->find(u->rows, u->n, res, i, at);

		locked += left_out;
		if (found == u->n)
			continue;
		struct request *r = u->rows[found];

		at = found + 1 < u->n ? found + 1 : 0;
		if (r->state == REQUEST_IN_FLIGHT && left_out)
			wait_for_row(r);
		if (r->state != REQUEST_IN_FLIGHT || left_out)
			continue;
		request_place(r, u->link->up, &place, version_of(res, i, calls->version));
		calls->row(r, res, i);
	}
	for (size_t i = 0; i < u->n; i++) {
		if (u->rows[i]->state != REQUEST_IN_FLIGHT)
			continue;
		request_place(u->rows[i], u->link->up, &place, 0);
		calls->missing(u->rows[i]);
	}
	return rows - locked;
}

static void delay(struct request *r)
{
	struct pool *p = store_of(r)->pool;
	int64_t half = (DELAY_FIRST_MS << r->tries) / 2;

	/* The second half by chance, so that those who met do not meet again. */
	r->not_before = mono_add_ms(p->now,
				    half + (int64_t)(pool_random(p) % (uint64_t)(half + 1)));
	r->tries++;
	r->state = REQUEST_DELAYED;
	queue_push(&store_of(r)->writes->delayed, r);
}

static bool met_lock(const struct err *err)
{
	return strcmp(err->sqlstate, "55P03") == 0;
}

static void again(struct request *r, enum write_way way)
{
	r->way = way;
	write_submit(r);
}

/* Of one that was by itself. */
static bool refused(struct request *r, enum db_outcome outcome, const struct err *err)
{
	return r->write->calls->refused && r->write->calls->refused(r, outcome, err);
}

/* What becomes of a write whose unit was not done. waited: on a wait link. */
static void redo(struct request *r, const struct write_unit *u, bool waited,
		 enum db_outcome outcome, const struct err *err)
{
	switch (outcome) {
	case DB_RETRY:
		if (refused(r, outcome, err)) {
			return;
		} else if (u->n > 1) {
			again(r, WRITE_APART);
		} else if (met_lock(err)) {
			/* One that is known to be locked goes on waiting. */
			if (!waited || !u->waits)
				r->way = WRITE_APART;
			write_wait(r);
		} else if (r->tries < TRIES_MAX) {
			r->way = WRITE_APART;
			delay(r);
		} else {
			request_unavailable(r, "the database could not do it now: %s",
					    err_shown(err));
		}
		return;
	case DB_REFUSED:
	case DB_BROKEN:
		if (u->n > 1)
			again(r, WRITE_ALONE);
		else if (refused(r, outcome, err))
			return;
		else if (outcome == DB_REFUSED)
			request_fail(r, 422, NULL, "the database refused it: %s", err_shown(err));
		else
			request_unavailable(r, "the database could not do it now: %s",
					    err_shown(err));
		return;
	case DB_LOST:
		if (mono_reached(r->deadline, store_of(r)->pool->now)) {
			request_expire(r); /* it was given up for that */
			return;
		}
		request_unavailable(
			r, "the connection to the primary was lost: the change may or may not have "
			   "been made");
		return;
	case DB_SCHEMA:
		if (u->n > 1) {
			again(r, WRITE_ALONE);
			return;
		}
		if (refused(r, outcome, err))
			return;
		request_unavailable(
			r, "the primary is not as it should be, run 'pgfanout-migrate up': %s",
			err_shown(err));
		return;
	case DB_OK:
	case DB_UNFIT:
	case DB_BUSY:
	case DB_FOREIGN:
		request_unavailable(r, "the primary takes no writes now: %s", err_shown(err));
		return;
	}
}

static void on_unit(void *arg, enum db_outcome outcome, const struct pg_result *res,
		    const struct err *err)
{
	struct write_unit *u = arg;
	struct store *s = store_of(u->rows[0]);

	u->link->writes_in_flight--;
	bool waited = write_wait_done(s, u);

	if (outcome == DB_OK) {
		int written = answer_rows(u, res);

		metric_add(M_WRITES, 0, written);
		struct relay *relay = written > 0 ? u->statement->calls->relay(u->rows[0]) : NULL;

		if (relay)
			relay_wake(relay);
	} else {
		/* That one which waits for a lock is not granted it yet is no failure. */
		if (!waited || !met_lock(err))
			metric_add(M_WRITE_FAILURES, 0, 1);
		for (size_t i = 0; i < u->n; i++)
			if (u->rows[i]->state == REQUEST_IN_FLIGHT)
				redo(u->rows[i], u, waited, outcome, err);
		/* A standby. The connection string may name several hosts: a new connection finds
		 * the one that takes writes. */
		if (strcmp(err->sqlstate, "25006") == 0)
			u->link->give_up = true;
	}
	for (size_t i = 0; i < u->n; i++)
		request_unref(u->rows[i]);
	made_unref(u->statement->made[WRITE_FREE]);
	made_unref(u->statement->made[WRITE_WAITS]);
	u->next = s->writes->free_units;
	s->writes->free_units = u;
}

/* ---- sending ---- */

void write_unit_send(struct write_unit *u)
{
	const struct write_statement *s = u->statement;
	int which = u->waits ? WRITE_WAITS : WRITE_FREE;
	struct link *l = u->link;
	struct pool *p = l->pool;
	struct db_param *params = scratch_params(store_of(u->rows[0])->scratch, (size_t)s->nparams);
	struct err err;

	for (size_t i = 0; i < u->n; i++) {
		u->rows[i]->state = REQUEST_IN_FLIGHT;
		request_ref(u->rows[i]);
	}
	if (s->made[WRITE_FREE]) {
		(void)made_ref(s->made[WRITE_FREE]);
		(void)made_ref(s->made[WRITE_WAITS]);
	}
	s->calls->params(u->rows, u->n, params);
	l->writes_in_flight++;
	l->rows_in_flight = u->n;
	l->rows_since = p->now;
	l->touched = true;
	metric_add(M_WRITE_UNITS, 0, 1);
	if (!db_send_then(l->db, s->made[which] ? made_number(s->made[which], l) : s->number[which],
			  params, true, store_of(u->rows[0])->writes->place,
			  mono_add_ms(p->now, p->settings->request_timeout_ms), on_unit, u, &err))
		on_unit(u, DB_LOST, NULL, &err);
}

struct write_unit *write_unit_new(struct store *s, struct link *l,
				  const struct write_statement *statement)
{
	struct write_unit *u = s->writes->free_units;

	if (u)
		s->writes->free_units = u->next;
	else
		u = xmalloc(sizeof(*u));
	u->link = l;
	u->statement = statement;
	u->waits = false;
	u->n = 0;
	return u;
}
