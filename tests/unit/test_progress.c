/*
 * The words of progress: speed, percent, time left, and lines that fit their terminal.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "common/base/progress.h"

static void test_bytes(void **state)
{
	static const struct {
		int64_t bytes;
		const char *text;
	} rows[] = {
		{ 0, "0 B" },
		{ 999, "999 B" },
		{ 1000, "1.0 kB" },
		{ 12345, "12.3 kB" },
		{ 999949, "999.9 kB" },
		{ 999950, "1.0 MB" },
		{ 104000000, "104.0 MB" },
		{ 999950000, "1.0 GB" },
		{ 1234567890123, "1.2 TB" },
		{ INT64_C(5000000000000000), "5000.0 TB" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO_STRBUF out = STRBUF_INIT;

		progress_add_bytes(&out, rows[i].bytes);
		assert_string_equal(strbuf_str(&out), rows[i].text);
	}
}

static void test_seconds(void **state)
{
	static const struct {
		int64_t seconds;
		const char *text;
	} rows[] = {
		{ 0, "0:00" },	     { 5, "0:05" },	  { 59, "0:59" },
		{ 60, "1:00" },	     { 754, "12:34" },	  { 3599, "59:59" },
		{ 3600, "1:00:00" }, { 3723, "1:02:03" }, { 360000, "100:00:00" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO_STRBUF out = STRBUF_INIT;

		progress_add_seconds(&out, rows[i].seconds);
		assert_string_equal(strbuf_str(&out), rows[i].text);
	}
}

static struct mono at_ms(int64_t ms)
{
	return (struct mono){ 5000000 + ms * 1000 };
}

static void test_meter(void **state)
{
	struct progress_meter m = { 0 };
	int64_t rows = -7, bytes = -7;

	(void)state;
	assert_false(progress_meter_rate(&m, &rows, &bytes));
	progress_meter_add(&m, at_ms(0), 0, 0);
	progress_meter_add(&m, at_ms(PROGRESS_SAMPLE_MS - 1), 100000,
			   100000); /* too soon: no sample */
	assert_false(progress_meter_rate(&m, &rows, &bytes));
	assert_int_equal(rows, -7);
	progress_meter_add(&m, at_ms(500), 1000, 50000);
	assert_true(progress_meter_rate(&m, &rows, &bytes));
	assert_int_equal(rows, 2000);
	assert_int_equal(bytes, 100000);
	/* Standing still is seen once the samples of the better times are gone. */
	for (int64_t ms = 1000; ms <= 10000; ms += 500)
		progress_meter_add(&m, at_ms(ms), 1000, 50000);
	assert_true(progress_meter_rate(&m, &rows, &bytes));
	assert_int_equal(rows, 0);
	assert_int_equal(bytes, 0);
	/* And the speed is that of the last samples, not of the whole time. */
	for (int64_t i = 1; i <= 100; i++)
		progress_meter_add(&m, at_ms(10000 + i * 1000), 1000 + i * 300, 50000 + i * 9000);
	assert_true(progress_meter_rate(&m, &rows, &bytes));
	assert_int_equal(rows, 300);
	assert_int_equal(bytes, 9000);
}

static void test_percent_and_time_left(void **state)
{
	static const struct {
		struct progress_row row;
		int percent;
		int64_t left;
	} cases[] = {
		/* nothing known */
		{ { .doing = "", .rows = 10, .total = 0, .measured = true, .rows_per_s = 5 },
		  -1,
		  -1 },
		{ { .doing = "", .rows = 0, .total = 100 }, 0, -1 },
		{ { .doing = "", .rows = 50, .total = 100 }, 50, -1 },
		{ { .doing = "", .rows = 50, .total = 100, .measured = true, .rows_per_s = 25 },
		  50,
		  2 },
		{ { .doing = "", .rows = 50, .total = 100, .measured = true, .rows_per_s = 49 },
		  50,
		  2 },
		{ { .doing = "", .rows = 50, .total = 100, .measured = true, .rows_per_s = 0 },
		  50,
		  -1 },
		/* an estimate that was too low is never "100 %, 0 s" */
		{ { .doing = "", .rows = 100, .total = 100, .measured = true, .rows_per_s = 9 },
		  99,
		  -1 },
		{ { .doing = "", .rows = 5000, .total = 100, .measured = true, .rows_per_s = 9 },
		  99,
		  -1 },
		/* large numbers */
		{ { .doing = "",
		    .rows = INT64_C(4000000000000000),
		    .total = INT64_C(8000000000000000),
		    .measured = true,
		    .rows_per_s = INT64_C(4000000000) },
		  50,
		  1000000 },
		/* after the load */
		{ { .doing = "analyzing",
		    .rows = 50,
		    .total = 100,
		    .measured = true,
		    .rows_per_s = 9 },
		  100,
		  -1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if (progress_percent(&cases[i].row) != cases[i].percent)
			fail_msg("case %zu: %d %%", i, progress_percent(&cases[i].row));
		if (progress_seconds_left(&cases[i].row) != cases[i].left)
			fail_msg("case %zu: %lld s left", i,
				 (long long)progress_seconds_left(&cases[i].row));
	}
}

static const struct progress_row loading = {
	.name = "replica-1",
	.doing = "",
	.rows = 400000,
	.bytes = 41000000,
	.total = 1000000,
	.measured = true,
	.rows_per_s = 120000,
	.bytes_per_s = 12300000,
};
static const struct progress_row indexing = {
	.name = "replica-2",
	.doing = "building index products_pkey",
	.rows = 1000000,
	.bytes = 104000000,
	.total = 990000,
};
static const struct progress_row stuck = {
	.name = "replica-3",
	.doing = "",
	.rows = 400000,
	.total = 1000000,
	.measured = true,
	.rows_per_s = 9,
	.stuck_ms = 12345,
};
static const struct progress_row fresh = { .name = "r", .doing = "" };

static void test_bars(void **state)
{
	static const struct {
		const struct progress_row *row;
		size_t name_width, columns;
		const char *text;
	} cases[] = {
		{ &loading, 9, 200,
		  "replica-1 [################------------------------]  40 %  400000 rows  120000 rows/s  12.3 MB/s  0:05 left" },
		{ &loading, 9, 80,
		  "replica-1 [####-------]  40 %  400000 rows  120000 rows/s  12.3 MB/s  0:05 left" },
		{ &loading, 9, 40, "replica-1   40 %  400000 rows  120000 r" },
		{ &loading, 12, 60, "replica-1      40 %  400000 rows  120000 rows/s  12.3 MB/s " },
		{ &loading, 9, 1, "" },
		{ &loading, 9, 0, "" },
		{ &indexing, 9, 80,
		  "replica-2 [#################] 100 %  1000000 rows  building index products_pkey" },
		{ &fresh, 3, 80, "r     0 rows" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_STRBUF out = STRBUF_INIT;

		strbuf_addstr(&out, "before\n"); /* bars of others stand above */
		progress_bar(&out, cases[i].row, cases[i].name_width, cases[i].columns);
		assert_string_equal(strbuf_str(&out) + 7, cases[i].text);
	}
}

static void test_a_bar_never_wraps(void **state)
{
	(void)state;
	for (size_t columns = 0; columns < 150; columns++) {
		AUTO_STRBUF out = STRBUF_INIT;

		progress_bar(&out, &loading, 20, columns);
		assert_true(out.len < columns || out.len == 0);
		assert_int_equal(out.len, strlen(strbuf_str(&out)));
	}
}

static void test_a_bar_is_not_cut_inside_a_character(void **state)
{
	static const struct progress_row row = { .name = "r",
						 .doing = "index \xc3\xa4\xc3\xa4",
						 .rows = 1 };

	(void)state;
	for (size_t columns = 20; columns < 40; columns++) {
		AUTO_STRBUF out = STRBUF_INIT;

		progress_bar(&out, &row, 1, columns);
		assert_int_not_equal((unsigned char)out.data[out.len - 1], 0xc3);
	}
}

static void test_lines(void **state)
{
	static const struct {
		const struct progress_row *row;
		const char *text;
	} cases[] = {
		{ &loading,
		  "replica-1: 400000 of about 1000000 rows (40 %), 120000 rows/s, 12.3 MB/s, 0:05 left" },
		{ &indexing, "replica-2: 1000000 rows, building index products_pkey" },
		{ &stuck,
		  "replica-3: 400000 of about 1000000 rows (40 %), takes nothing for 12 s" },
		{ &fresh, "r: 0 rows" },
	};
	AUTO_STRBUF summary = STRBUF_INIT, instant = STRBUF_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_STRBUF out = STRBUF_INIT;

		progress_line(&out, cases[i].row);
		assert_string_equal(strbuf_str(&out), cases[i].text);
	}
	progress_summary(&summary, "replica-1", 1000000, 104000000, 8100000);
	assert_string_equal(strbuf_str(&summary),
			    "replica-1: 1000000 rows, 104.0 MB in 8.1 s, 123456 rows/s");
	progress_summary(&instant, "r", 0, 21, 0);
	assert_string_equal(strbuf_str(&instant), "r: 0 rows, 21 B in 0.0 s");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_seconds),
		cmocka_unit_test(test_meter),
		cmocka_unit_test(test_percent_and_time_left),
		cmocka_unit_test(test_bars),
		cmocka_unit_test(test_a_bar_never_wraps),
		cmocka_unit_test(test_a_bar_is_not_cut_inside_a_character),
		cmocka_unit_test(test_lines),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
