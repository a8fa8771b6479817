/*
 * table_sql.c: the scripts for a replica, as text (golden_for_tests.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/wire/table_sql.h"
#include "tests/unit/golden_for_tests.h"
#include "tests/unit/tables_for_tests.h"

static void test_products(void **state)
{
	struct table *t = products_for_tests();
	AUTO_STRBUF out = STRBUF_INIT;
	(void)state;

	table_sql_apply(&out, t, "public.products", 1);
	check_golden("apply_products", &out);
	table_free(t);
}

/* A key of several columns, names with quotes and of keywords, and keys whose texts say nothing. */
static void test_odd(void **state)
{
	struct table *t = odd_for_tests();
	AUTO_STRBUF out = STRBUF_INIT;
	(void)state;

	table_sql_apply(&out, t, "\"Sales\".\"Odd \"\"one\"\"\"", 2);
	check_golden("apply_odd", &out);
	table_free(t);
}

/* All columns are of the key: there is nothing to set but the version. */
static void test_nothing_but_a_key(void **state)
{
	struct table *t = table_for_tests(
		20,
		"{\"table\": 9, \"stream\": \"rest\", \"schema\": \"s\", \"name\": \"pairs\","
		" \"version\": \"pgfanout_version\", \"key\": [2, 1], \"plain\": true, \"columns\": [" ODD_COLUMN(
			1, "a", "integer", "int4", ODD_KEY) "," ODD_COLUMN(2, "b", "character(3)",
									   "string", ODD_KEY) "]}");
	AUTO_STRBUF out = STRBUF_INIT;
	(void)state;

	table_sql_apply(&out, t, "s.pairs", 2);
	check_golden("apply_pairs", &out);
	table_free(t);
}

/* A name that would end the body of a function. */
static void test_names_end_nothing(void **state)
{
	struct table *t = table_for_tests(
		21,
		"{\"table\": 9, \"stream\": \"rest\", \"schema\": \"s\", \"name\": \"t\","
		" \"version\": \"v$pgfanout1$\", \"key\": [1], \"plain\": true, \"columns\": [" ODD_COLUMN(
			1, "$pgfanout$; SELECT", "integer", "int4", ODD_KEY) "]}");
	AUTO_STRBUF out = STRBUF_INIT;
	size_t tags = 0;
	(void)state;

	table_sql_apply(&out, t, "s.t", 2);
	for (const char *p = out.data; (p = strstr(p, "$pgfanout2$")) != NULL; p++)
		tags++;
	assert_int_equal(tags, 6); /* around three functions */
	assert_null(strstr(out.data, "AS $pgfanout$"));
	table_free(t);
}

struct column_spec {
	int att;
	const char *name, *type, *form;
};

/* The first column is the key, unless another number is named. */
static struct table *shape_of(int shape, const char *schema, const char *name, int key,
			      const struct column_spec *columns, size_t n)
{
	AUTO_STRBUF text = STRBUF_INIT;

	strbuf_addf(&text,
		    "{\"table\": 9, \"stream\": \"rest\", \"schema\": \"%s\", \"name\": \"%s\","
		    " \"version\": \"v\", \"key\": [%d], \"plain\": true, \"columns\": [",
		    schema, name, key);
	for (size_t i = 0; i < n; i++)
		strbuf_addf(
			&text,
			"%s{\"att\": %d, \"name\": \"%s\", \"member\": \"%s\", \"type\": \"%s\","
			" \"form\": \"%s\", \"notnull\": false%s}",
			i > 0 ? ", " : "", columns[i].att, columns[i].name, columns[i].name,
			columns[i].type, columns[i].form,
			columns[i].att == key ? ", \"equal\": \"OPERATOR(pg_catalog.=)\"" : "");
	strbuf_addstr(&text, "]}");
	return table_for_tests(shape, strbuf_str(&text));
}

/* Names that were swapped, a key that has another name, a column that came, one that went, and types of the
 * same kind and of another. */
static void test_another_shape(void **state)
{
	static const struct column_spec before[] = {
		{ 1, "id", "integer", "int4" }, { 2, "a", "text", "string" },
		{ 3, "b", "text", "string" },	{ 4, "gone", "text", "string" },
		{ 5, "n", "integer", "int4" },	{ 6, "m", "integer", "int4" },
	};
	static const struct column_spec after[] = {
		{ 1, "no", "integer", "int4" },
		{ 2, "b", "text", "string" },
		{ 3, "a", "character varying(9)", "string" },
		{ 5, "n", "bigint", "int8" },
		{ 6, "m", "text", "string" },
		{ 7, "new", "inet", "text" },
	};
	static const char *const here[] = { "no", "b", "a", NULL, "n", NULL };
	struct table *was = shape_of(30, "public", "t", 1, before, ARRAY_SIZE(before)),
		     *now = shape_of(31, "else", "u", 1, after, ARRAY_SIZE(after));
	AUTO_STRBUF out = STRBUF_INIT;
	(void)state;

	assert_true(table_sql_columns(&out, was, now, "public.t"));
	table_sql_rest(&out, was, now, "public.t");
	table_follow(was, now);
	for (size_t i = 0; i < ARRAY_SIZE(here); i++) {
		const char *got = was->columns[i].here;

		if (here[i] == NULL ? got != NULL : got == NULL || strcmp(got, here[i]) != 0)
			fail_msg("column %zu is %s here", i, got);
	}
	table_sql_apply(&out, was, "\"else\".u", 2);
	check_golden("change", &out);
	table_free(was);
	table_free(now);
}

static void test_what_needs_no_load(void **state)
{
	static const struct column_spec two[] = { { 1, "id", "integer", "int4" },
						  { 2, "a", "text", "string" } },
					one[] = { { 1, "no", "integer", "int4" } };
	struct table *was = shape_of(30, "public", "t", 1, two, 2),
		     *renamed = shape_of(31, "public", "t", 1, one, 1),
		     *other_key = shape_of(32, "public", "t", 2, two, 2);
	AUTO_STRBUF out = STRBUF_INIT, key = STRBUF_INIT;
	(void)state;

	assert_false(table_sql_columns(&out, was, renamed, "public.t"));
	table_sql_rest(&key, was, other_key, "public.t");
	assert_non_null(strstr(key.data, "DROP TABLE pgfanout.tombstones_9;"));
	strbuf_reset(&key);
	table_sql_key(&key, "make_key", other_key, "\"a'b\".t");
	assert_string_equal(
		key.data,
		"SELECT pgfanout.make_key(E'\"a''b\".t'::regclass, ARRAY[E'a']::text[]);\n");
	table_free(was);
	table_free(renamed);
	table_free(other_key);
}

static void test_tables(void **state)
{
	struct table *t = products_for_tests(), *o = odd_for_tests();
	AUTO_STRBUF products = STRBUF_INIT, name = STRBUF_INIT, created = STRBUF_INIT;
	(void)state;

	table_sql_name(&products, t);
	assert_string_equal(products.data, "\"public\".\"products\"");
	table_sql_name(&name, o);
	assert_string_equal(name.data, "\"Sales\".\"Odd \"\"one\"\"\"");
	table_sql_create(&created, t, products.data);
	table_sql_create(&created, o, name.data);
	check_golden("create", &created);
	table_free(t);
	table_free(o);
}

/* Both ends of a load have the same columns in the same order. */
static void test_copy(void **state)
{
	struct table *t = products_for_tests(), *o = odd_for_tests();
	AUTO_STRBUF out = STRBUF_INIT;
	(void)state;

	table_sql_copy_out(&out, t, "public.products", NULL);
	strbuf_addstr(&out, ";\n");
	table_sql_copy_in(&out, t, "public.products_new");
	strbuf_addstr(&out, ";\n");
	table_sql_copy_out(&out, o, "\"Sales\".\"Odd \"\"one\"\"\"", "flag OR small % 2 = 0");
	strbuf_addstr(&out, ";\n");
	table_sql_copy_in(&out, o, "\"Sales\".new");
	strbuf_addstr(&out, ";\n");
	check_golden("copy", &out);
	table_free(t);
	table_free(o);
}

static void test_difference(void **state)
{
	struct table *t = products_for_tests(), *o = odd_for_tests();
	AUTO_STRBUF out = STRBUF_INIT;
	(void)state;

	table_sql_difference(&out, t, "public.products", "public.products_new");
	strbuf_addstr(&out, ";\n");
	table_sql_difference(&out, o, "\"Sales\".\"Odd \"\"one\"\"\"", "\"Sales\".new");
	strbuf_addstr(&out, ";\n");
	check_golden("difference", &out);
	table_free(t);
	table_free(o);
}

static void test_arrive(void **state)
{
	AUTO_STRBUF out = STRBUF_INIT;
	(void)state;

	table_sql_arrive(&out, 3);
	check_golden("arrive", &out);
}

static void test_call(void **state)
{
	struct table *t = odd_for_tests();
	AUTO_STRBUF out = STRBUF_INIT;
	(void)state;

	assert_int_equal(TABLE_APPLY_PARAMS, 10);
	table_sql_call(&out, t);
	assert_string_equal(
		out.data,
		"SELECT pgfanout.apply_12($1::text, $2::bigint[], $3::xid8[], "
		"$4::boolean[], $5::pgfanout.columns_12, $6::boolean, $7::bigint[], $8::jsonb, "
		"$9::bigint, $10::bigint)");
	table_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_products),
		cmocka_unit_test(test_odd),
		cmocka_unit_test(test_nothing_but_a_key),
		cmocka_unit_test(test_another_shape),
		cmocka_unit_test(test_what_needs_no_load),
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_difference),
		cmocka_unit_test(test_arrive),
		cmocka_unit_test(test_call),
		cmocka_unit_test(test_names_end_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
