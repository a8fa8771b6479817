/*
 * to_replicas.h: one message into each replica's two queues, and how it is answered.
 *
 * It goes through the default exchange, whose routing keys are names of queues: so nobody else can be bound
 * to it, and one replica's missing queue shows by name and holds up nobody.
 *
 * Owned by the relay's thread; nothing here waits.
 */
#ifndef PGFANOUT_API_RELAY_TO_REPLICAS_H
#define PGFANOUT_API_RELAY_TO_REPLICAS_H

#include "api/relay/publisher.h"
#include "common/amqp/amqp.h"
#include "common/base/clock.h"
#include "common/wire/topology.h"

struct to_replicas {
	const struct stream *stream; /* these three: borrowed for life */
	const char *const *replicas;
	size_t nreplicas;
	size_t sent, open;   /* copies: sent; of them not answered. For reading */
	struct mono sent_at; /* the last of them */
	uint64_t *numbers;   /* in the order of replicas and kinds */
};

/* replicas: names. */
void to_replicas_init(struct to_replicas *t, const struct stream *stream,
		      const char *const *replicas, size_t nreplicas);
void to_replicas_clear(struct to_replicas *t);

/* Another message; answers to the one before are nobody's. */
void to_replicas_begin(struct to_replicas *t);
/* Sends what can be sent of it. m: the message, the same in each call; where it goes and its type, which is of
 * this kind, are filled in. PUBLISHER_WAITS: all is sent. */
MUST_CHECK enum publisher_run to_replicas_run(struct to_replicas *t, struct amqp_link *l,
					      const char *kind, const struct amqp_publish *m,
					      struct err *err);
/* All is sent and answered. */
bool to_replicas_ended(const struct to_replicas *t);
/* As amqp_handler's settled; false: not a message from here. *ret_replica: whose queue answers. */
bool to_replicas_settled(struct to_replicas *t, uint64_t publish_no, size_t *ret_replica);
/* What is not answered counts as answered, and what is not sent as sent. */
void to_replicas_give_up(struct to_replicas *t);

#endif
