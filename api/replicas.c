/*
 * replicas.c: the choice of replicas.h. A worker's thread.
 */
#include "api/replicas.h"

#include <string.h>

#include "api/worker.h"

const char *upstream_state_name(enum upstream_state s)
{
	static const char *const names[] = { "connecting",  "serving",	 "lagging",
					     "needs reset", "read-only", "not migrated",
					     "unreachable" };

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

static bool answers(const struct link *l, const struct request *r)
{
	return link_usable(l) && !(r->tried & (UINT64_C(1) << l->up->index)) &&
	       atomic_load_explicit(&l->up->complete, memory_order_relaxed);
}

static int64_t heartbeat_of(const struct link *l)
{
	return atomic_load_explicit(&l->up->heartbeat_us, memory_order_relaxed);
}

/* Rule 3. Hardly further: by no more than any replica may be behind the primary. */
static struct link *pick_lagging(const struct worker *w, struct link *const *by_upstream, size_t at,
				 const struct request *r)
{
	size_t replicas = w->upstreams->n - 1;
	int64_t newest = LAG_NO_HEARTBEAT;

	for (size_t i = 0; i < replicas; i++)
		if (answers(by_upstream[i], r) && heartbeat_of(by_upstream[i]) > newest)
			newest = heartbeat_of(by_upstream[i]);
	for (size_t i = 0; i < replicas; i++, at = at + 1 < replicas ? at + 1 : 0)
		if (answers(by_upstream[at], r) &&
		    heartbeat_of(by_upstream[at]) >=
			    newest - w->settings->max_replica_lag_ms * 1000)
			return by_upstream[at];
	return NULL;
}

struct link *replicas_pick(struct worker *w, unsigned role, const struct request *r)
{
	struct link **by_upstream = role == LINK_POINT ? w->points : w->scans;
	size_t replicas = w->upstreams->n - 1;
	size_t at = first_choice(w, replicas);

	for (size_t i = 0; i < replicas; i++, at = at + 1 < replicas ? at + 1 : 0) {
		struct link *l = by_upstream[at];

		if (!(r->tried & (UINT64_C(1) << at)) && link_usable(l) &&
		    atomic_load_explicit(&l->up->fit, memory_order_relaxed))
			return l;
	}
	struct link *primary = by_upstream[replicas];
	bool alive = link_usable(primary) && !r->tried_primary;

	if (!r->tried_primary && atomic_load_explicit(&primary->up->fit, memory_order_relaxed))
		return alive ? primary : NULL;
	struct link *lagging = pick_lagging(w, by_upstream, at, r);

	if (lagging)
		return lagging;
	return alive ? primary : NULL;
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
		bool tried = up->primary ? r->tried_primary : (r->tried >> i & 1) != 0;

		if (!tried && atomic_load_explicit(up->primary ? &up->fit : &up->complete,
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
