/*
 * heartbeats.c: see heartbeats.h.
 *
 *   a heartbeat   moves on when
 *   waiting       all chunks up to its own are confirmed, and its place is on the primary's disk  -> going
 *   going         its messages are sent, two for each replica, and all are answered: confirmed,
 *                 returned (the queue is missing) or nacked (the queue refused it)  -> done
 *   done          heartbeats_done() says so                     -> forgotten
 *
 * One can be in each state at the same time: each state is a place, and a place without a heartbeat
 * has the key 0.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/relay/heartbeats.h"
#include "api/relay/to_replicas.h"
#include "common/wire/heartbeat.h"

struct heartbeats {
	struct to_replicas to;
	int64_t every_ms;

	struct outbox_key waiting;
	int64_t waiting_us;  /* its time, since 2000-01-01 UTC */
	int64_t waiting_lsn; /* its place in the WAL; 0: none */
	uint64_t mark;	     /* for publisher_passed(): all chunks up to its own */

	struct outbox_key going;
	int64_t going_lsn;
	struct strbuf body;

	struct outbox_key done;
	const char *missing; /* a replica with a missing queue; NULL: none */
};

struct heartbeats *heartbeats_new(const struct stream *stream, const char *const *replicas,
				  size_t nreplicas, int64_t every_ms)
{
	struct heartbeats *h = xcalloc(1, sizeof(*h));

	to_replicas_init(&h->to, stream, replicas, nreplicas);
	h->every_ms = every_ms;
	return h;
}

void heartbeats_free(struct heartbeats *h)
{
	if (!h)
		return;
	strbuf_clear(&h->body);
	to_replicas_clear(&h->to);
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
	h->waiting_lsn = c->beat_lsn;
	h->mark = publisher_mark(p);
	return replaces;
}

bool heartbeats_busy(const struct heartbeats *h)
{
	return has_one(h->waiting) || has_one(h->going);
}

static enum publisher_run send_all(struct heartbeats *h, struct amqp_link *l, const char *source,
				   struct err *err)
{
	char xid[24];
	const struct amqp_header headers[] = { { .key = "x-xid", .str = xid },
					       { .key = "x-source", .str = source },
					       { .key = CHANGE_LSN_HEADER, .num = h->going_lsn },
					       { .key = HEARTBEAT_EVERY_HEADER,
						 .num = h->every_ms } };
	const struct amqp_publish m = {
		.headers = headers,
		.nheaders = h->going_lsn > 0 ? ARRAY_SIZE(headers) : 2,
		.body = h->body.data,
		.len = h->body.len,
	};

	snprintf(xid, sizeof(xid), "%" PRIu64, h->going.xid);
	return to_replicas_run(&h->to, l, HEARTBEAT_KIND, &m, err);
}

static void finish(struct heartbeats *h)
{
	if (!to_replicas_ended(&h->to))
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
		beat.terms[i].messages[CHANGE_SYNC] = (int64_t)messages[CHANGE_SYNC];
		beat.terms[i].messages[CHANGE_DELETE] = (int64_t)messages[CHANGE_DELETE];
	}
	strbuf_reset(&h->body);
	heartbeat_write(&h->body, &beat);
}

enum publisher_run heartbeats_run(struct heartbeats *h, const struct publisher *p,
				  struct amqp_link *l, const struct outbox_facts *facts,
				  struct err *err)
{
	if (has_one(h->waiting) && !has_one(h->going) && publisher_passed(p, h->mark) &&
	    facts->flushed >= h->waiting_lsn) {
		write_body(h, p, facts);
		h->going = h->waiting;
		h->going_lsn = h->waiting_lsn;
		h->waiting = (struct outbox_key){ 0 };
		to_replicas_begin(&h->to);
	}
	return has_one(h->going) ? send_all(h, l, facts->source, err) : PUBLISHER_IDLE;
}

bool heartbeats_settled(struct heartbeats *h, uint64_t publish_no, enum amqp_settled how)
{
	size_t replica;

	if (!to_replicas_settled(&h->to, publish_no, &replica))
		return false;
	if (how == AMQP_RETURNED)
		h->missing = h->to.replicas[replica];
	finish(h);
	return true;
}

size_t heartbeats_unanswered(const struct heartbeats *h)
{
	return h->to.open;
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
	if (h->to.open == 0 || mono_reached(sent_before, h->to.sent_at))
		return;
	to_replicas_give_up(&h->to); /* those that were not sent yet wait for the next one */
	finish(h);
}

void heartbeats_drop(struct heartbeats *h)
{
	h->waiting = h->going = h->done = (struct outbox_key){ 0 };
	to_replicas_begin(&h->to);
	h->missing = NULL;
}
