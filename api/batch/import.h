/*
 * import.h: imports: rows, one JSON object a line, of any number. A worker's thread.
 *
 * Lines fill a batch; up to IMPORT_BATCHES of them are at the database, each on a connection of its
 * own, while the next one is filled. import_private.h lists the states.
 *
 *   1. No id is in two batches that are at the database: lines with the same id must take effect in
 *      their order, also when the first batch has to be done again. If nobody knows whether it was
 *      done, the session that it was sent to is ended first: else it might be done once more, later.
 *   2. Each batch is one transaction. What was committed stays, whatever comes after.
 *   3. A batch that is refused for its data is halved until the row at fault is alone.
 *   4. If there is no room for a line, the client's connection rests: memory is bounded.
 *   5. If there are as many imports as may be, the slowest client gives way to a new one (tempo.h),
 *      so that some that send next to nothing do not keep out all others.
 */
#ifndef PGFANOUT_API_BATCH_IMPORT_H
#define PGFANOUT_API_BATCH_IMPORT_H

#include "api/batch/scratch.h"
#include "api/batch/store.h"
#include "api/batch/tempo.h"

#define IMPORT_BATCHES POOL_BULK_LINKS /* of one import at the database */

struct import;
struct import_batch;
struct import_rows;

/* A line that is not taken. */
struct import_fault {
	char field[64]; /* "": none */
	struct err err;
};

#define IMPORT_NO_STATEMENT SIZE_MAX

enum import_taken {
	IMPORT_TAKEN,
	IMPORT_REJECTED, /* fault says why */
	IMPORT_NEXT,	 /* not into this batch; it is given again for the next one */
};

/* What is imported. kind: import_start()'s; data: of a batch, from new() to free(), used again for the batches
 * after it. */
struct import_calls {
	void *(*new)(struct request *r);
	void (*free)(void *data);
	/* The batch has no rows yet. */
	void (*begin)(void *data);
	/* Reads a line, behind which there is a line end or NUL, into the rows. */
	enum import_taken (*take)(void *data, struct import_rows *rows, const char *line,
				  size_t len, uint64_t number, struct import_fault *fault);
	/* The statement for rows from..to, and its parameters; careful: it leaves out what somebody else has locked.
	 * Returns its number on the link; IMPORT_NO_STATEMENT: there is no place for it, later maybe. */
	size_t (*statement)(void *data, const struct import_rows *rows, size_t from, size_t to,
			    bool careful, struct link *l, struct scratch *scratch,
			    struct db_param **ret_params);
	/* Of an answer: how many rows were created; of a careful one the locked ones are marked, and counted. */
	int (*created)(void *data, struct import_rows *rows, size_t from, size_t to, bool careful,
		       const struct pg_result *res, int *ret_written);
	/* Why the database refused a row, for its client. NULL: in general words. */
	void (*refused)(void *data, const struct err *err, struct import_fault *ret);
	/* Whether a failure says that the table is another one now: the rows are sent again soon, and statement()
	 * sees to it. NULL: it never is. */
	bool (*outdated)(void *data, const struct err *err);
	/* Whether a row is at fault for what is said of the table (DB_SCHEMA). NULL: it never is. */
	bool (*blames_row)(void *data, const struct err *err);
	struct relay *(*relay)(void *data); /* NULL: none */
};

/* The statements that imports need, in the kind of connection that writes. */
struct import_statements {
	size_t mark, end;
	size_t place; /* write_batches' */
};

/* All imports of a worker. Zeroed: there are none. */
struct imports {
	struct import_statements statements;
	size_t n, max;
	struct tempos tempos;			      /* of the n */
	struct import_batch *waiting;		      /* for a bulk link, first come first served */
	struct import_batch *current[IMPORT_BATCHES]; /* in flight, by bulk link */
};

/* The head is here: streams the body, or refuses. message: of the answer; NULL: it has no envelope. */
void import_start(struct request *r, const struct import_calls *calls, const char *message);
/* Returns how many bytes it took. Fewer than len: the connection rests until http_resume(). */
size_t import_data(struct request *r, const char *data, size_t len);
void import_end(struct request *r); /* the body has ended */
/* At the end of a turn: batches that wait go to links that are free. */
void import_dispatch(struct store *s);
/* Gives up imports whose batches have waited too long for a link. */
void import_tick(struct store *s);

#endif
