/*
 * replicas.c: the choice of replicas.h. A worker's thread.
 */
#include "api/pool/upstreams.h"

#include <string.h>

#include "api/serve/worker.h"

const char *upstream_state_name(enum upstream_state s)
{
	static const char *const names[] = { "connecting",  "serving",
					     "lagging",	    "needs reset",
					     "read-only",   "not migrated",
					     "unreachable", "too many dead letters" };

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

/* Whether this read would meet a product there that is known to be wrong. */
static bool known_wrong(struct worker *w, size_t at, unsigned role, const struct request *r)
{
	const struct wrong_set *set = wrong_view(&w->wrong[at], &w->upstreams->list[at].wrong);

	if (!set)
		return false;
	return role == LINK_POINT ? wrong_set_has(set, &r->id) : true;
}

static struct link *const *links_of(const struct worker *w, unsigned role)
{
	return role == LINK_POINT ? w->points : w->scans;
}

static bool answers(struct worker *w, unsigned role, size_t at, const struct request *r, bool wrong)
{
	const struct link *l = links_of(w, role)[at];

	return link_usable(l) && !has_tried(r, l->up) &&
	       atomic_load_explicit(&l->up->complete, memory_order_relaxed) &&
	       (wrong || !known_wrong(w, at, role, r));
}

static int64_t heartbeat_of(const struct upstream *up)
{
	return atomic_load_explicit(&up->heartbeat_us, memory_order_relaxed);
}

/* Rules 3 and 5 (wrong ones too). Hardly further: by no more than any replica may be behind the primary. */
static struct link *pick_lagging(struct worker *w, unsigned role, size_t at,
				 const struct request *r, bool wrong)
{
	size_t replicas = w->upstreams->n - 1;
	const struct upstream *list = w->upstreams->list;
	int64_t newest = LAG_NO_HEARTBEAT;

	for (size_t i = 0; i < replicas; i++)
		if (answers(w, role, i, r, wrong) && heartbeat_of(&list[i]) > newest)
			newest = heartbeat_of(&list[i]);
	for (size_t i = 0; i < replicas; i++, at = at + 1 < replicas ? at + 1 : 0)
		if (answers(w, role, at, r, wrong) &&
		    heartbeat_of(&list[at]) >= newest - w->settings->max_replica_lag_ms * 1000)
			return links_of(w, role)[at];
	return NULL;
}

struct link *replicas_pick(struct worker *w, unsigned role, const struct request *r)
{
	struct link *const *by_upstream = links_of(w, role);
	size_t replicas = w->upstreams->n - 1;

	if (r->home && !has_tried(r, r->home) && link_usable(by_upstream[r->home->index]) &&
	    atomic_load_explicit(&r->home->fit, memory_order_relaxed) &&
	    (r->home->primary || !known_wrong(w, r->home->index, role, r)))
		return by_upstream[r->home->index];
	size_t at = first_choice(w, replicas);
	struct link *silent = NULL;

	for (size_t i = 0; i < replicas; i++, at = at + 1 < replicas ? at + 1 : 0) {
		struct link *l = by_upstream[at];

		if (has_tried(r, l->up) || !link_usable(l) ||
		    !atomic_load_explicit(&l->up->fit, memory_order_relaxed) ||
		    known_wrong(w, at, role, r))
			continue;
		if (!l->silent)
			return l;
		if (!silent)
			silent = l;
	}
	if (silent)
		return silent;
	struct link *primary = by_upstream[replicas];
	bool alive = link_usable(primary) && !r->tried_primary;

	if (!r->tried_primary && atomic_load_explicit(&primary->up->fit, memory_order_relaxed))
		return alive ? primary : NULL;
	struct link *lagging = pick_lagging(w, role, at, r, false);

	if (lagging)
		return lagging;
	return alive ? primary : pick_lagging(w, role, at, r, true);
}

bool replicas_lag_us(const struct upstream *up, int64_t *ret)
{
	int64_t beat = atomic_load_explicit(&up->heartbeat_us, memory_order_relaxed);
	int64_t lag = lag_clock_now(up->clock, mono_now()) - beat;

	if (up->primary || beat == LAG_NO_HEARTBEAT)
		return false;
	*ret = lag > 0 ? lag : 0; /* clocks differ by a little */
	return true;
}

bool replicas_expected(const struct worker *w, const struct request *r)
{
	for (size_t i = 0; i < w->upstreams->n; i++) {
		const struct upstream *up = &w->upstreams->list[i];

		if (!has_tried(r, up) &&
		    atomic_load_explicit(up->primary ? &up->fit : &up->complete,
					 memory_order_relaxed))
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
