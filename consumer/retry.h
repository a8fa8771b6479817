/*
 * retry.h: moves failed changes out of the way: to the replica's retry queue, or to its dead-letter queue.
 *
 * The rule: the copy is published (persistent, mandatory) and confirmed before the message it came from may be acknowledged. Until then
 * the move is kept here and tried again for as long as it takes; a crash leaves the message in its queue, and maybe
 * a copy in the next one, which is harmless.
 *
 * Moves have a broker connection of their own, opened when the first one is needed and closed after a minute without any: while
 * the broker has a memory or disk alarm it stops reading from connections that publish, and a connection that also carried
 * the acknowledgements would stop draining the queues, which may be just what ends the alarm.
 *
 * Owned by one worker's thread. Logs each move once.
 */
#ifndef PGFANOUT_CONSUMER_RETRY_H
#define PGFANOUT_CONSUMER_RETRY_H

#include "common/clock.h"
#include "consumer/batch.h"
#include "consumer/settings.h"
#include "consumer/status.h"

struct retry;

/* Everything that had to be moved of the message with this delivery tag has arrived: it may be acknowledged. Called from within
 * retry_step() only. */
typedef void (*retry_done)(void *arg, uint64_t tag);

/* settings, replica and status are borrowed for life. */
struct retry *retry_new(const struct settings *settings, const char *replica, struct status *status, retry_done done,
			void *arg);
struct retry *retry_free(struct retry *r); /* NULL is fine; returns NULL */

/* Takes over all failures of a batch (copies). Whether the message with this index has any is the caller's to know. */
void retry_take(struct retry *r, const struct batch *b);
/* The deliveries' connection is gone and their tags with it: they will come again. */
void retry_forget(struct retry *r);

size_t retry_pending(const struct retry *r);	   /* moves not yet confirmed */
size_t retry_pending_bytes(const struct retry *r); /* of their bodies */

/* Does what can be done now; may take as long as opening a connection. Call it when retry_fd() is readable, and at the latest after
 * retry_wait_ms(). */
void retry_step(struct retry *r, struct mono now);
int retry_fd(const struct retry *r); /* -1: none */
int retry_wait_ms(const struct retry *r, struct mono now, int max_ms);

#endif
