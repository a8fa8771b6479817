/*
 * api/pool/wrong.c: sets are shared by reference and replaced as a whole.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/pool/wrong.h"

static struct wrong_set *set_of(unsigned first, unsigned n)
{
	struct wrong_set *s = wrong_set_new(n);

	for (unsigned i = 0; i < n; i++) /* the order of coming is not that of the rows */
		s->rows[i] = (struct wrong_row){ 7, first + (i * 37 + 11) % n };
	wrong_set_sort(s);
	return s;
}

static void test_has(void **state)
{
	struct wrong_set *s = set_of(10, 50);

	(void)state;
	for (unsigned n = 1; n < 100; n++) {
		assert_int_equal(wrong_set_has(s, 7, n), n >= 10 && n < 60);
		assert_false(wrong_set_has(s, 6, n));
		assert_false(wrong_set_has(s, 8, n));
		assert_false(wrong_set_has(NULL, 7, n));
	}
	assert_true(wrong_set_has(s, 7, WRONG_ALL));
	assert_false(wrong_set_has(s, 6, WRONG_ALL));
	assert_false(wrong_set_has(s, 8, WRONG_ALL));
	assert_int_equal(wrong_set_count(s, 7), 50);
	assert_int_equal(wrong_set_count(s, 8), 0);
	s->rows[20].row = WRONG_ALL;
	wrong_set_sort(s);
	assert_true(wrong_set_has(s, 7, 99));
	assert_false(wrong_set_has(s, 8, 99));
	wrong_set_unref(s);
}

static void test_hash(void **state)
{
	(void)state;
	assert_int_equal(wrong_hash("7", 1), wrong_hash("7", 1));
	assert_true(wrong_hash("7", 1) != wrong_hash("8", 1));
	assert_true(wrong_hash("a\x1f"
			       "b",
			       3) != wrong_hash("ab", 2));
	assert_true(wrong_hash("", 0) != WRONG_ALL);
}

static void test_views_follow(void **state)
{
	struct wrong_place p;
	struct wrong_view a = { 0 }, b = { 0 };

	(void)state;
	wrong_place_init(&p);
	assert_null(wrong_view(&a, &p));
	wrong_place_put(&p, set_of(1, 3));
	assert_int_equal(wrong_place_count(&p), 3);
	const struct wrong_set *first = wrong_view(&a, &p);
	assert_int_equal(first->n, 3);
	wrong_place_put(&p, set_of(1, 3)); /* equal: the old one stays */
	assert_ptr_equal(wrong_view(&a, &p), first);
	assert_ptr_equal(wrong_view(&b, &p), first);
	wrong_place_put(&p, set_of(2, 3));
	assert_int_equal(wrong_view(&a, &p)->rows[0].row, 2);
	wrong_place_put(&p, NULL); /* b still holds the first one, a the second */
	assert_int_equal(b.set->rows[0].row, 1);
	assert_null(wrong_view(&b, &p));
	assert_int_equal(wrong_place_count(&p), 0);
	wrong_view_clear(&a);
	wrong_view_clear(&b);
	wrong_place_clear(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_has),
		cmocka_unit_test(test_hash),
		cmocka_unit_test(test_views_follow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
