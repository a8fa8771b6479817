/*
 * outbox.c: the primary's table of unconfirmed changes, seen from the relay's session.
 *
 *   state      what is asked of the primary                  moves on when
 *   WAITING    nothing                                       outbox_try_lead()   -> ASKING
 *   ASKING     the advisory lock                             it is granted       -> BEGINNING
 *                                                            it is not           -> WAITING
 *   BEGINNING  the name of the transaction id space; what    both are answered   -> LEADING
 *              outbox_adopt.sql does
 *   LEADING    claims, forgets
 *   any        an answer is an error, or none comes                              -> FAILED
 *   FAILED     nothing                                       outbox_close()
 *
 * Who leads is the server's knowledge, not ours: the lock ends with the session, and the session
 * ends when it is idle longer than IDLE_SESSION_MS, so a process that hangs (or its machine) cannot
 * keep the lead. A leader that lost it so and wakes up again publishes and forgets at most what it
 * had already claimed or confirmed: harmless.
 *
 * A sweep is what outbox_claim.sql says: everything that became visible between the snapshot of the
 * last sweep and its own, in chunks. `previous` moves only when the last chunk of a sweep has come,
 * and lives in memory only: a new session begins at the first record. A claimed record stays in the
 * table until outbox_forget(); a crash at any moment therefore loses nothing.
 *
 * With each restart a new term begins (outbox_term.sql). The statement is sent before the first claim
 * on the same connection, so the term is known before there is anything to publish in it, and the
 * counts of the term before have all that was forgotten in it. After a crash between a confirm and
 * outbox_forget() the table says less than what was confirmed: those changes are still recorded, and
 * are published in the next term.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/relay/outbox.h"
#include "common/pg/db.h"
#include "common/pg/pgarray.h"

#include "api/relay/sql/outbox_adopt.sql.h"
#include "api/relay/sql/outbox_beat.sql.h"
#include "api/relay/sql/outbox_begin.sql.h"
#include "api/relay/sql/outbox_claim.sql.h"
#include "api/relay/sql/outbox_forget.sql.h"
#include "api/relay/sql/outbox_lead.sql.h"
#include "api/relay/sql/outbox_term.sql.h"
#include "api/relay/sql/outbox_touch.sql.h"

#define IDLE_SESSION_MS 10000
#define TOUCH_MS	2500
#define STATEMENT_TIMEOUT_MS \
	60000 /* the first sweep may have to step over very many dead records */
#define UNIT_DEADLINE_MS  65000
#define BEFORE_EVERYTHING "1:1:" /* a snapshot in which no transaction is visible */

enum statement { ST_LEAD, ST_BEGIN, ST_ADOPT, ST_TERM, ST_CLAIM, ST_FORGET, ST_TOUCH, ST_BEAT };
static const struct db_statement statements[] = {
	[ST_LEAD] = { .name = "outbox_lead", .sql = sql_outbox_lead },
	[ST_BEGIN] = { .name = "outbox_begin", .sql = sql_outbox_begin },
	[ST_ADOPT] = { .name = "outbox_adopt", .sql = sql_outbox_adopt },
	[ST_TERM] = { .name = "outbox_term", .sql = sql_outbox_term },
	[ST_CLAIM] = { .name = "outbox_claim", .sql = sql_outbox_claim, .nparams = 5 },
	[ST_FORGET] = { .name = "outbox_forget", .sql = sql_outbox_forget, .nparams = 7 },
	[ST_TOUCH] = { .name = "outbox_touch", .sql = sql_outbox_touch },
	[ST_BEAT] = { .name = "outbox_beat", .sql = sql_outbox_beat },
};

enum column {
	COL_SNAPSHOT,
	COL_XID,
	COL_VERSION,
	COL_ID,
	COL_NAME,
	COL_PRICE,
	COL_STOCK,
	COL_CREATED,
	COL_UPDATED,
	COL_HEARTBEAT
};

enum outbox_state {
	OUTBOX_WAITING,
	OUTBOX_ASKING,
	OUTBOX_BEGINNING,
	OUTBOX_LEADING,
	OUTBOX_FAILED
};

struct outbox {
	struct db *db;
	enum outbox_state state;
	struct err why; /* of OUTBOX_FAILED */
	char source[128];
	int64_t newest; /* version */
	struct outbox_term terms[OUTBOX_TERMS];
	size_t nterms;
	struct mono touched;

	size_t chunk_max;
	char limit[24];
	struct strbuf previous; /* the snapshot of the last complete sweep */
	struct strbuf sweep;	/* the snapshot of the sweep under way; empty: none is */
	struct outbox_key last; /* of the last chunk of that sweep */
	struct outbox_chunk *claiming;

	size_t forgetting;
	struct pgarray xids, versions;
};

void outbox_chunk_clear(struct outbox_chunk *c)
{
	free(c->rows);
	strbuf_clear(&c->names);
	*c = (struct outbox_chunk){ 0 };
}

static void fail(struct outbox *o, const char *what, const struct err *err)
{
	if (o->state == OUTBOX_FAILED)
		return;
	o->state = OUTBOX_FAILED;
	o->why = *err;
	err_prefix(&o->why, "%s", what);
}

static void ask(struct outbox *o, enum statement st, const struct db_param *params, bool binary,
		db_callback cb)
{
	struct err err;
	struct mono now = mono_now();

	o->touched = now;
	if (!db_send(o->db, st, params, binary, mono_add_ms(now, UNIT_DEADLINE_MS), cb, o, &err))
		fail(o, statements[st].name, &err);
}

struct outbox *outbox_open(const char *uri, const char *application_name, size_t chunk_max,
			   struct err *err)
{
	/* The planner must never read the whole table; the server must not wait for ever for a
	 * relay that stopped reading. may_be_lost: what a crash of the server brings back is
	 * published again. */
	const struct db_options options = {
		.application_name = application_name,
		.statement_timeout_ms = STATEMENT_TIMEOUT_MS,
		.lock_timeout_ms = STATEMENT_TIMEOUT_MS,
		.idle_session_timeout_ms = IDLE_SESSION_MS,
		.may_be_lost = true,
		.guc = "-c enable_seqscan=off -c enable_bitmapscan=off -c enable_hashjoin=off"
		       " -c enable_mergejoin=off -c enable_material=off"
		       " -c max_parallel_workers_per_gather=0 -c tcp_user_timeout=10000",
	};
	struct db *db = db_open(uri, &options, statements, ARRAY_SIZE(statements), err);

	if (!db) {
		if (sqlstate_outcome(err->sqlstate) == DB_SCHEMA && *err->sqlstate)
			err_prefix(err, "the primary is not migrated (run pgfanout-migrate up)");
		return NULL;
	}
	struct outbox *o = xcalloc(1, sizeof(*o));
	o->db = db;
	o->chunk_max = chunk_max;
	o->touched = mono_now();
	snprintf(o->limit, sizeof(o->limit), "%zu", chunk_max);
	return o;
}

void outbox_close(struct outbox *o)
{
	if (!o)
		return;
	o->state = OUTBOX_FAILED; /* the callbacks that db_close() calls do nothing then */
	db_close(o->db);
	strbuf_clear(&o->previous);
	strbuf_clear(&o->sweep);
	pgarray_clear(&o->xids);
	pgarray_clear(&o->versions);
	free(o);
}

int outbox_fd(const struct outbox *o)
{
	return db_fd(o->db);
}

bool outbox_wants_write(const struct outbox *o)
{
	return db_wants_write(o->db);
}

struct mono outbox_deadline(const struct outbox *o)
{
	return db_in_flight(o->db) ? db_next_deadline(o->db) : mono_add_ms(o->touched, TOUCH_MS);
}

static void touched(void *arg, enum db_outcome outcome, const struct pg_result *r,
		    const struct err *err)
{
	(void)r;
	if (outcome != DB_OK)
		fail(arg, "keeping the session", err);
}

bool outbox_io(struct outbox *o, struct mono now, struct err *err)
{
	if (o->state != OUTBOX_FAILED) {
		db_io(o->db);
		db_tick(o->db, now);
	}
	if (o->state != OUTBOX_FAILED && !db_in_flight(o->db) &&
	    mono_reached(mono_add_ms(o->touched, TOUCH_MS), now))
		ask(o, ST_TOUCH, NULL, false, touched);
	if (o->state != OUTBOX_FAILED && !db_alive(o->db)) {
		struct err lost;
		err_set(&lost, "the connection to the primary was lost");
		fail(o, "the session", &lost);
	}
	if (o->state == OUTBOX_FAILED)
		*err = o->why;
	return o->state != OUTBOX_FAILED;
}

/* ---- the lead ---- */

static void adopted(void *arg, enum db_outcome outcome, const struct pg_result *r,
		    const struct err *err)
{
	struct outbox *o = arg;

	(void)r;
	if (outcome != DB_OK)
		fail(o, "adopting strange records", err);
	else if (o->state == OUTBOX_BEGINNING)
		o->state = OUTBOX_LEADING;
}

static void begun(void *arg, enum db_outcome outcome, const struct pg_result *r,
		  const struct err *err)
{
	struct outbox *o = arg;

	if (outcome != DB_OK) {
		fail(o, "beginning to lead", err);
		return;
	}
	snprintf(o->source, sizeof(o->source), "%s", db_value(r, 0, 0));
	o->newest = strtoll(db_value(r, 0, 1), NULL, 10);
}

static void lead_answered(void *arg, enum db_outcome outcome, const struct pg_result *r,
			  const struct err *err)
{
	struct outbox *o = arg;

	if (outcome != DB_OK)
		fail(o, "asking for the lead", err);
	else if (o->state == OUTBOX_ASKING)
		o->state = *db_value(r, 0, 0) == 't' ? OUTBOX_BEGINNING : OUTBOX_WAITING;
	if (o->state != OUTBOX_BEGINNING)
		return;
	ask(o, ST_BEGIN, NULL, false, begun);
	ask(o, ST_ADOPT, NULL, false, adopted);
}

void outbox_try_lead(struct outbox *o)
{
	/* Only while waiting: a session that asks twice holds the lock twice. */
	if (o->state != OUTBOX_WAITING)
		return;
	o->state = OUTBOX_ASKING;
	ask(o, ST_LEAD, NULL, false, lead_answered);
}

bool outbox_asking(const struct outbox *o)
{
	return o->state == OUTBOX_ASKING;
}

bool outbox_leading(const struct outbox *o)
{
	return o->state == OUTBOX_LEADING;
}

struct outbox_facts outbox_facts(const struct outbox *o)
{
	return (struct outbox_facts){ o->source, o->newest, o->terms, o->nterms };
}

/* ---- claiming ---- */

static void term_begun(void *arg, enum db_outcome outcome, const struct pg_result *r,
		       const struct err *err)
{
	struct outbox *o = arg;

	if (outcome != DB_OK) {
		fail(o, "beginning a term", err);
		return;
	}
	o->nterms = min_size((size_t)db_rows(r), OUTBOX_TERMS);
	for (size_t i = 0; i < o->nterms; i++) {
		struct outbox_term *t = &o->terms[i];
		t->term = strtoll(db_value(r, (int)i, 0), NULL, 10);
		t->messages[CHANGE_SYNC] = strtoull(db_value(r, (int)i, 1), NULL, 10);
		t->messages[CHANGE_DELETE] = strtoull(db_value(r, (int)i, 2), NULL, 10);
	}
}

void outbox_restart(struct outbox *o)
{
	strbuf_reset(&o->previous);
	strbuf_addstr(&o->previous, BEFORE_EVERYTHING);
	strbuf_reset(&o->sweep);
	o->last = (struct outbox_key){ 0 };
	o->nterms = 0;
	ask(o, ST_TERM, NULL, false, term_begun);
}

bool outbox_sweeping(const struct outbox *o)
{
	return o->sweep.len > 0;
}

bool outbox_claiming(const struct outbox *o)
{
	return o->claiming != NULL;
}

static bool read_row(struct outbox *o, const struct pg_result *r, int row,
		     struct outbox_chunk *chunk, struct err *err)
{
	struct change *c = &chunk->rows[chunk->n];

	*c = (struct change){ .xid = (uint64_t)pg_get_int8(db_value(r, row, COL_XID)),
			      .version = pg_get_int8(db_value(r, row, COL_VERSION)),
			      .name_at = chunk->names.len };
	memcpy(c->id.b, db_value(r, row, COL_ID), sizeof(c->id.b));
	if (o->newest < c->version)
		o->newest = c->version;
	chunk->n++;
	if (db_is_null(r, row, COL_NAME)) {
		c->kind = CHANGE_DELETE;
		return true;
	}
	c->kind = CHANGE_SYNC;
	int price_len = db_length(r, row, COL_PRICE);
	if (db_is_null(r, row, COL_PRICE) || db_is_null(r, row, COL_STOCK) ||
	    db_is_null(r, row, COL_CREATED) || db_is_null(r, row, COL_UPDATED) ||
	    price_len >= (int)sizeof(c->price))
		return err_set(err,
			       "the record of version %" PRId64
			       " is not a product: products_outbox was changed by hand",
			       c->version);
	c->name_len = (size_t)db_length(r, row, COL_NAME);
	strbuf_add(&chunk->names, db_value(r, row, COL_NAME), c->name_len);
	memcpy(c->price, db_value(r, row, COL_PRICE), (size_t)price_len);
	c->stock = pg_get_int4(db_value(r, row, COL_STOCK));
	c->created_us = pg_get_int8(db_value(r, row, COL_CREATED));
	c->updated_us = pg_get_int8(db_value(r, row, COL_UPDATED));
	return true;
}

static int compare_changes(const void *a, const void *b)
{
	const struct change *x = a, *y = b;

	if (x->kind != y->kind)
		return x->kind == CHANGE_SYNC ? -1 : 1;
	return x->version < y->version ? -1 : x->version > y->version;
}

/* Other subscribers get a product's changes in order, and there are fewer messages, since changes
 * of one kind share one. Mostly they are sorted already. */
static void sort_chunk(struct outbox_chunk *c)
{
	for (size_t i = 1; i < c->n; i++) {
		if (compare_changes(&c->rows[i - 1], &c->rows[i]) > 0) {
			qsort(c->rows, c->n, sizeof(*c->rows), compare_changes);
			return;
		}
	}
}

/* A newer heartbeat says all that an older one says, and takes its place. Newer by its transaction:
 * the primary's clock may have been set back. */
static void read_beat(struct outbox *o, const struct pg_result *r, int row,
		      struct outbox_chunk *chunk)
{
	struct outbox_key key = { .xid = (uint64_t)pg_get_int8(db_value(r, row, COL_XID)),
				  .version = pg_get_int8(db_value(r, row, COL_VERSION)) };
	int64_t at_us = pg_get_int8(db_value(r, row, COL_HEARTBEAT));

	if (chunk->has_beat && key.xid < chunk->beat.xid) {
		outbox_forget(o, &key, 1, NULL);
		return;
	}
	if (chunk->has_beat)
		outbox_forget(o, &chunk->beat, 1, NULL);
	chunk->has_beat = true;
	chunk->beat = key;
	chunk->beat_us = at_us;
}

static void step_past(struct outbox *o, struct outbox_key key)
{
	if (key.xid > o->last.xid || (key.xid == o->last.xid && key.version > o->last.version))
		o->last = key;
}

static bool read_chunk(struct outbox *o, const struct pg_result *r, struct outbox_chunk *chunk,
		       struct err *err)
{
	int rows = db_rows(r);

	if (chunk->cap < (size_t)rows) {
		chunk->cap = (size_t)rows;
		chunk->rows = xreallocarray(chunk->rows, chunk->cap, sizeof(*chunk->rows));
	}
	for (int i = 0; i < rows; i++) {
		if (!db_is_null(r, i, COL_SNAPSHOT)) {
			if (!outbox_sweeping(o)) {
				chunk->sweep_begins = true;
				strbuf_add(&o->sweep, db_value(r, i, COL_SNAPSHOT),
					   (size_t)db_length(r, i, COL_SNAPSHOT));
			}
			continue;
		}
		step_past(o, (struct outbox_key){
				     .xid = (uint64_t)pg_get_int8(db_value(r, i, COL_XID)),
				     .version = pg_get_int8(db_value(r, i, COL_VERSION)) });
		if (!db_is_null(r, i, COL_HEARTBEAT))
			read_beat(o, r, i, chunk);
		else if (!read_row(o, r, i, chunk, err))
			return false;
	}
	return outbox_sweeping(o) ? true : err_set(err, "the primary sent no snapshot");
}

static void claimed(void *arg, enum db_outcome outcome, const struct pg_result *r,
		    const struct err *err)
{
	struct outbox *o = arg;
	struct outbox_chunk *chunk = o->claiming;
	struct err bad;

	o->claiming = NULL;
	if (outcome != DB_OK) {
		fail(o, "claiming changes", err);
		return;
	}
	if (!read_chunk(o, r, chunk, &bad)) {
		fail(o, "claiming changes", &bad);
		return;
	}
	chunk->sweep_ends = (size_t)db_rows(r) <= o->chunk_max; /* the first row is none */
	if (chunk->sweep_ends) {
		/* From here on these records are found again only by outbox_restart(). */
		strbuf_reset(&o->previous);
		strbuf_add(&o->previous, o->sweep.data, o->sweep.len);
		strbuf_reset(&o->sweep);
		o->last = (struct outbox_key){ 0 };
	}
	sort_chunk(chunk);
}

void outbox_claim(struct outbox *o, struct outbox_chunk *into)
{
	char xid[24], version[24];

	snprintf(xid, sizeof(xid), "%" PRIu64, o->last.xid);
	snprintf(version, sizeof(version), "%" PRId64, o->last.version);
	const struct db_param params[] = {
		DB_TEXT(strbuf_str(&o->previous)),
		DB_TEXT(o->limit),
		DB_TEXT(outbox_sweeping(o) ? strbuf_str(&o->sweep) : NULL),
		DB_TEXT(xid),
		DB_TEXT(version),
	};
	into->n = 0;
	into->sweep_begins = into->sweep_ends = into->has_beat = false;
	strbuf_reset(&into->names);
	o->claiming = into;
	ask(o, ST_CLAIM, params, true, claimed);
}

/* ---- heartbeats ---- */

static void beaten(void *arg, enum db_outcome outcome, const struct pg_result *r,
		   const struct err *err)
{
	(void)r;
	if (outcome != DB_OK)
		fail(arg, "recording a heartbeat", err);
}

void outbox_beat(struct outbox *o)
{
	ask(o, ST_BEAT, NULL, false, beaten);
}

/* ---- forgetting ---- */

static void forgotten(void *arg, enum db_outcome outcome, const struct pg_result *r,
		      const struct err *err)
{
	struct outbox *o = arg;

	(void)r;
	o->forgetting--;
	if (outcome != DB_OK)
		fail(o, "forgetting confirmed changes", err);
}

void outbox_forget(struct outbox *o, const struct outbox_key *keys, size_t n,
		   const uint64_t *messages)
{
	struct outbox_term *t = &o->terms[0];
	bool news = messages && memcmp(messages, t->messages, sizeof(t->messages)) != 0;
	char text[5][24];
	struct db_param count[5];

	if (news) {
		const uint64_t counts[] = { (uint64_t)t->term, messages[CHANGE_SYNC],
					    messages[CHANGE_DELETE], t->messages[CHANGE_SYNC],
					    t->messages[CHANGE_DELETE] };
		for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
			snprintf(text[i], sizeof(text[i]), "%" PRIu64, counts[i]);
		memcpy(t->messages, messages, sizeof(t->messages));
	}
	for (size_t i = 0; i < ARRAY_SIZE(count); i++)
		count[i] = DB_TEXT(news ? text[i] : NULL);
	pgarray_begin(&o->xids, PGARRAY_XID8);
	pgarray_begin(&o->versions, PGARRAY_INT8);
	for (size_t i = 0; i < n; i++) {
		pgarray_add_int8(&o->xids, (int64_t)keys[i].xid);
		pgarray_add_int8(&o->versions, keys[i].version);
	}
	const struct db_param params[] = {
		pgarray_finish(&o->xids),
		pgarray_finish(&o->versions),
		count[0],
		count[1],
		count[2],
		count[3],
		count[4],
	};
	o->forgetting++;
	ask(o, ST_FORGET, params, false, forgotten);
}

size_t outbox_forgetting(const struct outbox *o)
{
	return o->forgetting;
}
