/*
 * rows.h: what a row has been, and what a client that saw it may be shown of it. Pure.
 *
 * A state is a number that only grows. A row lives several times: in its k-th life its states are
 * k * ROW_LIFE (created) and each one more (changed), and the last number of the life, which no row
 * ever holds, says that it is deleted. 0: it was never there.
 *
 * Writes of a row come one after another, so the states of a row become true in the order of their
 * numbers, and to have seen one is to know that every smaller one is over.
 */
#ifndef PGFANOUT_TESTS_POSITIONS_ROWS_H
#define PGFANOUT_TESTS_POSITIONS_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#define ROW_LIFE 100000u

struct row {
	uint32_t now;	/* the newest state that was acknowledged */
	uint32_t begun; /* the newest one that a write may have made */
	uint32_t gone;	/* the newest one of those that says deleted; 0: none */
};

bool row_is_there(const struct row *r);
/* The states that a write can make next: of a row that is not there, and of one that is. */
uint32_t row_created(const struct row *r);
uint32_t row_changed(const struct row *r);
uint32_t row_deleted(const struct row *r);
/* The write of such a state begins. */
void row_begin(struct row *r, uint32_t state);

enum row_wrong {
	ROW_RIGHT,
	ROW_OLDER,     /* than the client knows */
	ROW_BACK,      /* in a life that the client knows to be over */
	ROW_MISSING,   /* the client knows of a state, and nobody deleted the row since */
	ROW_UNWRITTEN, /* nobody made it that */
	ROW_WRONGS
};

/* Whether a client that knows of the state `seen` (0: of none) may be shown this one. shown 0: the row is
 * absent where it would have to be. */
enum row_wrong row_wrong(const struct row *r, uint32_t seen, uint32_t shown);
/* What the client knows when it was shown that, rightly. */
uint32_t row_seen(uint32_t seen, uint32_t shown);

#endif
