/*
 * read_batch.h: reads on their way to a database. A worker's thread.
 *
 * Reads by key that are of one statement and wait for the same link are sent as one unit; at most
 * READ_UNITS are in flight on it, and what comes meanwhile is the next. Scans, pages and chunks of
 * lists, are one a unit. A read that a database does not answer goes to the next one (choice.h), the
 * primary last. If a unit is refused for what is in it, its reads are sent again one by one. A read for which there
 * is none, but soon will be, waits within its deadline.
 *
 * A read that says what its client has seen is answered by a database that has it: see choice.h. While it waits
 * for a replica (read_batch_wait.c), those are asked for their marks, and for rows by key again.
 */
#ifndef PGFANOUT_API_BATCH_READ_BATCH_H
#define PGFANOUT_API_BATCH_READ_BATCH_H

#include "api/batch/statements.h"
#include "api/batch/store.h"

#define READ_ROWS 256 /* requests in a unit */

struct read_unit;

/* Of one replica. */
struct marks_asked {
	struct read_batches *reads;
	struct upstream *up;
	bool under_way;
};

struct read_batches {
	struct request_queue points[POOL_READS_MAX], scans[POOL_READS_MAX]; /* by link->number */
	struct request_queue waiting; /* for a link that the connector is opening */

	/* These: read_batch_wait.c's. */
	size_t marks;		     /* the statement that asks a replica for its marks */
	struct request_queue behind; /* for a replica to be where their clients are */
	struct mono look_at;	     /* when it is looked at again whether one is */
	bool asks_marks, has_marks;  /* in this turn */
	struct marks_asked asked[REPLICAS_MAX]; /* by upstream index */
	struct read_unit *free_points, *free_scans;
};

/* Zeroed: nothing is under way. */
void read_batches_clear(struct read_batches *b);

/* request->statement and want are set: want.by_key says which. It is answered in the end. */
void read_submit(struct request *r);
/* Answers one that no database can answer. */
void read_unavailable(struct request *r);
void read_dispatch(struct store *s);
/* When it must be called again at the latest, because reads wait for a replica; never: none does. */
struct mono read_next(const struct store *s);
/* Looks again for those that wait, and for those whose link is silent (silence.h). */
void read_tick(struct store *s);

#endif
