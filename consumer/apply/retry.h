/*
 * retry.h: moves failed changes out of the way: to the replica's retry queue, or to its dead-letter
 * queue. common/amqp/outgoing.h says what a crash means.
 *
 * A move is kept here and tried again for as long as it takes. The message it came from may be
 * acknowledged when all its moves are confirmed.
 *
 * Owned by one worker's thread. Logs each move once.
 */
#ifndef PGFANOUT_CONSUMER_APPLY_RETRY_H
#define PGFANOUT_CONSUMER_APPLY_RETRY_H

#include "common/amqp/amqp.h"
#include "common/base/clock.h"
#include "common/wire/stream.h"
#include "consumer/apply/batch.h"
#include "consumer/settings.h"
#include "consumer/status.h"

struct retry;

/* Everything that had to be moved of the message with this delivery tag has arrived: it may be
 * acknowledged. Called from within retry_settled() only. */
typedef void (*retry_done)(void *arg, uint64_t tag);

/* settings, stream, replica and status are borrowed for life. */
struct retry *retry_new(const struct consumer_settings *settings, const struct stream *stream,
			const char *replica, struct status *status, retry_done done, void *arg);
struct retry *retry_free(struct retry *r); /* NULL is fine; returns NULL */

/* Copies all failures of a batch. Whether the message with this index has any is the caller's to
 * know. */
void retry_take(struct retry *r, const struct batch *b);
/* The deliveries' connection is gone and their tags with it: they will come again. */
void retry_forget(struct retry *r);

size_t retry_pending(const struct retry *r); /* moves not yet confirmed */
/* They take so much memory that no further messages should be received. */
bool retry_full(const struct retry *r);

/* A change that waited on the replica and is given up. Its row is recorded as wrong there before the change is
 * published. */
struct retry_record {
	int table;
	const char *key; /* as SQL writes a text[] */
	int64_t version;
	uint64_t xid;	    /* 0: not known */
	const char *source; /* "": not known */
	const char *queue, *error;
};
/* Hands out those that were not handed out yet, at most max; returns how many. They wait for
 * retry_recorded(). */
size_t retry_take_records(struct retry *r, size_t max,
			  void (*each)(void *arg, const struct retry_record *record), void *arg);
void retry_recorded(struct retry *r); /* all that were handed out may be published */

/* A move was returned or refused: retry and dead-letter queue are to be declared, then
 * retry_declared() is to be called; until then none is published. */
bool retry_wants_queues(const struct retry *r);
/* They were declared, but for those that somebody declared otherwise. Changes wait for a retry queue
 * that is not as it must be: it might lose them. */
void retry_declared(struct retry *r, bool retry_fit);

/* Publishes what can be published now. False: the link is broken; call retry_unsend(). */
MUST_CHECK bool retry_send(struct retry *r, struct amqp_link *link, struct mono now,
			   struct err *err);
/* The broker's answer to one of them. */
void retry_settled(struct retry *r, uint64_t publish_no, enum amqp_settled how);
/* The link is gone: what was not answered is published again on the next one. */
void retry_unsend(struct retry *r);
/* Until retry_send() has something to do that no answer of the broker wakes it for. */
int retry_wait_ms(const struct retry *r, struct mono now, int max_ms);

#endif
