/* test_backoff.c: each wait between half and all of what it may be. Companion: common/base/backoff.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>

#include "common/base/backoff.h"

static const struct {
	int64_t first_ms, most_ms;
	int64_t full[8]; /* the longest wait after 0, 1, 2, … failures */
} rows[] = {
	{ 1000, 30000, { 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000 } },
	{ 100, 400, { 100, 200, 400, 400, 400, 400, 400, 400 } },
	{ 1, 5, { 1, 2, 4, 5, 5, 5, 5, 5 } },
	{ 500, 200, { 200, 200, 200, 200, 200, 200, 200, 200 } },
	{ 0, 100, { 0, 0, 0, 0, 0, 0, 0, 0 } },
	{ INT64_C(1) << 61,
	  INT64_MAX,
	  { INT64_C(1) << 61, INT64_C(1) << 62, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX,
	    INT64_MAX, INT64_MAX } },
};

static void test_bounds(void **state)
{
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct backoff b;

		backoff_init(&b, rows[i].first_ms, rows[i].most_ms);
		for (int round = 0; round < 200; round++) {
			for (unsigned k = 0; k < 8; k++) {
				int64_t full = rows[i].full[k];
				int64_t got = backoff_next_ms(&b);

				if (got < full - full / 2 || got > full)
					fail_msg("row %zu, failure %u: got %" PRId64
						 ", want half to all of %" PRId64,
						 i, k, got, full);
				if (b.failures != k + 1)
					fail_msg("row %zu: %u failures counted, want %u", i,
						 b.failures, k + 1);
			}
			backoff_reset(&b);
			assert_int_equal(b.failures, 0);
		}
	}
}

/* The whole range is used, and two that started together go apart. */
static void test_jitter(void **state)
{
	bool seen[11] = { false };
	struct backoff a, b;
	int same = 0;
	(void)state;

	backoff_init(&a, 20, 20);
	for (int i = 0; i < 5000; i++)
		seen[backoff_next_ms(&a) - 10] = true;
	for (size_t i = 0; i < ARRAY_SIZE(seen); i++)
		if (!seen[i])
			fail_msg("never waited %zu ms of 10 to 20", i + 10);

	backoff_init(&a, 1000000, 1000000);
	backoff_init(&b, 1000000, 1000000);
	for (int i = 0; i < 100; i++)
		same += backoff_next_ms(&a) == backoff_next_ms(&b);
	assert_in_range(same, 0, 5);
}

static void test_many_failures(void **state)
{
	struct backoff b;
	(void)state;

	backoff_init(&b, 1, 60000);
	b.failures = UINT32_MAX;
	assert_in_range(backoff_next_ms(&b), 30000, 60000);
	assert_int_equal(b.failures, UINT32_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_jitter),
		cmocka_unit_test(test_many_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
