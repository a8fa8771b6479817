/*
 * connector.c: see connector.h. All but the last section runs in the connector's thread.
 *
 * A look is one statement (for a replica three) on a connection of the thread's own, with a deadline.
 * Its result is the upstream's state and its flags `fit` and `complete`. The log tells when the
 * state changes, not when it stays.
 *
 *   state      what it does
 *   WAITING    a replica's first look waits a little for the primary's: the primary knows which
 *              replicas lost changes in the broker (relay_queues.c)
 *   AWAY       the last look failed, or there was none: looks again after a back-off, opens nothing
 *   PRESENT    looks every second, opens what is wanted, one after another
 *   UNOPENED   as PRESENT, but the last link could not be opened (no more connections are allowed,
 *              a statement cannot be prepared): opens after a back-off. The upstream is unfit only
 *              if it has no other link.
 *
 * With each look the primary's connector also has tables that were altered seen to (altered.c). It gives what
 * the primary knows of the replicas' queues to their upstreams.
 * Their own connectors let it count in their looks, and note it on the replica, where the consumer
 * sees it. While the primary does not answer, what was known before counts.
 *
 * SIGTERM does not end this thread: accepted requests may need connections that are being opened.
 * Only connector_stop() does, when the workers have ended.
 */
#include "api/pool/connector_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/log.h"

#define LOOK_EVERY_MS	 1000
#define PRIMARY_FIRST_MS 2000 /* a replica's first look waits so long for the primary's first one */
#define WAIT_EVERY_MS	 20
#define HEAR_MOST_MS	 1000
#define HEAR_EVERY_MS	 5
#define BACKOFF_FIRST_MS 100
#define BACKOFF_MOST_MS	 3000

/* clang-format off */
static const enum connector_state next_state[STATES][NOT_OPENED + 1] = {
	/*	        LOOK_GOOD LOOK_FAILED OPENED   NOT_OPENED */
	[WAITING]  = { PRESENT,  AWAY,       WAITING, WAITING },
	[AWAY]     = { PRESENT,  AWAY,       AWAY,    AWAY },
	[PRESENT]  = { PRESENT,  AWAY,       PRESENT, UNOPENED },
	[UNOPENED] = { UNOPENED, AWAY,       PRESENT, UNOPENED },
};
/* clang-format on */
static const bool opens_links[STATES] = { [PRESENT] = true, [UNOPENED] = true };

/* ---- state ---- */

void connector_step(struct connector *c, enum connector_event event)
{
	enum connector_state old = c->state;
	struct mono now = mono_now();

	c->state = next_state[old][event];
	atomic_store(&c->up->unopened, c->state == UNOPENED);
	switch (event) {
	case LOOK_GOOD:
		backoff_reset(&c->look_backoff);
		c->next_look = mono_add_ms(now, LOOK_EVERY_MS);
		if (opens_links[old])
			break;
		backoff_reset(&c->open_backoff);
		c->next_open = now;
		break;
	case LOOK_FAILED:
		c->next_look = mono_add_ms(now, backoff_next_ms(&c->look_backoff));
		break;
	case OPENED:
		backoff_reset(&c->open_backoff);
		if (old == UNOPENED)
			c->next_look = now; /* the upstream's state may change */
		break;
	case NOT_OPENED:
		c->next_open = mono_add_ms(now, backoff_next_ms(&c->open_backoff));
		c->next_look = now; /* it may be away altogether */
		break;
	}
}

/* ---- opening ---- */

static void open_link(struct connector *c, struct connector_order *o)
{
	struct upstream *up = c->up;
	bool writes = o->kind->writes;
	struct db_options opt = {
		.application_name = writes ? "pgfanout-api write" : "pgfanout-api read",
		.statement_timeout_ms = writes ? connector_statement_ms(c->settings)
					       : c->settings->read_timeout_ms,
		.lock_timeout_ms = writes ? connector_lock_ms(c->settings) : 0,
		/* A read that lacks rows would say that they are not there; a write says which rows it wrote, and
		 * policies are to decide which it may. */
		.guc = writes ? CONNECTOR_INDEX_ONLY " -c row_security=on" : CONNECTOR_INDEX_ONLY,
		.stop_fd = c->stop_fd,
	};
	struct err err = { 0 };

	o->heard = atomic_load(&c->all->server->changes);
	o->db = up->primary
			? primary_open(c->all->server, &opt, o->kind->statements, o->kind->n, &err)
			: db_open(up->url, &opt, o->kind->statements, o->kind->n, &err);
	if (o->db) {
		connector_step(c, OPENED);
		o->deliver(o);
		return;
	}
	if (atomic_load(&up->uncaptured))
		log_debug("a connection cannot be opened while capture is broken",
			  KV_S("database", up->name), KV_S("error", err.text));
	else if (!connector_has_links(up))
		connector_set_failed(c, &err);
	else if (c->state != UNOPENED)
		log_warn("a connection cannot be opened, others can be used: trying again",
			 KV_S("database", up->name), KV_S("error", err.text));
	connector_step(c, NOT_OPENED);
	connector_want(o);
}

/* The first order that waits for no session; NULL: there is none. Under lock, as the next one. */
static struct connector_order *first_wanted(const struct connector *c)
{
	struct connector_order *o = c->wanted;

	while (o && o->after != 0)
		o = o->next;
	return o;
}

static void take_wanted(struct connector *c, const struct connector_order *o)
{
	struct connector_order **at = &c->wanted;

	while (*at != o)
		at = &(*at)->next;
	*at = o->next;
	if (!*at)
		c->wanted_end = at;
}

void connector_asks(struct connector *c)
{
	pthread_mutex_lock(&c->lock);
	for (struct connector_order *o = c->wanted; o; o = o->next)
		o->asked = o->after != 0;
	pthread_mutex_unlock(&c->lock);
}

static bool is_among(const struct pg_result *pids, int pid)
{
	for (int i = 0; pids && i < db_rows(pids); i++)
		if (atoi(db_value(pids, i, 0)) == pid)
			return true;
	return false;
}

void connector_hung(struct connector *c, const struct pg_result *pids)
{
	int hung = pids ? db_rows(pids) : 0;

	pthread_mutex_lock(&c->lock);
	for (struct connector_order *o = c->wanted; o; o = o->next)
		if (o->asked && !is_among(pids, o->after))
			o->after = 0;
	pthread_mutex_unlock(&c->lock);

	int before = atomic_exchange(&c->up->hung, hung);

	if (before == 0 && hung > 0)
		log_warn(
			"writes hang in their commit: it waits for a synchronous standby that does not answer",
			KV_S("database", c->up->name),
			KV_S("next",
			     "further writes are turned away, and no connection is opened in place "
			     "of theirs before they have ended"));
	else if (before > 0 && hung == 0)
		log_info("no write hangs in its commit any more", KV_S("database", c->up->name));
}

/* The replica or standby has been looked at since, or does not answer. */
static bool has_been_heard(struct upstream *up, struct mono since)
{
	pthread_mutex_lock(&up->lock);
	bool away = up->state == UPSTREAM_CONNECTING || up->state == UPSTREAM_UNREACHABLE ||
		    up->state == UPSTREAM_NOT_MIGRATED;

	pthread_mutex_unlock(&up->lock);
	return away || atomic_load(&up->looked_us) >= since.us;
}

void connector_hear_others(struct connector *c)
{
	struct mono begun = mono_now(), until = mono_add_ms(begun, HEAR_MOST_MS);

	for (size_t i = 0; i + 1 < c->all->n; i++)
		connector_look(&c->all->list[i]);
	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i + 1 < c->all->n; i++) {
		while (!c->stopping && !has_been_heard(&c->all->list[i], begun) &&
		       !mono_reached(until, mono_now()))
			mono_cond_wait(&c->changed, &c->lock,
				       mono_add_ms(mono_now(), HEAR_EVERY_MS));
	}
	pthread_mutex_unlock(&c->lock);
}

static bool waits_for_primary(const struct connector *c, struct mono now)
{
	return c->state == WAITING && atomic_load(&upstreams_primary(c->all)->looked_us) == 0 &&
	       !mono_reached(mono_add_ms(c->started, PRIMARY_FIRST_MS), now);
}

static void *connector_main(void *arg)
{
	struct connector *c = arg;

	log_thread(c->up->name);
	pthread_mutex_lock(&c->lock);
	while (!c->stopping) {
		struct mono now = mono_now();
		struct connector_order *o = opens_links[c->state] ? first_wanted(c) : NULL;

		if (c->look_asked && c->state == PRESENT)
			c->next_look = now;
		c->look_asked = false;
		if (mono_reached(c->next_look, now) && waits_for_primary(c, now)) {
			c->next_look = mono_add_ms(now, WAIT_EVERY_MS);
		} else if (mono_reached(c->next_look, now)) {
			pthread_mutex_unlock(&c->lock);
			connector_look_now(c);
			atomic_store(&c->up->looked_us, now.us);
			pthread_mutex_lock(&c->lock);
		} else if (o && mono_reached(c->next_open, now)) {
			take_wanted(c, o);
			pthread_mutex_unlock(&c->lock);
			open_link(c, o);
			pthread_mutex_lock(&c->lock);
		} else {
			struct mono t = o ? mono_earlier(c->next_open, c->next_look) : c->next_look;
			mono_cond_wait(&c->changed, &c->lock, t);
		}
	}
	pthread_mutex_unlock(&c->lock);
	db_close(c->watch);
	c->altered = altered_free(c->altered);
	return NULL;
}

/* ---- from outside ---- */

int64_t connector_lock_ms(const struct api_settings *s)
{
	const int64_t most = 100;

	return s->request_timeout_ms / 4 < most ? s->request_timeout_ms / 4 : most;
}

int64_t connector_statement_ms(const struct api_settings *s)
{
	return s->request_timeout_ms - s->request_timeout_ms / 10;
}

bool connector_start(struct upstreams *all, size_t i, const struct api_settings *settings,
		     struct err *err)
{
	struct connector *c = xcalloc(1, sizeof(*c));
	struct upstream *up = &all->list[i];

	c->up = up;
	c->all = all;
	c->settings = settings;
	c->wanted_end = &c->wanted;
	c->next_look = c->next_open = c->started = mono_now();
	c->state = up->primary ? AWAY : WAITING;
	backoff_init(&c->look_backoff, BACKOFF_FIRST_MS, BACKOFF_MOST_MS);
	backoff_init(&c->open_backoff, BACKOFF_FIRST_MS, BACKOFF_MOST_MS);
	pthread_mutex_init(&c->lock, NULL);
	mono_cond_init(&c->changed);
	c->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->stop_fd < 0)
		fatal("no eventfd could be made: %s", strerror(errno));
	if (up->primary)
		c->altered = altered_new(all->server, c->stop_fd);
	up->connector = c;
	int rc = pthread_create(&c->thread, NULL, connector_main, c);

	if (rc != 0) {
		up->connector = NULL;
		close(c->stop_fd);
		altered_free(c->altered);
		free(c);
		return err_set(err, "cannot start the thread that connects to %s: %s", up->name,
			       strerror(rc));
	}
	return true;
}

void connector_want(struct connector_order *o)
{
	struct connector *c = o->up->connector;

	pthread_mutex_lock(&c->lock);
	o->next = NULL;
	*c->wanted_end = o;
	c->wanted_end = &o->next;
	o->asked = false;
	c->look_asked = c->look_asked || o->after != 0;
	pthread_cond_signal(&c->changed);
	pthread_mutex_unlock(&c->lock);
}

void connector_look(struct upstream *up)
{
	struct connector *c = up->connector;

	pthread_mutex_lock(&c->lock);
	c->look_asked = true;
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
