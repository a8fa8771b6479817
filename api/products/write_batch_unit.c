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
#include "api/products/row.h"
#include "api/products/sql/products_delete.sql.h"
#include "api/products/sql/products_delete_free.sql.h"
#include "api/products/sql/products_import.sql.h"
#include "api/products/sql/products_import_free.sql.h"
#include "api/products/sql/products_patch.sql.h"
#include "api/products/sql/products_patch_free.sql.h"
#include "api/products/sql/products_upsert.sql.h"
#include "api/products/sql/products_upsert_free.sql.h"
#include "api/products/sql/session_end.sql.h"
#include "api/products/sql/session_mark.sql.h"
#include "api/products/write_batch_private.h"

#define TRIES_MAX      8
#define DELAY_FIRST_MS 5

#define OID_INT8       20
#define OID_UUID_ARRAY 2951
#define OID_TEXT_ARRAY 1009
#define OID_INT4_ARRAY 1007

static const unsigned types[] = { OID_UUID_ARRAY, OID_TEXT_ARRAY, OID_TEXT_ARRAY, OID_INT4_ARRAY };
static const unsigned mark_type[] = { OID_INT8 };

enum { PATCH_WAITING = WRITE_STATEMENTS, DELETE_WAITING, ALL };

static const struct db_statement statements[ALL] = {
	[WRITE_CREATE] = { "upsert", sql_products_upsert, 4, types },
	[WRITE_UPSERT] = { "upsert_free", sql_products_upsert_free, 4, types },
	[WRITE_PATCH] = { "patch_free", sql_products_patch_free, 4, types },
	[WRITE_DELETE] = { "delete_free", sql_products_delete_free, 1, types },
	[WRITE_IMPORT] = { "import", sql_products_import, 4, types },
	[WRITE_IMPORT_FREE] = { "import_free", sql_products_import_free, 4, types },
	[WRITE_MARK] = { "mark", sql_session_mark, 1, mark_type },
	[WRITE_END] = { "end", sql_session_end, 1, mark_type },
	[PATCH_WAITING] = { "patch", sql_products_patch, 4, types },
	[DELETE_WAITING] = { "delete", sql_products_delete, 1, types },
};
const struct connector_kind write_kind = { statements, ARRAY_SIZE(statements), true };

/* Of a unit that waits for locked rows. */
static const size_t waiting_statement[WRITE_KINDS] = {
	[WRITE_CREATE] = WRITE_CREATE,
	[WRITE_UPSERT] = WRITE_CREATE,
	[WRITE_PATCH] = PATCH_WAITING,
	[WRITE_DELETE] = DELETE_WAITING,
};

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
	bool created = r->kind <= WRITE_UPSERT && db_value(res, row, 6)[0] != 0;

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
	if (r->kind <= WRITE_UPSERT)
		request_fail(r, 422, NULL, "the database took the product but did not keep it");
	else
		request_fail(r, 404, NULL, "there is no product with this id");
}

static void wait_for_row(struct request *r)
{
	if (r->way == WRITE_APART) /* what its batch met was a lock on something else */
		r->way = WRITE_TOGETHER;
	write_wait(r);
}

/* Returns how many were written. */
static int answer_rows(struct write_unit *u, const struct pg_result *res)
{
	int rows = db_rows(res), locked = 0;
	size_t at = 0;

	/* Rows mostly come in the order of the ids: the search starts where the last one was
	 * found. */
	for (int i = 0; i < rows; i++) {
		const char *id = db_value(res, i, 0);
		bool left_out = db_is_null(res, i, 1);

		locked += left_out;

		for (size_t tried = 0; tried < u->n; tried++, at = at + 1 < u->n ? at + 1 : 0) {
			struct request *r = u->rows[at];

			if (memcmp(r->id.b, id, sizeof(r->id.b)) != 0)
				continue;
			if (r->state == REQUEST_IN_FLIGHT && left_out)
				wait_for_row(r);
			else if (r->state == REQUEST_IN_FLIGHT)
				answer_row(r, res, i);
			break;
		}
	}
	for (size_t i = 0; i < u->n; i++)
		if (u->rows[i]->state == REQUEST_IN_FLIGHT)
			answer_missing(u->rows[i]);
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

/* What becomes of a write whose unit was not done. waited: on a wait link. */
static void redo(struct request *r, const struct write_unit *u, bool waited,
		 enum db_outcome outcome, const struct err *err)
{
	switch (outcome) {
	case DB_RETRY:
		if (u->n > 1) {
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
		else if (outcome == DB_REFUSED)
			request_fail(r, 422, NULL, "the database refused it: %s", err_shown(err));
		else
			request_unavailable(r, "the database could not do it now: %s",
					    err_shown(err));
		return;
	case DB_LOST:
		request_unavailable(
			r, "the connection to the primary was lost: the change may or may not have "
			   "been made");
		return;
	case DB_SCHEMA:
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
		if (written > 0)
			relay_wake(s->service->relay);
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

void write_unit_send(struct write_unit *u)
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
	if (!db_send(l->db, u->waits ? waiting_statement[u->kind] : u->kind, params, true,
		     mono_add_ms(p->now, p->settings->request_timeout_ms), on_unit, u, &err))
		on_unit(u, DB_LOST, NULL, &err);
}

struct write_unit *write_unit_new(struct store *s, struct link *l, enum write_kind kind)
{
	struct write_unit *u = s->writes->free_units;

	if (u)
		s->writes->free_units = u->next;
	else
		u = xmalloc(sizeof(*u));
	u->link = l;
	u->kind = kind;
	u->waits = false;
	u->n = 0;
	return u;
}
