/*
 * outbox.c: the primary's table of unconfirmed changes of one stream, seen from the relay's session.
 *
 *   state      what is asked of the primary                  moves on when
 *   WAITING    nothing                                       outbox_try_lead()   -> ASKING
 *   ASKING     the advisory lock                             it is granted       -> BEGINNING
 *                                                            it is not           -> WAITING
 *   BEGINNING  the epoch; what                               both are answered   -> LEADING
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
 * A big transaction must not stand in front of the others. What is claimed when:
 *   1. A sweep goes through its records in the order of their transactions. When BIG_ROWS records
 *      of one transaction have come and there may be more, it puts that transaction aside,
 *      remembering the last version, and goes on behind it. So a sweep is never long because of one
 *      transaction, and `previous` moves past it.
 *   2. The rest of a transaction put aside is claimed with outbox_claim_big(), between the chunks of
 *      sweeps, as the caller likes; of several one chunk each in turn, so that a middling one does
 *      not wait for a huge one.
 *   3. It is done when a chunk comes that is not full. It was visible as a whole when a sweep found
 *      it, so no record of it can come later.
 *   Every record a sweep passes is thus claimed by the sweep, or belongs to a transaction in `bigs`
 *   and has a later version than remembered there: nothing is skipped, nothing stays behind. Both
 *   live in memory only, like `previous`, and begin anew with it. With BIGS_MAX put aside, sweeps
 *   put no more aside: what is behind waits then.
 *   4. A heartbeat is claimed by a sweep, but says that everything committed before it has been: it
 *      is kept until all that was put aside before it is claimed, and handed out with the chunk that
 *      completes that. So a replica that lacks a part of a big transaction is behind, and says so.
 *
 * What a standby that is promoted has in its outbox waited for the old primary, and its transaction ids are those of the
 * epoch before: such records are published under that one's name, so that replicas find them in the snapshots that
 * they were loaded from, or not.
 *
 * Changes of one product may leave in another order than they were committed in: replicas take the
 * newest version, whichever comes first.
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
#include "common/wire/topology.h"

#include "api/relay/sql/outbox_adopt.sql.h"
#include "api/relay/sql/outbox_beat.sql.h"
#include "api/relay/sql/outbox_begin.sql.h"
#include "api/relay/sql/outbox_claim.sql.h"
#include "api/relay/sql/outbox_claim_big.sql.h"
#include "api/relay/sql/outbox_forget.sql.h"
#include "api/relay/sql/outbox_lead.sql.h"
#include "api/relay/sql/outbox_routes.sql.h"
#include "api/relay/sql/outbox_standbys.sql.h"
#include "api/relay/sql/outbox_term.sql.h"
#include "api/relay/sql/outbox_touch.sql.h"

#define IDLE_SESSION_MS 10000
#define TOUCH_MS	2500
#define STATEMENT_TIMEOUT_MS \
	60000 /* the first sweep may have to step over very many dead records */
#define UNIT_DEADLINE_MS  65000
#define BEFORE_EVERYTHING "1:1:" /* a snapshot in which no transaction is visible */
#define BIG_ROWS	  5000	 /* of one transaction in a sweep: about 50 ms of work */
#define BIGS_MAX	  1000
#define CHUNK_BYTES	  8388608 /* bodies in a chunk have so many at most, but for a single one */

enum statement {
	ST_LEAD,
	ST_BEGIN,
	ST_ADOPT,
	ST_TERM,
	ST_CLAIM,
	ST_CLAIM_BIG,
	ST_ROUTES,
	ST_FORGET,
	ST_TOUCH,
	ST_BEAT,
	ST_STANDBYS
};
static const struct db_statement statements[] = {
	[ST_LEAD] = { .name = "outbox_lead", .sql = sql_outbox_lead, .nparams = 1 },
	[ST_BEGIN] = { .name = "outbox_begin", .sql = sql_outbox_begin },
	[ST_ADOPT] = { .name = "outbox_adopt", .sql = sql_outbox_adopt, .nparams = 1 },
	[ST_TERM] = { .name = "outbox_term", .sql = sql_outbox_term, .nparams = 1 },
	[ST_CLAIM] = { .name = "outbox_claim", .sql = sql_outbox_claim, .nparams = 7 },
	[ST_CLAIM_BIG] = { .name = "outbox_claim_big", .sql = sql_outbox_claim_big, .nparams = 5 },
	[ST_ROUTES] = { .name = "outbox_routes", .sql = sql_outbox_routes, .nparams = 1 },
	[ST_FORGET] = { .name = "outbox_forget", .sql = sql_outbox_forget, .nparams = 8 },
	[ST_TOUCH] = { .name = "outbox_touch", .sql = sql_outbox_touch },
	[ST_BEAT] = { .name = "outbox_beat", .sql = sql_outbox_beat, .nparams = 2 },
	[ST_STANDBYS] = { .name = "outbox_standbys", .sql = sql_outbox_standbys, .nparams = 1 },
};

enum column {
	COL_SNAPSHOT,
	COL_XID,
	COL_VERSION,
	COL_SHAPE,
	COL_KIND,
	COL_BODY,
	COL_HEARTBEAT,
	COL_SIZE,
	COL_LSN,
	COL_FLUSHED,
	COL_STANDBYS
};

enum outbox_state {
	OUTBOX_WAITING,
	OUTBOX_ASKING,
	OUTBOX_BEGINNING,
	OUTBOX_LEADING,
	OUTBOX_FAILED
};

/* A transaction put aside. */
struct big {
	struct outbox_key last; /* of its records claimed so far */
	uint64_t no;		/* 1, 2, … in the order they were put aside in */
	uint64_t cut;		/* these two: of the sweep that found it */
	int64_t lsn;
};

struct outbox {
	struct db *db;
	const struct stream *stream;
	enum outbox_state state;
	struct err why; /* of OUTBOX_FAILED */
	char source[SOURCE_MAX],
		source_before[SOURCE_MAX]; /* of this epoch, and of records of transactions */
	uint64_t begun_xid;		   /* before this one */
	int64_t newest;			   /* version */
	struct outbox_term terms[OUTBOX_TERMS];
	size_t nterms;
	struct mono touched;

	size_t chunk_max;
	size_t rows;		  /* that the next chunk may have: fewer where bodies are large */
	char limit[24], most[24]; /* as texts: the same, and the bytes that a body of it may have */
	struct strbuf previous;	  /* the snapshot of the last complete sweep */
	struct strbuf sweep;	  /* the snapshot of the sweep under way; empty: none is */
	struct outbox_key last;	  /* of the last chunk of that sweep */
	size_t last_rows;	  /* of that sweep, in a row, of last's transaction */
	uint64_t sweep_no;	  /* these two: of that sweep, or of the last one */
	int64_t sweep_lsn;
	int64_t flushed;  /* of the primary's WAL, as the last chunk of a sweep told */
	int64_t standbys; /* the same of synchronous standbys; INT64_MAX: nobody waits for them */
	bool asks_standbys;
	int64_t standbys_for;	 /* the place that they were asked for last, */
	struct mono standbys_at; /* and when they may be asked again */
	struct outbox_chunk *claiming;
	bool cut; /* these two, of the claim that was answered, while routes are asked for: a body is */
	size_t answered; /* too large for it, and begins the next one; its rows, of so many that */
	size_t asked;	 /* were asked for */

	struct shape_route **routes; /* all shapes met so far, by their number */
	size_t nroutes, routes_cap;

	struct big *bigs; /* BIGS_MAX; the first nbigs are in use */
	size_t nbigs, big_turn;
	uint64_t big_no; /* of the last one put aside */

	bool keeps_beat; /* these five: the newest heartbeat claimed and not handed out yet; */
	struct outbox_key beat;
	int64_t beat_us, beat_lsn;
	uint64_t beat_no; /* it waits for those put aside up to this one */

	size_t forgetting;
	struct pgarray xids, versions, shapes;
};

void outbox_chunk_clear(struct outbox_chunk *c)
{
	free(c->rows);
	strbuf_clear(&c->bodies);
	free(c->shapes);
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

/* So many rows, and each body so large that all of them together fit; a single one may have any size. */
static void may_claim(struct outbox *o, size_t rows)
{
	o->rows = rows > o->chunk_max ? o->chunk_max : rows > 0 ? rows : 1;
	snprintf(o->limit, sizeof(o->limit), "%zu", o->rows);
	snprintf(o->most, sizeof(o->most), "%d",
		 o->rows > 1 ? (int)(CHUNK_BYTES / o->rows) : INT32_MAX);
}

struct outbox *outbox_open(struct primary *primary, const char *application_name,
			   const struct stream *stream, size_t chunk_max, struct err *err)
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
	struct db *db = primary_open(primary, &options, statements, ARRAY_SIZE(statements), err);

	if (!db) {
		if (sqlstate_outcome(err->sqlstate) == DB_SCHEMA && *err->sqlstate)
			err_prefix(err, "the primary is not migrated (run pgfanout-migrate up)");
		return NULL;
	}
	struct outbox *o = xcalloc(1, sizeof(*o));
	o->db = db;
	o->stream = stream;
	o->chunk_max = chunk_max;
	o->touched = mono_now();
	may_claim(o, chunk_max);
	o->bigs = xcalloc(BIGS_MAX, sizeof(*o->bigs));
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
	free(o->bigs);
	pgarray_clear(&o->xids);
	pgarray_clear(&o->versions);
	pgarray_clear(&o->shapes);
	for (size_t i = 0; i < o->nroutes; i++)
		shape_route_free(o->routes[i]);
	free(o->routes);
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
	snprintf(o->source_before, sizeof(o->source_before), "%s", db_value(r, 0, 2));
	o->begun_xid = strtoull(db_value(r, 0, 3), NULL, 10);
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
	const struct db_param params[] = { DB_TEXT(o->stream->text) };
	ask(o, ST_BEGIN, NULL, false, begun);
	ask(o, ST_ADOPT, params, false, adopted);
}

void outbox_try_lead(struct outbox *o)
{
	/* Only while waiting: a session that asks twice holds the lock twice. */
	if (o->state != OUTBOX_WAITING)
		return;
	char lock[24];
	const struct db_param params[] = { DB_TEXT(lock) };

	snprintf(lock, sizeof(lock), "%d", topology_lead_lock(o->stream));
	o->state = OUTBOX_ASKING;
	ask(o, ST_LEAD, params, false, lead_answered);
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
	return (struct outbox_facts){ o->source, o->flushed, o->newest, o->terms, o->nterms };
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
	o->last_rows = 0;
	o->sweep_no = 0;
	o->nbigs = 0;
	o->keeps_beat = false;
	o->nterms = 0;
	const struct db_param params[] = { DB_TEXT(o->stream->text) };
	ask(o, ST_TERM, params, false, term_begun);
}

bool outbox_sweeping(const struct outbox *o)
{
	return o->sweep.len > 0;
}

bool outbox_claiming(const struct outbox *o)
{
	return o->claiming != NULL;
}

/* The route of a shape; one that was never met is not known. */
static struct shape_route *find_route(struct outbox *o, int32_t shape)
{
	size_t low = 0, high = o->nroutes;

	while (low < high) {
		size_t mid = (low + high) / 2;
		if (o->routes[mid]->shape < shape)
			low = mid + 1;
		else
			high = mid;
	}
	if (low < o->nroutes && o->routes[low]->shape == shape)
		return o->routes[low];
	if (o->nroutes == o->routes_cap) {
		o->routes_cap = o->routes_cap ? 2 * o->routes_cap : 8;
		o->routes = xreallocarray(o->routes, o->routes_cap, sizeof(struct shape_route *));
	}
	memmove(o->routes + low + 1, o->routes + low,
		(o->nroutes - low) * sizeof(struct shape_route *));
	o->nroutes++;
	return o->routes[low] = shape_route_new(shape);
}

static void add_shape(struct outbox_chunk *chunk, const struct outbox_row *row)
{
	if (chunk->nshapes == chunk->shapes_cap) {
		chunk->shapes_cap = chunk->shapes_cap ? 2 * chunk->shapes_cap : 8;
		chunk->shapes = xreallocarray(chunk->shapes, chunk->shapes_cap,
					      sizeof(*chunk->shapes));
	}
	chunk->shapes[chunk->nshapes++] = (struct outbox_shape){ row->route,
								 { row->xid, row->version } };
}

static bool read_row(struct outbox *o, const struct pg_result *r, int row,
		     struct outbox_chunk *chunk, struct err *err)
{
	struct outbox_row *c = &chunk->rows[chunk->n];
	char kind = *db_value(r, row, COL_KIND);

	*c = (struct outbox_row){ .xid = (uint64_t)pg_get_int8(db_value(r, row, COL_XID)),
				  .version = pg_get_int8(db_value(r, row, COL_VERSION)),
				  .kind = kind == 'd' || kind == 't' ? CHANGE_DELETE : CHANGE_SYNC,
				  .inserted = kind == 'i',
				  .truncate = kind == 't',
				  .source = o->source,
				  .body_at = chunk->bodies.len,
				  .body_len = (size_t)db_length(r, row, COL_BODY) };
	if (db_is_null(r, row, COL_SHAPE) || strchr("iudts", kind) == NULL)
		return err_set(err,
			       "the record of version %" PRId64
			       " is no change: pgfanout.outbox was changed by hand",
			       c->version);
	strbuf_add(&chunk->bodies, db_value(r, row, COL_BODY), c->body_len);
	if (c->xid < o->begun_xid)
		c->source = o->source_before;
	c->route = find_route(o, pg_get_int4(db_value(r, row, COL_SHAPE)));
	if (o->newest < c->version)
		o->newest = c->version;
	if (kind == 's')
		add_shape(chunk, c);
	else
		chunk->n++;
	return true;
}

static int compare_rows(const void *a, const void *b)
{
	const struct outbox_row *x = a, *y = b;

	if (x->source != y->source)
		return x->xid < y->xid ? -1 : 1;
	if (x->route != y->route)
		return x->route->shape < y->route->shape ? -1 : 1;
	if (x->kind != y->kind)
		return x->kind == CHANGE_SYNC ? -1 : 1;
	if (x->truncate != y->truncate)
		return x->truncate ? 1 : -1;
	return x->version < y->version ? -1 : x->version > y->version;
}

/* Other subscribers get a row's changes in order, and there are fewer messages, since changes of one
 * kind of one table share one. Mostly they are sorted already. */
static void sort_chunk(struct outbox_chunk *c)
{
	for (size_t i = 1; i < c->n; i++) {
		if (compare_rows(&c->rows[i - 1], &c->rows[i]) > 0) {
			qsort(c->rows, c->n, sizeof(*c->rows), compare_rows);
			return;
		}
	}
}

/* ---- transactions put aside, and heartbeats that wait for them ---- */

bool outbox_has_big(const struct outbox *o)
{
	return o->nbigs > 0;
}

bool outbox_keeps_beat(const struct outbox *o)
{
	return o->keeps_beat;
}

/* The last record of the sweep is one of very many of its transaction. */
static void put_aside(struct outbox *o)
{
	if (o->last_rows < BIG_ROWS || o->nbigs == BIGS_MAX)
		return;
	o->bigs[o->nbigs++] = (struct big){
		.last = o->last, .no = ++o->big_no, .cut = o->sweep_no, .lsn = o->sweep_lsn
	};
	o->last.version = INT64_MAX; /* behind all of it */
	o->last_rows = 0;
}

/* Whose turn it is. */
static struct big *next_big(struct outbox *o)
{
	if (o->big_turn >= o->nbigs)
		o->big_turn = 0;
	return &o->bigs[o->big_turn];
}

/* A newer heartbeat says all that an older one says, and takes its place. Newer by its transaction:
 * the primary's clock may have been set back. */
static void read_beat(struct outbox *o, const struct pg_result *r, int row)
{
	struct outbox_key key = { .xid = (uint64_t)pg_get_int8(db_value(r, row, COL_XID)),
				  .version = pg_get_int8(db_value(r, row, COL_VERSION)) };
	int64_t at_us = pg_get_int8(db_value(r, row, COL_HEARTBEAT));

	if (o->keeps_beat && key.xid < o->beat.xid) {
		outbox_forget(o, &key, 1, NULL);
		return;
	}
	if (o->keeps_beat)
		outbox_forget(o, &o->beat, 1, NULL);
	o->keeps_beat = true;
	o->beat = key;
	o->beat_us = at_us;
	o->beat_lsn = db_length(r, row, COL_BODY) == 8 ? pg_get_int8(db_value(r, row, COL_BODY))
						       : 0;
	o->beat_no = o->big_no;
}

/* With this chunk, if nothing that was put aside before it is unclaimed. */
static void hand_out_beat(struct outbox *o, struct outbox_chunk *chunk)
{
	for (size_t i = 0; i < o->nbigs; i++)
		if (o->bigs[i].no <= o->beat_no)
			return;
	chunk->has_beat = o->keeps_beat;
	chunk->beat = o->beat;
	chunk->beat_us = o->beat_us;
	chunk->beat_lsn = o->beat_lsn;
	o->keeps_beat = false;
}

/* ---- chunks ---- */

static void step_past(struct outbox *o, struct outbox_key key)
{
	if (key.xid == o->last.xid ? key.version <= o->last.version : key.xid < o->last.xid)
		return;
	o->last_rows = key.xid == o->last.xid ? o->last_rows + 1 : 1;
	o->last = key;
}

/* The first row of a sweep's chunk. What it finds was committed before its snapshot, whichever of its statements
 * finds it: the first one's place is the best. */
static void read_sweep(struct outbox *o, const struct pg_result *r, int row,
		       struct outbox_chunk *chunk)
{
	int64_t newest = pg_get_int8(db_value(r, row, COL_VERSION));

	o->flushed = pg_get_int8(db_value(r, row, COL_FLUSHED));
	o->standbys = db_is_null(r, row, COL_STANDBYS)
			      ? INT64_MAX
			      : pg_get_int8(db_value(r, row, COL_STANDBYS));
	if (o->newest < newest)
		o->newest = newest;
	if (!outbox_sweeping(o)) {
		chunk->sweep_begins = true;
		chunk->cut = ++o->sweep_no;
		chunk->lsn = o->sweep_lsn = pg_get_int8(db_value(r, row, COL_LSN));
		strbuf_add(&o->sweep, db_value(r, row, COL_SNAPSHOT),
			   (size_t)db_length(r, row, COL_SNAPSHOT));
	}
}

static bool read_chunk(struct outbox *o, const struct pg_result *r, struct outbox_chunk *chunk,
		       struct err *err)
{
	int rows = db_rows(r);

	o->cut = false;
	if (chunk->cap < (size_t)rows) {
		chunk->cap = (size_t)rows;
		chunk->rows = xreallocarray(chunk->rows, chunk->cap, sizeof(*chunk->rows));
	}
	for (int i = 0; i < rows; i++) {
		struct outbox_key key;

		if (!db_is_null(r, i, COL_SIZE)) {
			o->cut = true;
			may_claim(o, CHUNK_BYTES / (size_t)pg_get_int4(db_value(r, i, COL_SIZE)));
			return true;
		}
		if (!db_is_null(r, i, COL_SNAPSHOT)) {
			read_sweep(o, r, i, chunk);
			continue;
		}
		key = (struct outbox_key){ .xid = (uint64_t)pg_get_int8(db_value(r, i, COL_XID)),
					   .version = pg_get_int8(db_value(r, i, COL_VERSION)) };
		if (chunk->big)
			next_big(o)->last = key;
		else
			step_past(o, key);
		if (!db_is_null(r, i, COL_HEARTBEAT))
			read_beat(o, r, i);
		else if (!read_row(o, r, i, chunk, err))
			return false;
	}
	may_claim(o, 2 * o->rows);
	return true;
}

/* The claim under way is answered, and all routes are known. */
static void finish_sweep(struct outbox *o, struct outbox_chunk *chunk)
{
	struct err bad;

	if (!outbox_sweeping(o)) {
		err_set(&bad, "the primary sent no snapshot");
		fail(o, "claiming changes", &bad);
		return;
	}
	chunk->sweep_ends = !o->cut && o->answered <= o->asked; /* the first row is none */
	if (chunk->sweep_ends) {
		/* From here on these records are found again only by outbox_restart(), but for
		 * those put aside. */
		strbuf_reset(&o->previous);
		strbuf_add(&o->previous, o->sweep.data, o->sweep.len);
		strbuf_reset(&o->sweep);
		o->last = (struct outbox_key){ 0 };
		o->last_rows = 0;
	} else {
		put_aside(o);
	}
	hand_out_beat(o, chunk);
}

static void finish_big(struct outbox *o, struct outbox_chunk *chunk)
{
	if (!o->cut && o->answered < o->asked)
		*next_big(o) = o->bigs[--o->nbigs];
	else
		o->big_turn++;
	hand_out_beat(o, chunk);
}

static void finish_claim(struct outbox *o)
{
	struct outbox_chunk *chunk = o->claiming;

	o->claiming = NULL;
	sort_chunk(chunk);
	if (chunk->big)
		finish_big(o, chunk);
	else
		finish_sweep(o, chunk);
}

static void routes_answered(void *arg, enum db_outcome outcome, const struct pg_result *r,
			    const struct err *err)
{
	struct outbox *o = arg;
	struct err bad;

	if (outcome != DB_OK) {
		fail(o, "reading what tables look like", err);
		return;
	}
	for (int i = 0; i < db_rows(r); i++) {
		if (shape_route_set(find_route(o, (int32_t)strtol(db_value(r, i, 0), NULL, 10)),
				    db_value(r, i, 1), &bad))
			continue;
		fail(o, "reading what tables look like", &bad);
		return;
	}
	for (size_t i = 0; i < o->nroutes; i++) {
		if (o->routes[i]->known)
			continue;
		err_set(&bad, "pgfanout.shapes has no number %" PRId32, o->routes[i]->shape);
		fail(o, "reading what tables look like", &bad);
		return;
	}
	finish_claim(o);
}

/* Whether all routes are known; if not, they are asked for. */
static bool know_routes(struct outbox *o)
{
	size_t unknown = 0;

	pgarray_begin(&o->shapes, PGARRAY_INT4);
	for (size_t i = 0; i < o->nroutes; i++) {
		if (o->routes[i]->known)
			continue;
		pgarray_add_int4(&o->shapes, o->routes[i]->shape);
		unknown++;
	}
	if (unknown == 0)
		return true;
	const struct db_param params[] = { pgarray_finish(&o->shapes) };
	ask(o, ST_ROUTES, params, false, routes_answered);
	return false;
}

static void claimed(void *arg, enum db_outcome outcome, const struct pg_result *r,
		    const struct err *err)
{
	struct outbox *o = arg;
	struct err bad;

	if (outcome != DB_OK) {
		fail(o, "claiming changes", err);
		return;
	}
	o->answered = (size_t)db_rows(r);
	if (!read_chunk(o, r, o->claiming, &bad))
		fail(o, "claiming changes", &bad);
	else if (know_routes(o))
		finish_claim(o);
}

static void begin_claim(struct outbox *o, struct outbox_chunk *into, bool big)
{
	into->n = into->nshapes = 0;
	into->sweep_begins = into->sweep_ends = into->has_beat = false;
	into->big = big;
	into->cut = big ? next_big(o)->cut : o->sweep_no;
	into->lsn = big ? next_big(o)->lsn : o->sweep_lsn;
	strbuf_reset(&into->bodies);
	o->asked = o->rows;
	o->claiming = into;
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
		DB_TEXT(o->stream->text),
		DB_TEXT(o->most),
	};
	begin_claim(o, into, false);
	ask(o, ST_CLAIM, params, true, claimed);
}

void outbox_claim_big(struct outbox *o, struct outbox_chunk *into)
{
	char xid[24], version[24];
	const struct big *b = next_big(o);

	snprintf(xid, sizeof(xid), "%" PRIu64, b->last.xid);
	snprintf(version, sizeof(version), "%" PRId64, b->last.version);
	const struct db_param params[] = { DB_TEXT(xid), DB_TEXT(version), DB_TEXT(o->limit),
					   DB_TEXT(o->stream->text), DB_TEXT(o->most) };

	begin_claim(o, into, true);
	ask(o, ST_CLAIM_BIG, params, true, claimed);
}

/* ---- synchronous standbys ---- */

static void standbys_answered(void *arg, enum db_outcome outcome, const struct pg_result *r,
			      const struct err *err)
{
	struct outbox *o = arg;

	o->asks_standbys = false;
	if (outcome != DB_OK)
		fail(o, "asking how far the standbys are", err);
	else
		o->standbys = db_is_null(r, 0, 0) ? INT64_MAX
						  : strtoll(db_value(r, 0, 0), NULL, 10);
}

bool outbox_is_kept(struct outbox *o, int64_t lsn, struct mono now)
{
	if (o->standbys >= lsn)
		return true;
	if (!o->asks_standbys && mono_reached(o->standbys_at, now)) {
		const struct db_param params[] = { DB_TEXT(o->standbys_for != lsn ? "t" : "f") };

		o->asks_standbys = true;
		o->standbys_for = lsn;
		o->standbys_at = mono_add_ms(now, OUTBOX_STANDBYS_MS);
		ask(o, ST_STANDBYS, params, false, standbys_answered);
	}
	return false;
}

/* ---- heartbeats ---- */

static void beaten(void *arg, enum db_outcome outcome, const struct pg_result *r,
		   const struct err *err)
{
	(void)r;
	if (outcome != DB_OK)
		fail(arg, "recording a heartbeat", err);
}

void outbox_beat(struct outbox *o, bool flush)
{
	const struct db_param params[] = { DB_TEXT(o->stream->text), DB_TEXT(flush ? "t" : "f") };

	ask(o, ST_BEAT, params, false, beaten);
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
		DB_TEXT(o->stream->text),
	};
	o->forgetting++;
	ask(o, ST_FORGET, params, false, forgotten);
}

size_t outbox_forgetting(const struct outbox *o)
{
	return o->forgetting;
}
