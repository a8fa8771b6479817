/*
 * silence.c: see silence.h.
 */
#include "api/pool/silence.h"

#define PATIENCE_PART  8 /* of READ_TIMEOUT_MS */
#define PATIENCE_TIMES 4 /* what is usual */
#define USUAL_WEIGHT   8 /* an answer counts for one in so many in what is usual */

void silence_sent(struct silence *l, struct reads_sent *s, struct mono now)
{
	struct reads_sent **end = &l->sent;

	while (*end)
		end = &(*end)->next;
	*s = (struct reads_sent){ .at = now };
	*end = s;
}

void silence_over(struct silence *l, struct reads_sent *s, struct mono now, bool answered)
{
	struct reads_sent **p = &l->sent;

	while (*p && *p != s)
		p = &(*p)->next;
	if (!*p)
		return;
	*p = s->next;
	if (!answered)
		return;
	int64_t took_us = mono_diff_us(now, s->at);

	l->usual_us += l->usual_us ? (took_us - l->usual_us) / USUAL_WEIGHT : took_us;
	l->silent = false; /* the next look judges those behind it */
}

void silence_look(struct silence *l, struct mono now, int64_t read_timeout_ms)
{
	int64_t least_us = read_timeout_ms * 1000 / PATIENCE_PART;
	int64_t usual_us = l->usual_us * PATIENCE_TIMES;
	int64_t patience_us = usual_us > least_us ? usual_us : least_us;

	l->silent = l->sent && mono_diff_us(now, l->sent->at) >= patience_us;
}
