/*
 * heartbeats.h: the claimed heartbeat on its way into each replica's two queues.
 *
 * The promise: it is published after everything that was claimed before it is confirmed. So
 * whoever finds it in a queue has found all older changes of that queue in front of it, also when
 * some of them had to be published again.
 *
 * Owned by the relay's thread; nothing here waits. One heartbeat waits or is under way at a time;
 * a newer one takes the place of one that waits.
 */
#ifndef PGFANOUT_API_RELAY_HEARTBEATS_H
#define PGFANOUT_API_RELAY_HEARTBEATS_H

#include "api/relay/outbox.h"
#include "api/relay/publisher.h"
#include "common/amqp/amqp.h"
#include "common/wire/topology.h"

struct heartbeats;

/* All borrowed for life; replicas: names. every_ms: at least so often one comes, whoever writes. */
struct heartbeats *heartbeats_new(const struct stream *stream, const char *const *replicas,
				  size_t nreplicas, int64_t every_ms);
void heartbeats_free(struct heartbeats *h); /* NULL is fine */

/* Takes the chunk's heartbeat, if it has one, after publisher_add() took the chunk. True: *ret_old
 * is the record of one that this one replaces. */
MUST_CHECK bool heartbeats_take(struct heartbeats *h, const struct outbox_chunk *c,
				const struct publisher *p, struct outbox_key *ret_old);
/* One waits, or is not answered by all queues yet. */
bool heartbeats_busy(const struct heartbeats *h);

/* Publishes what can be published now. PUBLISHER_FULL: the socket has no room for the rest. It tells
 * the facts, and what p has published in the present term. */
MUST_CHECK enum publisher_run heartbeats_run(struct heartbeats *h, const struct publisher *p,
					     struct amqp_link *l, const struct outbox_facts *facts,
					     struct err *err);
/* As amqp_handler's settled; false: not a message from here. */
bool heartbeats_settled(struct heartbeats *h, uint64_t publish_no, enum amqp_settled how);
size_t heartbeats_unanswered(const struct heartbeats *h); /* messages */

/* True once for each heartbeat that all queues have answered: its record may be forgotten. A queue
 * that did not take it gets the next one. */
bool heartbeats_done(struct heartbeats *h, struct outbox_key *ret);
/* True once after a queue was missing: the name of a replica whose topology is to be declared. */
bool heartbeats_missing(struct heartbeats *h, const char **ret_replica);

/* What was sent before that moment and is unanswered counts as refused. */
void heartbeats_give_up(struct heartbeats *h, struct mono sent_before);

/* Forgets everything: records are claimed again. */
void heartbeats_drop(struct heartbeats *h);

#endif
