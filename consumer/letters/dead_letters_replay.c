/*
 * dead_letters_replay.c: see dead_letters_replay.h.
 */
#include "consumer/letters/dead_letters_replay.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/base.h"
#include "consumer/apply/message.h"

#define OPEN_TIMEOUT_MS 5000
#define PATIENCE_MS	30000
#define PENDING_MAX	500
#define PENDING_BYTES	((size_t)16 << 20)
#define HEADERS_MAX	16 /* of a publish */

struct letter_copy {
	struct letter_copy *next;
	uint64_t tag;
	uint64_t publish_no; /* 0: not sent */
	struct dead_letter letter;
	char *message_id, *type, *content_type;
	int64_t timestamp_s;
	struct amqp_header headers[HEADERS_MAX]; /* strings are ours */
	size_t nheaders;
	char *body;
	size_t len;
};

struct dead_replay {
	struct amqp_link *link;
	dead_replay_settled settled;
	void *arg;
	struct letter_copy *first, **last;
	size_t pending, pending_bytes;
	struct mono progress; /* something was confirmed, or there was nothing to confirm */
};

struct dead_replay *dead_replay_open(const char *urls, dead_replay_settled settled, void *arg,
				     struct err *err)
{
	struct amqp_link *link = amqp_open(urls, "pgfanout-consumer dead-letters replay",
					   OPEN_TIMEOUT_MS, err);

	if (link == NULL)
		return NULL;
	struct dead_replay *r = xcalloc(1, sizeof(*r));
	r->link = link;
	r->settled = settled;
	r->arg = arg;
	r->last = &r->first;
	r->progress = mono_now();
	return r;
}

static void copy_free(struct letter_copy *c)
{
	for (size_t i = 0; i < c->nheaders; i++) {
		free((void *)(uintptr_t)c->headers[i].key);
		free((void *)(uintptr_t)c->headers[i].str);
	}
	free(c->message_id);
	free(c->type);
	free(c->content_type);
	free(c->body);
	free(c);
}

void dead_replay_close(struct dead_replay *r)
{
	if (r == NULL)
		return;
	while (r->first != NULL) {
		struct letter_copy *c = r->first;
		r->first = c->next;
		copy_free(c);
	}
	amqp_close(r->link);
	free(r);
}

static bool says_what_it_is(const struct amqp_header *h)
{
	return strcmp(h->key, "x-xid") == 0 || strcmp(h->key, "x-source") == 0;
}

/* x-attempt is not among them: the count begins anew. Nor are x-error, x-queue and x-died-at, and what the broker adds. If there are
 * more than fit, those that replication needs come first. */
static void copy_headers(struct letter_copy *c, const struct amqp_delivery *d,
			 bool (*wanted)(const struct amqp_header *h))
{
	for (size_t i = 0; i < d->nheaders && c->nheaders < HEADERS_MAX; i++) {
		const struct amqp_header *h = &d->headers[i];
		if (wanted(h))
			c->headers[c->nheaders++] = (struct amqp_header){
				.key = xstrdup(h->key),
				.str = h->str != NULL ? xstrdup(h->str) : NULL,
				.num = h->num,
			};
	}
}

void dead_replay_add(struct dead_replay *r, const struct dead_letter *letter,
		     const struct amqp_delivery *d)
{
	struct letter_copy *c = xcalloc(1, sizeof(*c));

	c->tag = d->tag;
	c->letter = *letter;
	c->message_id = xstrdup(d->message_id);
	c->type = xstrdup(d->type);
	c->content_type = xstrdup(d->content_type);
	c->timestamp_s = d->timestamp_s;
	copy_headers(c, d, says_what_it_is);
	copy_headers(c, d, message_header_travels);
	c->body = xmalloc(d->len + 1);
	memcpy(c->body, d->body, d->len);
	c->len = d->len;
	if (r->pending == 0)
		r->progress = mono_now();
	*r->last = c;
	r->last = &c->next;
	r->pending++;
	r->pending_bytes += c->len;
}

bool dead_replay_room(const struct dead_replay *r)
{
	return r->pending < PENDING_MAX && r->pending_bytes < PENDING_BYTES;
}

size_t dead_replay_pending(const struct dead_replay *r)
{
	return r->pending;
}

static void on_settled(void *arg, uint64_t publish_no, enum amqp_settled how)
{
	struct dead_replay *r = arg;
	struct letter_copy **at = &r->first;

	while (*at != NULL && (*at)->publish_no != publish_no)
		at = &(*at)->next;
	struct letter_copy *c = *at;
	if (c == NULL)
		return;
	*at = c->next;
	if (*at == NULL)
		r->last = at;
	r->pending--;
	r->pending_bytes -= c->len;
	r->progress = mono_now();
	r->settled(r->arg, c->tag, &c->letter, how);
	copy_free(c);
}

static bool send_copy(struct dead_replay *r, struct letter_copy *c, struct err *err)
{
	const struct amqp_publish p = {
		.exchange = "",
		.routing_key = c->letter.queue,
		.type = *c->type != '\0' ? c->type : NULL,
		.content_type = *c->content_type != '\0' ? c->content_type : NULL,
		.message_id = *c->message_id != '\0' ? c->message_id : NULL,
		.timestamp_s = c->timestamp_s,
		.headers = c->headers,
		.nheaders = c->nheaders,
		.body = c->body,
		.len = c->len,
	};

	return amqp_send(r->link, &p, &c->publish_no, err);
}

bool dead_replay_step(struct dead_replay *r, struct err *err)
{
	const struct amqp_handler handler = { .arg = r, .settled = on_settled };

	if (!amqp_service(r->link, &handler, err))
		return false;
	for (struct letter_copy *c = r->first; c != NULL; c = c->next) {
		if (c->publish_no != 0)
			continue;
		/* One that is larger than the window goes alone. */
		if (amqp_blocked(r->link) ||
		    (amqp_unsettled(r->link) > 0 && !amqp_can_publish(r->link, c->len)))
			break;
		if (!send_copy(r, c, err))
			return false;
	}
	if (r->pending == 0 || !mono_reached(mono_add_ms(r->progress, PATIENCE_MS), mono_now()))
		return true;
	return err_set(err, "%s: %s", amqp_peer(r->link),
		       amqp_blocked(r->link)
			       ? "the broker takes no messages now (memory or disk alarm)"
			       : "the broker has confirmed nothing for 30 s");
}

int dead_replay_fd(const struct dead_replay *r)
{
	return amqp_fd(r->link);
}

int dead_replay_wait_ms(const struct dead_replay *r, int max_ms)
{
	int ms = amqp_service_ms(r->link);

	if (amqp_pending(r->link))
		return 0;
	return ms < max_ms ? ms : max_ms;
}
