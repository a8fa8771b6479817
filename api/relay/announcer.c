/*
 * announcer.c: see announcer.h.
 *
 *   a shape      moves on when
 *   waiting      none is under way                                     -> going
 *   going        its messages are sent, two for each replica, and all are answered   -> announced
 *   announced    until announcer_drop()
 *
 * Which one a shape is, is kept with its route, as a count of drops: so a route that outlives a term is
 * announced in the next one again. A queue that refuses, or is not there, holds up nobody: its replica is
 * left out, and marked before any row of the shape is forgotten.
 */
#include "api/relay/announcer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OVERHEAD 1024 /* bytes on the wire beside the body, generously */

static const enum change_kind kinds[] = { CHANGE_SYNC, CHANGE_DELETE };
#define KINDS ARRAY_SIZE(kinds)

struct announcer {
	const struct stream *stream;
	const char *const *replicas;
	size_t nreplicas;
	unsigned term; /* counts drops, from 1 on */

	struct outbox_shape *taken; /* of records, in the order they were claimed in */
	size_t at, ntaken, cap;	    /* those before `at` are done with */

	struct shape_route *going;  /* NULL: none */
	size_t sent, open;	    /* its messages: sent; of them not answered */
	uint64_t *numbers;	    /* of its messages, in the order of replicas and kinds */
	enum amqp_settled *refused; /* by replica; AMQP_CONFIRMED: it is not left out */
};

struct announcer *announcer_new(const struct stream *stream, const char *const *replicas,
				size_t nreplicas)
{
	struct announcer *a = xcalloc(1, sizeof(*a));

	a->stream = stream;
	a->replicas = replicas;
	a->nreplicas = nreplicas;
	a->term = 1;
	a->numbers = xcalloc(nreplicas * KINDS + 1, sizeof(*a->numbers));
	a->refused = xcalloc(nreplicas + 1, sizeof(*a->refused));
	for (size_t i = 0; i < nreplicas; i++)
		a->refused[i] = AMQP_CONFIRMED;
	return a;
}

void announcer_free(struct announcer *a)
{
	if (!a)
		return;
	free(a->taken);
	free(a->numbers);
	free(a->refused);
	free(a);
}

unsigned announcer_term(const struct announcer *a)
{
	return a->term;
}

void announcer_take(struct announcer *a, const struct outbox_chunk *c)
{
	if (a->at == a->ntaken)
		a->at = a->ntaken = 0;
	if (a->ntaken + c->nshapes > a->cap) {
		a->cap = 2 * (a->ntaken + c->nshapes);
		a->taken = xreallocarray(a->taken, a->cap, sizeof(*a->taken));
	}
	for (size_t i = 0; i < c->nshapes; i++)
		a->taken[a->ntaken++] = c->shapes[i];
}

static bool send_one(struct announcer *a, struct amqp_link *l, const char *source, struct err *err)
{
	char queue[TOPOLOGY_NAME_MAX], type[TOPOLOGY_NAME_MAX];
	const struct amqp_header headers[] = { { .key = "x-source", .str = source },
					       { .key = CHANGE_SHAPE_HEADER,
						 .num = a->going->shape } };
	const struct amqp_publish m = {
		.exchange = "",
		.routing_key = queue,
		.type = type,
		.headers = headers,
		.nheaders = ARRAY_SIZE(headers),
		.body = a->going->description,
		.len = strlen(a->going->description),
	};

	topology_type(type, a->stream, CHANGE_SHAPE_KIND);
	topology_queue(queue, a->stream, kinds[a->sent % KINDS], a->replicas[a->sent / KINDS]);
	if (!amqp_send(l, &m, &a->numbers[a->sent], err))
		return false;
	a->sent++;
	a->open++;
	return true;
}

static void finish(struct announcer *a)
{
	if (a->sent < a->nreplicas * KINDS || a->open > 0)
		return;
	a->going->announced = a->term;
	a->going = NULL;
}

/* What is to be announced next; NULL: nothing. */
static struct shape_route *next(struct announcer *a, struct shape_route *wanted, bool caught_up)
{
	if (wanted && !wanted->flat && wanted->announced != a->term)
		return wanted;
	for (size_t i = a->at; i < a->ntaken; i++)
		if (a->taken[i].route->announced != a->term &&
		    (caught_up || !a->taken[i].route->last))
			return a->taken[i].route;
	return NULL;
}

enum publisher_run announcer_run(struct announcer *a, struct shape_route *wanted, bool caught_up,
				 struct amqp_link *l, const char *source, struct err *err)
{
	for (;;) {
		if (!a->going) {
			a->going = next(a, wanted, caught_up);
			a->sent = a->open = 0;
		}
		if (!a->going)
			return PUBLISHER_IDLE;
		while (a->sent < a->nreplicas * KINDS) {
			if (!amqp_can_publish(l, strlen(a->going->description) + OVERHEAD))
				return PUBLISHER_FULL;
			if (!send_one(a, l, source, err))
				return PUBLISHER_BROKEN;
		}
		if (a->open > 0)
			return PUBLISHER_WAITS;
		finish(a);
	}
}

bool announcer_settled(struct announcer *a, uint64_t publish_no, enum amqp_settled how)
{
	if (a->open == 0 || publish_no < a->numbers[0] || publish_no > a->numbers[a->sent - 1])
		return false;
	/* Each publish is settled once, so an answered one needs no mark. */
	for (size_t i = 0; i < a->sent; i++) {
		if (a->numbers[i] != publish_no)
			continue;
		if (how != AMQP_CONFIRMED)
			a->refused[i / KINDS] = how;
		a->open--;
		finish(a);
		return true;
	}
	return false;
}

size_t announcer_unanswered(const struct announcer *a)
{
	return a->open;
}

bool announcer_done(struct announcer *a, struct outbox_key *ret)
{
	if (a->at == a->ntaken || a->taken[a->at].route->announced != a->term)
		return false;
	*ret = a->taken[a->at++].key;
	return true;
}

bool announcer_left_out(struct announcer *a, size_t replica, enum amqp_settled *ret_how)
{
	*ret_how = a->refused[replica];
	a->refused[replica] = AMQP_CONFIRMED;
	return *ret_how != AMQP_CONFIRMED;
}

void announcer_give_up(struct announcer *a)
{
	if (a->open == 0)
		return;
	for (size_t i = 0; i < a->nreplicas; i++)
		a->refused[i] = AMQP_NACKED;
	a->open = 0;
	a->sent = a->nreplicas * KINDS;
	finish(a);
}

void announcer_drop(struct announcer *a)
{
	a->going = NULL;
	a->sent = a->open = 0;
	a->at = a->ntaken = 0;
	a->term++;
	for (size_t i = 0; i < a->nreplicas; i++)
		a->refused[i] = AMQP_CONFIRMED;
}
