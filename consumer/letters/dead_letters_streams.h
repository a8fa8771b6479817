/*
 * dead_letters_streams.h: the streams that a replica has, each with a dead-letter queue, and their tables, by
 * which a letter's rows are named. Main thread; with deadlines.
 */
#ifndef PGFANOUT_CONSUMER_LETTERS_DEAD_LETTERS_STREAMS_H
#define PGFANOUT_CONSUMER_LETTERS_DEAD_LETTERS_STREAMS_H

#include "consumer/apply/streams.h"
#include "consumer/apply/tables.h"

struct dead_streams {
	struct stream list[STREAMS_MAX];
	struct tables tables[STREAMS_MAX]; /* point into list */
	size_t n;
};

/* False: the replica cannot be asked, so ret has the stream that each of them has, and no table. Clear ret
 * then too. */
MUST_CHECK bool dead_streams_read(struct dead_streams *ret, const char *replica, const char *url,
				  struct err *err);
void dead_streams_clear(struct dead_streams *s);

#endif
