/*
 * statements.c: see statements.h. A worker's thread.
 */
#include "api/batch/statements.h"

#include <stdlib.h>
#include <string.h>

void made_clear(struct made_statements *all)
{
	for (size_t i = 0; i < MADE_MAX; i++) {
		struct made *m = all->places[i];

		if (!m)
			continue;
		free(m->replica);
		free(m->primary);
		free(m);
		all->places[i] = NULL;
	}
}

/* FNV-1a, eight bytes at a time. */
static uint64_t hash_of(const char *text)
{
	size_t len = strlen(text), at = 0;
	uint64_t h = UINT64_C(0xcbf29ce484222325) ^ len, part;

	for (; at + sizeof(part) <= len; at += sizeof(part)) {
		memcpy(&part, text + at, sizeof(part));
		h = (h ^ part) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 32;
	}
	for (; at < len; at++)
		h = (h ^ (unsigned char)text[at]) * UINT64_C(0x100000001b3);
	return h;
}

static bool is_it(const struct made *m, uint64_t hash, const char *replica, const char *primary)
{
	return m->hash == hash && strcmp(m->primary, primary) == 0 &&
	       strcmp(m->replica, replica) == 0;
}

/* A place that is free, or of what nobody holds and was not used for the longest time; MADE_MAX: none. */
static size_t place_for(const struct made_statements *all)
{
	size_t best = MADE_MAX;

	for (size_t i = 0; i < MADE_MAX; i++) {
		const struct made *m = all->places[i];

		if (!m)
			return i;
		if (m->refs == 0 && (best == MADE_MAX || m->used < all->places[best]->used))
			best = i;
	}
	return best;
}

struct made *made_find(struct made_statements *all, const char *replica, const char *primary,
		       int nparams)
{
	uint64_t hash = hash_of(primary);

	for (size_t i = 0; i < MADE_MAX && all->places[i]; i++) {
		struct made *m = all->places[i];

		if (!is_it(m, hash, replica, primary))
			continue;
		m->used = ++all->uses;
		return made_ref(m);
	}
	size_t place = place_for(all);

	if (place == MADE_MAX)
		return NULL;
	struct made *m = all->places[place];

	if (!m)
		m = all->places[place] = xcalloc(1, sizeof(*m));
	free(m->replica);
	free(m->primary);
	*m = (struct made){ .replica = xstrdup(replica),
			    .primary = xstrdup(primary),
			    .nparams = nparams,
			    .place = place,
			    .serial = ++all->serials,
			    .hash = hash,
			    .used = ++all->uses };
	return made_ref(m);
}

struct made *made_again(struct made_statements *all, struct made *m, uint64_t serial)
{
	if (!m || m->serial != serial)
		return NULL;
	m->used = ++all->uses;
	return made_ref(m);
}

struct made *made_ref(struct made *m)
{
	m->refs++;
	return m;
}

void made_unref(struct made *m)
{
	if (m)
		m->refs--;
}

size_t made_number(const struct made *m, const struct link *l)
{
	return db_use_statement(l->db, m->place, m->serial,
				l->up->primary ? m->primary : m->replica, m->nparams);
}
