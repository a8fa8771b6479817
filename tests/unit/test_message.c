/*
 * message.c: what of a delivery becomes a change, what fails alone, and what fails as a whole.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "consumer/apply/message.h"
#include "tests/unit/tables_for_tests.h"

#define ID1 "\"id\":\"00000000-0000-4000-8000-000000000001\""
#define ID2 "\"id\":\"00000000-0000-4000-8000-000000000002\""
#define REST                                                                                        \
	",\"name\":\"A\",\"price\":1.50,\"stock\":3,\"createdAt\":\"2026-01-31T12:00:00.123456Z\"," \
	"\"updatedAt\":\"2026-01-31T12:00:00.123456Z\",\"version\":"
#define SYNC1	"{" ID1 REST "7}"
#define SYNC2	"{" ID2 REST "8}"
#define DELETE1 "{" ID1 ",\"version\":9}"

/* Of a stream whose messages name their table. */
#define ODD_TABLE  "\"table\":\"Sales.Odd \\\"one\\\"\""
#define LONG_TABLE "\"table\":\"" LONG_NAME "." LONG_NAME "\\\"\""
#define LONG_NAME  "a_name_that_is_as_long_as_any_may_be_in_postgresql_has_62_byte"
#define KEY(count) "{\"Region \\\"x\\\"\":\"eu\",\"select\":-3,\"count\":" count "}"
#define ODD	   "{" ODD_TABLE ",\"version\":7,\"row\":" KEY("9") "}"
#define ODD_DELETE "{" ODD_TABLE ",\"version\":8,\"key\":" KEY("9") "}"
#define LONG	   "{" LONG_TABLE ",\"version\":9,\"row\":{\"id\":5}}"

static struct table *flat_list[1], *list[2];
static const struct stream products_stream = { .number = 1, .text = "1", .name = "products" };
static const struct stream rest_stream = { .number = 2, .text = "2", .name = "rest" };
static const struct tables products = { .stream = &products_stream,
					.list = flat_list,
					.n = ARRAY_SIZE(flat_list) };
static const struct tables rest = { .stream = &rest_stream, .list = list, .n = ARRAY_SIZE(list) };

static int read_tables(void **state)
{
	(void)state;
	flat_list[0] = products_for_tests();
	list[0] = odd_for_tests();
	list[1] = table_for_tests(3, "{\"table\": 8, \"stream\": \"rest\", \"schema\": \"" LONG_NAME
				     "\", \"name\": \"" LONG_NAME
				     "\\\"\", \"version\": \"v\", \"key\": [1],"
				     " \"plain\": true, \"columns\": [" ODD_COLUMN(
					     1, "id", "integer", "int4", ODD_KEY) "]}");
	return 0;
}

static int free_tables(void **state)
{
	(void)state;
	flat_list[0] = table_free(flat_list[0]);
	list[0] = table_free(list[0]);
	list[1] = table_free(list[1]);
	return 0;
}

static struct amqp_delivery delivery(const char *body)
{
	return (struct amqp_delivery){
		.tag = 5,
		.consumer_tag = "sync",
		.type = "products.sync",
		.message_id = "m-1",
		.content_type = "application/json",
		.timestamp_s = 1700000000,
		.body = body,
		.len = strlen(body),
	};
}

static void test_bodies(void **state)
{
	static const struct {
		const char *what, *body;
		enum change_kind kind;
		size_t changes, failures;
		bool whole;	   /* the first failure is */
		const char *error; /* a piece of its text */
	} rows[] = {
		{ "a sync", SYNC1, CHANGE_SYNC, 1, 0, false, NULL },
		{ "a delete", DELETE1, CHANGE_DELETE, 1, 0, false, NULL },
		{ "an array", "[" SYNC1 "," SYNC2 "]", CHANGE_SYNC, 2, 0, false, NULL },
		{ "blanks around", " \n[" SYNC1 "]\n", CHANGE_SYNC, 1, 0, false, NULL },
		{ "nothing", "", CHANGE_SYNC, 0, 1, true, "empty" },
		{ "broken", "{\"id\":", CHANGE_SYNC, 0, 1, true, "" },
		{ "no UTF-8", "{\"id\":\"\xff\"}", CHANGE_SYNC, 0, 1, true, "" },
		{ "a rest", SYNC1 "x", CHANGE_SYNC, 0, 1, true, "" },
		{ "a string", "\"text\"", CHANGE_SYNC, 0, 1, true, "array of objects" },
		{ "null", "null", CHANGE_SYNC, 0, 1, true, "array of objects" },
		{ "an empty array", "[]", CHANGE_SYNC, 0, 1, true, "empty" },
		{ "an empty object", "{}", CHANGE_SYNC, 0, 1, true, "" },
		{ "a delete in the sync queue", DELETE1, CHANGE_SYNC, 0, 1, true, "" },
		{ "a sync in the delete queue", SYNC1, CHANGE_DELETE, 0, 1, true, "" },
		{ "version 0", "{" ID1 REST "0}", CHANGE_SYNC, 0, 1, true, "version" },
		{ "bad elements", "[" SYNC1 ",7," SYNC2 ",{}]", CHANGE_SYNC, 2, 2, false,
		  "must be a JSON object" },
	};
	(void)state;
	struct batch b;
	batch_init(&b);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct amqp_delivery d = delivery(rows[i].body);
		batch_reset(&b);
		message_take(&b, &d, rows[i].kind, &products);
		if (b.nchanges != rows[i].changes || b.nfailures != rows[i].failures)
			print_error("row: %s\n", rows[i].what);
		assert_int_equal(b.nmessages, 1);
		assert_int_equal(b.nchanges, rows[i].changes);
		assert_int_equal(b.nfailures, rows[i].failures);
		if (rows[i].failures == 0)
			continue;
		const char *error = batch_text(&b, b.failures[0].error_at);
		if (strstr(error, rows[i].error) == NULL)
			print_error("row: %s: %s\n", rows[i].what, error);
		assert_true(strlen(error) > 0);
		assert_non_null(strstr(error, rows[i].error));
		assert_int_equal(b.failures[0].whole, rows[i].whole);
		if (rows[i].whole)
			assert_int_equal(b.failures[0].raw.len, strlen(rows[i].body));
	}
	batch_clear(&b);
}

/* The table that a change names, and which row a failure is about. */
static void test_tables(void **state)
{
	static const struct {
		const char *what, *body;
		enum change_kind kind;
		size_t changes, failures;
		/* these: of the first failure; of the first change without one */
		const char *error;
		int table;
		const char *key;
		int64_t version;
	} rows[] = {
		{ "a row", ODD, CHANGE_SYNC, 1, 0, NULL, 7, "{eu,-3,9}", 7 },
		{ "a key", ODD_DELETE, CHANGE_DELETE, 1, 0, NULL, 7, "{eu,-3,9}", 8 },
		{ "a long name with an escape", LONG, CHANGE_SYNC, 1, 0, NULL, 8, "{5}", 9 },
		{ "two tables", "[" LONG "," ODD "]", CHANGE_SYNC, 2, 0, NULL, 8, "{5}", 9 },
		{ "an escape that none needs",
		  "{\"t\\u0061ble\":\"S\\u0061les.Odd \\u0022one\\\"\",\"version\":7,\"row\":" KEY(
			  "1") "}",
		  CHANGE_SYNC, 1, 0, NULL, 7, "{eu,-3,1}", 7 },
		{ "no table", "{\"version\":7,\"row\":" KEY("9") "}", CHANGE_SYNC, 0, 1,
		  "table is missing", 0, "", 0 },
		{ "a number", "{\"table\":7,\"version\":7,\"row\":" KEY("9") "}", CHANGE_SYNC, 0, 1,
		  "table is missing", 0, "", 0 },
		{ "another table", "{\"table\":\"public.products\"}", CHANGE_SYNC, 0, 1,
		  "this replica has no table public.products", 0, "", 0 },
		{ "another case", "{\"table\":\"sales.Odd \\\"one\\\"\"}", CHANGE_SYNC, 0, 1,
		  "this replica has no table sales.Odd \"one\"", 0, "", 0 },
		{ "a longer name", "{\"table\":\"Sales.Odd \\\"one\\\"s\"}", CHANGE_SYNC, 0, 1,
		  "this replica has no table Sales.Odd \"one\"s", 0, "", 0 },
		{ "no object", "[7]", CHANGE_SYNC, 0, 1, "a change must be a JSON object", 0, "",
		  0 },
		{ "a flat one", SYNC1, CHANGE_SYNC, 0, 1, "table is missing", 0, "", 0 },
		{ "a broken row",
		  "[" ODD ",{" ODD_TABLE ",\"version\":6,\"row\":" KEY("8") ",\"more\":1}]",
		  CHANGE_SYNC, 1, 1, "unknown field \"more\"", 7, "{eu,-3,8}", 6 },
		{ "the other kind", ODD, CHANGE_DELETE, 0, 1, "unknown field \"row\"", 7,
		  "{eu,-3,9}", 7 },
	};
	struct batch b;
	(void)state;

	batch_init(&b);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct amqp_delivery d = delivery(rows[i].body);
		struct batch_failure f = { 0 };

		batch_reset(&b);
		message_take(&b, &d, rows[i].kind, &rest);
		print_message("%s\n", rows[i].what);
		assert_int_equal(b.nchanges, rows[i].changes);
		assert_int_equal(b.nfailures, rows[i].failures);
		if (rows[i].failures > 0) {
			f = b.failures[0];
			assert_string_equal(batch_text(&b, f.error_at), rows[i].error);
		} else {
			batch_name_row(&b, &f, &b.changes[0].change);
		}
		assert_int_equal(f.table, rows[i].table);
		assert_string_equal(batch_text(&b, f.key_at), rows[i].key);
		assert_int_equal(f.version, rows[i].version);
	}
	/* Of the wrong content type: what it is about is told all the same. */
	struct amqp_delivery d = delivery(ODD);
	d.content_type = "text/plain";
	batch_reset(&b);
	message_take(&b, &d, CHANGE_SYNC, &rest);
	assert_int_equal(b.nfailures, 1);
	assert_true(b.failures[0].whole);
	assert_int_equal(b.failures[0].table, 7);
	assert_string_equal(batch_text(&b, b.failures[0].key_at), "{eu,-3,9}");
	batch_clear(&b);
}

/* A TRUNCATE is told by its type, in the delete queue, and is of no flat table. */
static void test_truncates(void **state)
{
	static const struct {
		const char *type, *body;
		enum change_kind kind;
		bool flat, good;
		const char *error;
	} rows[] = {
		{ "rest.truncate", "{" ODD_TABLE ",\"version\":9}", CHANGE_DELETE, false, true,
		  NULL },
		{ "rest.delete", "{" ODD_TABLE ",\"version\":9}", CHANGE_DELETE, false, false,
		  "key is missing" },
		{ "rest.truncate", "{" ODD_TABLE ",\"version\":9}", CHANGE_SYNC, false, false,
		  "row is missing" },
		{ "products.truncate", "{" ODD_TABLE ",\"version\":9}", CHANGE_DELETE, false, false,
		  "key is missing" },
		{ "rest.truncate", "{" ODD_TABLE "}", CHANGE_DELETE, false, false,
		  "version is missing" },
		{ "rest.truncate", ODD_DELETE, CHANGE_DELETE, false, false,
		  "unknown field \"key\"" },
		{ "rest.truncate", ODD, CHANGE_DELETE, false, false, "unknown field \"row\"" },
		{ "rest.truncate", "{\"version\":9}", CHANGE_DELETE, false, false,
		  "table is missing" },
		{ "products.truncate", "{\"version\":9}", CHANGE_DELETE, true, false,
		  "public.products has no TRUNCATE, but a delete of each row" },
	};
	struct batch b;
	(void)state;

	batch_init(&b);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct amqp_delivery d = delivery(rows[i].body);
		d.type = rows[i].type;
		batch_reset(&b);
		message_take(&b, &d, rows[i].kind, rows[i].flat ? &products : &rest);
		print_message("%s in %s\n", rows[i].type, change_kind_name(rows[i].kind));
		assert_int_equal(b.nchanges, rows[i].good);
		assert_int_equal(b.nfailures, !rows[i].good);
		if (rows[i].good) {
			assert_true(b.changes[0].change.truncate);
			assert_int_equal(b.changes[0].change.kind, CHANGE_DELETE);
			assert_int_equal(b.changes[0].change.version, 9);
		} else {
			assert_string_equal(batch_text(&b, b.failures[0].error_at), rows[i].error);
		}
	}
	batch_clear(&b);
}

/* The description is kept as it came; its number is in a header. */
static void test_shapes(void **state)
{
	static const struct {
		const char *body;
		struct amqp_header header;
		bool good;
	} rows[] = {
		{ "{\"a\": [1]}", { .key = "x-shape", .num = 12 }, true },
		{ "{\"a\": [1]}", { .key = "x-shape", .str = "12" }, true },
		{ "{\"a\": [1]}", { .key = "other", .num = 12 }, false },
		{ "{\"a\": [1]}", { .key = "x-shape", .num = 0 }, false },
		{ "{\"a\": [1]}", { .key = "x-shape", .num = INT64_C(1) << 31 }, false },
		{ "{\"a\"", { .key = "x-shape", .num = 12 }, false },
		{ "", { .key = "x-shape", .num = 12 }, false },
	};
	struct batch b;
	(void)state;

	batch_init(&b);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct amqp_delivery d = delivery(rows[i].body);
		d.type = "rest.shape";
		d.headers = &rows[i].header;
		d.nheaders = 1;
		batch_reset(&b);
		assert_int_equal(b.shape, 0);
		message_take(&b, &d, CHANGE_SYNC, &rest);
		if ((b.shape == 12) != rows[i].good)
			fail_msg("row %zu: %d", i, b.shape);
		assert_int_equal(b.nfailures, !rows[i].good);
		assert_int_equal(b.nchanges, 0);
		if (rows[i].good) {
			assert_int_equal(b.shape_body.len, d.len);
			assert_memory_equal(b.bodies.data + b.shape_body.at, d.body, d.len);
		}
	}
	batch_clear(&b);
}

/* x-inserted counts for all of a message's changes, or for none. */
static void test_inserted(void **state)
{
	static const struct {
		const char *body;
		struct amqp_header header;
		bool inserted;
	} rows[] = {
		{ SYNC1, { .key = "x-inserted", .num = 1 }, true },
		{ SYNC1, { .key = "x-inserted", .str = "1" }, true },
		{ SYNC1, { .key = "x-inserted", .num = 0 }, false },
		{ SYNC1, { .key = "x-inserted", .num = 2 }, false },
		{ SYNC1, { .key = "x-inserted", .num = -1 }, false },
		{ SYNC1, { .key = "other", .num = 1 }, false },
		{ "[" SYNC1 "," SYNC2 "]", { .key = "x-inserted", .num = 2 }, true },
		{ "[" SYNC1 "," SYNC2 "]", { .key = "x-inserted", .num = 1 }, false },
	};
	struct batch b;
	(void)state;

	batch_init(&b);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct amqp_delivery d = delivery(rows[i].body);
		d.headers = &rows[i].header;
		d.nheaders = 1;
		batch_reset(&b);
		message_take(&b, &d, CHANGE_SYNC, &products);
		assert_true(b.nchanges > 0);
		for (size_t k = 0; k < b.nchanges; k++)
			if (b.changes[k].change.inserted != rows[i].inserted)
				fail_msg("row %zu", i);
	}
	batch_clear(&b);
}

static void test_elements_keep_text_and_xid(void **state)
{
	(void)state;
	const struct amqp_header headers[] = { { .key = "x-xid", .str = "70*2 90" },
					       { .key = "x-source", .str = "s1" } };
	struct amqp_delivery d = delivery("[" SYNC1 ",  {\"bad\" : 1}, " SYNC2 "]");
	d.headers = headers;
	d.nheaders = ARRAY_SIZE(headers);
	struct batch b;
	batch_init(&b);
	message_take(&b, &d, CHANGE_SYNC, &products);
	assert_int_equal(b.nchanges, 2);
	assert_int_equal(b.changes[0].change.xid, 70);
	assert_int_equal(b.changes[1].change.xid, 90);
	assert_int_equal(b.changes[1].raw.len, strlen(SYNC2));
	assert_memory_equal(b.bodies.data + b.changes[1].raw.at, SYNC2, strlen(SYNC2));
	assert_int_equal(b.nfailures, 1);
	assert_int_equal(b.failures[0].xid, 70);
	assert_false(b.failures[0].whole);
	assert_int_equal(b.failures[0].raw.len, strlen("{\"bad\" : 1}"));
	assert_memory_equal(b.bodies.data + b.failures[0].raw.at, "{\"bad\" : 1}",
			    b.failures[0].raw.len);
	assert_string_equal(batch_text(&b, b.source_at), "s1");
	assert_string_equal(batch_text(&b, b.messages[0].id_at), "m-1");
	assert_string_equal(batch_text(&b, b.messages[0].type_at), "products.sync");
	assert_string_equal(batch_text(&b, b.messages[0].xids_at), "70*2 90");

	/* A list that does not fit the changes says nothing at all. */
	batch_reset(&b);
	d = delivery(SYNC1);
	d.headers = headers;
	d.nheaders = ARRAY_SIZE(headers);
	message_take(&b, &d, CHANGE_SYNC, &products);
	assert_int_equal(b.nchanges, 1);
	assert_int_equal(b.changes[0].change.xid, 0);
	batch_clear(&b);
}

static void test_attempts(void **state)
{
	static const struct {
		struct amqp_header header;
		unsigned attempt;
	} rows[] = {
		{ { .key = "other", .num = 2 }, 0 },
		{ { .key = "x-attempt", .num = 2 }, 2 },
		{ { .key = "x-attempt", .str = "2" }, 2 },
		{ { .key = "x-attempt", .str = "two" }, 0 },
		{ { .key = "x-attempt", .str = "" }, 0 },
		{ { .key = "x-attempt", .str = "-1" }, 0 },
		{ { .key = "x-attempt", .num = -1 }, 0 },
		{ { .key = "x-attempt", .num = INT64_MAX }, 1000 },
		{ { .key = "x-attempt", .str = "99999999999999999999999999" }, 0 },
	};
	(void)state;
	struct batch b;
	batch_init(&b);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct amqp_delivery d = delivery(SYNC1);
		d.headers = &rows[i].header;
		d.nheaders = 1;
		batch_reset(&b);
		message_take(&b, &d, CHANGE_SYNC, &products);
		if (b.messages[0].attempt != rows[i].attempt)
			print_error("row %zu\n", i);
		assert_int_equal(b.messages[0].attempt, rows[i].attempt);
	}
	batch_clear(&b);
}

static void test_headers_that_travel_on(void **state)
{
	(void)state;
	static char big[1000];
	memset(big, 'x', sizeof(big) - 1);
	const struct amqp_header headers[] = {
		{ .key = "x-attempt", .num = 1 }, { .key = "x-error", .str = "old" },
		{ .key = "x-queue", .str = "q" }, { .key = "x-died-at", .str = "t" },
		{ .key = "x-shape", .num = 12 },  { .key = "x-inserted", .num = 1 },
		{ .key = "x-lsn", .num = 4711 },  { .key = "x-first-death-queue", .str = "q" },
		{ .key = "x-death", .num = 3 },	  { .key = "x-delivery-count", .num = 3 },
		{ .key = "big", .str = big },	  { .key = "trace", .str = "abc" },
		{ .key = "tenant", .num = 7 },	  { .key = "empty", .str = "" },
	};
	struct amqp_delivery d = delivery(SYNC1);
	d.headers = headers;
	d.nheaders = ARRAY_SIZE(headers);
	struct batch b;
	batch_init(&b);
	message_take(&b, &d, CHANGE_SYNC, &products);
	assert_int_equal(b.messages[0].shape, 12);
	assert_int_equal(b.messages[0].inserted, 1);
	assert_int_equal(b.messages[0].lsn, 4711);
	assert_int_equal(b.lsn, 4711);
	assert_int_equal(b.messages[0].nheaders, 3);
	assert_string_equal(batch_text(&b, b.headers[0].key_at), "trace");
	assert_string_equal(batch_text(&b, b.headers[0].str_at), "abc");
	assert_string_equal(batch_text(&b, b.headers[1].key_at), "tenant");
	assert_int_equal(b.headers[1].str_at, 0);
	assert_int_equal(b.headers[1].num, 7);
	assert_int_not_equal(b.headers[2].str_at, 0);
	assert_string_equal(batch_text(&b, b.headers[2].str_at), "");
	batch_clear(&b);
}

/* Of a change and of a heartbeat; nonsense is as good as none. */
static void test_places(void **state)
{
	static const struct {
		struct amqp_header header;
		int64_t lsn;
	} rows[] = {
		{ { .key = "x-lsn", .num = INT64_C(0x7000000012345678) },
		  INT64_C(0x7000000012345678) },
		{ { .key = "x-lsn", .str = "4711" }, 4711 },
		{ { .key = "x-lsn", .num = -5 }, 0 },
		{ { .key = "x-lsn", .str = "0/4711" }, 0 },
		{ { .key = "x-lsn", .str = "99999999999999999999" }, 0 },
		{ { .key = "x-lsn", .str = "" }, 0 },
		{ { .key = "x-other", .num = 5 }, 0 },
	};
	struct batch b;
	(void)state;

	batch_init(&b);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct amqp_header headers[] = { { .key = "x-source", .str = "1/2" },
						       rows[i].header };
		struct amqp_delivery d = delivery(SYNC1);
		d.headers = headers;
		d.nheaders = ARRAY_SIZE(headers);
		batch_reset(&b);
		message_take(&b, &d, CHANGE_SYNC, &products);
		assert_int_equal(b.lsn, rows[i].lsn);
		d.body =
			"{\"at\":\"2000-01-01T00:00:01Z\",\"version\":1,\"terms\":[{\"term\":1,\"sync\":1,"
			"\"delete\":1}]}";
		d.len = strlen(d.body);
		d.type = "products.heartbeat";
		message_take(&b, &d, CHANGE_DELETE, &products);
		assert_true(b.has_beat[CHANGE_DELETE]);
		assert_int_equal(b.beat[CHANGE_DELETE].lsn, rows[i].lsn);
		assert_int_equal(b.lsn, rows[i].lsn);
	}
	batch_clear(&b);
}

static void test_content_types(void **state)
{
	static const struct {
		const char *type;
		bool good;
	} rows[] = {
		{ NULL, true },
		{ "", true },
		{ "application/json", true },
		{ "Application/JSON; charset=utf-8", true },
		{ "text/plain", false },
		{ "application/jsonx", false },
	};
	(void)state;
	struct batch b;
	batch_init(&b);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct amqp_delivery d = delivery(SYNC1);
		d.content_type = rows[i].type;
		batch_reset(&b);
		message_take(&b, &d, CHANGE_SYNC, &products);
		if ((b.nchanges == 1) != rows[i].good)
			print_error("row: %s\n", rows[i].type);
		assert_int_equal(b.nchanges, rows[i].good);
		assert_int_equal(b.nfailures, !rows[i].good);
	}
	batch_clear(&b);
}

static void test_sources(void **state)
{
	(void)state;
	const struct amqp_header good = { .key = "x-source", .str = "71234" };
	const struct amqp_header bad = { .key = "x-source", .str = "\xff" };
	const struct amqp_header number = { .key = "x-source", .num = 5 };
	struct amqp_delivery d = delivery(SYNC1);

	assert_string_equal(message_source(&d), "");
	d.nheaders = 1;
	d.headers = &good;
	assert_string_equal(message_source(&d), "71234");
	d.headers = &bad;
	assert_string_equal(message_source(&d), "");
	d.headers = &number;
	assert_string_equal(message_source(&d), "");
}

#define TERMS \
	"\"version\":42,\"terms\":[{\"term\":8,\"sync\":7,\"delete\":3},{\"term\":5,\"sync\":20,\"delete\":0}]"

static void test_heartbeats(void **state)
{
	static const struct {
		const char *body;
		bool good;
	} rows[] = {
		{ "{\"at\":\"2000-01-01T00:00:01.000005Z\"," TERMS "}", true },
		{ " { " TERMS ", \"at\" : \"2000-01-01T00:00:00Z\" } ", true },
		{ "{\"at\":\"2000-01-01T00:00:00Z\"}", false },
		{ "{" TERMS "}", false },
		{ "{\"at\":\"2000-01-01T00:00:00Z\",\"version\":1,\"terms\":[]}", false },
		{ "{\"at\":\"2000-01-01T00:00:00Z\",\"version\":1,\"terms\":[1]}", false },
		{ "{\"at\":\"2000-01-01T00:00:00Z\",\"version\":1,\"terms\":[{\"term\":1,\"sync\":1}]}",
		  false },
		{ "{\"at\":\"2000-01-01T00:00:00Z\",\"version\":4611686018427387905,\"terms\":["
		  "{\"term\":1,\"sync\":1,\"delete\":1}]}",
		  false },
		{ "{\"at\":\"2000-01-01T00:00:00Z\",\"version\":1,\"terms\":["
		  "{\"term\":1,\"sync\":1,\"delete\":-1}]}",
		  false },
		{ "{\"at\":\"2000-01-01T00:00:00Z\",\"version\":1,\"terms\":["
		  "{\"term\":1,\"sync\":1,\"delete\":1},{\"term\":1,\"sync\":1,\"delete\":1}]}",
		  false },
		{ "{\"at\":\"2000-01-01T00:00:00Z\",\"at\":\"2000-01-01T00:00:00Z\"," TERMS "}",
		  false },
		{ "{\"at\":\"2000-01-01T00:00:00Z\",\"more\":1," TERMS "}", false },
		{ "{\"at\":1," TERMS "}", false },
		{ "{\"at\":\"infinity\"," TERMS "}", false },
		{ "{}", false },
		{ "[]", false },
		{ SYNC1, false },
		{ "", false },
	};
	const struct amqp_header source = { .key = "x-source", .str = "1/2" };
	struct batch b;

	(void)state;
	batch_init(&b);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct amqp_delivery d = delivery(rows[i].body);
		d.type = "products.heartbeat";
		d.headers = &source;
		d.nheaders = 1;
		size_t beats = b.nbeats, failures = b.nfailures;
		message_take(&b, &d, CHANGE_DELETE, &products);
		if (b.nbeats != beats + rows[i].good)
			print_error("row: %s\n", rows[i].body);
		assert_int_equal(b.nbeats, beats + rows[i].good);
		assert_int_equal(b.nfailures, failures + !rows[i].good);
	}
	assert_int_equal(b.nchanges, 0);
	assert_int_equal(b.nmessages, ARRAY_SIZE(rows));
	/* The newest of its queue counts. */
	assert_true(b.has_beat[CHANGE_DELETE] && !b.has_beat[CHANGE_SYNC]);
	const struct heartbeat *beat = &b.beat[CHANGE_DELETE].beat;
	assert_int_equal(beat->at_us, 1000005);
	assert_int_equal(beat->version, 42);
	assert_int_equal(beat->nterms, 2);
	assert_int_equal(beat->terms[0].term, 8);
	assert_int_equal(beat->terms[0].messages[CHANGE_DELETE], 3);
	assert_int_equal(beat->terms[1].messages[CHANGE_SYNC], 20);
	batch_reset(&b);
	assert_true(!b.has_beat[CHANGE_DELETE] && b.nbeats == 0);
	/* Of another stream it is none. */
	struct amqp_delivery other = delivery(rows[0].body);
	other.type = "products.heartbeat";
	other.headers = &source;
	other.nheaders = 1;
	message_take(&b, &other, CHANGE_DELETE, &rest);
	assert_int_equal(b.nbeats, 0);
	assert_int_equal(b.nfailures, 1);
	other.type = "rest.heartbeat";
	message_take(&b, &other, CHANGE_DELETE, &rest);
	assert_int_equal(b.nbeats, 1);
	batch_reset(&b);
	/* Without the type it is no heartbeat; without a source nobody knows whose. */
	struct amqp_delivery d = delivery(rows[0].body);
	d.headers = &source;
	d.nheaders = 1;
	message_take(&b, &d, CHANGE_DELETE, &products);
	assert_int_equal(b.nfailures, 1);
	d.type = "products.heartbeat";
	d.nheaders = 0;
	message_take(&b, &d, CHANGE_DELETE, &products);
	assert_int_equal(b.nfailures, 2);
	assert_false(b.has_beat[CHANGE_DELETE]);
	batch_clear(&b);
}

static void test_marks(void **state)
{
	static const struct {
		const char *reply_to, *body;
		bool good;
	} rows[] = {
		{ "amq.rabbitmq.reply-to.g1x", "{\"queue\":0,\"changes\":1,\"sent\":1}", true },
		{ "amq.rabbitmq.reply-to.g2x", "{\"queue\":0,\"changes\":2,\"sent\":1}", true },
		{ NULL, "{\"queue\":0,\"changes\":3,\"sent\":1}", false },
		{ "", "{\"queue\":0,\"changes\":3,\"sent\":1}", false },
		{ "products.sync.replica-2", "{\"queue\":0,\"changes\":3,\"sent\":1}", false },
		{ "amq.rabbitmq.reply-to.g1x", "not JSON", false },
		{ "amq.rabbitmq.reply-to.g1x", "", false },
	};
	struct batch b;

	(void)state;
	batch_init(&b);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct amqp_delivery d = delivery(rows[i].body);
		d.type = "products.mark";
		d.reply_to = rows[i].reply_to;
		size_t marks = b.nbeats, failures = b.nfailures;
		message_take(&b, &d, CHANGE_SYNC, &products);
		if (b.nbeats != marks + rows[i].good)
			print_error("row: %zu\n", i);
		assert_int_equal(b.nbeats, marks + rows[i].good);
		assert_int_equal(b.nfailures, failures + !rows[i].good);
	}
	/* The newest of its queue is answered. */
	assert_string_equal(batch_text(&b, b.mark_reply_to_at[CHANGE_SYNC]), rows[1].reply_to);
	assert_string_equal(batch_text(&b, b.mark_body_at[CHANGE_SYNC]), rows[1].body);
	assert_int_equal(b.mark_body_at[CHANGE_DELETE], 0);
	batch_reset(&b);
	assert_int_equal(b.mark_body_at[CHANGE_SYNC], 0);
	batch_clear(&b);
}

static void test_numbers(void **state)
{
	static const struct {
		struct amqp_header term, number;
		bool good;
	} rows[] = {
		{ { "x-term", NULL, 9 }, { "x-number", NULL, 4 }, true },
		{ { "x-term", "9", 0 }, { "x-number", "5", 0 }, true },
		{ { "x-term", NULL, 9 }, { "x-other", NULL, 4 }, false },
		{ { "x-term", NULL, 0 }, { "x-number", NULL, 4 }, false },
		{ { "x-term", NULL, 9 }, { "x-number", NULL, -4 }, false },
		{ { "x-term", NULL, 9 }, { "x-number", NULL, INT64_MAX }, false },
		{ { "x-term", "nine", 0 }, { "x-number", NULL, 4 }, false },
	};
	struct batch b;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct amqp_header headers[] = { rows[i].term, rows[i].number };
		/* What cannot be read has come all the same. */
		struct amqp_delivery d = delivery(i % 2 ? SYNC1 : "broken");
		d.headers = headers;
		d.nheaders = ARRAY_SIZE(headers);
		batch_init(&b);
		message_take(&b, &d, CHANGE_SYNC, &products);
		if (batch_has_arrivals(&b) != rows[i].good)
			print_error("row %zu\n", i);
		assert_int_equal(batch_has_arrivals(&b), rows[i].good);
		batch_clear(&b);
	}
	assert_false(message_header_travels(&rows[0].term));
	assert_false(message_header_travels(&rows[0].number));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_inserted),
		cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_truncates),
		cmocka_unit_test(test_elements_keep_text_and_xid),
		cmocka_unit_test(test_attempts),
		cmocka_unit_test(test_headers_that_travel_on),
		cmocka_unit_test(test_content_types),
		cmocka_unit_test(test_sources),
		cmocka_unit_test(test_heartbeats),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_marks),
		cmocka_unit_test(test_numbers),
	};
	return cmocka_run_group_tests(tests, read_tables, free_tables);
}
