/*
 * backoff.h: how long to wait before the next try: doubling from first to most, with jitter (half
 * to all of it). The policy is data; the caller sleeps. Pure but for the random number (own state,
 * seeded once). One owner.
 */
#ifndef PGFANOUT_COMMON_BASE_BACKOFF_H
#define PGFANOUT_COMMON_BASE_BACKOFF_H

#include "common/base/base.h"

struct backoff {
	int64_t first_ms;
	int64_t most_ms;
	unsigned failures; /* in a row; 0 after backoff_reset */
	uint64_t seed;
};

void backoff_init(struct backoff *b, int64_t first_ms, int64_t most_ms);
int64_t backoff_next_ms(struct backoff *b); /* counts one failure; returns what to wait */
void backoff_reset(struct backoff *b);	    /* it worked */

#endif
