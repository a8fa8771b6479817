/*
 * The names of queues and routing keys, which people script against, as rows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/wire/topology.h"

/* The longest a replica's name may be: 48 bytes (config_replicas.c). */
#define LONGEST "a23456789012345678901234567890123456789012345678"

static void test_names(void **state)
{
	static const struct {
		const char *replica;
		enum change_kind kind;
		unsigned attempt;
		const char *queue, *retry_queue, *retry_key, *dead_queue;
	} rows[] = {
		{ "replica-1", CHANGE_SYNC, 1, "products.sync.replica-1",
		  "products.retry.replica-1", "1.products.sync.replica-1",
		  "products.dead.replica-1" },
		{ "replica-1", CHANGE_DELETE, 1, "products.delete.replica-1",
		  "products.retry.replica-1", "1.products.delete.replica-1",
		  "products.dead.replica-1" },
		{ "eu_west", CHANGE_SYNC, 2, "products.sync.eu_west", "products.retry.eu_west.2",
		  "2.products.sync.eu_west", "products.dead.eu_west" },
		{ "eu_west", CHANGE_DELETE, 9, "products.delete.eu_west",
		  "products.retry.eu_west.9", "9.products.delete.eu_west",
		  "products.dead.eu_west" },
		{ LONGEST, CHANGE_DELETE, 10, "products.delete." LONGEST,
		  "products.retry." LONGEST ".10", "10.products.delete." LONGEST,
		  "products.dead." LONGEST },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char name[TOPOLOGY_NAME_MAX];

		topology_queue(name, rows[i].kind, rows[i].replica);
		assert_string_equal(name, rows[i].queue);
		topology_retry_queue(name, rows[i].replica, rows[i].attempt);
		assert_string_equal(name, rows[i].retry_queue);
		topology_retry_key(name, rows[i].kind, rows[i].replica, rows[i].attempt);
		assert_string_equal(name, rows[i].retry_key);
		topology_dead_queue(name, rows[i].replica);
		assert_string_equal(name, rows[i].dead_queue);
	}
}

static void test_routing_keys(void **state)
{
	(void)state;
	assert_string_equal(topology_key(CHANGE_SYNC), "products.sync");
	assert_string_equal(topology_key(CHANGE_DELETE), "products.delete");
}

/* A retried message comes back by the binding "*.<queue>": its key is one word, and the queue. */
static void test_a_retry_key_ends_in_the_queue_it_goes_back_to(void **state)
{
	static const enum change_kind kinds[] = { CHANGE_SYNC, CHANGE_DELETE };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		for (unsigned attempt = 1; attempt <= 10; attempt++) {
			char key[TOPOLOGY_NAME_MAX], queue[TOPOLOGY_NAME_MAX];

			topology_retry_key(key, kinds[i], "replica-1", attempt);
			topology_queue(queue, kinds[i], "replica-1");
			assert_string_equal(strchr(key, '.') + 1, queue);
		}
	}
}

/* Of all names, and of nothing that a subscriber binds with. */
static void test_a_prefix(void **state)
{
	char name[TOPOLOGY_NAME_MAX], key[TOPOLOGY_NAME_MAX];
	static const char *const wrong[] = {
		"amq.a", "a b", "a*", "#", "a/b", "\xc3\xa9", "a23456789012345678901234567890123"
	};
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_false(topology_use_prefix(wrong[i], &err));
	assert_string_equal(topology_exchange(), "products");
	assert_true(topology_use_prefix("shop.", &err));
	assert_string_equal(topology_exchange(), "shop.products");
	assert_string_equal(topology_retry_exchange(), "shop.products.retry");
	assert_string_equal(topology_key(CHANGE_SYNC), "products.sync");
	topology_queue(name, CHANGE_SYNC, "replica-1");
	assert_string_equal(name, "shop.products.sync.replica-1");
	topology_retry_key(key, CHANGE_SYNC, "replica-1", 2);
	assert_string_equal(strchr(key, '.') + 1, name);
	topology_retry_queue(name, "replica-1", 2);
	assert_string_equal(name, "shop.products.retry.replica-1.2");
	topology_dead_queue(name, "replica-1");
	assert_string_equal(name, "shop.products.dead.replica-1");
	topology_relay_queue(name);
	assert_string_equal(name, "shop.products.relay");

	/* The longest of all fits. */
	assert_true(topology_use_prefix("a2345678901234567890123456789012", &err));
	topology_retry_key(key, CHANGE_DELETE, LONGEST, 10);
	topology_queue(name, CHANGE_DELETE, LONGEST);
	assert_string_equal(strchr(key, '.') + 1, name);
	assert_true(topology_use_prefix("", &err));
	assert_string_equal(topology_exchange(), "products");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_routing_keys),
		cmocka_unit_test(test_a_retry_key_ends_in_the_queue_it_goes_back_to),
		cmocka_unit_test(test_a_prefix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
