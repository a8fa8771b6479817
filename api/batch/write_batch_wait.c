/*
 * write_batch_wait.c: writes that somebody else's lock keeps waiting. A worker's thread.
 *
 * Whoever waits for a lock at the server holds a connection. So batches do not, or not for long:
 * one may meet a lock after there was none for CAREFUL_MS. It then fails after connector_lock_ms(),
 * and those that follow leave out what is locked (statements named _free). Not always, because to
 * ask costs about a tenth more. Two kinds of writes come here:
 *   locked  its row is locked. A wait link that is free takes it and waits in the server's queue for
 *           the row, where its turn comes whoever else is after it. Meanwhile, since thousands of
 *           rows may be locked and there are few wait links, it looks now and then, in a batch,
 *           whether the row is free.
 *   unsure  its batch met a lock that the statement cannot leave out, or a deadlock, and nobody
 *           knows whose of its writes that was. Only wait links take it, before the locked ones.
 *
 * A wait on a wait link ends after connector_lock_ms(), too; then the next one has the link. Of
 * several writes of an id one is sent at a time: the others would wait for the same lock. When too
 * little time is left for another try a write stays where it is until its deadline, so that what it
 * is answered is sure: nothing was changed.
 */
#include "api/measures.h"
#include "api/batch/write_batch_private.h"

#define LOOK_FIRST_MS  20
#define LOOKS_DOUBLING 3 /* then every 160 ms */
#define ROUND_TRIP_MS  50
#define CAREFUL_MS     10000

void write_wait(struct request *r)
{
	struct write_batches *b = store_of(r)->writes;
	struct pool *p = store_of(r)->pool;
	int64_t ms = LOOK_FIRST_MS << (r->looks < LOOKS_DOUBLING ? r->looks : LOOKS_DOUBLING);

	r->looks++;
	/* By chance, so that those who met do not meet again. */
	r->not_before = mono_add_ms(p->now,
				    ms / 2 + (int64_t)(pool_random(p) % (uint64_t)(ms / 2 + 1)));
	r->state = REQUEST_LOCKED;
	queue_push(r->way == WRITE_APART ? &b->unsure : &b->locked, r);
	b->look = true;
	b->careful_until = mono_add_ms(p->now, CAREFUL_MS);
}

static bool has_time(const struct request *r, const struct pool *p)
{
	int64_t ms = connector_lock_ms(p->settings) + ROUND_TRIP_MS;

	return !mono_reached(r->deadline, mono_add_ms(p->now, ms));
}

/* The write of this id on a wait link; NULL: there is none. */
static const struct request *at_work(const struct write_batches *b, const struct uuid *id)
{
	for (size_t i = 0; i < POOL_WAIT_LINKS; i++)
		if (b->at_work[i] && uuid_cmp(&b->at_work[i]->rows[0]->id, id) == 0)
			return b->at_work[i]->rows[0];
	return NULL;
}

bool write_wait_joins(struct request *r)
{
	const struct request *other = at_work(store_of(r)->writes, &r->id);

	if (!other)
		return false;
	if (other->way == WRITE_APART)
		r->way = WRITE_APART;
	write_wait(r);
	return true;
}

/* NULL: there is none that can be sent now. */
static struct request *take_first(struct store *s, struct request_queue *q)
{
	for (struct request *r = q->head; r; r = r->next) {
		if (!has_time(r, s->pool) || at_work(s->writes, &r->id))
			continue;
		queue_remove(r);
		return r;
	}
	return NULL;
}

void write_wait_dispatch(struct store *s)
{
	struct write_batches *b = s->writes;

	for (size_t i = 0; b->look && i < POOL_WAIT_LINKS; i++) {
		struct link *l = s->pool->waits[i];

		if (b->at_work[i] || !link_usable(l))
			continue;
		struct request *r = take_first(s, &b->unsure);

		if (!r)
			r = take_first(s, &b->locked);
		if (!r) {
			b->look = false;
			return;
		}
		struct write_unit *u = write_unit_new(s, l, r->write);

		u->waits = r->way != WRITE_APART;
		u->rows[u->n++] = r;
		b->at_work[i] = u;
		write_unit_send(u);
	}
}

bool write_wait_done(struct store *s, const struct write_unit *u)
{
	struct write_batches *b = s->writes;
	bool waited = false;

	for (size_t i = 0; i < POOL_WAIT_LINKS; i++) {
		if (b->at_work[i] != u)
			continue;
		b->at_work[i] = NULL;
		b->look = waited = true;
	}
	return waited;
}

void write_wait_tick(struct store *s)
{
	struct write_batches *b = s->writes;
	struct request *next;
	size_t waiting = b->unsure.n + b->locked.n;

	b->look = waiting > 0; /* a wait link may have come */
	for (size_t i = 0; i < POOL_WAIT_LINKS; i++)
		waiting += b->at_work[i] != NULL;
	metric_add(M_WRITES_LOCKED, 0, (int64_t)waiting - (int64_t)b->seen_waiting);
	b->seen_waiting = waiting;
	for (struct request *r = b->locked.head; r; r = next) {
		next = r->next;
		if (!mono_reached(r->not_before, s->pool->now) || !has_time(r, s->pool))
			continue;
		queue_remove(r);
		write_submit(r);
	}
}
