/*
 * shape_route.c: where the changes of a table go, and what they are there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "api/relay/shape_route.h"
#include "common/json/jscan.h"
#include "tests/unit/tables_for_tests.h"

/* Of a table with a key id, and a text. The caller's. */
static struct shape_route *route_of(const char *stream, const char *schema, const char *name,
				    bool flat)
{
	struct shape_route *r = shape_route_new(7);
	AUTO_STRBUF description = STRBUF_INIT;
	struct err err;

	strbuf_addf(&description, "{\"table\": 3, \"stream\": \"%s\", \"schema\": ", stream);
	jscan_write_string(&description, schema, strlen(schema));
	strbuf_addstr(&description, ", \"name\": ");
	jscan_write_string(&description, name, strlen(name));
	strbuf_addf(&description,
		    ", \"flat\": %s, \"version\": \"version\", \"key\": [1], \"columns\": ["
		    "{\"att\": 1, \"name\": \"id\", \"member\": \"id\", \"type\": \"integer\","
		    " \"form\": \"int4\", \"notnull\": true, \"equal\": \"=\"},"
		    "{\"att\": 2, \"name\": \"name\", \"member\": \"name\", \"type\": \"text\","
		    " \"form\": \"string\", \"notnull\": true}]}",
		    flat ? "true" : "false");
	assert_false(r->known);
	if (!shape_route_set(r, strbuf_str(&description), &err))
		fail_msg("%s", err.text);
	assert_true(r->known);
	return r;
}

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
		struct shape_route *r = route_of(rows[i].stream, rows[i].schema, rows[i].name,
						 rows[i].flat);

		assert_int_equal(r->shape, 7);
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
	(void)state;

	memset(name, 'n', sizeof(name) - 1);
	name[63] = '\0';
	memset(name, '.', 30);
	struct shape_route *r = route_of("rest", name, name, false);
	assert_int_equal(strlen(r->keys[CHANGE_DELETE]), 2 * (63 + 2 * 30) + 1 + strlen(".delete"));
	assert_string_equal(strrchr(r->keys[CHANGE_DELETE], '.'), ".delete");
	shape_route_free(r);
}

static void test_objects(void **state)
{
	static const struct {
		const char *what;
		bool flat;
		enum change_kind kind;
		int64_t version;
		const char *schema, *name, *body;
		size_t len;
		const char *object;
	} rows[] = {
		{ "flat", true, CHANGE_SYNC, 7, "public", "products", "\0\0\0\1a\0", 6,
		  "{\"id\":1,\"name\":\"a\",\"version\":7}" },
		{ "a flat delete", true, CHANGE_DELETE, INT64_MAX, "public", "products", "\0\0\0\1",
		  4, "{\"id\":1,\"version\":9223372036854775807}" },
		{ "a row", false, CHANGE_SYNC, 42, "public", "users", "\0\0\0\1a\0", 6,
		  "{\"table\":\"public.users\",\"version\":42,\"row\":{\"id\":1,\"name\":\"a\"}}" },
		{ "a key", false, CHANGE_DELETE, 43, "public", "users", "\0\0\0\1", 4,
		  "{\"table\":\"public.users\",\"version\":43,\"key\":{\"id\":1}}" },
		{ "a TRUNCATE", false, CHANGE_DELETE, 44, "public", "users", NULL, 0,
		  "{\"table\":\"public.users\",\"version\":44}" },
		{ "names that need escapes", false, CHANGE_DELETE, 1, "a\\b", "c\"d.\n", "\0\0\0\1",
		  4, "{\"table\":\"a\\\\b.c\\\"d.\\n\",\"version\":1,\"key\":{\"id\":1}}" },
	};
	AUTO_STRBUF out = STRBUF_INIT;
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct shape_route *r = route_of("rest", rows[i].schema, rows[i].name,
						 rows[i].flat);

		strbuf_reset(&out);
		strbuf_addstr(&out, "[");
		shape_route_write(r, &out, rows[i].kind, rows[i].version, rows[i].body,
				  rows[i].len);
		if (strcmp(out.data + 1, rows[i].object) != 0)
			print_error("row: %s\n", rows[i].what);
		assert_string_equal(out.data + 1, rows[i].object);
		shape_route_free(r);
	}
}

/* A route may be told anew what it is of; what is no description changes nothing. */
static void test_set_twice(void **state)
{
	struct shape_route *r = route_of("products", "public", "products", true);
	struct err err = { .text = "" };
	AUTO_STRBUF out = STRBUF_INIT;
	(void)state;

	assert_true(shape_route_set(r, PRODUCTS_DESCRIPTION, &err));
	assert_string_equal(r->keys[CHANGE_SYNC], "products.sync");
	assert_true(shape_route_set(r, ODD_DESCRIPTION, &err));
	assert_false(shape_route_set(r, "{}", &err));
	assert_non_null(strstr(err.text, "the description of shape 7 cannot be read"));
	assert_string_equal(r->keys[CHANGE_SYNC], "Sales.Odd \"one\".sync");
	assert_string_equal(r->truncate_key, "Sales.Odd \"one\".truncate");
	assert_string_equal(r->description, ODD_DESCRIPTION);
	shape_route_write(r, &out, CHANGE_DELETE, 1, "eu\0\0\0\0\0\0\0\0\t\xff\xff\xff\xfd", 15);
	assert_string_equal(out.data, "{\"table\":\"Sales.Odd \\\"one\\\"\",\"version\":1,\"key\":"
				      "{\"Region \\\"x\\\"\":\"eu\",\"count\":9,\"select\":-3}}");
	shape_route_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_objects),
		cmocka_unit_test(test_set_twice),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
