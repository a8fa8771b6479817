/*
 * topology.h: every exchange and queue of pgfanout, in one table. Both sides declare it,
 * idempotently, before they use it.
 *
 *   exchange products (topic)
 *       routing keys products.sync, products.delete; anyone may bind a queue of his own
 *   queues products.sync.<replica>, products.delete.<replica>
 *       bound to products with products.sync, products.delete
 *   exchange products.retry (topic)
 *       a failed message goes here with the key <n>.<queue>, n = its attempt that failed
 *   queue products.retry.<replica>
 *       bound to products.retry with 1.products.sync.<replica>, 1.products.delete.<replica>;
 *       messages carry their delay as expiration, all of one queue the same one, and on expiry go,
 *       key unchanged, to products.redeliver
 *   queue products.retry.<replica>.<n>
 *       likewise for n = 2 … MAX_ATTEMPTS-1: one queue a delay, so that no delay waits behind a
 *       longer one
 *   exchange products.redeliver (topic)
 *       *.products.sync.<replica> leads to the queue products.sync.<replica>, delete likewise
 *   queue products.dead.<replica>
 *       messages given up, with x-error, x-attempt, x-queue
 *
 * All queues are durable quorum queues; the arguments mean the same on RabbitMQ 3.10 and 4.x.
 */
#ifndef PGFANOUT_COMMON_WIRE_TOPOLOGY_H
#define PGFANOUT_COMMON_WIRE_TOPOLOGY_H

#include "common/amqp/amqp.h"
#include "common/wire/change.h"
#include "common/base/err.h"

#define TOPOLOGY_EXCHANGE	    "products"
#define TOPOLOGY_RETRY_EXCHANGE	    "products.retry"
#define TOPOLOGY_REDELIVER_EXCHANGE "products.redeliver"
#define TOPOLOGY_NAME_MAX	    128

const char *topology_key(enum change_kind kind); /* "products.sync", "products.delete" */
/* Names; buf has TOPOLOGY_NAME_MAX bytes, attempt is the one that failed: 1, 2, … */
void topology_queue(char *buf, enum change_kind kind, const char *replica);
void topology_retry_queue(char *buf, const char *replica, unsigned attempt);
void topology_retry_key(char *buf, enum change_kind kind, const char *replica, unsigned attempt);
void topology_dead_queue(char *buf, const char *replica);

/* Whether a main queue (sync, delete) of the replica does not exist, and how many messages are
 * ready in both. Whoever creates a missing one that has been there before must mark the replica as
 * needing a reset first: what was published meanwhile, and what was in it, is lost. False: the link
 * is broken. */
MUST_CHECK bool topology_look(struct amqp_link *l, const char *replica, bool *ret_missing,
			      uint64_t *ret_ready, struct err *err);

/* Declares the exchanges, and all queues and bindings of one replica (of retry queues
 * max_attempts - 1). */
MUST_CHECK bool topology_declare(struct amqp_link *l, const char *replica, unsigned max_attempts,
				 struct err *err);

#endif
