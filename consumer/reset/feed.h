/*
 * feed.h: what was read once and still has to be written to several places: a bounded queue of chunks with one writer
 * and many readers, each at its own pace.
 *
 * The promise: memory is chunks * chunk_bytes (and the last row of a chunk), whatever is read; no reader ever misses or
 * repeats a byte; the slowest reader holds the writer back until it leaves. One owner, no locking. Pure.
 */
#ifndef PGFANOUT_CONSUMER_RESET_FEED_H
#define PGFANOUT_CONSUMER_RESET_FEED_H

#include "common/base/base.h"

struct feed;

struct feed *feed_new(size_t chunks, size_t chunk_bytes, size_t readers);
void feed_free(struct feed *f); /* NULL is fine */

/* The writer. A row is never torn apart: chunks end with a row. */
bool feed_has_room(const struct feed *f); /* else: feed_add() must wait for the slowest reader */
void feed_add(struct feed *f, const char *row, size_t len);
void feed_end(struct feed *f); /* everything was added; the readers may finish */
int64_t feed_rows(const struct feed *f);
int64_t feed_bytes(const struct feed *f);

/* Readers are numbered 0 … readers-1. */
struct feed_chunk {
	const char *data; /* borrowed until feed_next() */
	size_t len;
	int64_t rows, bytes; /* from the beginning to the end of this chunk */
};
bool feed_peek(const struct feed *f, size_t reader,
	       struct feed_chunk *ret); /* false: nothing yet, or the end */
void feed_next(struct feed *f, size_t reader);
bool feed_at_end(const struct feed *f,
		 size_t reader); /* feed_end() was called and this reader has had all */
void feed_leave(struct feed *f, size_t reader); /* takes no more, holds nobody back */

#endif
