/*
 * pace.c: see pace.h.
 *
 * How long a small change waits in a replica's queue depends on how long the replica needs for what
 * is in front of it: in the broker, on its way, in the consumer's memory. Counting messages sees a
 * part of that only. So the relay puts a mark (common/wire/mark.h) into the queue after each
 * MARK_CHANGES changes of big transactions, and the consumer answers it when all before it is
 * committed. Answers come by the broker's direct reply-to, past all queues.
 *
 * The rule, for each replica:
 *   1. Changes of big transactions that were added and are not behind an answered mark are waiting.
 *      While `window` of them wait, no further chunk is claimed.
 *   2. An answer that took TARGET_US longer than the fastest one: the window shrinks, by a quarter
 *      of what was applied. One that took less, while the window was what held: it grows likewise.
 *      So what waits tends to be TARGET_US of work, whatever the replica's speed, and there is
 *      always something to do for it.
 *   3. A replica that has been waited for SILENT_MS without any answer is left out: nobody waits for
 *      it, until it answers one of its marks. Then its window is what waits for it, and shrinks to
 *      the usual: the others go on at most of its speed meanwhile, and not in leaps.
 *   4. One that is left out gets a new mark only when the last one is answered, or very old. So
 *      marks do not pile up in the queues of a replica that is away.
 * One slow replica thus slows big transactions down to its speed, but not below about
 * WINDOW_MIN changes in SILENT_MS; small transactions are never held.
 *
 * All is in memory. A mark may get lost, in a purged queue or with a process: then rule 3 holds.
 */
#include <stdlib.h>

#include "api/relay/pace.h"
#include "common/json/jscan.h"
#include "common/wire/mark.h"
#include "common/wire/topology.h"

#define OVERHEAD     1024 /* bytes on the wire beside the body, generously */
#define MARK_CHANGES 2000
#define WINDOW	     20000 /* changes, to begin with */
#define WINDOW_MIN   (2 * MARK_CHANGES)
#define WINDOW_MAX   50000
#define TARGET_US    300000
#define SILENT_MS    1000
#define AGAIN_MS     10000

static const enum change_kind kinds[] = { CHANGE_SYNC, CHANGE_DELETE };
#define KINDS ARRAY_SIZE(kinds)

struct queue {
	int64_t marked, applied; /* so many changes of its kind were before the last mark sent; */
	struct mono marked_at;	 /* before the last one answered */
};

struct replica {
	struct queue queues[KINDS];
	int64_t window, fastest_us;
	bool left_out;
	/* Since then it has been waited for, and has not answered; never: it is not waited for. */
	struct mono held_at;
};

struct pace {
	const struct stream *stream;
	const char *const *names;
	size_t nreplicas;
	struct replica *replicas;
	int64_t added[KINDS]; /* changes of big transactions, since pace_drop() */
	bool listening;	      /* for answers, on this link */
	struct strbuf body;
};

struct pace *pace_new(const struct stream *stream, const char *const *replicas, size_t nreplicas)
{
	struct pace *p = xcalloc(1, sizeof(*p));

	p->stream = stream;
	p->names = replicas;
	p->nreplicas = nreplicas;
	p->replicas = xcalloc(nreplicas, sizeof(*p->replicas));
	pace_drop(p);
	return p;
}

void pace_free(struct pace *p)
{
	if (!p)
		return;
	strbuf_clear(&p->body);
	free(p->replicas);
	free(p);
}

void pace_drop(struct pace *p)
{
	for (size_t i = 0; i < p->nreplicas; i++)
		p->replicas[i] = (struct replica){ .window = WINDOW,
						   .fastest_us = INT64_MAX,
						   .held_at = MONO_NEVER };
	for (size_t k = 0; k < KINDS; k++)
		p->added[k] = 0;
	p->listening = false;
}

void pace_add(struct pace *p, const struct outbox_chunk *c)
{
	for (size_t i = 0; i < c->n; i++)
		p->added[c->rows[i].kind]++;
}

static int64_t waiting(const struct pace *p, const struct replica *r)
{
	int64_t n = 0;

	for (size_t k = 0; k < KINDS; k++)
		n += p->added[k] - r->queues[k].applied;
	return n;
}

bool pace_open(struct pace *p, struct mono now, struct mono *ret_until)
{
	struct mono until = MONO_NEVER;

	for (size_t i = 0; i < p->nreplicas; i++) {
		struct replica *r = &p->replicas[i];

		if (r->left_out || waiting(p, r) < r->window)
			continue;
		if (mono_is_never(r->held_at))
			r->held_at = now;
		if (mono_reached(mono_add_ms(r->held_at, SILENT_MS), now))
			r->left_out = true;
		else
			until = mono_earlier(until, mono_add_ms(r->held_at, SILENT_MS));
	}
	if (mono_is_never(until))
		return true;
	*ret_until = until;
	return false;
}

/* ---- marks ---- */

static bool is_due(const struct pace *p, const struct replica *r, size_t k, struct mono now)
{
	const struct queue *q = &r->queues[k];

	if (p->added[k] - q->marked < MARK_CHANGES)
		return false;
	return !r->left_out || q->applied == q->marked ||
	       mono_reached(mono_add_ms(q->marked_at, AGAIN_MS), now);
}

static bool send_mark(struct pace *p, size_t i, size_t k, struct amqp_link *l, const char *source,
		      struct mono now, struct err *err)
{
	struct queue *q = &p->replicas[i].queues[k];
	const struct mark mark = { .queue = (int64_t)(i * KINDS + k),
				   .changes = p->added[k],
				   .sent_us = now.us };
	char queue[TOPOLOGY_NAME_MAX], type[TOPOLOGY_NAME_MAX];
	uint64_t ignored;

	topology_type(type, p->stream, MARK_KIND);
	topology_queue(queue, p->stream, kinds[k], p->names[i]);
	strbuf_reset(&p->body);
	mark_write(&p->body, &mark);
	const struct amqp_header headers[] = { { .key = "x-source", .str = source } };
	const struct amqp_publish m = {
		.exchange = "",
		.routing_key = queue,
		.type = type,
		.reply_to = AMQP_REPLIES,
		.headers = headers,
		.nheaders = ARRAY_SIZE(headers),
		.body = p->body.data,
		.len = p->body.len,
	};
	if (!amqp_send(l, &m, &ignored, err))
		return false;
	q->marked = p->added[k];
	q->marked_at = now;
	return true;
}

enum publisher_run pace_run(struct pace *p, struct amqp_link *l, const char *source,
			    struct mono now, struct err *err)
{
	for (size_t i = 0; i < p->nreplicas; i++) {
		for (size_t k = 0; k < KINDS; k++) {
			if (!is_due(p, &p->replicas[i], k, now))
				continue;
			if (!amqp_can_publish(l, OVERHEAD))
				return PUBLISHER_FULL;
			if (!p->listening && !amqp_consume_replies(l, err))
				return PUBLISHER_BROKEN;
			p->listening = true;
			if (!send_mark(p, i, k, l, source, now, err))
				return PUBLISHER_BROKEN;
		}
	}
	return PUBLISHER_IDLE;
}

/* `applied` changes more are behind an answered mark, which took us. */
static void adjust(const struct pace *p, struct replica *r, int64_t applied, int64_t us)
{
	r->fastest_us = us < r->fastest_us ? us : r->fastest_us;
	if (r->left_out)
		r->window = waiting(p, r) > WINDOW ? waiting(p, r) : WINDOW;
	else if (us - r->fastest_us > TARGET_US)
		r->window = r->window - applied / 4 > WINDOW_MIN ? r->window - applied / 4
								 : WINDOW_MIN;
	else if (!mono_is_never(r->held_at) && r->window < WINDOW_MAX)
		r->window += applied / 4;
	r->left_out = false;
	r->held_at = MONO_NEVER;
}

void pace_answer(struct pace *p, const struct amqp_delivery *d, struct mono now)
{
	struct jscan_value body;
	struct err ignored;
	struct mark m;

	/* What is not an answer, or not to a mark that was sent, says nothing. */
	if (!jscan_document(d->body, d->len, &body, &ignored) || !mark_read(&body, &m, &ignored) ||
	    (uint64_t)m.queue >= p->nreplicas * KINDS || m.sent_us > now.us)
		return;
	struct replica *r = &p->replicas[(size_t)m.queue / KINDS];
	struct queue *q = &r->queues[(size_t)m.queue % KINDS];
	int64_t applied = m.changes - q->applied;
	if (applied <= 0 || m.changes > q->marked)
		return;
	q->applied = m.changes;
	adjust(p, r, applied, now.us - m.sent_us);
}
