/* test_table_names.c: tables as people name them. Companions: common/base/strbuf.c, common/base/err.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/wire/table_names.h"

static const struct {
	const char *list;
	bool stars;
	const char *array; /* NULL: refused */
} rows[] = {
	{ "", true, "{}" },
	{ " ", true, "{}" },
	{ "users", false, "{\"\\\"users\\\"\"}" },
	{ "Users", false, "{\"\\\"users\\\"\"}" },
	{ "\"User\"", false, "{\"\\\"User\\\"\"}" },
	{ "blog.posts", false, "{\"\\\"blog\\\".\\\"posts\\\"\"}" },
	{ " blog . posts , users ", false, "{\"\\\"blog\\\".\\\"posts\\\"\",\"\\\"users\\\"\"}" },
	{ "\"a.b\".\"c,d\"", false, "{\"\\\"a.b\\\".\\\"c,d\\\"\"}" },
	{ "\"say \"\"hi\"\"\"", false, "{\"\\\"say \\\"\\\"hi\\\"\\\"\\\"\"}" },
	{ "\"back\\slash\"", false, "{\"\\\"back\\\\slash\\\"\"}" },
	{ "_x$1,\303\274", false, "{\"\\\"_x$1\\\"\",\"\\\"\303\274\\\"\"}" },
	{ "blog.*", true, "{\"\\\"blog\\\".*\"}" },
	{ "\"Blog\".*,users", true, "{\"\\\"Blog\\\".*\",\"\\\"users\\\"\"}" },
	{ "blog.*", false, NULL },
	{ "*", true, NULL },
	{ "a.b.c", true, NULL },
	{ "a..b", true, NULL },
	{ ".a", true, NULL },
	{ "a.", true, NULL },
	{ "a b", true, NULL },
	{ "a,", true, NULL },
	{ ",a", true, NULL },
	{ "a,,b", true, NULL },
	{ "1a", true, NULL },
	{ "\"\"", true, NULL },
	{ "\"open", true, NULL },
	{ "\"open\"\"", true, NULL },
	{ "a;drop table b", true, NULL },
};

static void test_lists(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO_STRBUF out = STRBUF_INIT;
		struct err err = { .text = "" };
		bool ok = table_names_array(&out, rows[i].list, rows[i].stars, &err);

		if (ok != (rows[i].array != NULL))
			fail_msg("%s: %s", rows[i].list, ok ? strbuf_str(&out) : err.text);
		if (ok)
			assert_string_equal(strbuf_str(&out), rows[i].array);
		else
			assert_true(err.text[0] != '\0');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_lists) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
