/*
 * api/pool/wrong.c: sets are shared by reference and replaced as a whole.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/pool/wrong.h"

static struct uuid numbered(unsigned n)
{
	struct uuid u = { { 0 } };

	u.b[0] = (uint8_t)(n * 37);
	u.b[15] = (uint8_t)n;
	return u;
}

static struct wrong_set *set_of(unsigned first, unsigned n)
{
	struct wrong_set *s = wrong_set_new(n);

	for (unsigned i = 0; i < n; i++)
		s->ids[i] = numbered(first + i);
	wrong_set_sort(s);
	return s;
}

static void test_has(void **state)
{
	struct wrong_set *s = set_of(10, 50);

	(void)state;
	for (unsigned n = 0; n < 100; n++) {
		struct uuid u = numbered(n);
		assert_int_equal(wrong_set_has(s, &u), n >= 10 && n < 60);
		assert_false(wrong_set_has(NULL, &u));
	}
	wrong_set_unref(s);
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
	assert_int_equal(wrong_view(&a, &p)->ids[0].b[15], 2);
	wrong_place_put(&p, NULL); /* b still holds the first one, a the second */
	assert_int_equal(b.set->ids[0].b[15], 1);
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
		cmocka_unit_test(test_views_follow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
