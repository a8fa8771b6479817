/*
 * How long changes gather: a clock that each test turns, and sweeps that find what it likes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/relay/gather.h"

static struct mono now = { .us = 1000000 };

/* Sweeps one after another while so many changes come each second, for ms; returns how many changes the
 * largest of the last ones found. */
static size_t rush(struct gather *g, int64_t a_second, int64_t ms)
{
	int64_t end = now.us + ms * 1000, came = 0, begun = now.us;
	size_t most = 0;

	while (now.us < end) {
		now = mono_add_us(now, g->gap_us);
		int64_t by_now = (now.us - begun) * a_second / 1000000;
		size_t found = (size_t)(by_now - came);
		came = by_now;
		gather_swept(g, found, now);
		if (now.us > end - 50000 && found > most)
			most = found;
	}
	return most;
}

static void few_do_not_wait(void **state)
{
	struct gather g;

	(void)state;
	gather_begin(&g, now);
	for (int64_t a_second = 1; a_second <= 900; a_second += 37) {
		(void)rush(&g, a_second, 500);
		assert_true(gather_calm(&g));
		assert_int_equal(g.gap_us, 500);
	}
}

static void many_gather(void **state)
{
	static const struct {
		int64_t a_second, least_us, most_us;
	} cases[] = { { 2000, 1500, 3500 },
		      { 5000, 7000, 10000 },
		      { 9000, 14000, 19000 },
		      { 50000, 20000, 20000 } };
	struct gather g;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		gather_begin(&g, now);
		size_t found = rush(&g, cases[i].a_second, 1000);
		assert_false(gather_calm(&g));
		assert_in_range(g.gap_us, cases[i].least_us, cases[i].most_us);
		assert_true((int64_t)found >= cases[i].a_second * cases[i].least_us / 1000000);
	}
}

static void a_few_at_once_are_no_rush(void **state)
{
	struct gather g;

	(void)state;
	gather_begin(&g, now);
	for (int i = 0; i < 50; i++) {
		now = mono_add_ms(now, 20);
		gather_swept(&g, 8, now);
		assert_true(gather_calm(&g));
	}
}

static void a_rush_is_forgotten(void **state)
{
	struct gather g;

	(void)state;
	gather_begin(&g, now);
	(void)rush(&g, 50000, 1000);
	(void)rush(&g, 500, 300);
	assert_true(gather_calm(&g));
	/* Nor does one transaction make those wait that come long after it. */
	gather_swept(&g, 5000, now);
	assert_false(gather_calm(&g));
	now = mono_add_ms(now, 60);
	gather_swept(&g, 1, now);
	assert_true(gather_calm(&g));
}

static void nothing_is_looked_for_less_often(void **state)
{
	struct gather g;

	(void)state;
	gather_begin(&g, now);
	gather_swept(&g, 1, now);
	for (int ms = 1; ms <= 3000; ms++) {
		now = mono_add_ms(now, 1);
		gather_swept(&g, 0, now);
		int64_t share = ms * 50;
		assert_int_equal(g.pause_us, share < 1000 ? 1000
					     : share < GATHER_IDLE_MS * 1000
						     ? share
						     : GATHER_IDLE_MS * 1000);
	}
	gather_swept(&g, 1, now);
	assert_int_equal(g.pause_us, 1000);
}

static void a_change_now_and_then_costs_few_sweeps(void **state)
{
	struct gather g;
	int sweeps = 0;

	(void)state;
	gather_begin(&g, now);
	for (int change = 0; change < 20; change++) {
		struct mono comes = mono_add_ms(now, 50), found = now;

		while (found.us < comes.us) {
			found = mono_add_us(found, g.pause_us);
			gather_swept(&g, found.us >= comes.us, found);
			sweeps++;
		}
		assert_in_range(found.us - comes.us, 0, 2600);
		now = found;
	}
	assert_in_range(sweeps, 20 * 30, 20 * 45);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(few_do_not_wait),
		cmocka_unit_test(many_gather),
		cmocka_unit_test(a_few_at_once_are_no_rush),
		cmocka_unit_test(a_rush_is_forgotten),
		cmocka_unit_test(nothing_is_looked_for_less_often),
		cmocka_unit_test(a_change_now_and_then_costs_few_sweeps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
