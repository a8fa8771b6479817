/*
 * uuid_set.c: see uuid_set.h.
 */
#include "common/base/uuid_set.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_CAP 256

/* Of both halves: our own ids differ most in the second one, other people's may in either. */
static size_t hash(const struct uuid *id)
{
	uint64_t half[2];

	memcpy(half, id->b, sizeof(half));
	uint64_t h = half[0] * UINT64_C(0x9e3779b97f4a7c15) ^ half[1];
	h = (h ^ h >> 32) * UINT64_C(0xd6e8feb86659fd93);
	return (size_t)(h ^ h >> 32);
}

/* The slot of this id, or the free one where it belongs. */
static struct uuid_slot *find(const struct uuid_set *s, const struct uuid *id)
{
	for (size_t at = hash(id);; at++) {
		struct uuid_slot *slot = &s->slots[at & (s->cap - 1)];

		if (slot->round != s->round || uuid_cmp(&slot->id, id) == 0)
			return slot;
	}
}

static void grow(struct uuid_set *s)
{
	struct uuid_set old = *s;

	*s = (struct uuid_set){ .cap = old.cap ? old.cap * 2 : FIRST_CAP, .round = 1 };
	s->slots = xcalloc(s->cap, sizeof(*s->slots)); /* their round is 0: free */
	for (size_t i = 0; i < old.cap; i++)
		if (old.slots[i].round == old.round)
			uuid_set_put(s, &old.slots[i].id, old.slots[i].row);
	free(old.slots);
}

uint32_t *uuid_set_put(struct uuid_set *s, const struct uuid *id, uint32_t row)
{
	if (s->cap < 2 * (s->n + 1))
		grow(s);
	struct uuid_slot *slot = find(s, id);

	if (slot->round != s->round) {
		*slot = (struct uuid_slot){ *id, row, s->round };
		s->n++;
	}
	return &slot->row;
}

void uuid_set_reset(struct uuid_set *s)
{
	s->n = 0;
	if (s->cap > 0 && ++s->round == 0) { /* 2^32 resets later: old slots would count again */
		memset(s->slots, 0, s->cap * sizeof(*s->slots));
		s->round = 1;
	}
}

void uuid_set_clear(struct uuid_set *s)
{
	free(s->slots);
	*s = (struct uuid_set){ 0 };
}
