/*
 * gather.c: see gather.h. The rate is an average that forgets within RATE_US, so that two changes that
 * happen to come together are no rush, and the first ones of a rush do not wait.
 */
#include "api/relay/gather.h"

#define GAP_MIN_US 500
#define PAUSE_US   1000
#define QUIET_SHARE \
	20 /* the pause is this part of the time that nothing has come, if that is more */
#define CALM_RATE  1000
#define FLUSH_RATE 200
#define GAP_US	   2000 /* for each thousand more */
#define GAP_MAX_US 20000
#define RATE_US	   50000
#define IDLE_US	   (GATHER_IDLE_MS * INT64_C(1000))

void gather_begin(struct gather *g, struct mono now)
{
	*g = (struct gather){
		.pause_us = PAUSE_US, .gap_us = GAP_MIN_US, .swept_at = now, .found_at = now
	};
}

static void rate(struct gather *g, int64_t changes, struct mono now)
{
	int64_t us = mono_diff_us(now, g->swept_at);

	if (us < RATE_US)
		g->rate += changes * 1000000 / RATE_US - g->rate * us / RATE_US;
	else
		g->rate = changes * 1000000 / us;
	g->swept_at = now;
}

void gather_swept(struct gather *g, size_t changes, struct mono now)
{
	rate(g, (int64_t)changes, now);
	g->gap_us = GAP_MIN_US;
	if (!gather_calm(g))
		g->gap_us += (g->rate - CALM_RATE) * GAP_US / 1000;
	if (g->gap_us > GAP_MAX_US)
		g->gap_us = GAP_MAX_US;
	if (changes > 0)
		g->found_at = now;
	g->pause_us = mono_diff_us(now, g->found_at) / QUIET_SHARE;
	if (g->pause_us < PAUSE_US)
		g->pause_us = PAUSE_US;
	if (g->pause_us > IDLE_US)
		g->pause_us = IDLE_US;
}

bool gather_flushes(const struct gather *g)
{
	return g->rate >= FLUSH_RATE;
}

bool gather_calm(const struct gather *g)
{
	return g->rate <= CALM_RATE;
}
