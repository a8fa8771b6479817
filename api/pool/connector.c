/*
 * connector.c: see connector.h. Everything with "thread" in its name or comment runs in the connector's thread.
 *
 * A look is one statement on a connection of the thread's own, with a deadline. Its result is the upstream's state and its
 * flag `fit`; both are told to the log when they change, not when they stay. A link that cannot be opened while the looks are
 * good (no more connections are allowed, a statement cannot be prepared) makes the upstream unfit only if it has no other.
 *
 * The primary knows which replicas lost changes in the broker (relay_queues.c). Its connector takes that over to the replicas'
 * upstreams; theirs let it count in their own look, and note it on the replica, where the consumer sees it. So at the start a
 * replica's first look waits a little for the primary's; while the primary does not answer, what was known of it counts.
 *
 * A stop of the process does not end this: requests that were accepted may need the connections that are being opened. Only
 * connector_stop(), when the workers are done, does.
 */
#include "api/pool/connector.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "api/measures.h"
#include "api/pool/sql/primary_watch.sql.h"
#include "api/pool/sql/replica_note.sql.h"
#include "api/pool/sql/replica_watch.sql.h"
#include "api/pool/sql/replica_wrong.sql.h"
#include "api/serve/worker.h"
#include "common/base/backoff.h"
#include "common/base/log.h"

#define LOOK_EVERY_MS	 1000
#define PRIMARY_FIRST_MS 2000 /* a replica's first look waits so long for the primary's first one */
#define WAIT_EVERY_MS	 20
#define BACKOFF_FIRST_MS 100
#define BACKOFF_MOST_MS	 3000
/* A row that somebody else has locked: the batch it is in is redone one by one after this, so that only its own write goes on
 * waiting. */
#define LOCK_TIMEOUT_MS	 500

struct connector {
	struct upstream *up; /* these: immutable after the start */
	struct upstreams *all;
	const struct api_settings *settings;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int stop_fd;	     /* an eventfd, readable once stopping */
	bool stopping;	     /* these: under lock */
	struct link *wanted; /* first come first served */
	struct link **wanted_end;

	/* the thread's */
	struct db *watch;
	struct backoff backoff, open_backoff;
	struct mono next_look, next_open;
	struct mono started;
	struct mono primary_until; /* of a replica: waits no longer for the primary's first look */
	bool present;
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
	atomic_store(&up->complete, state == UPSTREAM_SERVING || state == UPSTREAM_LAGGING);
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
	struct connector *connector;
	bool bad;
	bool note; /* what is known of the replica's queues is to be noted on it */
	char reason[256];
	int64_t time_us; /* a replica's newest heartbeat, the primary's clock; 0: there is none */
	struct err err;
};

/* Rows of primary_watch.sql: tells the replicas' upstreams what the primary knows of their queues. */
static void take_queues(struct upstreams *all, const struct pg_result *r)
{
	for (size_t i = 0; i + 1 < all->n; i++) {
		struct upstream *up = &all->list[i];
		int row = 0;

		while (row < db_rows(r) && strcmp(db_value(r, row, 1), up->name) != 0)
			row++;
		bool found = row < db_rows(r);

		pthread_mutex_lock(&up->lock);
		up->queues_declared = found;
		snprintf(up->reset_due_at, sizeof(up->reset_due_at), "%s",
			 found ? db_value(r, row, 2) : "");
		snprintf(up->reset_due_reason, sizeof(up->reset_due_reason), "%s",
			 found ? db_value(r, row, 3) : "");
		pthread_mutex_unlock(&up->lock);
	}
}

static void on_look(void *arg, enum db_outcome outcome, const struct pg_result *r,
		    const struct err *err)
{
	struct look *look = arg;

	look->outcome = outcome;
	if (outcome != DB_OK) {
		look->err = *err;
		return;
	}
	look->bad = db_rows(r) < 1 || db_value(r, 0, 0)[0] != 'f';
	if (look->connector->up->primary) {
		look->time_us = db_rows(r) < 1 ? 0 : strtoll(db_value(r, 0, 4), NULL, 10);
		take_queues(look->connector->all, r);
		return;
	}
	look->note = db_rows(r) == 1 && db_value(r, 0, 2)[0] == 't';
	snprintf(look->reason, sizeof(look->reason), "%s",
		 db_rows(r) != 1 ? "products_replication is empty" : db_value(r, 0, 1));
	look->time_us = db_rows(r) != 1 ? 0 : strtoll(db_value(r, 0, 3), NULL, 10);
}

static void on_note(void *arg, enum db_outcome outcome, const struct pg_result *r,
		    const struct err *err)
{
	const struct connector *c = arg;

	(void)r;
	/* One who may only read there cannot: then it counts here, and reset-replicas reads it on the primary. */
	if (outcome != DB_OK)
		log_debug("what is known of the replica's queues could not be noted there",
			  KV_S("database", c->up->name), KV_S("error", err->text));
}

/* Which products are wrong here. Answered just before or after on_look(), on the same connection. */
struct wrong_look {
	enum db_outcome outcome;
	struct wrong_set *set; /* NULL: none, or too many */
	bool too_many;
	struct err err;
};

static void on_wrong(void *arg, enum db_outcome outcome, const struct pg_result *r,
		     const struct err *err)
{
	struct wrong_look *wrong = arg;

	wrong->outcome = outcome;
	if (outcome != DB_OK) {
		wrong->err = *err;
		return;
	}
	int n = db_rows(r);

	wrong->too_many = n > WRONG_MAX;
	if (n == 0 || wrong->too_many)
		return;
	wrong->set = wrong_set_new((size_t)n);
	for (int i = 0; i < n; i++)
		memcpy(wrong->set->ids[i].b, db_value(r, i, 0), sizeof(wrong->set->ids[i].b));
	wrong_set_sort(wrong->set);
}

/* Before the state: a replica that begins to serve must not serve what is wrong. */
static void take_wrong(struct connector *c, const struct wrong_look *wrong)
{
	struct upstream *up = c->up;
	size_t before = wrong_place_count(&up->wrong);
	size_t n = wrong->set ? wrong->set->n : 0;

	if (wrong->too_many)
		return; /* it serves nothing now, and what was known of it is still true */
	wrong_place_put(&up->wrong, wrong->set);
	metric_set(M_WRONG_PRODUCTS, up->index, (int64_t)n);
	if (before == 0 && n > 0)
		log_warn(
			"products are wrong on this replica, because changes of theirs were given up: "
			"reading them elsewhere; see pgfanout-consumer dead-letters list",
			KV_S("database", up->name), KV_I("products", (int64_t)n));
	else if (before > 0 && n == 0)
		log_info("no product of this replica is known to be wrong any more",
			 KV_S("database", up->name));
}

enum { LOOK_WATCH, LOOK_NOTE, LOOK_WRONG };
static const struct db_statement look_replica[] = {
	[LOOK_WATCH] = { "watch", sql_replica_watch, 2, NULL },
	[LOOK_NOTE] = { "note", sql_replica_note, 2, NULL },
	[LOOK_WRONG] = { "wrong", sql_replica_wrong, 0, NULL },
};
static const struct db_statement look_primary[] = { { "watch", sql_primary_watch, 0, NULL } };

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
	if (replicas_lag_us(up, &lag_us))
		snprintf(reason, size, "it is %.1f s behind the primary", (double)lag_us / 1e6);
	else
		snprintf(reason, size, "no heartbeat has ever come to it, so its lag is not known");
	return false;
}

/* Sends one of a replica's statements and waits for the answer, with what is known of its queues. Of a replica whose queues
 * were never declared there is nothing to note. False: the connection is lost. */
static bool ask(struct connector *c, size_t statement, struct mono deadline, db_callback cb,
		void *arg, struct err *err)
{
	struct upstream *up = c->up;
	char due_at[sizeof(up->reset_due_at)], reason[sizeof(up->reset_due_reason)];

	pthread_mutex_lock(&up->lock);
	bool declared = up->queues_declared;
	memcpy(due_at, up->reset_due_at, sizeof(due_at));
	memcpy(reason, up->reset_due_reason, sizeof(reason));
	pthread_mutex_unlock(&up->lock);
	if (statement == LOOK_NOTE && !declared)
		return true;
	const struct db_param params[] = { DB_TEXT(due_at[0] ? due_at : NULL), DB_TEXT(reason) };

	return db_send(c->watch, statement, up->primary ? NULL : params, false, deadline, cb, arg,
		       err) &&
	       db_drain(c->watch, deadline);
}

static void look_failed(struct connector *c, const struct err *err)
{
	c->present = false;
	c->next_look = mono_add_ms(mono_now(), backoff_next_ms(&c->backoff));
	set_failed(c, err);
}

static void look(struct connector *c)
{
	struct upstream *up = c->up;
	struct look look = { .outcome = DB_LOST, .connector = c }; /* err empty */
	struct wrong_look wrong = { .outcome = up->primary ? DB_OK : DB_LOST };
	int64_t limit_ms = c->settings->read_timeout_ms;

	if (!c->watch) {
		struct db_options opt = { .application_name = "pgfanout-api watch",
					  .statement_timeout_ms = limit_ms,
					  .guc = index_only,
					  .stop_fd = c->stop_fd };

		c->watch = db_open(up->url, &opt, up->primary ? look_primary : look_replica,
				   up->primary ? ARRAY_SIZE(look_primary)
					       : ARRAY_SIZE(look_replica),
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

	if (!ask(c, LOOK_WATCH, deadline, on_look, &look, &look.err) ||
	    (!up->primary &&
	     (!db_send(c->watch, LOOK_WRONG, NULL, true, deadline, on_wrong, &wrong, &wrong.err) ||
	      !db_drain(c->watch, deadline))))
		look.outcome = DB_LOST;
	if (look.outcome != DB_OK || wrong.outcome != DB_OK) {
		/* closing answers the looks with words of its own */
		struct err why = look.err.text[0] ? look.err : wrong.err;

		if (why.text[0] == '\0')
			err_set(&why, "no answer within %lld ms", (long long)limit_ms);
		db_close(c->watch);
		c->watch = NULL;
		wrong_set_unref(wrong.set);
		look_failed(c, &why);
		return;
	}
	if (!c->present) {
		atomic_store(&up->unopened, false);
		c->next_open = mono_now();
		backoff_reset(&c->open_backoff);
	}
	c->present = true;
	backoff_reset(&c->backoff);
	struct mono now = mono_now();

	c->next_look = mono_add_ms(now, LOOK_EVERY_MS);
	if (!up->primary)
		atomic_store(&up->heartbeat_us, look.time_us);
	else if (look.time_us)
		lag_clock_set(up->clock, now, look.time_us);
	if (!up->primary)
		take_wrong(c, &wrong);
	if (!look.bad && atomic_load(&up->unopened) && !has_links(up))
		return; /* as open_link() said */
	if (!look.bad && wrong.too_many)
		set_state(c, UPSTREAM_TOO_WRONG,
			  "more than 10000 of its products are wrong: run reset-replicas");
	else if (!look.bad && !up->primary &&
		 !near_enough(c, now, look.reason, sizeof(look.reason)))
		set_state(c, UPSTREAM_LAGGING, look.reason);
	else if (!look.bad)
		set_state(c, UPSTREAM_SERVING, "");
	else if (up->primary)
		set_state(c, UPSTREAM_READ_ONLY, "it is a standby or set to read-only");
	else
		set_state(c, UPSTREAM_NEEDS_RESET, look.reason);
	/* The next look finds a connection that this has cost. */
	if (look.note)
		(void)ask(c, LOOK_NOTE, deadline, on_note, c, &look.err);
}

/* ---- opening ---- */

static void open_link(struct connector *c, struct link *l)
{
	struct upstream *up = l->up;
	bool writes = l->roles & (LINK_WRITE | LINK_BULK);
	struct db_options opt = {
		.application_name = writes ? "pgfanout-api write" : "pgfanout-api read",
		.statement_timeout_ms = writes ? c->settings->request_timeout_ms
					       : c->settings->read_timeout_ms,
		.lock_timeout_ms = writes ? LOCK_TIMEOUT_MS : 0,
		.guc = index_only,
		.stop_fd = c->stop_fd,
	};
	struct err err = { 0 };
	struct db *db = db_open(up->url, &opt, writes ? write_statements : read_statements,
				writes ? WRITE_STATEMENTS : read_statement_count, &err);

	if (db) {
		if (atomic_load(&up->unopened))
			c->next_look = mono_now(); /* the state may change */
		atomic_store(&up->unopened, false);
		backoff_reset(&c->open_backoff);
		worker_deliver(l, db);
		return;
	}
	if (!has_links(up))
		set_failed(c, &err);
	else if (!atomic_load(&up->unopened))
		log_warn("a connection cannot be opened, others can be used: trying again",
			 KV_S("database", up->name), KV_S("error", err.text));
	atomic_store(&up->unopened, true);
	c->next_open = mono_add_ms(mono_now(), backoff_next_ms(&c->open_backoff));
	c->next_look = mono_now(); /* it may be away altogether */
	connector_want(l);
}

/* For the primary, which may know that this replica has lost changes. */
static bool must_wait(const struct connector *c, struct mono now)
{
	return !c->up->primary && !atomic_load(&upstreams_primary(c->all)->looked) &&
	       !mono_reached(c->primary_until, now);
}

static void *connector_main(void *arg)
{
	struct connector *c = arg;

	log_thread(c->up->name);
	pthread_mutex_lock(&c->lock);
	while (!c->stopping) {
		struct mono now = mono_now();

		if (mono_reached(c->next_look, now) && must_wait(c, now)) {
			c->next_look = mono_add_ms(now, WAIT_EVERY_MS);
		} else if (mono_reached(c->next_look, now)) {
			pthread_mutex_unlock(&c->lock);
			look(c);
			atomic_store(&c->up->looked, true);
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

bool connector_start(struct upstreams *all, size_t i, const struct api_settings *settings,
		     struct err *err)
{
	struct connector *c = xcalloc(1, sizeof(*c));
	struct upstream *up = &all->list[i];
	pthread_condattr_t attr;

	c->up = up;
	c->all = all;
	c->settings = settings;
	c->wanted_end = &c->wanted;
	c->next_look = c->next_open = c->started = mono_now();
	c->primary_until = mono_add_ms(c->started, PRIMARY_FIRST_MS);
	backoff_init(&c->backoff, BACKOFF_FIRST_MS, BACKOFF_MOST_MS);
	backoff_init(&c->open_backoff, BACKOFF_FIRST_MS, BACKOFF_MOST_MS);
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->changed, &attr);
	pthread_condattr_destroy(&attr);
	c->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->stop_fd < 0)
		fatal("no eventfd could be made: %s", strerror(errno));
	up->connector = c;
	int rc = pthread_create(&c->thread, NULL, connector_main, c);

	if (rc != 0) {
		up->connector = NULL;
		close(c->stop_fd);
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
	uint64_t one = 1;

	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	c->stopping = true;
	if (write(c->stop_fd, &one, sizeof(one)) < 0)
		log_warn("cannot wake a connector", KV_S("error", strerror(errno)));
	pthread_cond_signal(&c->changed);
	pthread_mutex_unlock(&c->lock);
	pthread_join(c->thread, NULL);
	close(c->stop_fd);
	pthread_cond_destroy(&c->changed);
	pthread_mutex_destroy(&c->lock);
	up->connector = NULL;
	free(c);
}
