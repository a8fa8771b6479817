/*
 * outgoing.h: copies of messages on their way to a queue: published, confirmed, and published again
 * where that failed.
 *
 * The rule of everybody who moves a message: its copy is published (persistent, mandatory) and
 * confirmed before the message itself is acknowledged. A crash in between leaves the message where
 * it was, and maybe a copy in the next queue, which is harmless. A copy is kept here until its
 * owner, told of the broker's answer, lets it go; it survives a lost link.
 *
 * One owner: one thread. Never waits, does not log.
 */
#ifndef PGFANOUT_COMMON_AMQP_OUTGOING_H
#define PGFANOUT_COMMON_AMQP_OUTGOING_H

#include "common/amqp/amqp.h"

enum outgoing_state {
	OUTGOING_TO_SEND, /* for the first time, or again */
	OUTGOING_HELD,	  /* its owner says when it may be sent: sets TO_SEND */
	OUTGOING_SENT,	  /* the broker's answer is awaited */
};

/* The first member of what its owner remembers of a copy. */
struct outgoing_copy {
	struct outgoing_copy *next;
	enum outgoing_state state;
	uint64_t publish_no; /* SENT */
	size_t bytes;	     /* of memory */
	struct amqp_publish message;
};

/* The broker's answer. True: the copy is freed. False: it is sent again. */
typedef bool (*outgoing_settled_fn)(void *arg, struct outgoing_copy *c, enum amqp_settled how);

struct outgoing {
	size_t most, most_bytes; /* for outgoing_full() */
	outgoing_settled_fn settled;
	void *arg;
	struct outgoing_copy *first, **last;
	size_t n, bytes; /* of all copies */
};

void outgoing_init(struct outgoing *o, size_t most, size_t most_bytes, outgoing_settled_fn settled,
		   void *arg);
void outgoing_clear(struct outgoing *o); /* forgets all copies; it can be used again */

/* Copies p. size: of the owner's struct, which begins with the outgoing_copy and is zeroed behind
 * it. The copy is good until settled() returns true, or outgoing_clear(). */
struct outgoing_copy *outgoing_add(struct outgoing *o, const struct amqp_publish *p, size_t size);
/* Whether the owner should add no more for now. */
bool outgoing_full(const struct outgoing *o);

/* Publishes, in order, what the link has room for. False: the link is broken. */
MUST_CHECK bool outgoing_send(struct outgoing *o, struct amqp_link *l, struct err *err);
/* As amqp_handler's settled. */
void outgoing_settled(struct outgoing *o, uint64_t publish_no, enum amqp_settled how);
/* The link is gone: what was not answered is sent again on the next one. */
void outgoing_unsend(struct outgoing *o);

#endif
