/*
 * heartbeats.c: see heartbeats.h.
 *
 *   a heartbeat   moves on when
 *   waiting       all chunks up to its own are confirmed        -> going
 *   going         its messages are sent, two for each replica, and all are answered: confirmed,
 *                 returned (the queue is missing) or nacked (the queue refused it)  -> done
 *   done          heartbeats_done() says so                     -> forgotten
 *
 * One can be in each state at the same time: each state is a place, and a place without a heartbeat
 * has the key 0.
 *
 * They go through the default exchange, whose routing keys are names of queues: so nobody else can
 * be bound to them, and one replica's missing queue shows by name and holds up nobody.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/relay/heartbeats.h"
#include "common/wire/heartbeat.h"

#define OVERHEAD 1024 /* bytes on the wire beside the body, generously */

static const enum change_kind kinds[] = { CHANGE_SYNC, CHANGE_DELETE };
#define KINDS ARRAY_SIZE(kinds)

struct heartbeats {
	const struct stream *stream;
	const char *const *replicas;
	size_t nreplicas;

	struct outbox_key waiting;
	int64_t waiting_us; /* its time, since 2000-01-01 UTC */
	uint64_t mark;	    /* for publisher_passed(): all chunks up to its own */

	struct outbox_key going;
	size_t sent, open;   /* its messages: sent; of them not answered */
	struct mono sent_at; /* the last of them */
	struct strbuf body;
	uint64_t *numbers; /* of its messages, in the order of replicas and kinds */

	struct outbox_key done;
	const char *missing; /* a replica with a missing queue; NULL: none */
};

struct heartbeats *heartbeats_new(const struct stream *stream, const char *const *replicas,
				  size_t nreplicas)
{
	struct heartbeats *h = xcalloc(1, sizeof(*h));

	h->stream = stream;
	h->replicas = replicas;
	h->nreplicas = nreplicas;
	h->numbers = xcalloc(nreplicas * KINDS, sizeof(*h->numbers));
	return h;
}

void heartbeats_free(struct heartbeats *h)
{
	if (!h)
		return;
	strbuf_clear(&h->body);
	free(h->numbers);
	free(h);
}

/* Whether a place has a heartbeat. */
static bool has_one(struct outbox_key place)
{
	return place.xid != 0;
}

bool heartbeats_take(struct heartbeats *h, const struct outbox_chunk *c, const struct publisher *p,
		     struct outbox_key *ret_old)
{
	bool replaces = has_one(h->waiting);

	if (!c->has_beat)
		return false;
	if (replaces)
		*ret_old = h->waiting;
	h->waiting = c->beat;
	h->waiting_us = c->beat_us;
	h->mark = publisher_mark(p);
	return replaces;
}

bool heartbeats_busy(const struct heartbeats *h)
{
	return has_one(h->waiting) || has_one(h->going);
}

static bool send_one(struct heartbeats *h, struct amqp_link *l, const char *source, struct err *err)
{
	char queue[TOPOLOGY_NAME_MAX];
	char type[TOPOLOGY_NAME_MAX];
	char xid[24];
	const struct amqp_header headers[] = { { .key = "x-xid", .str = xid },
					       { .key = "x-source", .str = source } };
	const struct amqp_publish m = {
		.exchange = "",
		.routing_key = queue,
		.type = type,
		.headers = headers,
		.nheaders = ARRAY_SIZE(headers),
		.body = h->body.data,
		.len = h->body.len,
	};

	snprintf(xid, sizeof(xid), "%" PRIu64, h->going.xid);
	topology_type(type, h->stream, HEARTBEAT_KIND);
	topology_queue(queue, h->stream, kinds[h->sent % KINDS], h->replicas[h->sent / KINDS]);
	if (!amqp_send(l, &m, &h->numbers[h->sent], err))
		return false;
	h->sent++;
	h->open++;
	h->sent_at = mono_now();
	return true;
}

static void finish(struct heartbeats *h)
{
	if (h->sent < h->nreplicas * KINDS || h->open > 0)
		return;
	h->done = h->going;
	h->going = (struct outbox_key){ 0 };
}

/* All messages that are counted here were confirmed before the first heartbeat is sent, so they were
 * in their queues before it. */
static void write_body(struct heartbeats *h, const struct publisher *p,
		       const struct outbox_facts *facts)
{
	struct heartbeat beat = { .at_us = h->waiting_us,
				  .version = facts->newest,
				  .nterms = facts->nterms };

	_Static_assert(OUTBOX_TERMS <= HEARTBEAT_TERMS_MAX, "a heartbeat tells all terms");
	for (size_t i = 0; i < beat.nterms; i++) {
		const uint64_t *messages = i == 0 ? publisher_confirmed_messages(p)
						  : facts->terms[i].messages;

		beat.terms[i].term = facts->terms[i].term;
		for (size_t k = 0; k < KINDS; k++)
			beat.terms[i].messages[kinds[k]] = (int64_t)messages[kinds[k]];
	}
	strbuf_reset(&h->body);
	heartbeat_write(&h->body, &beat);
}

enum publisher_run heartbeats_run(struct heartbeats *h, const struct publisher *p,
				  struct amqp_link *l, const struct outbox_facts *facts,
				  struct err *err)
{
	if (has_one(h->waiting) && !has_one(h->going) && publisher_passed(p, h->mark)) {
		write_body(h, p, facts);
		h->going = h->waiting;
		h->waiting = (struct outbox_key){ 0 };
		h->sent = h->open = 0;
	}
	if (!has_one(h->going))
		return PUBLISHER_IDLE;
	while (h->sent < h->nreplicas * KINDS) {
		if (!amqp_can_publish(l, h->body.len + OVERHEAD))
			return PUBLISHER_FULL;
		if (!send_one(h, l, facts->source, err))
			return PUBLISHER_BROKEN;
	}
	return PUBLISHER_WAITS;
}

bool heartbeats_settled(struct heartbeats *h, uint64_t publish_no, enum amqp_settled how)
{
	if (h->open == 0 || publish_no < h->numbers[0] || publish_no > h->numbers[h->sent - 1])
		return false;
	/* Each publish is settled once, so an answered one needs no mark. */
	for (size_t i = 0; i < h->sent; i++) {
		if (h->numbers[i] != publish_no)
			continue;
		if (how == AMQP_RETURNED)
			h->missing = h->replicas[i / KINDS];
		h->open--;
		finish(h);
		return true;
	}
	return false;
}

size_t heartbeats_unanswered(const struct heartbeats *h)
{
	return h->open;
}

bool heartbeats_done(struct heartbeats *h, struct outbox_key *ret)
{
	if (!has_one(h->done))
		return false;
	*ret = h->done;
	h->done = (struct outbox_key){ 0 };
	return true;
}

bool heartbeats_missing(struct heartbeats *h, const char **ret_replica)
{
	if (!h->missing)
		return false;
	*ret_replica = h->missing;
	h->missing = NULL;
	return true;
}

void heartbeats_give_up(struct heartbeats *h, struct mono sent_before)
{
	if (h->open == 0 || mono_reached(sent_before, h->sent_at))
		return;
	h->sent = h->nreplicas * KINDS; /* those that were not sent yet wait for the next one */
	h->open = 0;
	finish(h);
}

void heartbeats_drop(struct heartbeats *h)
{
	h->waiting = h->going = h->done = (struct outbox_key){ 0 };
	h->sent = h->open = 0;
	h->missing = NULL;
}
