/*
 * relay_lead.c: what the leading relay does in each turn of its loop: claim what became visible,
 * publish it, forget what the broker has confirmed and not returned.
 *
 * While it holds, nothing new is published; answers still awaited are taken, and confirmed changes
 * forgotten. When that is done and the time is over, the queues are declared again, perhaps on a new
 * connection, and everything restarts with a sweep from the first recorded change: nothing that was
 * claimed before needs to be remembered, because whatever is not confirmed is still recorded.
 *
 * Chunks of big transactions, which outbox.c has put aside, are claimed in turn with the chunks of
 * sweeps, unless pace.c holds them back. Nothing ever holds back a sweep for their sake.
 *
 * One queue that refuses messages must not hold up the others. From the first refusal on messages go
 * directly as well, by name to each replica's queue (publisher.c), until the exchange has refused
 * nothing for CALM_MS. What happens when a message is refused:
 *   1. Not directly yet: publish again, directly.
 *   2. A replica's queue has refused for PATIENCE_MS, or is silent: publish again without waiting for
 *      it. From now on the replica is left out of what its queue does not take.
 *   3. A replica's queue refuses for less than that; it may be electing a leader: hold for AGAIN_MS.
 *   4. No queue at all took it: hold, with a back-off.
 * So a subscriber's full queue costs the replicas nothing. That a replica was left out is committed
 * before the change is forgotten; if the process dies before, the change is published once more. All
 * of this is in memory: a new leader begins with the exchange alone.
 *
 * RabbitMQ 3.10 may go on refusing on a channel when the reason is gone. So what has refused is
 * asked again on a new connection: at the end of a hold, and every renew_backoff while the exchange
 * takes nothing of a kind. But never while a queue is silent: on a new channel the broker may answer
 * nobody before that queue does.
 *
 * With synchronous standbys nothing is published that they do not have: it would be lost with the primary, and replicas
 * would have what never was. A chunk waits as long before it is taken, and what it brings with it.
 *
 * Heartbeats measure how far the replicas are behind. A leader records one every heartbeat_ms like
 * a change, finds it in a sweep like a change, and so it waits for all that changes wait for. None
 * is recorded while one is; the first sweep of a lead finds those of earlier leaders.
 *
 * They also tell how far the replicas are in the primary's WAL, which somebody may be waiting for who
 * has just written. So one follows after MARK_MS already if the last sweeps have found changes, or
 * have seen that versions were given out, to whichever stream: who writes one table reads another. A
 * heartbeat is no change and takes no version, so none makes the next one due.
 */
#include <string.h>

#include "api/relay/relay_private.h"
#include "common/base/log.h"

#define FORGET_MS     20   /* a confirmed change waits so long at most, for others to join it */
#define MARK_MS	      30   /* a heartbeat comes so soon after the last one if there is news */
#define PATIENCE_MS   4000 /* a replica's queue may refuse for so long before it is left out */
#define AGAIN_MS      200
#define CALM_MS	      10000
#define RENEW_MS      1000
#define KEPT_MS	      3000  /* standbys may take so long before that is logged, */
#define KEPT_AGAIN_MS 60000 /* and again after that */
#define FULL_MS	      2	    /* until a full socket is looked at again */

/* All over again, from the first recorded change, in a new term. */
static void restart(struct relay *r, bool new_link)
{
	r->phase = RELAY_PUBLISH;
	publisher_drop(r->publisher, new_link);
	heartbeats_drop(r->heartbeats);
	announcer_drop(r->announcer);
	outbox_restart(r->outbox);
	r->forget_at = MONO_NEVER;
	r->sweep_at = mono_now();
	gather_begin(&r->gather, r->sweep_at);
	r->sweep_rows = 0;
	r->through_marked = false;
	r->restart_sweeps = r->sweeps;
	r->beat_sweeps = r->sweeps + 1;
}

/* False: the broker or the session was lost. */
static bool keep_queues(struct relay *r, struct mono now)
{
	struct err err;
	enum relay_queues outcome = relay_queues_turn(r, now, &err);

	if (outcome == RELAY_QUEUES_BROKER)
		relay_lose_broker(r, &err);
	else if (outcome == RELAY_QUEUES_DATABASE)
		relay_lose_database(r, &err);
	return outcome == RELAY_QUEUES_OK;
}

struct mono relay_declare(struct relay *r, struct mono now)
{
	if (amqp_blocked(r->link)) /* it would not answer */
		return mono_add_ms(now, RELAY_IDLE_MS);
	if (!keep_queues(r, now))
		return now;
	if (!relay_queues_ready(r)) /* an answer wakes us */
		return mono_add_ms(now, RELAY_IDLE_MS);
	r->phase = RELAY_OWN;
	return now;
}

void relay_begin(struct relay *r)
{
	if (r->leads) { /* it has paused only */
		r->phase = RELAY_PUBLISH;
		return;
	}
	r->leads = true;
	r->claim = NULL; /* of a lead that was refused meanwhile */
	r->kept_by = MONO_NEVER;
	r->direct = r->refusing = false;
	backoff_reset(&r->hold_backoff);
	r->broker.trouble = false;
	r->database.trouble = false;
	backoff_reset(&r->database.backoff);
	log_info("relay leads", KV_S("source", outbox_facts(r->outbox).source));
	restart(r, false);
}

/* ---- refused messages ---- */

static void hold(struct relay *r, struct mono until, bool renews)
{
	r->phase = RELAY_HOLD;
	r->hold_step = RELAY_HOLD_WAIT;
	r->hold_until = until;
	r->hold_renews = renews;
}

/* No replica's queue refuses. */
static void forgive(struct relay *r)
{
	for (size_t i = 0; i < REPLICAS_MAX; i++)
		r->refused_since[i] = MONO_NEVER;
}

/* The exchange has not taken a message. */
static void go_direct(struct relay *r, struct mono now, const char *why)
{
	log_warn("the exchange does not take messages", KV_S("error", why),
		 KV_S("next", "publishing to each replica's queues as well; a subscriber whose "
			      "queue refuses loses its copy"));
	relay_show_error(r, "the exchange does not take messages", why);
	r->direct = true;
	r->calm_at = mono_add_ms(now, CALM_MS);
	r->renew_at = mono_add_ms(now, RENEW_MS);
	publisher_counts(r->publisher, &r->calm_from);
	r->renew_from = r->calm_from;
	backoff_reset(&r->renew_backoff);
	r->may_miss = 0;
	forgive(r);
	memset(r->left_out, 0, sizeof(r->left_out));
}

static void end_direct(struct relay *r)
{
	publisher_end_direct(r->publisher);
	r->direct = false;
	relay_queues_forget(r);
	log_info("relay goes on: the exchange takes messages again");
}

/* Rules 2 and 3: *ret_new: some replica may be left out from now on. Returns whether another one is
 * waited for. */
static bool judge_refusers(struct relay *r, struct mono now, bool *ret_new)
{
	uint64_t by = publisher_refused_by(r->publisher) & ~r->may_miss, silent;
	bool waits = false;

	(void)publisher_silent(r->publisher, &silent);
	*ret_new = false;
	for (size_t i = 0; i < r->opt.nreplicas; i++) {
		uint64_t bit = (uint64_t)1 << i;

		if (!(by & bit))
			continue;
		if (mono_is_never(r->refused_since[i])) {
			r->refused_since[i] = now;
			log_warn("a replica's queue does not take changes",
				 KV_S("replica", r->opt.replicas[i]),
				 KV_S("next", "asking again, before the others go on without it"));
		}
		if (silent & bit ||
		    mono_reached(mono_add_ms(r->refused_since[i], PATIENCE_MS), now)) {
			r->may_miss |= bit;
			*ret_new = true;
		} else {
			waits = true;
		}
	}
	return waits;
}

static void on_refused(struct relay *r, enum amqp_settled how, struct mono now)
{
	static const char *const texts[] = {
		"a queue refused a message: is it full, or without enough nodes?",
		"a message reached no queue: a queue or a binding was removed"
	};
	const char *why = texts[how == AMQP_RETURNED];
	bool renews = how == AMQP_NACKED, waits, is_new;

	r->refusing = true;
	if (!r->direct) {
		go_direct(r, now, why);
		hold(r, now, false);
		return;
	}
	waits = judge_refusers(r, now, &is_new);
	if (is_new || waits) {
		hold(r, is_new ? now : mono_add_ms(now, AGAIN_MS), renews);
		return;
	}
	if (r->hold_backoff.failures == 0)
		log_warn("relay holds", KV_S("error", why),
			 KV_S("next", "declaring the queues again, then publishing again"));
	relay_show_error(r, "relay holds", why);
	hold(r, mono_add_ms(now, backoff_next_ms(&r->hold_backoff)), renews);
}

/* Whether all that was recorded at the restart has gone through. */
static void end_refusing(struct relay *r)
{
	if (r->sweeps <= r->restart_sweeps || outbox_has_big(r->outbox))
		return;
	if (!r->through_marked) {
		r->through_marked = true;
		r->through_mark = publisher_mark(r->publisher);
	}
	if (!publisher_passed(r->publisher, r->through_mark))
		return;
	r->refusing = false;
	forgive(r);
	backoff_reset(&r->hold_backoff);
}

/* False: the broker was lost. */
static bool renew_link(struct relay *r)
{
	struct err err;

	amqp_close(r->link);
	relay_queues_broken(r);
	r->owns = false;
	r->reply_queue[0] = '\0';
	r->own = RELAY_OWN_NOTHING;
	pace_drop(r->pace);
	r->link = amqp_open(r->opt.rabbitmq_urls, r->opt.application_name, RELAY_BROKER_TIMEOUT_MS,
			    &err);
	r->progress_at = r->connected_at = mono_now();
	if (!r->link)
		relay_lose_broker(r, &err);
	return r->link != NULL;
}

/* False: the broker or the session was lost. */
static bool end_hold(struct relay *r, struct mono now)
{
	if (!mono_reached(r->hold_until, now) || publisher_unanswered(r->publisher) ||
	    outbox_claiming(r->outbox) || amqp_blocked(r->link))
		return true;
	if (r->hold_step == RELAY_HOLD_WAIT) {
		r->hold_renews = r->hold_renews && !publisher_silent(r->publisher, NULL);
		if (r->hold_renews && !renew_link(r))
			return false;
		relay_queues_want(r);
		r->hold_step = RELAY_HOLD_DECLARE;
	}
	if (!keep_queues(r, now))
		return false;
	if (!relay_queues_ready(r))
		return true;
	restart(r, r->hold_renews);
	if (r->direct)
		publisher_go_direct(r->publisher, r->opt.replicas, r->opt.nreplicas, r->may_miss);
	if (!r->owns)
		r->phase = RELAY_OWN;
	return true;
}

/* Since then: *ret_refused: the exchange has refused messages. *ret_stuck: it has taken none of their
 * kind. Returns whether it has taken any. */
static bool compare(const struct publisher_counts *since, const struct publisher_counts *now,
		    bool *ret_refused, bool *ret_stuck)
{
	bool took = false;

	*ret_refused = *ret_stuck = false;
	for (size_t kind = 0; kind < ARRAY_SIZE(now->direct_taken); kind++) {
		bool took_it = now->direct_taken[kind] != since->direct_taken[kind];
		bool refused = now->direct_refused[kind] != since->direct_refused[kind];

		took = took || took_it;
		*ret_refused = *ret_refused || refused;
		*ret_stuck = *ret_stuck || (refused && !took_it);
	}
	return took;
}

/* Directly: what the exchange says. */
static void watch_exchange(struct relay *r, struct mono now)
{
	struct publisher_counts counts;
	bool refused, stuck;

	publisher_counts(r->publisher, &counts);
	bool took = compare(&r->calm_from, &counts, &refused, &stuck);

	if (refused) {
		r->calm_from = counts;
		r->calm_at = mono_add_ms(now, CALM_MS);
	} else if (took && mono_reached(r->calm_at, now)) {
		end_direct(r);
		return;
	}
	if (!mono_reached(r->renew_at, now))
		return;
	if (publisher_unanswered(r->publisher) > 0 || publisher_silent(r->publisher, NULL)) {
		r->renew_at = mono_add_ms(now, RELAY_IDLE_MS);
		return;
	}
	(void)compare(&r->renew_from, &counts, &refused, &stuck);
	r->renew_from = counts;
	r->renew_at = mono_add_ms(now, RENEW_MS);
	if (stuck) {
		r->renew_at = mono_add_ms(now, backoff_next_ms(&r->renew_backoff));
		hold(r, now, true);
	}
}

/* ---- those who were left out ---- */

/* Before what was confirmed is forgotten. False: the session was lost. */
static bool mark_left_out(struct relay *r)
{
	enum amqp_settled how;
	struct err err;

	for (size_t i = 0; i < r->opt.nreplicas; i++) {
		if (!publisher_left_out(r->publisher, i, &how))
			continue;
		const char *reason =
			how == AMQP_RETURNED
				? "a change was published while a queue of it was missing"
				: "a queue of it refused changes that others took";
		if (!relay_queues_mark(r, i, reason, &err)) {
			relay_lose_database(r, &err);
			return false;
		}
		if (how == AMQP_RETURNED)
			relay_queues_want(r);
		if (!r->left_out[i])
			log_error(
				"a replica's queue does not take changes: the replica needs a reset",
				KV_S("replica", r->opt.replicas[i]), KV_S("reason", reason),
				KV_S("next", "publishing to the others"));
		r->left_out[i] = true;
		relay_show_error(r, r->opt.replicas[i], reason);
	}
	return true;
}

static void take_claim(struct relay *r, struct mono now)
{
	struct outbox_chunk *c = r->claim;
	struct outbox_key replaced;

	r->claim = NULL;
	if (!c->big)
		r->sweep_rows += c->n;
	if (c->sweep_ends) {
		const struct gather *g = &r->gather;
		gather_swept(&r->gather, r->sweep_rows, now);
		r->sweep_at = mono_add_us(now, g->pause_us > g->gap_us ? g->pause_us : g->gap_us);
		r->sweep_rows = 0;
		r->sweeps++;
	}
	if (c->n > 0 || outbox_facts(r->outbox).newest != r->news_newest) {
		r->news = true;
		r->news_newest = outbox_facts(r->outbox).newest;
		r->news_at = now;
	}
	if (r->phase == RELAY_HOLD) {
		publisher_release(c);
		return;
	}
	if (c->big)
		pace_add(r->pace, c);
	announcer_take(r->announcer, c);
	publisher_add(r->publisher, c, gather_calm(&r->gather));
	if (heartbeats_take(r->heartbeats, c, r->publisher, &replaced))
		publisher_also_confirmed(r->publisher, replaced);
}

static bool sweep_due(const struct relay *r, struct mono now)
{
	if (outbox_sweeping(r->outbox) || mono_reached(r->sweep_at, now))
		return true;
	return atomic_load(&r->woken) &&
	       mono_reached(mono_add_us(r->swept_at, r->gather.gap_us), now);
}

/* Whether a chunk of a big transaction may be claimed; if not, *ret_at is when to ask again. */
static bool big_due(const struct relay *r, struct mono now, struct mono *ret_at)
{
	*ret_at = MONO_NEVER;
	return outbox_has_big(r->outbox) && pace_open(r->pace, now, ret_at);
}

/* Whether what was claimed would be lost if the primary was, as synchronous standbys do not have it yet: a commit that
 * waits for them shows only when they have, but one that was there when the server came up again does at once. It is
 * taken when they have it. */
static bool claim_waits(struct relay *r, struct mono now)
{
	if (r->phase == RELAY_HOLD || outbox_is_kept(r->outbox, r->claim->lsn, now)) {
		r->kept_by = MONO_NEVER;
		return false;
	}
	if (mono_is_never(r->kept_by))
		r->kept_by = mono_add_ms(now, KEPT_MS);
	if (!mono_reached(r->kept_by, now))
		return true;
	log_warn("the relay waits for synchronous standbys, which do not have what is committed",
		 KV_S("next", "changes stay recorded until they do; see pg_stat_replication"));
	r->kept_by = mono_add_ms(now, KEPT_AGAIN_MS);
	return true;
}

static void claim(struct relay *r, struct mono now)
{
	if (r->claim && !outbox_claiming(r->outbox) && !claim_waits(r, now))
		take_claim(r, now);
	struct mono ignored;
	bool sweep = sweep_due(r, now), big = big_due(r, now, &ignored);
	if (r->claim || r->phase == RELAY_HOLD || (!sweep && !big))
		return;
	r->claim = publisher_chunk(r->publisher);
	if (!r->claim)
		return;
	/* In turn, so that neither waits long for the other. */
	if (big && (r->big_turn || !sweep)) {
		r->big_turn = false;
		outbox_claim_big(r->outbox, r->claim);
		return;
	}
	r->big_turn = true;
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
	return r->sweeps >= r->beat_sweeps && !outbox_keeps_beat(r->outbox) &&
	       !heartbeats_busy(r->heartbeats);
}

static struct mono beat_due(const struct relay *r)
{
	return r->news ? mono_earlier(r->mark_at, r->beat_at) : r->beat_at;
}

static void beat(struct relay *r, struct mono now)
{
	if (!mono_reached(beat_due(r), now) || !may_beat(r))
		return;
	outbox_beat(r->outbox, !gather_flushes(&r->gather));
	if (mono_reached(r->beat_at, now))
		r->beat_at = mono_add_ms(now, r->opt.heartbeat_ms);
	r->mark_at = mono_add_ms(now, MARK_MS);
	/* Who wrote what was found just now may ask for the place only after this one has been taken: another one follows. */
	r->news = !mono_reached(mono_add_ms(r->news_at, MARK_MS / 2), now);
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
		publisher_also_confirmed(r->publisher, done);
	/* A queue is not there. */
	if (heartbeats_missing(r->heartbeats, &replica))
		relay_queues_want(r);
}

/* Full sets at once; the rest gathers for a while, so that one transaction forgets what many have
 * written. */
static bool forget(struct relay *r, struct mono now)
{
	size_t n = publisher_confirmed_count(r->publisher);

	if (n > 0 && mono_is_never(r->forget_at))
		r->forget_at = mono_add_ms(now, FORGET_MS);
	if (n >= RELAY_CHUNK_MAX || (n > 0 && mono_reached(r->forget_at, now)))
		return relay_forget(r);
	return true;
}

bool relay_forget(struct relay *r)
{
	const struct outbox_key *keys;

	if (!mark_left_out(r))
		return false;

	while (publisher_confirmed_count(r->publisher) >= RELAY_CHUNK_MAX ||
	       outbox_forgetting(r->outbox) == 0) {
		size_t n = publisher_confirmed(r->publisher, RELAY_CHUNK_MAX, &keys);
		if (!n)
			break;
		outbox_forget(r->outbox, keys, n, publisher_confirmed_messages(r->publisher));
		r->forget_at = MONO_NEVER;
	}
	return true;
}

/* When there is something to do unless something comes through an fd before; never: nothing. */
static struct mono next_duty(const struct relay *r, struct mono now)
{
	struct mono due = MONO_NEVER, big_at;

	if (r->claim && !outbox_claiming(r->outbox)) {
		due = mono_add_ms(now, OUTBOX_STANDBYS_MS);
	} else if (!r->claim && publisher_has_room(r->publisher)) {
		due = big_due(r, now, &big_at) ? now : mono_earlier(r->sweep_at, big_at);
		if (atomic_load(&r->woken))
			due = mono_earlier(due, mono_add_us(r->swept_at, r->gather.gap_us));
	}
	if (publisher_confirmed_count(r->publisher) > 0 && outbox_forgetting(r->outbox) == 0)
		due = mono_earlier(due, r->forget_at);
	due = mono_earlier(due, relay_queues_due(r));
	if (r->direct)
		due = mono_earlier(due, r->renew_at);
	return may_beat(r) ? mono_earlier(due, beat_due(r)) : due;
}

/* Before a row of a shape is published: who did not get the shape is marked. False: the session was
 * lost. */
static bool settle_shapes(struct relay *r)
{
	enum amqp_settled how;
	struct outbox_key done;
	struct err err;

	for (size_t i = 0; i < r->opt.nreplicas; i++) {
		if (!announcer_left_out(r->announcer, i, &how))
			continue;
		if (how == AMQP_RETURNED) /* that marks it, if it had queues before */
			relay_queues_want(r);
		else if (!relay_queues_mark(r, i, "a queue of it did not take the shape of a table",
					    &err)) {
			relay_lose_database(r, &err);
			return false;
		}
	}
	while (announcer_done(r->announcer, &done))
		outbox_forget(r->outbox, &done, 1, NULL);
	return true;
}

static void log_too_large(struct relay *r)
{
	struct publisher_counts counts;

	publisher_counts(r->publisher, &counts);
	if (counts.too_large == r->too_large)
		return;
	log_error("rows are too large for a message: they are wrong on the replicas",
		  KV_I("rows", (int64_t)(counts.too_large - r->too_large)),
		  KV_S("key", counts.large_key), KV_I("bytes", (int64_t)counts.large_bytes),
		  KV_S("next", "replicas record it; reset-replicas --repair brings them"));
	r->too_large = counts.too_large;
}

/* Publishes shapes, and changes that have one that was announced. */
static enum publisher_run publish_changes(struct relay *r, const struct outbox_facts *facts,
					  struct err *err)
{
	enum publisher_run ran = publisher_run(r->publisher, r->link, facts->terms[0].term,
					       announcer_term(r->announcer), err),
			   shapes;

	log_too_large(r);
	if (ran == PUBLISHER_BROKEN)
		return ran;
	shapes = announcer_run(r->announcer,
			       ran == PUBLISHER_SHAPE ? publisher_wants(r->publisher) : NULL,
			       ran == PUBLISHER_IDLE && !r->claim && !outbox_has_big(r->outbox),
			       r->link, facts->source, err);
	if (shapes == PUBLISHER_BROKEN)
		return shapes;
	if (ran == PUBLISHER_SHAPE)
		return shapes == PUBLISHER_IDLE ? PUBLISHER_MORE : shapes;
	return shapes == PUBLISHER_FULL && ran != PUBLISHER_MORE ? shapes : ran;
}

/* Publishes changes and heartbeats. PUBLISHER_BROKEN: the broker or the session was lost. */
static enum publisher_run publish(struct relay *r)
{
	const struct outbox_facts facts = outbox_facts(r->outbox);
	struct err err;
	/* While the term is not known, nothing is claimed, so nothing is published. */
	enum publisher_run ran = publish_changes(r, &facts, &err), beats;

	if (ran == PUBLISHER_IDLE) /* only then a mark is behind all changes it counts */
		ran = pace_run(r->pace, r->link, facts.source, mono_now(), &err);
	beats = ran;
	if (ran != PUBLISHER_BROKEN) {
		/* A heartbeat says that all before it has arrived: who lacks something is marked
		 * first. */
		if (heartbeats_busy(r->heartbeats) && !mark_left_out(r))
			return PUBLISHER_BROKEN;
		beats = heartbeats_run(r->heartbeats, r->publisher, r->link, &facts, &err);
	}
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

	if (publisher_refused(r->publisher, &how))
		on_refused(r, how, now);
	else if (r->direct)
		watch_exchange(r, now);
	if (r->phase == RELAY_HOLD)
		return now;
	beat(r, now);
	claim(r, now);
	ran = publish(r);
	if (ran == PUBLISHER_BROKEN)
		return now;
	settle_beats(r);
	if (!settle_shapes(r) || !forget(r, now) || !keep_queues(r, now))
		return now;
	if (!r->owns && relay_queues_ready(r) && mono_reached(r->own_at, now)) {
		r->phase = RELAY_OWN;
		return now;
	}

	if (r->refusing)
		end_refusing(r);
	if (ran == PUBLISHER_MORE)
		return now;
	if (ran == PUBLISHER_FULL && !amqp_blocked(r->link))
		return mono_add_ms(now, FULL_MS);
	return next_duty(r, now);
}

struct mono relay_hold(struct relay *r, struct mono now)
{
	claim(r, now);
	settle_beats(r);
	/* At once: what is not forgotten when this ends is published again. */
	if (!relay_forget(r) || !end_hold(r, now) || r->phase != RELAY_HOLD)
		return now;
	/* The time is over, but it cannot end yet: what ends it comes through an fd. */
	return publisher_unanswered(r->publisher) || mono_reached(r->hold_until, now)
		       ? mono_add_ms(now, RELAY_IDLE_MS)
		       : r->hold_until;
}
