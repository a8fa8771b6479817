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

#include <stdlib.h>
#include <string.h>

#include "api/relay/to_replicas.h"

struct announcer {
	struct to_replicas to;
	unsigned term; /* counts drops, from 1 on */

	struct outbox_shape *taken; /* of records, in the order they were claimed in */
	size_t at, ntaken, cap;	    /* those before `at` are done with */

	struct shape_route *going;  /* NULL: none */
	enum amqp_settled *refused; /* by replica; AMQP_CONFIRMED: it is not left out */
};

struct announcer *announcer_new(const struct stream *stream, const char *const *replicas,
				size_t nreplicas)
{
	struct announcer *a = xcalloc(1, sizeof(*a));

	to_replicas_init(&a->to, stream, replicas, nreplicas);
	a->term = 1;
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
	to_replicas_clear(&a->to);
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

static enum publisher_run send_all(struct announcer *a, struct amqp_link *l, const char *source,
				   struct err *err)
{
	const struct amqp_header headers[] = { { .key = "x-source", .str = source },
					       { .key = CHANGE_SHAPE_HEADER,
						 .num = a->going->shape } };
	const struct amqp_publish m = {
		.headers = headers,
		.nheaders = ARRAY_SIZE(headers),
		.body = a->going->description,
		.len = strlen(a->going->description),
	};

	return to_replicas_run(&a->to, l, CHANGE_SHAPE_KIND, &m, err);
}

static void finish(struct announcer *a)
{
	if (!to_replicas_ended(&a->to))
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
			to_replicas_begin(&a->to);
		}
		if (!a->going)
			return PUBLISHER_IDLE;
		enum publisher_run run = send_all(a, l, source, err);
		if (run != PUBLISHER_WAITS || a->to.open > 0)
			return run;
		finish(a);
	}
}

bool announcer_settled(struct announcer *a, uint64_t publish_no, enum amqp_settled how)
{
	size_t replica;

	if (!to_replicas_settled(&a->to, publish_no, &replica))
		return false;
	if (how != AMQP_CONFIRMED)
		a->refused[replica] = how;
	finish(a);
	return true;
}

size_t announcer_unanswered(const struct announcer *a)
{
	return a->to.open;
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
	if (a->to.open == 0)
		return;
	for (size_t i = 0; i < a->to.nreplicas; i++)
		a->refused[i] = AMQP_NACKED;
	to_replicas_give_up(&a->to);
	finish(a);
}

void announcer_drop(struct announcer *a)
{
	a->going = NULL;
	to_replicas_begin(&a->to);
	a->at = a->ntaken = 0;
	a->term++;
	for (size_t i = 0; i < a->to.nreplicas; i++)
		a->refused[i] = AMQP_CONFIRMED;
}
