/*
 * test_change.c: a change is read back as it was written, anything else is refused by name; the
 * list of transactions.
 */
#include "common/wire/change.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ID	"\"id\":\"0190a6e4-7c1a-7000-8000-0123456789ab\""
#define NAME	",\"name\":\"C\xc3\xb4te\""
#define PRICE	",\"price\":151.90"
#define STOCK	",\"stock\":433"
#define CREATED ",\"createdAt\":\"2026-01-31T12:00:00.123456Z\""
#define UPDATED ",\"updatedAt\":\"2026-02-28T23:59:59.000001Z\""
#define VERSION ",\"version\":7"
#define SYNC	"{" ID NAME PRICE STOCK CREATED UPDATED VERSION "}"
#define DELETE	"{" ID VERSION "}"

static void document(const char *text, struct jscan_value *ret)
{
	struct err err;

	if (!jscan_document(text, strlen(text), ret, &err))
		fail_msg("%s: %s", text, err.text);
}

static void kinds_have_names(void **state)
{
	(void)state;

	assert_string_equal(change_kind_name(CHANGE_SYNC), "sync");
	assert_string_equal(change_kind_name(CHANGE_DELETE), "delete");
}

static void a_sync_comes_back_as_it_was_written(void **state)
{
	static const struct {
		const char *name, *price;
		int32_t stock;
		int64_t created_us, updated_us, version;
	} rows[] = {
		{ "a", "0", 0, 0, 0, 1 },
		{ "Ruffino Chianti", "124.90", 121, -1, 1, INT64_MAX },
		{ "l\xc3\xa9 \"x\"\n\\\x01\xf0\x9f\x98\x80", "99999999999.9999", INT32_MAX,
		  INT64_C(823176000123456), INT64_C(252455615999999999), 4711 },
		{ "b", "0.0000", 1, INT64_C(-63082281600000000), INT64_C(-946684800000000),
		  INT64_C(1) << 40 },
	};
	AUTO_STRBUF out = STRBUF_INIT, arena = STRBUF_INIT;
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct change c = { .kind = CHANGE_SYNC,
				    .version = rows[i].version,
				    .xid = 17,
				    .name_len = strlen(rows[i].name),
				    .stock = rows[i].stock,
				    .created_us = rows[i].created_us,
				    .updated_us = rows[i].updated_us };
		struct change back;
		struct jscan_value v;
		struct err err;
		size_t before = arena.len;
		memset(&c.id, (int)(0x5a + i), sizeof(c.id));
		strcpy(c.price, rows[i].price);
		strbuf_reset(&out);
		change_write(&out, &c, rows[i].name);
		document(out.data, &v);
		if (!change_read(&v, CHANGE_SYNC, &arena, &back, &err))
			fail_msg("%s: %s", out.data, err.text);
		if (back.kind != CHANGE_SYNC || uuid_cmp(&back.id, &c.id) != 0 ||
		    back.version != c.version || back.xid != 0 || back.name_at != before ||
		    back.name_len != c.name_len ||
		    memcmp(arena.data + before, rows[i].name, c.name_len) != 0 ||
		    strcmp(back.price, c.price) != 0 || back.stock != c.stock ||
		    back.created_us != c.created_us || back.updated_us != c.updated_us)
			fail_msg("%s: comes back differently", out.data);
	}
}

static void bodies_are_as_documented(void **state)
{
	AUTO_STRBUF out = STRBUF_INIT, arena = STRBUF_INIT;
	struct jscan_value v;
	struct change c;
	struct err err;
	(void)state;

	document(SYNC, &v);
	assert_true(change_read(&v, CHANGE_SYNC, &arena, &c, &err));
	change_write(&out, &c, arena.data + c.name_at);
	assert_string_equal(out.data, SYNC);

	strbuf_reset(&out);
	document(DELETE, &v);
	assert_true(change_read(&v, CHANGE_DELETE, &arena, &c, &err));
	assert_int_equal(c.version, 7);
	assert_int_equal(c.name_len, 0);
	change_write(&out, &c, NULL);
	assert_string_equal(out.data, DELETE);
}

/* Members in any order, blanks and escapes do not matter: other services may write changes. */
static void other_spellings_are_read(void **state)
{
	static const struct {
		const char *json;
		enum change_kind kind;
		const char *price;
	} rows[] = {
		{ "{\"version\":7" UPDATED CREATED STOCK PRICE NAME "," ID "}", CHANGE_SYNC,
		  "151.90" },
		{ " { " ID " , \"name\" : \"C\\u00f4te\" , \"pric\\u0065\":1519e-1" STOCK CREATED
			  UPDATED VERSION " } ",
		  CHANGE_SYNC, "151.9" },
		{ "{\"version\":7," ID "}", CHANGE_DELETE, "" },
	};
	AUTO_STRBUF arena = STRBUF_INIT;
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct jscan_value v;
		struct change c;
		struct err err;
		document(rows[i].json, &v);
		if (!change_read(&v, rows[i].kind, &arena, &c, &err))
			fail_msg("%s: %s", rows[i].json, err.text);
		assert_int_equal(c.version, 7);
		assert_string_equal(c.price, rows[i].price);
		if (rows[i].kind == CHANGE_SYNC)
			assert_memory_equal(arena.data + c.name_at, "C\xc3\xb4te", c.name_len);
	}
}

static void wrong_changes_are_refused_by_name(void **state)
{
	static const struct {
		enum change_kind kind;
		const char *json, *error;
	} rows[] = {
		{ CHANGE_SYNC, "[]", "a change must be an object, not an array" },
		{ CHANGE_SYNC, "null", "a change must be an object, not null" },
		{ CHANGE_SYNC, "{}", "id is missing" },
		{ CHANGE_SYNC, "{" ID PRICE STOCK CREATED UPDATED VERSION "}", "name is missing" },
		{ CHANGE_SYNC, "{" ID NAME STOCK CREATED UPDATED VERSION "}", "price is missing" },
		{ CHANGE_SYNC, "{" ID NAME PRICE CREATED UPDATED VERSION "}", "stock is missing" },
		{ CHANGE_SYNC, "{" ID NAME PRICE STOCK UPDATED VERSION "}",
		  "createdAt is missing" },
		{ CHANGE_SYNC, "{" ID NAME PRICE STOCK CREATED VERSION "}",
		  "updatedAt is missing" },
		{ CHANGE_SYNC, "{" ID NAME PRICE STOCK CREATED UPDATED "}", "version is missing" },
		{ CHANGE_SYNC, DELETE, "name is missing" },
		{ CHANGE_SYNC, "{" ID NAME NAME PRICE STOCK CREATED UPDATED VERSION "}",
		  "duplicate key \"name\"" },
		{ CHANGE_SYNC, "{" ID NAME PRICE ",\"pr\\u0069ce\":1}", "duplicate key \"price\"" },
		{ CHANGE_SYNC, "{" ID NAME PRICE STOCK CREATED UPDATED VERSION ",\"xid\":1}",
		  "unknown field \"xid\"" },
		{ CHANGE_SYNC, "{\"ID\":1}", "unknown field \"ID\"" },
		{ CHANGE_SYNC, "{\"id\":17}", "id must be a UUID of 36 characters, not a number" },
		{ CHANGE_SYNC, "{\"id\":\"0190a6e4\"}", "id must be a UUID" },
		{ CHANGE_SYNC, "{" ID ",\"name\":\"\"}", "name must be 1 to 200 characters" },
		{ CHANGE_SYNC, "{" ID ",\"name\":null}",
		  "name must be 1 to 200 characters, not null" },
		{ CHANGE_SYNC, "{" ID NAME ",\"price\":\"1\"}", "price must be a number" },
		{ CHANGE_SYNC, "{" ID NAME ",\"price\":-1}", "price must be a number" },
		{ CHANGE_SYNC, "{" ID NAME ",\"price\":-1.23456}", "price must be a number" },
		{ CHANGE_SYNC, "{" ID NAME ",\"price\":1e400}", "price must be a number" },
		{ CHANGE_SYNC, "{" ID NAME PRICE ",\"stock\":-1}", "stock must be an integer" },
		{ CHANGE_SYNC, "{" ID NAME PRICE ",\"stock\":2147483648}",
		  "stock must be an integer" },
		{ CHANGE_SYNC, "{\"createdAt\":17}", "createdAt: must be a UTC time" },
		{ CHANGE_SYNC, "{\"createdAt\":null}", "createdAt: must be a UTC time" },
		{ CHANGE_SYNC, "{\"createdAt\":\"2026-02-29T00:00:00Z\"}",
		  "createdAt: must be a UTC time" },
		{ CHANGE_SYNC, "{\"updatedAt\":\"2026-02-28 00:00:00\"}",
		  "updatedAt: must be a UTC time" },
		{ CHANGE_SYNC, "{\"version\":0}", "version must be an integer of at least 1" },
		{ CHANGE_SYNC, "{\"version\":-1}", "version must be an integer" },
		{ CHANGE_SYNC, "{\"version\":1.0}", "version must be an integer" },
		{ CHANGE_SYNC, "{\"version\":1e3}", "version must be an integer" },
		{ CHANGE_SYNC, "{\"version\":\"1\"}", "version must be an integer" },
		{ CHANGE_SYNC, "{\"version\":null}", "version must be an integer" },
		{ CHANGE_SYNC, "{\"version\":9223372036854775808}", "version must be an integer" },
		{ CHANGE_DELETE, "[]", "a change must be an object, not an array" },
		{ CHANGE_DELETE, "{}", "id is missing" },
		{ CHANGE_DELETE, "{" ID "}", "version is missing" },
		{ CHANGE_DELETE, "{\"version\":7}", "id is missing" },
		{ CHANGE_DELETE, SYNC, "unknown field \"name\"" },
		{ CHANGE_DELETE, "{" ID VERSION VERSION "}", "duplicate key \"version\"" },
		{ CHANGE_DELETE, "{" ID VERSION ",\"a\\u0000\":1}", NULL }, /* not even JSON */
		{ CHANGE_DELETE, "{" ID ",\"version\":0}", "version must be an integer" },
	};
	AUTO_STRBUF arena = STRBUF_INIT;
	(void)state;

	strbuf_addstr(&arena, "before");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct jscan_value v;
		struct change c = { .version = 4711 };
		struct err err = { .text = "" };
		if (rows[i].error == NULL) {
			assert_false(jscan_document(rows[i].json, strlen(rows[i].json), &v, &err));
			continue;
		}
		document(rows[i].json, &v);
		if (change_read(&v, rows[i].kind, &arena, &c, &err))
			fail_msg("%s as %s: accepted", rows[i].json,
				 change_kind_name(rows[i].kind));
		if (strstr(err.text, rows[i].error) != err.text)
			fail_msg("%s as %s: says \"%s\"", rows[i].json,
				 change_kind_name(rows[i].kind), err.text);
		assert_string_equal(arena.data, "before"); /* nothing is left behind */
		assert_int_equal(arena.len, 6);
		assert_int_equal(c.version, 4711);
	}
}

/* ---- x-xid ----------------------------------------------------------------------------------- */

#define XIDS 8

static void transactions_are_listed_run_by_run(void **state)
{
	static const struct {
		const char *text;
		size_t n;
		uint64_t xids[XIDS];
	} rows[] = {
		{ "", 0, { 0 } },
		{ "7001", 1, { 7001 } },
		{ "7001*2", 2, { 7001, 7001 } },
		{ "7001 7002", 2, { 7001, 7002 } },
		{ "7001*3 7005 7001*2", 6, { 7001, 7001, 7001, 7005, 7001, 7001 } },
		{ "0*2 1", 3, { 0, 0, 1 } },
		{ "9223372036854775807 9223372036854775808",
		  2,
		  { INT64_MAX, (uint64_t)INT64_MAX + 1 } },
		{ "18446744073709551615*2 18446744073709551610",
		  3,
		  { UINT64_MAX, UINT64_MAX, UINT64_MAX - 5 } },
	};
	struct change_xids x = { .text = STRBUF_INIT };
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t back[XIDS];
		memset(back, 0xff, sizeof(back));
		change_xids_reset(&x);
		for (size_t k = 0; k < rows[i].n; k++)
			change_xids_add(&x, rows[i].xids[k]);
		assert_string_equal(change_xids_finish(&x), rows[i].text);
		assert_string_equal(change_xids_finish(&x), rows[i].text);
		if (!change_xids_read(rows[i].text, back, rows[i].n))
			fail_msg("%s: refused", rows[i].text);
		assert_memory_equal(back, rows[i].xids, rows[i].n * sizeof(back[0]));
		assert_true(back[rows[i].n] == UINT64_MAX); /* nothing behind the end is touched */
	}
	change_xids_clear(&x);
	change_xids_clear(&x);
}

static void a_long_run_is_short_text(void **state)
{
	static uint64_t back[100000];
	struct change_xids x = { .text = STRBUF_INIT };
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(back); i++)
		change_xids_add(&x, 7001);
	assert_string_equal(change_xids_finish(&x), "7001*100000");
	assert_true(change_xids_read("7001*100000", back, ARRAY_SIZE(back)));
	for (size_t i = 0; i < ARRAY_SIZE(back); i++)
		assert_int_equal(back[i], 7001);
	change_xids_clear(&x);
}

static void a_wrong_list_gives_zeros(void **state)
{
	static const struct {
		const char *text;
		size_t n;
	} rows[] = {
		{ NULL, 0 },
		{ NULL, 3 },
		{ "", 1 },
		{ "1", 0 },
		{ "1 2", 3 },
		{ "1 2 3 4", 3 },
		{ "1*2", 3 },
		{ "1*4", 3 },
		{ "1*2 3*2", 3 },
		{ "1*0 2*3", 3 },
		{ "1*3 2*0", 3 },
		{ "1 2 3 ", 3 },
		{ " 1 2 3", 3 },
		{ "1  2 3", 3 },
		{ "1,2,3", 3 },
		{ "1\t2 3", 3 },
		{ "1 2 x", 3 },
		{ "1 2 3x", 3 },
		{ "-1 2 3", 3 },
		{ "+1 2 3", 3 },
		{ "1**3", 3 },
		{ "*3", 3 },
		{ "1*", 1 },
		{ "1*3*1", 3 },
		{ "1 *3", 3 },
		{ "0x1 2 3", 3 },
		{ "1.0 2 3", 3 },
		{ "18446744073709551616", 1 },
		{ "99999999999999999999999999999999", 1 },
		{ "1*18446744073709551615", 3 },
		{ "1*18446744073709551617", 1 },
		{ "1*2 1*18446744073709551615", 1 },
		{ "1\xc2\xa0*3", 3 },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t back[XIDS];
		memset(back, 0xff, sizeof(back));
		if (change_xids_read(rows[i].text, back, rows[i].n))
			fail_msg("\"%s\" as %zu: accepted", rows[i].text, rows[i].n);
		for (size_t k = 0; k < XIDS; k++)
			if (back[k] != (k < rows[i].n ? 0 : UINT64_MAX))
				fail_msg("\"%s\" as %zu: number %zu", rows[i].text, rows[i].n, k);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kinds_have_names),
		cmocka_unit_test(a_sync_comes_back_as_it_was_written),
		cmocka_unit_test(bodies_are_as_documented),
		cmocka_unit_test(other_spellings_are_read),
		cmocka_unit_test(wrong_changes_are_refused_by_name),
		cmocka_unit_test(transactions_are_listed_run_by_run),
		cmocka_unit_test(a_long_run_is_short_text),
		cmocka_unit_test(a_wrong_list_gives_zeros),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
