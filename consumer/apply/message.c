/*
 * message.c: see message.h. Pure; called by the worker's thread for every delivery.
 *
 * What of a message's headers is kept for the case that it must be moved:
 *   1. x-attempt is read as a number, from an integer or a text; absent or anything else: 0.
 *   2. x-xid and x-source are kept as they are, unless they are larger than any sender of ours
 *      makes them.
 *   3. x-error, x-queue, x-failed-at and x-died-at are ours and written again. Headers that the broker adds when
 *      it moves messages are left out.
 *   4. Other small ones travel on, so that another publisher's own marks survive a retry.
 *   5. x-shape and x-lsn are kept as the numbers that they are.
 *   6. x-term and x-number count the delivery, and do not travel: the message has arrived.
 */
#include "consumer/apply/message.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/utf8.h"
#include "common/wire/source.h"
#include "common/wire/heartbeat.h"
#include "common/wire/mark.h"
#include "common/wire/topology.h"
#include "common/json/jscan.h"

#define ATTEMPT_MAX 1000
#define XIDS_MAX    ((size_t)32768) /* bytes of x-xid that travel on: they must fit a frame */
#define TEXT_MAX    ((size_t)255)   /* of message_id and type: AMQP's short strings */
#define OTHER_MAX   ((size_t)256)   /* bytes of another header's text */
#define OTHERS_MAX  8		    /* other headers: with ours, 17 of a publish */

const char *message_source(const struct amqp_delivery *d)
{
	const char *source = amqp_header_text(d->headers, d->nheaders, "x-source");
	size_t len = strlen(source);

	return len < SOURCE_MAX && utf8_valid(source, len, NULL) ? source : "";
}

/* A count in a header, as an integer or a text; 0 if it is anything else. */
static int64_t read_count(const struct amqp_delivery *d, const char *key)
{
	const struct amqp_header *h = amqp_find_header(d->headers, d->nheaders, key);
	int64_t n = 0;

	if (h == NULL)
		return 0;
	if (h->str != NULL) {
		struct jscan_value number = { JSCAN_NUMBER, h->str, strlen(h->str) };
		if (number.len == 0 || strspn(h->str, "0123456789") != number.len ||
		    !jscan_int64(&number, &n))
			return 0;
	} else {
		n = h->num;
	}
	return n < 0 ? 0 : n;
}

int64_t message_shape(const struct amqp_delivery *d)
{
	return read_count(d, CHANGE_SHAPE_HEADER);
}

bool message_brings_shape(const struct amqp_delivery *d, const struct tables *tables)
{
	return topology_is_type(tables->stream, d->type, CHANGE_SHAPE_KIND) &&
	       tables_shape(tables, message_shape(d)) == NULL;
}

static unsigned read_attempt(const struct amqp_delivery *d)
{
	int64_t n = read_count(d, "x-attempt");

	return n > ATTEMPT_MAX ? ATTEMPT_MAX : (unsigned)n;
}

static void take_number(struct batch *b, const struct amqp_delivery *d)
{
	int64_t term = read_count(d, CHANGE_TERM_HEADER);
	int64_t number = read_count(d, CHANGE_NUMBER_HEADER);

	if (term > 0 && term <= CHANGE_COUNT_MAX && number > 0 && number <= CHANGE_COUNT_MAX)
		batch_add_number(b, term, number);
}

bool message_header_travels(const struct amqp_header *h)
{
	static const char *const ours[] = { "x-attempt",
					    "x-error",
					    "x-queue",
					    "x-failed-at",
					    "x-died-at",
					    "x-xid",
					    "x-source",
					    "x-key",
					    CHANGE_TERM_HEADER,
					    CHANGE_NUMBER_HEADER,
					    CHANGE_SHAPE_HEADER,
					    CHANGE_INSERTED_HEADER,
					    CHANGE_CUT_HEADER,
					    CHANGE_LSN_HEADER,
					    HEARTBEAT_EVERY_HEADER };
	static const char *const brokers[] = { "x-death",	   "x-first-death",
					       "x-last-death",	   "x-delivery-count",
					       "x-acquired-count", "x-opt-",
					       "x-stream-" };

	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		if (strcmp(h->key, ours[i]) == 0)
			return false;
	for (size_t i = 0; i < ARRAY_SIZE(brokers); i++)
		if (strncmp(h->key, brokers[i], strlen(brokers[i])) == 0)
			return false;
	return strlen(h->key) <= 64 && (h->str == NULL || strlen(h->str) <= OTHER_MAX);
}

static size_t keep_text(struct batch *b, const char *s)
{
	return s == NULL ? 0 : batch_add_text(b, s, min_size(strlen(s), TEXT_MAX));
}

/* ---- the body ---- */

static bool json_type(const char *content_type)
{
	static const char json[] = "application/json";

	if (content_type == NULL || *content_type == '\0')
		return true;
	if (strncasecmp(content_type, json, strlen(json)) != 0)
		return false;
	const char *rest = content_type + strlen(json);
	return *rest == '\0' || *rest == ';' || *rest == ' ';
}

static struct batch_slice slice_of(const struct batch *b, const struct jscan_value *v)
{
	return (struct batch_slice){ (size_t)(v->text - b->bodies.data), v->len };
}

const struct table *message_table(const struct tables *tables, const struct jscan_value *object,
				  const struct table *probably, struct err *err)
{
	const struct table *flat = tables_flat(tables), *found;
	struct jscan_value key, value;
	struct jscan_iter it;
	char text[128];
	size_t len;

	if (object->type != JSCAN_OBJECT) {
		err_set(err, "a change must be a JSON object");
		return NULL;
	}
	if (flat != NULL)
		return flat;
	for (jscan_iter_init(&it, object); jscan_iter_next(&it, &key, &value);) {
		if (!jscan_string_is(&key, "table"))
			continue;
		if (value.type != JSCAN_STRING)
			break;
		found = tables_find(tables, &value, probably);
		if (found != NULL)
			return found;
		(void)jscan_string_copy(&value, text, sizeof(text) - 1, &len);
		text[len] = '\0';
		err_set(err, "this replica has no table %s", text);
		return NULL;
	}
	err_set(err, "table is missing");
	return NULL;
}

/* False: it is of a table that this replica does not have. */
static bool take_element(struct batch *b, const struct tables *tables, const struct jscan_value *v,
			 const struct table *probably, bool alone, uint64_t xid)
{
	const struct batch_message *m = &b->messages[b->nmessages - 1];
	struct err err = { .text = "" };
	const struct table *table = message_table(tables, v, probably, &err);
	struct change c;

	if (table != NULL && table->elsewhere) {
		b->left_out = true;
		return false;
	}
	bool ok = table != NULL &&
		  (m->truncate
			   ? change_read_truncate(table, v, &b->arena, &c, &err)
			   : change_read(table, v, m->kind, b->bodies.data, &b->arena, &c, &err));
	if (ok) {
		c.xid = xid;
		c.inserted = m->all_inserted;
		batch_add_change(b, &c, slice_of(b, v));
		return true;
	}
	struct batch_failure f = {
		.message = (uint32_t)(b->nmessages - 1),
		.raw = slice_of(b, v),
		.xid = xid,
		.whole = alone,
	};
	if (table != NULL && !m->truncate &&
	    change_identify(table, v, b->bodies.data, &b->arena, &c))
		batch_name_row(b, &f, &c);
	batch_add_failure(b, f, err.text);
	return true;
}

static bool read_document(const struct batch *b, const struct amqp_delivery *d,
			  struct batch_slice body, struct jscan_value *ret, struct err *err)
{
	if (!json_type(d->content_type))
		return err_set(err, "the content type is %.80s, not application/json",
			       d->content_type);
	if (d->len > MESSAGE_BYTES_MAX)
		return err_set(err, "the body has %zu bytes, more than %zu", d->len,
			       MESSAGE_BYTES_MAX);
	if (d->len == 0)
		return err_set(err, "the body is empty");
	return jscan_document(b->bodies.data + body.at, body.len, ret, err);
}

/* Its answer must not go to anything but somebody's direct replies. */
static bool take_mark(struct batch *b, const struct amqp_delivery *d, struct err *err)
{
	if (d->len > MARK_BODY_MAX)
		return err_set(err, "a mark has at most %d bytes", MARK_BODY_MAX);
	if (d->reply_to == NULL ||
	    strncmp(d->reply_to, AMQP_REPLIES ".", strlen(AMQP_REPLIES ".")) != 0)
		return err_set(err, "a mark needs a reply-to");
	batch_add_mark(b, d->reply_to, d->body, d->len);
	return true;
}

/* False, with the reason: the whole message is of no use. */
static bool take_body(struct batch *b, const struct amqp_delivery *d, const struct tables *tables,
		      struct batch_slice body, const char *xids_text, struct err *err)
{
	struct batch_message *m = &b->messages[b->nmessages - 1];
	const struct table *probably = tables_shape(tables, m->shape);
	struct jscan_value document = { 0 }, element;
	struct jscan_iter it;
	size_t n = 0;

	if (!read_document(b, d, body, &document, err))
		return false;
	if (topology_is_type(tables->stream, d->type, MARK_KIND))
		return take_mark(b, d, err);
	if (topology_is_type(tables->stream, d->type, CHANGE_SHAPE_KIND)) {
		if (m->shape <= 0 || m->shape > INT32_MAX)
			return err_set(err, "a shape needs x-shape");
		if (probably != NULL)
			batch_add_nothing(b);
		else
			batch_add_shape(b, (int)m->shape, body);
		return true;
	}
	if (topology_is_type(tables->stream, d->type, HEARTBEAT_KIND)) {
		struct heartbeat beat;
		uint64_t xid = 0;
		/* Of whose changes it says that they have come, must be known. */
		if (*message_source(d) == '\0')
			return err_set(err, "a heartbeat needs x-source");
		if (!heartbeat_read(&document, &beat, err))
			return false;
		(void)change_xids_read(xids_text, &xid, 1);
		batch_add_beat(b, &beat, xid);
		return true;
	}
	if (tables_lacks(tables, m->shape)) { /* another consumer is bringing it, mostly */
		batch_add_shape(b, (int)m->shape, (struct batch_slice){ 0 });
		return true;
	}
	if (document.type == JSCAN_OBJECT) {
		uint64_t xid = 0;
		if (!change_xids_read(xids_text, &xid, 1))
			xid = 0;
		m->all_inserted = m->inserted == 1;
		if (!take_element(b, tables, &document, probably, true, xid))
			batch_add_nothing(b);
		return true;
	}
	if (document.type != JSCAN_ARRAY)
		return err_set(err, "the body must be a JSON object or an array of objects");

	for (jscan_iter_init(&it, &document); jscan_iter_next(&it, NULL, &element);)
		if (++n > MESSAGE_CHANGES_MAX)
			return err_set(err, "the array has more than %d changes",
				       MESSAGE_CHANGES_MAX);
	if (n == 0)
		return err_set(err, "the array is empty");
	uint64_t *xids = batch_scratch_xids(b, n);
	if (!change_xids_read(xids_text, xids, n))
		memset(xids, 0, n * sizeof(*xids));
	m->all_inserted = m->inserted == (int64_t)n;
	bool any = false;
	n = 0;
	for (jscan_iter_init(&it, &document); jscan_iter_next(&it, NULL, &element); n++)
		any = take_element(b, tables, &element, probably, false, xids[n]) || any;
	if (!any)
		batch_add_nothing(b);
	return true;
}

void message_take(struct batch *b, const struct amqp_delivery *d, enum change_kind kind,
		  const struct tables *tables)
{
	const struct amqp_header *xids = amqp_find_header(d->headers, d->nheaders, "x-xid");
	const char *source = message_source(d);
	const char *xids_text = amqp_header_text(d->headers, d->nheaders, "x-xid");
	struct batch_slice body = { b->bodies.len, d->len };
	struct err err = { .text = "" };
	char number[24];

	batch_join_source(b, source);
	struct batch_message *m = batch_add_message(b, d->tag, kind);
	if (xids != NULL && xids->str == NULL && xids->num > 0) {
		/* Another publisher may well send a lone transaction id as an integer. */
		struct strbuf digits = STRBUF_INIT;
		strbuf_addint(&digits, xids->num);
		memcpy(number, digits.data, digits.len + 1);
		strbuf_clear(&digits);
		xids_text = number;
	}
	m->attempt = read_attempt(d);
	m->shape = message_shape(d);
	m->inserted = read_count(d, CHANGE_INSERTED_HEADER);
	m->lsn = read_count(d, CHANGE_LSN_HEADER);
	m->every_ms = read_count(d, HEARTBEAT_EVERY_HEADER);
	if (m->every_ms > HEARTBEAT_EVERY_MAX)
		m->every_ms = HEARTBEAT_EVERY_MAX;
	m->truncate = kind == CHANGE_DELETE &&
		      topology_is_type(tables->stream, d->type, CHANGE_TRUNCATE_KIND);
	take_number(b, d);
	m->timestamp_s = d->timestamp_s;
	m->id_at = keep_text(b, d->message_id);
	m->type_at = keep_text(b, d->type);
	m->content_type_at = keep_text(b, d->content_type);
	m->xids_at = strlen(xids_text) <= XIDS_MAX ? batch_add_text(b, xids_text, strlen(xids_text))
						   : 0;
	m->body = body;
	for (size_t i = 0; i < d->nheaders && m->nheaders < OTHERS_MAX; i++)
		if (message_header_travels(&d->headers[i]))
			batch_add_header(b, d->headers[i].key, d->headers[i].str,
					 d->headers[i].num);
	strbuf_add(&b->bodies, d->body, d->len);
	if (!take_body(b, d, tables, body, xids_text, &err)) {
		struct batch_failure f = {
			.message = (uint32_t)(b->nmessages - 1),
			.raw = body,
			.whole = true,
		};
		struct jscan_value document;
		struct err ignored;
		const struct table *table;
		struct change c;
		/* Of the wrong content type, say: what it was about may be readable all the
		 * same. */
		if (d->len <= MESSAGE_BYTES_MAX &&
		    jscan_document(b->bodies.data + body.at, body.len, &document, &ignored) &&
		    (table = message_table(tables, &document, NULL, &ignored)) != NULL &&
		    change_identify(table, &document, b->bodies.data, &b->arena, &c))
			batch_name_row(b, &f, &c);
		batch_add_failure(b, f, err.text);
	}
}
