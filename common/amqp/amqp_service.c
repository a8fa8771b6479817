/*
 * amqp_service.c: reads what the broker sends, frame by frame, and tells the caller.
 *
 * librabbitmq's own amqp_consume_message() waits without a deadline once a message has begun, and
 * stumbles over every method that is not a delivery; here each frame moves a small state machine
 * (struct amqp_incoming), and nothing waits.
 *
 *   channel 0   connection.blocked and connection.unblocked; connection.close breaks the link
 *   channel 1   basic.deliver and basic.return begin a message: a header follows, then body
 *               frames, then it is handed over
 *               basic.ack and basic.nack settle publishes
 *               basic.cancel tells that a queue went; channel.close breaks the link
 *   channel 2…  answers to questions (amqp_ask.c)
 *
 * What is handed over is copied out of the library's buffers, but for a body that came in one
 * frame: that is valid for the call, and buffers are released between frames only.
 */
#include <stdlib.h>
#include <string.h>

#include "common/amqp/amqp_private.h"

/* The library keeps what so many frames took, until the connection is closed. */
#define RELEASE_EVERY 128		/* frames */
#define RELEASE_BYTES ((size_t)1 << 20) /* of bodies */
#define KEEP_BYTES    ((size_t)4 << 20) /* a body that was larger gives its buffer back */

void amqp_incoming_init(struct amqp_incoming *in)
{
	init_amqp_pool(&in->strings, 4096);
}

void amqp_incoming_clear(struct amqp_incoming *in)
{
	empty_amqp_pool(&in->strings);
	strbuf_clear(&in->body);
	free(in->headers);
}

static const char *keep(struct amqp_incoming *in, amqp_bytes_t b)
{
	char *s = amqp_pool_alloc(&in->strings, b.len + 1);

	if (!s)
		fatal("out of memory");
	if (b.len)
		memcpy(s, b.bytes, b.len);
	s[b.len] = 0;
	return s;
}

static void begin(struct amqp_incoming *in, bool returned)
{
	recycle_amqp_pool(&in->strings);
	if (in->body.cap > KEEP_BYTES)
		strbuf_clear(&in->body);
	else
		strbuf_reset(&in->body);
	in->nheaders = 0;
	in->d = (struct amqp_delivery){
		.consumer_tag = "",
		.type = "",
		.message_id = "",
		.reply_to = "",
		.content_type = "",
	};
	in->returned = returned;
	in->state = INCOMING_HEADER;
}

/* Strings, numbers and booleans; the rest (tables, arrays, floats) has no place in struct
 * amqp_header. */
static bool header_value(struct amqp_incoming *in, const amqp_field_value_t *v,
			 struct amqp_header *ret)
{
	switch (v->kind) {
	case AMQP_FIELD_KIND_UTF8:
	case AMQP_FIELD_KIND_BYTES:
		ret->str = keep(in, v->value.bytes);
		return true;
	case AMQP_FIELD_KIND_BOOLEAN:
		ret->num = v->value.boolean ? 1 : 0;
		return true;
	case AMQP_FIELD_KIND_I8:
		ret->num = v->value.i8; // NOLINT(bugprone-signed-char-misuse): a number it is
		return true;
	case AMQP_FIELD_KIND_U8:
		ret->num = v->value.u8;
		return true;
	case AMQP_FIELD_KIND_I16:
		ret->num = v->value.i16;
		return true;
	case AMQP_FIELD_KIND_U16:
		ret->num = v->value.u16;
		return true;
	case AMQP_FIELD_KIND_I32:
		ret->num = v->value.i32;
		return true;
	case AMQP_FIELD_KIND_U32:
		ret->num = v->value.u32;
		return true;
	case AMQP_FIELD_KIND_I64:
		ret->num = v->value.i64;
		return true;
	case AMQP_FIELD_KIND_U64:
	case AMQP_FIELD_KIND_TIMESTAMP:
		ret->num = v->value.u64 > INT64_MAX ? INT64_MAX : (int64_t)v->value.u64;
		return true;
	default:
		return false;
	}
}

static void read_properties(struct amqp_incoming *in, const amqp_basic_properties_t *p)
{
	if (p->_flags & AMQP_BASIC_TYPE_FLAG)
		in->d.type = keep(in, p->type);
	if (p->_flags & AMQP_BASIC_MESSAGE_ID_FLAG)
		in->d.message_id = keep(in, p->message_id);
	if (p->_flags & AMQP_BASIC_REPLY_TO_FLAG)
		in->d.reply_to = keep(in, p->reply_to);
	if (p->_flags & AMQP_BASIC_CONTENT_TYPE_FLAG)
		in->d.content_type = keep(in, p->content_type);
	if (p->_flags & AMQP_BASIC_TIMESTAMP_FLAG)
		in->d.timestamp_s = p->timestamp > INT64_MAX ? 0 : (int64_t)p->timestamp;
	if (!(p->_flags & AMQP_BASIC_HEADERS_FLAG) || p->headers.num_entries <= 0)
		return;
	if ((size_t)p->headers.num_entries > in->headers_cap) {
		in->headers_cap = (size_t)p->headers.num_entries;
		in->headers = xreallocarray(in->headers, in->headers_cap, sizeof(*in->headers));
	}
	for (int i = 0; i < p->headers.num_entries; i++) {
		struct amqp_header h = { 0 };
		if (!header_value(in, &p->headers.entries[i].value, &h))
			continue;
		h.key = keep(in, p->headers.entries[i].key);
		in->headers[in->nheaders++] = h;
	}
}

/* The message is complete. */
static bool finish(struct amqp_link *l, const struct amqp_handler *h, const char *body, size_t len,
		   struct err *err)
{
	struct amqp_incoming *in = &l->in;

	in->state = INCOMING_NONE;
	if (in->returned) {
		if (!amqp_mark_returned(l, amqp_hash(in->d.message_id, in->d.exchange,
						     in->d.routing_key)))
			return amqp_link_broken(
				l, err, "the broker returned a message that was not sent here");
		return true;
	}
	in->d.headers = in->headers;
	in->d.nheaders = in->nheaders;
	in->d.body = len ? body : "";
	in->d.len = len;
	if (h->delivery)
		h->delivery(h->arg, &in->d);
	return true;
}

static bool take_header(struct amqp_link *l, const struct amqp_handler *h, const amqp_frame_t *f,
			struct err *err)
{
	struct amqp_incoming *in = &l->in;

	if (in->state != INCOMING_HEADER || f->payload.properties.class_id != AMQP_BASIC_CLASS)
		return amqp_link_broken(l, err, "a message header out of turn");
	read_properties(in, f->payload.properties.decoded);
	in->missing = f->payload.properties.body_size;
	in->state = INCOMING_BODY;
	return in->missing ? true : finish(l, h, NULL, 0, err);
}

static bool take_body(struct amqp_link *l, const struct amqp_handler *h, const amqp_frame_t *f,
		      struct err *err)
{
	struct amqp_incoming *in = &l->in;
	amqp_bytes_t part = f->payload.body_fragment;

	if (in->state != INCOMING_BODY || part.len > in->missing)
		return amqp_link_broken(l, err, "a message body out of turn");
	in->missing -= part.len;
	if (in->missing == 0 && in->body.len == 0)
		return finish(l, h, part.bytes, part.len, err);
	if (!in->returned) /* of a returned message nobody reads the body */
		strbuf_add(&in->body, part.bytes, part.len);
	return in->missing ? true : finish(l, h, in->body.data, in->body.len, err);
}

static bool take_connection_method(struct amqp_link *l, const amqp_method_t *m, struct err *err)
{
	switch (m->id) {
	case AMQP_CONNECTION_BLOCKED_METHOD:
		l->blocked = true;
		return true;
	case AMQP_CONNECTION_UNBLOCKED_METHOD:
		l->blocked = false;
		return true;
	case AMQP_CONNECTION_CLOSE_METHOD: {
		const amqp_connection_close_t *c = m->decoded;
		amqp_connection_close_ok_t ok = { 0 };
		if (amqp_writable(l))
			(void)amqp_send_method(l->conn, 0, AMQP_CONNECTION_CLOSE_OK_METHOD, &ok);
		return amqp_link_broken(l, err, "the broker closed the connection: %d: %.*s",
					c->reply_code, (int)c->reply_text.len,
					(const char *)c->reply_text.bytes);
	}
	default:
		return true; /* connection.update-secret and the like do not concern us */
	}
}

static bool take_method(struct amqp_link *l, const struct amqp_handler *h, const amqp_method_t *m,
			struct err *err)
{
	struct amqp_incoming *in = &l->in;

	switch (m->id) {
	case AMQP_BASIC_ACK_METHOD: {
		const amqp_basic_ack_t *a = m->decoded;
		if (!amqp_settle(l, h, a->delivery_tag, a->multiple, true))
			return amqp_link_broken(l, err,
						"the broker confirmed a message that was not sent");
		return true;
	}
	case AMQP_BASIC_NACK_METHOD: {
		const amqp_basic_nack_t *a = m->decoded;
		if (!amqp_settle(l, h, a->delivery_tag, a->multiple, false))
			return amqp_link_broken(l, err,
						"the broker refused a message that was not sent");
		return true;
	}
	case AMQP_BASIC_DELIVER_METHOD: {
		const amqp_basic_deliver_t *d = m->decoded;
		begin(in, false);
		in->d.tag = d->delivery_tag;
		in->d.redelivered = d->redelivered;
		in->d.consumer_tag = keep(in, d->consumer_tag);
		in->d.exchange = keep(in, d->exchange);
		in->d.routing_key = keep(in, d->routing_key);
		return true;
	}
	case AMQP_BASIC_RETURN_METHOD: {
		const amqp_basic_return_t *r = m->decoded;
		begin(in, true);
		in->d.exchange = keep(in, r->exchange);
		in->d.routing_key = keep(in, r->routing_key);
		return true;
	}
	case AMQP_BASIC_CANCEL_METHOD: {
		const amqp_basic_cancel_t *c = m->decoded;
		recycle_amqp_pool(&in->strings);
		if (h->cancelled)
			h->cancelled(h->arg, keep(in, c->consumer_tag));
		return true;
	}
	case AMQP_CHANNEL_CLOSE_METHOD: {
		const amqp_channel_close_t *c = m->decoded;
		amqp_channel_close_ok_t ok = { 0 };
		if (amqp_writable(l))
			(void)amqp_send_method(l->conn, AMQP_CHANNEL, AMQP_CHANNEL_CLOSE_OK_METHOD,
					       &ok);
		return amqp_link_broken(l, err, "the broker closed the channel: %d: %.*s",
					c->reply_code, (int)c->reply_text.len,
					(const char *)c->reply_text.bytes);
	}
	default:
		return true; /* an answer that came too late to matter */
	}
}

static bool take_frame(struct amqp_link *l, const struct amqp_handler *h, const amqp_frame_t *f,
		       struct err *err)
{
	if (f->channel == 0)
		return f->frame_type == AMQP_FRAME_METHOD
			       ? take_connection_method(l, &f->payload.method, err)
			       : true;
	if (f->channel == l->ask_channel)
		return f->frame_type == AMQP_FRAME_METHOD
			       ? amqp_take_answer(l, &f->payload.method, err)
			       : true;
	if (f->channel != AMQP_CHANNEL)
		return true;
	switch (f->frame_type) {
	case AMQP_FRAME_METHOD:
		return take_method(l, h, &f->payload.method, err);
	case AMQP_FRAME_HEADER:
		return take_header(l, h, f, err);
	case AMQP_FRAME_BODY:
		return take_body(l, h, f, err);
	default:
		return true;
	}
}

void amqp_enough(struct amqp_link *l)
{
	l->enough = true;
}

/* librabbitmq sends heartbeats only once it has handed out all it has in memory. */
static bool send_heartbeat(struct amqp_link *l, struct err *err)
{
	const amqp_frame_t beat = { .frame_type = AMQP_FRAME_HEARTBEAT };
	struct mono now = mono_now();

	if (!mono_reached(mono_add_ms(l->beat, amqp_service_ms(l)), now) || !amqp_writable(l))
		return true;
	l->beat = now;
	int rc = amqp_send_frame(l->conn, &beat);
	return rc == AMQP_STATUS_OK ? true : amqp_link_broken(l, err, "%s", amqp_error_string2(rc));
}

bool amqp_service(struct amqp_link *l, const struct amqp_handler *h, struct err *err)
{
	struct timeval none = { 0, 0 };
	size_t bytes = 0;
	amqp_frame_t f;

	if (l->broken)
		return err_set(err, "%s: the connection is broken", l->peer);
	l->enough = false;
	for (unsigned n = 1; !l->enough; n++) {
		int rc = amqp_simple_wait_frame_noblock(l->conn, &f, &none);
		if (rc == AMQP_STATUS_TIMEOUT)
			break;
		if (rc != AMQP_STATUS_OK)
			return amqp_link_broken(l, err, "%s", amqp_error_string2(rc));
		if (!take_frame(l, h, &f, err))
			return false;
		bytes += f.frame_type == AMQP_FRAME_BODY ? f.payload.body_fragment.len : 0;
		if (n % RELEASE_EVERY == 0 || bytes >= RELEASE_BYTES) {
			amqp_maybe_release_buffers(l->conn);
			bytes = 0;
		}
	}
	amqp_maybe_release_buffers(l->conn);
	if (l->enough)
		return send_heartbeat(l, err);
	l->serviced = mono_now();
	return amqp_ask_tick(l, err);
}
