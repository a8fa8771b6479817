/*
 * silence.c: see silence.h. A worker's thread.
 */
#include "api/pool/silence.h"

#include "api/serve/worker.h"

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

bool silence_look(struct link *l)
{
	int64_t least_us = l->worker->settings->read_timeout_ms * 1000 / PATIENCE_PART;
	int64_t usual_us = l->usual_us * PATIENCE_TIMES;
	int64_t patience_us = usual_us > least_us ? usual_us : least_us;

	l->silent = !l->up->primary && l->reads_sent &&
		    mono_diff_us(l->worker->now, l->reads_sent->at) >= patience_us;
	return l->silent;
}
