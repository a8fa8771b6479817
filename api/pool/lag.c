/*
 * lag.c: see lag.h. Any thread.
 */
#include "api/pool/lag.h"

#include <string.h>

#include "common/json/jscan.h"

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

void lag_places_init(struct lag_places *p)
{
	pthread_mutex_init(&p->lock, NULL);
	p->n = 0;
}

void lag_places_note(struct lag_places *p, uint64_t lsn, int64_t at_us)
{
	pthread_mutex_lock(&p->lock);
	p->ring[p->n % LAG_PLACES].lsn = lsn;
	p->ring[p->n++ % LAG_PLACES].at_us = at_us;
	pthread_mutex_unlock(&p->lock);
}

int64_t lag_places_find(struct lag_places *p, uint64_t replayed)
{
	int64_t found = LAG_NO_HEARTBEAT;

	pthread_mutex_lock(&p->lock);
	for (size_t i = p->n; i > 0 && p->n - i < LAG_PLACES && found == LAG_NO_HEARTBEAT; i--)
		if (p->ring[(i - 1) % LAG_PLACES].lsn <= replayed)
			found = p->ring[(i - 1) % LAG_PLACES].at_us;
	pthread_mutex_unlock(&p->lock);
	return found;
}

/* 0: the object has no such member, or null. */
static int64_t member(const struct jscan_value *object, const char *name)
{
	struct jscan_value value;
	int64_t n = 0;

	return jscan_member(object, name, &value) && jscan_int64(&value, &n) ? n : 0;
}

uint64_t lag_streams(const char *json, int64_t max_ms, int64_t primary_us, uint64_t before,
		     int64_t age_ms)
{
	struct jscan_value document, stream;
	struct jscan_iter it;
	struct err ignored;
	uint64_t lagging = 0;

	if (!jscan_document(json, strlen(json), &document, &ignored) ||
	    document.type != JSCAN_ARRAY)
		return before;
	for (jscan_iter_init(&it, &document); jscan_iter_next(&it, NULL, &stream);) {
		uint64_t bit = lag_stream_bit((int)member(&stream, "number"));

		if (!lag_allows(max_ms, member(&stream, "heartbeat"), primary_us,
				(before & bit) != 0, age_ms))
			lagging |= bit;
	}
	return lagging;
}
