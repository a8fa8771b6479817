/*
 * test_base64.c: RFC 4648's examples, both alphabets, one spelling for each value.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "common/base/base64.h"

static const struct {
	const char *bytes, *standard, *url;
} rows[] = {
	{ "", "", "" },
	{ "f", "Zg==", "Zg" },
	{ "fo", "Zm8=", "Zm8" },
	{ "foo", "Zm9v", "Zm9v" },
	{ "foob", "Zm9vYg==", "Zm9vYg" },
	{ "fooba", "Zm9vYmE=", "Zm9vYmE" },
	{ "foobar", "Zm9vYmFy", "Zm9vYmFy" },
	{ "\xfb\xff", "+/8=", "-_8" },
	{ "\xff\xff\xff\xff", "/////w==", "_____w" },
};

static void check(enum base64 kind, const char *bytes, const char *text)
{
	size_t n = strlen(bytes);
	struct strbuf out = STRBUF_INIT;
	char back[16];

	base64_add(&out, kind, bytes, n);
	assert_string_equal(strbuf_str(&out), text);
	assert_true(base64_decode(kind, text, strlen(text), back, n));
	assert_memory_equal(back, bytes, n);
	assert_false(base64_decode(kind, text, strlen(text) + 1, back, n));
	if (n > 0)
		assert_false(base64_decode(kind, text, strlen(text) - 1, back, n));
	assert_false(base64_decode(kind, text, strlen(text), back, n + 3));
	strbuf_clear(&out);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		check(BASE64_STANDARD, rows[i].bytes, rows[i].standard);
		check(BASE64_URL, rows[i].bytes, rows[i].url);
	}
}

static void test_refused(void **state)
{
	(void)state;
	static const struct {
		enum base64 kind;
		const char *text;
		size_t want;
	} bad[] = {
		{ BASE64_STANDARD, "Zh==", 1 }, /* bits behind the last byte */
		{ BASE64_STANDARD, "Zg=A", 1 },
		{ BASE64_STANDARD, "Zg", 1 },
		{ BASE64_STANDARD, "Z===", 1 },
		{ BASE64_STANDARD, "-_8=", 2 },
		{ BASE64_STANDARD, "Zm9\n", 3 },
		{ BASE64_URL, "+/8", 2 },
		{ BASE64_URL, "Zg==", 1 },
		/* as cursors, 16 bytes */
		{ BASE64_URL, "AAAAAAAAAAAAAAAAAAAAAB", 16 },
		{ BASE64_URL, "AAAAAAAAAAAAAAAAAAAA=A", 16 },
		{ BASE64_URL, "AAAAAAAAAAAAAAAAAAAA+A", 16 },
		{ BASE64_URL, "AAAAAAAAAAAAAAAAAAAA A", 16 },
		{ BASE64_URL, "", 16 },
		{ BASE64_URL, "01a1f862-f215-7a75-9394-999ca50334cc", 16 },
	};
	char out[16];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		print_message("%s\n", bad[i].text);
		assert_false(base64_decode(bad[i].kind, bad[i].text, strlen(bad[i].text), out,
					   bad[i].want));
	}
	assert_false(base64_decode(BASE64_URL, "AAAAAAAAAAAAAAAAAAAAA\0", 22, out, 16));
}

/* Every length up to 48 bytes comes back, and the text is in the alphabet. */
static void test_round_trip(void **state)
{
	(void)state;
	uint8_t in[48], back[48];
	struct strbuf text = STRBUF_INIT;

	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)(i * 151 + 3);
	for (size_t n = 0; n <= sizeof(in); n++) {
		strbuf_reset(&text);
		base64_add(&text, BASE64_URL, in, n);
		assert_int_equal(strspn(strbuf_str(&text),
					"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
					"0123456789-_"),
				 text.len);
		assert_true(base64_decode(BASE64_URL, strbuf_str(&text), text.len, back, n));
		assert_memory_equal(back, in, n);
	}
	strbuf_clear(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
