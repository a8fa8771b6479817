/*
 * rows.c: the rules by which an answer is stale.
 *
 * A row that is shown in state s to a client that knows of state k is right if
 *   1. somebody wrote s, or may have: s is none that says deleted, and no newer than the newest begun
 *   2. s is not older than k. If k says deleted, s is thereby of a later life.
 * A row that is absent is right if
 *   3. the client knows of no state, or some deletion at k or later has been begun.
 * From then on the client knows of the oldest such deletion: the one of k's own life.
 */
#include "tests/positions/rows.h"

static uint32_t end_of_life(uint32_t state)
{
	return state - state % ROW_LIFE + ROW_LIFE - 1;
}

bool row_is_there(const struct row *r)
{
	return r->now != 0 && r->now != end_of_life(r->now);
}

uint32_t row_created(const struct row *r)
{
	return (r->now / ROW_LIFE + 1) * ROW_LIFE;
}

uint32_t row_changed(const struct row *r)
{
	return r->now + 1;
}

uint32_t row_deleted(const struct row *r)
{
	return end_of_life(r->now);
}

void row_begin(struct row *r, uint32_t state)
{
	r->begun = state;
	if (state == end_of_life(state))
		r->gone = state;
}

enum row_wrong row_wrong(const struct row *r, uint32_t seen, uint32_t shown)
{
	if (shown == 0) /* 3 */
		return seen == 0 || r->gone >= seen ? ROW_RIGHT : ROW_MISSING;
	if (shown < ROW_LIFE || shown == end_of_life(shown) || shown > r->begun) /* 1 */
		return ROW_UNWRITTEN;
	if (shown < seen) /* 2 */
		return seen == end_of_life(seen) ? ROW_BACK : ROW_OLDER;
	return ROW_RIGHT;
}

uint32_t row_seen(uint32_t seen, uint32_t shown)
{
	if (shown)
		return shown;
	return seen ? end_of_life(seen) : 0;
}
