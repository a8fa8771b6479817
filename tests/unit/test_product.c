/*
 * test_product.c: the rules of a product's fields, row by row, and what a client is told about a
 * bad one.
 */
#include "common/wire/product.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ALL   (PRODUCT_ID | PRODUCT_NAME | PRODUCT_PRICE | PRODUCT_STOCK)
#define BASIC (PRODUCT_NAME | PRODUCT_PRICE | PRODUCT_STOCK)

static void document(const char *text, struct jscan_value *ret)
{
	struct err err;

	if (!jscan_document(text, strlen(text), ret, &err))
		fail_msg("%s: %s", text, err.text);
}

static void prices_keep_their_digits(void **state)
{
	static const struct {
		const char *json, *price; /* NULL: refused */
	} rows[] = {
		{ "0", "0" },
		{ "0.0", "0.0" },
		{ "0.0000", "0.0000" },
		{ "-0", "0" },
		{ "-0.0", "0.0" },
		{ "-0.00e1", "0.0" },
		{ "1", "1" },
		{ "151.90", "151.90" },
		{ "151.9", "151.9" },
		{ "19.99", "19.99" },
		{ "0.1", "0.1" },
		{ "0.0001", "0.0001" },
		{ "0.1000", "0.1000" },
		{ "1.0000", "1.0000" },
		{ "100", "100" },
		{ "999999999999999", "999999999999999" },
		{ "99999999999.9999", "99999999999.9999" },
		{ "10000000000.0000", "10000000000.0000" },
		{ "999999999999.999", "999999999999.999" },
		{ "99999999999999.9", "99999999999999.9" },
		/* exponents are resolved */
		{ "1e2", "100" },
		{ "1E2", "100" },
		{ "1e0", "1" },
		{ "1e-0", "1" },
		{ "1.5E+2", "150" },
		{ "1.5e1", "15" },
		{ "1.50e1", "15.0" },
		{ "1.500e1", "15.00" },
		{ "12e-1", "1.2" },
		{ "12e-2", "0.12" },
		{ "12e-3", "0.012" },
		{ "12e-4", "0.0012" },
		{ "120e-4", "0.0120" },
		{ "1e-4", "0.0001" },
		{ "123.45e-2", "1.2345" },
		{ "0.00001e1", "0.0001" },
		{ "0.000000000000000000000000000000123e30", "0.123" },
		{ "0.1e1", "1" },
		{ "0.01e4", "100" },
		{ "1e14", "100000000000000" },
		{ "1e00000000000000000000000000000000002", "100" },
		{ "0e400", "0" },
		{ "0e99999999999999999999999999", "0" },
		{ "0.00000e5", "0" },
		{ "0e-4", "0.0000" },
		{ "1.00000e1", "10.0000" },
		/* too many decimals, digits; too small */
		{ "1.00000", NULL },
		{ "0.00000", NULL },
		{ "0.00001", NULL },
		{ "1e-5", NULL },
		{ "0e-5", NULL },
		{ "123.45e-3", NULL },
		{ "1e15", NULL },
		{ "1000000000000000", NULL },
		{ "1234567890123456", NULL },
		{ "99999999999.99999", NULL },
		{ "999999999999.9999", NULL },
		{ "100000000000.0000", NULL },
		{ "123456789012345.0", NULL },
		{ "0.1e16", NULL },
		{ "-1", NULL },
		{ "-0.0001", NULL },
		{ "-1e-400", NULL },
		{ "1e400", NULL },
		{ "1e-400", NULL },
		{ "1e99999999999999999999999999", NULL },
		{ "1e-99999999999999999999999999", NULL },
		{ "0e-99999999999999999999999999", NULL },
		{ "1e9223372036854775807", NULL },
		{ "1e-9223372036854775808", NULL },
		{ "\"19.99\"", NULL },
		{ "null", NULL },
		{ "true", NULL },
		{ "[1]", NULL },
		{ "{}", NULL },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct jscan_value v;
		struct err err = { .text = "" };
		char price[PRODUCT_PRICE_MAX] = "untouched";
		document(rows[i].json, &v);
		bool ok = product_price_from_json(&v, price, &err);
		if (ok != (rows[i].price != NULL) ||
		    strcmp(price, ok ? rows[i].price : "untouched") != 0)
			fail_msg("%s: %d, \"%s\" %s", rows[i].json, ok, price, err.text);
		if (!ok && strncmp(err.text,
				   "price must be a number of at least 0 with at most 4 decimals",
				   60) != 0)
			fail_msg("%s: says %s", rows[i].json, err.text);
	}
}

/* Each digits × 10^exponent, written with the point at every place, is the same price or refused
 * alike. */
static void a_price_does_not_depend_on_how_it_is_written(void **state)
{
	static const char *const all[] = { "1",
					   "7",
					   "10",
					   "151",
					   "1519",
					   "15190",
					   "100000",
					   "123456789012345",
					   "1234567890123456" };
	(void)state;

	for (size_t d = 0; d < ARRAY_SIZE(all); d++) {
		int n = (int)strlen(all[d]);
		for (int exponent = -6; exponent <= 16; exponent++) {
			/* The straight way: digits as they are, an exponent, the rule on both. */
			bool ok = exponent >= -4 && n + (exponent > 0 ? exponent : 0) <= 15;
			char plain[64] = "";
			if (exponent >= 0) {
				snprintf(plain, sizeof(plain), "%s%.*s", all[d], exponent,
					 "0000000000000000");
			} else {
				char padded[32];
				snprintf(padded, sizeof(padded), "%.*s%s",
					 -exponent + 1 - n > 0 ? -exponent + 1 - n : 0, "00000000",
					 all[d]);
				int whole = (int)strlen(padded) + exponent;
				snprintf(plain, sizeof(plain), "%.*s.%s", whole, padded,
					 padded + whole);
			}
			for (int point = 1; point < n; point++) {
				char json[64], price[PRODUCT_PRICE_MAX];
				struct jscan_value v;
				struct err err;
				snprintf(json, sizeof(json), "%.*s.%se%d", point, all[d],
					 all[d] + point, exponent + n - point);
				document(json, &v);
				if (product_price_from_json(&v, price, &err) != ok)
					fail_msg("%s (%s): %s", json, plain, ok ? err.text : price);
				if (ok && strcmp(price, plain) != 0)
					fail_msg("%s: %s, not %s", json, price, plain);
			}
		}
	}
}

static void a_price_of_a_million_digits_takes_no_time(void **state)
{
	size_t zeros = 1000000;
	char *json = xmalloc(zeros + 32), price[PRODUCT_PRICE_MAX];
	struct jscan_value v;
	struct err err;
	(void)state;

	strcpy(json, "0.");
	memset(json + 2, '0', zeros);
	strcpy(json + 2 + zeros, "25e1000001");
	document(json, &v);
	if (!product_price_from_json(&v, price, &err))
		fail_msg("%s", err.text);
	assert_string_equal(price, "2.5");

	memset(json, '9', zeros);
	strcpy(json + zeros, "e-1000000");
	document(json, &v);
	assert_false(product_price_from_json(&v, price, &err));
	free(json);
}

static void stocks(void **state)
{
	static const struct {
		const char *json;
		int32_t stock; /* -1: refused */
	} rows[] = {
		{ "0", 0 },
		{ "-0", 0 },
		{ "1", 1 },
		{ "2147483647", INT32_MAX },
		{ "2147483648", -1 },
		{ "4294967296", -1 },
		{ "-1", -1 },
		{ "9223372036854775808", -1 },
		{ "1.0", -1 },
		{ "1e1", -1 },
		{ "0.0", -1 },
		{ "\"1\"", -1 },
		{ "null", -1 },
		{ "true", -1 },
		{ "[]", -1 },
		{ "-9223372036854775808", -1 },
		{ "18446744073709551616", -1 },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct jscan_value v;
		struct err err = { .text = "" };
		int32_t stock = -7;
		document(rows[i].json, &v);
		bool ok = product_stock_from_json(&v, &stock, &err);
		if (ok != (rows[i].stock >= 0) || stock != (ok ? rows[i].stock : -7))
			fail_msg("%s: %d, %d", rows[i].json, ok, stock);
		if (!ok &&
		    strncmp(err.text, "stock must be an integer from 0 to 2147483647", 45) != 0)
			fail_msg("%s: says %s", rows[i].json, err.text);
	}
}

/* unit, as often as n says: accepted from 1 to 200, whatever a character's length in bytes or in
 * escapes is. */
static void names_have_1_to_200_characters(void **state)
{
	static const struct {
		const char *unit;
		size_t bytes; /* of one, decoded */
	} units[] = { { "x", 1 },
		      { "\xc3\xa9", 2 },
		      { "\xe2\x82\xac", 3 },
		      { "\xf0\x9f\x98\x80", 4 },
		      { "\\u00e9", 2 },
		      { "\\ud83d\\ude00", 4 },
		      { "\\n", 1 },
		      { " ", 1 },
		      { "\\u0001", 1 },
		      { "\\\"", 1 },
		      { "\\u200b", 3 } };
	static const size_t counts[] = { 0, 1, 2, 199, 200, 201, 400, 100000 };
	(void)state;

	for (size_t u = 0; u < ARRAY_SIZE(units); u++) {
		for (size_t c = 0; c < ARRAY_SIZE(counts); c++) {
			AUTO_STRBUF json = STRBUF_INIT, name = STRBUF_INIT;
			struct jscan_value v;
			struct err err = { .text = "" };
			strbuf_addch(&json, '"');
			for (size_t i = 0; i < counts[c]; i++)
				strbuf_addstr(&json, units[u].unit);
			strbuf_addch(&json, '"');
			document(json.data, &v);
			strbuf_addstr(&name, "before");
			bool ok = product_name_from_json(&v, &name, &err);
			if (ok != (counts[c] >= 1 && counts[c] <= 200))
				fail_msg("%zu x %s: %s", counts[c], units[u].unit,
					 ok ? "accepted" : err.text);
			assert_int_equal(name.len, 6 + (ok ? counts[c] * units[u].bytes : 0));
			assert_int_equal(strlen(name.data), name.len);
			assert_memory_equal(name.data, "before", 6);
			if (!ok)
				assert_string_equal(err.text, "name must be 1 to 200 characters");
		}
	}
}

#define UUID	 "\"0190A6E4-7c1a-7000-8000-0123456789ab\""
#define LONG_KEY "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk" /* 61 */

static void faults_are_named(void **state)
{
	static const struct {
		const char *json;
		int status;
		const char *field, *error; /* a part of it */
		unsigned required, allowed;
	} rows[] = {
		/* 400 */
		{ "", 400, "", "expected a JSON object, but there is no text", BASIC, ALL },
		{ "  ", 400, "", "invalid JSON: expected a value", BASIC, ALL },
		{ "{", 400, "", "invalid JSON: expected a key in quotes", BASIC, ALL },
		{ "[]", 400, "", "expected a JSON object, not an array", BASIC, ALL },
		{ "null", 400, "", "expected a JSON object, not null", BASIC, ALL },
		{ "17", 400, "", "expected a JSON object, not a number", BASIC, ALL },
		{ "\"name\"", 400, "", "expected a JSON object, not a string", BASIC, ALL },
		{ "{}{}", 400, "", "invalid JSON: more text behind the value at byte 3", BASIC,
		  ALL },
		{ "{\"name\":\"a\\u0000b\"}", 400, "", "forbidden escape", BASIC, ALL },
		{ "{\"name\":\"\xff\"}", 400, "", "invalid UTF-8", BASIC, ALL },
		{ "{\"price\":NaN}", 400, "", "invalid JSON", BASIC, ALL },
		{ "{\"price\":01}", 400, "", "leading zero", BASIC, ALL },
		{ "{\"name\":\"a\",\"name\":\"a\"}", 400, "name", "duplicate key \"name\"", BASIC,
		  ALL },
		{ "{\"name\":\"a\",\"n\\u0061me\":\"b\"}", 400, "name", "duplicate key \"name\"",
		  BASIC, ALL },
		{ "{\"x\":1,\"x\":1}", 400, "x", "duplicate key \"x\"", BASIC, ALL },
		{ "{\"x\":1,\"y\":1,\"\\u0078\":1}", 400, "x", "duplicate key \"x\"", BASIC, ALL },
		{ "{\"\":1,\"\":1}", 400, "", "duplicate key \"\"", BASIC, ALL },
		{ "{\"version\":1,\"version\":1}", 400, "version", "duplicate key \"version\"",
		  BASIC, ALL },
		{ "{\"createdAt\":1,\"createdAt\":1}", 400, "createdAt", "duplicate key", BASIC,
		  ALL },
		{ "{\"\xc3\xa9\":1,\"\\u00e9\":1}", 400, "\xc3\xa9", "duplicate key", BASIC, ALL },
		/* 400 before 422, whatever comes first */
		{ "{\"x\":1,\"stock\":\"\",\"price\":1,\"price\":1}", 400, "price", "duplicate key",
		  BASIC, ALL },
		{ "{\"x\":1,\"stock\":-1,\"name\":\"\"", 400, "", "invalid JSON", BASIC, ALL },
		{ "{\"price\":-1,\"y\":1,\"x\":[],\"x\":{}}", 400, "x", "duplicate key", BASIC,
		  ALL },
		/* 422: keys that do not belong here, before all others */
		{ "{\"x\":1}", 422, "x", "unknown field \"x\"", BASIC, ALL },
		{ "{\"y\":1,\"x\":1}", 422, "y", "unknown field \"y\"", BASIC, ALL },
		{ "{\"name\":\"\",\"Price\":1}", 422, "Price", "unknown field \"Price\"", BASIC,
		  ALL },
		{ "{\"\":1}", 422, "", "unknown field \"\"", BASIC, ALL },
		{ "{\"na\\nme\":1}", 422, "na\nme", "unknown field \"na me\"", BASIC, ALL },
		{ "{\"created_at\":1}", 422, "created_at", "unknown field", BASIC, ALL },
		{ "{\"createdAt\":1,\"updatedAt\":2,\"x\":3}", 422, "x", "unknown field", BASIC,
		  ALL },
		{ "{\"version\":1}", 422, "version", "version is set by the server", BASIC, ALL },
		{ "{\"id\":" UUID ",\"name\":\"a\"}", 422, "id", "id cannot be given here", 0,
		  BASIC },
		{ "{\"" LONG_KEY "ab\":1}", 422, LONG_KEY "ab", "unknown field", BASIC, ALL },
		{ "{\"" LONG_KEY "abc\":1}", 422, LONG_KEY "ab", "unknown field", BASIC, ALL },
		{ "{\"" LONG_KEY "\xc3\xa9\":1}", 422, LONG_KEY "\xc3\xa9", "unknown field", BASIC,
		  ALL },
		{ "{\"" LONG_KEY "a\xc3\xa9\":1}", 422, LONG_KEY "a", "unknown field", BASIC, ALL },
		{ "{\"" LONG_KEY "a\\u00e9\":1}", 422, LONG_KEY "a", "unknown field", BASIC, ALL },
		{ "{\"" LONG_KEY "\xf0\x9f\x98\x80\":1}", 422, LONG_KEY, "unknown field", BASIC,
		  ALL },
		/* two long keys that differ only behind the cut are not duplicates */
		{ "{\"" LONG_KEY LONG_KEY "a\":1,\"" LONG_KEY LONG_KEY "b\":1}", 422, LONG_KEY "kk",
		  "unknown field", BASIC, ALL },
		/* 422: missing */
		{ "{}", 422, "name", "name is required", BASIC, ALL },
		{ "{}", 422, "id", "id is required", ALL, ALL },
		{ "{\"name\":\"a\"}", 422, "price", "price is required", BASIC, ALL },
		{ "{\"name\":\"a\",\"price\":1}", 422, "stock", "stock is required", BASIC, ALL },
		{ "{\"stock\":-1,\"price\":1}", 422, "name", "name is required", BASIC, ALL },
		/* 422: rules, in the fields' order */
		{ "{\"id\":1,\"name\":1,\"price\":\"\",\"stock\":\"\"}", 422, "id",
		  "id must be a UUID of 36 characters, not a number", 0, ALL },
		{ "{\"id\":null}", 422, "id", "id must be a UUID of 36 characters, not null", 0,
		  ALL },
		{ "{\"id\":\"\"}", 422, "id", "id must be a UUID", 0, ALL },
		{ "{\"id\":\"0190a6e4-7c1a-7000-8000-0123456789a\"}", 422, "id",
		  "id must be a UUID", 0, ALL },
		{ "{\"id\":\"0190a6e4-7c1a-7000-8000-0123456789abc\"}", 422, "id",
		  "id must be a UUID", 0, ALL },
		{ "{\"id\":\"0190a6e4-7c1a-7000-8000-0123456789ag\"}", 422, "id",
		  "id must be a UUID", 0, ALL },
		{ "{\"id\":\"{190a6e4-7c1a-7000-8000-0123456789a}\"}", 422, "id",
		  "id must be a UUID", 0, ALL },
		{ "{\"stock\":\"\",\"price\":\"\",\"name\":17}", 422, "name",
		  "name must be 1 to 200 characters, not a number", 0, ALL },
		{ "{\"name\":\"\"}", 422, "name", "name must be 1 to 200 characters", 0, ALL },
		{ "{\"name\":null}", 422, "name", "name must be 1 to 200 characters, not null", 0,
		  ALL },
		{ "{\"name\":[\"a\"]}", 422, "name",
		  "name must be 1 to 200 characters, not an array", 0, ALL },
		{ "{\"stock\":\"\",\"price\":\"19.99\"}", 422, "price",
		  "price must be a number of at least 0 with at most 4 decimals and 15 digits, not a string",
		  0, ALL },
		{ "{\"price\":{\"a\":1,\"a\":2}}", 422, "price", "not an object", 0, ALL },
		{ "{\"price\":-0.01}", 422, "price", "price must be a number of at least 0", 0,
		  ALL },
		{ "{\"price\":1e400}", 422, "price", "price must be a number of at least 0", 0,
		  ALL },
		{ "{\"stock\":1.5}", 422, "stock", "stock must be an integer from 0 to 2147483647",
		  0, ALL },
		{ "{\"stock\":false}", 422, "stock",
		  "stock must be an integer from 0 to 2147483647, not a boolean", 0, ALL },
	};
	struct product_input in = { .given = 0 };
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct product_fault fault;
		memset(&fault, 'x', sizeof(fault));
		if (product_parse(rows[i].json, strlen(rows[i].json), rows[i].required,
				  rows[i].allowed, &in, &fault))
			fail_msg("%s: accepted", rows[i].json);
		if (fault.status != rows[i].status || strcmp(fault.field, rows[i].field) != 0 ||
		    strstr(fault.err.text, rows[i].error) == NULL || fault.err.sqlstate[0] != '\0')
			fail_msg("%s: %d, field \"%s\": %s", rows[i].json, fault.status,
				 fault.field, fault.err.text);
	}
	product_input_clear(&in);
}

static void good_products_are_read(void **state)
{
	static const struct {
		const char *json;
		unsigned given;
		const char *name, *price;
		int32_t stock;
		unsigned required;
	} rows[] = {
		{ "{\"name\":\"Ruffino Chianti\",\"price\":124.90,\"stock\":121}", BASIC,
		  "Ruffino Chianti", "124.90", 121, BASIC },
		{ " {\n\t\"stock\" : 0 , \"price\" : 0 ,\r\n\"name\" : \"a\" } \n", BASIC, "a", "0",
		  0, BASIC },
		{ "{\"id\":" UUID ",\"name\":\"a\",\"price\":1e2,\"stock\":2147483647}", ALL, "a",
		  "100", INT32_MAX, BASIC },
		{ "{\"id\":" UUID ",\"name\":\"a\",\"price\":1,\"stock\":1}", ALL, "a", "1", 1,
		  ALL },
		{ "{\"\\u0069\\u0064\":\"\\u00300190a6\",\"name\":\"a\"}", 0, NULL, NULL, 0,
		  0 }, /* below: refused */
		{ "{\"n\\u0061me\":\"l\\u00e9\\ud83d\\ude00\\n\\\"\"}", PRODUCT_NAME,
		  "l\xc3\xa9\xf0\x9f\x98\x80\n\"", "", 0, 0 },
		{ "{\"price\":19.990}", PRODUCT_PRICE, "", "19.990", 0, 0 },
		{ "{\"stock\":7}", PRODUCT_STOCK, "", "", 7, 0 },
		{ "{\"id\":\"\\u0030190a6e4-7c1a-7000-8000-0123456789AB\"}", PRODUCT_ID, "", "", 0,
		  0 },
		{ "{}", 0, "", "", 0, 0 },
		{ "{\"stock\":7,\"createdAt\":\"2026-01-31T12:00:00.123456Z\",\"updatedAt\":[{}]}",
		  PRODUCT_STOCK, "", "", 7, 0 },
	};
	struct product_input in = { .given = 0 };
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct product_fault fault;
		struct uuid id = { { 0 } };
		bool ok = product_parse(rows[i].json, strlen(rows[i].json), rows[i].required, ALL,
					&in, &fault);
		if (ok != (rows[i].name != NULL))
			fail_msg("%s: %s", rows[i].json, ok ? "accepted" : fault.err.text);
		if (!ok)
			continue;
		if (in.given & PRODUCT_ID)
			assert_true(
				uuid_from_text("0190a6e4-7c1a-7000-8000-0123456789ab", 36, &id));
		if (in.given != rows[i].given || strcmp(strbuf_str(&in.name), rows[i].name) != 0 ||
		    strcmp(in.price, rows[i].price) != 0 || in.stock != rows[i].stock ||
		    uuid_cmp(&in.id, &id) != 0)
			fail_msg("%s: %u \"%s\" %s %d", rows[i].json, in.given,
				 strbuf_str(&in.name), in.price, in.stock);
	}

	/* What is required is allowed. */
	static const char name_only[] = "{\"name\":\"a\"}";
	struct product_fault fault;
	assert_true(product_parse(name_only, strlen(name_only), PRODUCT_NAME, 0, &in, &fault));
	product_input_clear(&in);
	product_input_clear(&in);
}

/* An object of 100,000 unknown keys, the last two alike or not, is judged in the time of sorting
 * them. */
static void many_unknown_keys_are_no_burden(void **state)
{
	(void)state;

	for (int twice = 0; twice <= 1; twice++) {
		AUTO_STRBUF json = STRBUF_INIT;
		struct product_input in = { .given = 0 };
		struct product_fault fault;
		strbuf_addch(&json, '{');
		for (int i = 0; i < 100000; i++)
			strbuf_addf(&json, "\"key%d\":%d,", i, i);
		strbuf_addf(&json, "\"k\\u0065y%d\":0}", twice ? 99999 : 100000);
		assert_false(product_parse(json.data, json.len, BASIC, ALL, &in, &fault));
		assert_int_equal(fault.status, twice ? 400 : 422);
		assert_string_equal(fault.field, twice ? "key99999" : "key0");
		product_input_clear(&in);
	}
}

static void products_are_written_in_order_without_blanks(void **state)
{
	AUTO_STRBUF out = STRBUF_INIT;
	struct uuid id;
	(void)state;

	assert_true(uuid_from_text("0190A6E4-7C1A-7000-8000-0123456789AB", 36, &id));
	product_write_open(&out, &id, "C\xc3\xb4te \"du\"\n", 11, "151.90", 6, 433, 0, -1);
	assert_string_equal(
		strbuf_str(&out),
		"{\"id\":\"0190a6e4-7c1a-7000-8000-0123456789ab\",\"name\":\"C\xc3\xb4te \\\"du\\\"\\n\","
		"\"price\":151.90,\"stock\":433,\"createdAt\":\"2000-01-01T00:00:00.000000Z\","
		"\"updatedAt\":\"1999-12-31T23:59:59.999999Z\"");

	/* Appended to what is there; the longest of everything. */
	size_t before = out.len;
	product_write_open(&out, &id, "a", 1, "99999999999.9999", 16, INT32_MAX, INT64_MAX,
			   INT64_MIN);
	assert_string_equal(
		out.data + before,
		"{\"id\":\"0190a6e4-7c1a-7000-8000-0123456789ab\",\"name\":\"a\",\"price\":99999999999.9999,"
		"\"stock\":2147483647,\"createdAt\":\"infinity\",\"updatedAt\":\"-infinity\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prices_keep_their_digits),
		cmocka_unit_test(a_price_does_not_depend_on_how_it_is_written),
		cmocka_unit_test(a_price_of_a_million_digits_takes_no_time),
		cmocka_unit_test(stocks),
		cmocka_unit_test(names_have_1_to_200_characters),
		cmocka_unit_test(faults_are_named),
		cmocka_unit_test(good_products_are_read),
		cmocka_unit_test(many_unknown_keys_are_no_burden),
		cmocka_unit_test(products_are_written_in_order_without_blanks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
