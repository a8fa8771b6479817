/*
 * test_change.c: a change is read back as it was written, anything else is refused by name; keys; the
 * list of transactions.
 */
#include "common/wire/change.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/uuid.h"
#include "tests/unit/tables_for_tests.h"

#define ID_TEXT "0190a6e4-7c1a-7000-8000-0123456789ab"
#define ID	"\"id\":\"" ID_TEXT "\""
#define NAME	",\"name\":\"C\xc3\xb4te\""
#define PRICE	",\"price\":151.90"
#define STOCK	",\"stock\":433"
#define CREATED ",\"createdAt\":\"2026-01-31T12:00:00.123456Z\""
#define UPDATED ",\"updatedAt\":\"2026-02-28T23:59:59.000001Z\""
#define VERSION ",\"version\":7"
#define SYNC	"{" ID NAME PRICE STOCK CREATED UPDATED VERSION "}"
#define DELETE	"{" ID VERSION "}"

/* Of the other table. */
#define REGION	   "\"Region \\\"x\\\"\":\"eu\""
#define KEY	   REGION ",\"select\":-3,\"count\":9"
#define TABLE	   "\"table\":\"Sales.Odd \\\"one\\\"\""
#define ROW(more)  "{" TABLE ",\"version\":7,\"row\":{" KEY more "}}"
#define ODD_DELETE "{" TABLE ",\"version\":8,\"key\":{" KEY "}}"

/* A table whose key has a column of every form, and names with what terminals obey. */
static const char forms_description[] = "{\"table\": 9, \"stream\": \"rest\", \"schema\": \"s\", \"name\": \"t\", \"version\": \"v\","
					" \"key\": [1, 2, 3, 4, 5, 6, 7, 8, 9], \"plain\": false, \"columns\": [" ODD_COLUMN(
						1,
						"b", "boolean", "boolean", ODD_KEY) "," ODD_COLUMN(2, "i", "integer", "int4", ODD_KEY) "," ODD_COLUMN(3, "l", "bigint", "int8", ODD_KEY) "," ODD_COLUMN(4, "u", "uuid", "uuid", ODD_KEY) "," ODD_COLUMN(5, "z", "timestamp with time zone", "timestamptz", ODD_KEY) "," ODD_COLUMN(6, "n", "numeric", "number", ODD_KEY) "," ODD_COLUMN(7,
																																															"j",
																																															"jsonb",
																																															"json",
																																															ODD_KEY) "," ODD_COLUMN(8, "s", "text", "string", ODD_KEY) "," ODD_COLUMN(9,
																																																								  "t",
																																																								  "inet",
																																																								  "text",
																																																								  ODD_KEY) "," ODD_COLUMN(10,
																																																											  "del\x7f",
																																																											  "text", "string", "false") "," ODD_COLUMN(11,
																																																																    "c1\xc2\x85",
																																																																    "text", "string",
																																																																    "false") "]}";
#define FORMS_KEY(b, z, s)                                              \
	"\"b\":" b ",\"i\":-1,\"l\":2,\"u\":\"" ID_TEXT "\",\"z\":\"" z \
	"\",\"n\":1.50,\"j\":{\"a\": \"\\\"\"},\"s\":\"" s "\",\"t\":\"10.0.0.1/8\""

static struct table *products, *odd, *forms;

static int read_tables(void **state)
{
	(void)state;
	products = products_for_tests();
	odd = odd_for_tests();
	forms = table_for_tests(13, forms_description);
	return 0;
}

static int free_tables(void **state)
{
	(void)state;
	products = table_free(products);
	odd = table_free(odd);
	forms = table_free(forms);
	return 0;
}

static void document(const char *text, struct jscan_value *ret)
{
	struct err err;

	if (!jscan_document(text, strlen(text), ret, &err))
		fail_msg("%s: %s", text, err.text);
}

static void read_good(const struct table *t, const char *json, enum change_kind kind,
		      struct change_arena *arena, struct change *ret)
{
	struct jscan_value v;
	struct err err = { .text = "" };

	document(json, &v);
	if (!change_read(t, &v, kind, json, arena, ret, &err))
		fail_msg("%s: %s", json, err.text);
}

/* "7 | a value | another": the version, then each column's value, - for one that is absent. */
static const char *shown(const struct change *c, const char *base, const struct change_arena *arena)
{
	static char text[1000];
	size_t n = (size_t)snprintf(text, sizeof(text), "%" PRId64, c->version);

	for (size_t i = 0; i < c->table->ncolumns; i++) {
		const struct change_value *v = &arena->values[c->first_value + i];
		char uuid[UUID_TEXT_LEN + 1];
		struct uuid id;

		n += (size_t)snprintf(text + n, sizeof(text) - n, " | ");
		if (v->where == CHANGE_ABSENT) {
			n += (size_t)snprintf(text + n, sizeof(text) - n, "-");
		} else if (v->where == CHANGE_NUMBER) {
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%" PRId64, v->at);
		} else if (c->table->columns[i].form == TABLE_UUID) {
			assert_int_equal(v->len, sizeof(id.b));
			memcpy(id.b, change_text(arena, base, v), sizeof(id.b));
			uuid_to_text(&id, uuid);
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s", uuid);
		} else {
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%.*s", (int)v->len,
					      change_text(arena, base, v));
		}
	}
	return text;
}

static void kinds_have_names(void **state)
{
	(void)state;

	assert_string_equal(change_kind_name(CHANGE_SYNC), "sync");
	assert_string_equal(change_kind_name(CHANGE_DELETE), "delete");
}

#define NO_REST " | - | - | - | - | - | - | - | - | - | -"

/* Members in any order, blanks and escapes do not matter: other services may write changes. */
static void changes_are_read(void **state)
{
	static const struct {
		struct table **table;
		enum change_kind kind;
		const char *json, *shown;
	} rows[] = {
		/* flat */
		{ &products, CHANGE_SYNC, SYNC,
		  "7 | " ID_TEXT
		  " | C\xc3\xb4te | 151.90 | 433 | 823176000123456 | 825638399000001" },
		{ &products, CHANGE_DELETE, DELETE, "7 | " ID_TEXT " | - | - | - | - | -" },
		{ &products, CHANGE_SYNC,
		  "{\"version\":7" UPDATED CREATED STOCK PRICE NAME "," ID "}",
		  "7 | " ID_TEXT
		  " | C\xc3\xb4te | 151.90 | 433 | 823176000123456 | 825638399000001" },
		{ &products, CHANGE_SYNC,
		  " { " ID
		  " , \"name\" : \"C\\u00f4te\" , \"pric\\u0065\":1519e-1" STOCK CREATED UPDATED
		  ",\"versi\\u006fn\":9223372036854775807 } ",
		  "9223372036854775807 | " ID_TEXT
		  " | C\xc3\xb4te | 1519e-1 | 433 | 823176000123456 | 825638399000001" },
		{ &products, CHANGE_DELETE, "{\"version\":7,\"i\\u0064\":\"" ID_TEXT "\"}",
		  "7 | " ID_TEXT " | - | - | - | - | -" },
		/* Rules of values are the table's: types alone are looked at. */
		{ &products, CHANGE_SYNC,
		  "{" ID ",\"name\":\"\",\"price\":-1.23456,\"stock\":-2147483648,"
		  "\"createdAt\":\"0001-01-01T00:00:00Z\",\"updatedAt\":\"9999-12-31T23:59:59.999999Z\"" VERSION
		  "}",
		  "7 | " ID_TEXT
		  " |  | -1.23456 | -2147483648 | -63082281600000000 | 252455615999999999" },
		/* an envelope; what is absent is NULL */
		{ &odd, CHANGE_SYNC, ROW(""), "7 | 9 | eu | -3" NO_REST },
		{ &odd, CHANGE_DELETE, ODD_DELETE, "8 | 9 | eu | -3" NO_REST },
		{ &odd, CHANGE_SYNC,
		  "{\"row\":{\"count\":9,\"\\u0073elect\":-3,\"Region \\u0022x\\u0022\":\"e\\u0075\"},"
		  "\"v\\u0065rsion\":1}",
		  "1 | 9 | eu | -3" NO_REST },
		{ &odd, CHANGE_SYNC,
		  ROW(",\"flag\":true,\"small\":-32768,\"big\":-9223372036854775808,\"id\":\"" ID_TEXT
		      "\",\"at\":\"2026-01-31T12:00:00Z\",\"amount\":0.0,\"data\":{\"a\" : [1, \"\\u0041\"]},"
		      "\"n\xc3\xb6te\":\"a \\\"b\\\" \\\\ \\n\\ud83d\\ude00\","
		      "\"back\\\\slash\":\"1 day\",\"code\":\"ab \""),
		  "7 | 9 | eu | -3 | 1 | -32768 | -9223372036854775808 | " ID_TEXT
		  " | 823176000000000 | 0.0 | {\"a\" : [1, \"\\u0041\"]} | a \"b\" \\ \n\xf0\x9f\x98\x80"
		  " | 1 day | ab " },
		{ &odd, CHANGE_SYNC,
		  ROW(",\"flag\":false,\"big\":9223372036854775807,\"n\\u00f6te\":\"\",\"back\\u005cslash\":\"\""),
		  "7 | 9 | eu | -3 | 0 | - | 9223372036854775807 | - | - | - | - |  |  | -" },
		/* JSON has a null of its own, and keeps its spelling */
		{ &odd, CHANGE_SYNC, ROW(",\"data\":null"),
		  "7 | 9 | eu | -3 | - | - | - | - | - | - | null | - | - | -" },
		{ &odd, CHANGE_SYNC, ROW(",\"data\":\"a\\\"b\""),
		  "7 | 9 | eu | -3 | - | - | - | - | - | - | \"a\\\"b\" | - | - | -" },
		{ &odd, CHANGE_SYNC, ROW(",\"data\":1.10e400"),
		  "7 | 9 | eu | -3 | - | - | - | - | - | - | 1.10e400 | - | - | -" },
		/* numbers to the last digit, and those that JSON has none for */
		{ &odd, CHANGE_SYNC,
		  ROW(",\"amount\":123456789012345678901234567890.123456789012345678900"),
		  "7 | 9 | eu | -3 | - | - | - | - | - | 123456789012345678901234567890.123456789012345678900"
		  " | - | - | - | -" },
		{ &odd, CHANGE_SYNC, ROW(",\"amount\":\"NaN\""),
		  "7 | 9 | eu | -3 | - | - | - | - | - | NaN | - | - | - | -" },
		{ &odd, CHANGE_SYNC, ROW(",\"amount\":\"-Infin\\u0069ty\""),
		  "7 | 9 | eu | -3 | - | - | - | - | - | -Infinity | - | - | - | -" },
		/* times */
		{ &odd, CHANGE_SYNC, ROW(",\"at\":\"infinity\""),
		  "7 | 9 | eu | -3 | - | - | - | - | 9223372036854775807 | - | - | - | - | -" },
		{ &odd, CHANGE_SYNC, ROW(",\"at\":\"-infinity\""),
		  "7 | 9 | eu | -3 | - | - | - | - | -9223372036854775808 | - | - | - | - | -" },
		{ &odd, CHANGE_SYNC, ROW(",\"at\":\"0044-03-15T00:00:00.000000Z BC\""),
		  "7 | 9 | eu | -3 | - | - | - | - | -64464508800000000 | - | - | - | - | -" },
		{ &odd, CHANGE_SYNC, ROW(",\"at\":\"12026-06-15T00:00:00.000001Z AD\""),
		  "7 | 9 | eu | -3 | - | - | - | - | 316404316800000001 | - | - | - | - | -" },
		/* names as capture writes them, and with escapes */
		{ &forms, CHANGE_SYNC,
		  "{\"version\":7,\"row\":{" FORMS_KEY(
			  "true", "infinity", "x") ",\"del\x7f\":\"1\",\"c1\xc2\x85\":\"2\"}}",
		  "7 | 1 | -1 | 2 | " ID_TEXT
		  " | 9223372036854775807 | 1.50 | {\"a\": \"\\\"\"} | x"
		  " | 10.0.0.1/8 | 1 | 2" },
		{ &forms, CHANGE_SYNC,
		  "{\"version\":7,\"row\":{" FORMS_KEY(
			  "true", "infinity", "x") ",\"del\\u007f\":\"1\",\"c1\\u0085\":\"2\"}}",
		  "7 | 1 | -1 | 2 | " ID_TEXT
		  " | 9223372036854775807 | 1.50 | {\"a\": \"\\\"\"} | x"
		  " | 10.0.0.1/8 | 1 | 2" },
	};
	struct change_arena arena = { 0 };
	(void)state;

	/* All into one arena, as those of a batch: what is there stays. */
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t before = arena.nvalues;
		struct change c;

		read_good(*rows[i].table, rows[i].json, rows[i].kind, &arena, &c);
		if (strcmp(shown(&c, rows[i].json, &arena), rows[i].shown) != 0)
			fail_msg("%s: %s", rows[i].json, shown(&c, rows[i].json, &arena));
		assert_ptr_equal(c.table, *rows[i].table);
		assert_int_equal(c.kind, rows[i].kind);
		assert_int_equal(c.xid, 0);
		assert_false(c.inserted);
		assert_int_equal(c.first_value, before);
		assert_int_equal(arena.nvalues, before + c.table->ncolumns);
	}
	change_arena_reset(&arena);
	assert_int_equal(arena.nvalues, 0);
	assert_int_equal(arena.text.len, 0);
	change_arena_clear(&arena);
	change_arena_clear(&arena);
}

/* What is raw counts from the base, wherever that is. */
static void a_change_is_read_behind_others(void **state)
{
	static const char bodies[] = "what came before " SYNC;
	struct change_arena arena = { 0 };
	struct jscan_value v;
	struct change c;
	struct err err;
	(void)state;

	document(bodies + strlen("what came before "), &v);
	assert_true(change_read(products, &v, CHANGE_SYNC, bodies, &arena, &c, &err));
	const struct change_value *name = &arena.values[c.first_value + PRODUCTS_NAME];
	assert_int_equal(name->where, CHANGE_RAW);
	assert_memory_equal(bodies + name->at, "C\xc3\xb4te", name->len);
	assert_memory_equal(change_text(&arena, bodies, name), "C\xc3\xb4te", 5);
	change_arena_clear(&arena);
}

static void wrong_changes_are_refused_by_name(void **state)
{
	static const struct {
		enum change_kind kind;
		const char *json, *error;
	} flat[] = {
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
		{ CHANGE_SYNC, "{" ID ",\"name\":null}", "name must be a string, not null" },
		{ CHANGE_SYNC, "{" ID NAME ",\"price\":null}", "price must be a number, not null" },
		{ CHANGE_SYNC, "{" ID NAME ",\"price\":true}", "price must be a number, not a boolean" },
		{ CHANGE_SYNC, "{" ID NAME PRICE ",\"stock\":1.0}", "stock must be an integer" },
		{ CHANGE_SYNC, "{" ID NAME PRICE ",\"stock\":-2147483649}",
		  "stock must be an integer" },
		{ CHANGE_SYNC, "{" ID NAME PRICE ",\"stock\":2147483648}",
		  "stock must be an integer" },
		{ CHANGE_SYNC, "{\"createdAt\":17}", "createdAt must be a UTC time" },
		{ CHANGE_SYNC, "{\"createdAt\":null}", "createdAt must be a UTC time" },
		{ CHANGE_SYNC, "{\"createdAt\":\"2026-02-29T00:00:00Z\"}",
		  "createdAt must be a UTC time" },
		{ CHANGE_SYNC, "{\"updatedAt\":\"2026-02-28 00:00:00\"}",
		  "updatedAt must be a UTC time" },
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
	}, envelopes[] = {
		{ CHANGE_SYNC, "[]", "a change must be an object, not an array" },
		{ CHANGE_SYNC, "{}", "row is missing" },
		{ CHANGE_DELETE, "{}", "key is missing" },
		{ CHANGE_SYNC, "{" TABLE ",\"row\":{" KEY "}}", "version is missing" },
		{ CHANGE_SYNC, "{" TABLE ",\"version\":7}", "row is missing" },
		{ CHANGE_SYNC, "{" TABLE "," TABLE "}", "duplicate key \"table\"" },
		{ CHANGE_SYNC, "{\"version\":7,\"version\":7}", "duplicate key \"version\"" },
		{ CHANGE_SYNC, "{\"row\":{" KEY "},\"row\":{}}", "duplicate key \"row\"" },
		{ CHANGE_SYNC, "{\"row\":{" KEY "},\"more\":1}", "unknown field \"more\"" },
		{ CHANGE_SYNC, "{\"row\":[]}", "row must be an object, not an array" },
		{ CHANGE_DELETE, "{\"key\":7}", "key must be an object, not a number" },
		{ CHANGE_SYNC, "{\"row\":null}", "row must be an object, not null" },
		{ CHANGE_SYNC, ODD_DELETE, "unknown field \"key\"" },
		{ CHANGE_DELETE, ROW(""), "unknown field \"row\"" },
		{ CHANGE_SYNC, "{" KEY ",\"version\":7}", "unknown field \"Region \"x\"\"" },
		{ CHANGE_DELETE, "{\"key\":{" KEY ",\"flag\":true}}", "unknown field \"flag\"" },
		{ CHANGE_SYNC, ROW(",\"version\":7"), "unknown field \"version\"" },
		{ CHANGE_SYNC, ROW(",\"select\":1"), "duplicate key \"select\"" },
		{ CHANGE_SYNC, ROW("," REGION), "duplicate key \"Region \"x\"\"" },
		{ CHANGE_SYNC, ROW(",\"flag\":true,\"fl\\u0061g\":true"), "duplicate key \"flag\"" },
		{ CHANGE_SYNC, ROW(",\"data\":null,\"data\":null"), "duplicate key \"data\"" },
		{ CHANGE_SYNC, ROW(",\"Flag\":true"), "unknown field \"Flag\"" },
		{ CHANGE_SYNC, ROW(",\"\":true"), "unknown field \"\"" },
		{ CHANGE_SYNC, ROW(",\"flag\\u0000\":true"), NULL },
		{ CHANGE_SYNC, "{\"row\":{" REGION ",\"select\":-3}}", "count is missing" },
		{ CHANGE_DELETE, "{\"key\":{" REGION ",\"count\":9}}", "select is missing" },
		{ CHANGE_SYNC, "{\"row\":{\"select\":-3,\"count\":9}}", "Region \"x\" is missing" },
		{ CHANGE_SYNC, ROW(",\"flag\":1"), "flag must be true or false, not a number" },
		{ CHANGE_SYNC, ROW(",\"flag\":null"), "flag must be true or false, not null" },
		{ CHANGE_SYNC, ROW(",\"small\":2147483648"),
		  "small must be an integer from -2147483648 to 2147483647" },
		{ CHANGE_SYNC, ROW(",\"small\":\"1\""), "small must be an integer from -2147483648 to "
							"2147483647, not a string" },
		{ CHANGE_SYNC, ROW(",\"big\":1.0"), "big must be an integer of at most 64 bits" },
		{ CHANGE_SYNC, ROW(",\"big\":9223372036854775808"),
		  "big must be an integer of at most 64 bits" },
		{ CHANGE_SYNC, ROW(",\"big\":-9223372036854775809"),
		  "big must be an integer of at most 64 bits" },
		{ CHANGE_SYNC, ROW(",\"big\":null"),
		  "big must be an integer of at most 64 bits, not null" },
		{ CHANGE_SYNC, ROW(",\"id\":null"), "id must be a UUID of 36 characters, not null" },
		{ CHANGE_SYNC, ROW(",\"at\":\"\""), "at must be a UTC time" },
		{ CHANGE_SYNC, ROW(",\"at\":\"12026-06-15T00:00:00Z\""), "at must be a UTC time" },
		{ CHANGE_SYNC, ROW(",\"at\":\"999999-06-15T00:00:00Z AD\""), "at must be a UTC time" },
		{ CHANGE_SYNC, ROW(",\"at\":true"), "at must be a UTC time such as "
						    "2026-01-31T12:00:00.123456Z, not a boolean" },
		{ CHANGE_SYNC, ROW(",\"amount\":null"), "amount must be a number, not null" },
		{ CHANGE_SYNC, ROW(",\"amount\":[1]"), "amount must be a number, not an array" },
		{ CHANGE_SYNC, ROW(",\"code\":1"), "code must be a string, not a number" },
		{ CHANGE_SYNC, ROW(",\"back\\\\slash\":null"), "back\\slash must be a string, not null" },
		{ CHANGE_SYNC, ROW(",\"n\xc3\xb6te\":{}"),
		  "n\xc3\xb6te must be a string, not an object" },
		/* What was read before the fault leaves nothing behind. */
		{ CHANGE_SYNC, ROW(",\"id\":\"" ID_TEXT "\",\"n\xc3\xb6te\":\"\\n\",\"flag\":0"),
		  "flag must be true or false" },
	};
	struct change_arena arena = { 0 };
	(void)state;

	strbuf_addstr(&arena.text, "before");
	for (size_t i = 0; i < ARRAY_SIZE(flat) + ARRAY_SIZE(envelopes); i++) {
		bool of_products = i < ARRAY_SIZE(flat);
		size_t at = of_products ? i : i - ARRAY_SIZE(flat);
		const char *json = of_products ? flat[at].json : envelopes[at].json;
		const char *error = of_products ? flat[at].error : envelopes[at].error;
		enum change_kind kind = of_products ? flat[at].kind : envelopes[at].kind;
		struct change c = { .version = 4711 };
		struct err err = { .text = "" };
		struct jscan_value v;

		if (error == NULL) {
			assert_false(jscan_document(json, strlen(json), &v, &err));
			continue;
		}
		document(json, &v);
		if (change_read(of_products ? products : odd, &v, kind, json, &arena, &c, &err))
			fail_msg("%s as %s: accepted", json, change_kind_name(kind));
		if (strstr(err.text, error) != err.text)
			fail_msg("%s as %s: says \"%s\"", json, change_kind_name(kind), err.text);
		assert_memory_equal(arena.text.data, "before", 6);
		assert_int_equal(arena.text.len, 6);
		assert_int_equal(arena.nvalues, 0);
		assert_int_equal(c.version, 4711);
	}
	change_arena_clear(&arena);
}

/* ---- keys ------------------------------------------------------------------------------------ */

static int compare_keys(const struct change_arena *arena, const struct change *x,
			const struct change *y)
{
	int order = memcmp(arena->text.data + x->key_at, arena->text.data + y->key_at,
			   min_size(x->key_len, y->key_len));

	return order != 0 ? order : (x->key_len > y->key_len) - (x->key_len < y->key_len);
}

/* Each is smaller than the next one: by the key's columns in the key's order. */
static void keys_are_in_order(void **state)
{
	static const struct {
		const char *region, *tenant, *count;
	} rows[] = {
		{ "", "5", "5" },
		{ "A", "5", "5" },
		{ "a", "-2147483648", "5" },
		{ "a", "-2147483647", "-5" },
		{ "a", "-256", "5" },
		{ "a", "-1", "5" },
		{ "a", "0", "5" },
		{ "a", "1", "-9223372036854775808" },
		{ "a", "1", "-4294967296" },
		{ "a", "1", "-1" },
		{ "a", "1", "0" },
		{ "a", "1", "1" },
		{ "a", "1", "255" },
		{ "a", "1", "256" },
		{ "a", "1", "4294967296" },
		{ "a", "1", "9223372036854775807" },
		{ "a", "2147483647", "5" },
		{ "a\\u0001", "-5", "5" },
		{ "a\\nb", "-5", "5" },
		{ "a ", "-5", "5" },
		{ "aa", "-5", "5" },
		{ "b", "-5", "-5" },
		{ "\xc3\xa9", "0", "0" },
	};
	struct change_arena arena = { 0 };
	struct change before = { 0 };
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO_STRBUF json = STRBUF_INIT;
		struct change c, again;

		strbuf_addf(&json,
			    "{\"version\":1,\"key\":{\"count\":%s,\"Region \\\"x\\\"\":\"%s\","
			    "\"select\":%s}}",
			    rows[i].count, rows[i].region, rows[i].tenant);
		read_good(odd, json.data, CHANGE_DELETE, &arena, &c);
		if (i > 0 && compare_keys(&arena, &before, &c) >= 0)
			fail_msg("%s is not behind the one before", json.data);
		read_good(odd, json.data, CHANGE_DELETE, &arena, &again);
		assert_int_equal(compare_keys(&arena, &c, &again), 0);
		before = c;
	}
	change_arena_clear(&arena);
}

/* However it is spelled, whatever else the change has. */
static void one_row_has_one_key(void **state)
{
	static const struct {
		enum change_kind kind;
		const char *json;
		bool same;
	} rows[] = {
		{ CHANGE_DELETE, ODD_DELETE, true },
		{ CHANGE_SYNC, ROW(""), true },
		{ CHANGE_SYNC, ROW(",\"id\":\"" ID_TEXT "\",\"n\xc3\xb6te\":\"\\n\""), true },
		{ CHANGE_DELETE,
		  "{\"version\":9,\"key\":{\"count\":9,\"select\":-3,\"Region \\u0022x\\\"\":\"\\u0065u\"}}",
		  true },
		{ CHANGE_DELETE, "{\"version\":9,\"key\":{\"count\":-3,\"select\":9," REGION "}}",
		  false },
	};
	struct change_arena arena = { 0 };
	struct change first, c;
	(void)state;

	read_good(odd, ROW(",\"flag\":true"), CHANGE_SYNC, &arena, &first);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		read_good(odd, rows[i].json, rows[i].kind, &arena, &c);
		if ((compare_keys(&arena, &first, &c) == 0) != rows[i].same)
			fail_msg("%s: %s", rows[i].json,
				 rows[i].same ? "another row" : "the same row");
	}
	change_arena_clear(&arena);
}

/* A text[] as PostgreSQL reads it. */
static void keys_as_text(void **state)
{
	static const struct {
		struct table **table;
		const char *json, *text;
	} rows[] = {
		{ &products, DELETE, "{" ID_TEXT "}" },
		{ &odd, ODD_DELETE, "{eu,-3,9}" },
		{ &odd,
		  "{\"version\":1,\"key\":{\"Region \\\"x\\\"\":\"\",\"select\":0,\"count\":0}}",
		  "{\"\",0,0}" },
		{ &odd,
		  "{\"version\":1,\"key\":{\"Region \\\"x\\\"\":\"NULL\",\"select\":0,\"count\":"
		  "-9223372036854775808}}",
		  "{\"NULL\",0,-9223372036854775808}" },
		{ &odd,
		  "{\"version\":1,\"key\":{\"Region \\\"x\\\"\":\"a\\\"b\\\\c,{d} \\n'\xc3\xa9\","
		  "\"select\":0,\"count\":0}}",
		  "{\"a\\\"b\\\\c,{d} \n'\xc3\xa9\",0,0}" },
		{ &forms,
		  "{\"version\":1,\"key\":{" FORMS_KEY("true", "2026-01-31T12:00:00Z", "\\\\") "}}",
		  "{t,-1,2," ID_TEXT ",2026-01-31T12:00:00.000000Z,1.50,\"{\\\"a\\\": "
		  "\\\"\\\\\\\"\\\"}\",\"\\\\\",10.0.0.1/8}" },
		{ &forms,
		  "{\"version\":1,\"key\":{" FORMS_KEY("false", "0044-03-15T00:00:00Z BC",
						       "x") "}}",
		  "{f,-1,2," ID_TEXT ",\"0044-03-15T00:00:00.000000Z BC\",1.50,\"{\\\"a\\\": "
		  "\\\"\\\\\\\"\\\"}\",x,10.0.0.1/8}" },
		{ &forms, "{\"version\":1,\"key\":{" FORMS_KEY("false", "-infinity", "x") "}}",
		  "{f,-1,2," ID_TEXT ",-infinity,1.50,\"{\\\"a\\\": \\\"\\\\\\\"\\\"}\",x,"
		  "10.0.0.1/8}" },
	};
	struct change_arena arena = { 0 };
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO_STRBUF out = STRBUF_INIT;
		struct change c;

		read_good(*rows[i].table, rows[i].json, CHANGE_DELETE, &arena, &c);
		strbuf_addstr(&out, "x");
		change_key_text(&c, rows[i].json, &arena, &out);
		assert_string_equal(out.data + 1, rows[i].text);
	}
	change_arena_clear(&arena);
}

/* Of which row a change is, as far as that can be read. */
static void broken_changes_are_identified(void **state)
{
	static const struct {
		struct table **table;
		const char *json;
		int64_t version; /* 0: not to be told */
		const char *key;
	} rows[] = {
		{ &products, SYNC, 7, "{" ID_TEXT "}" },
		{ &products, DELETE, 7, "{" ID_TEXT "}" },
		{ &products, "{\"version\":7,\"colour\":[1]," ID "}", 7, "{" ID_TEXT "}" },
		{ &products, "{" ID ",\"name\":7,\"price\":null" VERSION "}", 7, "{" ID_TEXT "}" },
		{ &products, "{" ID NAME NAME VERSION "}", 7, "{" ID_TEXT "}" },
		{ &products, "{" ID "}", 0, NULL },
		{ &products, "{\"version\":7}", 0, NULL },
		{ &products, "{" ID ",\"version\":\"7\"}", 0, NULL },
		{ &products, "{" ID ",\"version\":0}", 0, NULL },
		{ &products, "{" ID ",\"version\":1.5}", 0, NULL },
		{ &products, "{\"id\":7,\"version\":7}", 0, NULL },
		{ &products, "{" ID "," ID VERSION "}", 0, NULL },
		{ &products, "{" ID VERSION VERSION "}", 0, NULL },
		{ &products, "[]", 0, NULL },
		{ &products, "null", 0, NULL },
		{ &products, "[" DELETE "]", 0, NULL },
		{ &odd, ROW(""), 7, "{eu,-3,9}" },
		{ &odd, ODD_DELETE, 8, "{eu,-3,9}" },
		{ &odd, ROW(",\"flag\":7,\"what\":[]"), 7, "{eu,-3,9}" },
		{ &odd, "{\"row\":{" KEY "},\"more\":1,\"version\":7}", 7, "{eu,-3,9}" },
		{ &odd, "{\"row\":{" KEY "}}", 0, NULL },
		{ &odd, "{\"row\":{" KEY "},\"version\":-7}", 0, NULL },
		{ &odd, "{\"row\":{" KEY "},\"version\":7,\"version\":8}", 0, NULL },
		{ &odd, "{\"row\":[],\"version\":7}", 0, NULL },
		{ &odd, "{\"row\":{" REGION ",\"select\":-3},\"version\":7}", 0, NULL },
		{ &odd, "{\"row\":{" REGION ",\"select\":\"-3\",\"count\":9},\"version\":7}", 0,
		  NULL },
		{ &odd, "{\"row\":{" KEY "," REGION "},\"version\":7}", 0, NULL },
		{ &odd, "{}", 0, NULL },
		{ &odd, "7", 0, NULL },
	};
	struct change_arena arena = { 0 };
	(void)state;

	strbuf_addstr(&arena.text, "before");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO_STRBUF key = STRBUF_INIT;
		struct change c = { .version = 4711 };
		struct jscan_value v;
		size_t text_before = arena.text.len, values_before = arena.nvalues;

		document(rows[i].json, &v);
		if (change_identify(*rows[i].table, &v, rows[i].json, &arena, &c) !=
		    (rows[i].version > 0))
			fail_msg("%s: %s", rows[i].json,
				 rows[i].version > 0 ? "not identified" : "identified");
		if (rows[i].version == 0) {
			assert_int_equal(c.version, 4711);
			assert_int_equal(arena.text.len, text_before);
			assert_int_equal(arena.nvalues, values_before);
			continue;
		}
		assert_int_equal(c.version, rows[i].version);
		assert_ptr_equal(c.table, *rows[i].table);
		change_key_text(&c, rows[i].json, &arena, &key);
		assert_string_equal(key.data, rows[i].key);
	}
	change_arena_clear(&arena);
}

static void truncates(void **state)
{
	static const struct {
		const char *json, *error;
	} rows[] = {
		{ "{" TABLE ",\"version\":7}", NULL },
		{ "{\"versi\\u006fn\":7}", NULL },
		{ "{" TABLE "}", "version is missing" },
		{ "{" TABLE ",\"version\":0}", "version must be an integer" },
		{ "{" TABLE ",\"version\":7,\"version\":7}", "duplicate key \"version\"" },
		{ ODD_DELETE, "unknown field \"key\"" },
		{ ROW(""), "unknown field \"row\"" },
		{ "{\"\":{\"count\":9},\"version\":7}", "unknown field \"\"" },
		{ "[]", "a change must be an object, not an array" },
	};
	struct change_arena arena = { 0 };
	struct jscan_value v;
	struct change c;
	struct err err;
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		document(rows[i].json, &v);
		bool ok = change_read_truncate(odd, &v, &arena, &c, &err);
		if (ok != (rows[i].error == NULL))
			fail_msg("%s: %s", rows[i].json, ok ? "accepted" : err.text);
		if (!ok && strncmp(err.text, rows[i].error, strlen(rows[i].error)) != 0)
			fail_msg("%s: says \"%s\"", rows[i].json, err.text);
		assert_true(!ok || (c.truncate && c.version == 7 && c.kind == CHANGE_DELETE));
		assert_true(!ok || (c.table == odd && c.key_len == 0));
		assert_int_equal(arena.nvalues, 0);
		assert_int_equal(arena.text.len, 0);
	}
	document("{\"version\":7}", &v);
	assert_false(change_read_truncate(products, &v, &arena, &c, &err));
	change_arena_clear(&arena);
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
		cmocka_unit_test(changes_are_read),
		cmocka_unit_test(a_change_is_read_behind_others),
		cmocka_unit_test(wrong_changes_are_refused_by_name),
		cmocka_unit_test(keys_are_in_order),
		cmocka_unit_test(one_row_has_one_key),
		cmocka_unit_test(keys_as_text),
		cmocka_unit_test(broken_changes_are_identified),
		cmocka_unit_test(truncates),
		cmocka_unit_test(transactions_are_listed_run_by_run),
		cmocka_unit_test(a_long_run_is_short_text),
		cmocka_unit_test(a_wrong_list_gives_zeros),
	};
	return cmocka_run_group_tests(tests, read_tables, free_tables);
}
