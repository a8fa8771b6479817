/* test_strbuf.c: growing, always NUL-terminated. Companions: common/base/strbuf.c, common/base/base.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/strbuf.h"

static void check(const struct strbuf *b, const char *want, const char *row)
{
	if (b->len != strlen(want) || strcmp(strbuf_str(b), want) != 0)
		fail_msg("%s: got %zu bytes \"%s\", want \"%s\"", row, b->len, strbuf_str(b), want);
	if (b->data && b->cap <= b->len)
		fail_msg("%s: cap %zu leaves no room for the NUL behind %zu bytes", row, b->cap,
			 b->len);
}

static void test_int(void **state)
{
	static const int64_t rows[] = { 0,	   1,	      -1,	    9,	       10,
					-10,	   99,	      100,	    INT32_MAX, INT32_MIN,
					INT64_MAX, INT64_MIN, INT64_MAX - 1 };
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO_STRBUF b = STRBUF_INIT;
		char want[32];

		snprintf(want, sizeof(want), "%lld", (long long)rows[i]);
		strbuf_addint(&b, rows[i]);
		check(&b, want, want);
	}
}

static void test_empty(void **state)
{
	AUTO_STRBUF b = STRBUF_INIT;
	(void)state;

	assert_string_equal(strbuf_str(&b), "");
	strbuf_reset(&b);
	assert_null(b.data);
	strbuf_add(&b, NULL, 0);
	check(&b, "", "nothing added");
	strbuf_addstr(&b, "");
	strbuf_addf(&b, "%s", "");
	check(&b, "", "empty strings added");

	struct strbuf never = STRBUF_INIT;
	size_t len = 7;
	char *s = strbuf_detach(&never, &len);
	assert_string_equal(s, "");
	assert_int_equal(len, 0);
	free(s);
}

static void test_mixed(void **state)
{
	AUTO_STRBUF b = STRBUF_INIT;
	(void)state;

	strbuf_addstr(&b, "abc");
	strbuf_addch(&b, '-');
	strbuf_add(&b, "defg", 2);
	strbuf_addf(&b, "<%d:%s>", 42, "x");
	strbuf_addint(&b, -7);
	check(&b, "abc-de<42:x>-7", "all kinds");

	const char *before = b.data;
	strbuf_reset(&b);
	check(&b, "", "after reset");
	assert_ptr_equal(b.data, before);
	strbuf_addstr(&b, "again");

	size_t len;
	char *s = strbuf_detach(&b, &len);
	assert_string_equal(s, "again");
	assert_int_equal(len, 5);
	assert_null(b.data);
	assert_int_equal(b.cap, 0);
	free(s);
}

/* Every length around the places where the buffer grows, by every way of adding. */
static void test_growth(void **state)
{
	(void)state;

	for (size_t n = 0; n < 600; n++) {
		AUTO_STRBUF one = STRBUF_INIT;
		AUTO_STRBUF bytes = STRBUF_INIT;
		AUTO_STRBUF formatted = STRBUF_INIT;
		AUTO_STRBUF reserved = STRBUF_INIT;
		char want[601], row[32];

		memset(want, 'x', n);
		want[n] = '\0';
		snprintf(row, sizeof(row), "length %zu", n);
		for (size_t i = 0; i < n; i++)
			strbuf_addch(&bytes, 'x');
		strbuf_add(&one, want, n);
		strbuf_addf(&formatted, "%s", want);
		memset(strbuf_reserve(&reserved, n + 5), 'x', n);
		strbuf_commit(&reserved, n);
		check(&one, want, row);
		check(&bytes, want, row);
		check(&formatted, want, row);
		check(&reserved, want, row);
	}
}

static void test_bytes(void **state)
{
	AUTO_STRBUF b = STRBUF_INIT;
	(void)state;

	strbuf_add(&b, "a\0b", 3);
	strbuf_addch(&b, '\0');
	assert_int_equal(b.len, 4);
	assert_memory_equal(b.data, "a\0b\0", 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_int),   cmocka_unit_test(test_empty),
		cmocka_unit_test(test_mixed), cmocka_unit_test(test_growth),
		cmocka_unit_test(test_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
