/*
 * test_listed.c: the setting RESOURCES, a row each: what is read from it, and what is wrong with it. Under the
 * address sanitizer: nothing is left behind either way. Companions: api/resources/listed.c alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/resources/listed.h"

static const char *const reserved[] = { "products", "health" };

#define LONG_63 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk"

/* json: as listed_json() writes it; embeds: of each resource, a line each. */
static const struct row {
	const char *text, *json, *embeds;
} good[] = {
	{ "", "[]", "" },
	{ " \t", "[]", "" },
	{ "users", "[{\"name\":\"users\",\"schema\":null,\"relation\":\"users\"}]", "-\n" },
	{ "users=User", "[{\"name\":\"users\",\"schema\":null,\"relation\":\"User\"}]", "-\n" },
	{ " a = blog.posts ", "[{\"name\":\"a\",\"schema\":\"blog\",\"relation\":\"posts\"}]",
	  "-\n" },
	{ "blog.posts", "[{\"name\":\"blog.posts\",\"schema\":\"blog\",\"relation\":\"posts\"}]",
	  "-\n" },
	{ "a=b.c.d", "[{\"name\":\"a\",\"schema\":\"b\",\"relation\":\"c.d\"}]", "-\n" },
	{ "a=or\"der it'ems",
	  "[{\"name\":\"a\",\"schema\":null,\"relation\":\"or\\\"der it'ems\"}]", "-\n" },
	{ "a=\xc3\xa9t\xc3\xa9",
	  "[{\"name\":\"a\",\"schema\":null,\"relation\":\"\xc3\xa9t\xc3\xa9\"}]", "-\n" },
	{ "import, Import",
	  "[{\"name\":\"import\",\"schema\":null,\"relation\":\"import\"},"
	  "{\"name\":\"Import\",\"schema\":null,\"relation\":\"Import\"}]",
	  "-\n-\n" },
	{ "users=User + posts + comments!author_id ,posts=Post+users,comments",
	  "[{\"name\":\"users\",\"schema\":null,\"relation\":\"User\"},"
	  "{\"name\":\"posts\",\"schema\":null,\"relation\":\"Post\"},"
	  "{\"name\":\"comments\",\"schema\":null,\"relation\":\"comments\"}]",
	  "posts,comments!author_id\nusers\n-\n" },
	{ "a+a", "[{\"name\":\"a\",\"schema\":null,\"relation\":\"a\"}]", "a\n" },
	{ "a+a ! b c", "[{\"name\":\"a\",\"schema\":null,\"relation\":\"a\"}]", "a!b c\n" },
	{ "a=t,b=t",
	  "[{\"name\":\"a\",\"schema\":null,\"relation\":\"t\"},"
	  "{\"name\":\"b\",\"schema\":null,\"relation\":\"t\"}]",
	  "-\n-\n" },
	{ LONG_63, "[{\"name\":\"" LONG_63 "\",\"schema\":null,\"relation\":\"" LONG_63 "\"}]",
	  "-\n" },
};

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		AUTO_STRBUF json = STRBUF_INIT, embeds = STRBUF_INIT;
		struct listed l;
		struct err err;

		if (!listed_read(&l, good[i].text, reserved, ARRAY_SIZE(reserved), &err))
			fail_msg("\"%s\": %s", good[i].text, err.text);
		listed_json(&json, &l);
		for (size_t k = 0; k < l.n; k++)
			strbuf_addf(&embeds, "%s\n",
				    l.resources[k].embeds ? l.resources[k].embeds : "-");
		if (strcmp(strbuf_str(&json), good[i].json) != 0 ||
		    strcmp(strbuf_str(&embeds), good[i].embeds) != 0)
			fail_msg("\"%s\": %s %s", good[i].text, strbuf_str(&json),
				 strbuf_str(&embeds));
		listed_clear(&l);
		assert_null(l.resources);
	}
}

static const struct {
	const char *text, *error;
} bad[] = {
	{ ",", "between two commas is nothing" },
	{ "a,,b", "between two commas is nothing" },
	{ "a,", "the list ends with a comma" },
	{ "=a", "between two commas is nothing" },
	{ "+a", "between two commas is nothing" },
	{ "a b", "\"a b\" cannot be a resource's name: it must be 1 to 63 letters" },
	{ "a/b=c", "\"a/b\" cannot be a resource's name" },
	{ "\xc3\xa9=c", "cannot be a resource's name" },
	{ ".=a", "\".\" cannot be" },
	{ "..=a", "\"..\" cannot be" },
	{ LONG_63 "x", "cannot be a resource's name" },
	{ "products", "\"products\" cannot be a resource's name: another route has that path. "
		      "Choose another name: other=products" },
	{ "a,health=b", "\"health\" cannot be" },
	{ "a,b,a", "\"a\" is there twice" },
	{ "a=b,a=c", "\"a\" is there twice" },
	{ "a=", "the table of \"a\" has no name" },
	{ "a=.b", "the table of \"a\" has no name" },
	{ "a=b.", "the table of \"a\" has no name" },
	{ "a=" LONG_63 "x", "more than 63 bytes" },
	{ "a=" LONG_63 "x.b", "more than 63 bytes" },
	{ "a+", "\"a\" has an embed without a name: write a+resource, or a+resource!column" },
	{ "a+b+,b", "without a name" },
	{ "a+!b,b", "without a name" },
	{ "a+b!,b", "without a name" },
	{ "a+b", "\"a\" embeds \"b\", which is no resource: list it too" },
	{ "a+b!c", "\"a\" embeds \"b\", which is no resource" },
	{ "a+b+c+b,b,c", "\"a\" embeds \"b\" twice" },
	{ "a+b!x+c+b!x,b,c", "\"a\" embeds \"b!x\" twice" },
	{ "a+a+a+a+a+a+a+a+a+a+a+a+a+a+a+a+a+a", "\"a\" has more than 16 embeds" },
};

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct listed l;
		struct err err;

		if (listed_read(&l, bad[i].text, reserved, ARRAY_SIZE(reserved), &err))
			fail_msg("\"%s\" is read", bad[i].text);
		if (strstr(err.text, bad[i].error) == NULL)
			fail_msg("\"%s\": %s, not %s", bad[i].text, err.text, bad[i].error);
	}
}

static void test_prefix(void **state)
{
	static const char *const right[] = { "/", "/api", "/api/v1.2", "/_-./x" };
	static const char *const wrong[] = { "",     "api",  "//", "/api/", "/a//b", "/a b",
					     "/a?b", "/%41", "/.", "/../x", "/a/..", "/\xc3\xa9" };
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(right); i++)
		if (!listed_check_prefix(right[i], &err))
			fail_msg("%s: %s", right[i], err.text);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		if (listed_check_prefix(wrong[i], &err))
			fail_msg("%s is a prefix", wrong[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_prefix),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
