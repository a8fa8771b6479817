/*
 * outgoing.c: see outgoing.h.
 *
 *   a copy is   moves on when
 *   HELD        its owner says so                                    -> TO_SEND
 *   TO_SEND     the link has room for it                             -> SENT
 *   SENT        the broker has answered, and its owner wants it sent
 *               again; or the link is lost                           -> TO_SEND
 *               the broker has answered, and its owner lets it go    -> freed
 */
#include "common/amqp/outgoing.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

void outgoing_init(struct outgoing *o, size_t most, size_t most_bytes, outgoing_settled_fn settled,
		   void *arg)
{
	*o = (struct outgoing){
		.most = most, .most_bytes = most_bytes, .settled = settled, .arg = arg
	};
	o->last = &o->first;
}

void outgoing_clear(struct outgoing *o)
{
	while (o->first != NULL) {
		struct outgoing_copy *c = o->first;
		o->first = c->next;
		free(c);
	}
	o->last = &o->first;
	o->n = o->bytes = 0;
}

static size_t room(const char *text)
{
	return text != NULL ? strlen(text) + 1 : 0;
}

/* Moves the text to *at, and *at behind it. */
static void keep(const char **text, char **at)
{
	size_t n = room(*text);

	if (n > 0)
		*text = memcpy(*at, *text, n);
	*at += n;
}

struct outgoing_copy *outgoing_add(struct outgoing *o, const struct amqp_publish *p, size_t size)
{
	/* One block: the owner's struct, the headers, the texts, the body. */
	size_t headers_at = (size + alignof(max_align_t) - 1) / alignof(max_align_t) *
			    alignof(max_align_t);
	size_t texts_at = headers_at + p->nheaders * sizeof(*p->headers);
	size_t bytes = texts_at + room(p->exchange) + room(p->routing_key) + room(p->type) +
		       room(p->content_type) + room(p->message_id) + room(p->expiration) + p->len;

	for (size_t i = 0; i < p->nheaders; i++)
		bytes += room(p->headers[i].key) + room(p->headers[i].str);
	char *block = xcalloc(1, bytes), *at = block + texts_at;
	struct outgoing_copy *c = (void *)block;
	struct amqp_header *headers = (void *)(block + headers_at);
	c->bytes = bytes;
	c->message = *p;
	c->message.headers = headers;
	keep(&c->message.exchange, &at);
	keep(&c->message.routing_key, &at);
	keep(&c->message.type, &at);
	keep(&c->message.content_type, &at);
	keep(&c->message.message_id, &at);
	keep(&c->message.expiration, &at);
	for (size_t i = 0; i < p->nheaders; i++) {
		headers[i] = p->headers[i];
		keep(&headers[i].key, &at);
		keep(&headers[i].str, &at);
	}
	if (p->len > 0)
		memcpy(at, p->body, p->len);
	c->message.body = at;
	*o->last = c;
	o->last = &c->next;
	o->n++;
	o->bytes += bytes;
	return c;
}

bool outgoing_full(const struct outgoing *o)
{
	return o->n >= o->most || o->bytes >= o->most_bytes;
}

bool outgoing_send(struct outgoing *o, struct amqp_link *l, struct err *err)
{
	for (struct outgoing_copy *c = o->first; c != NULL; c = c->next) {
		if (c->state != OUTGOING_TO_SEND)
			continue;
		/* One that is larger than the link's room goes alone. */
		if (amqp_blocked(l) ||
		    (amqp_unsettled(l) > 0 && !amqp_can_publish(l, c->message.len)))
			return true;
		if (!amqp_send(l, &c->message, &c->publish_no, err))
			return false;
		c->state = OUTGOING_SENT;
	}
	return true;
}

void outgoing_settled(struct outgoing *o, uint64_t publish_no, enum amqp_settled how)
{
	struct outgoing_copy **at = &o->first;

	while (*at != NULL && ((*at)->state != OUTGOING_SENT || (*at)->publish_no != publish_no))
		at = &(*at)->next;
	struct outgoing_copy *c = *at;
	if (c == NULL)
		return; /* forgotten meanwhile */
	if (!o->settled(o->arg, c, how)) {
		c->state = OUTGOING_TO_SEND;
		return;
	}
	*at = c->next;
	if (*at == NULL)
		o->last = at;
	o->n--;
	o->bytes -= c->bytes;
	free(c);
}

void outgoing_unsend(struct outgoing *o)
{
	for (struct outgoing_copy *c = o->first; c != NULL; c = c->next)
		if (c->state == OUTGOING_SENT)
			c->state = OUTGOING_TO_SEND;
}
