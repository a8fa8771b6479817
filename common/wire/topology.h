/*
 * topology.h: every exchange and queue of pgfanout, in one table. Both sides declare it,
 * idempotently, before they use it. For each stream:
 *
 *   exchange <stream> (topic)
 *       routing keys products.sync, products.delete; of other streams <schema>.<table>.sync, .delete
 *       and .truncate; anyone may bind a queue of his own
 *   queues <stream>.sync.<replica>, <stream>.delete.<replica>
 *       bound to <stream>: to all that end in sync; in delete and truncate
 *   exchange <stream>.retry (topic)
 *       a failed message goes here with the key <n>.<queue>, n = its attempt that failed
 *   queue <stream>.retry.<replica>
 *       bound to <stream>.retry with 1.<stream>.sync.<replica>, 1.<stream>.delete.<replica>;
 *       messages carry their delay as expiration, all of one queue the same one, and on expiry go,
 *       key unchanged, to <stream>.redeliver
 *   queue <stream>.retry.<replica>.<n>
 *       likewise for n = 2 … MAX_ATTEMPTS-1: one queue a delay, so that no delay waits behind a
 *       longer one
 *   exchange <stream>.redeliver (topic)
 *       *.<stream>.sync.<replica> leads to the queue <stream>.sync.<replica>, delete likewise
 *   queue <stream>.dead.<replica>
 *       messages given up, with x-error, x-attempt, x-queue
 *
 *   queue <stream>.relay
 *       the leading relay's own, exclusive: who has it is the only one that publishes here
 *
 * All others are durable quorum queues; the arguments mean the same on RabbitMQ 3.10 and 4.x. With
 * a prefix (QUEUE_PREFIX) it stands before the name of each exchange and queue; the routing keys of
 * the exchange <stream> stay as they are.
 *
 * A main queue (sync, delete) that is missing may have lost changes, and declaring it hides that. So
 * it is created only by who has marked the replica as needing a reset just before, or knows that it
 * is new: TOPOLOGY_CREATE. TOPOLOGY_LOOK_FIRST declares everything else, and main queues that are
 * there; the broker itself goes no further when one is not.
 */
#ifndef PGFANOUT_COMMON_WIRE_TOPOLOGY_H
#define PGFANOUT_COMMON_WIRE_TOPOLOGY_H

#include "common/amqp/amqp.h"
#include "common/wire/change.h"
#include "common/base/err.h"
#include "common/wire/stream.h"

#define TOPOLOGY_NAME_MAX 160

/* QUEUE_PREFIX, before other threads start; "" unless called. False: it cannot be one. */
MUST_CHECK bool topology_use_prefix(const char *text, struct err *err);

/* After topology_use_prefix(). */
void topology_stream(struct stream *ret, int number, const char *name);
const struct stream *topology_products(void);
/* Of the advisory lock 1885824609/… on the primary: who has it relays the stream. */
int topology_lead_lock(const struct stream *s);

/* Names; buf has TOPOLOGY_NAME_MAX bytes, attempt is the one that failed: 1, 2, … */
void topology_retry_exchange(char *buf, const struct stream *s);
void topology_relay_queue(char *buf, const struct stream *s);
void topology_queue(char *buf, const struct stream *s, enum change_kind kind, const char *replica);
void topology_retry_queue(char *buf, const struct stream *s, const char *replica, unsigned attempt);
void topology_retry_key(char *buf, const struct stream *s, enum change_kind kind,
			const char *replica, unsigned attempt);
void topology_dead_queue(char *buf, const struct stream *s, const char *replica);
/* The property type of a message: "products.sync"; kind: "sync", "heartbeat", … */
void topology_type(char *buf, const struct stream *s, const char *kind);
/* Whether it is that one; type may be NULL. */
bool topology_is_type(const struct stream *s, const char *type, const char *kind);

enum topology_how {
	TOPOLOGY_LOOK,	     /* count what is in the main queues, declare nothing */
	TOPOLOGY_LOOK_FIRST, /* and declare all, unless a main queue is missing */
	TOPOLOGY_CREATE,     /* declare all */
};

/* The groups of what was asked about one replica. */
struct topology_asked {
	unsigned exchange, redeliver; /* of topology_ask_exchanges() */
	unsigned dead, retries, nretries, main, back;
};

/* What the broker answered about one replica's queues. */
struct topology_report {
	enum amqp_answer main;	/* its main queues: missing, unfit … */
	struct err main_why;	/* unless yes */
	uint64_t ready;		/* messages ready in both */
	enum amqp_answer retry; /* all that failed changes need to come back; the first no */
	struct err retry_why;
	enum amqp_answer dead;
	struct err dead_why;
};

/* They add questions; topology_read() reads the answers. The exchanges come first. max_attempts - 1
 * is the number of retry queues. */
void topology_ask_exchanges(struct amqp_asks *q, const struct stream *s,
			    struct topology_asked *ret);
void topology_ask_replica(struct amqp_asks *q, const struct stream *s, const char *replica,
			  unsigned max_attempts, enum topology_how how, struct topology_asked *ret);
/* To throw away what is in the main queues: topology_read()'s main and ready say what became of it. */
void topology_ask_drop(struct amqp_asks *q, const struct stream *s, const char *replica,
		       struct topology_asked *ret);
void topology_read(const struct amqp_asks *q, const struct topology_asked *asked,
		   struct topology_report *ret);

/* The same at once, and waits. False: the link is broken, or the exchange cannot be used. */
MUST_CHECK bool topology_declare(struct amqp_link *l, const struct stream *s, const char *replica,
				 unsigned max_attempts, enum topology_how how,
				 struct topology_report *ret, struct err *err);

#endif
