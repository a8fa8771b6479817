/*
 * api/batch/statements.c: statements are known by their texts; what is held keeps its place, of the others the one
 * that was not used for the longest time gives way. Companion: tests/unit/test_db_pipeline.c for connections.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "api/batch/statements.h"

static struct made *find(struct made_statements *all, unsigned n)
{
	char text[32];

	snprintf(text, sizeof(text), "SELECT %u", n);
	return made_find(all, text, text, 0);
}

static void test_known_by_texts(void **state)
{
	static struct made_statements all;
	struct made *a = made_find(&all, "SELECT 1", "SELECT 1 WHERE true", 1);

	(void)state;
	assert_ptr_equal(made_find(&all, "SELECT 1", "SELECT 1 WHERE true", 1), a);
	assert_ptr_not_equal(made_find(&all, "SELECT 1", "SELECT 1", 1), a);
	assert_int_equal(a->nparams, 1);
	made_clear(&all);
}

static void test_held_ones_stay(void **state)
{
	static struct made_statements all;
	struct made *held = find(&all, 0);
	uint64_t serial = held->serial;

	(void)state;
	for (unsigned n = 1; n < 3 * MADE_MAX; n++)
		made_unref(find(&all, n));
	assert_ptr_equal(find(&all, 0), held);
	assert_int_equal(held->serial, serial);
	made_clear(&all);
}

static void test_the_oldest_gives_way(void **state)
{
	static struct made_statements all;
	struct made *first = find(&all, 0), *second = find(&all, 1);
	uint64_t of_first = first->serial, of_second = second->serial;

	(void)state;
	made_unref(first);
	made_unref(second);
	for (unsigned n = 2; n < MADE_MAX; n++)
		made_unref(find(&all, n));
	made_unref(find(&all, 0)); /* used last */
	made_unref(find(&all, MADE_MAX));
	assert_null(made_again(&all, second, of_second));
	assert_ptr_equal(made_again(&all, first, of_first), first);
	made_clear(&all);
}

static void test_all_are_held(void **state)
{
	static struct made_statements all;
	struct made *last = NULL;

	(void)state;
	for (unsigned n = 0; n < MADE_MAX; n++)
		last = find(&all, n);
	assert_non_null(last);
	assert_null(find(&all, MADE_MAX));
	made_unref(last);
	assert_ptr_equal(find(&all, MADE_MAX), last); /* its place */
	made_clear(&all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_by_texts),
		cmocka_unit_test(test_held_ones_stay),
		cmocka_unit_test(test_the_oldest_gives_way),
		cmocka_unit_test(test_all_are_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
