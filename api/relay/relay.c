/*
 * relay.c: the thread that publishes recorded changes. It owns the broker's connection, one session
 * with the primary (api/relay/outbox.c) and the messages under way (api/relay/publisher.c).
 *
 *   phase              moves on when
 *   CONNECT_BROKER     connected                                   -> CONNECT_DATABASE
 *   CONNECT_DATABASE   a session with the primary                  -> ASK
 *   ASK                another relay has the lead                  -> WAIT
 *   ASK, WAIT          the lead is ours                            -> DECLARE
 *   DECLARE            the queues of the replicas are declared     -> OWN
 *   OWN                no other primary's relay publishes here     -> PUBLISH
 *   PUBLISH            a queue did not take a message              -> HOLD
 *                      another connection may have the exchange    -> OWN
 *   HOLD               the time is over, and the queues are declared again        -> PUBLISH
 *                      the same, on a new connection to the broker                -> OWN
 *   those with a lead  stop is requested                           -> WIND_UP
 *   the others         stop is requested                           -> END
 *   WIND_UP            all is answered and forgotten, or STOP_MS are over         -> END
 *   any                the session is lost                         -> CONNECT_DATABASE
 *                      the broker is lost                          -> CONNECT_BROKER
 *
 * When the broker is lost the session is closed too: that gives up the lead, and another relay may
 * have a way to the broker when this one has none.
 *
 * Whenever anything fails, everything claimed is dropped and the next sweep begins at the first
 * recorded change. So, if the process dies
 *   between a commit and its claim    the record is there, the next leader finds it
 *   between claim and publish         the same
 *   between publish and confirm       it is published once more: a duplicate, which replicas
 *   between confirm and forget        recognize by its version
 * and at no moment is a change here only.
 *
 * The thread waits for the primary, the broker, relay_wake() and relay_stop() at once, until the
 * next duty. Connecting, and writing to pgfanout.queues (a few seconds at most), are the only calls
 * that block; questions to the broker are asked together and answered while this goes on. The server
 * ends a session that was silent for 10 s, and with it the lead.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "api/relay/relay_private.h"
#include "common/base/clip.h"
#include "common/base/log.h"
#include "common/wire/mark.h"
#include "common/pg/sqlstate.h"

#define CHANGES_MAX   200 /* of a message, unless set */
#define LEAD_EVERY_MS 250
#define SILENCE_MS    15000 /* a queue that answers nothing for so long refuses */
#define CONFIRM_MS    60000 /* a broker that confirms nothing for so long is left */
#define STABLE_MS     10000 /* a connection that lasted so long was a good one */
#define STOP_MS	      3000

const char *relay_state_name(enum relay_state s)
{
	static const char *const names[] = {
		[RELAY_NO_BROKER] = "no broker", [RELAY_NO_DATABASE] = "no database",
		[RELAY_STANDBY] = "standby",	 [RELAY_LEADING] = "leading",
		[RELAY_REFUSED] = "refused",	 [RELAY_STOPPED] = "stopped"
	};

	return names[s];
}

/* ---- status ---- */

/* It does what it should: publishes, or stands by for who does. */
static bool works(const struct relay *r)
{
	return r->phase == RELAY_WAIT || (r->phase == RELAY_PUBLISH && !r->direct);
}

static void show_status(struct relay *r, enum relay_state state)
{
	struct publisher_counts counts;

	publisher_counts(r->publisher, &counts);
	pthread_mutex_lock(&r->lock);
	r->status.state = state;
	if (works(r) && r->status.last_error[0] && r->status.error_over_at_s == 0)
		r->status.error_over_at_s = wall_now_us() / 1000000;
	r->status.broker_blocked = r->link && amqp_blocked(r->link);
	snprintf(r->status.broker, sizeof(r->status.broker), "%s",
		 r->link ? amqp_peer(r->link) : "");
	r->status.in_flight = publisher_changes(r->publisher);
	r->status.messages = counts.messages;
	r->status.confirmed = counts.confirmed;
	r->status.returned = counts.returned;
	r->status.nacked = counts.nacked;
	r->status.too_large = counts.too_large;
	r->status.sweeps = r->sweeps;
	r->status.broker_connections = r->broker_connections;
	r->status.database_connections = r->database_connections;
	pthread_mutex_unlock(&r->lock);
}

void relay_show_error(struct relay *r, const char *what, const char *text)
{
	char line[sizeof(r->status.last_error)];

	snprintf(line, sizeof(line), "%s: %s", what, text);
	pthread_mutex_lock(&r->lock);
	clip_text(r->status.last_error, sizeof(r->status.last_error), line);
	r->status.last_error_at_s = wall_now_us() / 1000000;
	r->status.error_over_at_s = 0;
	pthread_mutex_unlock(&r->lock);
}

/* Says when to try again, and logs the failure unless the same was logged last. */
static struct mono trouble(struct relay *r, struct relay_peer *t, const char *what,
			   const struct err *err)
{
	if (!t->trouble || strcmp(t->text, err->text) != 0)
		log_warn(what, KV_S("error", err->text),
			 KV_S("next", "changes stay recorded; trying again"));
	t->trouble = true;
	snprintf(t->text, sizeof(t->text), "%s", err->text);
	relay_show_error(r, what,
			 sqlstate_outcome(err->sqlstate) == DB_REFUSED ? err_shown(err)
								       : err->text);
	t->at = mono_add_ms(mono_now(), backoff_next_ms(&t->backoff));
	return t->at;
}

/* ---- connections ---- */

void relay_lose_database(struct relay *r, const struct err *err)
{
	outbox_close(r->outbox);
	r->outbox = NULL;
	r->claim = NULL;
	publisher_drop(r->publisher, false);
	heartbeats_drop(r->heartbeats);
	announcer_drop(r->announcer);
	relay_queues_forget(r);
	relay_own_broken(r);
	r->phase = RELAY_CONNECT_DATABASE;
	if (err)
		trouble(r, &r->database, "relay lost the primary", err);
	else
		r->database.at = mono_now();
}

void relay_lose_broker(struct relay *r, const struct err *err)
{
	size_t limit;

	if (publisher_limit_told(err->text, &limit)) {
		log_warn("the broker takes smaller messages than it does by default",
			 KV_I("bytes", (int64_t)limit),
			 KV_S("next", "sending larger rows by their keys"));
		publisher_limit(r->publisher, limit);
	}
	amqp_close(r->link);
	r->link = NULL;
	relay_queues_broken(r);
	relay_own_broken(r);
	if (r->outbox)
		relay_lose_database(r, NULL);
	publisher_drop(r->publisher, true);
	heartbeats_drop(r->heartbeats);
	announcer_drop(r->announcer);
	pace_drop(r->pace);
	r->phase = RELAY_CONNECT_BROKER;
	r->was_blocked = false;
	trouble(r, &r->broker, "relay lost the broker", err);
}

static struct mono connect_broker(struct relay *r, struct mono now)
{
	struct err err;

	if (!mono_reached(r->broker.at, now))
		return r->broker.at;
	r->link = amqp_open(r->opt.rabbitmq_urls, r->opt.application_name, RELAY_BROKER_TIMEOUT_MS,
			    &err);
	if (!r->link)
		return trouble(r, &r->broker, "relay cannot connect to the broker", &err);
	r->phase = RELAY_CONNECT_DATABASE;
	r->broker_connections++;
	r->progress_at = r->connected_at = mono_now();
	/* While a trouble lasts that shows only later (a queue), this is not worth a line. */
	LOG_AT(r->broker.trouble ? LOG_DEBUG : LOG_INFO, "relay connected to the broker",
	       KV_S("broker", amqp_peer(r->link)));
	return now;
}

static struct mono connect_database(struct relay *r, struct mono now)
{
	struct err err;

	if (!mono_reached(r->database.at, now))
		return r->database.at;
	r->heard = atomic_load(&r->opt.primary->changes);
	r->outbox = outbox_open(r->opt.primary, r->opt.application_name, &r->opt.stream,
				RELAY_CHUNK_MAX, &err);
	if (!r->outbox)
		return trouble(r, &r->database, "relay cannot use the primary", &err);
	r->phase = RELAY_ASK;
	r->database_connections++;
	outbox_try_lead(r->outbox);
	r->lead_at = mono_add_ms(mono_now(), LEAD_EVERY_MS);
	return now;
}

/* ASK and WAIT. */
static struct mono ask_for_lead(struct relay *r, struct mono now)
{
	if (outbox_leading(r->outbox)) {
		r->phase = RELAY_DECLARE;
		relay_queues_lead(r);
		return now;
	}
	if (!mono_reached(r->lead_at, now))
		return r->lead_at;
	if (r->phase == RELAY_ASK && !outbox_asking(r->outbox)) {
		r->phase = RELAY_WAIT;
		r->broker.trouble = false;
		r->database.trouble = false;
		backoff_reset(&r->database.backoff);
		log_info("relay stands by: another one leads");
	}
	outbox_try_lead(r->outbox);
	r->lead_at = mono_add_ms(now, LEAD_EVERY_MS);
	return r->lead_at;
}

static struct mono wind_up(struct relay *r, struct mono now)
{
	if (!relay_forget(r))
		return now;
	if (mono_reached(r->stop_at, now) ||
	    (publisher_unanswered(r->publisher) == 0 &&
	     publisher_confirmed_count(r->publisher) == 0 && outbox_forgetting(r->outbox) == 0))
		r->phase = RELAY_END;
	return mono_earlier(r->stop_at, mono_add_ms(now, RELAY_IDLE_MS));
}

/* ---- the loop ---- */

static void on_settled(void *arg, uint64_t publish_no, enum amqp_settled how)
{
	struct relay *r = arg;

	if (!relay_own_settled(r, publish_no, how) &&
	    !announcer_settled(r->announcer, publish_no, how) &&
	    !heartbeats_settled(r->heartbeats, publish_no, how))
		publisher_settled(r->publisher, publish_no, how);
}

static void on_delivery(void *arg, const struct amqp_delivery *d)
{
	struct relay *r = arg;

	if (topology_is_type(&r->opt.stream, d->type, MARK_KIND))
		pace_answer(r->pace, d, mono_now());
	else
		relay_own_delivery(r, d);
}

static size_t unanswered(const struct relay *r)
{
	return publisher_unanswered(r->publisher) + heartbeats_unanswered(r->heartbeats) +
	       announcer_unanswered(r->announcer);
}

/* Whether the server of the session is still the primary, by what was heard since. Its source is known when it leads. */
static bool still_leads(struct relay *r, struct err *err)
{
	if (!outbox_leading(r->outbox))
		return true;
	r->heard = atomic_load(&r->opt.primary->changes);
	return primary_hear(r->opt.primary, outbox_facts(r->outbox).source) ||
	       err_set(err, "another server has become the primary");
}

/* Reads from broker and primary. Both may be lost after it. */
static void service(struct relay *r, struct mono now)
{
	struct err err;

	if (r->link) {
		size_t before = unanswered(r);
		if (!amqp_service(r->link, &r->handler, &err)) {
			relay_lose_broker(r, &err);
			return;
		}
		bool blocked = amqp_blocked(r->link);
		if (blocked && !r->was_blocked)
			log_warn("the broker asks publishers to pause (memory or disk alarm)",
				 KV_S("broker", amqp_peer(r->link)),
				 KV_S("next", "changes stay recorded until it goes on"));
		else if (!blocked && r->was_blocked)
			log_info("the broker goes on", KV_S("broker", amqp_peer(r->link)));
		r->was_blocked = blocked;
		if (before == 0 || unanswered(r) < before || blocked)
			r->progress_at = now;
		if (r->broker.backoff.failures &&
		    mono_reached(mono_add_ms(r->connected_at, STABLE_MS), now))
			backoff_reset(&r->broker.backoff);
		/* In HOLD too, which waits for these answers while nobody gets anything. */
		if (!blocked && (r->phase == RELAY_PUBLISH || r->phase == RELAY_HOLD)) {
			heartbeats_give_up(r->heartbeats, mono_add_ms(now, -SILENCE_MS));
			if (mono_reached(mono_add_ms(r->progress_at, SILENCE_MS), now)) {
				publisher_give_up(r->publisher);
				announcer_give_up(r->announcer);
				r->progress_at = now;
			}
		}
		if (mono_reached(mono_add_ms(r->progress_at, CONFIRM_MS), now)) {
			err_set(&err, "no confirm for %d s", CONFIRM_MS / 1000);
			relay_lose_broker(r, &err);
			return;
		}
	}
	if (r->outbox && !outbox_io(r->outbox, now, &err))
		relay_lose_database(r, &err);
	if (r->outbox && r->heard != atomic_load(&r->opt.primary->changes) && !still_leads(r, &err))
		relay_lose_database(r, &err);
}

static const struct {
	enum relay_state shown;
	struct mono (*turn)(struct relay *r, struct mono now);
} phases[] = {
	[RELAY_CONNECT_BROKER] = { RELAY_NO_BROKER, connect_broker },
	[RELAY_CONNECT_DATABASE] = { RELAY_NO_DATABASE, connect_database },
	[RELAY_ASK] = { RELAY_STANDBY, ask_for_lead },
	[RELAY_WAIT] = { RELAY_STANDBY, ask_for_lead },
	[RELAY_DECLARE] = { RELAY_LEADING, relay_declare },
	[RELAY_OWN] = { RELAY_LEADING, relay_own },
	[RELAY_PUBLISH] = { RELAY_LEADING, relay_publish },
	[RELAY_HOLD] = { RELAY_LEADING, relay_hold },
	[RELAY_WIND_UP] = { RELAY_LEADING, wind_up },
	[RELAY_END] = { RELAY_STOPPED, NULL },
};

/* Does what is due, and returns until when there is nothing more unless something comes. */
static struct mono turn(struct relay *r)
{
	struct mono now = mono_now();

	service(r, now);
	if (atomic_load(&r->stop) && r->phase != RELAY_WIND_UP) {
		r->phase = phases[r->phase].shown == RELAY_LEADING ? RELAY_WIND_UP : RELAY_END;
		r->stop_at = mono_add_ms(now, STOP_MS);
	}
	if (r->phase == RELAY_END)
		return now;
	struct mono due = phases[r->phase].turn(r, now);
	if (!r->link)
		return due;
	if (amqp_pending(r->link))
		return now;
	due = mono_earlier(due, mono_add_ms(now, amqp_service_ms(r->link)));
	return r->outbox ? mono_earlier(due, outbox_deadline(r->outbox)) : due;
}

static void wait_for_events(struct relay *r, struct mono due)
{
	struct mono now = mono_now();
	struct pollfd fds[3] = { { .fd = r->wake_fd, .events = POLLIN },
				 { .fd = -1 },
				 { .fd = -1 } };

	if (r->link)
		fds[1] = (struct pollfd){ .fd = amqp_fd(r->link), .events = POLLIN };
	if (r->outbox)
		fds[2] = (struct pollfd){
			.fd = outbox_fd(r->outbox),
			.events = (short)(POLLIN | (outbox_wants_write(r->outbox) ? POLLOUT : 0))
		};
	due = mono_earlier(due, mono_add_ms(now, RELAY_POLL_MAX_MS));
	int64_t us = mono_reached(due, now) ? 0 : mono_diff_us(due, now);
	struct timespec wait = { .tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000 };
	if (ppoll(fds, ARRAY_SIZE(fds), &wait, NULL) < 0 && errno != EINTR)
		fatal("ppoll: %s", strerror(errno));
	if (fds[0].revents & POLLIN) {
		eventfd_t ignored;
		(void)eventfd_read(r->wake_fd, &ignored);
	}
}

static void *run(void *arg)
{
	struct relay *r = arg;

	log_thread("relay");
	for (;;) {
		struct mono due = turn(r);
		show_status(r, r->refused && r->phase == RELAY_OWN ? RELAY_REFUSED
								   : phases[r->phase].shown);
		if (r->phase == RELAY_END)
			break;
		wait_for_events(r, due);
	}
	outbox_close(r->outbox);
	amqp_close(r->link);
	relay_queues_forget(r);
	return NULL;
}

/* ---- from other threads ---- */

struct relay *relay_start(const struct relay_options *options, struct err *err)
{
	struct relay *r = xcalloc(1, sizeof(*r));
	int rc;

	r->opt = *options;
	if (r->opt.message_max_changes == 0)
		r->opt.message_max_changes = CHANGES_MAX;
	r->forget_at = MONO_NEVER;
	r->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->wake_fd < 0) {
		err_set(err, "eventfd: %s", strerror(errno));
		free(r);
		return NULL;
	}
	pthread_mutex_init(&r->lock, NULL);
	r->publisher = publisher_new(&r->opt.stream, RELAY_CHUNKS, r->opt.message_max_changes);
	r->announcer = announcer_new(&r->opt.stream, r->opt.replicas, r->opt.nreplicas);
	r->heartbeats = heartbeats_new(&r->opt.stream, r->opt.replicas, r->opt.nreplicas,
				       r->opt.heartbeat_ms);
	r->pace = pace_new(&r->opt.stream, r->opt.replicas, r->opt.nreplicas);
	r->asks = amqp_asks_new();
	r->handler = (struct amqp_handler){ .arg = r,
					    .settled = on_settled,
					    .delivery = on_delivery,
					    .cancelled = relay_own_cancelled };
	backoff_init(&r->broker.backoff, 200, 5000);
	backoff_init(&r->database.backoff, 200, 5000);
	backoff_init(&r->hold_backoff, 200, 5000);
	backoff_init(&r->renew_backoff, 1000, 30000);
	backoff_init(&r->own_backoff, 500, 5000);
	rc = pthread_create(&r->thread, NULL, run, r);
	if (rc != 0) {
		err_set(err, "cannot start the relay's thread: %s", strerror(rc));
		publisher_free(r->publisher);
		announcer_free(r->announcer);
		heartbeats_free(r->heartbeats);
		pace_free(r->pace);
		(void)amqp_asks_free(r->asks);
		pthread_mutex_destroy(&r->lock);
		close(r->wake_fd);
		free(r);
		return NULL;
	}
	return r;
}

void relay_wake(struct relay *r)
{
	if (!atomic_exchange(&r->woken, true))
		(void)eventfd_write(r->wake_fd, 1);
}

void relay_status(struct relay *r, struct relay_status *ret)
{
	pthread_mutex_lock(&r->lock);
	*ret = r->status;
	pthread_mutex_unlock(&r->lock);
}

void relay_stop(struct relay *r)
{
	if (!r)
		return;
	atomic_store(&r->stop, true);
	(void)eventfd_write(r->wake_fd, 1);
	pthread_join(r->thread, NULL);
	publisher_free(r->publisher);
	announcer_free(r->announcer);
	heartbeats_free(r->heartbeats);
	pace_free(r->pace);
	(void)amqp_asks_free(r->asks);
	pthread_mutex_destroy(&r->lock);
	close(r->wake_fd);
	free(r);
}
