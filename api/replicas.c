/*
 * replicas.c: the choice of replicas.h. A worker's thread.
 */
#include "api/replicas.h"

#include <string.h>

#include "api/worker.h"

const char *upstream_state_name(enum upstream_state s)
{
	static const char *const names[] = { "connecting", "serving",	   "needs reset",
					     "read-only",  "not migrated", "unreachable" };

	return names[s];
}

static size_t first_choice(struct worker *w, size_t n)
{
	if (strcmp(w->settings->read_balance, "random") != 0) {
		w->turn = w->turn + 1 < n ? w->turn + 1 : 0;
		return w->turn;
	}
	w->dice ^= w->dice << 13; /* xorshift64: good enough to spread load */
	w->dice ^= w->dice >> 7;
	w->dice ^= w->dice << 17;
	return (size_t)(w->dice % n);
}

static bool has_tried(const struct request *r, const struct upstream *up)
{
	return up->primary ? r->tried_primary : (r->tried >> up->index & 1) != 0;
}

struct link *replicas_pick(struct worker *w, unsigned role, const struct request *r)
{
	struct link **by_upstream = role == LINK_POINT ? w->points : w->scans;
	size_t replicas = w->upstreams->n - 1;

	if (r->home && !has_tried(r, r->home) && link_usable(by_upstream[r->home->index]) &&
	    atomic_load_explicit(&r->home->fit, memory_order_relaxed))
		return by_upstream[r->home->index];
	size_t at = first_choice(w, replicas);

	for (size_t i = 0; i < replicas; i++, at = at + 1 < replicas ? at + 1 : 0) {
		struct link *l = by_upstream[at];

		if (!has_tried(r, l->up) && link_usable(l) &&
		    atomic_load_explicit(&l->up->fit, memory_order_relaxed))
			return l;
	}
	struct link *l = by_upstream[replicas];

	return link_usable(l) && !r->tried_primary ? l : NULL;
}

bool replicas_expected(const struct worker *w, const struct request *r)
{
	for (size_t i = 0; i < w->upstreams->n; i++) {
		const struct upstream *up = &w->upstreams->list[i];

		if (!has_tried(r, up) && atomic_load_explicit(&up->fit, memory_order_relaxed))
			return true;
	}
	return false;
}

void replicas_failed(struct request *r, const struct upstream *up)
{
	if (up->primary)
		r->tried_primary = true;
	else
		r->tried |= UINT64_C(1) << up->index;
}
