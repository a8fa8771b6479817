/*
 * connector_look.c: what a connector sees of its database: one look at its state, and what becomes of it. In the
 * connector's thread.
 */
#include "api/pool/connector_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/measures.h"
#include "api/pool/sql/primary_hung.sql.h"
#include "api/pool/sql/primary_outbox.sql.h"
#include "api/pool/sql/primary_standbys.sql.h"
#include "api/pool/sql/primary_watch.sql.h"
#include "api/pool/sql/replica_marks.sql.h"
#include "api/pool/sql/replica_note.sql.h"
#include "api/pool/sql/replica_watch.sql.h"
#include "api/pool/sql/replica_wrong.sql.h"
#include "api/pool/sql/standby_marks.sql.h"
#include "api/pool/sql/standby_watch.sql.h"
#include "common/base/clip.h"
#include "common/base/log.h"
#include "common/json/jscan.h"
#include "common/pg/pgarray.h"

/* The table whose state is the replica's. */
#define WATCH_PRODUCTS 1
#define COUNT_EVERY_MS 3000 /* the outbox */

/* ---- state ---- */

static void set_state(struct connector *c, enum upstream_state state, const char *reason)
{
	struct upstream *up = c->up;

	pthread_mutex_lock(&up->lock);
	bool changed = up->state != state;

	if (changed)
		up->since_us = wall_now_us();
	up->state = state;
	clip_text(up->reason, sizeof(up->reason), reason);
	pthread_mutex_unlock(&up->lock);
	atomic_store(&up->fit,
		     state == UPSTREAM_SERVING || (up->primary && (state == UPSTREAM_READ_ONLY ||
								   state == UPSTREAM_UNCAPTURED)));
	atomic_store(&up->complete, state == UPSTREAM_SERVING || state == UPSTREAM_LAGGING);
	metric_set(M_DATABASE_UP, up->index, state == UPSTREAM_SERVING);
	if (!changed)
		return;
	if (state == UPSTREAM_SERVING)
		log_info("database serves", KV_S("database", up->name));
	else
		log_warn(up->primary ? "the primary cannot be used fully: checking again"
				     : "replica removed from rotation; checking again",
			 KV_S("database", up->name), KV_S("state", upstream_state_name(state)),
			 KV_S("reason", reason));
}

bool connector_has_links(const struct upstream *up)
{
	return atomic_load(&up->readers) + atomic_load(&up->writers) > 0;
}

void connector_set_failed(struct connector *c, const struct err *err)
{
	bool schema = sqlstate_outcome(err->sqlstate) == DB_SCHEMA;
	struct err text = *err;

	if (schema && strcmp(err->sqlstate, SQLSTATE_ENCODING) != 0)
		err_prefix(&text, c->up->standby
					  ? "a standby has what the primary has, so this is none "
					    "of it, or another database there"
					  : "run 'pgfanout-migrate up'");
	set_state(c, schema ? UPSTREAM_NOT_MIGRATED : UPSTREAM_UNREACHABLE, text.text);
}

/* ---- looking ---- */

enum { LOOK_WATCH, LOOK_NOTE, LOOK_WRONG, LOOK_MARKS };
static const struct db_statement look_replica[] = {
	[LOOK_WATCH] = { "watch", sql_replica_watch, 3, NULL },
	[LOOK_NOTE] = { "note", sql_replica_note, 1, NULL },
	[LOOK_WRONG] = { "wrong", sql_replica_wrong, 0, NULL },
	[LOOK_MARKS] = { "marks", sql_replica_marks, 0, NULL },
};
enum { LOOK_OUTBOX = 1, LOOK_STANDBYS, LOOK_HUNG };
static const struct db_statement look_primary[] = {
	[LOOK_WATCH] = { "watch", sql_primary_watch, 0, NULL },
	[LOOK_OUTBOX] = { "outbox", sql_primary_outbox, 0, NULL },
	[LOOK_STANDBYS] = { "standbys", sql_primary_standbys, 0, NULL },
	[LOOK_HUNG] = { "hung", sql_primary_hung, 1, NULL },
};
static const struct db_statement look_standby[] = {
	[LOOK_WATCH] = { "watch", sql_standby_watch, 1, NULL },
};

struct look {
	struct connector *connector;
	unsigned answers; /* good ones */
	struct err err;	  /* of the first bad one */
	bool bad;
	bool note;	  /* what is known of the replica's queues is to be noted on it */
	char reason[512]; /* why it is bad; of the primary: why changes are not all captured */
	int64_t time_us;  /* a replica's newest heartbeat, the primary's clock; 0: there is none */
	struct wrong_set *wrong; /* owned; NULL: none */
	int64_t wrong_seen;
	bool too_many;
	uint64_t flushed;	/* the primary's WAL; 0: not known */
	const char *no_standby; /* why it is none; NULL: it is one */
};

/* Rows of primary_watch.sql: tells the replicas' upstreams what the primary knows of their
 * queues. */
static void take_queues(struct upstreams *all, const struct pg_result *r)
{
	for (size_t i = 0; i + 1 < all->n; i++) {
		struct upstream *up = &all->list[i];
		int row = 0;

		while (row < db_rows(r) && strcmp(db_value(r, row, 1), up->name) != 0)
			row++;
		bool found = row < db_rows(r);

		pthread_mutex_lock(&up->lock);
		free(up->queues);
		up->queues = found ? xstrdup(db_value(r, row, 6)) : NULL;
		snprintf(up->reset_due_at, sizeof(up->reset_due_at), "%s",
			 found ? db_value(r, row, 2) : "");
		/* It goes on to the replica, as a parameter: no character is cut in two. */
		clip_text(up->reset_due_reason, sizeof(up->reset_due_reason),
			  found ? db_value(r, row, 3) : "");
		pthread_mutex_unlock(&up->lock);
	}
}

static void take_streams(const struct upstreams *all, const char *text)
{
	struct jscan_value document, key, name;
	struct jscan_iter it;
	struct err ignored;
	char number[16], buf[64];
	size_t len;

	if (!all->note_stream || !jscan_document(text, strlen(text), &document, &ignored) ||
	    document.type != JSCAN_OBJECT)
		return;
	for (jscan_iter_init(&it, &document); jscan_iter_next(&it, &key, &name);) {
		if (!jscan_string_copy(&key, number, sizeof(number) - 1, &len))
			continue;
		number[len] = '\0';
		if (!jscan_string_copy(&name, buf, sizeof(buf) - 1, &len))
			continue;
		buf[len] = '\0';
		all->note_stream(all->note_arg, (int)strtol(number, NULL, 10), buf);
	}
}

/* Puts a JSON text ("": none) in the place of what was there. True: it is another one. */
static bool take_json(struct upstream *up, char **place, const char *text)
{
	pthread_mutex_lock(&up->lock);
	bool changed = strcmp(*place ? *place : "", text) != 0;

	if (changed) {
		free(*place);
		*place = *text != '\0' ? xstrdup(text) : NULL;
	}
	pthread_mutex_unlock(&up->lock);
	return changed;
}

/* Of tables beside products: reads do not come here, and nobody waits. */
static void take_tables(struct upstream *up, const char *text)
{
	if (!take_json(up, &up->tables, text))
		return;
	if (*text != '\0')
		log_warn("changes of tables are not all captured, or they are not replicated; see "
			 "pgfanout-migrate tables",
			 KV_S("tables", text));
	else
		log_info("changes of all tables are captured again");
}

static bool is_good(struct look *look, enum db_outcome outcome, const struct err *err)
{
	if (outcome == DB_OK)
		look->answers++;
	else if (!look->err.text[0])
		look->err = *err;
	return outcome == DB_OK;
}

static void on_watch(void *arg, enum db_outcome outcome, const struct pg_result *r,
		     const struct err *err)
{
	struct look *look = arg;

	if (!is_good(look, outcome, err))
		return;
	look->bad = db_rows(r) < 1 || db_value(r, 0, 0)[0] != 'f';
	if (look->connector->up->primary) {
		look->time_us = db_rows(r) < 1 ? 0 : strtoll(db_value(r, 0, 4), NULL, 10);
		snprintf(look->reason, sizeof(look->reason), "%s",
			 db_rows(r) < 1 ? "" : db_value(r, 0, 5));
		take_queues(look->connector->all, r);
		if (db_rows(r) > 0)
			take_streams(look->connector->all, db_value(r, 0, 7));
		take_tables(look->connector->up, db_rows(r) < 1 ? "" : db_value(r, 0, 8));
		if (db_rows(r) < 1)
			return;
		if (!primary_hear(look->connector->all->server, db_value(r, 0, 9))) {
			err_set(&look->err,
				"it is the primary no more: another server has been promoted");
			look->answers = 0;
			return;
		}
		look->flushed = strtoull(db_value(r, 0, 10), NULL, 10);
		atomic_store(&look->connector->up->recovers, look->flushed == 0);
		return;
	}
	(void)take_json(look->connector->up, &look->connector->up->streams,
			db_rows(r) == 1 ? db_value(r, 0, 4) : "");
	if (db_rows(r) == 1)
		(void)primary_hear(look->connector->all->server, db_value(r, 0, 5));
	look->note = db_rows(r) == 1 && db_value(r, 0, 2)[0] == 't';
	snprintf(look->reason, sizeof(look->reason), "%s",
		 db_rows(r) != 1 ? "pgfanout.streams is empty" : db_value(r, 0, 1));
	look->time_us = db_rows(r) != 1 ? 0 : strtoll(db_value(r, 0, 3), NULL, 10);
}

static void on_wrong(void *arg, enum db_outcome outcome, const struct pg_result *r,
		     const struct err *err)
{
	struct look *look = arg;

	if (!is_good(look, outcome, err))
		return;
	int n = db_rows(r) - 1; /* behind the first row, which counts */

	if (n >= 0)
		look->wrong_seen = strtoll(db_value(r, 0, 1), NULL, 10);
	if (n <= 0)
		return;
	look->wrong = wrong_set_new((size_t)n);
	for (int i = 0, of_table = 0; i < n; i++) {
		int table = pg_get_int4(db_value(r, i + 1, 0));
		struct wrong_row *row = &look->wrong->rows[i];

		of_table = i > 0 && row[-1].table == table ? of_table + 1 : 1;
		*row = (struct wrong_row){ table, WRONG_ALL };
		if (!db_is_null(r, i + 1, 1) && of_table <= WRONG_MAX)
			row->row = wrong_hash(db_value(r, i + 1, 1),
					      (size_t)db_length(r, i + 1, 1));
		look->too_many = look->too_many ||
				 (table == WATCH_PRODUCTS && of_table > WRONG_MAX);
	}
	wrong_set_sort(look->wrong);
}

const struct db_statement connector_marks[] = {
	{ "marks", sql_replica_marks, 0, NULL },
	{ "marks", sql_standby_marks, 0, NULL },
};

void connector_take_marks(struct upstream *up, const struct pg_result *r)
{
	if (up->standby) {
		if (db_rows(r) == 1)
			atomic_store(&up->replayed, strtoull(db_value(r, 0, 0), NULL, 10));
		return;
	}
	for (int i = 0; i < db_rows(r); i++) {
		uint64_t bit = lag_stream_bit((int)strtol(db_value(r, i, 0), NULL, 10));

		upstream_take_mark(up, bit, strtoull(db_value(r, i, 1), NULL, 10));
	}
}

static void on_marks(void *arg, enum db_outcome outcome, const struct pg_result *r,
		     const struct err *err)
{
	struct look *look = arg;

	if (is_good(look, outcome, err))
		connector_take_marks(look->connector->up, r);
}

static void on_standby(void *arg, enum db_outcome outcome, const struct pg_result *r,
		       const struct err *err)
{
	struct look *look = arg;
	struct upstreams *all = look->connector->all;
	struct upstream *up = look->connector->up;

	if (!is_good(look, outcome, err) || db_rows(r) != 1)
		return;
	const char *source = db_value(r, 0, 1);
	uint64_t replayed = strtoull(db_value(r, 0, 2), NULL, 10);

	if (db_value(r, 0, 0)[0] != 't') {
		look->no_standby = "it takes writes itself: it is no standby, or not any more";
		if (up->may_lead)
			(void)primary_hear(all->server, source);
	} else if (!primary_hear(all->server, source))
		look->no_standby = "it follows a server that is the primary no more";
	else if (atomic_load(&all->server->source) != 0 &&
		 atomic_load(&all->server->source) != source_hash(source))
		look->no_standby = "it is a standby of another primary, or of another database";
	atomic_store(&up->replayed, replayed);
	look->time_us = lag_places_find(&all->places, replayed);
	(void)take_json(up, &up->receiver, db_value(r, 0, 3));
}

static void on_standbys(void *arg, enum db_outcome outcome, const struct pg_result *r,
			const struct err *err)
{
	const struct look *look = arg;
	struct upstream *up = look->connector->up;

	(void)err; /* the next look finds out if the primary has gone */
	(void)take_json(up, &up->standbys,
			outcome == DB_OK && db_rows(r) == 1 ? db_value(r, 0, 0) : "");
}

static void on_note(void *arg, enum db_outcome outcome, const struct pg_result *r,
		    const struct err *err)
{
	const struct look *look = arg;

	(void)r;
	/* Our user may only read there. It counts here all the same, and reset-replicas reads it on
	 * the primary. */
	if (outcome != DB_OK)
		log_debug("what is known of the replica's queues could not be noted there",
			  KV_S("database", look->connector->up->name), KV_S("error", err->text));
}

/* Sends one of the look's statements, to a replica with what is known of its queues, and waits for
 * the answer. False: the connection is lost. */
static bool ask(struct look *look, size_t statement, struct mono deadline, db_callback cb)
{
	struct upstream *up = look->connector->up;
	struct db *watch = look->connector->watch;
	char due_at[sizeof(up->reset_due_at)], reason[sizeof(up->reset_due_reason)];

	pthread_mutex_lock(&up->lock);
	AUTO_FREE char *queues = up->queues ? xstrdup(up->queues) : NULL;
	memcpy(due_at, up->reset_due_at, sizeof(due_at));
	memcpy(reason, up->reset_due_reason, sizeof(reason));
	pthread_mutex_unlock(&up->lock);
	if (!up->primary && statement == LOOK_NOTE && !queues)
		return true; /* of queues that were never declared there is nothing to note */
	const struct db_param watch_params[] = { DB_TEXT(due_at[0] ? due_at : NULL),
						 DB_TEXT(reason), DB_TEXT(queues) };
	const struct db_param note_params[] = { DB_TEXT(queues) };
	char timeout[24];

	snprintf(timeout, sizeof(timeout), "%lld",
		 (long long)look->connector->settings->request_timeout_ms);
	const struct db_param hung_params[] = { DB_TEXT(timeout) };
	const struct db_param standby_params[] = { DB_TEXT(up->may_lead ? "true" : "false") };
	const struct db_param *params = up->primary		 ? hung_params
					: up->standby		 ? standby_params
					: statement == LOOK_NOTE ? note_params
								 : watch_params;

	return db_send(watch, statement, params, !up->primary && statement == LOOK_WRONG, deadline,
		       cb, look, &look->err) &&
	       db_drain(watch, deadline);
}

static void on_outbox(void *arg, enum db_outcome outcome, const struct pg_result *r,
		      const struct err *err)
{
	const struct look *look = arg;

	(void)err; /* the next look finds out if the primary has gone */
	atomic_store(&look->connector->up->outbox, outcome == DB_OK && db_rows(r) == 1
							   ? strtoll(db_value(r, 0, 0), NULL, 10)
							   : -1);
}

static void on_hung(void *arg, enum db_outcome outcome, const struct pg_result *r,
		    const struct err *err)
{
	const struct look *look = arg;

	if (outcome == DB_LOST)
		return; /* the next look asks again */
	if (outcome != DB_OK)
		log_warn(
			"whether writes hang in their commit cannot be asked: opening connections as if none did",
			KV_S("database", look->connector->up->name), KV_S("error", err->text));
	connector_hung(look->connector, r);
}

/* A replica that lacks our tables may be a standby of the primary, which is named otherwise. */
static void explain_standby(const char *url, const struct db_options *opt, struct err *err)
{
	struct err ignored;
	struct pg_result *r = NULL;

	if (sqlstate_outcome(err->sqlstate) != DB_SCHEMA)
		return;
	struct pg_conn *conn = db_connect_raw(url, opt, &ignored);

	if (conn &&
	    db_query(conn, "SELECT pg_is_in_recovery()", 0, NULL, false,
		     mono_add_ms(mono_now(), opt->statement_timeout_ms), &r, &ignored) == DB_OK) {
		if (db_value(r, 0, 0)[0] == 't') {
			err_set(err, "it is a standby: name it STANDBY_n_URL; a replica is a "
				     "server of its own, that takes writes");
			err->sqlstate[0] = '\0';
		}
		db_result_clear(r);
	}
	db_conn_close(conn);
}

static bool open_watch(struct connector *c, struct err *err)
{
	struct upstream *up = c->up;
	struct db_options opt = { .application_name = "pgfanout-api watch",
				  .statement_timeout_ms = c->settings->read_timeout_ms,
				  .guc = CONNECTOR_INDEX_ONLY,
				  .stop_fd = c->stop_fd };

	if (c->watch)
		return true;
	const struct db_statement *statements = up->primary   ? look_primary
						: up->standby ? look_standby
							      : look_replica;
	size_t n = up->primary	 ? ARRAY_SIZE(look_primary)
		   : up->standby ? ARRAY_SIZE(look_standby)
				 : ARRAY_SIZE(look_replica);

	c->watch = up->primary ? primary_open(c->all->server, &opt, statements, n, err)
			       : db_open(up->url, &opt, statements, n, err);
	if (!c->watch) {
		if (!up->primary && !up->standby)
			explain_standby(up->url, &opt, err);
		return false;
	}
	pthread_mutex_lock(&up->lock);
	up->server_version = db_server_version(c->watch);
	pthread_mutex_unlock(&up->lock);
	return true;
}

/* Before the state is set: a replica that begins to serve must not serve what is wrong. */
static void take_wrong(struct upstream *up, const struct look *look)
{
	size_t before = wrong_place_count(&up->wrong);
	size_t n = look->wrong ? look->wrong->n : 0;

	metric_set(M_WRONG_PRODUCTS, up->index,
		   (int64_t)wrong_set_count(look->wrong, WATCH_PRODUCTS));
	metric_set(M_WRONG_ROWS, up->index, (int64_t)n);
	wrong_place_put(&up->wrong, look->wrong);
	atomic_store(&up->wrong_seen, look->wrong_seen);
	if (before == 0 && n > 0)
		log_warn("rows are wrong on this replica, because changes of theirs were given up: "
			 "reading them elsewhere; see pgfanout-consumer dead-letters list",
			 KV_S("database", up->name), KV_I("rows", (int64_t)n));
	else if (before > 0 && n == 0)
		log_info("no row of this replica is known to be wrong any more",
			 KV_S("database", up->name));
}

/* False: it is too far behind; reason says so. */
static bool near_enough(struct connector *c, struct mono now, char *reason, size_t size)
{
	struct upstream *up = c->up;
	int64_t max_ms = c->settings->max_replica_lag_ms;
	int64_t lag_us;

	/* Only this thread sets the state, so reading it needs no lock. */
	if (lag_allows(max_ms, atomic_load(&up->heartbeat_us), lag_clock_now(up->clock, now),
		       up->state == UPSTREAM_LAGGING, mono_diff_us(now, c->started) / 1000))
		return true;
	if (upstream_lag_us(up, &lag_us))
		snprintf(reason, size, "it is %.1f s behind the primary", (double)lag_us / 1e6);
	else if (atomic_load(&up->heartbeat_us) == LAG_NO_HEARTBEAT)
		snprintf(reason, size, "%s, so its lag is not known",
			 up->standby ? "it has passed no place of the primary's WAL that is known"
				     : "no heartbeat has ever come to it");
	else
		snprintf(reason, size,
			 "its heartbeat is ahead of the primary's clock, so its lag is not known");
	return false;
}

/* Which of a replica's streams beside products are too far behind. Before the state is set, as wrong rows are. */
static void take_lagging(struct connector *c, struct mono now)
{
	struct upstream *up = c->up;
	uint64_t before = atomic_load(&up->lagging);
	/* Only this thread replaces the text: to read it needs no lock. */
	uint64_t lagging = lag_streams(up->streams ? up->streams : "[]",
				       c->settings->max_replica_lag_ms,
				       lag_clock_now(up->clock, now), before,
				       mono_diff_us(now, c->started) / 1000);

	atomic_store(&up->lagging, lagging);
	if (lagging != 0 && before == 0)
		log_warn("streams of this replica are too far behind: reading their tables "
			 "elsewhere; see /status",
			 KV_S("database", up->name));
	else if (lagging == 0 && before != 0)
		log_info("no stream of this replica is too far behind any more",
			 KV_S("database", up->name));
}

/* Reads of it are right as ever, but what is written would be missing on the replicas. */
static void set_uncaptured(struct connector *c, const char *why)
{
	struct err text;

	err_set(&text, "products is not as it should be, run 'pgfanout-migrate up': %s", why);
	set_state(c, UPSTREAM_UNCAPTURED, text.text);
}

/* Of a look that was answered. */
static void judge(struct connector *c, struct look *look)
{
	struct upstream *up = c->up;
	struct mono now = mono_now();

	if (!up->primary) {
		atomic_store(&up->heartbeat_us, look->time_us);
		take_wrong(up, look);
		take_lagging(c, now);
	} else if (look->time_us) {
		lag_clock_set(up->clock, now, look->time_us);
		if (look->flushed != 0)
			lag_places_note(&c->all->places, look->flushed, look->time_us);
	}
	if (up->primary)
		atomic_store(&up->uncaptured, look->reason[0] != '\0');
	if (look->no_standby)
		set_state(c, UPSTREAM_NO_STANDBY, look->no_standby);
	else if (look->bad && up->primary)
		set_state(c, UPSTREAM_READ_ONLY,
			  "it is a standby, set to read-only, or fenced (pgfanout.fence())");
	else if (up->primary && look->reason[0])
		set_uncaptured(c, look->reason);
	else if (look->bad)
		set_state(c, UPSTREAM_NEEDS_RESET, look->reason);
	else if (c->state == UNOPENED && !connector_has_links(up))
		return; /* as open_link() said */
	else if (look->too_many)
		set_state(c, UPSTREAM_TOO_WRONG,
			  "more than 10000 of its products are wrong: run reset-replicas");
	else if (!up->primary && !near_enough(c, now, look->reason, sizeof(look->reason)))
		set_state(c, UPSTREAM_LAGGING, look->reason);
	else
		set_state(c, UPSTREAM_SERVING, "");
}

/* False: not all was answered. */
static bool look_at(struct look *look, struct mono deadline)
{
	const struct upstream *up = look->connector->up;

	if (up->primary || up->standby)
		return ask(look, LOOK_WATCH, deadline, up->primary ? on_watch : on_standby) &&
		       look->answers == 1;
	return ask(look, LOOK_WATCH, deadline, on_watch) && look->answers == 1 &&
	       ask(look, LOOK_WRONG, deadline, on_wrong) &&
	       ask(look, LOOK_MARKS, deadline, on_marks) && look->answers == 3;
}

/* What the state does not depend on: the next look finds out if this has cost the connection. */
static void look_further(struct look *look, struct mono deadline)
{
	struct connector *c = look->connector;

	if (look->note)
		(void)ask(look, LOOK_NOTE, deadline, on_note);
	if (!c->up->primary)
		return;
	if (c->all->nstandbys > 0)
		(void)ask(look, LOOK_STANDBYS, deadline, on_standbys);
	connector_asks(c);
	(void)ask(look, LOOK_HUNG, deadline, on_hung);
	if (mono_reached(c->count_at, mono_now())) {
		(void)ask(look, LOOK_OUTBOX, deadline, on_outbox);
		c->count_at = mono_add_ms(mono_now(), COUNT_EVERY_MS);
	}
	if (!look->bad)
		altered_step(c->altered);
}

/* A server that comes back may be another one, which has less. */
static void forget_place(struct upstream *up)
{
	atomic_store(&up->replayed, 0);
	upstream_take_mark(up, UINT64_MAX, 0);
}

void connector_look_now(struct connector *c)
{
	struct look look = { .connector = c };
	int64_t limit_ms = c->settings->read_timeout_ms;
	bool fresh = c->watch == NULL;
	bool open = open_watch(c, &look.err);

	if (open && fresh && c->up->primary)
		connector_hear_others(c);
	struct mono deadline = mono_add_ms(mono_now(), limit_ms);

	if (open && look_at(&look, deadline)) {
		connector_step(c, LOOK_GOOD);
		judge(c, &look);
		look_further(&look, deadline);
		return;
	}
	struct err why = look.err; /* db_close() answers what is in flight with words of its own */

	if (why.text[0] == '\0')
		err_set(&why, "no answer within %lld ms", (long long)limit_ms);
	db_close(c->watch);
	c->watch = NULL;
	c->count_at = (struct mono){ 0 };
	atomic_store(&c->up->outbox, -1);
	forget_place(c->up);
	wrong_set_unref(look.wrong);
	connector_step(c, LOOK_FAILED);
	connector_set_failed(c, &why);
}
