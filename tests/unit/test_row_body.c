/*
 * row_body.c: what capture wrote becomes JSON. What is written is read back by common/wire/change.c, and
 * what cannot be read is refused there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/relay/row_body.h"
#include "tests/unit/tables_for_tests.h"

#define BYTES(literal) literal, sizeof(literal) - 1

/* In the order of a record: the key's first column, then the others. A flag in front of a fixed size. */
#define REGION "eu\0"
#define COUNT  "\x7f\xff\xff\xff\xff\xff\xff\xff"
#define TENANT "\xff\xff\xff\xfd"
#define NO_12  /* 7 of fixed size, 5 texts, in their order */ \
	"\0\0\0\0\0"                                          \
	"\xff\0\xff\0\xff\0\xff\0\xff\0"
#define KEY_JSON "\"Region \\\"x\\\"\":\"eu\",\"count\":9223372036854775807,\"select\":-3"

static const struct {
	const char *what;
	bool odd;
	enum change_kind kind;
	const char *body;
	size_t len;
	const char *json;
} rows[] = {
	{ "products", false, CHANGE_SYNC,
	  BYTES("\0\1\2\3\4\5\6\7\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"
		"Mouton \"Cadet\"\0"
		"151.90\0"
		"\0\0\1\xb1"
		"\0\0\0\0\0\0\0\0"
		"\xff\xff\xff\xff\xff\xff\xff\xff"),
	  "{\"id\":\"00010203-0405-0607-0809-0a0b0c0d0e0f\",\"name\":\"Mouton \\\"Cadet\\\"\","
	  "\"price\":151.90,\"stock\":433,\"createdAt\":\"2000-01-01T00:00:00.000000Z\","
	  "\"updatedAt\":\"1999-12-31T23:59:59.999999Z\"" },
	{ "a product's key", false, CHANGE_DELETE,
	  BYTES("\0\1\2\3\4\5\6\7\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"),
	  "{\"id\":\"00010203-0405-0607-0809-0a0b0c0d0e0f\"" },
	{ "a key of three", true, CHANGE_DELETE, BYTES(REGION COUNT TENANT), "{" KEY_JSON },
	{ "NULL wherever it may be", true, CHANGE_SYNC, BYTES(REGION COUNT TENANT NO_12),
	  "{" KEY_JSON },
	{ "nothing NULL", true, CHANGE_SYNC,
	  BYTES(REGION COUNT TENANT
		"\1\1"
		"\1\xff\xff\x80\0"
		"\1\x80\0\0\0\0\0\0\0"
		"\1\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
		"\1\x7f\xff\xff\xff\xff\xff\xff\xff"
		"NaN\0"
		"{\"a\": [1, \"\xc3\xb6\"]}\0"
		"\0"
		"1 day -00:00:01\0"
		"ab \0"),
	  "{" KEY_JSON ",\"flag\":true,\"small\":-32768,\"big\":-9223372036854775808,"
	  "\"id\":\"ffffffff-ffff-ffff-ffff-ffffffffffff\",\"at\":\"infinity\",\"amount\":\"NaN\","
	  "\"data\":{\"a\": [1, \"\xc3\xb6\"]},\"n\xc3\xb6te\":\"\","
	  "\"back\\\\slash\":\"1 day -00:00:01\",\"code\":\"ab \"" },
	{ "what four digits cannot hold, and a number", true, CHANGE_SYNC,
	  BYTES("\0" COUNT TENANT "\1\0"
		"\0\0\0"
		"\1\x03\x80\xe7\x0b\x91\x3b\x80\x00"
		"-1e+20\0null\0"
		"\x01\t\0\xff\0\xff\0"),
	  "{\"Region \\\"x\\\"\":\"\",\"count\":9223372036854775807,\"select\":-3,\"flag\":false,"
	  "\"at\":\"10000-01-01T00:00:00.000000Z AD\",\"amount\":-1e+20,\"data\":null,"
	  "\"n\xc3\xb6te\":\"\\u0001\\t\"" },
};

static bool read_back(const struct table *t, enum change_kind kind, const char *json,
		      struct change *ret, struct err *err)
{
	struct change_arena arena = { 0 };
	AUTO_STRBUF whole = STRBUF_INIT;
	struct jscan_value v;

	strbuf_addf(&whole, t->flat ? "%s%s,\"version\":17}" : "%s%s},\"version\":17}",
		    t->flat		    ? ""
		    : kind == CHANGE_DELETE ? "{\"key\":"
					    : "{\"row\":",
		    json);
	bool ok = jscan_document(whole.data, whole.len, &v, err) &&
		  change_read(t, &v, kind, whole.data, &arena, ret, err);
	change_arena_clear(&arena);
	return ok;
}

static void test_objects(void **state)
{
	struct table *tables[] = { products_for_tests(), odd_for_tests() };
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct table *t = tables[rows[i].odd];
		struct row_body *b = row_body_new(t);
		AUTO_STRBUF out = STRBUF_INIT;
		struct err err = { .text = "" };
		struct change c;

		row_body_write(b, &out, rows[i].kind, rows[i].body, rows[i].len);
		if (strcmp(strbuf_str(&out), rows[i].json) != 0)
			print_error("row: %s\n", rows[i].what);
		assert_string_equal(strbuf_str(&out), rows[i].json);
		if (!read_back(t, rows[i].kind, out.data, &c, &err))
			fail_msg("%s: %s", rows[i].what, err.text);
		assert_int_equal(c.version, 17);
		row_body_free(b);
	}
	table_free(tables[0]);
	table_free(tables[1]);
}

/* What ends early or late is refused, says why, and is in a message that can be read. */
static void test_what_is_not_whole(void **state)
{
	struct table *tables[] = { products_for_tests(), odd_for_tests() };
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct table *t = tables[rows[i].odd];
		struct row_body *b = row_body_new(t);

		for (size_t len = 0; len <= rows[i].len + 1; len++) {
			/* Of its own size, so that a sanitizer sees who reads behind it. */
			char *body = xcalloc(1, len + (len == 0));
			AUTO_STRBUF out = STRBUF_INIT;
			struct err err = { .text = "" };
			struct change c;

			memcpy(body, rows[i].body, min_size(len, rows[i].len));
			row_body_write(b, &out, rows[i].kind, body, len);
			bool ok = read_back(t, rows[i].kind, out.data, &c, &err);
			if (ok != (len == rows[i].len) ||
			    (!ok && strstr(err.text, "this record of pgfanout.outbox") == NULL))
				fail_msg("%s, %zu bytes: %s: %s", rows[i].what, len, out.data,
					 err.text);
			free(body);
		}
		row_body_free(b);
	}
	row_body_free(NULL);
	table_free(tables[0]);
	table_free(tables[1]);
}

/* What no message can hold: the whole key, wherever its parts stand, and what is no member of any table. The
 * row is refused, and it is known which one it is. */
static void test_too_large(void **state)
{
	struct table *tables[] = { products_for_tests(), odd_for_tests() };
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct table *t = tables[rows[i].odd];
		struct change_arena arena = { 0 };
		AUTO_STRBUF whole = STRBUF_INIT;
		struct jscan_value v;
		struct err err;
		struct change c;

		if (rows[i].kind == CHANGE_DELETE)
			continue;
		struct row_body *b = row_body_new(t);
		strbuf_addstr(&whole, t->flat ? "" : "{\"row\":");
		row_body_write_large(b, &whole, rows[i].body, rows[i].len);
		strbuf_addstr(&whole, t->flat ? ",\"version\":17}" : "},\"version\":17}");
		assert_true(jscan_document(whole.data, whole.len, &v, &err));
		assert_false(change_read(t, &v, CHANGE_SYNC, whole.data, &arena, &c, &err));
		assert_non_null(strstr(err.text, "the row is too large for a message"));
		assert_true(change_identify(t, &v, whole.data, &arena, &c));
		assert_int_equal(c.version, 17);
		assert_null(strstr(whole.data, t->flat ? "price" : "flag"));
		change_arena_clear(&arena);
		row_body_free(b);
	}
	table_free(tables[0]);
	table_free(tables[1]);
}

/* Whatever was written into the outbox by hand: an object comes out, and nothing is read but the body. */
static void test_any_bytes(void **state)
{
	struct table *tables[] = { products_for_tests(), odd_for_tests() };
	struct row_body *bodies[] = { row_body_new(tables[0]), row_body_new(tables[1]) };
	(void)state;

	srand48(4711);
	for (size_t i = 0; i < 200000; i++) {
		size_t row = (size_t)lrand48() % ARRAY_SIZE(rows), len = rows[row].len;
		char *body = xcalloc(1, len);
		AUTO_STRBUF out = STRBUF_INIT;

		memcpy(body, rows[row].body, len);
		for (long n = lrand48() % 4; n >= 0; n--)
			body[(size_t)lrand48() % len] = (char)(lrand48() % 3   ? lrand48()
							       : lrand48() % 2 ? 0
									       : 0xff);
		row_body_write(bodies[lrand48() % 2], &out,
			       lrand48() % 2 ? CHANGE_SYNC : CHANGE_DELETE, body, len);
		assert_int_equal(out.data[0], '{');
		assert_true(out.len < 1000);
		free(body);
	}
	for (size_t i = 0; i < 2; i++) {
		row_body_free(bodies[i]);
		table_free(tables[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_objects),
		cmocka_unit_test(test_what_is_not_whole),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_any_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
