/*
 * write_batch.c: see write_batch.h; write_batch_private.h lists the parts.
 */
#include "api/batch/write_batch.h"

#include <stdlib.h>

#include "api/batch/write_batch_private.h"

#define ALONE_UNITS 32 /* writes sent one by one, in flight on a link */
#define PATIENCE_MS 2000
#define GATHER_MS   5

void write_batches_init(struct write_batches *b)
{
	b->gather_until = b->away_since = MONO_NEVER;
}

void write_batches_clear(struct write_batches *b)
{
	while (b->free_units) {
		struct write_unit *u = b->free_units;

		b->free_units = u->next;
		free(u);
	}
	uuid_set_clear(&b->seen);
}

/*
 * Whether a write may wait for a connection:
 *   0. Not while the primary's changes are not all captured: it would be lost to the replicas. Nor while another one
 *      hangs in its commit: it would hang too.
 *   1. There is one.
 *   2. The connector has not said that the primary is away: a connection was lost, maybe just that
 *      one.
 *   3. It was away for less than PATIENCE_MS: a restart takes no longer, and need not be noticed.
 * After that writes are turned away at once, until it is back.
 */
static bool can_write(struct store *s)
{
	struct write_batches *b = s->writes;
	const struct upstream *primary = upstreams_primary(s->pool->upstreams);
	bool can = atomic_load_explicit(&primary->fit, memory_order_relaxed);

	if (upstream_refuses_writes(primary))
		return false;
	for (size_t i = 0; i < POOL_WRITE_LINKS; i++)
		can = can || link_usable(s->pool->writes[i]);
	if (can)
		b->away_since = MONO_NEVER;
	else if (mono_is_never(b->away_since))
		b->away_since = s->pool->now;
	return can || !mono_reached(mono_add_ms(b->away_since, PATIENCE_MS), s->pool->now);
}

void write_unreachable(struct request *r)
{
	const char *why = upstream_refuses_writes(upstreams_primary(store_of(r)->pool->upstreams));

	request_unavailable(r, "%s: nothing was changed",
			    why ? why : "the primary cannot be used now, see /status");
}

void write_submit(struct request *r)
{
	struct write_batches *b = store_of(r)->writes;

	if (!can_write(store_of(r))) {
		write_unreachable(r);
		return;
	}
	if (r->way == WRITE_APART) {
		write_wait(r);
		return;
	}
	if (write_wait_joins(r))
		return;
	r->state = REQUEST_QUEUED;
	queue_push(r->way == WRITE_ALONE ? &b->alone : &b->waiting, r);
}

/* ---- sending ---- */

static int by_id(const void *a, const void *b)
{
	const struct request *const *x = a;
	const struct request *const *y = b;

	return uuid_cmp(&(*x)->id, &(*y)->id);
}

/* The statement of the one that has waited longest, and all of it. */
static void send_batch(struct store *s, struct link *l)
{
	struct write_batches *b = s->writes;
	const struct write_statement *statement = b->waiting.head->write;
	struct write_unit *u = write_unit_new(s, l, statement);
	size_t most = statement->joins ? WRITE_ROWS : 1;
	struct request *next;

	uuid_set_reset(&b->seen);
	for (struct request *r = b->waiting.head; r && u->n < most; r = next) {
		next = r->next;
		if (r->write != statement)
			continue;
		/* A second write of a row waits for the next batch. */
		if (*uuid_set_put(&b->seen, &r->id, (uint32_t)u->n) != u->n)
			continue;
		queue_remove(r);
		u->rows[u->n++] = r;
	}
	u->waits = mono_reached(b->careful_until, s->pool->now);
	qsort(u->rows, u->n, sizeof(struct request *), by_id);
	write_unit_send(u);
}

/* How many wait that would be sent together with the first one. */
static size_t count_together(const struct request_queue *q)
{
	const struct write_statement *statement = q->head->write;
	size_t n = 0;

	for (const struct request *r = q->head; r && n < WRITE_ROWS; r = r->next)
		n += r->write == statement;
	return statement->joins ? n : WRITE_ROWS;
}

/*
 * Whether a batch should wait for more. A connection that is free takes it if it is at least as
 * large as what is at the database on another one, else it waits for that one's answer: few large
 * batches cost both sides less than many small ones. Not for longer than GATHER_MS: what is in
 * flight may wait for a lock.
 */
static bool is_small(struct store *s)
{
	size_t waiting = count_together(&s->writes->waiting);
	bool small = false;

	for (size_t i = 0; i < POOL_WRITE_LINKS; i++) {
		const struct link *l = s->pool->writes[i];
		struct mono until = mono_add_ms(l->rows_since, GATHER_MS);

		if (link_usable(l) && l->writes_in_flight > 0 && waiting < l->rows_in_flight &&
		    !mono_reached(until, s->pool->now)) {
			s->writes->gather_until = mono_earlier(until, s->writes->gather_until);
			small = true;
		}
	}
	return small;
}

void write_dispatch(struct store *s)
{
	struct write_batches *b = s->writes;

	b->gather_until = MONO_NEVER;
	for (size_t i = 0; i < POOL_WRITE_LINKS; i++) {
		struct link *l = s->pool->writes[i];

		while (b->alone.head && l->writes_in_flight < ALONE_UNITS && link_usable(l)) {
			struct request *r = queue_pop(&b->alone);
			struct write_unit *u = write_unit_new(s, l, r->write);

			u->rows[u->n++] = r;
			write_unit_send(u);
		}
		if (b->waiting.head && l->writes_in_flight == 0 && link_usable(l) && !is_small(s))
			send_batch(s, l);
	}
	write_wait_dispatch(s);
}

void write_tick(struct store *s)
{
	struct write_batches *b = s->writes;
	struct request *next;

	for (struct request *r = b->delayed.head; r; r = next) {
		next = r->next;
		if (!mono_reached(r->not_before, s->pool->now))
			continue;
		queue_remove(r);
		write_submit(r);
	}
	write_wait_tick(s);
	if (can_write(s))
		return;
	while (b->alone.head)
		write_unreachable(b->alone.head);
	while (b->unsure.head)
		write_unreachable(b->unsure.head);
	while (b->locked.head)
		write_unreachable(b->locked.head);
	while (b->waiting.head)
		write_unreachable(b->waiting.head);
}
