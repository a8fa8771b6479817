/*
 * announcer.h: tells the replicas what a table looks like, before the first row that looks so.
 *
 * A message of type <stream>.shape goes into each replica's two queues, past the exchange, as heartbeats
 * do; and no row of that shape is published before all of these are answered. So whoever finds a row in a
 * queue has found its shape in front of it.
 *
 * Owned by the relay's thread; nothing here waits. One shape is under way at a time.
 */
#ifndef PGFANOUT_API_RELAY_ANNOUNCER_H
#define PGFANOUT_API_RELAY_ANNOUNCER_H

#include "api/relay/outbox.h"
#include "api/relay/publisher.h"
#include "common/amqp/amqp.h"
#include "common/wire/topology.h"

struct announcer;

/* All borrowed for life; replicas: names. */
struct announcer *announcer_new(const struct stream *stream, const char *const *replicas,
				size_t nreplicas);
void announcer_free(struct announcer *a); /* NULL is fine */
/* What was announced since the last drop has this number: route.announced. */
unsigned announcer_term(const struct announcer *a);

/* Those that the chunk begins with: what recorded them is forgotten when they are announced. */
void announcer_take(struct announcer *a, const struct outbox_chunk *c);
/* Announces what was taken, and the shape that the publisher waits for; NULL: none. caught_up: all rows that
 * were claimed are sent, so that the last shape of a table may be. */
MUST_CHECK enum publisher_run announcer_run(struct announcer *a, struct shape_route *wanted,
					    bool caught_up, struct amqp_link *l, const char *source,
					    struct err *err);
/* As amqp_handler's settled; false: not a message from here. */
bool announcer_settled(struct announcer *a, uint64_t publish_no, enum amqp_settled how);
size_t announcer_unanswered(const struct announcer *a); /* messages */
/* True once for each record whose shape is announced. */
bool announcer_done(struct announcer *a, struct outbox_key *ret);
/* True once for each replica whose queue did not take a shape, and how it did not: it can do nothing with
 * the rows that follow. */
bool announcer_left_out(struct announcer *a, size_t replica, enum amqp_settled *ret_how);
/* What is unanswered counts as refused. */
void announcer_give_up(struct announcer *a);
/* Forgets everything: records are claimed again, and shapes announced again. */
void announcer_drop(struct announcer *a);

#endif
