/*
 * relays.c: see relays.h. The list only grows: what is below its count never changes, so it is read
 * without the lock.
 */
#include "api/relay/relays.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "common/http/metrics.h"
#include "common/wire/topology.h"

struct relays {
	struct relay_options options; /* immutable after start */
	pthread_mutex_t lock;	      /* of who adds one */
	struct relay_of_stream {
		struct stream stream;
		struct relay *relay;
		size_t label; /* of its metrics; 0: none yet */
	} list[RELAYS_MAX];
	atomic_size_t n;
	bool told; /* that there are too many */
};

static bool add(struct relays *rs, const struct stream *stream, struct err *err)
{
	size_t n = atomic_load(&rs->n);
	struct relay_options options = rs->options;

	options.stream = *stream;
	struct metric_value v = { .label = "stream", .value = rs->list[n].stream.name };

	rs->list[n].stream = *stream;
	if (rs->list[n].label == 0) /* not when it is tried again */
		rs->list[n].label = metrics_add(&v);
	rs->list[n].relay = relay_start(&options, err);
	if (rs->list[n].relay)
		atomic_store(&rs->n, n + 1);
	return rs->list[n].relay != NULL;
}

struct relays *relays_start(const struct relay_options *options, struct err *err)
{
	struct relays *rs = xcalloc(1, sizeof(*rs));

	rs->options = *options;
	pthread_mutex_init(&rs->lock, NULL);
	if (add(rs, topology_products(), err))
		return rs;
	relays_stop(rs);
	return NULL;
}

void relays_stop(struct relays *rs)
{
	if (!rs)
		return;
	for (size_t i = 0; i < rs->n; i++)
		relay_stop(rs->list[i].relay);
	pthread_mutex_destroy(&rs->lock);
	free(rs);
}

void relays_note(struct relays *rs, int number, const char *name)
{
	struct stream stream;
	struct err err;
	size_t i = 0;

	pthread_mutex_lock(&rs->lock);
	while (i < rs->n && rs->list[i].stream.number != number)
		i++;
	if (i == RELAYS_MAX && !rs->told) {
		rs->told = true;
		log_error("there are too many streams: those above the limit are not published",
			  KV_I("limit", (int64_t)RELAYS_MAX));
	} else if (i == rs->n && i < RELAYS_MAX) {
		topology_stream(&stream, number, name);
		if (!add(rs, &stream, &err))
			log_error("a stream's relay cannot be started; trying again",
				  KV_S("stream", name), KV_S("error", err.text));
		else
			log_info("a new stream", KV_S("stream", name));
	}
	pthread_mutex_unlock(&rs->lock);
}

struct relay *relays_products(const struct relays *rs)
{
	return rs->list[0].relay;
}

size_t relays_count(const struct relays *rs)
{
	return atomic_load(&rs->n);
}

struct relay *relays_get(const struct relays *rs, size_t i, const char **ret_stream)
{
	*ret_stream = rs->list[i].stream.name;
	return rs->list[i].relay;
}

size_t relays_label(const struct relays *rs, size_t i)
{
	return rs->list[i].label;
}
