/*
 * rebuild_source.h: the primary's side of a rebuild: a COPY of each table out of the snapshot, into
 * the feed, one after the other.
 * Never blocks. Main thread.
 */
#ifndef PGFANOUT_CONSUMER_RESET_REBUILD_SOURCE_H
#define PGFANOUT_CONSUMER_RESET_REBUILD_SOURCE_H

#include <libpq-fe.h>

#include "common/base/clock.h"
#include "common/base/err.h"
#include "consumer/reset/feed.h"
#include "consumer/reset/rebuild_table.h"

enum source_state {
	SOURCE_OPENING,	 /* COPY was sent; READING with its first result */
	SOURCE_READING,	 /* reads rows while the feed has room; then OPENING for the next table */
	SOURCE_ENDING,	 /* a table is complete, the feed has no room yet for its end */
	SOURCE_COMPLETE, /* the feed has ended; connection closed */
	SOURCE_FAILED,	 /* err says why; connection closed, and the feed will never end */
};

struct source {
	PGconn *conn; /* NULL when closed */
	struct feed *feed;
	int64_t stall_ms;
	enum source_state state;
	bool flushing; /* poll for writing too */
	bool wanted; /* the feed had room when the loop last looked: only then is silence a stall */
	struct mono moved;
	const struct rebuild_table *tables;
	size_t n, table; /* the one at work */
	int64_t rows;	 /* of it, as the server counted them */
	struct err err;
};

/* Takes the connection, which is in the snapshot's transaction. tables: borrowed. */
void source_start(struct source *src, PGconn *conn, struct feed *feed, int64_t stall_ms,
		  const struct rebuild_table *tables, size_t n);
/* Whether to poll for it: not while the feed is full. */
bool source_wants(const struct source *src);
/* To be called every turn of the loop. True: there may be more at once, do not wait. */
bool source_turn(struct source *src, short revents, struct mono now);
void source_close(struct source *src);

#endif
