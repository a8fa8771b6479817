/*
 * tempo.c: see tempo.h.
 */
#include "api/batch/tempo.h"

#include <stddef.h>

static void roll(struct tempo *p, struct mono now)
{
	int64_t us = mono_is_never(p->began) ? 0 : mono_diff_us(now, p->began);

	if (us < TEMPO_MS * INT64_C(1000))
		return;
	p->last = (int64_t)p->bytes * TEMPO_MS * 1000 / us;
	p->bytes = 0;
	p->began = now;
}

void tempo_join(struct tempos *all, struct tempo *p, void *owner, struct mono now)
{
	*p = (struct tempo){ .next = all->first, .owner = owner, .began = now, .last = -1 };
	if (p->next)
		p->next->prev = p;
	all->first = p;
}

void tempo_leave(struct tempos *all, struct tempo *p)
{
	if (p->prev)
		p->prev->next = p->next;
	else
		all->first = p->next;
	if (p->next)
		p->next->prev = p->prev;
}

void tempo_moved(struct tempo *p, size_t moved, struct mono now)
{
	if (mono_is_never(p->began)) {
		p->began = now;
		p->last = -1;
		p->bytes = 0;
	}
	p->bytes += moved;
	roll(p, now);
}

void tempo_rest(struct tempo *p)
{
	p->began = MONO_NEVER;
	p->last = -1;
}

void *tempo_slowest(struct tempos *all, struct mono now)
{
	struct tempo *slowest = NULL;

	for (struct tempo *p = all->first; p; p = p->next) {
		roll(p, now);
		if (p->last >= 0 && p->last < TEMPO_BYTES && (!slowest || p->last < slowest->last))
			slowest = p;
	}
	return slowest ? slowest->owner : NULL;
}
