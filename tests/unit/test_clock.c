/* test_clock.c: PostgreSQL's timestamps as text, and waiting times. Companion: common/base/clock.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/clock.h"

#define PG_EPOCH_S INT64_C(946684800) /* 2000-01-01 in seconds since 1970 */

/* What PostgreSQL 15 prints for the same values, in the spelling of ISO 8601 (1 BC is 0000). */
static const struct {
	int64_t pg_us;
	const char *text;
} formats[] = {
	{ 0, "2000-01-01T00:00:00.000000Z" },
	{ 1, "2000-01-01T00:00:00.000001Z" },
	{ -1, "1999-12-31T23:59:59.999999Z" },
	{ INT64_C(59) * 86400000000, "2000-02-29T00:00:00.000000Z" },
	{ INT64_C(60) * 86400000000, "2000-03-01T00:00:00.000000Z" },
	{ INT64_C(366) * 86400000000 - 1, "2000-12-31T23:59:59.999999Z" },
	{ INT64_C(823176000123456), "2026-01-31T12:00:00.123456Z" },
	{ INT64_C(-946684800000000), "1970-01-01T00:00:00.000000Z" },
	{ INT64_C(-3155673600000000), "1900-01-01T00:00:00.000000Z" },
	{ INT64_C(-3150662400000001), "1900-02-27T23:59:59.999999Z" },
	{ INT64_C(-3150489600000000), "1900-03-02T00:00:00.000000Z" },
	{ INT64_C(-3150576000000000), "1900-03-01T00:00:00.000000Z" },
	{ INT64_C(-63082281600000000), "0001-01-01T00:00:00.000000Z" },
	{ INT64_C(-63082281600000001), "0000-12-31T23:59:59.999999Z" },
	{ INT64_C(252455615999999999), "9999-12-31T23:59:59.999999Z" },
	{ INT64_C(252455616000000000), "10000-01-01T00:00:00.000000Z" },
	{ INT64_C(9223371331200000000) - 1,
	  "294276-12-31T23:59:59.999999Z" },				  /* PostgreSQL's last */
	{ INT64_C(-211813488000000000), "-4713-11-24T00:00:00.000000Z" }, /* and its first */
	{ INT64_MAX, "infinity" },
	{ INT64_MIN, "-infinity" },
};

static void test_formats(void **state)
{
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		char buf[CLOCK_TIMESTAMP_MAX];
		size_t len = clock_format_pg(formats[i].pg_us, buf);

		if (strcmp(buf, formats[i].text) != 0 || len != strlen(buf))
			fail_msg("%" PRId64 ": got %zu bytes \"%s\", want \"%s\"", formats[i].pg_us,
				 len, buf, formats[i].text);
	}
}

/* The calendar is the C library's, for every day of 800 years and for odd steps through all the others. */
static void check_against_library(int64_t s)
{
	time_t t = (time_t)(s + PG_EPOCH_S);
	struct tm tm;
	char want[64], buf[CLOCK_TIMESTAMP_MAX];

	gmtime_r(&t, &tm);
	snprintf(want, sizeof(want), "%04d-%02d-%02dT%02d:%02d:%02d.654321Z", tm.tm_year + 1900,
		 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
	size_t len = clock_format_pg(s * 1000000 + 654321, buf);
	if (strcmp(buf, want) != 0 || len != 27)
		fail_msg("%" PRId64 " s: got %zu bytes \"%s\", want \"%s\"", s, len, buf, want);
}

static void test_calendar(void **state)
{
	(void)state;

	for (int64_t day = -400 * 366; day < 400 * 366; day++)
		check_against_library(day * 86400 + 86399);
	for (int64_t s = INT64_C(-63082281600); s < INT64_C(252455615999); s += 2345677)
		check_against_library(s);
}

static void test_any_value_fits(void **state)
{
	(void)state;

	for (int shift = 0; shift < 63; shift++) {
		for (int sign = -1; sign <= 1; sign += 2) {
			char buf[CLOCK_TIMESTAMP_MAX];
			size_t len = clock_format_pg(sign * (INT64_MAX >> shift), buf);

			assert_true(len < sizeof(buf));
			assert_int_equal(len, strlen(buf));
		}
	}
}

/* ---- any year ---- */

#define PG_FIRST_US INT64_C(-211813488000000000) /* 4714-11-24 BC */
#define PG_END_US   INT64_C(9223371331200000000) /* the end of 294276 AD */

/* As messages have what four digits of a year cannot hold; PostgreSQL reads it too. */
static const struct {
	int64_t pg_us;
	const char *text;
} any_years[] = {
	{ INT64_MAX, "infinity" },
	{ INT64_MIN, "-infinity" },
	{ INT64_C(-63082281600000001), "0001-12-31T23:59:59.999999Z BC" },
	{ INT64_C(-63113904000000000), "0001-01-01T00:00:00.000000Z BC" },
	{ INT64_C(-63108806400000000), "0001-02-29T00:00:00.000000Z BC" },
	{ INT64_C(-64464508800000000), "0044-03-15T00:00:00.000000Z BC" },
	{ PG_FIRST_US, "4714-11-24T00:00:00.000000Z BC" },
	{ INT64_C(252455616000000000), "10000-01-01T00:00:00.000000Z AD" },
	{ INT64_C(316404316800000000), "12026-06-15T00:00:00.000000Z AD" },
	{ PG_END_US - 1, "294276-12-31T23:59:59.999999Z AD" },
};

static void test_any_year(void **state)
{
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(any_years); i++) {
		char buf[CLOCK_TIMESTAMP_MAX];
		int64_t back = 4711;

		if (!clock_parse_pg_any(any_years[i].text, strlen(any_years[i].text), &back))
			fail_msg("%s: refused", any_years[i].text);
		if (back != any_years[i].pg_us)
			fail_msg("%s: %" PRId64, any_years[i].text, back);
		size_t len = clock_format_pg_any(any_years[i].pg_us, buf);
		assert_string_equal(buf, any_years[i].text);
		assert_int_equal(len, strlen(buf));
	}
}

/* The years from 1 to 9999 by the strict one, others with a word. */
static bool read_back(const char *text, int64_t *ret)
{
	return clock_parse_pg(text, strlen(text), ret) ||
	       clock_parse_pg_any(text, strlen(text), ret);
}

static int64_t random_between(int64_t low, int64_t high)
{
	uint64_t r = (uint64_t)mrand48() << 32 ^ ((uint64_t)mrand48() & UINT32_MAX);

	return (int64_t)((uint64_t)low + r % ((uint64_t)high - (uint64_t)low));
}

static void test_round_trip(void **state)
{
	static const int64_t around[] = { PG_FIRST_US, INT64_C(-63082281600000000), 0,
					  INT64_C(252455616000000000), PG_END_US };
	(void)state;

	srand48(4711);
	for (size_t i = 0; i < 1000000; i++) {
		char buf[CLOCK_TIMESTAMP_MAX];
		int64_t back,
			us = i % 4 == 0	  ? random_between(PG_FIRST_US, PG_END_US)
			     : i % 4 == 1 ? random_between(PG_FIRST_US, INT64_C(252455616000000000))
					  : random_between(around[i % 5] - 4000000,
							   around[i % 5] + 4000000);

		clock_format_pg_any(us, buf);
		bool in_range = us >= PG_FIRST_US && us < PG_END_US;
		if (read_back(buf, &back) != in_range)
			fail_msg("%" PRId64 ": %s: %s", us, buf, in_range ? "refused" : "read");
		if (in_range && back != us)
			fail_msg("%" PRId64 ": %s: comes back as %" PRId64, us, buf, back);
	}
	/* Every value has a text. */
	for (int shift = 0; shift < 63; shift++) {
		for (int sign = -1; sign <= 1; sign += 2) {
			char buf[CLOCK_TIMESTAMP_MAX];

			clock_format_pg_any(sign * (INT64_MAX >> shift), buf);
			assert_true(strlen(buf) < sizeof(buf));
		}
	}
}

static void test_what_is_no_time(void **state)
{
	static const char *const rows[] = {
		"",
		"BC",
		" BC",
		" AD",
		"Infinity",
		"infinity ",
		"infinit",
		"+infinity",
		"--infinity",
		"-infinit",
		"2026-01-31T12:00:00Z", /* the strict one's */
		"12026-01-31T12:00:00Z",
		"12026-01-31T12:00:00Z ad",
		"12026-01-31T12:00:00Z  AD",
		"12026-01-31T12:00:00ZAD",
		"12026-01-31T12:00:00 AD",
		"12026-01-31 12:00:00Z AD",
		"12026-01-31T12:00:00.Z AD",
		"12026-01-31T12:00:00.1234567Z AD",
		"12026-13-01T12:00:00Z AD",
		"12026-02-29T12:00:00Z AD",
		"12025-02-29T12:00:00Z AD",
		"12026-01-31T24:00:00Z AD",
		"12026-01-31T12:00:60Z AD",
		"012026-01-31T12:00:00.000000000000000000000000Z AD",
		"026-01-31T12:00:00Z AD",
		"0000-01-31T12:00:00Z BC",
		"0000-01-31T12:00:00Z AD",
		"-0044-03-15T00:00:00Z BC",
		"0002-02-29T00:00:00Z BC",
		"4714-11-23T23:59:59.999999Z BC",
		"4715-12-31T00:00:00Z BC",
		"294277-01-01T00:00:00Z AD",
		"294277-01-09T04:00:54.775808Z AD",
		"999999-12-31T23:59:59Z AD",
		"999999-12-31T23:59:59Z BC",
		"1000000-12-31T23:59:59Z AD",
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		/* Without a NUL, to catch reads behind the end. */
		size_t len = strlen(rows[i]);
		char *text = xmalloc(len + 1 - (len > 0));
		int64_t us = 4711;

		memcpy(text, rows[i], len);
		if (clock_parse_pg_any(text, len, &us))
			fail_msg("\"%s\": %" PRId64, rows[i], us);
		assert_int_equal(us, 4711);
		free(text);
	}
}

static const struct {
	int64_t t_us, now_us;
	int max_ms, want;
} waits[] = {
	{ 0, 5000, 700, 0 },		    /* zeroed: long past */
	{ INT64_MAX, 5000, 700, 700 },	    /* never */
	{ 5000, 5000, 700, 0 },		    /* now */
	{ 4999, 5000, 700, 0 },		    /* past */
	{ 5001, 5000, 700, 1 },		    /* rounded up */
	{ 6000, 5000, 700, 1 },		    /* exactly */
	{ 6001, 5000, 700, 2 },		    /* rounded up */
	{ 705000, 5000, 700, 700 },	    /* the most */
	{ 999999999, 5000, 700, 700 },	    /* more */
	{ INT64_MAX, 1, INT_MAX, INT_MAX }, /* far beyond an int */
	{ 6000, 5000, 0, 0 },
};

static void test_waits(void **state)
{
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(waits); i++) {
		int got = mono_until_ms((struct mono){ waits[i].t_us },
					(struct mono){ waits[i].now_us }, waits[i].max_ms);

		if (got != waits[i].want)
			fail_msg("row %zu: got %d, want %d", i, got, waits[i].want);
	}
}

static void test_now(void **state)
{
	struct mono a = mono_now();
	struct mono b = mono_now();
	int64_t wall = wall_now_us();
	(void)state;

	assert_true(a.us > 0);
	assert_true(mono_reached(a, b));
	assert_true(mono_diff_us(b, a) >= 0);
	assert_false(mono_reached(mono_add_ms(b, 1), b));
	assert_int_equal(mono_diff_us(mono_add_ms(b, 3), b), 3000);
	assert_true(wall / 1000000 - time(NULL) <= 1 && time(NULL) - wall / 1000000 <= 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_formats),	       cmocka_unit_test(test_calendar),
		cmocka_unit_test(test_any_value_fits), cmocka_unit_test(test_any_year),
		cmocka_unit_test(test_round_trip),     cmocka_unit_test(test_what_is_no_time),
		cmocka_unit_test(test_waits),	       cmocka_unit_test(test_now),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
