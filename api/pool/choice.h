/*
 * choice.h: which link a read takes. A worker's thread.
 *
 * The rule:
 *   0. A list that has begun stays where it is while that database is fit and has not failed it:
 *      two replicas may be at different moments.
 *   1. A replica that is fit (of other tables than products': none of their streams lags), has a live
 *      link of this role in this worker, has not failed this read yet, and has it right as far as is
 *      known: a row by key is not among its wrong ones; of the tables of pages, lists and embeds it has
 *      no wrong rows at all. They take turns (READ_BALANCE=random: by chance): rows by key that come
 *      together go together to one replica, for one statement of many costs less than two of few.
 *      Silent ones (silence.h) come after all others.
 *   2. Else the primary, if it answers and has not failed this read yet. While a link to it is
 *      being opened: NULL, and choice_expected() says that waiting is worth it.
 *   3. Else a lagging replica that has it right, of those that are hardly further behind than the
 *      nearest one, as products' heartbeats have it; they take turns.
 *   4. Else the primary, if it has a live link and has not failed this read yet.
 *   5. Else a replica as in 3 that has it wrong: an old row is better than none.
 *   6. Else NULL.
 *
 * Of a read that says what its client has seen (position.h):
 *   a. Wherever a replica is named above, one whose mark is known to be behind that. In step 1 then, of rows
 *      by key, those of whose mark that is not known, each once: the row may be there before the mark. What
 *      came is looked at again when it comes, choice_serves(), and does not count if it is too old.
 *   b. Before step 2 such replicas are waited for, choice_waits(), unless that has taken too long already.
 *   c. Step 5 is none for it.
 *
 * A standby of the primary takes turns with the replicas. It has no wrong rows, and no versions. What it has
 * replayed is asked before it is asked for rows, since a place that it told with them may be newer than they are.
 */
#ifndef PGFANOUT_API_POOL_CHOICE_H
#define PGFANOUT_API_POOL_CHOICE_H

#include "api/pool/pool.h"

/* Of one read, with what it embeds. */
#define READ_TABLES 17

/* What the choice looks at. Zeroed: a page of nothing, not asked of anybody yet. */
struct read_want {
	bool by_key; /* of one row; else a page or a list */
	/* What it reads: of the first table this row (wrong_hash()) or, WRONG_ALL, any; of the others any. */
	int tables[READ_TABLES];
	size_t ntables;
	uint64_t row;
	/* That the tables' changes go by: bits of lag_stream_bit(); 0: products. */
	uint64_t streams;
	uint64_t tried; /* bit n: replica n has failed this read */
	bool tried_primary;
	bool whole;	    /* no replica's answer was: only the primary's will do */
	struct position at; /* what the client has seen */
	bool past;	    /* but if the primary cannot be reached it takes anything older; */
	bool any;	    /* and does so now */
	uint64_t behind;    /* bit n: replica n has answered, and was not there yet */
	bool late;	    /* no replica is waited for any longer */
	const struct upstream *home; /* of a list that has begun: where the last chunk came from */
};

struct link *choice_link(struct pool *p, const struct read_want *want);
/* Whether a database that has not failed this read will have a link in this worker soon. */
bool choice_expected(const struct pool *p, const struct read_want *want);
/* Whether a replica that is not there yet is worth waiting for, instead of asking the primary. */
bool choice_waits(struct pool *p, const struct read_want *want);
/* Whether an answer of this database shows all that the client has seen. place: what it told with it. version: of the
 * row by key that is in it, with nothing else; 0: of anything else. */
bool choice_serves(struct pool *p, const struct read_want *want, struct upstream *up,
		   const struct place *place, int64_t version);
/* What rows by key has come is on its way, or waits, as all of its replica's units are in flight: the next ones go to
 * another replica. sent: something is on its way since this was called last. */
void choice_turn(struct pool *p, bool sent);
void choice_failed(struct read_want *want, const struct upstream *up);

#endif
