/*
 * test_utf8.c: valid and invalid UTF-8, counted; foreign text made fit to be shown. Companion:
 * common/base/clip.c.
 */
#include "common/base/clip.h"
#include "common/base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

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

/* What moves a cursor or turns a line around is told from what is only unusual. */
static void what_steers_is_known(void **state)
{
	static const struct {
		const char *s;
		bool steers;
		unsigned code;
	} rows[] = {
		{ "\n", true, 0x0a },
		{ "\x7f", true, 0x7f },
		{ " ", false, 0x20 },
		{ "\xc2\x80", true, 0x80 },
		{ "\xc2\x9f", true, 0x9f },
		{ "\xc2\xa0", false, 0xa0 },
		{ "\xd8\x9c", true, 0x61c },
		{ "\xe2\x80\x8d", false, 0x200d }, /* joins emoji */
		{ "\xe2\x80\x8f", true, 0x200f },
		{ "\xe2\x80\xa8", true, 0x2028 },
		{ "\xe2\x80\xae", true, 0x202e },
		{ "\xe2\x80\xaf", false, 0x202f },
		{ "\xe2\x81\xa6", true, 0x2066 },
		{ "\xe2\x81\xa9", true, 0x2069 },
		{ "\xe2\x82\xac", false, 0x20ac },
		{ "\xf0\x9f\x98\x80", false, 0x1f600 },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (utf8_steers(rows[i].s, strlen(rows[i].s)) != rows[i].steers)
			fail_msg("U+%04X", rows[i].code);
		assert_int_equal(utf8_code(rows[i].s, strlen(rows[i].s)), rows[i].code);
	}
	char text[] = "a\xc2\x9b"
		      "b\xff\xe2\x80\xa8"
		      "c\xe2\x82\xac";
	utf8_plain(text);
	assert_string_equal(text, "a b? c\xe2\x82\xac");
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
		{ "\xc2\x9b"
		  "31mred\xe2\x80\xae",
		  20, " 31mred " },
		{ "\xc2\x9b\xc2\x9b", 2, " " },
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
		cmocka_unit_test(what_steers_is_known),
		cmocka_unit_test(foreign_text_is_clipped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
