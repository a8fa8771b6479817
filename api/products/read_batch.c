/*
 * read_batch.c: see read_batch.h. A worker's thread.
 *
 * A unit owns a reference to each of its requests and lives until its callback, which libpq's side calls exactly once,
 * also when the connection dies. Requests that were answered meanwhile (their deadline) are passed over.
 *
 * A request that was asked twice, because the first link is silent, is in two units, of two links, each with a reference. Its state says
 * whether it still wants an answer; request->asked, which link was asked last: only when that one fails is it asked anew.
 */
#include "api/products/read_batch.h"

#include <stdlib.h>
#include <string.h>

#include "api/products/list.h"
#include "api/measures.h"
#include "api/pool/silence.h"
#include "api/products/sql/products_after.sql.h"
#include "api/products/sql/products_first.sql.h"
#include "api/products/sql/products_read.sql.h"
#include "api/serve/worker.h"

#define READ_UNITS 2   /* in flight on a link */
#define READ_ROWS  256 /* products in a unit */
#define SCAN_UNITS 4

#define OID_INT4       23
#define OID_UUID       2950
#define OID_UUID_ARRAY 2951

static const unsigned points_types[] = { OID_UUID_ARRAY };
static const unsigned first_types[] = { OID_INT4 };
static const unsigned after_types[] = { OID_UUID, OID_INT4 };

const struct db_statement read_statements[] = {
	[READ_POINTS] = { "points", sql_products_read, 1, points_types },
	[READ_FIRST] = { "first", sql_products_first, 1, first_types },
	[READ_AFTER] = { "after", sql_products_after, 2, after_types },
};
const size_t read_statement_count = ARRAY_SIZE(read_statements);

struct read_unit {
	struct reads_sent sent;
	struct link *link;
	struct read_unit *next;
	size_t n;
	struct request *rows[READ_ROWS];
};

struct scan_unit {
	struct reads_sent sent;
	struct link *link;
	struct scan_unit *next;
	struct request *request;
};

void read_batches_init(struct read_batches *b)
{
	memset(b, 0, sizeof(*b));
}

void read_batches_clear(struct read_batches *b)
{
	while (b->free_units) {
		struct read_unit *u = b->free_units;

		b->free_units = u->next;
		free(u);
	}
	while (b->free_scans) {
		struct scan_unit *u = b->free_scans;

		b->free_scans = u->next;
		free(u);
	}
	pgarray_clear(&b->ids);
}

struct product_row read_row(const struct pg_result *r, int row, int first)
{
	struct product_row p;

	memcpy(p.id.b, db_value(r, row, first), sizeof(p.id.b));
	p.name = db_value(r, row, first + 1);
	p.name_len = (size_t)db_length(r, row, first + 1);
	p.price = db_value(r, row, first + 2);
	p.price_len = (size_t)db_length(r, row, first + 2);
	p.stock = pg_get_int4(db_value(r, row, first + 3));
	p.created_us = pg_get_int8(db_value(r, row, first + 4));
	p.updated_us = pg_get_int8(db_value(r, row, first + 5));
	return p;
}

static unsigned read_role(const struct request *r)
{
	return r->limit > 0 ? LINK_SCAN : LINK_POINT;
}

static void read_queue(struct request *r, struct link *l)
{
	r->state = REQUEST_QUEUED;
	queue_push(read_role(r) == LINK_POINT ? &l->points : &l->scans, r);
}

static void submit(struct request *r)
{
	struct link *l = replicas_pick(r->worker, read_role(r), r);

	if (!l && !mono_is_never(r->deadline) && replicas_expected(r->worker, r)) {
		r->state = REQUEST_DELAYED;
		queue_push(&r->worker->reads.waiting, r);
		return;
	}
	if (!l) {
		if (r->list)
			list_failed(r);
		else
			request_unavailable(r, "no database answers reads now");
		return;
	}
	read_queue(r, l);
}

void read_submit(struct request *r)
{
	submit(r);
}

void scan_submit(struct request *r)
{
	submit(r);
}

void read_tick(struct worker *w)
{
	/* Those that go on waiting come back behind the others. */
	for (size_t n = w->reads.waiting.n; n > 0; n--)
		submit(queue_pop(&w->reads.waiting));
}

/* This database did not answer; the next one is asked. */
static void elsewhere(struct request *r, const struct link *l)
{
	metric_add(M_READ_FAILURES, l->up->index, 1);
	replicas_failed(r, l->up);
	submit(r);
}

void read_reroute(struct link *l)
{
	struct request *r;

	while ((r = queue_pop(&l->points)) != NULL)
		elsewhere(r, l);
	while ((r = queue_pop(&l->scans)) != NULL)
		elsewhere(r, l);
}

/* ---- products by id ---- */

static void on_points(void *arg, enum db_outcome outcome, const struct pg_result *res,
		      const struct err *err)
{
	struct read_unit *u = arg;
	struct link *l = u->link;
	struct worker *w = l->worker;

	(void)err; /* why a database does not answer is told by its connector */
	l->points_in_flight--;
	silence_over(l, &u->sent, outcome == DB_OK);
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
			struct product_row row = read_row(res, i, 1);

			request_served_by(r, l->up);
			request_reply_product(r, 200, &row, "Product retrieved successfully");
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
	u->next = w->reads.free_units;
	w->reads.free_units = u;
}

static void send_points(struct link *l)
{
	struct worker *w = l->worker;
	struct read_unit *u = w->reads.free_units;
	struct pgarray *ids = &w->reads.ids;
	struct err err;

	if (u)
		w->reads.free_units = u->next;
	else
		u = xmalloc(sizeof(*u));
	u->link = l;
	u->n = 0;
	pgarray_begin(ids, PGARRAY_UUID);
	while (l->points.head && u->n < READ_ROWS) {
		struct request *r = queue_pop(&l->points);

		r->state = REQUEST_IN_FLIGHT;
		r->asked = l;
		u->rows[u->n++] = request_ref(r);
		pgarray_add_uuid(ids, &r->id);
	}
	struct db_param param = pgarray_finish(ids);

	l->points_in_flight++;
	l->rows_in_flight = u->n;
	l->rows_since = w->now;
	l->touched = true;
	metric_add(M_READ_UNITS, l->up->index, 1);
	if (!db_send(l->db, READ_POINTS, &param, true,
		     mono_add_ms(w->now, w->settings->read_timeout_ms), on_points, u, &err)) {
		on_points(u, DB_LOST, NULL, &err);
		return;
	}
	u->sent.n = u->n;
	u->sent.requests = u->rows;
	silence_sent(l, &u->sent);
}

/* ---- scans ---- */

static void on_scan(void *arg, enum db_outcome outcome, const struct pg_result *res,
		    const struct err *err)
{
	struct scan_unit *u = arg;
	struct link *l = u->link;
	struct worker *w = l->worker;
	struct request *r = u->request;

	(void)err;
	l->scans_in_flight--;
	silence_over(l, &u->sent, outcome == DB_OK);
	u->next = w->reads.free_scans;
	w->reads.free_scans = u;
	if (r->state == REQUEST_IN_FLIGHT) {
		if (outcome == DB_OK) {
			metric_add(M_READS, l->up->index, 1);
			list_chunk(r, res, l->up);
		} else if (r->asked == l) {
			elsewhere(r, l);
		}
	}
	request_unref(r);
}

static void send_scan(struct link *l)
{
	struct worker *w = l->worker;
	struct scan_unit *u = w->reads.free_scans;
	struct request *r = queue_pop(&l->scans);
	struct err err;
	char limit[4];

	if (u)
		w->reads.free_scans = u->next;
	else
		u = xmalloc(sizeof(*u));
	u->link = l;
	u->request = request_ref(r);
	r->state = REQUEST_IN_FLIGHT;
	r->asked = l;
	pg_put_int4(limit, r->limit);
	struct db_param params[2] = { DB_BINARY((const char *)r->after.b, sizeof(r->after.b)),
				      DB_BINARY(limit, sizeof(limit)) };

	l->scans_in_flight++;
	l->touched = true;
	metric_add(M_READ_UNITS, l->up->index, 1);
	if (!db_send(l->db, r->has_after ? READ_AFTER : READ_FIRST,
		     r->has_after ? params : params + 1, true,
		     mono_add_ms(w->now, w->settings->read_timeout_ms), on_scan, u, &err)) {
		on_scan(u, DB_LOST, NULL, &err);
		return;
	}
	u->sent.n = 1;
	u->sent.requests = &u->request;
	silence_sent(l, &u->sent);
}

/* A second unit goes out behind the first one if it is as large: many small ones cost both sides more. */
static bool may_send_points(const struct link *l)
{
	return l->points_in_flight == 0 ||
	       (l->points_in_flight < READ_UNITS && l->points.n >= l->rows_in_flight);
}

void read_dispatch(struct link *l)
{
	/* A link that dies here is given up by the worker, which then calls read_reroute(). */
	while (l->points.head && may_send_points(l) && link_usable(l))
		send_points(l);
	while (l->scans.head && l->scans_in_flight < SCAN_UNITS && link_usable(l))
		send_scan(l);
}

/* ---- a link that is silent ---- */

/* Another replica's link that is not silent; NULL: there is none. */
static struct link *better(struct link *l, const struct request *r)
{
	struct link *other = replicas_pick(l->worker, read_role(r), r);

	return other && other != l && !other->silent && !other->up->primary ? other : NULL;
}

static void move_queue(struct link *l, struct request_queue *queue)
{
	for (size_t n = queue->n; n > 0; n--) {
		struct request *r = queue_pop(queue);
		struct link *other = better(l, r);

		read_queue(r, other ? other : l);
	}
}

static void ask_again(struct link *l, const struct reads_sent *s)
{
	for (size_t i = 0; i < s->n; i++) {
		struct request *r = s->requests[i];

		if (r->state != REQUEST_IN_FLIGHT || r->asked != l || r->list)
			continue;
		struct link *other = better(l, r);

		if (!other)
			continue;
		metric_add(M_READS_REPEATED, l->up->index, 1);
		read_queue(r, other);
	}
}

void read_hedge(struct link *l)
{
	move_queue(l, &l->points);
	move_queue(l, &l->scans);
	for (const struct reads_sent *s = l->reads_sent; s; s = s->next)
		ask_again(l, s);
}
