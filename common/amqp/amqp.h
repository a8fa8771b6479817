/*
 * amqp.h: one connection with one channel to RabbitMQ, owned by one thread.
 *
 * librabbitmq stays behind this module. Every wait has a deadline; a link that fails in any way is
 * closed and opened again (amqp_open tries the URLs of a comma-separated list in turn). Publishes are
 * persistent and mandatory, with publisher confirms; a basic.return before the ack turns that ack
 * into AMQP_RETURNED. Everything handed to callbacks is borrowed for the call: copy at the border.
 */
#ifndef PGFANOUT_COMMON_AMQP_AMQP_H
#define PGFANOUT_COMMON_AMQP_AMQP_H

#include "common/base/base.h"
#include "common/base/clock.h"
#include "common/base/err.h"

struct amqp_link;

enum amqp_settled { AMQP_CONFIRMED, AMQP_NACKED, AMQP_RETURNED };

struct amqp_header {
	const char *key;
	const char *str; /* NULL: num */
	int64_t num;
};

/* NULL if there is none; its text, "" if it has none. */
const struct amqp_header *amqp_find_header(const struct amqp_header *headers, size_t n,
					   const char *key);
const char *amqp_header_text(const struct amqp_header *headers, size_t n, const char *key);

struct amqp_publish {
	const char *exchange;
	const char *routing_key;
	/* These five may be NULL or empty: */
	const char *type;
	const char *reply_to;	  /* AMQP_REPLIES: answers are delivered here */
	const char *content_type; /* then application/json */
	const char *message_id;	  /* then made from the link's boot id and the publish number */
	const char *expiration;	  /* per-message TTL in ms as text */
	int64_t timestamp_s;	  /* 0: now */
	const struct amqp_header *headers;
	size_t nheaders;
	const char *body;
	size_t len;
	bool optional; /* not mandatory: it may well be that nobody waits for it */
};

struct amqp_delivery {
	uint64_t tag;
	const char *consumer_tag; /* as given to amqp_consume */
	const char *routing_key;
	const char *exchange;
	const char *type;	/* "" if absent */
	const char *message_id; /* "" if absent */
	const char *reply_to;	/* "" if absent */
	const char *content_type;
	int64_t timestamp_s; /* 0 if absent */
	bool redelivered;
	/* Strings, integers and booleans only: tables (x-death) are left out. */
	const struct amqp_header *headers;
	size_t nheaders;
	const char *body;
	size_t len;
};

struct amqp_handler {
	void *arg;
	/* Each publish once, in any order. */
	void (*settled)(void *arg, uint64_t publish_no, enum amqp_settled how);
	void (*delivery)(void *arg, const struct amqp_delivery *d);
	void (*cancelled)(void *arg, const char *consumer_tag); /* the broker took the queue away */
};

/* connection_name shows in the RabbitMQ UI. Bounded by timeout_ms for each URL. Confirms are
 * switched on. NULL on failure (err scrubbed). */
MUST_CHECK struct amqp_link *amqp_open(const char *urls, const char *connection_name,
				       int64_t timeout_ms, struct err *err);
/* Closes the connection, politely if the broker answers within 200 ms; frees. Unsettled publishes
 * are forgotten. NULL is fine. */
void amqp_close(struct amqp_link *l);

int amqp_fd(const struct amqp_link *l);
const char *amqp_peer(const struct amqp_link *l); /* "host:port" */
/* The broker asked publishers to pause (memory or disk alarm). */
bool amqp_blocked(const struct amqp_link *l);
size_t amqp_unsettled(const struct amqp_link *l); /* publishes without an answer */
/* Whether a publish of so many bytes now could not stall: the broker did not ask for a pause, and
 * the socket's buffer has room for it. */
bool amqp_can_publish(const struct amqp_link *l, size_t bytes);

/* Publishes; returns its number (1, 2, …) in *ret_no, which comes back in settled(). False: the
 * link is broken. */
MUST_CHECK bool amqp_send(struct amqp_link *l, const struct amqp_publish *p, uint64_t *ret_no,
			  struct err *err);

/* Reads everything that has come, calls the handler, sends heartbeats; never blocks. Call it when
 * the fd is readable, and at least every amqp_service_ms() milliseconds. False: the link is broken
 * (err says why). */
MUST_CHECK bool amqp_service(struct amqp_link *l, const struct amqp_handler *h, struct err *err);
int amqp_service_ms(const struct amqp_link *l);
/* From within delivery(): amqp_service() returns after this message; what else has come is left for
 * later calls. */
void amqp_enough(struct amqp_link *l);
/* Something is already in memory: do not wait for the fd. */
bool amqp_pending(const struct amqp_link *l);

MUST_CHECK bool amqp_qos(struct amqp_link *l, unsigned prefetch, struct err *err);
MUST_CHECK bool amqp_consume(struct amqp_link *l, const char *queue, const char *consumer_tag,
			     struct err *err);
/* RabbitMQ's direct reply-to: once for a link, before its first publish with reply_to AMQP_REPLIES.
 * What others send to the name that they find there is delivered here; it is kept in no queue, and
 * not acknowledged. */
#define AMQP_REPLIES "amq.rabbitmq.reply-to"
MUST_CHECK bool amqp_consume_replies(struct amqp_link *l, struct err *err);
MUST_CHECK bool amqp_ack(struct amqp_link *l, uint64_t tag, bool multiple, struct err *err);

/* ---- questions: amqp_ask.c ---- */
struct amqp_arg {
	const char *key;
	const char *str; /* NULL: num */
	int64_t num;
};

enum amqp_answer {
	AMQP_ANSWER_NONE, /* not yet */
	AMQP_ANSWER_YES,
	AMQP_ANSWER_MISSING, /* there is no such queue */
	AMQP_ANSWER_UNFIT,   /* it exists with other settings, or is another connection's own */
	AMQP_ANSWER_REFUSED, /* for another reason: rights, a node that is down, no answer */
	AMQP_ANSWER_SKIPPED, /* an earlier one of its group was not answered with yes */
};

/* Questions in groups, asked all at once, so that a slow link costs their number of round trips no
 * more. Within a group the broker carries out none behind the first that it refuses; another
 * group's refusal matters to none. Memory is kept between uses. */
struct amqp_asks;
struct amqp_asks *amqp_asks_new(void);
struct amqp_asks *amqp_asks_free(struct amqp_asks *q); /* NULL is fine; returns NULL */
void amqp_asks_reset(struct amqp_asks *q);	       /* empty; not while it is asked */
unsigned amqp_asks_group(struct amqp_asks *q);	       /* what is added from now on; its number */
void amqp_asks_exchange(struct amqp_asks *q, const char *name, const char *type);
void amqp_asks_queue(struct amqp_asks *q, const char *name, const struct amqp_arg *args,
		     size_t nargs); /* durable */
/* Of this connection alone; it ends with it. */
void amqp_asks_own_queue(struct amqp_asks *q, const char *name);
void amqp_asks_bind(struct amqp_asks *q, const char *queue, const char *exchange, const char *key);
void amqp_asks_count(struct amqp_asks *q, const char *queue); /* never creates it */
void amqp_asks_purge(struct amqp_asks *q, const char *queue);

/* Asks; never waits. The answers come through amqp_service(). One set at a time; it must live until
 * it is done or the link is closed. False: the link is broken. */
MUST_CHECK bool amqp_ask(struct amqp_link *l, struct amqp_asks *q, struct err *err);
bool amqp_asks_done(const struct amqp_asks *q);
/* Asks and waits; what else comes meanwhile is thrown away. */
MUST_CHECK bool amqp_ask_wait(struct amqp_link *l, struct amqp_asks *q, struct err *err);
/* Yes if all of the group are answered so; else of the first that is not, and why. */
enum amqp_answer amqp_asks_answer(const struct amqp_asks *q, unsigned group, struct err *ret_why);
/* Messages ready in the group's counted queues, or purged from them. */
uint64_t amqp_asks_messages(const struct amqp_asks *q, unsigned group);

/* One question that waits, for links that ask nothing else: messages ready in the queue. False if it does not exist (then *ret_exists is false, and the link
 * survives) or for any other reason (then *ret_exists is true: make a new link). */
MUST_CHECK bool amqp_queue_count(struct amqp_link *l, const char *queue, uint32_t *ret_messages,
				 bool *ret_exists, struct err *err);

#endif
