/*
 * import_private.h: what the two halves of an import share.
 *
 * import.c        the client's side: lines become batches, outcomes one answer
 * import_batch.c  the database's side: a batch until all of its rows are stored or rejected
 */
#ifndef PGFANOUT_API_PRODUCTS_IMPORT_PRIVATE_H
#define PGFANOUT_API_PRODUCTS_IMPORT_PRIVATE_H

#include "api/products/import.h"
#include "api/products/import_rows.h"

#define IMPORT_ERRORS_SHOWN 20
#define IMPORT_RANGES_MAX   32 /* halving 1000 rows leaves at most one half for each of 10 levels */

struct import_range {
	size_t from, to;
};

/* A line that was not taken. The database's refusals come after later lines' faults, and in any order. */
struct rejection {
	uint64_t line;
	char *json; /* owned: its object in the answer */
};

/* Free until work begins; then queued, in flight or both in turn, until nothing of it is left to do. */
struct import_batch {
	struct import *import;
	struct import_batch *next; /* in the worker's queue */
	bool working, queued;
	struct import_rows rows;
	struct import_range todo[IMPORT_RANGES_MAX], sent;
	size_t ntodo;
	size_t link;	      /* of the bulk links, while in flight */
	struct mono retry_at; /* not before */
	struct mono patience; /* until when it is tried; never: it has not failed */
};

struct import {
	struct request *request; /* NULL: the client has gone */
	struct store *store;

	/* reading */
	struct strbuf line;
	bool line_ready; /* line is complete and waits for room */
	bool skipping;	 /* the rest of a line that is too long */
	bool paused;	 /* the client's connection rests */
	bool ended;
	bool failed;
	uint64_t line_number; /* of the line being read */
	struct product_input in;
	struct import_rows fill;
	bool sealed; /* fill is to go to the database before another line is taken */

	struct import_batch batch[IMPORT_BATCHES];
	unsigned working, in_flight; /* batches */

	int64_t created, replaced, rejected;
	struct rejection errors[IMPORT_ERRORS_SHOWN]; /* those of the first lines, by line */
	size_t nerrors;
};

/* ---- import.c ---- */
void import_free(struct import *m);
void import_reject(struct import *m, uint64_t line, const char *field, const char *text);
/* Moves on after something has changed: work done, or the body's end. */
void import_pump(struct import *m);
/* Answers with 503; nothing of it is sent any more. */
void import_give_up(struct import *m, const struct err *err);

/* ---- import_batch.c ---- */
/* Its rows are set and sorted. */
void import_batch_start(struct import *m, struct import_batch *b);
/* Takes its batches out of the worker's queue. */
void import_dequeue(struct import *m);

#endif
