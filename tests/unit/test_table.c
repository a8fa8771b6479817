/*
 * table.c: what a description says, and what is none. Under the address sanitizer: nothing is left
 * behind either way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/tables_for_tests.h"

static void test_products(void **state)
{
	static const struct {
		int att;
		const char *name, *member, *quoted, *type;
		enum table_form form;
		int key;
	} columns[PRODUCTS_COLUMNS] = {
		{ 1, "id", "id", "\"id\"", "uuid", TABLE_UUID, 0 },
		{ 2, "name", "name", "\"name\"", "text", TABLE_STRING, -1 },
		{ 3, "price", "price", "\"price\"", "numeric", TABLE_NUMBER, -1 },
		{ 4, "stock", "stock", "\"stock\"", "integer", TABLE_INT4, -1 },
		{ 5, "created_at", "createdAt", "\"createdAt\"", "timestamp with time zone",
		  TABLE_TIMESTAMPTZ, -1 },
		{ 6, "updated_at", "updatedAt", "\"updatedAt\"", "timestamp with time zone",
		  TABLE_TIMESTAMPTZ, -1 },
	};
	struct table *t = products_for_tests();
	(void)state;

	assert_int_equal(t->id, 1);
	assert_int_equal(t->shape, 1);
	assert_string_equal(t->stream, "products");
	assert_string_equal(t->schema, "public");
	assert_string_equal(t->name, "products");
	assert_string_equal(t->full, "public.products");
	assert_string_equal(t->version, "version");
	assert_true(t->flat);
	assert_true(t->plain);
	assert_int_equal(t->ncolumns, PRODUCTS_COLUMNS);
	for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
		const struct table_column *c = &t->columns[i];

		assert_int_equal(c->att, columns[i].att);
		assert_string_equal(c->name, columns[i].name);
		assert_string_equal(c->member, columns[i].member);
		assert_string_equal(c->quoted, columns[i].quoted);
		assert_int_equal(c->quoted_len, strlen(columns[i].quoted));
		assert_string_equal(c->type, columns[i].type);
		assert_int_equal(c->form, columns[i].form);
		assert_true(c->not_null);
		assert_int_equal(c->key, columns[i].key);
		assert_string_equal(c->equal, columns[i].key < 0 ? "" : "OPERATOR(pg_catalog.=)");
	}
	assert_int_equal(t->nkey, 1);
	assert_int_equal(t->key[0], PRODUCTS_ID);
	assert_null(table_free(t));
}

/* A key of several columns, not in their order; columns that were dropped leave gaps. */
static void test_a_composite_key(void **state)
{
	static const int keys[ODD_COLUMNS] = {
		[ODD_REGION] = 1, [ODD_TENANT] = 2, [ODD_COUNT] = 3
	}; /* from 1 on */
	struct table *t = odd_for_tests();
	(void)state;

	assert_int_equal(t->id, 7);
	assert_int_equal(t->shape, 12);
	assert_string_equal(t->full, "Sales.Odd \"one\"");
	assert_false(t->flat);
	assert_false(t->plain);
	assert_int_equal(t->ncolumns, ODD_COLUMNS);
	assert_int_equal(t->nkey, 3);
	assert_int_equal(t->key[0], ODD_REGION);
	assert_int_equal(t->key[1], ODD_TENANT);
	assert_int_equal(t->key[2], ODD_COUNT);
	for (size_t i = 0; i < ODD_COLUMNS; i++) {
		assert_int_equal(t->columns[i].key, keys[i] - 1);
		assert_int_equal(t->columns[i].not_null, keys[i] > 0);
	}
	assert_int_equal(t->columns[ODD_ID].att, 9);
	assert_string_equal(t->columns[ODD_REGION].name, "Region \"x\"");
	assert_string_equal(t->columns[ODD_SPAN].name, "back\\slash");
	assert_int_equal(t->columns[ODD_SPAN].form, TABLE_TEXT);
	assert_string_equal(t->columns[ODD_CODE].type, "character(3)");
	table_free(t);
}

static void test_forms(void **state)
{
	static const struct {
		const char *form, *array;
		enum pgarray_type type;
		int32_t oid;
	} rows[TABLE_FORMS] = {
		[TABLE_BOOLEAN] = { "boolean", "boolean[]", PGARRAY_BOOL, 1000 },
		[TABLE_INT4] = { "int4", "integer[]", PGARRAY_INT4, 1007 },
		[TABLE_INT8] = { "int8", "bigint[]", PGARRAY_INT8, 1016 },
		[TABLE_UUID] = { "uuid", "uuid[]", PGARRAY_UUID, 2951 },
		[TABLE_TIMESTAMPTZ] = { "timestamptz", "timestamptz[]", PGARRAY_TIMESTAMPTZ, 1185 },
		[TABLE_NUMBER] = { "number", "text[]", PGARRAY_TEXT, 1009 },
		[TABLE_JSON] = { "json", "text[]", PGARRAY_TEXT, 1009 },
		[TABLE_STRING] = { "string", "text[]", PGARRAY_TEXT, 1009 },
		[TABLE_TEXT] = { "text", "text[]", PGARRAY_TEXT, 1009 },
	};
	(void)state;

	for (int form = 0; form < TABLE_FORMS; form++) {
		char description[500];

		snprintf(
			description, sizeof(description),
			"{\"table\": 1, \"stream\": \"s\", \"schema\": \"s\", \"name\": \"t\", \"version\": "
			"\"v\", \"key\": [1], \"columns\": [{\"att\": 1, \"name\": \"c\", \"member\": \"c\","
			" \"type\": \"x\", \"form\": \"%s\", \"equal\": \"=\"}]}",
			rows[form].form);
		struct table *t = table_for_tests(1, description);
		assert_int_equal(t->columns[0].form, form);
		assert_string_equal(table_array_name(t->columns[0].form), rows[form].array);
		assert_int_equal(table_array_type(t->columns[0].form), rows[form].type);
		assert_int_equal(table_array_oid(t->columns[0].form), rows[form].oid);
		/* What is not said is false. */
		assert_false(t->flat || t->plain || t->columns[0].not_null);
		table_free(t);
	}
}

#define HEAD \
	"\"table\": 1, \"stream\": \"s\", \"schema\": \"s\", \"name\": \"t\", \"version\": \"v\""
#define ID \
	"{\"att\": 1, \"name\": \"id\", \"member\": \"id\", \"type\": \"uuid\", \"form\": \"uuid\", \"equal\": \"=\"}"
#define BODY ", \"key\": [1], \"columns\": [" ID "]}"

static void test_what_is_no_description(void **state)
{
	static const char no_column[] = "a column has no number, name, member, type or form";
	static const char no_name[] = "table, stream, schema, name or version is missing";
	static const char no_key[] = "there is no key";
	static const char not_described[] = "a column of the key is not described";
	static const struct {
		const char *description, *error;
	} rows[] = {
		{ "{" HEAD BODY, NULL },
		{ "", "it is no JSON: " },
		{ "{" HEAD, "it is no JSON: " },
		{ "{" HEAD ", \"name\": \"u\"" BODY, "it is no JSON: duplicate" },
		{ "{" HEAD BODY " x", "it is no JSON: " },
		{ "[]", no_name },
		{ "{}", no_name },
		{ "{\"stream\": \"s\", \"schema\": \"s\", \"name\": \"t\", \"version\": \"v\"" BODY,
		  no_name },
		{ "{\"table\": 0, \"stream\": \"s\", \"schema\": \"s\", \"name\": \"t\", \"version\": \"v\"" BODY,
		  no_name },
		{ "{\"table\": \"1\", \"stream\": \"s\", \"schema\": \"s\", \"name\": \"t\", \"version\": \"v\"" BODY,
		  no_name },
		{ "{\"table\": 1, \"schema\": \"s\", \"name\": \"t\", \"version\": \"v\"" BODY,
		  no_name },
		{ "{\"table\": 1, \"stream\": \"s\", \"name\": \"t\", \"version\": \"v\"" BODY,
		  no_name },
		{ "{\"table\": 1, \"stream\": \"s\", \"schema\": \"s\", \"version\": \"v\"" BODY,
		  no_name },
		{ "{\"table\": 1, \"stream\": \"s\", \"schema\": \"s\", \"name\": \"t\"" BODY,
		  no_name },
		{ "{\"table\": 1, \"stream\": \"s\", \"schema\": \"s\", \"name\": \"\", \"version\": \"v\"" BODY,
		  no_name },
		{ "{" HEAD "}", no_key },
		{ "{" HEAD ", \"columns\": [" ID "]}", no_key },
		{ "{" HEAD ", \"key\": [], \"columns\": [" ID "]}", no_key },
		{ "{" HEAD ", \"key\": 1, \"columns\": [" ID "]}", no_key },
		{ "{" HEAD ", \"key\": [1]}", not_described },
		{ "{" HEAD ", \"key\": [2], \"columns\": [" ID "]}", not_described },
		{ "{" HEAD ", \"key\": [1, 2], \"columns\": [" ID "]}", not_described },
		{ "{" HEAD
		  ", \"key\": [1], \"columns\": [{\"att\": 1, \"name\": \"id\", \"member\": \"id\","
		  " \"type\": \"uuid\", \"form\": \"uuid\"}]}",
		  not_described }, /* not how its values are compared */
		{ "{" HEAD ", \"key\": [1], \"columns\": [" ID ", 7]}", no_column },
		{ "{" HEAD ", \"key\": [1], \"columns\": [" ID ", {}]}", no_column },
		{ "{" HEAD ", \"key\": [1], \"columns\": [" ID
		  ", {\"name\": \"a\", \"member\": \"a\","
		  " \"type\": \"text\", \"form\": \"string\"}]}",
		  no_column },
		{ "{" HEAD ", \"key\": [1], \"columns\": [" ID ", {\"att\": 2, \"member\": \"a\","
		  " \"type\": \"text\", \"form\": \"string\"}]}",
		  no_column },
		{ "{" HEAD ", \"key\": [1], \"columns\": [" ID ", {\"att\": 2, \"name\": \"a\","
		  " \"type\": \"text\", \"form\": \"string\"}]}",
		  no_column },
		{ "{" HEAD ", \"key\": [1], \"columns\": [" ID ", {\"att\": 2, \"name\": \"a\","
		  " \"member\": \"a\", \"form\": \"string\"}]}",
		  no_column },
		{ "{" HEAD ", \"key\": [1], \"columns\": [" ID ", {\"att\": 2, \"name\": \"a\","
		  " \"member\": \"a\", \"type\": \"text\"}]}",
		  no_column },
		{ "{" HEAD ", \"key\": [1], \"columns\": [" ID ", {\"att\": 2, \"name\": \"a\","
		  " \"member\": \"a\", \"type\": \"text\", \"form\": \"strings\"}]}",
		  no_column },
		{ "{" HEAD ", \"key\": [1], \"columns\": [" ID ", {\"att\": 2, \"name\": 7,"
		  " \"member\": \"a\", \"type\": \"text\", \"form\": \"string\"}]}",
		  no_column },
	};
	static const char prefix[] = "the description of shape 12 cannot be read: ";
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct err err = { .text = "" };
		struct table *t = table_read(12, rows[i].description, &err);

		if ((t != NULL) != (rows[i].error == NULL))
			fail_msg("%s: %s", rows[i].description, t ? "read" : err.text);
		if (rows[i].error != NULL &&
		    (strncmp(err.text, prefix, strlen(prefix)) != 0 ||
		     strncmp(err.text + strlen(prefix), rows[i].error, strlen(rows[i].error)) != 0))
			fail_msg("%s: says \"%s\"", rows[i].description, err.text);
		assert_null(table_free(t));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_products),
		cmocka_unit_test(test_a_composite_key),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_what_is_no_description),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
