/*
 * shape_route.c: where the changes of a table go, and the objects that they become. What is written is read
 * back by common/wire/change.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "api/relay/shape_route.h"
#include "tests/unit/tables_for_tests.h"

static void test_keys(void **state)
{
	static const struct {
		const char *stream, *schema, *name;
		bool flat;
		const char *sync, *delete;
	} rows[] = {
		{ "products", "public", "products", true, "products.sync", "products.delete" },
		/* Flat: the stream alone counts. */
		{ "products", "a.b", "*", true, "products.sync", "products.delete" },
		{ "rest", "public", "users", false, "public.users.sync", "public.users.delete" },
		{ "rest", "public", "products", false, "public.products.sync",
		  "public.products.delete" },
		{ "rest", "a.b", "c", false, "a%2Eb.c.sync", "a%2Eb.c.delete" },
		{ "rest", "a", "b.c", false, "a.b%2Ec.sync", "a.b%2Ec.delete" },
		{ "rest", ".", "..", false, "%2E.%2E%2E.sync", "%2E.%2E%2E.delete" },
		{ "rest", "*", "#", false, "%2A.%23.sync", "%2A.%23.delete" },
		{ "rest", "50%", "%2E", false, "50%25.%252E.sync", "50%25.%252E.delete" },
		{ "rest", "Sales", "Odd \"one\"", false, "Sales.Odd \"one\".sync",
		  "Sales.Odd \"one\".delete" },
		{ "rest", "s", "caf\xc3\xa9", false, "s.caf\xc3\xa9.sync", "s.caf\xc3\xa9.delete" },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct shape_route *r = shape_route_new(7);

		assert_int_equal(r->shape, 7);
		assert_false(r->known);
		shape_route_set(r, rows[i].stream, rows[i].schema, rows[i].name, rows[i].flat,
				"{}");
		assert_true(r->known);
		assert_int_equal(r->flat, rows[i].flat);
		assert_string_equal(r->keys[CHANGE_SYNC], rows[i].sync);
		assert_string_equal(r->keys[CHANGE_DELETE], rows[i].delete);
		shape_route_free(r);
	}
	shape_route_free(NULL);
	shape_route_free(shape_route_new(1));
}

/* The longest names that PostgreSQL has fit, also if nearly half of them is written longer. */
static void test_long_names(void **state)
{
	char name[64];
	struct shape_route *r = shape_route_new(1);
	(void)state;

	memset(name, 'n', sizeof(name) - 1);
	name[63] = '\0';
	memset(name, '.', 30);
	shape_route_set(r, "rest", name, name, false, "{}");
	assert_int_equal(strlen(r->keys[CHANGE_DELETE]), 2 * (63 + 2 * 30) + 1 + strlen(".delete"));
	assert_string_equal(strrchr(r->keys[CHANGE_DELETE], '.'), ".delete");
	shape_route_free(r);
}

static void test_bodies(void **state)
{
	static const struct {
		const char *what;
		bool flat;
		enum change_kind kind;
		int64_t version;
		const char *schema, *name, *text, *body;
	} rows[] = {
		{ "flat", true, CHANGE_SYNC, 7, "public", "products", "{\"id\":1,\"name\":\"a\"",
		  "{\"id\":1,\"name\":\"a\",\"version\":7}" },
		{ "a flat delete", true, CHANGE_DELETE, INT64_MAX, "public", "products",
		  "{\"id\":1", "{\"id\":1,\"version\":9223372036854775807}" },
		{ "a row", false, CHANGE_SYNC, 42, "public", "users", "{\"id\":1,\"name\":\"a\"",
		  "{\"table\":\"public.users\",\"version\":42,\"row\":{\"id\":1,\"name\":\"a\"}}" },
		{ "a key", false, CHANGE_DELETE, 43, "public", "users", "{\"id\":1",
		  "{\"table\":\"public.users\",\"version\":43,\"key\":{\"id\":1}}" },
		{ "a TRUNCATE", false, CHANGE_DELETE, 44, "public", "users", "",
		  "{\"table\":\"public.users\",\"version\":44}" },
		{ "names that need escapes", false, CHANGE_DELETE, 1, "a\\b", "c\"d.\n",
		  "{\"id\":1",
		  "{\"table\":\"a\\\\b.c\\\"d.\\n\",\"version\":1,\"key\":{\"id\":1}}" },
	};
	AUTO_STRBUF out = STRBUF_INIT;
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct shape_route *r = shape_route_new(1);
		/* What stands behind the text is another's. */
		AUTO_STRBUF text = STRBUF_INIT;

		strbuf_addf(&text, "%s,more", rows[i].text);
		shape_route_set(r, "rest", rows[i].schema, rows[i].name, rows[i].flat, "{}");
		strbuf_reset(&out);
		strbuf_addstr(&out, "[");
		shape_route_write(r, &out, rows[i].kind, rows[i].version, text.data,
				  strlen(rows[i].text));
		if (strcmp(out.data + 1, rows[i].body) != 0)
			print_error("row: %s\n", rows[i].what);
		assert_string_equal(out.data + 1, rows[i].body);
		shape_route_free(r);
	}
}

/* A route may be told anew what it is of. */
static void test_set_twice(void **state)
{
	struct shape_route *r = shape_route_new(1);
	AUTO_STRBUF out = STRBUF_INIT;
	(void)state;

	shape_route_set(r, "products", "public", "products", true, "{\"a\": 1}");
	shape_route_set(r, "rest", "s", "t", false, "{\"b\": 2}");
	assert_string_equal(r->keys[CHANGE_SYNC], "s.t.sync");
	assert_string_equal(r->truncate_key, "s.t.truncate");
	assert_string_equal(r->description, "{\"b\": 2}");
	shape_route_write(r, &out, CHANGE_SYNC, 1, "{\"a\":1", 6);
	assert_string_equal(out.data, "{\"table\":\"s.t\",\"version\":1,\"row\":{\"a\":1}}");
	shape_route_free(r);
}

/* What is written for a table is one of its changes. */
static void test_read_back(void **state)
{
	static const struct {
		bool odd;
		enum change_kind kind;
		const char *text;
	} rows[] = {
		{ false, CHANGE_DELETE, "{\"id\":\"00000000-0000-0000-0000-000000000001\"" },
		{ true, CHANGE_DELETE, "{\"Region \\\"x\\\"\":\"eu\",\"select\":-3,\"count\":9" },
		{ true, CHANGE_SYNC,
		  "{\"Region \\\"x\\\"\":\"eu\",\"select\":-3,\"count\":9,\"n\xc3\xb6te\":\"\"" },
	};
	struct table *tables[] = { products_for_tests(), odd_for_tests() };
	struct change_arena arena = { 0 };
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct table *t = tables[rows[i].odd];
		struct shape_route *r = shape_route_new(t->shape);
		AUTO_STRBUF out = STRBUF_INIT;
		struct jscan_value v;
		struct change c;
		struct err err = { .text = "" };

		shape_route_set(r, t->stream, t->schema, t->name, t->flat, "{}");
		shape_route_write(r, &out, rows[i].kind, 17, rows[i].text, strlen(rows[i].text));
		if (!jscan_document(out.data, out.len, &v, &err) ||
		    !change_read(t, &v, rows[i].kind, out.data, &arena, &c, &err))
			fail_msg("%s: %s", out.data, err.text);
		assert_int_equal(c.version, 17);
		shape_route_free(r);
	}
	change_arena_clear(&arena);
	table_free(tables[0]);
	table_free(tables[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),	  cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_bodies),	  cmocka_unit_test(test_set_twice),
		cmocka_unit_test(test_read_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
