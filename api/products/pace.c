/*
 * pace.c: see pace.h.
 */
#include "api/products/pace.h"

#include <stddef.h>

static void roll(struct pace *p, struct mono now)
{
	int64_t us = mono_is_never(p->began) ? 0 : mono_diff_us(now, p->began);

	if (us < PACE_MS * INT64_C(1000))
		return;
	p->last = (int64_t)p->bytes * PACE_MS * 1000 / us;
	p->bytes = 0;
	p->began = now;
}

void pace_join(struct paces *all, struct pace *p, void *owner, struct mono now)
{
	*p = (struct pace){ .next = all->first, .owner = owner, .began = now, .last = -1 };
	if (p->next)
		p->next->prev = p;
	all->first = p;
}

void pace_leave(struct paces *all, struct pace *p)
{
	if (p->prev)
		p->prev->next = p->next;
	else
		all->first = p->next;
	if (p->next)
		p->next->prev = p->prev;
}

void pace_moved(struct pace *p, size_t moved, struct mono now)
{
	if (mono_is_never(p->began)) {
		p->began = now;
		p->last = -1;
		p->bytes = 0;
	}
	p->bytes += moved;
	roll(p, now);
}

void pace_rest(struct pace *p)
{
	p->began = MONO_NEVER;
	p->last = -1;
}

void *pace_slowest(struct paces *all, struct mono now)
{
	struct pace *slowest = NULL;

	for (struct pace *p = all->first; p; p = p->next) {
		roll(p, now);
		if (p->last >= 0 && p->last < PACE_BYTES && (!slowest || p->last < slowest->last))
			slowest = p;
	}
	return slowest ? slowest->owner : NULL;
}
