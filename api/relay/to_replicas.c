/*
 * to_replicas.c: see to_replicas.h.
 */
#include "api/relay/to_replicas.h"

#include <stdlib.h>

#define OVERHEAD 1024 /* bytes on the wire beside the body, generously */

static const enum change_kind kinds[] = { CHANGE_SYNC, CHANGE_DELETE };
#define KINDS ARRAY_SIZE(kinds)

void to_replicas_init(struct to_replicas *t, const struct stream *stream,
		      const char *const *replicas, size_t nreplicas)
{
	*t = (struct to_replicas){ .stream = stream, .replicas = replicas, .nreplicas = nreplicas };
	t->numbers = xcalloc(nreplicas * KINDS + 1, sizeof(*t->numbers));
}

void to_replicas_clear(struct to_replicas *t)
{
	free(t->numbers);
	t->numbers = NULL;
}

void to_replicas_begin(struct to_replicas *t)
{
	t->sent = t->open = 0;
}

static bool all_sent(const struct to_replicas *t)
{
	return t->sent == t->nreplicas * KINDS;
}

enum publisher_run to_replicas_run(struct to_replicas *t, struct amqp_link *l, const char *kind,
				   const struct amqp_publish *m, struct err *err)
{
	char queue[TOPOLOGY_NAME_MAX], type[TOPOLOGY_NAME_MAX];
	struct amqp_publish copy = *m;

	copy.exchange = "";
	copy.routing_key = queue;
	copy.type = type;
	topology_type(type, t->stream, kind);
	for (; !all_sent(t); t->sent++) {
		if (!amqp_can_publish(l, m->len + OVERHEAD))
			return PUBLISHER_FULL;
		topology_queue(queue, t->stream, kinds[t->sent % KINDS],
			       t->replicas[t->sent / KINDS]);
		if (!amqp_send(l, &copy, &t->numbers[t->sent], err))
			return PUBLISHER_BROKEN;
		t->open++;
		t->sent_at = mono_now();
	}
	return PUBLISHER_WAITS;
}

bool to_replicas_ended(const struct to_replicas *t)
{
	return all_sent(t) && t->open == 0;
}

bool to_replicas_settled(struct to_replicas *t, uint64_t publish_no, size_t *ret_replica)
{
	if (t->open == 0 || publish_no < t->numbers[0] || publish_no > t->numbers[t->sent - 1])
		return false;
	/* Each publish is settled once, so an answered one needs no mark. */
	for (size_t i = 0; i < t->sent; i++) {
		if (t->numbers[i] != publish_no)
			continue;
		*ret_replica = i / KINDS;
		t->open--;
		return true;
	}
	return false;
}

void to_replicas_give_up(struct to_replicas *t)
{
	t->sent = t->nreplicas * KINDS;
	t->open = 0;
}
