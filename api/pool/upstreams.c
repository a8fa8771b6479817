/*
 * upstreams.c: see upstreams.h.
 */
#include "api/pool/upstreams.h"

#include <stdio.h>
#include <stdlib.h>

const char *upstream_state_name(enum upstream_state s)
{
	static const char *const names[] = {
		[UPSTREAM_CONNECTING] = "connecting",
		[UPSTREAM_SERVING] = "serving",
		[UPSTREAM_LAGGING] = "lagging",
		[UPSTREAM_NEEDS_RESET] = "needs reset",
		[UPSTREAM_READ_ONLY] = "read-only",
		[UPSTREAM_UNCAPTURED] = "capture broken",
		[UPSTREAM_NOT_MIGRATED] = "not-migrated",
		[UPSTREAM_UNREACHABLE] = "unreachable",
		[UPSTREAM_TOO_WRONG] = "too many dead letters",
		[UPSTREAM_NO_STANDBY] = "no standby",
	};

	return names[s];
}

void upstreams_add(struct upstreams *all, const char *name, const char *url,
		   enum upstream_kind kind)
{
	struct upstream *up = &all->list[all->n];

	up->name = name;
	up->url = url;
	up->index = all->n++;
	up->primary = kind == UPSTREAM_PRIMARY;
	up->standby = kind == UPSTREAM_STANDBY;
	all->nstandbys += up->standby;
	up->hash = source_hash(name);
	up->clock = &all->clock;
	up->since_us = wall_now_us();
	snprintf(up->reason, sizeof(up->reason), "not reached yet");
	pthread_mutex_init(&up->lock, NULL);
	wrong_place_init(&up->wrong);
	atomic_init(&up->outbox, -1);
	/* Until it was looked at, writes wait for the primary instead of being turned away. */
	atomic_init(&up->fit, up->primary);
	if (up->primary)
		lag_places_init(&all->places);
}

void upstreams_clear(struct upstreams *all)
{
	for (size_t i = 0; i < all->n; i++) {
		wrong_place_clear(&all->list[i].wrong);
		free(all->list[i].queues);
		free(all->list[i].tables);
		free(all->list[i].streams);
		free(all->list[i].standbys);
		free(all->list[i].receiver);
	}
}

uint64_t upstream_mark(const struct upstream *up, uint64_t streams)
{
	uint64_t least = UINT64_MAX;

	if (streams >> (LAG_STREAM_BITS - 1) != 0)
		return 0;
	for (uint64_t bits = streams; bits != 0; bits &= bits - 1) {
		uint64_t mark = atomic_load_explicit(&up->marks[__builtin_ctzll(bits)],
						     memory_order_relaxed);

		least = mark < least ? mark : least;
	}
	return least;
}

void upstream_take_mark(struct upstream *up, uint64_t streams, uint64_t mark)
{
	for (uint64_t bits = streams; bits != 0; bits &= bits - 1)
		atomic_store_explicit(&up->marks[__builtin_ctzll(bits)], mark,
				      memory_order_relaxed);
}

const char *upstream_refuses_writes(const struct upstream *primary)
{
	if (atomic_load_explicit(&primary->uncaptured, memory_order_relaxed))
		return "changes are not all captured, see /status";
	if (atomic_load_explicit(&primary->hung, memory_order_relaxed) > 0)
		return "commits wait for a synchronous standby that does not answer";
	return NULL;
}

bool upstream_lag_us(const struct upstream *up, int64_t *ret)
{
	int64_t beat = atomic_load_explicit(&up->heartbeat_us, memory_order_relaxed);

	return !up->primary && lag_between(beat, lag_clock_now(up->clock, mono_now()), ret);
}
