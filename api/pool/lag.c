/*
 * lag.c: see lag.h. Any thread.
 */
#include "api/pool/lag.h"

void lag_clock_set(struct lag_clock *c, struct mono now, int64_t wall_us)
{
	atomic_store_explicit(&c->ahead_us, wall_us - now.us, memory_order_relaxed);
}

int64_t lag_clock_now(const struct lag_clock *c, struct mono now)
{
	return now.us + atomic_load_explicit(&c->ahead_us, memory_order_relaxed);
}

bool lag_between(int64_t heartbeat_us, int64_t primary_us, int64_t *ret_us)
{
	int64_t lag_us = primary_us - heartbeat_us;

	if (heartbeat_us == LAG_NO_HEARTBEAT || lag_us < -LAG_AHEAD_MAX_US)
		return false;
	*ret_us = lag_us > 0 ? lag_us : 0;
	return true;
}

bool lag_allows(int64_t max_ms, int64_t heartbeat_us, int64_t primary_us, bool was_lagging,
		int64_t age_ms)
{
	int64_t lag_us;

	/* 1 */
	if (max_ms == 0)
		return true;
	/* 2 */
	if (heartbeat_us == LAG_NO_HEARTBEAT)
		return age_ms < max_ms;
	/* 3 */
	return lag_between(heartbeat_us, primary_us, &lag_us) &&
	       lag_us <= max_ms * (was_lagging ? 750 : 1000);
}
