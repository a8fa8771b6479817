/*
 * read_batch.c: see read_batch.h.
 *
 * A unit owns a reference to each of its requests and lives until its callback, which comes exactly
 * once, also when the connection dies. Requests that were answered meanwhile (their deadline) are
 * passed over.
 *
 * A request that was asked twice, because the first link is silent, is in two units of two links,
 * each with a reference. Its state says whether it still wants an answer; request->asked, which
 * link was asked last: only when that one fails is it asked again.
 */
#include "api/products/read_batch.h"

#include <stdlib.h>

#include "api/measures.h"
#include "api/products/row.h"
#include "api/products/sql/products_after.sql.h"
#include "api/products/sql/products_first.sql.h"
#include "api/products/sql/products_read.sql.h"

#define READ_UNITS 2   /* in flight on a link */
#define READ_ROWS  256 /* products in a unit */
#define SCAN_UNITS 4

#define OID_INT4       23
#define OID_UUID       2950
#define OID_UUID_ARRAY 2951

static const unsigned points_types[] = { OID_UUID_ARRAY };
static const unsigned first_types[] = { OID_INT4 };
static const unsigned after_types[] = { OID_UUID, OID_INT4 };

enum { READ_POINTS, READ_FIRST, READ_AFTER };
static const struct db_statement statements[] = {
	[READ_POINTS] = { "points", sql_products_read, 1, points_types },
	[READ_FIRST] = { "first", sql_products_first, 1, first_types },
	[READ_AFTER] = { "after", sql_products_after, 2, after_types },
};
const struct connector_kind read_kind = { statements, ARRAY_SIZE(statements), false };

struct read_unit {
	struct reads_sent sent; /* the first member */
	struct link *link;
	struct read_unit *next; /* free */
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
	u->rows[u->n++] = request_ref(r);
}

static void unit_free(struct read_unit *u, struct read_unit **list)
{
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
	pgarray_clear(&b->ids);
}

/* ---- queues ---- */

static void enqueue(struct request *r, const struct link *l)
{
	struct read_batches *b = store_of(r)->reads;

	r->state = REQUEST_QUEUED;
	queue_push(&(r->scan ? b->scans : b->points)[l->number], r);
}

void read_submit(struct request *r)
{
	struct store *s = store_of(r);
	const struct link *l = choice_link(s->pool, &r->want);

	if (l) {
		enqueue(r, l);
	} else if (!mono_is_never(r->deadline) && choice_expected(s->pool, &r->want)) {
		r->state = REQUEST_DELAYED;
		queue_push(&s->reads->waiting, r);
	} else if (r->scan) {
		r->scan->none(r);
	} else {
		request_unavailable(r, "no database answers reads now");
	}
}

/* This database did not answer; the next one is asked. */
static void elsewhere(struct request *r, const struct link *l)
{
	metric_add(M_READ_FAILURES, l->up->index, 1);
	choice_failed(&r->want, l->up);
	read_submit(r);
}

/* ---- products by id ---- */

static void on_points(void *arg, enum db_outcome outcome, const struct pg_result *res,
		      const struct err *err)
{
	struct read_unit *u = arg;
	struct link *l = u->link;
	struct read_batches *b = store_of(u->rows[0])->reads;

	(void)err; /* why a database does not answer is told by its connector */
	l->points_in_flight--;
	silence_over(&l->silence, &u->sent, l->pool->now, outcome == DB_OK);
	if (outcome == DB_OK) {
		int rows = db_rows(res);

		for (int i = 0; i < rows; i++) {
			int64_t number = pg_get_int8(db_value(res, i, 0));
			struct request *r;

			if (number < 1 || (uint64_t)number > u->n)
				continue;
			r = u->rows[number - 1];
			if (r->state != REQUEST_IN_FLIGHT)
				continue;
			struct product_row row = row_read(res, i, 1);

			request_served_by(r, l->up);
			row_reply(r, 200, &row, "Product retrieved successfully");
		}
		metric_add(M_READS, l->up->index, (int64_t)u->n);
	}
	for (size_t i = 0; i < u->n; i++) {
		struct request *r = u->rows[i];

		if (r->state == REQUEST_IN_FLIGHT && outcome == DB_OK) {
			request_served_by(r, l->up);
			request_fail(r, 404, NULL, "there is no product with this id");
		} else if (r->state == REQUEST_IN_FLIGHT && r->asked == l) {
			elsewhere(r, l);
		}
		request_unref(r);
	}
	unit_free(u, &b->free_points);
}

/* Sends the unit. It may come back, lost, before this returns. */
static void send_unit(struct read_unit *u, size_t statement, const struct db_param *params,
		      db_callback cb)
{
	struct link *l = u->link;
	struct pool *p = l->pool;
	struct err err;

	l->touched = true;
	metric_add(M_READ_UNITS, l->up->index, 1);
	if (db_send(l->db, statement, params, true,
		    mono_add_ms(p->now, p->settings->read_timeout_ms), cb, u, &err))
		silence_sent(&l->silence, &u->sent, p->now);
	else
		cb(u, DB_LOST, NULL, &err);
}

static void send_points(struct store *s, struct link *l, struct request_queue *q)
{
	struct read_unit *u = unit_new(&s->reads->free_points, l, READ_ROWS);
	struct pgarray *ids = &s->reads->ids;

	pgarray_begin(ids, PGARRAY_UUID);
	while (q->head && u->n < READ_ROWS) {
		struct request *r = queue_pop(q);

		unit_add(u, r);
		pgarray_add_uuid(ids, &r->id);
	}
	struct db_param param = pgarray_finish(ids);

	l->points_in_flight++;
	l->rows_in_flight = u->n;
	send_unit(u, READ_POINTS, &param, on_points);
}

/* ---- scans ---- */

static void on_scan(void *arg, enum db_outcome outcome, const struct pg_result *res,
		    const struct err *err)
{
	struct read_unit *u = arg;
	struct link *l = u->link;
	struct request *r = u->rows[0];

	(void)err;
	l->scans_in_flight--;
	silence_over(&l->silence, &u->sent, l->pool->now, outcome == DB_OK);
	unit_free(u, &store_of(r)->reads->free_scans);
	if (r->state == REQUEST_IN_FLIGHT) {
		if (outcome == DB_OK) {
			metric_add(M_READS, l->up->index, 1);
			r->scan->rows(r, res, l->up);
		} else if (r->asked == l) {
			elsewhere(r, l);
		}
	}
	request_unref(r);
}

static void send_scan(struct store *s, struct link *l, struct request_queue *q)
{
	struct read_unit *u = unit_new(&s->reads->free_scans, l, 1);
	struct request *r = queue_pop(q);
	char limit[4];

	unit_add(u, r);
	pg_put_int4(limit, r->limit);
	struct db_param params[2] = { DB_BINARY((const char *)r->after.b, sizeof(r->after.b)),
				      DB_BINARY(limit, sizeof(limit)) };

	l->scans_in_flight++;
	send_unit(u, r->has_after ? READ_AFTER : READ_FIRST, r->has_after ? params : params + 1,
		  on_scan);
}

/* A second unit goes out behind the first one if it is as large: many small ones cost both sides
 * more. */
static bool may_send_points(const struct link *l, const struct request_queue *q)
{
	return l->points_in_flight == 0 ||
	       (l->points_in_flight < READ_UNITS && q->n >= l->rows_in_flight);
}

void read_dispatch(struct store *s)
{
	struct read_batches *b = s->reads;
	struct request *r;

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

		while (b->points[i].head && may_send_points(l, &b->points[i]) && link_usable(l))
			send_points(s, l, &b->points[i]);
		while (b->scans[i].head && l->scans_in_flight < SCAN_UNITS && link_usable(l))
			send_scan(s, l, &b->scans[i]);
	}
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

		if (!other)
			continue;
		metric_add(M_READS_REPEATED, l->up->index, 1);
		enqueue(r, other);
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
