/*
 * dead_letters_replay.c: see dead_letters_replay.h.
 */
#include "consumer/letters/dead_letters_replay.h"

#include <stdlib.h>
#include <string.h>

#include "common/amqp/outgoing.h"
#include "consumer/apply/message.h"

#define OPEN_TIMEOUT_MS 5000
#define PATIENCE_MS	30000
#define PENDING_MAX	500
#define PENDING_BYTES	((size_t)16 << 20)
#define HEADERS_MAX	17 /* of a publish */

struct letter_copy {
	struct outgoing_copy copy;
	uint64_t tag;
	struct dead_letter letter;
};

struct dead_replay {
	struct amqp_link *link;
	dead_replay_settled settled;
	void *arg;
	struct outgoing copies;
	struct mono progress; /* something was answered, or there was nothing to answer */
};

static bool on_settled(void *arg, struct outgoing_copy *copy, enum amqp_settled how)
{
	struct dead_replay *r = arg;
	const struct letter_copy *c = (const struct letter_copy *)copy;

	r->progress = mono_now();
	r->settled(r->arg, c->tag, &c->letter, how);
	return true;
}

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
	outgoing_init(&r->copies, PENDING_MAX, PENDING_BYTES, on_settled, r);
	return r;
}

void dead_replay_close(struct dead_replay *r)
{
	if (r == NULL)
		return;
	outgoing_clear(&r->copies);
	amqp_close(r->link);
	free(r);
}

static bool says_what_it_is(const struct amqp_header *h)
{
	return strcmp(h->key, "x-xid") == 0 || strcmp(h->key, "x-source") == 0 ||
	       strcmp(h->key, CHANGE_SHAPE_HEADER) == 0 || strcmp(h->key, CHANGE_LSN_HEADER) == 0;
}

static size_t add_headers(struct amqp_header *headers, size_t n, const struct amqp_delivery *d,
			  bool (*wanted)(const struct amqp_header *h))
{
	for (size_t i = 0; i < d->nheaders && n < HEADERS_MAX; i++)
		if (wanted(&d->headers[i]))
			headers[n++] = d->headers[i];
	return n;
}

void dead_replay_add(struct dead_replay *r, const struct dead_letter *letter,
		     const struct amqp_delivery *d)
{
	struct amqp_header headers[HEADERS_MAX];
	struct amqp_publish p = {
		.exchange = "",
		.routing_key = letter->queue,
		.type = d->type,
		.content_type = d->content_type,
		.message_id = d->message_id,
		.timestamp_s = d->timestamp_s,
		.headers = headers,
		.body = d->body,
		.len = d->len,
	};

	/* x-attempt is not among them: the attempts are counted from 0 again. Nor are x-error,
	 * x-queue and x-died-at, and what the broker adds. If there are more than fit, those that
	 * replication needs come first. */
	p.nheaders = add_headers(headers, 0, d, says_what_it_is);
	p.nheaders = add_headers(headers, p.nheaders, d, message_header_travels);
	if (r->copies.n == 0)
		r->progress = mono_now();
	struct letter_copy *c = (struct letter_copy *)outgoing_add(&r->copies, &p, sizeof(*c));
	c->tag = d->tag;
	c->letter = *letter;
}

bool dead_replay_room(const struct dead_replay *r)
{
	return !outgoing_full(&r->copies);
}

size_t dead_replay_pending(const struct dead_replay *r)
{
	return r->copies.n;
}

static void on_answer(void *arg, uint64_t publish_no, enum amqp_settled how)
{
	struct dead_replay *r = arg;

	outgoing_settled(&r->copies, publish_no, how);
}

bool dead_replay_step(struct dead_replay *r, struct err *err)
{
	const struct amqp_handler handler = { .arg = r, .settled = on_answer };

	if (!amqp_service(r->link, &handler, err) || !outgoing_send(&r->copies, r->link, err))
		return false;
	if (r->copies.n == 0 || !mono_reached(mono_add_ms(r->progress, PATIENCE_MS), mono_now()))
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
