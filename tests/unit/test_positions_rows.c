/*
 * tests/positions/rows.c: what the checker of the positions load calls stale.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/base.h"
#include "tests/positions/rows.h"

#define LIFE(life, change) ((life)*ROW_LIFE + (change))
#define GONE(life)	   ((life)*ROW_LIFE + ROW_LIFE - 1)

static void test_states(void **state)
{
	struct row r = { 0 };

	(void)state;
	assert_false(row_is_there(&r));
	assert_int_equal(row_created(&r), LIFE(1, 0));
	r.now = LIFE(1, 0);
	assert_true(row_is_there(&r));
	assert_int_equal(row_changed(&r), LIFE(1, 1));
	assert_int_equal(row_deleted(&r), GONE(1));
	row_begin(&r, LIFE(1, 1));
	assert_int_equal(r.begun, LIFE(1, 1));
	assert_int_equal(r.gone, 0);
	row_begin(&r, GONE(1));
	assert_int_equal(r.gone, GONE(1));
	r.now = GONE(1);
	assert_false(row_is_there(&r));
	assert_int_equal(row_created(&r), LIFE(2, 0));
}

static void test_what_may_be_shown(void **state)
{
	static const struct {
		uint32_t begun, gone, seen, shown;
		enum row_wrong wrong;
		uint32_t then; /* what is known, where it is right */
	} cases[] = {
		/* Nothing is known: everything that was written is right. */
		{ LIFE(1, 5), 0, 0, LIFE(1, 0), ROW_RIGHT, LIFE(1, 0) },
		{ LIFE(1, 5), 0, 0, LIFE(1, 5), ROW_RIGHT, LIFE(1, 5) },
		{ LIFE(1, 5), 0, 0, LIFE(1, 6), ROW_UNWRITTEN, 0 },
		{ LIFE(1, 5), 0, 0, 0, ROW_RIGHT, 0 },
		{ LIFE(2, 0), GONE(1), 0, 0, ROW_RIGHT, 0 },
		{ LIFE(2, 0), GONE(1), 0, 7, ROW_UNWRITTEN, 0 },
		{ LIFE(2, 0), GONE(1), 0, GONE(1), ROW_UNWRITTEN, 0 },
		/* It only grows. */
		{ LIFE(1, 5), 0, LIFE(1, 3), LIFE(1, 3), ROW_RIGHT, LIFE(1, 3) },
		{ LIFE(1, 5), 0, LIFE(1, 3), LIFE(1, 4), ROW_RIGHT, LIFE(1, 4) },
		{ LIFE(1, 5), 0, LIFE(1, 3), LIFE(1, 2), ROW_OLDER, 0 },
		{ LIFE(2, 1), GONE(1), LIFE(1, 3), LIFE(2, 0), ROW_RIGHT, LIFE(2, 0) },
		{ LIFE(2, 1), GONE(1), LIFE(2, 0), LIFE(1, 9), ROW_OLDER, 0 },
		/* It is absent only if somebody deleted it since. */
		{ LIFE(1, 5), 0, LIFE(1, 0), 0, ROW_MISSING, 0 },
		{ GONE(1), GONE(1), LIFE(1, 5), 0, ROW_RIGHT, GONE(1) },
		{ LIFE(3, 0), GONE(2), LIFE(1, 5), 0, ROW_RIGHT, GONE(1) },
		{ LIFE(2, 3), GONE(1), LIFE(2, 0), 0, ROW_MISSING, 0 },
		/* It is gone, until its next life. */
		{ GONE(1), GONE(1), GONE(1), 0, ROW_RIGHT, GONE(1) },
		{ LIFE(2, 0), GONE(1), GONE(1), 0, ROW_RIGHT, GONE(1) },
		{ LIFE(2, 0), GONE(1), GONE(1), LIFE(1, 5), ROW_BACK, 0 },
		{ LIFE(2, 0), GONE(1), GONE(1), LIFE(2, 0), ROW_RIGHT, LIFE(2, 0) },
		{ LIFE(3, 0), GONE(2), GONE(2), LIFE(2, 9), ROW_BACK, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct row r = { .begun = cases[i].begun, .gone = cases[i].gone };

		if (row_wrong(&r, cases[i].seen, cases[i].shown) != cases[i].wrong)
			fail_msg("case %zu: %d", i, row_wrong(&r, cases[i].seen, cases[i].shown));
		if (cases[i].wrong == ROW_RIGHT)
			assert_int_equal(row_seen(cases[i].seen, cases[i].shown), cases[i].then);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_what_may_be_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
