/*
 * list.h: full lists, streamed; and pages, which are one chunk with another envelope. A worker's
 * thread.
 *
 * The list is read in chunks, each a short statement "after the last key" of its
 * own: no transaction stays open while a slow client reads, so vacuum and a reset of the replica
 * are not held up, and memory is two chunks whatever the table's size. A chunk has as many rows as
 * make LIST_BYTES, going by the one before. What it costs: the list is
 * no snapshot of one moment; rows that are created or deleted while it is sent may or may not
 * be in it, all others are, each once.
 *
 * If there are as many lists as may be, the client that reads slowest gives way to a new one
 * (tempo.h): its connection is cut.
 *
 * If the replica fails in the middle, the list goes on from the last key on another database. If
 * none answers, the connection is cut: a client must not take a short list for the whole one.
 */
#ifndef PGFANOUT_API_BATCH_LIST_H
#define PGFANOUT_API_BATCH_LIST_H

#include "api/batch/tempo.h"
#include "api/batch/read_batch.h"

struct lists {
	size_t n, max;
	struct tempos tempos;	      /* of the n */
	struct request_queue waiting; /* running ones that no database can serve now */
};

#define LIST_BYTES 262144
#define LIST_FIRST 200	/* rows of the first chunk */
#define LIST_ROWS  2000 /* rows, at most */

/* What the rows of a request look like: request->listing. */
struct list_calls {
	/* What stands before the first row. */
	void (*open)(struct request *r, struct strbuf *out);
	void (*row)(struct request *r, struct strbuf *out, const struct pg_result *rows, int row);
	/* Of a list, and of a page: what stands behind the last row. more: it is not the last one of all,
	 * and which it is. */
	void (*close)(struct request *r, struct strbuf *out);
	void (*close_page)(struct request *r, struct strbuf *out, const struct pg_result *rows,
			   int last, bool more);
	/* The next chunk begins behind this row: sets the request's statement, and what its parameters are
	 * made of. False: it cannot, and the request was answered, unless its answer has begun. */
	bool (*behind)(struct request *r, const struct pg_result *rows, int row);
	/* How many rows from this one on are none, and say something else. NULL: 0. */
	int (*first)(struct request *r, const struct pg_result *rows, int row);
	/* Looks at the rows first. False: they lack what only the primary has. NULL: never. */
	bool (*whole)(struct request *r, const struct pg_result *rows);
};

/* Behind the one with the database's place, if there is one. */
static inline int list_first_row(const struct request *r)
{
	return r->statement->place == NO_PLACE ? 0 : 1;
}

/* Both begin; the request is answered in the end. request->listing, statement and, of a page, limit (one more
 * than is shown) are set; the limit is for the statement's parameters. */
void list_start(struct request *r);
void page_start(struct request *r);
void list_tick(struct store *s);

/* For the read_calls of such statements: rows and none. */
bool list_rows(struct request *r, const struct pg_result *rows, const struct upstream *up);
void list_none(struct request *r);
/* Of a list whose answer has begun nothing can be said any more: its connection is cut. */
bool list_is_running(const struct request *r);
/* Its next chunk is asked for once more, of any database: its statement is another one. */
void list_again(struct request *r);
/* The same with fewer rows: it took too long. False: it was for one. */
bool list_smaller(struct request *r);
void list_cut(struct request *r);

#endif
