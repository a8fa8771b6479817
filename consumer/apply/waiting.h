/*
 * waiting.h: changes that the replica refused because of another row wait there, in pgfanout.waiting, until
 * that row makes way: has them tried again, and moves those that are given up.
 *
 * Owned by one worker's thread. Never waits. Logs what the replica does not do.
 */
#ifndef PGFANOUT_CONSUMER_APPLY_WAITING_H
#define PGFANOUT_CONSUMER_APPLY_WAITING_H

#include "common/base/clock.h"
#include "common/pg/db.h"
#include "common/wire/stream.h"
#include "consumer/apply/retry.h"
#include "consumer/settings.h"
#include "consumer/status.h"

struct waiting;

/* The "delivery tags" of its moves: not of the broker's. */
#define WAITING_TAG (UINT64_C(1) << 63)

/* All borrowed for life. */
struct waiting *waiting_new(const struct consumer_settings *settings, const struct stream *stream,
			    struct status *status, struct retry *retry);
struct waiting *waiting_free(struct waiting *w); /* NULL is fine; returns NULL */

/* At the beginning of a stretch: nothing is in flight, and nothing known of the replica. */
void waiting_start(struct waiting *w);
/* A batch is committed, so others may be able to go on; so many of its changes wait now. */
void waiting_batch(struct waiting *w, size_t kept);
/* So many wait there, says the replica: another consumer may have put them there. */
void waiting_note(struct waiting *w, int64_t n);
/* A move of its own is confirmed. */
void waiting_moved(struct waiting *w, uint64_t tag);
/* Sends what is due, one statement at a time. Call it after each db_io(). try: not at the end of a stretch. */
void waiting_step(struct waiting *w, struct db *db, struct mono now, bool try);
struct mono waiting_wake(const struct waiting *w); /* when it has something to do; or never */

#endif
