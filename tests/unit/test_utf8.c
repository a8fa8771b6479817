/*
 * test_utf8.c: valid and invalid UTF-8, counted; foreign text made fit to be shown. Companion:
 * common/base/clip.c.
 */
#include "common/base/clip.h"
#include "common/base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* A text with its length: rows may hold NUL. */
#define T(literal) literal, sizeof(literal) - 1

static void utf8_is_checked(void **state)
{
	static const struct {
		const char *s;
		size_t len;
		bool ok;
		size_t chars;
	} rows[] = {
		{ T(""), true, 0 },
		{ T("abc\n\t\x7f\""), true, 7 },
		{ T("12345678\xc3\xa9"), true, 9 },
		{ T("\xf0\x9f\x98\x80\xe2\x82\xac"), true, 2 },
		{ T("\0"), false, 0 },
		{ T("1234567\0"), false, 0 },
		{ T("12345678\0"), false, 0 },
		{ T("\xc3"), false, 0 },
		{ T("1234567\xc3"), false, 0 },
		{ T("\xed\xa0\x80"), false, 0 },
		{ T("\xc0\xaf"), false, 0 },
		{ T("\xf8\x88\x80\x80\x80"), false, 0 },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t chars = 0;
		if (utf8_valid(rows[i].s, rows[i].len, &chars) != rows[i].ok ||
		    chars != rows[i].chars)
			fail_msg("row %zu, %s: %zu", i, rows[i].s, chars);
	}
	assert_true(utf8_valid(NULL, 0, NULL));
}

static void foreign_text_is_clipped(void **state)
{
	static const struct {
		const char *in;
		size_t size;
		const char *out;
	} rows[] = {
		{ "", 1, "" },
		{ "abc", 4, "abc" },
		{ "abcd", 4, "abc" },
		{ "a\nb\x7f", 10, "a b " },
		{ "\xc3\xa9\xc3\xa9", 4, "\xc3\xa9" },
		{ "\xe2\x82\xac", 3, "" },
		{ "a\xff\xc3", 10, "a??" },
		{ "\xed\xa0\x80", 10, "???" },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char out[16];
		clip_text(out, rows[i].size, rows[i].in);
		assert_string_equal(out, rows[i].out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(utf8_is_checked),
		cmocka_unit_test(foreign_text_is_clipped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
