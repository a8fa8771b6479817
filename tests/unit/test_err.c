/* test_err.c: one line, whole characters, arguments out of itself. Companion: common/base/err.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "common/base/err.h"

static void test_lines(void **state)
{
	struct err e = { .text = "", .sqlstate = "23505" };
	(void)state;

	assert_false(err_set(&e, "%s: %d", "what", 5));
	assert_string_equal(e.text, "what: 5");
	assert_string_equal(e.sqlstate, "");
	assert_false(err_set(&e, "one\ntwo\tthree\x7f%s", "\x1b[0m"));
	assert_string_equal(e.text, "one two three  [0m");
	err_set(&e, "\xc2\x9b"
		    "1m \xff");
	assert_string_equal(e.text, " 1m ?");
}

/* What anybody may see belongs to one line and goes with it. */
static void test_shown(void **state)
{
	struct err e;
	(void)state;

	err_set(&e, "Failing row contains (%s)", "secret");
	assert_string_equal(err_shown(&e), e.text);
	err_show(&e, "a check (%s)", "odd");
	err_prefix(&e, "replica-1");
	assert_string_equal(e.text, "replica-1: Failing row contains (secret)");
	assert_string_equal(err_shown(&e), "a check (odd)");
	err_set(&e, "another");
	assert_string_equal(err_shown(&e), "another");
}

static void test_itself(void **state)
{
	struct err e;
	(void)state;

	err_set(&e, "refused");
	err_set(&e, "%s (%s)", e.text, e.text);
	assert_string_equal(e.text, "refused (refused)");
	memcpy(e.sqlstate, "08006", 6);
	assert_false(err_prefix(&e, "replica-%d", 2));
	assert_string_equal(e.text, "replica-2: refused (refused)");
	assert_string_equal(e.sqlstate, "08006");
	err_prefix(&e, "%s", e.text);
	assert_string_equal(e.text, "replica-2: refused (refused): replica-2: refused (refused)");
}

/* However much is cut, no character is cut in two. */
static void test_cut(void **state)
{
	static const char *const characters[] = { "x", "é", "€", "😀" };
	struct err e;
	(void)state;

	for (size_t c = 0; c < ARRAY_SIZE(characters); c++) {
		for (size_t shift = 0; shift < 4; shift++) {
			size_t width = strlen(characters[c]);
			char in[700];
			size_t n = shift;

			memset(in, 'a', shift);
			while (n < 600) {
				memcpy(in + n, characters[c], width);
				n += width;
			}
			in[n] = '\0';
			size_t want = shift + (sizeof(e.text) - 1 - shift) / width * width;

			err_set(&e, "%s", in);
			if (strlen(e.text) != want || memcmp(e.text, in, want) != 0)
				fail_msg("set, character %zu, shift %zu: %zu bytes, want %zu", c,
					 shift, strlen(e.text), want);

			err_set(&e, "%s", in + shift);
			in[shift] = '\0';
			err_prefix(&e, "%s", in);
			want = shift + 2 + (sizeof(e.text) - 1 - shift - 2) / width * width;
			if (strlen(e.text) != want)
				fail_msg("prefix, character %zu, shift %zu: %zu bytes, want %zu", c,
					 shift, strlen(e.text), want);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_shown),
		cmocka_unit_test(test_itself),
		cmocka_unit_test(test_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
