/*
 * verdict.c: see verdict.h. Pure.
 *
 * The rule, read from the top; the first row that fits decides:
 *   1. A change whose data is at fault is isolated, and only it is moved away.
 *   2. What may succeed in a moment is tried again as it is, a few times.
 *   3. Everything else is the replica's trouble. Messages wait in their queues and no attempt is
 *      used up, for as long as it takes.
 */
#include "consumer/apply/verdict.h"

#include <limits.h>
#include <string.h>

#define ANY    ((size_t)-1)
#define ALWAYS UINT_MAX

static const struct {
	enum db_outcome outcome;
	size_t most_changes; /* the row is for units of at most so many changes */
	unsigned most_tries; /* … that were tried at most so often */
	enum verdict_action action;
	const char *sentence;
} units[] = {
	{ DB_OK, ANY, ALWAYS, VERDICT_NEXT, "applied" },
	{ DB_REFUSED, 1, ALWAYS, VERDICT_FAIL_CHANGE,
	  "the replica refuses this change: it is moved to the retry or the dead-letter queue" },
	{ DB_REFUSED, ANY, ALWAYS, VERDICT_HALVE,
	  "the replica refuses a change of this batch; looking for it" },
	{ DB_RETRY, ANY, VERDICT_TRIES - 1, VERDICT_AGAIN,
	  "the batch conflicted with another transaction: trying it again" },
	{ DB_RETRY, ANY, ALWAYS, VERDICT_WAIT, "blocked by a lock on the replica; retrying" },
	{ DB_BUSY, ANY, ALWAYS, VERDICT_WAIT_RESET,
	  "the replica is being reset; its messages wait until that is done" },
	{ DB_FOREIGN, ANY, ALWAYS, VERDICT_WAIT,
	  "its queues hold changes of another primary; nothing is applied: give each installation "
	  "a virtual host or a QUEUE_PREFIX of its own, or, if the primary was replaced, run "
	  "reset-replicas" },
	{ DB_SCHEMA, ANY, ALWAYS, VERDICT_WAIT,
	  "the replica's schema does not fit; its messages wait: run pgfanout-migrate up" },
	{ DB_UNFIT, ANY, ALWAYS, VERDICT_WAIT,
	  "the replica cannot take changes now; its messages wait" },
	{ DB_BROKEN, ANY, ALWAYS, VERDICT_WAIT,
	  "a table or an index of the replica is corrupt; its messages wait: see its server's log, "
	  "repair it or run reset-replicas" },
	{ DB_LOST, ANY, ALWAYS, VERDICT_WAIT,
	  "the connection to the replica is lost; its messages wait" },
};

struct verdict verdict_of_unit(enum db_outcome outcome, size_t changes, unsigned tries)
{
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (units[i].outcome == outcome && changes <= units[i].most_changes &&
		    tries <= units[i].most_tries)
			return (struct verdict){ units[i].action, units[i].sentence };
	fatal("verdict: no row for database outcome %d", (int)outcome);
}

bool verdict_waits(const char *sqlstate)
{
	static const char *const codes[] = { "23503", "23505", "23P01" };

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if (strcmp(sqlstate, codes[i]) == 0)
			return true;
	return false;
}

struct verdict verdict_of_failure(unsigned attempt, unsigned max_attempts)
{
	if (attempt < max_attempts)
		return (struct verdict){ VERDICT_RETRY, "a change failed and will be tried again" };
	return (struct verdict){
		VERDICT_DEAD, "a change failed for the last time and goes to the dead-letter queue"
	};
}

int64_t verdict_delay_ms(int64_t first_delay_ms, unsigned attempt)
{
	return first_delay_ms * ((int64_t)1 << (attempt > 20 ? 20 : attempt - 1));
}
