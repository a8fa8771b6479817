/*
 * verify_rule.h: when a row that looks different is different. Pure: verify_settle.c does the reading.
 *
 * The rule. Both servers are written to during a comparison, so what it finds are suspects. Each is
 * judged on its own:
 *
 *   1. Read the row on the replica: R0.
 *   2. Read it on the primary: P, then the primary's clock: t.
 *   3. Wait until everything that was committed before t has come to the replica: both its
 *      heartbeats are t or later.
 *   4. Read it on the replica again: R1.
 *   5. R1 has P's columns, and no version that the primary has never given out: no difference.
 *   6. R0 and R1 are the same, not written in between, and differ from P: drift. The proof: if R0
 *      was ever a state of the primary, then before P was read, because R0 was read first. R1 is a
 *      state at or after P, because all that was committed before t has come. As R0 is R1, it
 *      would have to be P.
 *   7. R0 has a version that was given out after the first P was read: the replica has got a newer
 *      state since, and a change is always the whole row: no difference.
 *   8. Else it was written meanwhile: again from 2, with R1 as the new R0, VERIFY_ROUNDS times at
 *      most. Then it is undetermined.
 *
 * Also drift by 6: a version in R0 above the newest one given out when P was read, as the primary
 * never gave it out; and a row of which the replica knows that a change was given up.
 *
 * What has come is not always applied: a change that failed waits in a retry queue, one that another row
 * is in the way of waits on the replica, and of two consumers of one queue one may be slower. So 6 counts
 * only if the retry queues were empty before 2 and before 4, if no change of the row waited at 4, and only
 * if it is found VERIFY_CONFIRMS times in a row.
 */
#ifndef PGFANOUT_CONSUMER_VERIFY_VERIFY_RULE_H
#define PGFANOUT_CONSUMER_VERIFY_VERIFY_RULE_H

#include "common/base/strbuf.h"
#include "common/wire/table.h"

#define VERIFY_DIGEST	32
#define VERIFY_ROUNDS	10
#define VERIFY_CONFIRMS 2

struct verify_content {
	char *columns; /* owned: VERIFY_DIGEST characters of each; NULL if there is no row */
};

/* The primary's row at one moment. */
struct verify_original {
	struct verify_content content;
	int64_t given; /* the newest version given out then; later ones are of later changes */
	int64_t bytes; /* the length of its text; 0: there is no row */
};

/* The replica's row at one moment. If two of them agree in all but the columns, it was not
 * written in between. */
struct verify_copy {
	struct verify_content content;
	uint32_t written;	       /* the transaction that wrote the row */
	int64_t version, buried, dead; /* of row, tombstone, change given up; 0: there is none */
	int64_t load;		       /* another number after each load of the table */
};

enum verify_state {
	VERIFY_OPEN,
	VERIFY_EQUAL,
	VERIFY_DRIFT,
	VERIFY_UNSURE, /* it changes too fast, or its replica does not catch up */
};

struct verify_suspect {
	char *key; /* owned; as SQL writes a text[] */
	size_t replica;
	enum verify_state state;
	unsigned rounds, confirms;
	int64_t first_given;		 /* of the first P; -1: none yet */
	struct verify_original original; /* P */
	struct verify_copy copy;	 /* R0, R1 after the judgement */
};

/* key is copied. */
void verify_suspect_init(struct verify_suspect *s, const char *key, size_t replica);
void verify_suspect_clear(struct verify_suspect *s);
/* To be judged once more, from the beginning. */
void verify_suspect_again(struct verify_suspect *s);

/* What they read becomes the suspect's: content.columns is taken. */

/* R0. */
void verify_suspect_copy(struct verify_suspect *s, const struct verify_copy *r0);
/* The next round's P. */
void verify_suspect_original(struct verify_suspect *s, const struct verify_original *p);
/* Rules 5 to 8: now is R1; settled says that no change waited. Sets the state. */
void verify_judge(struct verify_suspect *s, const struct verify_copy *now, bool settled);

/* What is wrong with a drifted row: "missing", "extra", "different: name, stock", "version 9
 * was never given out", … */
void verify_describe(struct strbuf *out, const struct verify_suspect *s, const struct table *t);

/* Rule 3. In microseconds of the primary's clock; elapsed_us: since t was read. A heartbeat from
 * the future was made by another clock and does not count. */
bool verify_arrived(int64_t beat_sync, int64_t beat_delete, int64_t t, int64_t elapsed_us);

#endif
