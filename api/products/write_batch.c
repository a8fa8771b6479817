/*
 * write_batch.c: see write_batch.h.
 *
 * A unit owns a reference to each of its writes and lives until its callback, which comes exactly
 * once, also when the connection dies. What a crash loses here was never acknowledged: the answer
 * is given only after the commit.
 */
#include "api/products/write_batch.h"

#include <stdlib.h>
#include <string.h>

#include "api/measures.h"
#include "api/products/row.h"
#include "api/products/sql/products_delete.sql.h"
#include "api/products/sql/products_import.sql.h"
#include "api/products/sql/products_patch.sql.h"
#include "api/products/sql/products_upsert.sql.h"

#define WRITE_ROWS     256 /* in a batch */
#define ALONE_UNITS    32  /* writes sent one by one, in flight on a link */
#define TRIES_MAX      8
#define DELAY_FIRST_MS 5
#define PATIENCE_MS    2000
#define GATHER_MS      5

#define OID_UUID_ARRAY 2951
#define OID_TEXT_ARRAY 1009
#define OID_INT4_ARRAY 1007

static const unsigned types[] = { OID_UUID_ARRAY, OID_TEXT_ARRAY, OID_TEXT_ARRAY, OID_INT4_ARRAY };

static const struct db_statement statements[] = {
	[WRITE_UPSERT] = { "upsert", sql_products_upsert, 4, types },
	[WRITE_PATCH] = { "patch", sql_products_patch, 4, types },
	[WRITE_DELETE] = { "delete", sql_products_delete, 1, types },
	[WRITE_IMPORT] = { "import", sql_products_import, 4, types },
};
const struct connector_kind write_kind = { statements, ARRAY_SIZE(statements), true };

struct write_unit {
	struct link *link;
	struct write_unit *next;
	enum write_kind kind;
	size_t n;
	struct request *rows[WRITE_ROWS];
};

void write_batches_init(struct write_batches *b)
{
	*b = (struct write_batches){ .gather_until = MONO_NEVER, .away_since = MONO_NEVER };
}

void write_batches_clear(struct write_batches *b)
{
	while (b->free_units) {
		struct write_unit *u = b->free_units;

		b->free_units = u->next;
		free(u);
	}
	uuid_set_clear(&b->seen);
	pgarray_clear(&b->ids);
	pgarray_clear(&b->names);
	pgarray_clear(&b->prices);
	pgarray_clear(&b->stocks);
}

/*
 * Whether a write may wait for a connection:
 *   1. There is one.
 *   2. The connector has not said that the primary is away: a connection was lost, maybe just that
 *      one.
 *   3. It was away for less than PATIENCE_MS: a restart takes no longer, and need not be noticed.
 * After that writes are turned away at once, until it is back.
 */
static bool can_write(struct store *s)
{
	struct write_batches *b = s->writes;
	bool can = atomic_load_explicit(&upstreams_primary(s->pool->upstreams)->fit,
					memory_order_relaxed);

	for (size_t i = 0; i < POOL_WRITE_LINKS; i++)
		can = can || link_usable(s->pool->writes[i]);
	if (can)
		b->away_since = MONO_NEVER;
	else if (mono_is_never(b->away_since))
		b->away_since = s->pool->now;
	return can || !mono_reached(mono_add_ms(b->away_since, PATIENCE_MS), s->pool->now);
}

static void fail_unreachable(struct request *r)
{
	request_unavailable(r, "the primary cannot be used now, see /status: nothing was changed");
}

void write_submit(struct request *r)
{
	struct write_batches *b = store_of(r)->writes;

	if (!can_write(store_of(r))) {
		fail_unreachable(r);
		return;
	}
	r->state = REQUEST_QUEUED;
	queue_push(r->alone ? &b->alone : &b->waiting[r->kind], r);
}

/* ---- answers ---- */

static void answer_row(struct request *r, const struct pg_result *res, int row)
{
	if (r->kind == WRITE_DELETE) {
		strbuf_addstr(http_out(r->http), "{\"success\":true,\"data\":null,"
						 "\"message\":\"Product deleted successfully\"}");
		request_reply(r, 200);
		return;
	}
	struct product_row p = row_read(res, row, 0);
	bool created = r->kind == WRITE_UPSERT && db_value(res, row, 6)[0] != 0;

	if (created) {
		char location[] = "/api/products/xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

		uuid_to_text(&p.id, location + strlen("/api/products/"));
		http_header(r->http, "Location", location);
	}
	row_reply(r, created ? 201 : 200, &p,
		  created ? "Product created successfully" : "Product updated successfully");
}

static void answer_missing(struct request *r)
{
	if (r->kind == WRITE_UPSERT)
		request_fail(r, 422, NULL, "the database took the product but did not keep it");
	else
		request_fail(r, 404, NULL, "there is no product with this id");
}

static void answer_rows(struct write_unit *u, const struct pg_result *res)
{
	int rows = db_rows(res);
	size_t at = 0;

	/* Rows mostly come in the order of the ids: the search starts where the last one was
	 * found. */
	for (int i = 0; i < rows; i++) {
		const char *id = db_value(res, i, 0);

		for (size_t tried = 0; tried < u->n; tried++, at = at + 1 < u->n ? at + 1 : 0) {
			struct request *r = u->rows[at];

			if (memcmp(r->id.b, id, sizeof(r->id.b)) != 0)
				continue;
			if (r->state == REQUEST_IN_FLIGHT)
				answer_row(r, res, i);
			break;
		}
	}
	for (size_t i = 0; i < u->n; i++)
		if (u->rows[i]->state == REQUEST_IN_FLIGHT)
			answer_missing(u->rows[i]);
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

/* What becomes of a write whose unit was not done. */
static void redo(struct request *r, size_t n, enum db_outcome outcome, const struct err *err)
{
	switch (outcome) {
	case DB_REFUSED:
	case DB_RETRY:
	case DB_BROKEN:
		if (n > 1) {
			r->alone = true;
			write_submit(r);
		} else if (outcome == DB_REFUSED) {
			request_fail(r, 422, NULL, "the database refused it: %s", err->text);
		} else if (outcome == DB_RETRY && r->tries < TRIES_MAX) {
			r->alone = true;
			delay(r);
		} else {
			request_unavailable(r, "the database could not do it now: %s", err->text);
		}
		return;
	case DB_LOST:
		request_unavailable(
			r, "the connection to the primary was lost: the change may or may not have "
			   "been made");
		return;
	case DB_SCHEMA:
		request_unavailable(
			r, "the primary is not as it should be, run 'pgfanout-migrate up': %s",
			err->text);
		return;
	case DB_OK:
	case DB_UNFIT:
	case DB_BUSY:
	case DB_FOREIGN:
		request_unavailable(r, "the primary takes no writes now: %s", err->text);
		return;
	}
}

static void on_unit(void *arg, enum db_outcome outcome, const struct pg_result *res,
		    const struct err *err)
{
	struct write_unit *u = arg;
	struct store *s = store_of(u->rows[0]);

	u->link->writes_in_flight--;
	if (outcome == DB_OK) {
		answer_rows(u, res);
		metric_add(M_WRITES, 0, db_rows(res));
		relay_wake(s->service->relay);
	} else {
		metric_add(M_WRITE_FAILURES, 0, 1);
		for (size_t i = 0; i < u->n; i++)
			if (u->rows[i]->state == REQUEST_IN_FLIGHT)
				redo(u->rows[i], u->n, outcome, err);
		/* A standby. The connection string may name several hosts: a new connection finds
		 * the one that takes writes. */
		if (strcmp(err->sqlstate, "25006") == 0)
			u->link->give_up = true;
	}
	for (size_t i = 0; i < u->n; i++)
		request_unref(u->rows[i]);
	u->next = s->writes->free_units;
	s->writes->free_units = u;
}

/* ---- sending ---- */

static void add_row(struct write_batches *b, enum write_kind kind, const struct request *r)
{
	const struct product_input *in = &r->in;

	pgarray_add_uuid(&b->ids, &r->id);
	if (kind == WRITE_DELETE)
		return;
	if (in->given & PRODUCT_NAME)
		pgarray_add_text(&b->names, strbuf_str(&in->name), in->name.len);
	else
		pgarray_add_null(&b->names);
	if (in->given & PRODUCT_PRICE)
		pgarray_add_text(&b->prices, in->price, strlen(in->price));
	else
		pgarray_add_null(&b->prices);
	if (in->given & PRODUCT_STOCK)
		pgarray_add_int4(&b->stocks, in->stock);
	else
		pgarray_add_null(&b->stocks);
}

static void send_unit(struct write_unit *u)
{
	struct write_batches *b = store_of(u->rows[0])->writes;
	struct link *l = u->link;
	struct pool *p = l->pool;
	struct err err;

	pgarray_begin(&b->ids, PGARRAY_UUID);
	pgarray_begin(&b->names, PGARRAY_TEXT);
	pgarray_begin(&b->prices, PGARRAY_TEXT);
	pgarray_begin(&b->stocks, PGARRAY_INT4);
	for (size_t i = 0; i < u->n; i++) {
		u->rows[i]->state = REQUEST_IN_FLIGHT;
		request_ref(u->rows[i]);
		add_row(b, u->kind, u->rows[i]);
	}
	struct db_param params[4] = {
		pgarray_finish(&b->ids),
		pgarray_finish(&b->names),
		pgarray_finish(&b->prices),
		pgarray_finish(&b->stocks),
	};

	l->writes_in_flight++;
	l->rows_in_flight = u->n;
	l->rows_since = p->now;
	l->touched = true;
	metric_add(M_WRITE_UNITS, 0, 1);
	if (!db_send(l->db, u->kind, params, true,
		     mono_add_ms(p->now, p->settings->request_timeout_ms), on_unit, u, &err))
		on_unit(u, DB_LOST, NULL, &err);
}

static struct write_unit *unit_new(struct store *s, struct link *l, enum write_kind kind)
{
	struct write_unit *u = s->writes->free_units;

	if (u)
		s->writes->free_units = u->next;
	else
		u = xmalloc(sizeof(*u));
	u->link = l;
	u->kind = kind;
	u->n = 0;
	return u;
}

static int by_id(const void *a, const void *b)
{
	const struct request *const *x = a;
	const struct request *const *y = b;

	return uuid_cmp(&(*x)->id, &(*y)->id);
}

static void send_batch(struct store *s, struct link *l, enum write_kind kind)
{
	struct write_unit *u = unit_new(s, l, kind);
	struct write_batches *b = s->writes;
	struct request *next;

	uuid_set_reset(&b->seen);
	for (struct request *r = b->waiting[kind].head; r && u->n < WRITE_ROWS; r = next) {
		next = r->next;
		/* A second write of an id waits for the next batch. */
		if (*uuid_set_put(&b->seen, &r->id, (uint32_t)u->n) != u->n)
			continue;
		queue_remove(r);
		u->rows[u->n++] = r;
	}
	qsort(u->rows, u->n, sizeof(struct request *), by_id);
	send_unit(u);
}

/* The kind whose first one has waited longest; WRITE_KINDS if none waits. */
static enum write_kind oldest_kind(const struct write_batches *b)
{
	enum write_kind best = WRITE_KINDS;

	for (enum write_kind k = 0; k < WRITE_KINDS; k++)
		if (b->waiting[k].head &&
		    (best == WRITE_KINDS ||
		     b->waiting[k].head->began.us < b->waiting[best].head->began.us))
			best = k;
	return best;
}

/*
 * Whether a batch should wait for more. A connection that is free takes it if it is at least as
 * large as what is at the database on another one, else it waits for that one's answer: few large
 * batches cost both sides less than many small ones. Not for longer than GATHER_MS: what is in
 * flight may wait for a lock.
 */
static bool is_small(struct store *s, size_t waiting)
{
	bool small = false;

	for (size_t i = 0; i < POOL_WRITE_LINKS; i++) {
		const struct link *l = s->pool->writes[i];
		struct mono until = mono_add_ms(l->rows_since, GATHER_MS);

		if (link_usable(l) && l->writes_in_flight > 0 && waiting < l->rows_in_flight &&
		    !mono_reached(until, s->pool->now)) {
			s->writes->gather_until = mono_earlier(until, s->writes->gather_until);
			small = true;
		}
	}
	return small;
}

void write_dispatch(struct store *s)
{
	struct write_batches *b = s->writes;

	b->gather_until = MONO_NEVER;
	for (size_t i = 0; i < POOL_WRITE_LINKS; i++) {
		struct link *l = s->pool->writes[i];

		while (b->alone.head && l->writes_in_flight < ALONE_UNITS && link_usable(l)) {
			struct request *r = queue_pop(&b->alone);
			struct write_unit *u = unit_new(s, l, r->kind);

			u->rows[u->n++] = r;
			send_unit(u);
		}
		enum write_kind kind = oldest_kind(b);

		if (kind != WRITE_KINDS && l->writes_in_flight == 0 && link_usable(l) &&
		    !is_small(s, b->waiting[kind].n))
			send_batch(s, l, kind);
	}
}

void write_tick(struct store *s)
{
	struct write_batches *b = s->writes;
	struct request *next;

	for (struct request *r = b->delayed.head; r; r = next) {
		next = r->next;
		if (!mono_reached(r->not_before, s->pool->now))
			continue;
		queue_remove(r);
		write_submit(r);
	}
	if (can_write(s))
		return;
	while (b->alone.head)
		fail_unreachable(b->alone.head);
	for (enum write_kind k = 0; k < WRITE_KINDS; k++)
		while (b->waiting[k].head)
			fail_unreachable(b->waiting[k].head);
}
