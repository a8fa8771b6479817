/*
 * backoff.c: the next wait after a failure.
 *
 * Promise: wait k (k = 0, 1, …) lies between half and all of min(first * 2^k, most), at random, so
 * that many workers that lost the same server do not come back in the same moment. One owner;
 * sleeps nowhere.
 */
#include "common/base/backoff.h"

#include <sys/random.h>

#include "common/base/clock.h"

void backoff_init(struct backoff *b, int64_t first_ms, int64_t most_ms)
{
	*b = (struct backoff){ .first_ms = first_ms, .most_ms = most_ms };

	/* Early in a machine's life there may be no entropy yet; spreading out needs only some
	 * difference. */
	if (getrandom(&b->seed, sizeof(b->seed), GRND_NONBLOCK) != (ssize_t)sizeof(b->seed))
		b->seed = (uint64_t)mono_now().us ^ (uint64_t)(uintptr_t)b;
}

/* splitmix64. */
static uint64_t next_random(uint64_t *seed)
{
	uint64_t z = (*seed += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

int64_t backoff_next_ms(struct backoff *b)
{
	int64_t wait = b->first_ms < b->most_ms ? b->first_ms : b->most_ms;

	for (unsigned i = 0; i < b->failures && wait > 0 && wait < b->most_ms; i++)
		wait = wait > b->most_ms / 2 ? b->most_ms : wait * 2;
	if (b->failures < UINT32_MAX)
		b->failures++;
	if (wait <= 0)
		return 0;

	int64_t half = wait - wait / 2;
	return half + (int64_t)(next_random(&b->seed) % (uint64_t)(wait - half + 1));
}

void backoff_reset(struct backoff *b)
{
	b->failures = 0;
}
