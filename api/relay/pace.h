/*
 * pace.h: how fast big transactions are published: as fast as the replicas apply them, so that a
 * small change never finds much in front of it in a replica's queues.
 *
 * It holds back nothing but further chunks of transactions that outbox.c has put aside, and costs
 * nothing while there are none. A replica that is down, hung or too slow is not waited for.
 *
 * Owned by the relay's thread; nothing here waits, but for one question to the broker on each link.
 */
#ifndef PGFANOUT_API_RELAY_PACE_H
#define PGFANOUT_API_RELAY_PACE_H

#include "api/relay/outbox.h"
#include "api/relay/publisher.h"
#include "common/amqp/amqp.h"

struct pace;

/* replicas: names, borrowed for life. */
struct pace *pace_new(const struct stream *stream, const char *const *replicas, size_t nreplicas);
void pace_free(struct pace *p); /* NULL is fine */

/* The link is another one: what was sent on the old one gets no answer. */
void pace_drop(struct pace *p);
/* A chunk of a big transaction goes to the publisher. */
void pace_add(struct pace *p, const struct outbox_chunk *c);
/* Whether the next chunk of a big transaction may be claimed. If not: *ret_until is when to ask
 * again unless an answer comes. */
MUST_CHECK bool pace_open(struct pace *p, struct mono now, struct mono *ret_until);

/* Sends the marks that are due. Only while the publisher has sent everything that was added.
 * PUBLISHER_FULL: the socket has no room for the rest. Otherwise PUBLISHER_IDLE, or _BROKEN. */
MUST_CHECK enum publisher_run pace_run(struct pace *p, struct amqp_link *l, const char *source,
				       struct mono now, struct err *err);
/* As amqp_handler's delivery: what has come is the answer to a mark. */
void pace_answer(struct pace *p, const struct amqp_delivery *d, struct mono now);

#endif
