/*
 * relay_lead.c: what the leading relay does in each turn of its loop: claim what became visible,
 * publish it, forget what the broker has confirmed and not returned.
 *
 * While it holds, nothing new is published; answers still awaited are taken, and confirmed changes
 * forgotten. When that is done and the back-off is over, the queues are declared again and
 * everything restarts with a sweep from the first recorded change: nothing that was claimed before
 * needs to be remembered, because whatever is not confirmed is still recorded.
 *
 * Heartbeats measure how far the replicas are behind. A leader records one every heartbeat_ms like
 * a change, finds it in a sweep like a change, and so it waits for all that changes wait for. None
 * is recorded while one is; the first sweep of a lead finds those of earlier leaders.
 */
#include "api/relay/relay_private.h"
#include "common/base/log.h"

#define BUSY_US	    500	 /* from one sweep to the next while there is work */
#define BUSY_FOR_MS 50	 /* work comes so soon after work: the pause grows only then */
#define GATHER_US   4000 /* the same when it is much: fewer, larger messages */
#define GATHER_ROWS 16
#define FORGET_MS   20 /* a confirmed change waits so long at most, for others to join it */
#define IDLE_US	    (RELAY_IDLE_MS * INT64_C(1000))
#define FULL_MS	    2 /* until a full socket is looked at again */

/* All over again, from the first recorded change, in a new term. */
static void restart(struct relay *r, bool new_link)
{
	r->phase = RELAY_PUBLISH;
	publisher_drop(r->publisher, new_link);
	heartbeats_drop(r->heartbeats);
	outbox_restart(r->outbox);
	r->forget_at = MONO_NEVER;
	r->sweep_at = mono_now();
	r->pause_us = r->gap_us = BUSY_US;
	r->sweep_rows = 0;
	r->restart_sweeps = r->sweeps;
	r->beat_sweeps = r->sweeps + 1;
}

/* The queues of all replicas, or one's if it is time. False: the broker or the session was lost. */
static bool keep_queues(struct relay *r, enum relay_queues outcome, const struct err *err)
{
	if (outcome == RELAY_QUEUES_BROKER)
		relay_lose_broker(r, err);
	else if (outcome == RELAY_QUEUES_DATABASE)
		relay_lose_database(r, err);
	return outcome == RELAY_QUEUES_OK;
}

struct mono relay_declare(struct relay *r, struct mono now)
{
	struct err err;

	if (amqp_blocked(r->link)) /* it would not answer */
		return mono_add_ms(now, RELAY_IDLE_MS);
	if (!keep_queues(r, relay_queues_declare(r, &err), &err))
		return now;
	r->broker.trouble = false;
	r->database.trouble = false;
	backoff_reset(&r->database.backoff);
	log_info("relay leads", KV_S("source", outbox_facts(r->outbox).source));
	restart(r, false);
	return now;
}

/* Some queue did not take a message. */
static void hold(struct relay *r, enum amqp_settled how)
{
	const char *text =
		how == AMQP_RETURNED
			? "a message reached no queue: a queue or a binding was removed"
			: "a queue refused a message: is it full, or without enough nodes?";

	if (r->hold_backoff.failures == 0)
		log_warn("relay holds", KV_S("error", text),
			 KV_S("next", "declaring the queues again, then publishing again"));
	relay_show_error(r, "relay holds", text);
	r->phase = RELAY_HOLD;
	r->hold_until = mono_add_ms(mono_now(), backoff_next_ms(&r->hold_backoff));
	r->hold_how = how;
}

/* False: the broker or the session was lost. */
static bool end_hold(struct relay *r, struct mono now)
{
	struct err err;

	if (!mono_reached(r->hold_until, now) || publisher_unanswered(r->publisher) ||
	    outbox_claiming(r->outbox) || amqp_blocked(r->link))
		return true;
	/* RabbitMQ 3.10 may go on refusing on a channel for ever when the reason is gone: ask on a
	 * new one. */
	if (r->hold_how == AMQP_NACKED) {
		amqp_close(r->link);
		r->link = amqp_open(r->opt.rabbitmq_urls, r->opt.application_name,
				    RELAY_BROKER_TIMEOUT_MS, &err);
		r->progress_at = r->connected_at = mono_now();
	}
	if (!r->link) {
		relay_lose_broker(r, &err);
		return false;
	}
	if (!keep_queues(r, relay_queues_declare(r, &err), &err))
		return false;
	restart(r, r->hold_how == AMQP_NACKED);
	return true;
}

static void take_claim(struct relay *r, struct mono now)
{
	struct outbox_chunk *c = r->claim;
	struct outbox_key replaced;

	r->claim = NULL;
	r->sweep_rows += c->n;
	if (c->sweep_ends) {
		/* Work: look again soon. None for a while: look ever less often. Much work: let
		 * more of it gather. */
		if (r->sweep_rows > 0) {
			r->pause_us = BUSY_US;
			r->busy_until = mono_add_ms(now, BUSY_FOR_MS);
		} else if (mono_reached(r->busy_until, now)) {
			r->pause_us = r->pause_us * 2 > IDLE_US ? IDLE_US : r->pause_us * 2;
		}
		r->gap_us = r->sweep_rows >= GATHER_ROWS ? GATHER_US : BUSY_US;
		r->sweep_at = mono_add_us(now, r->pause_us > r->gap_us ? r->pause_us : r->gap_us);
		r->sweep_rows = 0;
		r->sweeps++;
	}
	if (r->phase == RELAY_HOLD) {
		publisher_release(c);
		return;
	}
	publisher_add(r->publisher, c);
	if (heartbeats_take(r->heartbeats, c, r->publisher, &replaced))
		outbox_forget(r->outbox, &replaced, 1, NULL);
}

static bool sweep_due(const struct relay *r, struct mono now)
{
	if (outbox_sweeping(r->outbox) || mono_reached(r->sweep_at, now))
		return true;
	return atomic_load(&r->woken) && mono_reached(mono_add_us(r->swept_at, r->gap_us), now);
}

static void claim(struct relay *r, struct mono now)
{
	if (r->claim && !outbox_claiming(r->outbox))
		take_claim(r, now);
	if (r->claim || r->phase == RELAY_HOLD || !sweep_due(r, now))
		return;
	r->claim = publisher_chunk(r->publisher);
	if (!r->claim)
		return;
	if (!outbox_sweeping(r->outbox)) {
		/* Before the statement is sent: a commit that is announced from now on needs
		 * another sweep. */
		atomic_store(&r->woken, false);
		r->swept_at = now;
	}
	outbox_claim(r->outbox, r->claim);
}

/* ---- heartbeats ---- */

/* Whether no heartbeat is recorded any more, as far as this relay can know. */
static bool may_beat(const struct relay *r)
{
	return r->sweeps >= r->beat_sweeps && !heartbeats_busy(r->heartbeats);
}

static void beat(struct relay *r, struct mono now)
{
	if (!mono_reached(r->beat_at, now) || !may_beat(r))
		return;
	outbox_beat(r->outbox);
	r->beat_at = mono_add_ms(now, r->opt.heartbeat_ms);
	/* The sweep that is under way does not find it, the next one does. */
	r->beat_sweeps = r->sweeps + (r->claim || outbox_sweeping(r->outbox) ? 2 : 1);
	atomic_store(&r->woken, true);
}

/* What the queues have answered to them. */
static void settle_beats(struct relay *r)
{
	struct outbox_key done;
	const char *replica;

	if (heartbeats_done(r->heartbeats, &done))
		outbox_forget(r->outbox, &done, 1, NULL);
	/* A queue is not there: looked at next, out of turn. */
	if (heartbeats_missing(r->heartbeats, &replica)) {
		for (size_t i = 0; i < r->opt.nreplicas; i++)
			if (r->opt.replicas[i] == replica)
				r->look_next = i;
		r->look_at.us = 0;
	}
}

/* Full sets at once; the rest gathers for a while, so that one transaction forgets what many have
 * written. */
static void forget(struct relay *r, struct mono now)
{
	size_t n = publisher_confirmed_count(r->publisher);

	if (n > 0 && mono_is_never(r->forget_at))
		r->forget_at = mono_add_ms(now, FORGET_MS);
	if (n >= RELAY_CHUNK_MAX || (n > 0 && mono_reached(r->forget_at, now)))
		relay_forget(r);
}

void relay_forget(struct relay *r)
{
	const struct outbox_key *keys;

	while (publisher_confirmed_count(r->publisher) >= RELAY_CHUNK_MAX ||
	       outbox_forgetting(r->outbox) == 0) {
		size_t n = publisher_confirmed(r->publisher, RELAY_CHUNK_MAX, &keys);
		if (!n)
			return;
		outbox_forget(r->outbox, keys, n, publisher_confirmed_messages(r->publisher));
		r->forget_at = MONO_NEVER;
	}
}

/* When there is something to do unless something comes through an fd before; never: nothing. */
static struct mono next_duty(const struct relay *r)
{
	struct mono due = MONO_NEVER;

	if (!r->claim && publisher_has_room(r->publisher)) {
		due = r->sweep_at;
		if (atomic_load(&r->woken))
			due = mono_earlier(due, mono_add_us(r->swept_at, r->gap_us));
	}
	if (publisher_confirmed_count(r->publisher) > 0 && outbox_forgetting(r->outbox) == 0)
		due = mono_earlier(due, r->forget_at);
	return may_beat(r) ? mono_earlier(due, r->beat_at) : due;
}

/* Publishes changes and heartbeats. PUBLISHER_BROKEN: the broker was lost. */
static enum publisher_run publish(struct relay *r)
{
	const struct outbox_facts facts = outbox_facts(r->outbox);
	struct err err;
	/* While the term is not known, nothing is claimed, so nothing is published. */
	enum publisher_run ran = publisher_run(r->publisher, r->link, facts.source,
					       facts.terms[0].term, &err),
			   beats = ran;

	if (ran != PUBLISHER_BROKEN)
		beats = heartbeats_run(r->heartbeats, r->publisher, r->link, &facts, &err);
	if (beats == PUBLISHER_BROKEN) {
		relay_lose_broker(r, &err);
		return beats;
	}
	return beats == PUBLISHER_FULL && ran != PUBLISHER_MORE ? beats : ran;
}

struct mono relay_publish(struct relay *r, struct mono now)
{
	enum publisher_run ran;
	enum amqp_settled how;
	struct err err;

	if (publisher_refused(r->publisher, &how)) {
		hold(r, how);
		return now;
	}
	beat(r, now);
	claim(r, now);
	ran = publish(r);
	if (ran == PUBLISHER_BROKEN)
		return now;
	settle_beats(r);
	forget(r, now);
	if (!keep_queues(r, relay_queues_look(r, now, &err), &err))
		return now;

	/* All that was recorded has gone through since. */
	if (r->hold_backoff.failures && r->sweeps > r->restart_sweeps &&
	    publisher_changes(r->publisher) == 0) {
		backoff_reset(&r->hold_backoff);
		log_info("relay goes on: the queues take messages again");
	}
	if (ran == PUBLISHER_MORE)
		return now;
	if (ran == PUBLISHER_FULL && !amqp_blocked(r->link))
		return mono_add_ms(now, FULL_MS);
	return next_duty(r);
}

struct mono relay_hold(struct relay *r, struct mono now)
{
	struct err err;

	claim(r, now);
	settle_beats(r);
	relay_forget(r); /* at once: what is not forgotten when this ends is published again */
	if (!keep_queues(r, relay_queues_look(r, now, &err), &err) || !end_hold(r, now) ||
	    r->phase == RELAY_PUBLISH)
		return now;
	/* The time is over, but it cannot end yet: what ends it comes through an fd. */
	return publisher_unanswered(r->publisher) || mono_reached(r->hold_until, now)
		       ? mono_add_ms(now, RELAY_IDLE_MS)
		       : r->hold_until;
}
