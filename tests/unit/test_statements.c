/*
 * api/batch/statements.c: statements are known by their forms; what is held keeps its place, of the others the one
 * that was not used for the longest time gives way. Companion: tests/unit/test_db_pipeline.c for connections.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/batch/statements.h"

static struct made *find(struct made_statements *all, unsigned n)
{
	AUTO_STRBUF form = STRBUF_INIT, text = STRBUF_INIT;

	strbuf_addf(&form, "%c%u", '\0', n);
	strbuf_addf(&text, "SELECT %u", n);
	struct made *m = made_find(all, &form);

	return m ? m : made_add(all, &form, text.data, text.data, 0);
}

static void test_known_by_forms(void **state)
{
	static struct made_statements all;
	struct made *a = find(&all, 1), *b = find(&all, 2), *c;
	AUTO_STRBUF form = STRBUF_INIT;

	(void)state;
	assert_ptr_not_equal(a, b);
	assert_ptr_equal(find(&all, 1), a);
	assert_string_equal(a->replica, "SELECT 1");
	assert_string_equal(b->primary, "SELECT 2");
	strbuf_addstr(&form, "other");
	assert_null(made_find(&all, &form));
	c = made_add(&all, &form, "SELECT 1", "SELECT 1 WHERE true", 1);
	assert_ptr_equal(made_find(&all, &form), c);
	assert_string_equal(c->replica, "SELECT 1");
	assert_string_equal(c->primary, "SELECT 1 WHERE true");
	assert_int_equal(c->nparams, 1);
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
	uint64_t serial = first->serial;

	AUTO_STRBUF gone_to = STRBUF_INIT;

	(void)state;
	strbuf_addf(&gone_to, "SELECT %u", MADE_MAX);
	made_unref(first);
	made_unref(second);
	for (unsigned n = 2; n < MADE_MAX; n++)
		made_unref(find(&all, n));
	made_unref(find(&all, 0)); /* used last */
	made_unref(find(&all, MADE_MAX));
	assert_string_equal(second->replica, strbuf_str(&gone_to));
	assert_ptr_equal(find(&all, 0), first);
	assert_int_equal(first->serial, serial);
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
		cmocka_unit_test(test_known_by_forms),
		cmocka_unit_test(test_held_ones_stay),
		cmocka_unit_test(test_the_oldest_gives_way),
		cmocka_unit_test(test_all_are_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
