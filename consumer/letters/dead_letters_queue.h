/*
 * dead_letters_queue.h: looks at every letter of one dead-letter queue, and takes away only those
 * that are acknowledged.
 *
 * Letters are consumed without being acknowledged, so each comes once and in order; when the
 * connection is closed the broker puts them back where they were. Nothing is lost however the
 * process ends. This process holds one letter and what the socket holds. The broker is asked for a
 * few letters first, and then for as many as are about 32 MiB, so that it does not load a queue of
 * large ones into its memory.
 *
 * Only letters that were ready at the beginning are looked at: not those that are parked meanwhile,
 * so a letter that is replayed and fails again is not met twice. Main thread.
 */
#ifndef PGFANOUT_CONSUMER_LETTERS_DEAD_LETTERS_QUEUE_H
#define PGFANOUT_CONSUMER_LETTERS_DEAD_LETTERS_QUEUE_H

#include "common/amqp/amqp.h"
#include "common/base/clock.h"
#include "common/wire/topology.h"

struct dead_queue {
	struct amqp_link *link;
	char name[TOPOLOGY_NAME_MAX];
	uint32_t ready; /* so many are looked at */
	uint32_t seen;
	uint32_t acked;

	uint64_t credit; /* letters that may be here unacknowledged */
	uint64_t bytes;	 /* of the bodies seen */
	unsigned consumers;
	struct mono heard, serviced;
};

/* False: no more for now, read on later. */
typedef bool (*dead_queue_letter)(void *arg, const struct amqp_delivery *d);

/* A queue that does not exist has no letters. False: the broker cannot be reached. */
MUST_CHECK bool dead_queue_open(struct dead_queue *q, const char *urls, const struct stream *stream,
				const char *replica, struct err *err);
bool dead_queue_done(const struct dead_queue *q);
/* Hands out what has come, without waiting. more: whether letters are wanted now; if not, only the
 * connection is kept alive, and a few may come all the same. False: the connection is lost, or the
 * broker delivers nothing. */
MUST_CHECK bool dead_queue_read(struct dead_queue *q, bool more, dead_queue_letter letter,
				void *arg, struct err *err);
int dead_queue_wait_ms(const struct dead_queue *q, int max_ms);
MUST_CHECK bool dead_queue_ack(struct dead_queue *q, uint64_t tag, struct err *err);
/* Whether the acknowledgements have reached the broker. */
MUST_CHECK bool dead_queue_flush(struct dead_queue *q, struct err *err);
/* Gives back what was not acknowledged, and waits a moment until it is there again, so that the
 * next command meets it. */
void dead_queue_close(struct dead_queue *q, const char *urls);

#endif
