/*
 * silence.h: a replica that hangs, noticed before READ_TIMEOUT_MS gives its connection up. Pure; a
 * worker's thread.
 *
 * A link to a replica is silent while its oldest read in flight has waited for an eighth of
 * READ_TIMEOUT_MS, and for four times as long as its reads usually take: one that is merely far
 * away is not silent. While it is silent and another replica is not,
 *   new reads go to the other one (choice.h), and so do those that wait here and were not sent yet;
 *   products by id and pages in flight are asked of the other one as well. The answer that comes
 *   first counts, the second is dropped. What is in flight here stays so, until it is answered or
 *   the connection is given up.
 * Chunks of lists stay: a list is to come from one replica, if possible. The primary is never asked
 * because of silence.
 */
#ifndef PGFANOUT_API_POOL_SILENCE_H
#define PGFANOUT_API_POOL_SILENCE_H

#include "common/base/clock.h"

/* A unit of reads in flight: part of the unit, and listed from silence_sent() to silence_over(). */
struct reads_sent {
	struct reads_sent *next;
	struct mono at;
};

/* Of one link. */
struct silence {
	struct reads_sent *sent; /* oldest first */
	int64_t usual_us;	 /* how long its reads take, the mean of the last ones */
	bool silent;
};

void silence_sent(struct silence *l, struct reads_sent *s, struct mono now);
/* answered: by the database, in order. A unit that was never in the list is fine. */
void silence_over(struct silence *l, struct reads_sent *s, struct mono now, bool answered);
/* Sets silent. */
void silence_look(struct silence *l, struct mono now, int64_t read_timeout_ms);

#endif
