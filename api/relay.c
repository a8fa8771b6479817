/*
 * relay.c: the thread that publishes recorded changes. It owns the broker's connection, one session with the primary (api/outbox.c) and
 * the messages under way (api/publisher.c).
 *
 *   state        it has                                    moves on when
 *   NO_BROKER    nothing                                   connected, and the queues of all replicas declared -> NO_DATABASE
 *   NO_DATABASE  the broker                                a session with the primary -> STANDBY; broker lost -> NO_BROKER
 *   STANDBY      the broker, a session                     the lead is ours -> LEADING; session lost -> NO_DATABASE;
 *                                                          broker lost -> NO_BROKER, and the session is closed
 *   LEADING      … and the lead                            the same. Closing the session gives up the lead: another relay may
 *                                                          have a way to the broker when this one has none
 *   STOPPED      nothing                                   never
 *
 * LEADING goes round: claim what became visible, publish it, and forget what the broker has confirmed and not returned. Whenever
 * anything fails, everything claimed is dropped and the next sweep begins at the first recorded change. So, if the process dies
 *   between a commit and its claim            the record is there, the next leader finds it
 *   between claim and publish                 the same
 *   between publish and confirm, or confirm   it is published once more: a duplicate, which replicas
 *     and forget                              recognize by its version
 * and at no moment is a change only here.
 *
 * HOLDING, within LEADING: a message was returned (no queue is bound) or nacked (a queue refused it). Nothing new is published; when the
 * answers still awaited have come and the back-off is over, the queues are declared again, and all begins anew.
 *
 * Waiting: for the primary, the broker, relay_wake() and relay_stop() at once, with a deadline computed from the next duty. The
 * connects (a few seconds at most) are the only calls that block; no lead is held meanwhile, or it is lost after 10 s as it should be.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "api/outbox.h"
#include "api/publisher.h"
#include "api/relay.h"
#include "common/amqp.h"
#include "common/backoff.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/topology.h"

#define CHUNKS 8
#define CHUNK_MAX 1000	 /* changes of a claim, and keys of a delete */
#define CHANGES_MAX 200	 /* of a message, unless set */
#define BROKER_TIMEOUT_MS 3000
#define LEAD_EVERY_MS 250
#define DECLARE_ROUND_MS 30000 /* in which every replica's queues are declared once more: someone may have removed a binding */
#define BUSY_MS 1	       /* from one sweep to the next while there is work */
#define GATHER_MS 4	       /* the same when it is much: fewer, larger messages */
#define GATHER_ROWS 16
#define IDLE_MS 100	       /* the longest pause between sweeps */
#define FULL_MS 2	       /* until a full socket is looked at again */
#define CONFIRM_MS 60000       /* a broker that confirms nothing for so long is left */
#define STABLE_MS 10000	       /* a connection that lasted so long was a good one: back-off begins anew */
#define STOP_MS 3000
#define POLL_MAX_MS 2500

struct trouble { /* what was logged last about one of the peers, so that it is logged once */
	bool on;
	char text[512];
};

struct relay {
	/* immutable after start */
	struct relay_options opt;
	pthread_t thread;
	int wake_fd;

	/* any thread */
	atomic_bool woken;
	atomic_bool stop;
	pthread_mutex_t lock;
	struct relay_status status; /* under lock */

	/* the relay's thread */
	struct amqp_link *link;
	struct amqp_handler handler;
	struct outbox *outbox;
	struct publisher *publisher;
	struct outbox_chunk *claim; /* being filled by the outbox */
	struct backoff broker_backoff, database_backoff, hold_backoff;
	struct mono broker_at, database_at, lead_at; /* when to try next */
	struct trouble broker_trouble, database_trouble;
	bool asked;				/* for the lead, in this session */
	bool leading, standing_by, was_blocked; /* as logged */

	struct mono hold_until; /* never: not holding */
	struct mono sweep_at;	/* when the next sweep is due */
	struct mono swept_at;	/* when the last one began */
	int64_t pause_ms, gap_ms;
	size_t sweep_rows;
	struct mono connected_at; /* to the broker */
	struct mono progress_at; /* when the broker last answered anything, or nothing was awaited */
	struct mono declare_at;
	size_t declare_next;
	struct mono stop_at;
	uint64_t sweeps, broker_connections, database_connections;
};

const char *relay_state_name(enum relay_state s)
{
	static const char *const names[] = {[RELAY_NO_BROKER] = "no broker",
					    [RELAY_NO_DATABASE] = "no database",
					    [RELAY_STANDBY] = "standby",
					    [RELAY_LEADING] = "leading",
					    [RELAY_STOPPED] = "stopped"};

	return names[s];
}

/* ---- status ---- */

static enum relay_state state(const struct relay *r)
{
	if (!r->link)
		return RELAY_NO_BROKER;
	if (!r->outbox)
		return RELAY_NO_DATABASE;
	return outbox_leading(r->outbox) ? RELAY_LEADING : RELAY_STANDBY;
}

static void show_status(struct relay *r)
{
	struct publisher_counts counts;

	publisher_counts(r->publisher, &counts);
	pthread_mutex_lock(&r->lock);
	r->status.state = state(r);
	r->status.broker_blocked = r->link && amqp_blocked(r->link);
	snprintf(r->status.broker, sizeof(r->status.broker), "%s", r->link ? amqp_peer(r->link) : "");
	r->status.in_flight = publisher_changes(r->publisher);
	r->status.messages = counts.messages;
	r->status.confirmed = counts.confirmed;
	r->status.returned = counts.returned;
	r->status.nacked = counts.nacked;
	r->status.sweeps = r->sweeps;
	r->status.broker_connections = r->broker_connections;
	r->status.database_connections = r->database_connections;
	pthread_mutex_unlock(&r->lock);
}

static void show_error(struct relay *r, const char *what, const char *text)
{
	pthread_mutex_lock(&r->lock);
	snprintf(r->status.last_error, sizeof(r->status.last_error), "%s: %s", what, text);
	r->status.last_error_at_s = wall_now_us() / 1000000;
	pthread_mutex_unlock(&r->lock);
}

/* Logs a failure unless the same was logged last. */
static void log_trouble(struct relay *r, struct trouble *t, const char *what, const struct err *err)
{
	if (!t->on || strcmp(t->text, err->text) != 0)
		log_warn(what, KV_S("error", err->text), KV_S("next", "changes stay recorded; trying again"));
	t->on = true;
	snprintf(t->text, sizeof(t->text), "%s", err->text);
	show_error(r, what, err->text);
}

/* ---- connections ---- */

static void lose_database(struct relay *r, const struct err *err)
{
	outbox_close(r->outbox);
	r->outbox = NULL;
	r->claim = NULL;
	publisher_drop(r->publisher, false);
	r->hold_until = (struct mono){0};
	r->leading = r->standing_by = r->asked = false;
	if (err) {
		r->database_at = mono_add_ms(mono_now(), backoff_next_ms(&r->database_backoff));
		log_trouble(r, &r->database_trouble, "relay lost the primary", err);
	} else {
		r->database_at = mono_now();
	}
}

static void lose_broker(struct relay *r, const struct err *err)
{
	amqp_close(r->link);
	r->link = NULL;
	if (r->outbox)
		lose_database(r, NULL);
	publisher_drop(r->publisher, true);
	r->was_blocked = false;
	r->broker_at = mono_add_ms(mono_now(), backoff_next_ms(&r->broker_backoff));
	log_trouble(r, &r->broker_trouble, "relay lost the broker", err);
}

static bool declare_all(struct relay *r, struct err *err)
{
	for (size_t i = 0; i < r->opt.nreplicas; i++)
		if (!topology_declare(r->link, r->opt.replicas[i], r->opt.max_attempts, err))
			return false;
	r->declare_at = mono_add_ms(mono_now(), DECLARE_ROUND_MS);
	return true;
}

static void connect_broker(struct relay *r)
{
	struct err err;

	r->link = amqp_open(r->opt.rabbitmq_urls, r->opt.application_name, BROKER_TIMEOUT_MS, &err);
	if (!r->link) {
		r->broker_at = mono_add_ms(mono_now(), backoff_next_ms(&r->broker_backoff));
		log_trouble(r, &r->broker_trouble, "relay cannot connect to the broker", &err);
		return;
	}
	if (!declare_all(r, &err)) {
		lose_broker(r, &err);
		return;
	}
	r->broker_connections++;
	r->progress_at = r->connected_at = mono_now();
	r->broker_trouble.on = false;
	log_info("relay connected to the broker", KV_S("broker", amqp_peer(r->link)));
}

static void connect_database(struct relay *r)
{
	struct err err;

	r->outbox = outbox_open(r->opt.database_url, r->opt.application_name, CHUNK_MAX, &err);
	if (!r->outbox) {
		r->database_at = mono_add_ms(mono_now(), backoff_next_ms(&r->database_backoff));
		log_trouble(r, &r->database_trouble, "relay cannot use the primary", &err);
		return;
	}
	r->database_connections++;
	r->lead_at = mono_now();
}

/* ---- leading ---- */

static void begin_anew(struct relay *r)
{
	publisher_drop(r->publisher, false);
	outbox_restart(r->outbox);
	r->hold_until = (struct mono){0};
	r->sweep_at = mono_now();
	r->pause_ms = r->gap_ms = BUSY_MS;
	r->sweep_rows = 0;
}

static void start_leading(struct relay *r)
{
	r->leading = true;
	r->database_trouble.on = false;
	backoff_reset(&r->database_backoff);
	log_info("relay leads", KV_S("source", outbox_source(r->outbox)));
	begin_anew(r);
}

/* Some queue did not take a message. */
static void hold(struct relay *r, enum amqp_settled how)
{
	const char *text = how == AMQP_RETURNED ? "a message reached no queue: a queue or a binding was removed"
						: "a queue refused a message: is it full, or without enough nodes?";

	if (r->hold_backoff.failures == 0)
		log_warn("relay holds", KV_S("error", text), KV_S("next", "declaring the queues again, then publishing again"));
	show_error(r, "relay holds", text);
	r->hold_until = mono_add_ms(mono_now(), backoff_next_ms(&r->hold_backoff));
}

/* False: the broker was lost. */
static bool end_hold(struct relay *r, struct mono now)
{
	struct err err;

	if (!mono_reached(r->hold_until, now) || publisher_unanswered(r->publisher) || outbox_claiming(r->outbox) ||
	    amqp_blocked(r->link))
		return true;
	if (!declare_all(r, &err)) {
		lose_broker(r, &err);
		return false;
	}
	begin_anew(r);
	return true;
}

static void take_claim(struct relay *r, struct mono now)
{
	struct outbox_chunk *c = r->claim;

	r->claim = NULL;
	r->sweep_rows += c->n;
	if (c->sweep_ends) {
		/* Work: look again soon. No work: look ever less often. Much work: let more of it gather. */
		if (r->sweep_rows == 0)
			r->pause_ms = r->pause_ms * 2 > IDLE_MS ? IDLE_MS : r->pause_ms * 2;
		else
			r->pause_ms = BUSY_MS;
		r->gap_ms = r->sweep_rows >= GATHER_ROWS ? GATHER_MS : BUSY_MS;
		r->sweep_at = mono_add_ms(now, r->pause_ms > r->gap_ms ? r->pause_ms : r->gap_ms);
		r->sweep_rows = 0;
		r->sweeps++;
	}
	if (r->hold_until.us)
		publisher_release(r->publisher, c);
	else
		publisher_add(r->publisher, c);
}

static bool sweep_due(const struct relay *r, struct mono now)
{
	if (outbox_sweeping(r->outbox) || mono_reached(r->sweep_at, now))
		return true;
	return atomic_load(&r->woken) && mono_reached(mono_add_ms(r->swept_at, r->gap_ms), now);
}

static void claim(struct relay *r, struct mono now)
{
	if (r->claim && !outbox_claiming(r->outbox))
		take_claim(r, now);
	if (r->claim || r->hold_until.us || !sweep_due(r, now))
		return;
	r->claim = publisher_chunk(r->publisher);
	if (!r->claim)
		return;
	if (!outbox_sweeping(r->outbox)) {
		/* Before the statement is sent: a commit that is announced from now on needs another sweep. */
		atomic_store(&r->woken, false);
		r->swept_at = now;
	}
	outbox_claim(r->outbox, r->claim);
}

/* Full sets, or what there is when nothing else is under way: single changes are forgotten at once, many in bulk. */
static void forget(struct relay *r)
{
	const struct outbox_key *keys;

	while (publisher_confirmed_count(r->publisher) >= CHUNK_MAX || outbox_forgetting(r->outbox) == 0) {
		size_t n = publisher_confirmed(r->publisher, CHUNK_MAX, &keys);
		if (!n)
			return;
		outbox_forget(r->outbox, keys, n);
	}
}

/* One replica's queues after the other, spread over the round, so that no pause is long. */
static bool declare_some(struct relay *r, struct mono now)
{
	struct err err;

	if (r->opt.nreplicas == 0 || !mono_reached(r->declare_at, now) || amqp_blocked(r->link))
		return true;
	if (r->declare_next >= r->opt.nreplicas)
		r->declare_next = 0;
	if (!topology_declare(r->link, r->opt.replicas[r->declare_next], r->opt.max_attempts, &err)) {
		lose_broker(r, &err);
		return false;
	}
	r->declare_next++;
	r->declare_at = mono_add_ms(mono_now(), DECLARE_ROUND_MS / (int64_t)r->opt.nreplicas);
	return true;
}

/* One turn of a leader. Returns for how long poll() may wait, or -1: broker or session were lost. */
static int lead(struct relay *r, struct mono now)
{
	enum publisher_run ran = PUBLISHER_WAITS;
	enum amqp_settled how;
	struct err err;

	if (!r->leading)
		start_leading(r);
	if (r->hold_until.us == 0 && publisher_refused(r->publisher, &how))
		hold(r, how);
	else if (r->hold_until.us && !end_hold(r, now))
		return -1;
	claim(r, now);
	if (r->hold_until.us == 0)
		ran = publisher_run(r->publisher, r->link, outbox_source(r->outbox), &err);
	if (ran == PUBLISHER_BROKEN) {
		lose_broker(r, &err);
		return -1;
	}
	forget(r);
	if (!declare_some(r, now))
		return -1;

	if (publisher_changes(r->publisher) == 0 && r->hold_until.us == 0 && publisher_confirmed_count(r->publisher) == 0)
		backoff_reset(&r->hold_backoff);
	if (ran == PUBLISHER_MORE)
		return 0;
	if (ran == PUBLISHER_FULL && !amqp_blocked(r->link))
		return FULL_MS;
	if (r->hold_until.us)
		return publisher_unanswered(r->publisher) ? IDLE_MS : mono_until_ms(r->hold_until, now, POLL_MAX_MS);
	if (r->claim || !publisher_has_room(r->publisher)) /* what ends this comes through an fd */
		return POLL_MAX_MS;
	struct mono due = r->sweep_at;
	if (atomic_load(&r->woken) && r->swept_at.us + r->gap_ms * 1000 < due.us)
		due = mono_add_ms(r->swept_at, r->gap_ms);
	return mono_until_ms(due, now, POLL_MAX_MS);
}

/* ---- the loop ---- */

/* Reads from broker and primary. Both may be lost after it. */
static void service(struct relay *r, struct mono now)
{
	struct err err;

	if (r->link) {
		size_t before = publisher_unanswered(r->publisher);
		if (!amqp_service(r->link, &r->handler, &err)) {
			lose_broker(r, &err);
			return;
		}
		bool blocked = amqp_blocked(r->link);
		if (blocked != r->was_blocked)
			log_info(blocked ? "the broker asks publishers to pause (memory or disk alarm); changes stay recorded"
					 : "the broker goes on",
				 KV_S("broker", amqp_peer(r->link)));
		r->was_blocked = blocked;
		if (before == 0 || publisher_unanswered(r->publisher) < before || blocked)
			r->progress_at = now;
		if (r->broker_backoff.failures && mono_reached(mono_add_ms(r->connected_at, STABLE_MS), now))
			backoff_reset(&r->broker_backoff);
		if (mono_reached(mono_add_ms(r->progress_at, CONFIRM_MS), now)) {
			err_set(&err, "no confirm for %d s", CONFIRM_MS / 1000);
			lose_broker(r, &err);
			return;
		}
	}
	if (r->outbox && !outbox_io(r->outbox, now, &err))
		lose_database(r, &err);
}

static int stand_by(struct relay *r, struct mono now)
{
	if (mono_reached(r->lead_at, now)) {
		if (r->asked && !outbox_asking(r->outbox) && !r->standing_by) {
			r->standing_by = true;
			r->database_trouble.on = false;
			backoff_reset(&r->database_backoff);
			log_info("relay stands by: another one leads");
		}
		outbox_try_lead(r->outbox);
		r->asked = true;
		r->lead_at = mono_add_ms(now, LEAD_EVERY_MS);
	}
	return mono_until_ms(r->lead_at, now, POLL_MAX_MS);
}

/* Does what is due, and returns for how long poll() may wait. */
static int turn(struct relay *r)
{
	struct mono now = mono_now();

	if (!r->link && mono_reached(r->broker_at, now)) {
		connect_broker(r);
		now = mono_now();
	}
	if (r->link && !r->outbox && mono_reached(r->database_at, now)) {
		connect_database(r);
		now = mono_now();
	}
	service(r, now);
	if (!r->link)
		return mono_until_ms(r->broker_at, now, POLL_MAX_MS);
	if (!r->outbox)
		return mono_until_ms(r->database_at, now, amqp_service_ms(r->link));
	int wait = outbox_leading(r->outbox) ? lead(r, now) : stand_by(r, now);
	if (wait < 0)
		return 0;
	if (amqp_pending(r->link))
		return 0;
	wait = wait > amqp_service_ms(r->link) ? amqp_service_ms(r->link) : wait;
	return mono_until_ms(outbox_deadline(r->outbox), now, wait);
}

/* The last seconds: answers are taken and confirmed changes forgotten, nothing new begins. True: done. */
static bool wind_up(struct relay *r, int *ret_wait)
{
	struct mono now = mono_now();

	if (r->stop_at.us == 0)
		r->stop_at = mono_add_ms(now, STOP_MS);
	service(r, now);
	if (!r->link || !r->outbox || !outbox_leading(r->outbox) || mono_reached(r->stop_at, now))
		return true;
	forget(r);
	*ret_wait = mono_until_ms(r->stop_at, now, IDLE_MS);
	return publisher_unanswered(r->publisher) == 0 && publisher_confirmed_count(r->publisher) == 0 &&
	       outbox_forgetting(r->outbox) == 0;
}

static void wait_for_events(struct relay *r, int wait_ms)
{
	struct pollfd fds[3] = {{.fd = r->wake_fd, .events = POLLIN}, {.fd = -1}, {.fd = -1}};

	if (r->link)
		fds[1] = (struct pollfd){.fd = amqp_fd(r->link), .events = POLLIN};
	if (r->outbox)
		fds[2] = (struct pollfd){.fd = outbox_fd(r->outbox),
					 .events = (short)(POLLIN | (outbox_wants_write(r->outbox) ? POLLOUT : 0))};
	if (poll(fds, ARRAY_SIZE(fds), wait_ms) < 0 && errno != EINTR)
		fatal("poll: %s", strerror(errno));
	if (fds[0].revents & POLLIN) {
		eventfd_t ignored;
		(void)eventfd_read(r->wake_fd, &ignored);
	}
}

static void *run(void *arg)
{
	struct relay *r = arg;
	int wait = 0;

	log_thread("relay");
	for (;;) {
		if (atomic_load(&r->stop)) {
			if (wind_up(r, &wait))
				break;
		} else {
			wait = turn(r);
		}
		show_status(r);
		wait_for_events(r, wait);
	}
	outbox_close(r->outbox);
	amqp_close(r->link);
	r->outbox = NULL;
	r->link = NULL;
	pthread_mutex_lock(&r->lock);
	r->status.state = RELAY_STOPPED;
	pthread_mutex_unlock(&r->lock);
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
	r->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->wake_fd < 0) {
		err_set(err, "eventfd: %s", strerror(errno));
		free(r);
		return NULL;
	}
	pthread_mutex_init(&r->lock, NULL);
	r->publisher = publisher_new(CHUNKS, r->opt.message_max_changes);
	r->handler = (struct amqp_handler){.arg = r->publisher, .settled = publisher_settled};
	backoff_init(&r->broker_backoff, 200, 5000);
	backoff_init(&r->database_backoff, 200, 5000);
	backoff_init(&r->hold_backoff, 200, 5000);
	rc = pthread_create(&r->thread, NULL, run, r);
	if (rc != 0) {
		err_set(err, "cannot start the relay's thread: %s", strerror(rc));
		publisher_free(r->publisher);
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
	pthread_mutex_destroy(&r->lock);
	close(r->wake_fd);
	free(r);
}
