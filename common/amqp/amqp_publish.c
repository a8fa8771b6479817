/*
 * amqp_publish.c: publishes and what became of them.
 *
 * Publishes are numbered 1, 2, … on the link, which are also the broker's delivery tags: one
 * channel, in confirm mode from the start. A ring holds those that are not settled. The rule:
 *   1. basic.ack settles a publish as confirmed, basic.nack as nacked; both may cover all up to a
 *      number, and come in any order.
 *   2. basic.return comes before the ack of the same message and turns that ack into "returned":
 *      the message reached no queue. It does not carry the number, so it is matched by message
 *      id, exchange and routing key, oldest first, as the broker handles publishes in order.
 *      Messages that are equal in all three take the same route at the same moment, so either
 *      all of them were returned or none: it does not matter which is marked.
 *   3. A return that matches nothing, or a confirm of a publish that never was, breaks the link:
 *      everything unsettled is then the caller's to publish again, which is always safe.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/amqp/amqp_private.h"

#define HEADERS_MAX 17

static struct amqp_slot *slot(struct amqp_link *l, uint64_t no)
{
	return &l->ring[no & (l->cap - 1)];
}

static void grow(struct amqp_link *l)
{
	size_t cap = l->cap * 2;
	struct amqp_slot *ring = xcalloc(cap, sizeof(*ring));

	for (uint64_t no = l->first; no < l->next; no++)
		ring[no & (cap - 1)] = *slot(l, no);
	free(l->ring);
	l->ring = ring;
	l->cap = cap;
}

uint64_t amqp_hash(const char *message_id, const char *exchange, const char *routing_key)
{
	const char *parts[] = { message_id, exchange, routing_key };
	uint64_t h = 14695981039346656037U; /* FNV-1a */

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		for (const char *c = parts[i]; *c; c++)
			h = (h ^ (unsigned char)*c) * 1099511628211U;
		h = (h ^ 0xff) * 1099511628211U;
	}
	return h;
}

static void settle_one(struct amqp_link *l, const struct amqp_handler *h, uint64_t no, bool acked)
{
	struct amqp_slot *s = slot(l, no);
	enum amqp_settled how = !acked			    ? AMQP_NACKED
				: s->state == SLOT_RETURNED ? AMQP_RETURNED
							    : AMQP_CONFIRMED;

	if (s->state == SLOT_SETTLED)
		return;
	s->state = SLOT_SETTLED;
	l->unsettled--;
	while (l->first < l->next && slot(l, l->first)->state == SLOT_SETTLED)
		l->first++;
	if (h->settled)
		h->settled(h->arg, no, how); /* may publish, and so move the ring */
}

bool amqp_settle(struct amqp_link *l, const struct amqp_handler *h, uint64_t tag, bool multiple,
		 bool acked)
{
	uint64_t last = multiple && tag == 0 ? l->next - 1 : tag;

	if (last == 0 || last >= l->next)
		return last == 0 && multiple; /* "all" of none */
	if (multiple)
		for (uint64_t no = l->first; no <= last; no++)
			settle_one(l, h, no, acked);
	else if (last >= l->first)
		settle_one(l, h, last, acked);
	return true;
}

bool amqp_mark_returned(struct amqp_link *l, uint64_t hash)
{
	for (uint64_t no = l->first; no < l->next; no++) {
		struct amqp_slot *s = slot(l, no);
		if (s->state == SLOT_OPEN && s->hash == hash) {
			s->state = SLOT_RETURNED;
			return true;
		}
	}
	return false;
}

size_t amqp_unsettled(const struct amqp_link *l)
{
	return l->unsettled;
}

/*
 * librabbitmq writes until everything is written, however long the broker does not read. So a
 * publish is allowed only if
 *   1. the broker did not ask for a pause;
 *   2. the socket was read not long ago: after a longer pause the library may wait for a
 *      heartbeat inside a publish;
 *   3. at least a third of the send buffer is free (amqp_writable), and the message needs less
 *      than that; one that needs more goes alone, and may at worst wait until TCP_USER_TIMEOUT
 *      ends the connection.
 */
bool amqp_can_publish(const struct amqp_link *l, size_t bytes)
{
	if (l->broken || l->blocked)
		return false;
	if (mono_reached(mono_add_ms(l->serviced, 2 * (int64_t)amqp_service_ms(l)), mono_now()))
		return false;
	if (bytes > (size_t)l->sndbuf / 4 && l->unsettled > 0)
		return false;
	return amqp_writable(l);
}

/* -Wcast-qual: the library takes what it only reads as void *. */
static amqp_bytes_t borrow(const char *p, size_t len)
{
	return (amqp_bytes_t){ .len = len, .bytes = (void *)(uintptr_t)p };
}

static bool has(const char *text)
{
	return text && *text;
}

bool amqp_send(struct amqp_link *l, const struct amqp_publish *p, uint64_t *ret_no, struct err *err)
{
	amqp_table_entry_t headers[HEADERS_MAX];
	amqp_basic_properties_t props = { 0 };
	char id[48];
	const char *message_id = p->message_id;
	int rc;

	if (l->broken)
		return err_set(err, "%s: the connection is broken", l->peer);
	if (p->nheaders > HEADERS_MAX)
		fatal("a message with %zu headers", p->nheaders);
	if (l->next - l->first >= l->cap)
		grow(l);
	if (mono_reached(mono_add_ms(l->serviced, 6 * (int64_t)amqp_service_ms(l)), mono_now()) &&
	    !amqp_readable(l))
		return amqp_link_broken(l, err, "no sign of life from the broker");
	if (!has(message_id)) {
		snprintf(id, sizeof(id), "%s-%llu", l->boot, (unsigned long long)l->next);
		message_id = id;
	}
	for (size_t i = 0; i < p->nheaders; i++) {
		headers[i].key = amqp_cstring_bytes(p->headers[i].key);
		if (p->headers[i].str) {
			headers[i].value.kind = AMQP_FIELD_KIND_UTF8;
			headers[i].value.value.bytes = amqp_cstring_bytes(p->headers[i].str);
		} else {
			headers[i].value.kind = AMQP_FIELD_KIND_I64;
			headers[i].value.value.i64 = p->headers[i].num;
		}
	}
	props._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG |
		       AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_TIMESTAMP_FLAG;
	props.content_type = amqp_cstring_bytes(has(p->content_type) ? p->content_type
								     : "application/json");
	props.delivery_mode = AMQP_DELIVERY_PERSISTENT;
	props.message_id = amqp_cstring_bytes(message_id);
	props.timestamp = (uint64_t)(p->timestamp_s ? p->timestamp_s : wall_now_us() / 1000000);
	if (has(p->type)) {
		props._flags |= AMQP_BASIC_TYPE_FLAG;
		props.type = amqp_cstring_bytes(p->type);
	}
	if (has(p->reply_to)) {
		props._flags |= AMQP_BASIC_REPLY_TO_FLAG;
		props.reply_to = amqp_cstring_bytes(p->reply_to);
	}
	if (has(p->expiration)) {
		props._flags |= AMQP_BASIC_EXPIRATION_FLAG;
		props.expiration = amqp_cstring_bytes(p->expiration);
	}
	if (p->nheaders) {
		props._flags |= AMQP_BASIC_HEADERS_FLAG;
		props.headers = (amqp_table_t){ .num_entries = (int)p->nheaders,
						.entries = headers };
	}
	rc = amqp_basic_publish(l->conn, AMQP_CHANNEL, amqp_cstring_bytes(p->exchange),
				amqp_cstring_bytes(p->routing_key), !p->optional, 0, &props,
				borrow(p->body, p->len));
	if (rc != AMQP_STATUS_OK)
		return amqp_link_broken(l, err, "publishing: %s", amqp_error_string2(rc));
	*slot(l, l->next) = (struct amqp_slot){
		.hash = amqp_hash(message_id, p->exchange, p->routing_key), .state = SLOT_OPEN
	};
	l->unsettled++;
	*ret_no = l->next++;
	return true;
}
