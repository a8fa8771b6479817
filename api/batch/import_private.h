/*
 * import_private.h: what the two halves of an import share, and its states.
 *
 * import.c        the client's side: lines become batches, outcomes one answer
 * import_batch.c  the database's side: a batch until all of its rows are stored or rejected
 */
#ifndef PGFANOUT_API_BATCH_IMPORT_PRIVATE_H
#define PGFANOUT_API_BATCH_IMPORT_PRIVATE_H

#include "api/batch/import.h"
#include "api/batch/import_rows.h"

#define IMPORT_ERRORS_SHOWN 20
#define IMPORT_RANGES_MAX   32 /* halving 1000 rows leaves at most one half for each of 10 levels */

/* Where an import is, and after the colon what moves it on; import.c has the table of the ways.
 * Ordered: before ANSWERED its batches count. */
enum import_state {
	IMPORT_READING, /* the body comes: no room for a line, its end, or a failure */
	IMPORT_WAITING, /* no room, the client's connection rests: a batch is done, or a failure */
	IMPORT_FINISHING, /* the body has ended: all batches are done, or a failure */
	IMPORT_ANSWERED,  /* with 200, or with 503 after a failure: the client goes */
	IMPORT_GONE,	  /* the last of its batches in flight frees it */
};

enum import_line_state {
	LINE_COMING,  /* what there is of it is in import->line */
	LINE_READY,   /* complete, waits for room */
	LINE_SKIPPED, /* too long: what comes of it is thrown away */
};

/* In this order; from IN_FLIGHT back to QUEUED while rows are left to do, else to FREE. */
enum import_batch_state {
	BATCH_FREE,
	BATCH_FILLING,	 /* import->fill: lines are added */
	BATCH_SEALED,	 /* import->fill: takes no more lines, goes to the database when it may */
	BATCH_QUEUED,	 /* in the worker's queue for a bulk link, maybe until retry_at */
	BATCH_IN_FLIGHT, /* some of its rows (`sent`), or the end of its lost session, are at the
			  * database */
};

struct import_range {
	size_t from, to;
};

/* A line that was not taken. The database's refusals come after later lines' faults, and in any
 * order. */
struct rejection {
	uint64_t line;
	char *json; /* owned: its object in the answer */
};

struct import_batch {
	struct import *import;
	enum import_batch_state state;
	struct import_batch *next; /* in the worker's queue */
	struct import_rows rows;
	void *data; /* the kind's */
	struct import_range todo[IMPORT_RANGES_MAX], sent;
	size_t ntodo;
	size_t link;	      /* of the bulk links, while in flight */
	int64_t mark;	      /* of the session that `sent` was sent to */
	bool careful;	      /* it has met a lock: locked rows are left out from now on */
	int64_t lost;	      /* mark of the session that may still store `sent`; 0: none may */
	struct mono retry_at; /* not before; past, unless it has failed */
	struct mono patience; /* until when it is tried; never: it has not failed */
};

struct import {
	enum import_state state;
	const struct import_calls *calls;
	const char *message;	 /* import_start()'s */
	struct request *request; /* not to be used when GONE */
	struct store *store;
	struct tempo tempo;

	struct strbuf line;
	enum import_line_state line_state;
	uint64_t line_number; /* of the last line that was taken or rejected */

	struct import_batch batch[IMPORT_BATCHES + 1];
	struct import_batch *fill; /* the one that is FILLING or SEALED */

	uint64_t
		place; /* where the primary's WAL was after its last batch; POSITION_UNKNOWN: not known */
	int64_t created, replaced, rejected;
	struct rejection errors[IMPORT_ERRORS_SHOWN]; /* those of the first lines, by line */
	size_t nerrors;
};

/* ---- import.c ---- */
size_t import_count(const struct import *m, enum import_batch_state state); /* its batches in it */
void import_free(struct import *m);
void import_reject(struct import *m, uint64_t line, const char *field, const char *text);
/* Goes on with what waits, after a batch was done or the body has ended. */
void import_pump(struct import *m);
/* Answers with 503, unless it is answered; none of its batches is sent any more. */
void import_give_up(struct import *m, const struct err *err);

/* ---- import_batch.c ---- */
void import_batch_start(struct import_batch *b); /* it is SEALED */
/* Takes its batches out of the worker's queue. */
void import_dequeue(struct import *m);

#endif
