/*
 * session.c: see session.h. The loop that receives, applies and acknowledges.
 *
 *   received messages collect in the last batch of a list; the first batch is the one being applied
 *
 *   delivery ──▶ [collecting] … [applying] ──▶ commit ──▶ ack
 *                                    └─ failures ──▶ retry.c: publish ──▶ confirm ──▶ ack
 *
 * What the process's death means at each place: before the commit, nothing has happened, and the broker delivers again. Between the
 * commit and the ack, the broker delivers again what is then stale. Between the confirm of a moved change and its ack, the change is
 * in two queues; applying it twice is harmless. Nothing is ever acknowledged before it is committed or confirmed elsewhere.
 *
 * Batches form by themselves: nobody waits for more messages while the replica is idle, and what comes while it is busy becomes
 * the next batch. While the next batch is full the socket is left alone (but for heartbeats), so memory stays bounded.
 */
#include "consumer/session.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/metrics.h"
#include "common/stop.h"
#include "common/topology.h"
#include "consumer/apply.h"
#include "consumer/message.h"
#include "consumer/retry.h"

#define COLLECT_BYTES ((size_t)4 << 20) /* raw messages in a batch; one larger message is a batch of its own */
#define MOVES_BYTES ((size_t)32 << 20)	/* failed changes that wait to be moved */
#define DECLARE_MS 30000
#define COUNT_MS 5000

/* A batch in the list. */
struct slot {
	struct slot *next;
	struct batch batch;
};

struct session {
	const struct settings *settings;
	const char *replica;
	struct status *status;
	struct apply *apply;
	struct retry *retry;

	/* Of the stretch that runs: */
	struct db *db;
	struct amqp_link *link;
	struct session_result *result;
	bool ending;		  /* a reason was found; result says which */
	bool draining;		  /* stop or cancelled: nothing more is received */
	struct mono drain_by;
	struct slot *first, *last;
	bool applying;		  /* `first` is with apply.c */
	struct mono declare_at, count_at;

	struct slot *spare; /* kept for the next use */
};

static void end_with(struct session *s, enum session_end end, const char *sentence, const struct err *err)
{
	if (s->ending)
		return;
	s->ending = true;
	s->result->end = end;
	s->result->sentence = sentence;
	if (err != NULL)
		s->result->err = *err;
}

/* ---- receiving ---- */

static struct slot *slot_push(struct session *s)
{
	struct slot *slot = s->spare;

	if (slot != NULL) {
		s->spare = slot->next;
	} else {
		slot = xcalloc(1, sizeof(*slot));
		batch_init(&slot->batch);
	}
	slot->next = NULL;
	if (s->last != NULL)
		s->last->next = slot;
	else
		s->first = slot;
	s->last = slot;
	return slot;
}

static void slot_pop(struct session *s)
{
	struct slot *slot = s->first;

	s->first = slot->next;
	if (s->first == NULL)
		s->last = NULL;
	batch_reset(&slot->batch);
	slot->next = s->spare;
	s->spare = slot;
}

static bool is_full(const struct session *s, const struct batch *b)
{
	return b->nchanges >= (size_t)s->settings->batch_max_changes || b->bodies.len >= COLLECT_BYTES;
}

/* The batch that deliveries go to, NULL if there is none yet. */
static struct slot *collecting(const struct session *s)
{
	return s->applying && s->first == s->last ? NULL : s->last;
}

static bool may_receive(const struct session *s)
{
	const struct slot *slot = collecting(s);

	return !s->draining && (slot == NULL || !is_full(s, &slot->batch)) && retry_pending_bytes(s->retry) < MOVES_BYTES;
}

static void on_delivery(void *arg, const struct amqp_delivery *d)
{
	struct session *s = arg;
	struct slot *slot = collecting(s);

	if (s->draining)
		return; /* goes back to its queue when the link is closed */
	if (slot == NULL || is_full(s, &slot->batch) || !batch_takes_source(&slot->batch, message_source(d)))
		slot = slot_push(s);
	message_take(&slot->batch, d,
		     strcmp(d->consumer_tag, change_kind_name(CHANGE_DELETE)) == 0 ? CHANGE_DELETE : CHANGE_SYNC);
	if (!may_receive(s))
		amqp_enough(s->link);
}

static void start_draining(struct session *s)
{
	s->draining = true;
	s->drain_by = mono_add_ms(mono_now(), s->settings->drain_timeout_ms);
}

static void on_cancelled(void *arg, const char *consumer_tag)
{
	struct session *s = arg;

	s->result->end = SESSION_CANCELLED;
	s->result->cancelled = true;
	err_set(&s->result->err, "queue products.%s.%s was deleted", consumer_tag, s->replica);
	if (!s->draining)
		start_draining(s);
}

static void receive(struct session *s)
{
	const struct amqp_handler handler = { s, NULL, on_delivery, on_cancelled };
	struct err err = { .text = "" };

	if (!amqp_service(s->link, &handler, &err))
		end_with(s, SESSION_BROKER, "the connection to the broker is lost; trying again", &err);
}

/* ---- applying and acknowledging ---- */

static void ack(struct session *s, uint64_t tag, bool multiple)
{
	struct err err = { .text = "" };

	if (!s->ending && !amqp_ack(s->link, tag, multiple, &err))
		end_with(s, SESSION_BROKER, "the connection to the broker is lost; trying again", &err);
}

/* A moved change is confirmed in its next queue. */
static void on_moved(void *arg, uint64_t tag)
{
	ack(arg, tag, false);
}

/* Everything in b is committed, or a failure. The rule:
 *   1. Without failures, and with no older message waiting for its moves: one ack for all up to the last.
 *   2. Else each message by itself, but those with failures: retry.c says when they may go. */
static void acknowledge(struct session *s, const struct batch *b)
{
	if (b->nfailures == 0 && retry_pending(s->retry) == 0) {
		ack(s, b->messages[b->nmessages - 1].tag, true);
		return;
	}
	AUTO_FREE bool *failed = xcalloc(b->nmessages, sizeof(*failed));
	for (size_t i = 0; i < b->nfailures; i++)
		failed[b->failures[i].message] = true;
	for (size_t i = 0; i < b->nmessages; i++)
		if (!failed[i])
			ack(s, b->messages[i].tag, false);
	retry_take(s->retry, b);
}

static void finish_batch(struct session *s)
{
	const struct batch *b = &s->first->batch;
	const size_t label = s->status->label;
	struct apply_counts counts = apply_finish(s->apply);
	int64_t took_us = mono_diff_us(mono_now(), counts.started);

	/* Committed on the replica: only now outward. */
	acknowledge(s, b);
	s->result->batches++;
	metric_add(METRIC_MESSAGES, label, (int64_t)b->nmessages);
	metric_add(METRIC_BATCHES, label, 1);
	metric_add(METRIC_APPLIED, label, (int64_t)counts.applied);
	metric_add(METRIC_STALE, label, (int64_t)(b->nchanges - counts.refused - counts.applied));
	metric_set(METRIC_LAST_APPLIED, label, wall_now_us() / 1000000);
	if (counts.units > 0)
		metric_observe_us(METRIC_APPLY_TIME, label, took_us);
	log_debug("batch applied", KV_I("messages", (int64_t)b->nmessages), KV_I("changes", (int64_t)b->nchanges),
		  KV_I("applied", (int64_t)counts.applied), KV_I("failed", (int64_t)b->nfailures),
		  KV_I("transactions", (int64_t)counts.units), KV_I("us", took_us));
	s->applying = false;
	slot_pop(s);
}

static void replica_trouble(struct session *s)
{
	const struct apply_trouble *t = apply_trouble(s->apply);

	s->result->outcome = t->outcome;
	end_with(s, t->verdict.action == VERDICT_WAIT_RESET ? SESSION_RESETTING : SESSION_REPLICA, t->verdict.sentence,
		 &t->err);
}

/* Moves batches on as far as possible without waiting. A stop begins no further batch. */
static void work(struct session *s, struct mono now)
{
	while (!s->ending) {
		if (!s->applying) {
			if (s->first == NULL || (s->draining && !s->result->cancelled))
				return;
			s->applying = true;
			apply_start(s->apply, &s->first->batch, now);
		}
		switch (apply_step(s->apply, now)) {
		case APPLY_DONE:
			finish_batch(s);
			break;
		case APPLY_TROUBLE:
			replica_trouble(s);
			return;
		default:
			return;
		}
	}
}

/* ---- duties ---- */

static bool count_queues(struct session *s, struct err *err)
{
	char names[4][TOPOLOGY_NAME_MAX];
	uint32_t n[4] = { 0 };
	bool exists;

	topology_queue(names[0], CHANGE_SYNC, s->replica);
	topology_queue(names[1], CHANGE_DELETE, s->replica);
	topology_retry_queue(names[2], s->replica, 1);
	topology_dead_queue(names[3], s->replica);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (i == 2 && s->settings->max_attempts == 1)
			continue; /* no retries, no queue for them */
		if (!amqp_queue_count(s->link, names[i], &n[i], &exists, err)) {
			if (exists)
				return false;
			s->declare_at = mono_now(); /* somebody deleted it */
		}
	}
	status_set_queues(s->status, n[0], n[1], n[2], n[3]);
	return true;
}

static void duties(struct session *s, struct mono now)
{
	struct err err = { .text = "" };
	bool good = true;

	if (s->draining || s->ending)
		return;
	if (mono_reached(s->count_at, now)) {
		good = count_queues(s, &err);
		s->count_at = mono_add_ms(now, COUNT_MS);
	}
	if (good && mono_reached(s->declare_at, now)) {
		good = topology_declare(s->link, s->replica, (unsigned)s->settings->max_attempts, &err);
		s->declare_at = mono_add_ms(now, DECLARE_MS);
	}
	if (!good)
		end_with(s, SESSION_BROKER, "the connection to the broker is lost; trying again", &err);
}

/* ---- the loop ---- */

static void wait_for_events(struct session *s, bool receiving)
{
	struct mono now = mono_now();
	struct pollfd fds[4] = {
		{ .fd = s->draining ? -1 : stop_fd(), .events = POLLIN },
		{ .fd = receiving ? amqp_fd(s->link) : -1, .events = POLLIN },
		{ .fd = db_fd(s->db), .events = (short)(POLLIN | (db_wants_write(s->db) ? POLLOUT : 0)) },
		{ .fd = retry_fd(s->retry), .events = POLLIN },
	};
	int wait_ms = amqp_service_ms(s->link);

	wait_ms = mono_until_ms(db_next_deadline(s->db), now, wait_ms);
	wait_ms = mono_until_ms(apply_wake(s->apply), now, wait_ms);
	wait_ms = retry_wait_ms(s->retry, now, wait_ms);
	if (s->draining) {
		wait_ms = mono_until_ms(s->drain_by, now, wait_ms);
	} else {
		wait_ms = mono_until_ms(s->declare_at, now, wait_ms);
		wait_ms = mono_until_ms(s->count_at, now, wait_ms);
	}
	if (receiving && amqp_pending(s->link))
		wait_ms = 0;
	if (poll(fds, ARRAY_SIZE(fds), wait_ms) < 0 && errno != EINTR)
		fatal("poll: %s", strerror(errno));
}

/* Nothing that must be finished is left. */
static bool drained(const struct session *s)
{
	bool batches = s->result->cancelled ? s->first != NULL : s->applying;

	return !batches && retry_pending(s->retry) == 0;
}

static void loop(struct session *s)
{
	struct mono serviced = mono_now();

	while (!s->ending) {
		struct mono now = mono_now();
		bool receiving = may_receive(s);

		if (stop_requested() && !s->draining)
			start_draining(s);
		/* With no room for messages only heartbeats are seen to. */
		if (receiving || mono_reached(mono_add_ms(serviced, amqp_service_ms(s->link)), now)) {
			receive(s);
			serviced = now;
		}
		db_io(s->db);
		db_tick(s->db, now);
		work(s, now);
		if (!s->ending && !db_alive(s->db)) {
			struct err err = { .text = "the server closed the idle connection" };
			s->result->outcome = DB_LOST;
			end_with(s, SESSION_REPLICA, verdict_of_unit(DB_LOST, 1, 1).sentence, &err);
		}
		if (!s->ending)
			retry_step(s->retry, now);
		if (s->draining && (drained(s) || mono_reached(s->drain_by, now)))
			end_with(s, s->result->end, NULL, NULL);
		duties(s, now);
		if (!s->ending)
			wait_for_events(s, may_receive(s));
	}
}

void session_run(struct session *s, struct db *db, struct amqp_link *link, struct session_result *ret)
{
	*ret = (struct session_result){ .end = SESSION_STOPPED };
	s->db = db;
	s->link = link;
	s->result = ret;
	s->ending = s->draining = s->applying = false;
	s->declare_at = mono_add_ms(mono_now(), DECLARE_MS);
	s->count_at = mono_now();
	apply_use(s->apply, db);
	loop(s);

	/* No answer may come back later to a batch that is gone. What it commits is delivered again and then stale. */
	if (db_in_flight(db) > 0)
		(void)db_drain(db, mono_add_ms(mono_now(), s->settings->drain_timeout_ms));
	apply_abandon(s->apply);
	retry_forget(s->retry);
	while (s->first != NULL)
		slot_pop(s);
}

bool session_subscribe(struct session *s, struct amqp_link *link, struct err *err)
{
	static const enum change_kind kinds[] = { CHANGE_SYNC, CHANGE_DELETE };
	char queue[TOPOLOGY_NAME_MAX];

	if (!topology_declare(link, s->replica, (unsigned)s->settings->max_attempts, err) ||
	    !amqp_qos(link, (unsigned)s->settings->prefetch, err))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		topology_queue(queue, kinds[i], s->replica);
		if (!amqp_consume(link, queue, change_kind_name(kinds[i]), err))
			return false;
	}
	return true;
}

struct session *session_new(const struct settings *settings, const char *replica, struct status *status)
{
	struct session *s = xcalloc(1, sizeof(*s));

	s->settings = settings;
	s->replica = replica;
	s->status = status;
	s->apply = apply_new(settings);
	s->retry = retry_new(settings, replica, status, on_moved, s);
	return s;
}

struct session *session_free(struct session *s)
{
	if (s == NULL)
		return NULL;
	apply_free(s->apply);
	retry_free(s->retry);
	while (s->spare != NULL) {
		struct slot *slot = s->spare;
		s->spare = slot->next;
		batch_clear(&slot->batch);
		free(slot);
	}
	free(s);
	return NULL;
}
