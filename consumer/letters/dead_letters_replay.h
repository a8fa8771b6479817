/*
 * dead_letters_replay.h: publishes dead letters back to the queues they came from.
 *
 * The rule is that of common/amqp/outgoing.h: a letter may be acknowledged in the dead-letter queue
 * when its copy is confirmed in its queue, and not before. A second copy is stale on the replica.
 *
 * It has a connection of its own, because a broker with an alarm stops reading from those that
 * publish. Main thread; never waits.
 */
#ifndef PGFANOUT_CONSUMER_LETTERS_DEAD_LETTERS_REPLAY_H
#define PGFANOUT_CONSUMER_LETTERS_DEAD_LETTERS_REPLAY_H

#include "common/amqp/amqp.h"
#include "consumer/letters/dead_letters_text.h"

struct dead_replay;

/* tag: the letter's delivery tag. AMQP_RETURNED: its queue does not exist. */
typedef void (*dead_replay_settled)(void *arg, uint64_t tag, const struct dead_letter *letter,
				    enum amqp_settled how);

MUST_CHECK struct dead_replay *dead_replay_open(const char *urls, dead_replay_settled settled,
						void *arg, struct err *err);
/* What is not settled stays in the dead-letter queue. NULL is fine. */
void dead_replay_close(struct dead_replay *r);

/* Copies. The letter names its queue. */
void dead_replay_add(struct dead_replay *r, const struct dead_letter *letter,
		     const struct amqp_delivery *d);
/* Whether further letters should be read for now. */
bool dead_replay_room(const struct dead_replay *r);
size_t dead_replay_pending(const struct dead_replay *r);
/* Publishes what can be published and takes the broker's answers. False: the connection is lost, or
 * the broker has answered nothing for 30 s. */
MUST_CHECK bool dead_replay_step(struct dead_replay *r, struct err *err);
int dead_replay_fd(const struct dead_replay *r);
int dead_replay_wait_ms(const struct dead_replay *r, int max_ms);

#endif
