/*
 * silence.h: a replica that hangs, noticed before READ_TIMEOUT_MS gives its connection up. A worker's thread.
 *
 * A link to a replica is silent while its oldest read in flight has waited for an eighth of READ_TIMEOUT_MS, and for four times as
 * long as its reads usually take: one that is merely far away is not. While it is silent and another replica is not,
 *   new reads go to the other one (replicas_pick), and so do those that wait here and were not sent yet;
 *   products by id and pages in flight are asked of the other one as well (read_hedge). Whichever answers first counts, the second
 *   answer is passed over. What is in flight here stays so, until it is answered or the connection is given up.
 * Chunks of lists stay: a list is to come from one replica, if that can be. The primary is never asked because of silence.
 */
#ifndef PGFANOUT_API_POOL_SILENCE_H
#define PGFANOUT_API_POOL_SILENCE_H

#include "common/base/base.h"
#include "common/base/clock.h"

struct link;
struct request;

/* A unit of reads in flight: part of the unit itself, and in its link's list from silence_sent() to silence_over(). */
struct reads_sent {
	struct reads_sent *next;
	struct mono at;
	size_t n;
	struct request *const *requests;
};

void silence_sent(struct link *l, struct reads_sent *s);
/* answered: by the database, in order. A unit that was never in the list is fine. */
void silence_over(struct link *l, struct reads_sent *s, bool answered);
/* Looks whether the link is silent now; sets link->silent. */
bool silence_look(struct link *l);

#endif
