/*
 * choice.c: see choice.h.
 */
#include "api/pool/choice.h"

#include <string.h>

#include "common/wire/stream.h"

/* How well a replica's link suits a read, best first. Each is a step of the rule. */
enum suit {
	SUIT_FIT,     /* 1 */
	SUIT_SILENT,  /* 1 */
	SUIT_MAYBE,   /* 1, a: it may have the row */
	SUIT_BEHIND,  /* b */
	SUIT_LAGGING, /* 3 */
	SUIT_WRONG,   /* 5 */
	SUIT_NOT,
};

static bool is_set(const atomic_bool *flag)
{
	return atomic_load_explicit(flag, memory_order_relaxed);
}

static bool has_tried(const struct read_want *want, const struct upstream *up)
{
	return up->primary ? want->tried_primary
			   : want->whole || (want->tried >> up->index & 1) != 0;
}

static bool known_wrong(struct pool *p, struct upstream *up, const struct read_want *want)
{
	const struct wrong_set *set = wrong_view(&p->wrong[up->index], &up->wrong);

	for (size_t i = 0; set && i < want->ntables; i++)
		if (wrong_set_has(set, want->tables[i], i == 0 ? want->row : WRONG_ALL))
			return true;
	return false;
}

static struct link *link_to(const struct pool *p, const struct read_want *want, size_t upstream)
{
	return want->by_key ? p->points[upstream] : p->scans[upstream];
}

/* Products' lag is a matter of the replica's state; of the others only that of the streams that are read. */
static bool is_fit(const struct upstream *up, const struct read_want *want)
{
	uint64_t lagging = atomic_load_explicit(&up->lagging, memory_order_relaxed);
	bool products = (want->streams & lag_stream_bit(STREAM_PRODUCTS)) != 0;

	if (up->primary || up->standby || want->streams == 0)
		return is_set(&up->fit);
	return is_set(products ? &up->fit : &up->complete) && (lagging & want->streams) == 0;
}

static uint64_t streams_of(const struct read_want *want)
{
	return want->streams != 0 ? want->streams : lag_stream_bit(STREAM_PRODUCTS);
}

/* Whether it says what its client has seen, and does not take less. */
static bool is_placed(const struct read_want *want)
{
	return want->at.source != 0 && !want->any;
}

/* a: as far as is known. */
static bool is_there(const struct upstream *up, const struct read_want *want)
{
	uint64_t needs = position_needs(&want->at, up->hash);

	if (up->standby)
		return atomic_load_explicit(&up->replayed, memory_order_relaxed) >=
		       position_needs_replayed(&want->at, up->hash);
	return needs == 0 || upstream_mark(up, streams_of(want)) > needs;
}

/* Of a replica that is not known to be there, or whose answer was too old. */
static enum suit suit_behind(const struct read_want *want, const struct link *l, bool asked)
{
	bool never = position_needs(&want->at, l->up->hash) == POSITION_UNKNOWN;

	if (want->late || never)
		return SUIT_NOT;
	return want->by_key && want->at.version > 0 && !asked && !l->up->standby &&
			       !l->silence.silent
		       ? SUIT_MAYBE
		       : SUIT_BEHIND;
}

static enum suit suit_of(struct pool *p, const struct read_want *want, const struct link *l)
{
	if (has_tried(want, l->up) || !link_usable(l))
		return SUIT_NOT;
	bool fit = is_fit(l->up, want), placed = is_placed(want);
	bool asked = (want->behind >> l->up->index & 1) != 0;

	if (!fit && !is_set(&l->up->complete))
		return SUIT_NOT;
	if (known_wrong(p, l->up, want))
		return placed ? SUIT_NOT : SUIT_WRONG;
	if (placed && (asked || !is_there(l->up, want)))
		return fit ? suit_behind(want, l, asked) : SUIT_NOT;
	return !fit ? SUIT_LAGGING : l->silence.silent ? SUIT_SILENT : SUIT_FIT;
}

/* 0: it says nothing. One that is ahead of the primary's clock must not look like the nearest. */
static int64_t heartbeat_of(const struct link *l)
{
	int64_t lag_us;

	return upstream_lag_us(l->up, &lag_us)
		       ? atomic_load_explicit(&l->up->heartbeat_us, memory_order_relaxed)
		       : 0;
}

/* The first of this suit, from the replica on whose turn it is. Of those that lag or are wrong one
 * that is hardly further behind than the nearest: by no more than MAX_REPLICA_LAG_MS. */
static struct link *first_of(struct pool *p, const struct read_want *want, size_t at,
			     enum suit suit)
{
	size_t replicas = p->upstreams->n - 1;
	int64_t least = INT64_MIN;

	for (size_t i = 0; suit >= SUIT_LAGGING && i < replicas; i++) {
		const struct link *l = link_to(p, want, i);
		int64_t near = heartbeat_of(l) - p->settings->max_replica_lag_ms * 1000;

		if (near > least && suit_of(p, want, l) == suit)
			least = near;
	}
	for (size_t i = 0; i < replicas; i++, at = at + 1 < replicas ? at + 1 : 0) {
		struct link *l = link_to(p, want, at);

		if (suit_of(p, want, l) == suit && heartbeat_of(l) >= least)
			return l;
	}
	return NULL;
}

static size_t next_turn(struct pool *p, size_t turn)
{
	size_t replicas = p->upstreams->n - 1;

	if (strcmp(p->settings->read_balance, "random") == 0)
		return (size_t)(pool_random(p) % replicas);
	return turn + 1 < replicas ? turn + 1 : 0;
}

/* The first from this one on that is idle; if there is none, this one. */
static size_t idle_from(const struct pool *p, size_t turn)
{
	size_t replicas = p->upstreams->n - 1, at = turn;

	for (size_t i = 0; i < replicas; i++, at = at + 1 < replicas ? at + 1 : 0)
		if (p->points[at]->points_in_flight == 0 && link_usable(p->points[at]))
			return at;
	return turn;
}

void choice_turn(struct pool *p, bool sent)
{
	if (p->upstreams->n > 1)
		p->points_turn = idle_from(p, sent ? next_turn(p, p->points_turn) : p->points_turn);
}

struct link *choice_link(struct pool *p, const struct read_want *want)
{
	struct link *primary = link_to(p, want, p->upstreams->n - 1);
	struct link *l = want->home ? link_to(p, want, want->home->index) : NULL;

	/* 0 */
	if (l && !has_tried(want, l->up) && link_usable(l) && is_fit(l->up, want) &&
	    (l->up->primary || (!known_wrong(p, l->up, want) &&
				(!is_placed(want) || suit_of(p, want, l) < SUIT_MAYBE))))
		return l;
	/* 1 */
	size_t at = want->by_key ? p->points_turn : (p->turn = next_turn(p, p->turn));

	if ((l = first_of(p, want, at, SUIT_FIT)) || (l = first_of(p, want, at, SUIT_SILENT)) ||
	    (l = first_of(p, want, at, SUIT_MAYBE))) {
		/* Those that come with it follow it; the turn goes on from there. */
		if (want->by_key)
			p->points_turn = l->up->index;
		return l;
	}
	/* b */
	if (choice_waits(p, want))
		return NULL;
	/* 2 */
	bool alive = link_usable(primary) && !want->tried_primary &&
		     (!is_placed(want) || !is_set(&primary->up->recovers));

	if (!want->tried_primary && is_set(&primary->up->fit) && (alive || !link_usable(primary)))
		return alive ? primary : NULL;
	/* 3 */
	if ((l = first_of(p, want, at, SUIT_LAGGING)))
		return l;
	/* 4 */
	if (alive)
		return primary;
	/* 5, 6 */
	return first_of(p, want, at, SUIT_WRONG);
}

bool choice_waits(struct pool *p, const struct read_want *want)
{
	return is_placed(want) && !want->late && first_of(p, want, 0, SUIT_BEHIND) != NULL;
}

/* Whether its records of wrong rows are others than those that are known here; or the row is among them. */
static bool may_be_wrong(struct pool *p, const struct read_want *want, struct upstream *up,
			 int64_t wrong)
{
	int64_t seen = atomic_load(&up->wrong_seen);

	if (seen < wrong)
		connector_look(up);
	return seen != wrong || known_wrong(p, up, want);
}

bool choice_serves(struct pool *p, const struct read_want *want, struct upstream *up,
		   const struct place *place, int64_t version)
{
	const struct position *at = &want->at;
	uint64_t needs = position_needs(at, up->hash);

	if (!is_placed(want) || up->primary)
		return true;
	/* It had replayed that before it was asked, if it follows that primary still: places of another timeline say
	 * nothing. */
	if (up->standby)
		return place->source == at->source &&
		       place->seen >= position_needs_replayed(at, up->hash);
	if (place->source != 0 && place->source != at->source)
		return false;
	if (at->version > 0 && version >= at->version)
		return true;
	/* A server that has been put in its place, from an older copy. */
	if (at->replica == up->hash && at->seen != POSITION_UNKNOWN && place->seen < at->seen)
		return false;
	return needs == 0 || (place->mark > needs && !may_be_wrong(p, want, up, place->wrong));
}

bool choice_expected(const struct pool *p, const struct read_want *want)
{
	for (size_t i = 0; i < p->upstreams->n; i++) {
		const struct upstream *up = &p->upstreams->list[i];

		if (!has_tried(want, up) && is_set(up->primary ? &up->fit : &up->complete) &&
		    (!is_placed(want) || (up->primary && !is_set(&up->recovers))))
			return true;
	}
	return false;
}

void choice_failed(struct read_want *want, const struct upstream *up)
{
	if (up->primary)
		want->tried_primary = true;
	else
		want->tried |= UINT64_C(1) << up->index;
}
