/*
 * test_pace.c: who gives way, and when.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "api/products/pace.h"

static void test_slowest(void **state)
{
	(void)state;
	struct paces all = { NULL };
	struct pace a, b, c;
	struct mono t = mono_now();

	assert_null(pace_slowest(&all, t));
	pace_join(&all, &a, &a, t);
	pace_join(&all, &b, &b, t);
	pace_join(&all, &c, &c, t);
	pace_moved(&a, 100, t);
	pace_moved(&b, 50, t);
	pace_moved(&c, PACE_BYTES * 2, t);
	assert_null(pace_slowest(&all, mono_add_ms(t, PACE_MS - 1)));
	t = mono_add_ms(t, PACE_MS);
	assert_ptr_equal(pace_slowest(&all, t), &b);
	pace_rest(&b); /* it is made to wait */
	assert_ptr_equal(pace_slowest(&all, t), &a);
	pace_leave(&all, &a);
	assert_null(pace_slowest(&all, t));
	t = mono_add_ms(t, PACE_MS * 3); /* c sends no more */
	assert_ptr_equal(pace_slowest(&all, t), &c);
	pace_moved(&b, 1, t); /* waits for its client again: it has its time */
	assert_ptr_equal(pace_slowest(&all, mono_add_ms(t, PACE_MS - 1)), &c);
	pace_leave(&all, &c);
	assert_null(pace_slowest(&all, mono_add_ms(t, PACE_MS - 1)));
	assert_ptr_equal(pace_slowest(&all, mono_add_ms(t, PACE_MS)), &b);
	pace_leave(&all, &b);
	assert_null(all.first);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_slowest) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
