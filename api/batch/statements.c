/*
 * statements.c: see statements.h. A worker's thread.
 */
#include "api/batch/statements.h"

#include <stdlib.h>
#include <string.h>

static void forget(struct made *m)
{
	strbuf_clear(&m->form);
	if (m->primary != m->replica)
		free(m->primary);
	free(m->replica);
}

void made_clear(struct made_statements *all)
{
	for (size_t i = 0; i < MADE_MAX; i++) {
		struct made *m = all->places[i];

		if (!m)
			continue;
		forget(m);
		free(m);
		all->places[i] = NULL;
	}
}

/* FNV-1a, eight bytes at a time. */
static uint64_t hash_of(const struct strbuf *form)
{
	size_t len = form->len, at = 0;
	const char *text = form->data;
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

struct made *made_find(struct made_statements *all, const struct strbuf *form)
{
	uint64_t hash = hash_of(form);

	for (size_t i = 0; i < MADE_MAX && all->places[i]; i++) {
		struct made *m = all->places[i];

		if (m->hash != hash || m->form.len != form->len ||
		    memcmp(m->form.data, form->data, form->len) != 0)
			continue;
		m->used = ++all->uses;
		return made_ref(m);
	}
	return NULL;
}

struct made *made_add(struct made_statements *all, const struct strbuf *form, const char *replica,
		      const char *primary, int nparams)
{
	size_t place = place_for(all);

	if (place == MADE_MAX)
		return NULL;
	struct made *m = all->places[place];

	if (m)
		forget(m);
	else
		m = all->places[place] = xcalloc(1, sizeof(*m));
	*m = (struct made){ .replica = xstrdup(replica),
			    .nparams = nparams,
			    .place = place,
			    .serial = ++all->serials,
			    .hash = hash_of(form),
			    .used = ++all->uses };
	m->primary = strcmp(primary, replica) == 0 ? m->replica : xstrdup(primary);
	strbuf_add(&m->form, form->data, form->len);
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
				l->up->primary || l->up->standby ? m->primary : m->replica,
				m->nparams);
}
