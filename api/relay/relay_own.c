/*
 * relay_own.c: that no relay of another primary publishes to this exchange. Two installations with
 * the same names on one virtual host would each receive half of the other's changes. The relay's
 * thread.
 *
 * The mark of the one that publishes is a queue, products.relay: exclusive, so that the broker gives
 * it to one connection, and ends with that connection. It holds no changes and is bound to nothing.
 *
 *   state      moves on when
 *   NOTHING    it is claimed                                                   -> CLAIMED
 *   CLAIMED    it is ours                                                      -> publish
 *              another connection has it: a queue for its answer is asked for  -> LISTENING
 *   LISTENING  that is there: the other one is asked whose relay it is         -> PROBED
 *   PROBED     it answers with our own primary's source, or an earlier epoch of it: an old leader of ours,
 *              whose connection the broker still counts as alive               -> publish
 *              it answers with another source                                  -> REFUSED
 *              it is gone                                                      -> NOTHING
 *              no answer for ANSWER_MS: it hangs                               -> publish
 *   REFUSED    the back-off is over                                            -> NOTHING
 *
 * Who publishes without the queue claims it again every AGAIN_MS, and is refused then if it must be.
 * A relay that dies loses the queue with its connection, so there is nothing to clean up. What slips
 * through all the same, a consumer finds: it applies changes of its own primary only.
 */
#include <stdio.h>
#include <string.h>

#include "api/relay/relay_private.h"
#include "common/base/log.h"

#define ANSWER_MS 2000
#define AGAIN_MS  10000

#define TYPE	      "products.relay"
#define HEADER_SOURCE "x-source"
#define HEADER_REPLY  "x-reply" /* of a question: the queue for the answer */

/* The two consumers here. */
#define OWN_TAG	   "own"
#define ANSWER_TAG "answer"

void relay_own_broken(struct relay *r)
{
	r->own = RELAY_OWN_NOTHING;
	r->leads = false;
	r->refused = false;
	if (r->link)
		return; /* what is ours stays ours: we answer that it is this primary's */
	r->owns = false;
	r->reply_queue[0] = '\0';
}

static struct mono lost(struct relay *r, struct mono now, const struct err *err)
{
	relay_lose_broker(r, err);
	return now;
}

static struct mono publish_on(struct relay *r, struct mono now)
{
	r->own = RELAY_OWN_NOTHING;
	r->own_at = mono_add_ms(now, AGAIN_MS);
	r->refused = false;
	backoff_reset(&r->own_backoff);
	relay_begin(r);
	return now;
}

/* Whether the other one's primary is ours, or was it until a standby was promoted. */
static bool may_take_over(struct relay *r)
{
	const char *ours = outbox_facts(r->outbox).source;

	(void)primary_hear(r->opt.primary, r->other);
	return strcmp(r->other, ours) == 0 || source_succeeds(ours, r->other);
}

static struct mono refuse(struct relay *r, struct mono now)
{
	char text[400];

	snprintf(
		text, sizeof(text),
		"a relay of another primary (source %s, ours is %s) publishes to exchange %s: give "
		"each installation a virtual host of its own, or a QUEUE_PREFIX",
		r->other, outbox_facts(r->outbox).source, r->opt.stream.exchange);
	if (!r->refused)
		log_error("relay refuses to publish", KV_S("error", text),
			  KV_S("next", "changes stay recorded; asking again"));
	relay_show_error(r, "relay refuses to publish", text);
	/* What was claimed is claimed again by the next beginning. */
	r->refused = true;
	r->leads = false;
	r->own = RELAY_OWN_REFUSED;
	r->own_at = mono_add_ms(now, backoff_next_ms(&r->own_backoff));
	return r->own_at;
}

static bool claim_queue(struct relay *r, const char *queue, enum relay_own_state next,
			struct err *err)
{
	amqp_asks_reset(r->asks);
	(void)amqp_asks_group(r->asks);
	amqp_asks_own_queue(r->asks, queue);
	r->own = next;
	return amqp_ask(r->link, r->asks, err);
}

static bool ask_other(struct relay *r, struct err *err)
{
	char queue[TOPOLOGY_NAME_MAX];
	const struct amqp_header headers[] = {
		{ .key = HEADER_SOURCE, .str = outbox_facts(r->outbox).source },
		{ .key = HEADER_REPLY, .str = r->reply_queue },
	};
	const struct amqp_publish m = { .exchange = "",
					.routing_key = queue,
					.type = TYPE,
					.headers = headers,
					.nheaders = ARRAY_SIZE(headers),
					.expiration = "10000",
					.body = "{}",
					.len = 2 };

	topology_relay_queue(queue, &r->opt.stream);
	r->answered = false;
	r->own = RELAY_OWN_PROBED;
	r->own_at = mono_add_ms(mono_now(), ANSWER_MS);
	return amqp_send(r->link, &m, &r->probe_no, err);
}

struct mono relay_own(struct relay *r, struct mono now)
{
	char queue[TOPOLOGY_NAME_MAX];
	struct err err;

	topology_relay_queue(queue, &r->opt.stream);
	switch (r->own) {
	case RELAY_OWN_REFUSED:
		if (!mono_reached(r->own_at, now))
			return r->own_at;
		/* What was claimed before it was refused is thrown away, but not while it comes. */
		if (outbox_claiming(r->outbox))
			return mono_add_ms(now, RELAY_IDLE_MS);
		r->own = RELAY_OWN_NOTHING;
		return now;
	case RELAY_OWN_NOTHING:
		if (r->owns)
			return publish_on(r, now);
		if (amqp_blocked(r->link) || !amqp_asks_done(r->asks))
			return mono_add_ms(now, RELAY_IDLE_MS);
		snprintf(r->own_source, sizeof(r->own_source), "%s",
			 outbox_facts(r->outbox).source);
		if (!claim_queue(r, queue, RELAY_OWN_CLAIMED, &err))
			return lost(r, now, &err);
		return MONO_NEVER;
	case RELAY_OWN_CLAIMED:
		if (!amqp_asks_done(r->asks))
			return MONO_NEVER;
		switch (amqp_asks_answer(r->asks, 0, &err)) {
		case AMQP_ANSWER_YES:
			if (!amqp_consume(r->link, queue, OWN_TAG, &err))
				return lost(r, now, &err);
			r->owns = true;
			return publish_on(r, now);
		case AMQP_ANSWER_UNFIT:
			if (r->reply_queue[0])
				return ask_other(r, &err) ? now : lost(r, now, &err);
			snprintf(r->reply_queue, sizeof(r->reply_queue), "%s.%016llx", queue,
				 (unsigned long long)(wall_now_us() ^ (uintptr_t)r));
			if (!claim_queue(r, r->reply_queue, RELAY_OWN_LISTENING, &err))
				return lost(r, now, &err);
			return MONO_NEVER;
		default:
			return lost(r, now, &err);
		}
	case RELAY_OWN_LISTENING:
		if (!amqp_asks_done(r->asks))
			return MONO_NEVER;
		if (amqp_asks_answer(r->asks, 0, &err) != AMQP_ANSWER_YES ||
		    !amqp_consume(r->link, r->reply_queue, ANSWER_TAG, &err) || !ask_other(r, &err))
			return lost(r, now, &err);
		return now;
	case RELAY_OWN_PROBED:
		if (r->answered && !may_take_over(r))
			return refuse(r, now);
		if (amqp_blocked(r->link)) /* then nobody can answer */
			r->own_at = mono_add_ms(now, ANSWER_MS);
		if (r->answered || mono_reached(r->own_at, now))
			return publish_on(r, now);
		return r->own_at;
	}
	return now;
}

bool relay_own_settled(struct relay *r, uint64_t publish_no, enum amqp_settled how)
{
	if (r->own != RELAY_OWN_PROBED || publish_no != r->probe_no)
		return false;
	if (how == AMQP_RETURNED) /* gone between two questions */
		r->own = RELAY_OWN_NOTHING;
	return true;
}

void relay_own_delivery(void *arg, const struct amqp_delivery *d)
{
	struct relay *r = arg;
	const char *reply = amqp_header_text(d->headers, d->nheaders, HEADER_REPLY);
	const char *source = amqp_header_text(d->headers, d->nheaders, HEADER_SOURCE);
	uint64_t no;
	struct err err;

	/* What comes by direct reply-to is not to be acknowledged: that would cost the channel. */
	if (strcmp(d->consumer_tag, OWN_TAG) != 0 && strcmp(d->consumer_tag, ANSWER_TAG) != 0)
		return;
	/* A link that breaks here is found broken by the next call. */
	(void)!amqp_ack(r->link, d->tag, false, &err);
	if (strcmp(d->type, TYPE) != 0)
		return;
	if (*reply == '\0') {
		r->answered = true;
		snprintf(r->other, sizeof(r->other), "%s", source);
		return;
	}
	/* Who asks may lead in our place: relay.c looks. */
	(void)primary_hear(r->opt.primary, source);
	if (!r->owns || !amqp_can_publish(r->link, 1024))
		return;
	const struct amqp_header headers[] = { { .key = HEADER_SOURCE, .str = r->own_source } };
	const struct amqp_publish m = { .exchange = "",
					.routing_key = reply,
					.type = TYPE,
					.headers = headers,
					.nheaders = ARRAY_SIZE(headers),
					.body = "{}",
					.len = 2 };
	(void)!amqp_send(r->link, &m, &no, &err);
}

void relay_own_cancelled(void *arg, const char *consumer_tag)
{
	struct relay *r = arg;

	if (strcmp(consumer_tag, OWN_TAG) == 0)
		r->owns = false; /* somebody deleted it: claimed again */
}
