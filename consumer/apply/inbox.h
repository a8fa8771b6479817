/*
 * inbox.h: received messages on their way to the replica: a list of batches. The first one is
 * applied while the last one collects.
 *
 * Memory is kept for the next use. One owner: a worker's thread. Pure.
 */
#ifndef PGFANOUT_CONSUMER_APPLY_INBOX_H
#define PGFANOUT_CONSUMER_APPLY_INBOX_H

#include "common/amqp/amqp.h"
#include "consumer/apply/batch.h"
#include "consumer/apply/tables.h"

#define INBOX_BATCHES_MAX 8 /* with so many, reading pauses */
#define INBOX_SHAPES_MAX \
	200 /* likewise, of batches that bring a shape: each table's comes by two queues */

struct inbox_batch {
	struct inbox_batch *next;
	struct batch batch;
};

struct inbox {
	const struct tables *tables; /* changes while it is empty only */
	/* A batch with so many changes, bad ones included, takes no further message. */
	size_t max_changes;
	struct inbox_batch *first, *last;
	size_t nbatches;    /* from first to last, but for those that bring a shape */
	size_t nshapes;	    /* these two: of those */
	size_t shape_bytes; /* of their messages */
	bool busy;	    /* the first one is being applied: nothing may join it */
	struct inbox_batch *spare;
};

/* tables: borrowed. */
void inbox_init(struct inbox *in, const struct tables *tables, size_t max_changes);
void inbox_clear(struct inbox *in);

/* Copies a delivery into the last batch, or into a new one if that is full or of another source. */
void inbox_take(struct inbox *in, const struct amqp_delivery *d, enum change_kind kind);
/* Whether the batch that collects takes no more, or messages of ever other sources have made many
 * small ones: then reading should pause. */
bool inbox_full(const struct inbox *in);

/* How many messages of a kind are in it, those being applied too. */
size_t inbox_messages(const struct inbox *in, enum change_kind kind);
/* The oldest batch; NULL if there is none. */
const struct batch *inbox_first(const struct inbox *in);
/* The same, from now on busy. */
struct batch *inbox_begin(struct inbox *in);
/* The busy batch is done with, and empty now. */
void inbox_done(struct inbox *in);
/* The same, but its numbers stay: with the next batch, or, if that takes none of this source or they
 * are to be `apart`, as a batch of their own, which messages may join. */
void inbox_done_but_numbers(struct inbox *in, bool apart);
/* Throws away everything. */
void inbox_drop(struct inbox *in);

#endif
