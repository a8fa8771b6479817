/*
 * lag.c: which lag is fit for reads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/pool/lag.h"

#define NOW_US INT64_C(1790000000000000)

static void test_rule(void **state)
{
	static const struct {
		const char *what;
		int64_t max_ms, lag_ms, age_ms; /* lag -1: no heartbeat */
		bool was_lagging, allowed;
	} rows[] = {
		{ "in step", 10000, 3, 60000, false, true },
		{ "at the limit", 10000, 10000, 60000, false, true },
		{ "above", 10000, 10001, 60000, false, false },
		{ "above, and just started", 10000, 10001, 0, false, false },
		{ "back, not far enough", 10000, 7501, 60000, true, false },
		{ "back", 10000, 7500, 60000, true, true },
		{ "ahead by as much as two readings differ", 10000, -1000, 60000, true, true },
		{ "ahead: the primary's clock went back", 10000, -5000, 60000, true, false },
		{ "ahead, and just started", 10000, -5000, 0, false, false },
		{ "ahead, no limit", 0, -5000, 60000, false, true },
		{ "no heartbeat, just started", 10000, -1, 9999, false, true },
		{ "no heartbeat for long", 10000, -1, 10000, false, false },
		{ "no limit", 0, 99999999, 60000, false, true },
		{ "no limit, no heartbeat", 0, -1, 60000, false, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int64_t beat = rows[i].lag_ms == -1 ? LAG_NO_HEARTBEAT
						    : NOW_US - rows[i].lag_ms * 1000;
		bool allowed = lag_allows(rows[i].max_ms, beat, NOW_US, rows[i].was_lagging,
					  rows[i].age_ms);
		if (allowed != rows[i].allowed)
			print_error("row: %s\n", rows[i].what);
		assert_int_equal(allowed, rows[i].allowed);
	}
}

static void test_clock_is_carried_on(void **state)
{
	struct lag_clock c;
	struct mono t = { 5000000 };

	(void)state;
	lag_clock_set(&c, t, NOW_US);
	assert_int_equal(lag_clock_now(&c, t), NOW_US);
	assert_int_equal(lag_clock_now(&c, mono_add_ms(t, 1500)), NOW_US + 1500000);
	lag_clock_set(&c, mono_add_ms(t, 1500), NOW_US - 7); /* it went back */
	assert_int_equal(lag_clock_now(&c, mono_add_ms(t, 1500)), NOW_US - 7);
}

static void test_streams(void **state)
{
	static const char text[] = "[{\"number\": 2, \"stream\": \"a\", \"heartbeat\": 1000000000},"
				   " {\"number\": 3, \"heartbeat\": null}, {\"number\": 4},"
				   " {\"number\": 62, \"heartbeat\": 995000000},"
				   " {\"number\": 63, \"heartbeat\": 1000000000},"
				   " {\"number\": 700, \"heartbeat\": 1}]";
	const uint64_t two = 1 << 2, three = 1 << 3, four = 1 << 4, high = UINT64_C(1) << 63,
		       last = UINT64_C(1) << 62;

	(void)state;
	/* 5 s are the limit: of those that did lag, three quarters of it. */
	assert_int_equal(lag_streams(text, 5000, 1000000000, 0, 60000), three | four | high);
	assert_int_equal(lag_streams(text, 5000, 1000000000, last, 60000),
			 three | four | last | high);
	assert_int_equal(lag_streams(text, 5000, 1000000000, 0, 0), high);
	assert_int_equal(lag_streams(text, 5000, 1006000000, 0, 0), two | last | high);
	assert_int_equal(lag_streams(text, 0, 1006000000, two, 60000), 0);
	assert_int_equal(lag_streams("[]", 5000, 1006000000, two, 60000), 0);
	assert_int_equal(lag_streams("no JSON", 5000, 1006000000, two, 60000), two);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rule),
		cmocka_unit_test(test_clock_is_carried_on),
		cmocka_unit_test(test_streams),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
