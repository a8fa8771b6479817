/*
 * feed.h: a bounded queue of chunks with one writer and many readers, each at its own pace: data
 * that is read once and written to several places.
 *
 * Promises: memory is chunks * chunk_bytes (and the last row of each chunk), however much is read;
 * no reader misses or repeats a byte; the slowest reader holds the writer back until it leaves.
 * One thread owns it, no locking. Pure.
 */
#ifndef PGFANOUT_CONSUMER_RESET_FEED_H
#define PGFANOUT_CONSUMER_RESET_FEED_H

#include "common/base/base.h"

struct feed;

struct feed *feed_new(size_t chunks, size_t chunk_bytes, size_t readers);
void feed_free(struct feed *f); /* NULL is fine */

/* The writer. A chunk ends with a complete row, and with a part: several tables go through one after the
 * other. Without room feed_add() and feed_end_part() must wait for the slowest reader. feed_end():
 * everything was added. */
bool feed_has_room(const struct feed *f);
void feed_add(struct feed *f, const char *row, size_t len);
void feed_end_part(struct feed *f, int64_t rows); /* so many rows were in it */
void feed_end(struct feed *f);
int64_t feed_rows(const struct feed *f);
int64_t feed_bytes(const struct feed *f);

/* Readers are numbered 0 … readers-1. */
struct feed_chunk {
	const char *data; /* borrowed until feed_next() */
	size_t len;	  /* may be 0 at the end of a part */
	bool ends_part;
	int64_t part_rows;   /* then: of that part */
	int64_t rows, bytes; /* of all chunks up to the end of this one */
};
/* False: nothing yet, or the end. */
bool feed_peek(const struct feed *f, size_t reader, struct feed_chunk *ret);
void feed_next(struct feed *f, size_t reader);
/* feed_end() was called and this reader has had all. */
bool feed_at_end(const struct feed *f, size_t reader);
/* Takes no more, and holds nobody back. */
void feed_leave(struct feed *f, size_t reader);

#endif
