/*
 * silence.c: see silence.h. A worker's thread.
 *
 * A request that was asked twice is in two units, of two links, each with a reference. Its state says whether it still wants an answer;
 * request->asked, which link was asked last: only when that one fails is it asked anew.
 */
#include "api/silence.h"

#include "api/measures.h"
#include "api/worker.h"

#define PATIENCE_PART  8 /* of READ_TIMEOUT_MS */
#define PATIENCE_TIMES 4 /* what is usual */
#define USUAL_WEIGHT   8 /* of an answer in what is usual: one in so many */

void silence_sent(struct link *l, struct reads_sent *s)
{
	struct reads_sent **end = &l->reads_sent;

	while (*end)
		end = &(*end)->next;
	s->next = NULL;
	s->at = l->worker->now;
	*end = s;
}

void silence_over(struct link *l, struct reads_sent *s, bool answered)
{
	struct reads_sent **p = &l->reads_sent;

	while (*p && *p != s)
		p = &(*p)->next;
	if (!*p)
		return;
	*p = s->next;
	if (!answered)
		return;
	int64_t took_us = mono_diff_us(l->worker->now, s->at);

	l->usual_us += l->usual_us ? (took_us - l->usual_us) / USUAL_WEIGHT : took_us;
	l->silent = false; /* the next tick judges those behind it */
}

static bool is_silent(const struct link *l)
{
	int64_t least_us = l->worker->settings->read_timeout_ms * 1000 / PATIENCE_PART;
	int64_t usual_us = l->usual_us * PATIENCE_TIMES;

	return l->reads_sent && mono_diff_us(l->worker->now, l->reads_sent->at) >=
					(usual_us > least_us ? usual_us : least_us);
}

/* Another replica's link that is not silent; NULL: there is none. */
static struct link *better(struct link *l, const struct request *r)
{
	struct link *other = replicas_pick(l->worker, read_role(r), r);

	return other && other != l && !other->silent && !other->up->primary ? other : NULL;
}

static void move(struct link *l, struct request_queue *queue)
{
	for (size_t n = queue->n; n > 0; n--) {
		struct request *r = queue_pop(queue);
		struct link *other = better(l, r);

		read_queue(r, other ? other : l);
	}
}

static void repeat(struct link *l, const struct reads_sent *s)
{
	for (size_t i = 0; i < s->n; i++) {
		struct request *r = s->requests[i];

		if (r->state != REQUEST_IN_FLIGHT || r->asked != l || r->list)
			continue;
		struct link *other = better(l, r);

		if (!other)
			continue;
		metric_add(M_READS_REPEATED, l->up->index, 1);
		read_queue(r, other);
	}
}

void silence_tick(struct link *l)
{
	l->silent = !l->up->primary && is_silent(l);
	if (!l->silent)
		return;
	move(l, &l->points);
	move(l, &l->scans);
	for (const struct reads_sent *s = l->reads_sent; s; s = s->next)
		repeat(l, s);
}
