/*
 * streams.h: the streams that a replica knows, told by the worker of its first one to whoever starts the
 * others.
 */
#ifndef PGFANOUT_CONSUMER_APPLY_STREAMS_H
#define PGFANOUT_CONSUMER_APPLY_STREAMS_H

#include <pthread.h>

#include "common/base/base.h"
#include "common/wire/stream.h"

#define STREAMS_MAX ((size_t)64)

struct streams {
	pthread_mutex_t lock;
	struct stream list[STREAMS_MAX]; /* under lock; it only grows */
	size_t n;
};

void streams_init(struct streams *s);
void streams_clear(struct streams *s);
/* Any thread. */
void streams_note(struct streams *s, int number, const char *name);
/* How many there are; copies those from `from` on. */
size_t streams_take(struct streams *s, size_t from, struct stream *ret);

#endif
