/*
 * lag.h: how far a replica may be behind the primary and still serve reads.
 *
 * A replica's lag is the primary's clock now minus the newest heartbeat that came through both of
 * its queues: everything committed on the primary before that time is on the replica, but for what
 * it refused. Pure, but for the one shared number of struct lag_clock.
 */
#ifndef PGFANOUT_API_POOL_LAG_H
#define PGFANOUT_API_POOL_LAG_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "common/base/clock.h"

/* The primary's clock, as the primary's thread last saw it, carried on with the monotonic clock. */
struct lag_clock {
	_Atomic int64_t ahead_us; /* of our monotonic clock; any thread */
};

/* Microseconds of Unix time. Until the primary is reached our own wall clock stands in for its. */
void lag_clock_set(struct lag_clock *c, struct mono now, int64_t wall_us);
int64_t lag_clock_now(const struct lag_clock *c, struct mono now);

/* No heartbeat has ever come. */
#define LAG_NO_HEARTBEAT 0
/* A heartbeat that is further ahead of the primary's clock was made by another clock, or before the
 * clock was set back: how far the replica is behind is not known until the next one comes. Less is
 * the difference between two readings. */
#define LAG_AHEAD_MAX_US INT64_C(1000000)

/* False: the heartbeat says nothing, and *ret is left alone. Never less than 0. */
bool lag_between(int64_t heartbeat_us, int64_t primary_us, int64_t *ret_us);

/*
 * Whether a replica may serve reads. The rule:
 *   1. max_ms 0: any lag will do.
 *   2. No heartbeat has ever come: while the process is younger than max_ms. One that has just been
 *      set up is not to be left out.
 *   3. Its lag is known, and at most max_ms; one that was lagging comes back at three quarters of it,
 *      so that one at the limit does not come and go.
 */
bool lag_allows(int64_t max_ms, int64_t heartbeat_us, int64_t primary_us, bool was_lagging,
		int64_t age_ms);

/*
 * Of a standby no heartbeats come, and the time of the last change that it has replayed says nothing while none
 * are made. So the primary's thread notes, with each look, how far its WAL had been flushed and when; what a
 * standby has replayed is as old as the newest of those places that it has passed.
 */
#define LAG_PLACES 128
struct lag_places {
	pthread_mutex_t lock;
	struct {
		uint64_t lsn;
		int64_t at_us; /* on the primary's clock */
	} ring[LAG_PLACES];
	size_t n; /* noted so far */
};
void lag_places_init(struct lag_places *p);
/* Any thread. */
void lag_places_note(struct lag_places *p, uint64_t lsn, int64_t at_us);
/* In the place of a heartbeat; LAG_NO_HEARTBEAT: it has passed none that is known. Any thread. */
int64_t lag_places_find(struct lag_places *p, uint64_t replayed);

/* A stream in a set of them. Those of high numbers share a bit: if one lags, all count as lagging. */
#define LAG_STREAM_BITS 64
static inline uint64_t lag_stream_bit(int number)
{
	return UINT64_C(1) << (number < LAG_STREAM_BITS - 1 ? number : LAG_STREAM_BITS - 1);
}

/* The streams that the rule does not let serve, of a text [{"number": 2, "heartbeat": 1700000000000000}], where
 * null or none is LAG_NO_HEARTBEAT; before: those that it did not when it was last asked. */
uint64_t lag_streams(const char *json, int64_t max_ms, int64_t primary_us, uint64_t before,
		     int64_t age_ms);

#endif
