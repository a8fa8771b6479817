/*
 * test_tempo.c: who gives way, and when.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "api/batch/tempo.h"

static void test_slowest(void **state)
{
	(void)state;
	struct tempos all = { NULL };
	struct tempo a, b, c;
	struct mono t = mono_now();

	assert_null(tempo_slowest(&all, t));
	tempo_join(&all, &a, &a, t);
	tempo_join(&all, &b, &b, t);
	tempo_join(&all, &c, &c, t);
	tempo_moved(&a, 100, t);
	tempo_moved(&b, 50, t);
	tempo_moved(&c, TEMPO_BYTES * 2, t);
	assert_null(tempo_slowest(&all, mono_add_ms(t, TEMPO_MS - 1)));
	t = mono_add_ms(t, TEMPO_MS);
	assert_ptr_equal(tempo_slowest(&all, t), &b);
	tempo_rest(&b); /* it is made to wait */
	assert_ptr_equal(tempo_slowest(&all, t), &a);
	tempo_leave(&all, &a);
	assert_null(tempo_slowest(&all, t));
	t = mono_add_ms(t, TEMPO_MS * 3); /* c sends no more */
	assert_ptr_equal(tempo_slowest(&all, t), &c);
	tempo_moved(&b, 1, t); /* waits for its client again: it has its time */
	assert_ptr_equal(tempo_slowest(&all, mono_add_ms(t, TEMPO_MS - 1)), &c);
	tempo_leave(&all, &c);
	assert_null(tempo_slowest(&all, mono_add_ms(t, TEMPO_MS - 1)));
	assert_ptr_equal(tempo_slowest(&all, mono_add_ms(t, TEMPO_MS)), &b);
	tempo_leave(&all, &b);
	assert_null(all.first);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_slowest) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
