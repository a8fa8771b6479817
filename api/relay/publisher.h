/*
 * publisher.h: turns claimed changes into messages, and knows which of them the broker has
 * confirmed.
 *
 * Owned by the relay's thread; it sends through the link it is given and never waits. A chunk of
 * changes goes round: publisher_chunk() hands out an empty one, publisher_add() takes it back full,
 * and when all of its messages are answered it is empty again.
 */
#ifndef PGFANOUT_API_RELAY_PUBLISHER_H
#define PGFANOUT_API_RELAY_PUBLISHER_H

#include "api/relay/outbox.h"
#include "common/amqp/amqp.h"

struct publisher;

struct publisher_counts {
	uint64_t messages;  /* sent */
	uint64_t confirmed; /* changes, and so on */
	uint64_t returned;
	uint64_t nacked;
	/* By enum change_kind: messages that were sent directly, and that the exchange took or did
	 * not. */
	uint64_t direct_taken[2], direct_refused[2];
	uint64_t too_large;    /* changes, see publisher_limit(); these two: the last one */
	const char *large_key; /* its routing key */
	uint64_t large_bytes;
};

/* stream: borrowed. chunks: how many may be under way; changes_max: of one message, 1: no arrays. */
struct publisher *publisher_new(const struct stream *stream, size_t chunks, size_t changes_max);
void publisher_free(struct publisher *p);

/* No message gets a larger body. A row that would need one is sent by its key alone, as a change that
 * replicas refuse: so they know that it is wrong there, and nothing waits for it. PUBLISHER_LIMIT until this
 * is called: what brokers take unless they are told otherwise (before RabbitMQ 4.0). */
#define PUBLISHER_LIMIT ((size_t)128 << 20)
void publisher_limit(struct publisher *p, size_t bytes);
/* Why the broker closed the channel: whether it has told how large messages may be. */
bool publisher_limit_told(const char *text, size_t *ret_bytes);

/* An empty chunk to claim into, NULL while all are under way, or so many bytes are. It is the caller's until
 * one of the next two. */
struct outbox_chunk *publisher_chunk(struct publisher *p);
bool publisher_has_room(const struct publisher *p); /* whether publisher_chunk() has one */
/* An empty one is released at once. calm: there are few changes of late, each may go alone. */
void publisher_add(struct publisher *p, struct outbox_chunk *c, bool calm);
void publisher_release(struct outbox_chunk *c);

enum publisher_run {
	PUBLISHER_IDLE,	  /* nothing to send */
	PUBLISHER_MORE,	  /* there is more: look what the broker says, then call again */
	PUBLISHER_WAITS,  /* for an answer, which comes through the link */
	PUBLISHER_SHAPE,  /* for the announcement of a shape: publisher_wants() */
	PUBLISHER_FULL,	  /* for room in the socket, or the end of the broker's pause */
	PUBLISHER_BROKEN, /* the link failed; err is set */
};
/* term: for x-term, the same until publisher_drop(). announced: announcer_term(). */
MUST_CHECK enum publisher_run publisher_run(struct publisher *p, struct amqp_link *l, int64_t term,
					    unsigned announced, struct err *err);

/* PUBLISHER_SHAPE: this one. */
struct shape_route *publisher_wants(const struct publisher *p);

/* amqp_handler's settled, with the publisher as arg. Confirmed changes queue up for
 * publisher_confirmed(). */
void publisher_settled(void *arg, uint64_t publish_no, enum amqp_settled how);
/* Up to max keys of confirmed changes; *ret is valid until the next call of any function here. 0:
 * none. */
size_t publisher_confirmed(struct publisher *p, size_t max, const struct outbox_key **ret);
size_t publisher_confirmed_count(const struct publisher *p);
/* This record is to be forgotten too: a heartbeat's, in one transaction with changes that are. */
void publisher_also_confirmed(struct publisher *p, struct outbox_key key);
/* By enum change_kind: so many messages are confirmed since publisher_drop(), the numbers 1 to this
 * one. Their keys are confirmed too, or were. */
const uint64_t *publisher_confirmed_messages(const struct publisher *p);
/* Messages were returned or nacked since publisher_drop(): their changes are still recorded, and
 * must be claimed again. */
bool publisher_refused(const struct publisher *p, enum amqp_settled *ret_how);

/* Also to each replica's queue by its name, until publisher_end_direct() or a drop: to find out who
 * takes messages while the exchange refuses some; one full queue bound to it is enough for that.
 * Sets of replicas are bits in the order of names. may_miss: those that are left out if their queue
 * does not take a message; if that of another one does not, the message counts as refused. names:
 * borrowed for life; 64 at most. Not while anything is unanswered. */
void publisher_go_direct(struct publisher *p, const char *const *names, size_t n,
			 uint64_t may_miss);
void publisher_end_direct(struct publisher *p);
/* Directly: the replicas whose queue did not take a message that counts as refused. */
uint64_t publisher_refused_by(const struct publisher *p);
/* Directly: some queue, or the exchange, has answered nothing on this link since it was given up,
 * and is not waited for. *ret_replicas: those whose queue it is; may be NULL. */
bool publisher_silent(const struct publisher *p, uint64_t *ret_replicas);
/* True once after changes were confirmed that this replica's queue did not take, and how it did not:
 * the replica is to be marked before they are forgotten. */
bool publisher_left_out(struct publisher *p, size_t replica, enum amqp_settled *ret_how);
/* The broker has not answered for long: what is unanswered counts as refused. */
void publisher_give_up(struct publisher *p);

/* Everything added so far, for publisher_passed(): whether all of it is confirmed. Not valid after
 * a drop. */
uint64_t publisher_mark(const struct publisher *p);
bool publisher_passed(const struct publisher *p, uint64_t mark);

size_t publisher_unanswered(const struct publisher *p); /* messages */
size_t publisher_changes(const struct publisher *p);	/* changes claimed and not yet answered */
void publisher_counts(const struct publisher *p, struct publisher_counts *ret);

/* Forgets all chunks, messages and keys, and ends the term; later answers to those messages say at
 * most that a queue is not silent any more. Then one message goes at a time until the broker has
 * confirmed one. new_link: publish numbers begin again at 1, and no queue counts as silent. */
void publisher_drop(struct publisher *p, bool new_link);

#endif
