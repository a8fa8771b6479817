/*
 * verdict.h: what to do after something happened: one table for units of work on the replica, one
 * for failed changes. Each row carries the sentence for the operator. Pure.
 */
#ifndef PGFANOUT_CONSUMER_APPLY_VERDICT_H
#define PGFANOUT_CONSUMER_APPLY_VERDICT_H

#include "common/base/base.h"
#include "common/pg/sqlstate.h"

enum verdict_action {
	VERDICT_NEXT,	     /* go on with what comes next */
	VERDICT_HALVE,	     /* apply each half by itself: the fault is in one of them */
	VERDICT_FAIL_CHANGE, /* this one is at fault: verdict_of_failure() says where it goes */
	VERDICT_AGAIN,	     /* the same unit once more, after a short back-off */
	VERDICT_WAIT,	     /* the replica's trouble: messages back to their queues, reconnect */
	VERDICT_WAIT_RESET,  /* likewise, until the reset is over */
	VERDICT_RETRY,	     /* to the retry queue */
	VERDICT_DEAD,	     /* to the dead-letter queue */
};

struct verdict {
	enum verdict_action action;
	const char *sentence;
};

/* How often the same unit is tried again at once before the replica counts as unfit. */
#define VERDICT_TRIES 5

/* After a unit of `changes` changes on the replica; `tries`: how often this unit has been tried,
 * this time included. */
struct verdict verdict_of_unit(enum db_outcome outcome, size_t changes, unsigned tries);

/* Whether a change that was refused with this SQLSTATE waits for others: another row is in its way (a unique
 * key, an exclusion constraint), or not there yet, or still there (a foreign key). */
bool verdict_waits(const char *sqlstate);

/* A change failed; `attempt` counts this failure, 1 for the first. */
struct verdict verdict_of_failure(unsigned attempt, unsigned max_attempts);

/* How long a change waits in the retry queue after its attempt failed. */
int64_t verdict_delay_ms(int64_t first_delay_ms, unsigned attempt);

#endif
