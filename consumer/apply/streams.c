/*
 * streams.c: see streams.h.
 */
#include "consumer/apply/streams.h"

#include "common/wire/topology.h"

void streams_init(struct streams *s)
{
	*s = (struct streams){ .n = 0 };
	if (pthread_mutex_init(&s->lock, NULL) != 0)
		fatal("streams: cannot make a mutex");
}

void streams_clear(struct streams *s)
{
	pthread_mutex_destroy(&s->lock);
}

void streams_note(struct streams *s, int number, const char *name)
{
	size_t i = 0;

	pthread_mutex_lock(&s->lock);
	while (i < s->n && s->list[i].number != number)
		i++;
	if (i == s->n && i < STREAMS_MAX)
		topology_stream(&s->list[s->n++], number, name);
	pthread_mutex_unlock(&s->lock);
}

size_t streams_take(struct streams *s, size_t from, struct stream *ret)
{
	pthread_mutex_lock(&s->lock);
	size_t n = s->n;

	for (size_t i = from; i < n; i++)
		ret[i] = s->list[i];
	pthread_mutex_unlock(&s->lock);
	return n;
}
