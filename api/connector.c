/*
 * connector.c: see connector.h. Everything with "thread" in its name or comment runs in the connector's thread.
 *
 * A look is one statement on a connection of the thread's own, with a deadline. Its result is the upstream's state and its
 * flag `fit`; both are told to the log when they change, not when they stay. A link that cannot be opened while the looks are
 * good (no more connections are allowed, a statement cannot be prepared) makes the upstream unfit only if it has no other.
 */
#include "api/connector.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/measures.h"
#include "api/sql/primary_watch.sql.h"
#include "api/sql/replica_watch.sql.h"
#include "api/worker.h"
#include "common/backoff.h"
#include "common/log.h"

#define LOOK_EVERY_MS	 1000
#define BACKOFF_FIRST_MS 100
#define BACKOFF_MOST_MS	 3000
/* A row that somebody else has locked: the batch it is in is redone one by one after this, so that only its own write goes on
 * waiting. */
#define LOCK_TIMEOUT_MS	 500

struct connector {
	struct upstream *up; /* these: immutable after the start */
	const struct settings *settings;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool stopping;	     /* these: under lock */
	struct link *wanted; /* first come first served */
	struct link **wanted_end;

	/* the thread's */
	struct db *watch;
	struct backoff backoff, open_backoff;
	struct mono next_look, next_open;
	bool present;
	bool unopened; /* the last link could not be opened */
};

/* How the planner is kept at index look-ups for every statement here, whatever the tables' statistics say: plans are made once, maybe
 * while the table is empty. */
static const char index_only[] =
	"-c enable_seqscan=off -c enable_bitmapscan=off -c enable_hashjoin=off -c enable_mergejoin=off";

/* ---- state ---- */

static void set_state(struct connector *c, enum upstream_state state, const char *reason)
{
	struct upstream *up = c->up;

	pthread_mutex_lock(&up->lock);
	bool changed = up->state != state;

	if (changed)
		up->since_us = wall_now_us();
	up->state = state;
	snprintf(up->reason, sizeof(up->reason), "%s", reason);
	pthread_mutex_unlock(&up->lock);
	atomic_store(&up->fit,
		     state == UPSTREAM_SERVING || (up->primary && state == UPSTREAM_READ_ONLY));
	metric_set(M_DATABASE_UP, up->index, state == UPSTREAM_SERVING);
	if (!changed)
		return;
	if (state == UPSTREAM_SERVING)
		log_info("database serves", KV_S("database", up->name));
	else
		log_warn(up->primary ? "primary cannot be used as it should: retrying"
				     : "replica gets no reads: looking again",
			 KV_S("database", up->name), KV_S("state", upstream_state_name(state)),
			 KV_S("reason", reason));
}

static bool has_links(const struct upstream *up)
{
	return atomic_load(&up->readers) + atomic_load(&up->writers) > 0;
}

static void set_failed(struct connector *c, const struct err *err)
{
	enum db_outcome outcome = sqlstate_outcome(err->sqlstate);

	if (outcome == DB_SCHEMA) {
		struct err text = *err;

		err_prefix(&text, "run 'pgfanout-migrate up'");
		set_state(c, UPSTREAM_NOT_MIGRATED, text.text);
	} else {
		set_state(c, UPSTREAM_UNREACHABLE, err->text);
	}
}

/* ---- looking ---- */

struct look {
	enum db_outcome outcome;
	bool bad;
	char reason[256];
	struct err err;
};

static void on_look(void *arg, enum db_outcome outcome, const struct pg_result *r,
		    const struct err *err)
{
	struct look *look = arg;

	look->outcome = outcome;
	if (outcome != DB_OK) {
		look->err = *err;
		return;
	}
	look->bad = db_rows(r) != 1 || db_value(r, 0, 0)[0] != 'f';
	snprintf(look->reason, sizeof(look->reason), "%s",
		 db_rows(r) != 1 ? "products_replication is empty" : db_value(r, 0, 1));
}

static const struct db_statement look_replica[] = { { "watch", sql_replica_watch, 0, NULL } };
static const struct db_statement look_primary[] = { { "watch", sql_primary_watch, 0, NULL } };

static void look_failed(struct connector *c, const struct err *err)
{
	c->present = false;
	c->next_look = mono_add_ms(mono_now(), backoff_next_ms(&c->backoff));
	set_failed(c, err);
}

static void look(struct connector *c)
{
	struct upstream *up = c->up;
	struct look look = { .outcome = DB_LOST }; /* err empty */
	int64_t limit_ms = c->settings->read_timeout_ms;

	if (!c->watch) {
		struct db_options opt = { .application_name = "pgfanout-api watch",
					  .statement_timeout_ms = limit_ms };

		c->watch = db_open(up->url, &opt, up->primary ? look_primary : look_replica, 1,
				   &look.err);
		if (!c->watch) {
			look_failed(c, &look.err);
			return;
		}
		pthread_mutex_lock(&up->lock);
		up->server_version = db_server_version(c->watch);
		pthread_mutex_unlock(&up->lock);
	}
	struct mono deadline = mono_add_ms(mono_now(), limit_ms);
	bool sent = db_send(c->watch, 0, NULL, false, deadline, on_look, &look, &look.err);

	if (sent && !db_drain(c->watch, deadline))
		look.outcome = DB_LOST;
	if (!sent || look.outcome != DB_OK) {
		struct err why = look.err; /* closing answers the look with words of its own */

		if (why.text[0] == '\0')
			err_set(&why, "no answer within %lld ms", (long long)limit_ms);
		db_close(c->watch);
		c->watch = NULL;
		look_failed(c, &why);
		return;
	}
	if (!c->present) {
		c->unopened = false;
		c->next_open = mono_now();
		backoff_reset(&c->open_backoff);
	}
	c->present = true;
	backoff_reset(&c->backoff);
	c->next_look = mono_add_ms(mono_now(), LOOK_EVERY_MS);
	if (!look.bad && c->unopened && !has_links(up))
		return; /* as open_link() said */
	if (!look.bad)
		set_state(c, UPSTREAM_SERVING, "");
	else if (up->primary)
		set_state(c, UPSTREAM_READ_ONLY, "it is a standby or set to read-only");
	else
		set_state(c, UPSTREAM_NEEDS_RESET, look.reason);
}

/* ---- opening ---- */

static void open_link(struct connector *c, struct link *l)
{
	bool writes = l->roles & (LINK_WRITE | LINK_BULK);
	struct db_options opt = {
		.application_name = writes ? "pgfanout-api write" : "pgfanout-api read",
		.statement_timeout_ms = writes ? c->settings->request_timeout_ms
					       : c->settings->read_timeout_ms,
		.lock_timeout_ms = writes ? LOCK_TIMEOUT_MS : 0,
		.guc = index_only,
	};
	struct err err = { 0 };
	struct db *db = db_open(l->up->url, &opt, writes ? write_statements : read_statements,
				writes ? WRITE_STATEMENTS : read_statement_count, &err);

	if (db) {
		if (c->unopened)
			c->next_look = mono_now(); /* the state may change */
		c->unopened = false;
		backoff_reset(&c->open_backoff);
		worker_deliver(l, db);
		return;
	}
	if (!has_links(l->up))
		set_failed(c, &err);
	else if (!c->unopened)
		log_warn("a connection cannot be opened, others can be used: trying again",
			 KV_S("database", l->up->name), KV_S("error", err.text));
	c->unopened = true;
	c->next_open = mono_add_ms(mono_now(), backoff_next_ms(&c->open_backoff));
	c->next_look = mono_now(); /* it may be away altogether */
	connector_want(l);
}

static void *connector_main(void *arg)
{
	struct connector *c = arg;

	log_thread(c->up->name);
	pthread_mutex_lock(&c->lock);
	while (!c->stopping) {
		struct mono now = mono_now();

		if (mono_reached(c->next_look, now)) {
			pthread_mutex_unlock(&c->lock);
			look(c);
			pthread_mutex_lock(&c->lock);
		} else if (c->present && c->wanted && mono_reached(c->next_open, now)) {
			struct link *l = c->wanted;

			c->wanted = l->next_wanted;
			if (!c->wanted)
				c->wanted_end = &c->wanted;
			pthread_mutex_unlock(&c->lock);
			open_link(c, l);
			pthread_mutex_lock(&c->lock);
		} else {
			bool open_first = c->present && c->wanted &&
					  c->next_open.us < c->next_look.us;
			int64_t us = open_first ? c->next_open.us : c->next_look.us;
			struct timespec until = { .tv_sec = us / 1000000,
						  .tv_nsec = us % 1000000 * 1000 };

			pthread_cond_timedwait(&c->changed, &c->lock, &until);
		}
	}
	pthread_mutex_unlock(&c->lock);
	db_close(c->watch);
	return NULL;
}

/* ---- from outside ---- */

bool connector_start(struct upstream *up, const struct settings *settings, struct err *err)
{
	struct connector *c = xcalloc(1, sizeof(*c));
	pthread_condattr_t attr;

	c->up = up;
	c->settings = settings;
	c->wanted_end = &c->wanted;
	c->next_look = mono_now();
	c->next_open = c->next_look;
	backoff_init(&c->backoff, BACKOFF_FIRST_MS, BACKOFF_MOST_MS);
	backoff_init(&c->open_backoff, BACKOFF_FIRST_MS, BACKOFF_MOST_MS);
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->changed, &attr);
	pthread_condattr_destroy(&attr);
	up->connector = c;
	int rc = pthread_create(&c->thread, NULL, connector_main, c);

	if (rc != 0) {
		up->connector = NULL;
		free(c);
		return err_set(err, "cannot start the thread that connects to %s: %s", up->name,
			       strerror(rc));
	}
	return true;
}

void connector_want(struct link *l)
{
	struct connector *c = l->up->connector;

	pthread_mutex_lock(&c->lock);
	l->next_wanted = NULL;
	*c->wanted_end = l;
	c->wanted_end = &l->next_wanted;
	pthread_cond_signal(&c->changed);
	pthread_mutex_unlock(&c->lock);
}

void connector_stop(struct upstream *up)
{
	struct connector *c = up->connector;

	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	c->stopping = true;
	pthread_cond_signal(&c->changed);
	pthread_mutex_unlock(&c->lock);
	pthread_join(c->thread, NULL);
	pthread_cond_destroy(&c->changed);
	pthread_mutex_destroy(&c->lock);
	up->connector = NULL;
	free(c);
}
