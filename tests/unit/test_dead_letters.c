/*
 * dead_letters.c, dead_letters_text.c: what the command line means, what a letter is and how it
 * looks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "consumer/letters/dead_letters.h"
#include "consumer/letters/dead_letters_text.h"
#include "tests/unit/tables_for_tests.h"

#define ID1 "00000000-0000-4000-8000-000000000001"
#define ID2 "00000000-0000-4000-8000-000000000002"

/* Two streams, with a table each. */
static struct stream products_stream, rest_stream;
static struct tables products = { .stream = &products_stream }, rest = { .stream = &rest_stream };

static int make_tables(void **state)
{
	static struct table *of_products[1], *of_rest[1];
	(void)state;

	topology_stream(&products_stream, 1, "products");
	topology_stream(&rest_stream, 2, "rest");
	of_products[0] = products_for_tests();
	of_rest[0] = odd_for_tests();
	products.list = of_products;
	rest.list = of_rest;
	products.n = rest.n = 1;
	return 0;
}

static int free_tables(void **state)
{
	(void)state;
	table_free(products.list[0]);
	table_free(rest.list[0]);
	return 0;
}

static void test_arguments(void **state)
{
	static const struct {
		const char *words[8];
		const char *error; /* a piece of it; NULL: good */
		enum dead_action action;
		size_t nids, nreplicas;
		bool all, yes, json, help;
	} rows[] = {
		{ { "list" }, NULL, DEAD_LIST, 0, 0, false, false, false, false },
		{ { "list", "--json", "a", "b" },
		  NULL,
		  DEAD_LIST,
		  2,
		  0,
		  false,
		  false,
		  true,
		  false },
		{ { "list", "--all" }, NULL, DEAD_LIST, 0, 0, true, false, false, false },
		{ { "show", ID1 }, NULL, DEAD_SHOW, 1, 0, false, false, false, false },
		{ { "replay", "--replica", "r", "--replica=s", "--all" },
		  NULL,
		  DEAD_REPLAY,
		  0,
		  2,
		  true,
		  false,
		  false,
		  false },
		{ { "discard", "-y", "--all" },
		  NULL,
		  DEAD_DISCARD,
		  0,
		  0,
		  true,
		  true,
		  false,
		  false },
		{ { "replay", "--", "-odd-id" },
		  NULL,
		  DEAD_REPLAY,
		  1,
		  0,
		  false,
		  false,
		  false,
		  false },
		{ { "--help" }, NULL, DEAD_LIST, 0, 0, false, false, false, true },
		{ { NULL }, "say what to do", 0, 0, 0, false, false, false, false },
		{ { "look" }, "\"look\"", 0, 0, 0, false, false, false, false },
		{ { "show" }, "say which", 0, 0, 0, false, false, false, false },
		{ { "replay" }, "say which", 0, 0, 0, false, false, false, false },
		{ { "discard", "--yes" }, "say which", 0, 0, 0, false, false, false, false },
		{ { "replay", "--all", "a" }, "either", 0, 0, 0, false, false, false, false },
		{ { "replay", "--all", "--yes" }, "--yes", 0, 0, 0, false, false, false, false },
		{ { "list", "--nope" }, "--nope", 0, 0, 0, false, false, false, false },
		{ { "list", "--replica" }, "needs a value", 0, 0, 0, false, false, false, false },
		{ { "show", "" }, "empty", 0, 0, 0, false, false, false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char *argv[10] = { (char[]){ "dead-letters" } };
		struct dead_args a;
		struct err err = { .text = "" };
		int argc = 1;

		for (size_t k = 0; k < 8 && rows[i].words[k] != NULL; k++)
			argv[argc++] = (char *)(uintptr_t)rows[i].words[k];
		bool ok = dead_args_parse(argc, argv, &a, &err);
		print_message("row %zu: %s\n", i, err.text);
		assert_int_equal(ok, rows[i].error == NULL);
		if (ok) {
			assert_int_equal(a.action, rows[i].action);
			assert_int_equal(a.nids, rows[i].nids);
			assert_int_equal(a.nreplicas, rows[i].nreplicas);
			assert_int_equal(a.all, rows[i].all);
			assert_int_equal(a.yes, rows[i].yes);
			assert_int_equal(a.json, rows[i].json);
			assert_int_equal(a.help, rows[i].help);
		} else {
			assert_non_null(strstr(err.text, rows[i].error));
		}
		dead_args_clear(&a);
	}
}

static void test_ages(void **state)
{
	static const struct {
		int64_t seconds;
		const char *text;
	} rows[] = { { 0, "0s" },    { 119, "119s" },	{ 120, "2m" },	  { 7199, "119m" },
		     { 7200, "2h" }, { 172799, "47h" }, { 172800, "2d" }, { 86400 * 400, "400d" } };
	char buf[24];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		dead_text_age(rows[i].seconds * 1000000, buf, sizeof(buf));
		assert_string_equal(buf, rows[i].text);
	}
	dead_text_age(-1, buf, sizeof(buf));
	assert_string_equal(buf, "-");
}

/* The message's type says sync. */
static struct amqp_delivery delivery(const char *body, const struct amqp_header *headers, size_t n)
{
	return (struct amqp_delivery){
		.message_id = "m-1",
		.type = "products.sync",
		.content_type = "application/json",
		.routing_key = "products.dead.r",
		.exchange = "",
		.consumer_tag = "look-1",
		.timestamp_s = 1700000000,
		.headers = headers,
		.nheaders = n,
		.body = body,
		.len = strlen(body),
	};
}

/* Which product and version a letter is about, as far as both can be read. */
static void test_first_of_a_letter(void **state)
{
	static const struct {
		const char *text;
		int64_t version; /* 0: not to be told */
	} rows[] = {
		{ "{\"id\":\"" ID1 "\",\"version\":7}", 7 },
		{ "{\"version\":7,\"colour\":[1],\"id\":\"" ID1 "\"}", 7 },
		{ "{\"id\":\"" ID1 "\"}", 0 },
		{ "{\"version\":7}", 0 },
		{ "{\"id\":\"" ID1 "\",\"version\":\"7\"}", 0 },
		{ "{\"id\":\"" ID1 "\",\"version\":0}", 0 },
		{ "{\"id\":\"" ID1 "\",\"version\":1.5}", 0 },
		{ "{\"id\":7,\"version\":7}", 0 },
		{ "{\"id\":\"" ID1 "\",\"id\":\"" ID2 "\",\"version\":7}", 0 },
		{ "{\"id\":\"" ID1 "\",\"version\":7,\"version\":8}", 0 },
		{ "[]", 0 },
		{ "null", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct amqp_delivery d = delivery(rows[i].text, NULL, 0);
		struct dead_letter l;

		dead_letter_read(&l, "r", &products, &d);
		if (l.rows != (rows[i].version > 0))
			print_error("row: %s\n", rows[i].text);
		assert_int_equal(l.rows, rows[i].version > 0);
		assert_int_equal(l.version, rows[i].version);
		if (l.version == 0)
			continue;
		assert_string_equal(l.row, ID1);
		assert_string_equal(l.key, "{" ID1 "}");
	}
}

static void test_origin(void **state)
{
	static const struct {
		const char *key, *value;
		const char *queue, *kind;
	} rows[] = {
		{ "x-queue", "products.delete.r", "products.delete.r", "delete" },
		{ "x-queue", "products.sync.r", "products.sync.r", "sync" },
		{ "x-first-death-queue", "products.delete.r", "products.delete.r", "delete" },
		{ "tenant", "acme", "products.sync.r", "sync" },
		{ "x-queue", "products.sync.other", "", "" },
		{ "x-queue", "amq.gen-1", "", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct amqp_header h = { .key = rows[i].key, .str = rows[i].value };
		struct amqp_delivery d = delivery("{}", &h, 1);
		struct dead_letter l;

		dead_letter_read(&l, "r", &products, &d);
		assert_string_equal(l.queue, rows[i].queue);
		assert_string_equal(l.kind, rows[i].kind);
	}
}

static void test_ids_of_letters(void **state)
{
	static const char body[] = "[{\"id\":\"" ID1 "\",\"version\":7},3,{\"id\":\"" ID2
				   "\",\"version\":8}]";
	struct amqp_delivery d = delivery(body, NULL, 0);
	static const struct {
		const char *text;
		bool has;
	} rows[] = { { "m-1", true },
		     { ID1, true },
		     { ID2, true },
		     { "m-2", false },
		     { "00000000-0000-4000-8000-000000000003", false } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct dead_id id = { .text = rows[i].text };
		assert_int_equal(dead_letter_has(&d, &products, &id), rows[i].has);
	}
	struct dead_letter l;
	dead_letter_read(&l, "r", &products, &d);
	assert_int_equal(l.rows, 2);
	assert_int_equal(l.version, 7);
}

static void test_written(void **state)
{
	static const struct amqp_header headers[] = {
		{ .key = "x-attempt", .num = 3 },
		{ .key = "x-error", .str = "price is\033[31m odd" },
		{ .key = "x-queue", .str = "products.sync.r" },
		{ .key = "x-died-at", .str = "2026-01-31T12:00:00.000000Z" },
		{ .key = "tenant", .str = "\"acme\"" },
	};
	const int64_t died_us = INT64_C(1769860800) * 1000000;
	struct amqp_delivery d = delivery("{\"id\":\"" ID1 "\",\"version\":7}", headers,
					  ARRAY_SIZE(headers));
	struct dead_letter l;
	struct strbuf out = STRBUF_INIT;

	(void)state;
	dead_letter_read(&l, "r", &products, &d);
	assert_int_equal(l.died_us, died_us);
	dead_text_line(&out, &l, died_us + 125000000);
	assert_string_equal(out.data, "r             m-1                       " ID1
				      "  sync             7         3     2m"
				      "  2026-01-31T12:00:00.000000Z  price is [31m odd\n");
	strbuf_reset(&out);
	dead_text_short(&out, &l);
	assert_string_equal(out.data, "r m-1 (sync of product " ID1 ", version 7)");
	strbuf_reset(&out);
	dead_text_json(&out, &l, NULL, died_us + 125000000, ",\"result\":\"left\"");
	assert_string_equal(
		out.data,
		"{\"replica\":\"r\",\"messageId\":\"m-1\",\"productId\":\"" ID1
		"\",\"products\":1,\"stream\":\"products\",\"table\":\"public.products\",\"key\":\"{" ID1
		"}\",\"rows\":1,\"kind\":\"sync\",\"version\":7,\"attempts\":3,\"ageSeconds\":125,"
		"\"diedAt\":\"2026-01-31T12:00:00.000000Z\",\"error\":\"price is [31m odd\","
		"\"result\":\"left\"}\n");
	strbuf_reset(&out);
	dead_text_full(&out, &l, &d, died_us);
	assert_null(strchr(out.data, '\033'));
	assert_non_null(strstr(out.data, "price is\\x1b[31m odd\n"));
	assert_non_null(strstr(out.data, "tenant: \"acme\"\n"));
	strbuf_reset(&out);
	dead_text_json(&out, &l, &d, died_us, NULL);
	assert_non_null(strstr(out.data, "\"tenant\":\"\\\"acme\\\"\"}"));
	assert_non_null(strstr(out.data, "\"body\":\"{\\\"id\\\":"));
	strbuf_clear(&out);
}

/* Of any table: the key as SQL has it, whichever members come first. */
static void test_any_table(void **state)
{
	static const struct {
		const char *body, *type, *row, *key, *kind;
		size_t rows;
	} rows[] = {
		{ "{\"table\":\"Sales.Odd \\\"one\\\"\",\"version\":7,\"row\":{\"count\":5,\"flag\":true,"
		  "\"Region \\\"x\\\"\":\"a b\",\"select\":-1}}",
		  "rest.sync", "Sales.Odd \"one\" {\"a b\",-1,5}", "{\"a b\",-1,5}", "sync", 1 },
		{ "[{\"table\":\"Sales.Odd \\\"one\\\"\",\"version\":7,\"key\":{\"Region \\\"x\\\"\":\"eu\","
		  "\"count\":5,\"select\":2}},{\"table\":\"Sales.Odd \\\"one\\\"\",\"version\":8,"
		  "\"key\":{\"Region \\\"x\\\"\":\"\",\"count\":6,\"select\":2}}]",
		  "rest.delete", "Sales.Odd \"one\" {eu,2,5}", "{eu,2,5}", "delete", 2 },
		{ "{\"table\":\"Sales.Odd \\\"one\\\"\",\"version\":7}", "rest.truncate",
		  "Sales.Odd \"one\"", "", "delete", 1 },
		{ "{\"table\":\"Sales.Odd \\\"one\\\"\",\"version\":7,\"key\":{\"count\":5}}",
		  "rest.delete", "", "", "delete", 0 },
		{ "{\"table\":\"Sales.other\",\"version\":7,\"key\":{\"id\":5}}", "rest.delete", "",
		  "", "delete", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct amqp_delivery d = delivery(rows[i].body, NULL, 0);
		struct dead_id id = { .text = rows[i].row };
		AUTO_STRBUF out = STRBUF_INIT;
		struct dead_letter l;

		d.type = rows[i].type;
		dead_letter_read(&l, "r", &rest, &d);
		assert_int_equal(l.rows, rows[i].rows);
		assert_string_equal(l.row, rows[i].row);
		assert_string_equal(l.key, rows[i].key);
		assert_string_equal(l.kind, rows[i].kind);
		if (rows[i].rows == 0)
			continue;
		assert_true(dead_letter_has(&d, &rest, &id));
		dead_text_json(&out, &l, NULL, 0, NULL);
		assert_non_null(strstr(out.data,
				       "\"productId\":null,\"products\":0,\"stream\":\"rest\","
				       "\"table\":\"Sales.Odd \\\"one\\\"\""));
	}
	struct amqp_delivery d = delivery(rows[1].body, NULL, 0);
	const struct dead_id second = { .text = "Sales.Odd \"one\" {\"\",2,6}" },
			     none = { .text = "Sales.Odd \"one\" {\"\",2,5}" };
	assert_true(dead_letter_has(&d, &rest, &second));
	assert_false(dead_letter_has(&d, &rest, &none));
}

static void test_base64(void **state)
{
	static const struct {
		const char *body, *text;
	} rows[] = { { "\xff", "\"/w==\"" },
		     { "\xff\x66", "\"/2Y=\"" },
		     { "\xff\x66\x6f", "\"/2Zv\"" },
		     { "\xff\x66\x6f\x6f", "\"/2Zvbw==\"" } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct amqp_delivery d = delivery(rows[i].body, NULL, 0);
		struct strbuf out = STRBUF_INIT;
		struct dead_letter l;

		dead_letter_read(&l, "r", &products, &d);
		dead_text_json(&out, &l, &d, 0, NULL);
		assert_non_null(strstr(out.data, rows[i].text));
		strbuf_clear(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arguments),	  cmocka_unit_test(test_ages),
		cmocka_unit_test(test_first_of_a_letter), cmocka_unit_test(test_origin),
		cmocka_unit_test(test_ids_of_letters),	  cmocka_unit_test(test_written),
		cmocka_unit_test(test_any_table),	  cmocka_unit_test(test_base64),
	};

	return cmocka_run_group_tests(tests, make_tables, free_tables);
}
