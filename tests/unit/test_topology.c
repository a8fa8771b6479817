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

/* And a stream's: STREAM_NAME_MAX. */
#define LONG_STREAM "s234567890123456789012345678901234567890"

static void test_names(void **state)
{
	static const struct {
		const char *stream, *replica;
		enum change_kind kind;
		unsigned attempt;
		const char *queue, *retry_queue, *retry_key, *dead_queue;
	} rows[] = {
		{ "products", "replica-1", CHANGE_SYNC, 1, "products.sync.replica-1",
		  "products.retry.replica-1", "1.products.sync.replica-1",
		  "products.dead.replica-1" },
		{ "products", "replica-1", CHANGE_DELETE, 1, "products.delete.replica-1",
		  "products.retry.replica-1", "1.products.delete.replica-1",
		  "products.dead.replica-1" },
		{ "products", "eu_west", CHANGE_SYNC, 2, "products.sync.eu_west",
		  "products.retry.eu_west.2", "2.products.sync.eu_west", "products.dead.eu_west" },
		{ "rest", "eu_west", CHANGE_DELETE, 9, "rest.delete.eu_west",
		  "rest.retry.eu_west.9", "9.rest.delete.eu_west", "rest.dead.eu_west" },
		{ LONG_STREAM, LONGEST, CHANGE_DELETE, 10, LONG_STREAM ".delete." LONGEST,
		  LONG_STREAM ".retry." LONGEST ".10", "10." LONG_STREAM ".delete." LONGEST,
		  LONG_STREAM ".dead." LONGEST },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char name[TOPOLOGY_NAME_MAX];
		struct stream s;

		topology_stream(&s, 2, rows[i].stream);
		topology_queue(name, &s, rows[i].kind, rows[i].replica);
		assert_string_equal(name, rows[i].queue);
		topology_retry_queue(name, &s, rows[i].replica, rows[i].attempt);
		assert_string_equal(name, rows[i].retry_queue);
		topology_retry_key(name, &s, rows[i].kind, rows[i].replica, rows[i].attempt);
		assert_string_equal(name, rows[i].retry_key);
		topology_dead_queue(name, &s, rows[i].replica);
		assert_string_equal(name, rows[i].dead_queue);
	}
}

static void test_streams(void **state)
{
	const struct stream *products = topology_products();
	struct stream s;
	(void)state;

	assert_int_equal(products->number, STREAM_PRODUCTS);
	assert_string_equal(products->text, "1");
	assert_string_equal(products->name, "products");
	assert_string_equal(products->exchange, "products");
	topology_stream(&s, 32767, "rest");
	assert_int_equal(s.number, 32767);
	assert_string_equal(s.text, "32767");
	assert_string_equal(s.name, "rest");
	assert_string_equal(s.exchange, "rest");
	assert_int_equal(topology_lead_lock(products), 3);
	assert_int_equal(topology_lead_lock(&s), 33767);
}

static void test_types(void **state)
{
	static const struct {
		const char *type;
		bool is;
	} rows[] = {
		{ "rest.heartbeat", true },
		{ NULL, false },
		{ "", false },
		{ "rest", false },
		{ "rest.", false },
		{ "rest.heartbeats", false },
		{ "rest.mark", false },
		{ "rest2.heartbeat", false },
		{ "products.heartbeat", false },
		{ "res", false },
	};
	char type[TOPOLOGY_NAME_MAX];
	struct stream s;
	(void)state;

	topology_stream(&s, 2, "rest");
	topology_type(type, &s, "heartbeat");
	assert_string_equal(type, "rest.heartbeat");
	topology_type(type, topology_products(), change_kind_name(CHANGE_SYNC));
	assert_string_equal(type, "products.sync");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (topology_is_type(&s, rows[i].type, "heartbeat") != rows[i].is)
			fail_msg("%s", rows[i].type ? rows[i].type : "NULL");
}

/* A retried message comes back by the binding "*.<queue>": its key is one word, and the queue. */
static void test_a_retry_key_ends_in_the_queue_it_goes_back_to(void **state)
{
	static const enum change_kind kinds[] = { CHANGE_SYNC, CHANGE_DELETE };
	const struct stream *s = topology_products();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		for (unsigned attempt = 1; attempt <= 10; attempt++) {
			char key[TOPOLOGY_NAME_MAX], queue[TOPOLOGY_NAME_MAX];

			topology_retry_key(key, s, kinds[i], "replica-1", attempt);
			topology_queue(queue, s, kinds[i], "replica-1");
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
	const struct stream *products = topology_products();
	struct stream s;
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_false(topology_use_prefix(wrong[i], &err));
	assert_string_equal(products->exchange, "products");
	assert_true(topology_use_prefix("shop.", &err));
	assert_string_equal(products->exchange, "shop.products");
	assert_string_equal(products->name, "products");
	topology_retry_exchange(name, products);
	assert_string_equal(name, "shop.products.retry");
	topology_type(name, products, "sync");
	assert_string_equal(name, "products.sync");
	topology_queue(name, products, CHANGE_SYNC, "replica-1");
	assert_string_equal(name, "shop.products.sync.replica-1");
	topology_retry_key(key, products, CHANGE_SYNC, "replica-1", 2);
	assert_string_equal(strchr(key, '.') + 1, name);
	topology_retry_queue(name, products, "replica-1", 2);
	assert_string_equal(name, "shop.products.retry.replica-1.2");
	topology_dead_queue(name, products, "replica-1");
	assert_string_equal(name, "shop.products.dead.replica-1");
	topology_relay_queue(name, products);
	assert_string_equal(name, "shop.products.relay");
	topology_stream(&s, 2, "rest");
	assert_string_equal(s.exchange, "shop.rest");

	/* The longest of all fits. */
	assert_true(topology_use_prefix("a2345678901234567890123456789012", &err));
	topology_stream(&s, 2, LONG_STREAM);
	topology_retry_key(key, &s, CHANGE_DELETE, LONGEST, 10);
	topology_queue(name, &s, CHANGE_DELETE, LONGEST);
	assert_string_equal(strchr(key, '.') + 1, name);
	topology_retry_queue(name, &s, LONGEST, 10);
	assert_string_equal(name + strlen(name) - strlen(LONGEST ".10"), LONGEST ".10");
	assert_true(topology_use_prefix("", &err));
	assert_string_equal(products->exchange, "products");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_a_retry_key_ends_in_the_queue_it_goes_back_to),
		cmocka_unit_test(test_a_prefix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
