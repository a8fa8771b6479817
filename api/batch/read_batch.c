/*
 * read_batch.c: see read_batch.h.
 *
 * A unit owns a reference to each of its requests and lives until its callback, which comes exactly
 * once, also when the connection dies. Requests that were answered meanwhile (their deadline) are
 * passed over.
 *
 * A request that was asked twice, because the first link is silent, is in two units of two links,
 * each with a reference. Its state says whether it still wants an answer; request->asked, which
 * link was asked last: only when that one fails is it asked again. That it is refused, or too slow, is
 * true whoever says it.
 */
#include <stdlib.h>
#include <string.h>

#include "api/batch/read_batch_private.h"
#include "api/batch/scratch.h"
#include "api/measures.h"

#define READ_UNITS   2 /* in flight on a link */
#define SCAN_UNITS   4
#define GRACE_MS     100
#define FIXED_PARAMS 2 /* at most, of a statement that is prepared with each connection */

struct read_unit {
	struct reads_sent sent; /* the first member */
	struct link *link;
	const struct read_statement *statement; /* the rows' */
	struct read_unit *next;			/* free */
	size_t n;
	struct request *rows[]; /* READ_ROWS, or 1 of a scan */
};

/* ---- life ---- */

static struct read_unit *unit_new(struct read_unit **list, struct link *l, size_t rows)
{
	struct read_unit *u = *list;

	if (u)
		*list = u->next;
	else
		u = xmalloc(sizeof(*u) + rows * sizeof(struct request *));
	u->link = l;
	u->n = 0;
	return u;
}

static void unit_add(struct read_unit *u, struct request *r)
{
	r->state = REQUEST_IN_FLIGHT;
	r->asked = u->link;
	u->statement = r->statement;
	u->rows[u->n++] = request_ref(r);
}

static void unit_free(struct read_unit *u, struct read_unit **list)
{
	u->link->slow_in_flight -= u->statement->made != NULL;
	made_unref(u->statement->made);
	u->next = *list;
	*list = u;
}

static void units_clear(struct read_unit *u)
{
	for (struct read_unit *next; u; u = next) {
		next = u->next;
		free(u);
	}
}

void read_batches_clear(struct read_batches *b)
{
	units_clear(b->free_points);
	units_clear(b->free_scans);
}

/* ---- queues ---- */

static void enqueue(struct request *r, const struct link *l)
{
	struct read_batches *b = store_of(r)->reads;

	r->state = REQUEST_QUEUED;
	queue_push(&(r->want.by_key ? b->points : b->scans)[l->number], r);
}

void read_submit(struct request *r)
{
	struct store *s = store_of(r);
	const struct link *l = choice_link(s->pool, &r->want);

	if (l) {
		enqueue(r, l);
	} else if (choice_waits(s->pool, &r->want)) {
		read_wait(r);
	} else if (!mono_is_never(r->deadline) && choice_expected(s->pool, &r->want)) {
		r->state = REQUEST_DELAYED;
		queue_push(&s->reads->waiting, r);
	} else if (r->want.past && request_is_placed(r) && !r->want.any) {
		r->want.any = true;
		read_submit(r);
	} else {
		r->statement->calls->none(r);
	}
}

void read_unavailable(struct request *r)
{
	request_unavailable(
		r, "%s",
		r->want.at.source == 0
			? "no database answers reads now"
			: "the primary does not answer, and no replica has yet what this client "
			  "has seen (X-Position); Cache-Control: max-stale asks for what there is");
}

/* This database did not answer; the next one is asked. */
static void elsewhere(struct request *r, const struct link *l)
{
	metric_add(M_READ_FAILURES, l->up->index, 1);
	choice_failed(&r->want, l->up);
	read_submit(r);
}

static void ask_primary(struct request *r)
{
	r->want.whole = true;
	read_submit(r);
}

/* ---- answers ---- */

static bool is_slow(const struct err *err)
{
	return strcmp(err->sqlstate, SQLSTATE_CANCELED) == 0;
}

/* What another database would say, too: so it counts whichever of those that were asked says it first. Else a read that is
 * too slow everywhere would be asked again from one to the other until its deadline. */
static bool is_final(const struct read_unit *u, enum db_outcome outcome, const struct err *err)
{
	return u->n == 1 && (outcome == DB_REFUSED || is_slow(err));
}

/* Of a unit that was not done. If several were refused for their keys, or took too long, nobody knows whose it was. */
static void redo(const struct read_unit *u, enum db_outcome outcome, const struct err *err)
{
	const struct read_calls *calls = u->statement->calls;
	bool final = is_final(u, outcome, err);

	for (size_t i = 0; i < u->n; i++) {
		struct request *r = u->rows[i];
		bool last = r->asked == u->link;

		if (r->state != REQUEST_IN_FLIGHT || (!last && !final))
			continue;
		if (u->n > 1 && (outcome == DB_REFUSED || is_slow(err))) {
			r->alone = true;
			read_submit(r);
		} else if ((!calls->refused || !calls->refused(r, u->link->up, outcome, err)) &&
			   last) {
			elsewhere(r, u->link);
		}
	}
}

/* Whether the answer shows all that the client has seen; if not, it is asked for again. version: as
 * choice_serves()'s. */
static bool takes(const struct read_unit *u, struct request *r, const struct place *place,
		  int64_t version)
{
	struct upstream *up = u->link->up;

	read_wait_mark(r, up, place);
	if (choice_serves(u->link->pool, &r->want, up, place, version)) {
		request_place(r, up, place, version);
		return true;
	}
	metric_add(M_READS_BEHIND, up->index, 1);
	r->want.behind |= UINT64_C(1) << up->index;
	read_submit(r);
	return false;
}

/* What the database tells of itself in the first row. */
static struct place place_of(const struct read_unit *u, const struct pg_result *res)
{
	struct place place = { .seen = POSITION_UNKNOWN };
	int column = u->statement->place;

	if (column == NO_PLACE || db_rows(res) == 0 ||
	    !place_read(db_value(res, 0, column), &place))
		return (struct place){ .seen = POSITION_UNKNOWN };
	return place;
}

/* The row's version, if that alone is shown. */
static int64_t version_of(const struct request *r, const struct pg_result *res, int row)
{
	int column = r->statement->version;

	return column == 0 || r->want.ntables > 1 || db_is_null(res, row, column)
		       ? 0
		       : pg_get_int8(db_value(res, row, column));
}

static void answer_keys(const struct read_unit *u, const struct pg_result *res)
{
	const struct read_calls *calls = u->statement->calls;
	const struct upstream *up = u->link->up;
	const struct place place = place_of(u, res);
	int rows = db_rows(res);

	for (int i = 0; i < rows; i++) {
		int64_t number = pg_get_int8(db_value(res, i, 0));

		if (number < 1 || (uint64_t)number > u->n)
			continue;
		struct request *r = u->rows[number - 1];

		if (r->state == REQUEST_IN_FLIGHT && takes(u, r, &place, version_of(r, res, i)) &&
		    !calls->row(r, res, i, up))
			ask_primary(r);
	}
	for (size_t i = 0; i < u->n; i++)
		if (u->rows[i]->state == REQUEST_IN_FLIGHT && takes(u, u->rows[i], &place, 0))
			calls->missing(u->rows[i], up);
}

static void on_keys(void *arg, enum db_outcome outcome, const struct pg_result *res,
		    const struct err *err)
{
	struct read_unit *u = arg;
	struct link *l = u->link;
	struct read_batches *b = store_of(u->rows[0])->reads;

	l->points_in_flight--;
	silence_over(&l->silence, &u->sent, l->pool->now, outcome == DB_OK);
	if (outcome == DB_OK) {
		metric_add(M_READS, l->up->index, (int64_t)u->n);
		answer_keys(u, res);
	} else {
		redo(u, outcome, err); /* why a database does not answer is told by its connector */
	}
	for (size_t i = 0; i < u->n; i++)
		request_unref(u->rows[i]);
	unit_free(u, &b->free_points);
}

static void on_scan(void *arg, enum db_outcome outcome, const struct pg_result *res,
		    const struct err *err)
{
	struct read_unit *u = arg;
	struct link *l = u->link;
	struct request *r = u->rows[0];

	l->scans_in_flight--;
	silence_over(&l->silence, &u->sent, l->pool->now, outcome == DB_OK);
	if (outcome == DB_OK) {
		metric_add(M_READS, l->up->index, 1);
		const struct place place = place_of(u, res);

		if (r->state == REQUEST_IN_FLIGHT && takes(u, r, &place, 0) &&
		    !u->statement->calls->rows(r, res, l->up))
			ask_primary(r);
	} else {
		redo(u, outcome, err);
	}
	unit_free(u, &store_of(r)->reads->free_scans);
	request_unref(r);
}

/* ---- sending ---- */

/* When the link is given up. Statements that are made may be slow, and what is behind them on a link waits: the
 * server ends each READ_TIMEOUT_MS after it has begun with it, and says so a little later; then only that one fails,
 * not all that is on the link. */
static struct mono give_up_at(const struct link *l, bool slow)
{
	int64_t limit_ms = l->pool->settings->read_timeout_ms;
	int64_t grace_ms = limit_ms / 4 > GRACE_MS ? limit_ms / 4 : GRACE_MS;
	int64_t before = l->slow_in_flight;

	return mono_add_ms(l->pool->now,
			   limit_ms * (before + 1) + (slow || before > 0 ? grace_ms : 0));
}

/* Sends the unit. It may come back, lost, before this returns. */
static void send_unit(struct read_unit *u, db_callback cb)
{
	struct link *l = u->link;
	struct pool *p = l->pool;
	const struct read_statement *s = u->statement;
	struct db_param *params = scratch_params(store_of(u->rows[0])->scratch,
						 s->made ? (size_t)s->made->nparams : FIXED_PARAMS);
	struct err err;

	if (s->made)
		(void)made_ref(s->made);
	s->calls->params(u->rows, u->n, params);
	l->touched = true;
	metric_add(M_READ_UNITS, l->up->index, 1);
	struct mono deadline = give_up_at(l, s->made != NULL);

	l->slow_in_flight += s->made != NULL;
	if (db_send(l->db, s->made ? made_number(s->made, l) : s->number, params, true, deadline,
		    cb, u, &err))
		silence_sent(&l->silence, &u->sent, p->now);
	else
		cb(u, DB_LOST, NULL, &err);
}

static void send_keys(struct store *s, struct link *l, struct request_queue *q)
{
	struct read_unit *u = unit_new(&s->reads->free_points, l, READ_ROWS);
	const struct read_statement *statement = q->head->statement;
	bool joins = statement->joins && !q->head->alone;
	struct request *next;

	for (struct request *r = q->head; r && u->n < (joins ? READ_ROWS : 1); r = next) {
		next = r->next;
		if (r->statement != statement || (joins && r->alone))
			continue;
		queue_remove(r);
		unit_add(u, r);
	}
	l->points_in_flight++;
	l->rows_in_flight = u->n;
	send_unit(u, on_keys);
}

static void send_scan(struct store *s, struct link *l, struct request_queue *q)
{
	struct read_unit *u = unit_new(&s->reads->free_scans, l, 1);

	unit_add(u, queue_pop(q));
	l->scans_in_flight++;
	send_unit(u, on_scan);
}

/* A second unit goes out behind the first one if it is as large: many small ones cost both sides
 * more. */
static bool may_send_keys(const struct link *l, const struct request_queue *q)
{
	return l->points_in_flight == 0 ||
	       (l->points_in_flight < READ_UNITS && q->n >= l->rows_in_flight);
}

void read_dispatch(struct store *s)
{
	struct read_batches *b = s->reads;
	struct request *r;
	bool sent = false;

	read_wait_dispatch(s);
	/* What waits for a link that is gone goes elsewhere first: it is sent in this turn. */
	for (size_t i = 0; i < s->pool->nreads; i++) {
		const struct link *l = &s->pool->links[i];

		while ((r = b->points[i].head ? b->points[i].head : b->scans[i].head) != NULL &&
		       !link_usable(l)) {
			queue_remove(r);
			elsewhere(r, l);
		}
	}
	for (size_t i = 0; i < s->pool->nreads; i++) {
		struct link *l = &s->pool->links[i];

		while (b->points[i].head && may_send_keys(l, &b->points[i]) && link_usable(l)) {
			send_keys(s, l, &b->points[i]);
			sent = true;
		}
		while (b->scans[i].head && l->scans_in_flight < SCAN_UNITS && link_usable(l))
			send_scan(s, l, &b->scans[i]);
	}
	choice_turn(s->pool, sent);
}

/* ---- a link that is silent ---- */

/* Another replica's link that is not silent; NULL: there is none. */
static struct link *better(struct link *l, const struct request *r)
{
	struct link *other = choice_link(l->pool, &r->want);

	return other && other != l && !other->silence.silent && !other->up->primary ? other : NULL;
}

static void move_queue(struct link *l, struct request_queue *q)
{
	for (size_t n = q->n; n > 0; n--) {
		struct request *r = queue_pop(q);
		struct link *other = better(l, r);

		enqueue(r, other ? other : l);
	}
}

static void ask_again(struct link *l, const struct read_unit *u)
{
	for (size_t i = 0; i < u->n; i++) {
		struct request *r = u->rows[i];

		if (r->state != REQUEST_IN_FLIGHT || r->asked != l || r->list)
			continue;
		struct link *other = better(l, r);

		if (other) {
			metric_add(M_READS_REPEATED, l->up->index, 1);
			enqueue(r, other);
		} else if (choice_waits(l->pool, &r->want)) {
			/* Another one may be where its client is soon, or the primary answers. */
			choice_failed(&r->want, l->up);
			read_wait(r);
		}
	}
}

void read_tick(struct store *s)
{
	for (size_t i = 0; i < s->pool->nreads; i++) {
		struct link *l = &s->pool->links[i];

		if (!l->silence.silent)
			continue;
		move_queue(l, &s->reads->points[i]);
		move_queue(l, &s->reads->scans[i]);
		for (const struct reads_sent *u = l->silence.sent; u; u = u->next)
			ask_again(l, (const struct read_unit *)u);
	}
	/* Those that go on waiting come back behind the others. */
	for (size_t n = s->reads->waiting.n; n > 0; n--)
		read_submit(queue_pop(&s->reads->waiting));
}
