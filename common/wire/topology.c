/*
 * topology.c: the exchanges and queues of topology.h, made. Names are pure; topology_declare() asks
 * the broker and is idempotent: it is called before the first use, after every reconnection, and
 * now and then in case somebody removed a queue or a binding.
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

#include "common/wire/topology.h"

#define DELIVERY_LIMIT 1000000000

const char *topology_key(enum change_kind kind)
{
	return kind == CHANGE_DELETE ? "products.delete" : "products.sync";
}

void topology_queue(char *buf, enum change_kind kind, const char *replica)
{
	snprintf(buf, TOPOLOGY_NAME_MAX, "%s.%s", topology_key(kind), replica);
}

void topology_retry_queue(char *buf, const char *replica, unsigned attempt)
{
	if (attempt <= 1)
		snprintf(buf, TOPOLOGY_NAME_MAX, "products.retry.%s", replica);
	else
		snprintf(buf, TOPOLOGY_NAME_MAX, "products.retry.%s.%u", replica, attempt);
}

void topology_retry_key(char *buf, enum change_kind kind, const char *replica, unsigned attempt)
{
	snprintf(buf, TOPOLOGY_NAME_MAX, "%u.%s.%s", attempt, topology_key(kind), replica);
}

void topology_dead_queue(char *buf, const char *replica)
{
	snprintf(buf, TOPOLOGY_NAME_MAX, "products.dead.%s", replica);
}

static bool declare_exchanges(struct amqp_link *l, struct err *err)
{
	static const char *const names[] = { TOPOLOGY_EXCHANGE, TOPOLOGY_RETRY_EXCHANGE,
					     TOPOLOGY_REDELIVER_EXCHANGE };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!amqp_declare_exchange(l, names[i], "topic", err))
			return false;
	return true;
}

static bool declare_dead(struct amqp_link *l, const char *replica, struct err *err)
{
	static const struct amqp_arg args[] = { { .key = "x-queue-type", .str = "quorum" },
						{ .key = "x-delivery-limit",
						  .num = DELIVERY_LIMIT } };
	char queue[TOPOLOGY_NAME_MAX];

	topology_dead_queue(queue, replica);
	return amqp_declare_queue(l, queue, args, ARRAY_SIZE(args), err);
}

static bool declare_main(struct amqp_link *l, enum change_kind kind, const char *replica,
			 struct err *err)
{
	char queue[TOPOLOGY_NAME_MAX], dead[TOPOLOGY_NAME_MAX], pattern[TOPOLOGY_NAME_MAX + 2];

	topology_queue(queue, kind, replica);
	topology_dead_queue(dead, replica);
	snprintf(pattern, sizeof(pattern), "*.%s", queue);
	const struct amqp_arg args[] = {
		{ .key = "x-queue-type", .str = "quorum" },
		{ .key = "x-delivery-limit", .num = DELIVERY_LIMIT },
		{ .key = "x-dead-letter-exchange", .str = "" },
		{ .key = "x-dead-letter-routing-key", .str = dead },
	};
	return amqp_declare_queue(l, queue, args, ARRAY_SIZE(args), err) &&
	       amqp_bind_queue(l, queue, TOPOLOGY_REDELIVER_EXCHANGE, pattern, err) &&
	       amqp_bind_queue(l, queue, TOPOLOGY_EXCHANGE, topology_key(kind), err);
}

static bool declare_retry(struct amqp_link *l, const char *replica, unsigned attempt,
			  struct err *err)
{
	static const struct amqp_arg args[] = {
		{ .key = "x-queue-type", .str = "quorum" },
		{ .key = "x-delivery-limit", .num = DELIVERY_LIMIT },
		{ .key = "x-dead-letter-exchange", .str = TOPOLOGY_REDELIVER_EXCHANGE },
		{ .key = "x-dead-letter-strategy", .str = "at-least-once" },
		{ .key = "x-overflow", .str = "reject-publish" },
	};
	static const enum change_kind kinds[] = { CHANGE_SYNC, CHANGE_DELETE };
	char queue[TOPOLOGY_NAME_MAX], key[TOPOLOGY_NAME_MAX];

	topology_retry_queue(queue, replica, attempt);
	if (!amqp_declare_queue(l, queue, args, ARRAY_SIZE(args), err))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		topology_retry_key(key, kinds[i], replica, attempt);
		if (!amqp_bind_queue(l, queue, TOPOLOGY_RETRY_EXCHANGE, key, err))
			return false;
	}
	return true;
}

bool topology_look(struct amqp_link *l, const char *replica, bool *ret_missing, uint64_t *ret_ready,
		   struct err *err)
{
	static const enum change_kind kinds[] = { CHANGE_SYNC, CHANGE_DELETE };
	bool missing = false;
	uint64_t ready = 0;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		char queue[TOPOLOGY_NAME_MAX];
		uint32_t n = 0;
		bool exists;

		topology_queue(queue, kinds[i], replica);
		if (amqp_queue_count(l, queue, &n, &exists, err))
			ready += n;
		else if (exists)
			return false;
		else
			missing = true;
	}
	*ret_missing = missing;
	*ret_ready = ready;
	return true;
}

/* In the order in which messages flow backwards: no queue can receive before the place it passes
 * messages on to is there. */
bool topology_declare(struct amqp_link *l, const char *replica, unsigned max_attempts,
		      struct err *err)
{
	if (!declare_exchanges(l, err) || !declare_dead(l, replica, err))
		return false;
	for (unsigned attempt = 1; attempt < max_attempts; attempt++)
		if (!declare_retry(l, replica, attempt, err))
			return false;
	return declare_main(l, CHANGE_DELETE, replica, err) &&
	       declare_main(l, CHANGE_SYNC, replica, err);
}
