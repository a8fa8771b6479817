/*
 * topology.c: the exchanges and queues of topology.h, made. Names are pure; declaring is idempotent:
 * it is done before the first use, after every reconnection, and now and then in case somebody
 * removed a queue or a binding. All of it is asked at once (common/amqp/amqp_ask.c).
 *
 * Why the queues have the arguments they have:
 *   x-queue-type quorum      survives the loss of a node, and confirms only what is on disk
 *   x-delivery-limit         so large that it is never reached: attempts are counted in a header
 *                            of ours. RabbitMQ 4 would otherwise drop a message after 20 lost
 *                            connections; 3.10 takes -1 for "at the first redelivery"
 *   x-dead-letter-…          of a main queue: should a message ever be rejected or reach that
 *                            limit, it is parked and not dropped. Of a retry queue: where a
 *                            message goes when its delay is over, under its own routing key
 *   x-dead-letter-strategy   of a retry queue, at-least-once: the broker moves the message with
 *                            confirms of its own, so that a broken node between the two queues
 *                            loses nothing; it needs x-overflow reject-publish
 */
#include <stdio.h>
#include <string.h>

#include "common/wire/topology.h"

#define DELIVERY_LIMIT 1000000000

static const enum change_kind kinds[] = { CHANGE_DELETE, CHANGE_SYNC };

/* Both are set before other threads start, immutable after it. */
static char prefix[STREAM_PREFIX_MAX + 1];
static struct stream products = { STREAM_PRODUCTS, "1", "products", "products" };

bool topology_use_prefix(const char *text, struct err *err)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789._-";

	if (strlen(text) <= STREAM_PREFIX_MAX && strspn(text, allowed) == strlen(text) &&
	    strncmp(text, "amq.", 4) != 0) {
		snprintf(prefix, sizeof(prefix), "%s", text);
		topology_stream(&products, products.number, "products");
		return true;
	}
	return err_set(err,
		       "QUEUE_PREFIX is \"%.64s\": it must be at most %d characters of a-z, A-Z, "
		       "0-9, \".\", \"_\" and \"-\", and not begin with \"amq.\"",
		       text, STREAM_PREFIX_MAX);
}

void topology_stream(struct stream *ret, int number, const char *name)
{
	struct stream s = { .number = number };

	snprintf(s.text, sizeof(s.text), "%d", number);
	snprintf(s.name, sizeof(s.name), "%s", name);
	snprintf(s.exchange, sizeof(s.exchange), "%s%s", prefix, name);
	*ret = s;
}

const struct stream *topology_products(void)
{
	return &products;
}

int topology_lead_lock(const struct stream *s)
{
	/* Products keep the number they have always had: the versions before know it. */
	return s->number == STREAM_PRODUCTS ? 3 : 1000 + s->number;
}

void topology_retry_exchange(char *buf, const struct stream *s)
{
	snprintf(buf, TOPOLOGY_NAME_MAX, "%s.retry", s->exchange);
}

static void redeliver_exchange(char *buf, const struct stream *s)
{
	snprintf(buf, TOPOLOGY_NAME_MAX, "%s.redeliver", s->exchange);
}

void topology_relay_queue(char *buf, const struct stream *s)
{
	snprintf(buf, TOPOLOGY_NAME_MAX, "%s.relay", s->exchange);
}

void topology_queue(char *buf, const struct stream *s, enum change_kind kind, const char *replica)
{
	snprintf(buf, TOPOLOGY_NAME_MAX, "%s.%s.%s", s->exchange, change_kind_name(kind), replica);
}

void topology_retry_queue(char *buf, const struct stream *s, const char *replica, unsigned attempt)
{
	if (attempt <= 1)
		snprintf(buf, TOPOLOGY_NAME_MAX, "%s.retry.%s", s->exchange, replica);
	else
		snprintf(buf, TOPOLOGY_NAME_MAX, "%s.retry.%s.%u", s->exchange, replica, attempt);
}

void topology_retry_key(char *buf, const struct stream *s, enum change_kind kind,
			const char *replica, unsigned attempt)
{
	snprintf(buf, TOPOLOGY_NAME_MAX, "%u.%s.%s.%s", attempt, s->exchange,
		 change_kind_name(kind), replica);
}

void topology_dead_queue(char *buf, const struct stream *s, const char *replica)
{
	snprintf(buf, TOPOLOGY_NAME_MAX, "%s.dead.%s", s->exchange, replica);
}

void topology_type(char *buf, const struct stream *s, const char *kind)
{
	snprintf(buf, TOPOLOGY_NAME_MAX, "%s.%s", s->name, kind);
}

bool topology_is_type(const struct stream *s, const char *type, const char *kind)
{
	size_t len = strlen(s->name);

	return type != NULL && strncmp(type, s->name, len) == 0 && type[len] == '.' &&
	       strcmp(type + len + 1, kind) == 0;
}

/* ---- asking ---- */

void topology_ask_exchanges(struct amqp_asks *q, const struct stream *s, struct topology_asked *ret)
{
	char name[TOPOLOGY_NAME_MAX];

	ret->exchange = amqp_asks_group(q);
	amqp_asks_exchange(q, s->exchange, "topic");
	ret->redeliver = amqp_asks_group(q);
	topology_retry_exchange(name, s);
	amqp_asks_exchange(q, name, "topic");
	redeliver_exchange(name, s);
	amqp_asks_exchange(q, name, "topic");
}

static unsigned ask_dead(struct amqp_asks *q, const struct stream *s, const char *replica)
{
	static const struct amqp_arg args[] = { { .key = "x-queue-type", .str = "quorum" },
						{ .key = "x-delivery-limit",
						  .num = DELIVERY_LIMIT } };
	char queue[TOPOLOGY_NAME_MAX];
	unsigned group = amqp_asks_group(q);

	topology_dead_queue(queue, s, replica);
	amqp_asks_queue(q, queue, args, ARRAY_SIZE(args));
	return group;
}

static unsigned ask_retry(struct amqp_asks *q, const struct stream *s, const char *replica,
			  unsigned attempt)
{
	char redeliver[TOPOLOGY_NAME_MAX], exchange[TOPOLOGY_NAME_MAX];

	redeliver_exchange(redeliver, s);
	topology_retry_exchange(exchange, s);
	const struct amqp_arg args[] = {
		{ .key = "x-queue-type", .str = "quorum" },
		{ .key = "x-delivery-limit", .num = DELIVERY_LIMIT },
		{ .key = "x-dead-letter-exchange", .str = redeliver },
		{ .key = "x-dead-letter-strategy", .str = "at-least-once" },
		{ .key = "x-overflow", .str = "reject-publish" },
	};
	char queue[TOPOLOGY_NAME_MAX], key[TOPOLOGY_NAME_MAX];
	unsigned group = amqp_asks_group(q);

	topology_retry_queue(queue, s, replica, attempt);
	amqp_asks_queue(q, queue, args, ARRAY_SIZE(args));
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		topology_retry_key(key, s, kinds[i], replica, attempt);
		amqp_asks_bind(q, queue, exchange, key);
	}
	return group;
}

static void ask_main(struct amqp_asks *q, const struct stream *s, enum change_kind kind,
		     const char *replica)
{
	char queue[TOPOLOGY_NAME_MAX], dead[TOPOLOGY_NAME_MAX];

	topology_queue(queue, s, kind, replica);
	topology_dead_queue(dead, s, replica);
	const struct amqp_arg args[] = {
		{ .key = "x-queue-type", .str = "quorum" },
		{ .key = "x-delivery-limit", .num = DELIVERY_LIMIT },
		{ .key = "x-dead-letter-exchange", .str = "" },
		{ .key = "x-dead-letter-routing-key", .str = dead },
	};
	amqp_asks_queue(q, queue, args, ARRAY_SIZE(args));
	if (s->number == STREAM_PRODUCTS) {
		amqp_asks_bind(q, queue, s->exchange,
			       kind == CHANGE_SYNC ? "products.sync" : "products.delete");
		return;
	}
	amqp_asks_bind(q, queue, s->exchange, kind == CHANGE_SYNC ? "#.sync" : "#.delete");
	if (kind == CHANGE_DELETE)
		amqp_asks_bind(q, queue, s->exchange, "#.truncate");
}

static void ask_counts(struct amqp_asks *q, const struct stream *s, const char *replica)
{
	char queue[TOPOLOGY_NAME_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		topology_queue(queue, s, kinds[i], replica);
		amqp_asks_count(q, queue);
	}
}

void topology_ask_replica(struct amqp_asks *q, const struct stream *s, const char *replica,
			  unsigned max_attempts, enum topology_how how, struct topology_asked *ret)
{
	char queue[TOPOLOGY_NAME_MAX], pattern[TOPOLOGY_NAME_MAX + 2], exchange[TOPOLOGY_NAME_MAX];

	ret->dead = ret->retries = ret->back = 0;
	ret->nretries = 0;
	if (how != TOPOLOGY_LOOK) {
		ret->dead = ask_dead(q, s, replica);
		for (unsigned attempt = 1; attempt < max_attempts; attempt++) {
			unsigned group = ask_retry(q, s, replica, attempt);
			if (ret->nretries++ == 0)
				ret->retries = group;
		}
	}
	ret->main = amqp_asks_group(q);
	if (how != TOPOLOGY_CREATE)
		ask_counts(q, s, replica);
	if (how == TOPOLOGY_LOOK)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		ask_main(q, s, kinds[i], replica);
	redeliver_exchange(exchange, s);
	ret->back = amqp_asks_group(q);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		topology_queue(queue, s, kinds[i], replica);
		snprintf(pattern, sizeof(pattern), "*.%s", queue);
		amqp_asks_bind(q, queue, exchange, pattern);
	}
}

void topology_ask_drop(struct amqp_asks *q, const struct stream *s, const char *replica,
		       struct topology_asked *ret)
{
	char queue[TOPOLOGY_NAME_MAX];

	*ret = (struct topology_asked){ .main = amqp_asks_group(q) };
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		topology_queue(queue, s, kinds[i], replica);
		amqp_asks_purge(q, queue);
	}
}

static void read_retry(const struct amqp_asks *q, unsigned group, struct topology_report *ret)
{
	if (ret->retry == AMQP_ANSWER_YES)
		ret->retry = amqp_asks_answer(q, group, &ret->retry_why);
}

void topology_read(const struct amqp_asks *q, const struct topology_asked *asked,
		   struct topology_report *ret)
{
	*ret = (struct topology_report){ .retry = AMQP_ANSWER_YES, .dead = AMQP_ANSWER_YES };
	ret->main = amqp_asks_answer(q, asked->main, &ret->main_why);
	ret->ready = amqp_asks_messages(q, asked->main);
	if (asked->back == 0)
		return;
	ret->dead = amqp_asks_answer(q, asked->dead, &ret->dead_why);
	read_retry(q, asked->redeliver, ret);
	for (unsigned i = 0; i < asked->nretries; i++)
		read_retry(q, asked->retries + i, ret);
	if (ret->main == AMQP_ANSWER_YES)
		read_retry(q, asked->back, ret);
}

bool topology_declare(struct amqp_link *l, const struct stream *s, const char *replica,
		      unsigned max_attempts, enum topology_how how, struct topology_report *ret,
		      struct err *err)
{
	struct amqp_asks *q = amqp_asks_new();
	struct topology_asked asked;
	bool ok;

	topology_ask_exchanges(q, s, &asked);
	topology_ask_replica(q, s, replica, max_attempts, how, &asked);
	ok = amqp_ask_wait(l, q, err);
	if (ok) {
		topology_read(q, &asked, ret);
		ok = amqp_asks_answer(q, asked.exchange, err) == AMQP_ANSWER_YES;
	}
	(void)amqp_asks_free(q);
	return ok;
}
