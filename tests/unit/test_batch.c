/*
 * batch.c: which change of a row is applied, in what order, what takes its place when it is
 * refused, and the parameters.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/uuid.h"
#include "consumer/apply/batch.h"
#include "tests/unit/tables_for_tests.h"

static struct table *products, *odd;

static int read_tables(void **state)
{
	(void)state;
	products = products_for_tests();
	odd = odd_for_tests();
	return 0;
}

static int free_tables(void **state)
{
	(void)state;
	products = table_free(products);
	odd = table_free(odd);
	return 0;
}

/* As message.c does it. */
static void add_json(struct batch *b, const struct table *t, enum change_kind kind,
		     const char *json, size_t len)
{
	struct batch_slice raw = { b->bodies.len, len };
	struct jscan_value v;
	struct change c;
	struct err err = { .text = "" };

	strbuf_add(&b->bodies, json, len);
	if (!jscan_document(b->bodies.data + raw.at, raw.len, &v, &err) ||
	    !change_read(t, &v, kind, b->bodies.data, &b->arena, &c, &err))
		fail_msg("%.*s: %s", (int)len, json, err.text);
	c.xid = (uint64_t)c.version + 7000;
	batch_add_change(b, &c, raw);
}

static void add(struct batch *b, unsigned id, int64_t version, enum change_kind kind)
{
	AUTO_STRBUF json = STRBUF_INIT;

	strbuf_addf(&json, "{\"id\":\"00000000-0000-0000-0000-%012x\",\"version\":%lld", id,
		    (long long)version);
	if (kind == CHANGE_SYNC)
		strbuf_addf(
			&json,
			",\"name\":\"name\",\"price\":12.50,\"stock\":%u,\"createdAt\":\"2000-01-01T"
			"00:00:00.000001Z\",\"updatedAt\":\"2000-01-01T00:00:00.000002Z\"",
			id);
	strbuf_addch(&json, '}');
	add_json(b, products, kind, json.data, json.len);
}

/* Of the other table: its key is ("eu", tenant, 1). more: members of the row. */
static void add_odd(struct batch *b, int tenant, int64_t version, enum change_kind kind,
		    const char *more)
{
	AUTO_STRBUF json = STRBUF_INIT;

	strbuf_addf(
		&json,
		"{\"version\":%lld,\"%s\":{\"Region \\\"x\\\"\":\"eu\",\"select\":%d,\"count\":1%s}}",
		(long long)version, kind == CHANGE_SYNC ? "row" : "key", tenant, more);
	add_json(b, odd, kind, json.data, json.len);
}

/* A number that says which row it is. */
static long row_of(const struct batch *b, const struct change *c)
{
	const struct change_value *v = &b->arena.values[c->first_value];

	if (c->table == odd)
		return (long)v[ODD_TENANT].at;
	const char *id = change_text(&b->arena, b->bodies.data, &v[PRODUCTS_ID]);
	return (uint8_t)id[14] << 8 | (uint8_t)id[15];
}

static const struct err *why(const char *text)
{
	static struct err err;

	err_set(&err, "%s", text);
	err_show(&err, "a word for \"%s\"", text);
	return &err;
}

/* "1v5 2v3 /7v2": rows and versions in order, a slash in front of those of the other table. */
static const char *order_text(const struct batch *b)
{
	static char text[512];
	size_t n = 0;

	text[0] = '\0';
	for (size_t i = 0; i < b->norder; i++) {
		const struct change *c = &b->changes[b->order[i]].change;
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s%ldv%lld", i ? " " : "",
				      c->table == odd ? "/" : "", row_of(b, c),
				      (long long)c->version);
	}
	return text;
}

static void test_newest_wins(void **state)
{
	static const struct {
		const char *what;
		struct {
			unsigned id;
			int64_t version;
		} in[6];
		const char *out;
	} rows[] = {
		{ "nothing", { { 0, 0 } }, "" },
		{ "one", { { 1, 5 } }, "1v5" },
		{ "in order", { { 1, 5 }, { 1, 6 }, { 1, 7 } }, "1v7" },
		{ "reordered", { { 1, 7 }, { 1, 5 }, { 1, 6 } }, "1v7" },
		{ "duplicates", { { 1, 7 }, { 1, 7 }, { 1, 7 } }, "1v7" },
		{ "several rows, sorted by key",
		  { { 9, 2 }, { 3, 1 }, { 9, 1 }, { 5, 4 }, { 3, 8 } },
		  "3v8 5v4 9v2" },
		{ "the largest version", { { 1, INT64_MAX }, { 1, 1 } }, "1v9223372036854775807" },
	};
	(void)state;
	struct batch b;
	batch_init(&b);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		batch_reset(&b);
		batch_add_message(&b, 1, CHANGE_SYNC);
		for (size_t j = 0; j < 6 && rows[i].in[j].version != 0; j++)
			add(&b, rows[i].in[j].id, rows[i].in[j].version,
			    j % 2 ? CHANGE_DELETE : CHANGE_SYNC);
		batch_seal(&b);
		if (strcmp(order_text(&b), rows[i].out) != 0)
			print_error("row: %s\n", rows[i].what);
		assert_string_equal(order_text(&b), rows[i].out);
	}
	batch_clear(&b);
}

/* Of two with the same version the first one stands. */
static void test_first_of_twins(void **state)
{
	(void)state;
	struct batch b;
	batch_init(&b);
	batch_add_message(&b, 1, CHANGE_SYNC);
	add(&b, 1, 5, CHANGE_SYNC);
	add(&b, 1, 5, CHANGE_DELETE);
	batch_seal(&b);
	assert_int_equal(b.norder, 1);
	assert_int_equal(b.changes[b.order[0]].change.kind, CHANGE_SYNC);
	batch_clear(&b);
}

/* When the newest is refused, the others of that row come up one after another, newest first,
 * each once. */
static void test_older_take_over(void **state)
{
	(void)state;
	struct batch b;
	size_t at;
	batch_init(&b);
	batch_add_message(&b, 1, CHANGE_SYNC);
	add(&b, 1, 5, CHANGE_SYNC);
	add(&b, 2, 9, CHANGE_SYNC);
	add(&b, 1, 7, CHANGE_SYNC);
	add(&b, 1, 6, CHANGE_DELETE);
	batch_seal(&b);
	assert_string_equal(order_text(&b), "1v7 2v9");
	assert_true(batch_older(&b, b.order[0], &at));
	assert_int_equal(at, 2);
	assert_true(batch_older(&b, b.order[at], &at));
	assert_int_equal(at, 3);
	assert_string_equal(order_text(&b), "1v7 2v9 1v6 1v5");
	assert_false(batch_older(&b, b.order[at], &at));
	assert_false(batch_older(&b, b.order[1], &at));
	batch_clear(&b);
}

static void test_many_and_again(void **state)
{
	(void)state;
	struct batch b;
	batch_init(&b);
	/* The second and third round use what the first one left behind. 40000 grows beyond what a
	 * reset keeps. */
	static const unsigned rounds[] = { 3000, 40000, 10 };
	for (size_t r = 0; r < ARRAY_SIZE(rounds); r++) {
		batch_reset(&b);
		batch_add_message(&b, r + 1, CHANGE_SYNC);
		for (unsigned i = 0; i < rounds[r]; i++)
			add(&b, i, 2 * i + 2, CHANGE_SYNC);
		for (unsigned i = 0; i < rounds[r]; i++)
			add(&b, i, 2 * i + (i % 3 == 0 ? 3 : 1), CHANGE_DELETE);
		batch_seal(&b);
		assert_int_equal(b.norder, rounds[r]);
		for (unsigned i = 0; i < rounds[r]; i++) {
			const struct change *c = &b.changes[b.order[i]].change;
			assert_int_equal(row_of(&b, c), i);
			assert_int_equal(c->version, 2 * i + (i % 3 == 0 ? 3 : 2));
		}
	}
	batch_clear(&b);
}

static void test_sources(void **state)
{
	(void)state;
	struct batch b;
	batch_init(&b);
	assert_true(batch_takes_source(&b, ""));
	assert_true(batch_takes_source(&b, "7001"));
	b.source_at = batch_add_text(&b, "7001", 4);
	batch_add_message(&b, 1, CHANGE_SYNC);
	assert_true(batch_takes_source(&b, "7001"));
	assert_false(batch_takes_source(&b, ""));
	assert_false(batch_takes_source(&b, "70011"));
	batch_reset(&b);
	assert_true(batch_takes_source(&b, "other"));
	batch_add_message(&b, 1, CHANGE_SYNC);
	assert_true(batch_takes_source(&b, ""));
	assert_false(batch_takes_source(&b, "other"));
	batch_clear(&b);
}

/* ---- parameters ---- */

/* A binary array as "a,NULL,b"; of a UUID its length, its first and its last byte. */
static const char *array_text(const char *p, size_t len, int32_t type)
{
	static char text[1000];
	size_t n = 0, at = 20;

	/* dimensions, has-null flag, type, length, lower bound */
	text[0] = '\0';
	assert_int_equal(pg_get_int4(p + 8), type);
	if (pg_get_int4(p) == 0) {
		assert_int_equal(len, 12);
		return text;
	}
	assert_int_equal(pg_get_int4(p), 1);
	assert_int_equal(pg_get_int4(p + 16), 1);
	bool has_null = false;
	for (int32_t i = 0; i < pg_get_int4(p + 12); i++) {
		int32_t l = pg_get_int4(p + at);

		at += 4;
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s", i ? "," : "");
		if (l < 0) {
			has_null = true;
			n += (size_t)snprintf(text + n, sizeof(text) - n, "NULL");
			continue;
		}
		assert_true(at + (size_t)l <= len);
		if (type == PGARRAY_BOOL)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%d", p[at]);
		else if (type == PGARRAY_INT4)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%d",
					      pg_get_int4(p + at));
		else if (type == PGARRAY_TEXT)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%.*s", l, p + at);
		else if (type == PGARRAY_UUID)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%d:%02x%02x", l,
					      (uint8_t)p[at], (uint8_t)p[at + 15]);
		else
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%lld",
					      (long long)pg_get_int8(p + at));
		at += (size_t)l;
	}
	assert_int_equal(at, len);
	assert_int_equal(pg_get_int4(p + 4), has_null);
	return text;
}

/* The k-th column of the composite, of n. */
static const char *column_text(const struct db_param *param, int32_t n, int k, int32_t oid,
			       int32_t type)
{
	const char *p = param->data;
	size_t at = 4;

	assert_int_equal(param->format, 1);
	assert_int_equal(pg_get_int4(p), n);
	while (k-- > 0)
		at += 8 + (size_t)pg_get_int4(p + at + 4);
	assert_int_equal(pg_get_int4(p + at), oid);
	assert_true(at + 8 + (size_t)pg_get_int4(p + at + 4) <= (size_t)param->len);
	return array_text(p + at + 8, (size_t)pg_get_int4(p + at + 4), type);
}

static const char *param_text(const struct db_param *param, int32_t type)
{
	assert_int_equal(param->format, 1);
	return array_text(param->data, (size_t)param->len, type);
}

static void test_params(void **state)
{
	(void)state;
	struct batch b;
	struct batch_params p = { 0 };
	struct db_param params[TABLE_APPLY_PARAMS];
	batch_init(&b);
	batch_add_message(&b, 1, CHANGE_SYNC);
	add(&b, 3, 5, CHANGE_SYNC);
	add(&b, 4, 6, CHANGE_DELETE);
	add(&b, 5, 7, CHANGE_SYNC);
	batch_seal(&b);
	batch_params_build(&p, &b, 1, 2, BATCH_ARRIVALS, params);
	assert_string_equal(param_text(&params[TABLE_APPLY_VERSIONS], PGARRAY_INT8), "6,7");
	assert_string_equal(param_text(&params[TABLE_APPLY_XIDS], PGARRAY_XID8), "7006,7007");
	assert_string_equal(param_text(&params[TABLE_APPLY_DELETED], PGARRAY_BOOL), "1,0");
	static const struct {
		int32_t oid, type;
		const char *text;
	} columns[PRODUCTS_COLUMNS] = {
		[PRODUCTS_ID] = { 2951, PGARRAY_UUID, "16:0004,16:0005" },
		[PRODUCTS_NAME] = { 1009, PGARRAY_TEXT, "NULL,name" },
		[PRODUCTS_PRICE] = { 1009, PGARRAY_TEXT, "NULL,12.50" },
		[PRODUCTS_STOCK] = { 1007, PGARRAY_INT4, "NULL,5" },
		[PRODUCTS_CREATED] = { 1185, PGARRAY_TIMESTAMPTZ, "NULL,1" },
		[PRODUCTS_UPDATED] = { 1185, PGARRAY_TIMESTAMPTZ, "NULL,2" },
	};
	for (int k = 0; k < PRODUCTS_COLUMNS; k++)
		assert_string_equal(column_text(&params[TABLE_APPLY_COLUMNS], PRODUCTS_COLUMNS, k,
						columns[k].oid, columns[k].type),
				    columns[k].text);
	/* no source and no arrivals yet */
	assert_null(params[TABLE_APPLY_SOURCE].data);
	assert_null(params[TABLE_APPLY_RUNS].data);
	assert_null(params[TABLE_APPLY_BEATS].data);
	assert_null(params[TABLE_APPLY_NEW].data);
	assert_int_equal(params[TABLE_APPLY_NEWEST].len, 8);
	assert_int_equal(pg_get_int8(params[TABLE_APPLY_NEWEST].data), 7);
	assert_false(batch_has_arrivals(&b));
	/* Numbers of both kinds in turn, a gap, another term. */
	for (int64_t i = 5; i < 9; i++) {
		batch_add_message(&b, 2, CHANGE_SYNC);
		batch_add_number(&b, 8, i);
		batch_add_message(&b, 3, CHANGE_DELETE);
		batch_add_number(&b, 8, i + (i > 6));
	}
	batch_add_number(&b, 9, 10);
	/* The newest heartbeat is that of the newest term, and in it of the newest transaction. */
	static const struct {
		int64_t term, at_us;
		uint64_t xid;
	} beats[] = { { 8, 1000001, 70 }, { 9, 0, 66 }, { 9, 1, 65 }, { 8, 3000000, 99 } };
	for (size_t i = 0; i < ARRAY_SIZE(beats); i++) {
		const struct heartbeat beat = { .at_us = beats[i].at_us,
						.version = 42,
						.nterms = 1,
						.terms = { { beats[i].term, { 3, 4 } } } };
		batch_add_beat(&b, &beat, beats[i].xid);
	}
	batch_params_build(&p, &b, 0, 1, BATCH_ARRIVALS, params);
	static const int64_t runs[] = { 0, 8, 5, 8, 1, 8, 5, 6, 1, 8, 8, 9, 1, 9, 10, 10 };
	assert_int_equal(params[TABLE_APPLY_RUNS].len, 20 + 12 * ARRAY_SIZE(runs));
	for (size_t i = 0; i < ARRAY_SIZE(runs); i++)
		assert_int_equal(pg_get_int8(params[TABLE_APPLY_RUNS].data + 24 + 12 * i), runs[i]);
	assert_string_equal(params[TABLE_APPLY_BEATS].data,
			    "[{\"queue\":\"delete\",\"at\":\"2000-01-01T00:00:00.000000Z\","
			    "\"version\":42,\"term\":9,\"xid\":66,"
			    "\"terms\":[{\"term\":9,\"messages\":4}]}]");
	/* The same without a change. */
	struct db_param arrivals[TABLE_ARRIVE_PARAMS];
	batch_arrivals_build(&p, &b, BATCH_ARRIVALS, arrivals);
	assert_null(arrivals[0].data);
	assert_int_equal(arrivals[1].len, 20 + 12 * ARRAY_SIZE(runs));
	assert_non_null(strstr(arrivals[2].data, "\"xid\":66,"));
	batch_arrivals_build(&p, &b, BATCH_NO_ARRIVALS, arrivals);
	assert_null(arrivals[1].data);
	assert_null(arrivals[2].data);
	batch_params_build(&p, &b, 0, 1, BATCH_NO_ARRIVALS, params);
	assert_null(params[TABLE_APPLY_RUNS].data);
	assert_null(params[TABLE_APPLY_BEATS].data);
	assert_string_equal(param_text(&params[TABLE_APPLY_VERSIONS], PGARRAY_INT8), "5");
	batch_params_clear(&p);
	batch_params_clear(&p);
	batch_clear(&b);
}

/* Places in the WAL: the largest of the changes', of messages whose source is known; each heartbeat's own. */
static void test_places(void **state)
{
	static const struct {
		const char *source;
		int64_t lsn[3], expected; /* 0: not known */
	} rows[] = {
		{ "1/2", { 5, 9, 7 }, 9 },
		{ "1/2", { 0, 3, 0 }, 3 },
		{ "1/2", { 0, 0, 0 }, 0 },
		{ "", { 5, 9, 7 }, 0 },
	};
	static const char *const queues[] = { "sync", "delete" };
	static const struct heartbeat beat = { .version = 1,
					       .nterms = 1,
					       .terms = { { 1, { 0, 0 } } } };
	struct db_param params[TABLE_APPLY_PARAMS], each[TABLE_EACH_PARAMS];
	struct db_param arrivals[TABLE_ARRIVE_PARAMS];
	struct batch_params p = { 0 };
	struct batch b;
	(void)state;

	batch_init(&b);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		batch_reset(&b);
		batch_join_source(&b, rows[i].source);
		for (unsigned k = 0; k < ARRAY_SIZE(rows[i].lsn); k++) {
			batch_add_message(&b, k + 1, CHANGE_SYNC)->lsn = rows[i].lsn[k];
			add(&b, k, 10 + k, CHANGE_SYNC);
		}
		/* A heartbeat's says nothing of changes. */
		batch_add_message(&b, 9, CHANGE_SYNC)->lsn = 100;
		batch_add_beat(&b, &beat, 70);
		batch_add_message(&b, 10, CHANGE_DELETE);
		batch_add_beat(&b, &beat, 70);
		batch_seal(&b);
		batch_params_build(&p, &b, 0, 1, BATCH_ARRIVALS, params);
		batch_each_build(&p, &b, 0, 1, queues, each);
		if (rows[i].expected == 0) {
			assert_null(params[TABLE_APPLY_LSN].data);
			assert_null(each[TABLE_EACH_PARAMS - 1].data);
		} else {
			assert_int_equal(pg_get_int8(params[TABLE_APPLY_LSN].data),
					 rows[i].expected);
			assert_int_equal(pg_get_int8(each[TABLE_EACH_PARAMS - 1].data),
					 rows[i].expected);
		}
	}
	batch_arrivals_build(&p, &b, BATCH_ARRIVALS, arrivals);
	assert_string_equal(
		arrivals[2].data,
		"[{\"queue\":\"sync\",\"at\":\"2000-01-01T00:00:00.000000Z\",\"version\":1,"
		"\"term\":1,\"xid\":70,\"lsn\":100,\"every\":0,\"terms\":[{\"term\":1,\"messages\":0}]},"
		"{\"queue\":\"delete\",\"at\":\"2000-01-01T00:00:00.000000Z\",\"version\":1,"
		"\"term\":1,\"xid\":70,\"terms\":[{\"term\":1,\"messages\":0}]}]");
	batch_arrivals_build(&p, &b, BATCH_NO_MARKS, arrivals);
	assert_non_null(arrivals[2].data);
	assert_null(strstr(arrivals[2].data, "lsn"));
	batch_params_clear(&p);
	batch_clear(&b);
}

/* Values of every form, absent ones, and JSON's own null. */
static void test_params_of_every_form(void **state)
{
	static const struct {
		int32_t oid, type;
		const char *text;
	} columns[ODD_COLUMNS] = {
		[ODD_COUNT] = { 1016, PGARRAY_INT8, "1,1,1,1" },
		[ODD_REGION] = { 1009, PGARRAY_TEXT, "eu,eu,eu,eu" },
		[ODD_TENANT] = { 1007, PGARRAY_INT4, "-2,-1,0,2" },
		[ODD_FLAG] = { 1000, PGARRAY_BOOL, "NULL,0,1,NULL" },
		[ODD_SMALL] = { 1007, PGARRAY_INT4, "NULL,NULL,-32768,NULL" },
		[ODD_BIG] = { 1016, PGARRAY_INT8, "NULL,NULL,-9223372036854775808,NULL" },
		[ODD_ID] = { 2951, PGARRAY_UUID, "NULL,NULL,16:ffab,NULL" },
		[ODD_AT] = { 1185, PGARRAY_TIMESTAMPTZ, "NULL,9223372036854775807,-1,NULL" },
		[ODD_AMOUNT] = { 1009, PGARRAY_TEXT, "NULL,NaN,1.500000000000000000000000,NULL" },
		[ODD_DATA] = { 1009, PGARRAY_TEXT, "NULL,null,{\"a\" : \"\\n\"},NULL" },
		[ODD_NOTE] = { 1009, PGARRAY_TEXT, "NULL,,a\"b,NULL" },
		[ODD_SPAN] = { 1009, PGARRAY_TEXT, "NULL,NULL,1 day,NULL" },
		[ODD_CODE] = { 1009, PGARRAY_TEXT, "NULL,NULL,ab ,NULL" },
	};
	struct batch b;
	struct batch_params p = { 0 };
	struct db_param params[TABLE_APPLY_PARAMS];
	(void)state;

	batch_init(&b);
	batch_join_source(&b, "the source");
	batch_add_message(&b, 1, CHANGE_SYNC);
	add_odd(&b, 0, 5, CHANGE_SYNC,
		",\"flag\":true,\"small\":-32768,\"big\":-9223372036854775808,"
		"\"id\":\"ff000000-0000-0000-0000-0000000000ab\",\"at\":\"1999-12-31T23:59:59.999999Z\","
		"\"amount\":1.500000000000000000000000,\"data\":{\"a\" : \"\\n\"},"
		"\"n\xc3\xb6te\":\"a\\\"b\",\"back\\\\slash\":\"1 day\",\"code\":\"ab \"");
	add_odd(&b, 2, 6, CHANGE_DELETE, "");
	add_odd(&b, -1, 7, CHANGE_SYNC,
		",\"flag\":false,\"at\":\"infinity\",\"amount\":\"NaN\",\"data\":null,\"n\xc3\xb6te\":\"\"");
	add_odd(&b, -2, 8, CHANGE_SYNC, "");
	batch_seal(&b);
	assert_string_equal(order_text(&b), "/-2v8 /-1v7 /0v5 /2v6");
	batch_params_build(&p, &b, 0, 4, BATCH_NO_ARRIVALS, params);
	for (int k = 0; k < ODD_COLUMNS; k++)
		assert_string_equal(column_text(&params[TABLE_APPLY_COLUMNS], ODD_COLUMNS, k,
						columns[k].oid, columns[k].type),
				    columns[k].text);
	assert_string_equal(param_text(&params[TABLE_APPLY_DELETED], PGARRAY_BOOL), "0,0,0,1");
	assert_string_equal(params[TABLE_APPLY_SOURCE].data, "the source");
	assert_int_equal(pg_get_int8(params[TABLE_APPLY_NEWEST].data), 8);
	batch_params_clear(&p);
	batch_clear(&b);
}

/* The quick way is for many rows, all of them new; deletes do not stand in its way. */
static void test_what_is_probably_new(void **state)
{
	static const struct {
		const char *what;
		unsigned n, deletes, updates;
		enum { NONE, SOME, ALL } new;
	} rows[] = {
		{ "many inserts", 50, 0, 0, ALL },
		{ "few", 49, 0, 0, SOME },
		{ "deletes among them", 50, 20, 0, ALL },
		{ "an update", 60, 0, 1, SOME },
		{ "updates alone", 60, 0, 60, NONE },
		{ "few updates and a delete", 3, 1, 2, NONE },
	};
	struct batch_params p = { 0 };
	struct db_param params[TABLE_APPLY_PARAMS];
	struct batch b;
	(void)state;

	batch_init(&b);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		batch_reset(&b);
		batch_add_message(&b, 1, CHANGE_SYNC);
		for (unsigned k = 0; k < rows[i].n; k++) {
			add(&b, k, k + 1, k < rows[i].deletes ? CHANGE_DELETE : CHANGE_SYNC);
			b.changes[k].change.inserted = k >= rows[i].deletes + rows[i].updates;
		}
		batch_seal(&b);
		batch_params_build(&p, &b, 0, b.norder, BATCH_NO_ARRIVALS, params);
		const char *got = params[TABLE_APPLY_NEW].data;
		if ((got == NULL ? NONE : *got ? ALL : SOME) != rows[i].new)
			fail_msg("%s", rows[i].what);
	}
	batch_params_clear(&p);
	batch_clear(&b);
}

/* ---- several tables ---- */

/* One table after the other, each by its key; rows of two tables are never the same. */
static void test_several_tables(void **state)
{
	struct batch b;
	size_t at;
	(void)state;

	batch_init(&b);
	batch_add_message(&b, 1, CHANGE_SYNC);
	add_odd(&b, 5, 10, CHANGE_SYNC, "");
	add(&b, 5, 11, CHANGE_SYNC);
	add_odd(&b, -5, 12, CHANGE_DELETE, "");
	add(&b, 1, 13, CHANGE_DELETE);
	add_odd(&b, 5, 14, CHANGE_SYNC, ",\"flag\":true");
	add(&b, 5, 9, CHANGE_SYNC);
	add_odd(&b, -5, 2, CHANGE_SYNC, "");
	batch_seal(&b);
	assert_string_equal(order_text(&b), "1v13 5v11 /-5v12 /5v14");
	assert_true(batch_of_one_table(&b, 0, 1));
	assert_false(batch_of_one_table(&b, 1, 2));
	assert_false(batch_of_one_table(&b, 2, 0));
	assert_true(batch_of_one_table(&b, 2, 3));
	/* What is older is looked for in the table itself. */
	assert_true(batch_older(&b, b.order[3], &at));
	assert_false(batch_older(&b, b.order[at], &at));
	assert_false(batch_older(&b, b.order[0], &at));
	assert_string_equal(order_text(&b), "1v13 5v11 /-5v12 /5v14 /5v10");
	assert_true(batch_of_one_table(&b, 3, 4));
	batch_clear(&b);
}

static void test_failures(void **state)
{
	(void)state;
	struct batch b;
	batch_init(&b);
	batch_add_message(&b, 11, CHANGE_SYNC);
	add(&b, 1, 5, CHANGE_SYNC);
	batch_add_message(&b, 12, CHANGE_DELETE);
	add(&b, 2, 6, CHANGE_DELETE);
	batch_add_failure(&b, (struct batch_failure){ .message = 1, .whole = true }, "broken");
	batch_fail_change(&b, 0, why("refused"));
	assert_int_equal(b.nfailures, 2);
	assert_string_equal(batch_text(&b, b.failures[0].error_at), "broken");
	assert_int_equal(b.messages[b.failures[0].message].tag, 12);
	assert_string_equal(batch_text(&b, b.failures[1].error_at), "refused");
	assert_int_equal(b.messages[b.failures[1].message].tag, 11);
	assert_int_equal(b.failures[1].xid, 7005);
	assert_int_equal(b.failures[0].table, 0);
	assert_int_equal(b.failures[0].version, 0);
	assert_int_equal(b.failures[1].table, 1);
	assert_int_equal(b.failures[1].version, 5);
	assert_string_equal(batch_text(&b, b.failures[1].key_at),
			    "{00000000-0000-0000-0000-000000000001}");
	batch_clear(&b);
}

static void assert_text(const struct pgarray *a, size_t i, const char *expected)
{
	const char *p = a->buf.data + 20; /* behind the array's head */

	while (i-- > 0)
		p += 4 + pg_get_int4(p);
	assert_int_equal(pg_get_int4(p), strlen(expected));
	assert_memory_equal(p + 4, expected, strlen(expected));
}

/* What goes to the replica of changes that may have to wait there. */
static void test_one_by_one(void **state)
{
	static const char *const queues[] = { "a.sync.r", "a.delete.r" };
	struct batch b;
	struct batch_params p = { 0 };
	struct db_param params[TABLE_EACH_PARAMS];
	(void)state;

	batch_init(&b);
	batch_add_message(&b, 1, CHANGE_SYNC)->id_at = batch_add_text(&b, "m-1", 3);
	add(&b, 4, 10, CHANGE_SYNC);
	add(&b, 1, 13, CHANGE_SYNC);
	batch_add_message(&b, 2, CHANGE_DELETE);
	add(&b, 2, 12, CHANGE_DELETE);
	batch_seal(&b);
	assert_string_equal(order_text(&b), "1v13 2v12 4v10");
	batch_each_build(&p, &b, 0, 2, queues, params);
	assert_text(&p.kept[TABLE_KEPT_KEY], 1, "{00000000-0000-0000-0000-000000000002}");
	assert_text(&p.kept[TABLE_KEPT_ID], 0, "m-1");
	assert_text(&p.kept[TABLE_KEPT_ID], 1, "");
	assert_text(&p.kept[TABLE_KEPT_QUEUE], 0, "a.sync.r");
	assert_text(&p.kept[TABLE_KEPT_QUEUE], 1, "a.delete.r");
	assert_int_equal(p.kept[TABLE_KEPT_BODY].n, 2);
	batch_params_clear(&p);
	batch_clear(&b);
}

/* Of those that could not be read, the ones whose row is known. */
static void test_records(void **state)
{
	static const char *const queues[] = { "a.sync.r", "a.delete.r" };
	struct db_param params[BATCH_RECORD_PARAMS];
	struct batch_params p = { 0 };
	struct batch b;
	(void)state;

	batch_init(&b);
	batch_join_source(&b, "1/2");
	batch_add_message(&b, 1, CHANGE_SYNC);
	batch_add_failure(&b, (struct batch_failure){ 0 }, "what is this");
	assert_false(batch_to_record(&b));
	batch_add_message(&b, 2, CHANGE_DELETE);
	add(&b, 4, 6, CHANGE_DELETE);
	batch_seal(&b);
	batch_fail_change(&b, 0, why("refused"));
	assert_true(batch_to_record(&b));
	batch_record_build(&p, &b, queues, params);
	assert_string_equal(param_text(&params[0], PGARRAY_INT4), "1");
	assert_text(&p.kept[0], 0, "{00000000-0000-0000-0000-000000000004}");
	assert_string_equal(param_text(&params[2], PGARRAY_INT8), "6");
	assert_string_equal(param_text(&params[3], PGARRAY_XID8), "7006");
	assert_text(&p.kept[1], 0, "1/2");
	assert_text(&p.kept[2], 0, "a.delete.r");
	assert_text(&p.kept[3], 0, "refused");
	assert_int_equal(p.kept[3].n, 1);
	b.recorded = true;
	assert_false(batch_to_record(&b));
	batch_reset(&b);
	assert_false(b.recorded);
	batch_params_clear(&p);
	batch_clear(&b);
}

/* ---- TRUNCATE ---- */

static void add_truncate(struct batch *b, int64_t version)
{
	AUTO_STRBUF json = STRBUF_INIT;
	struct jscan_value v;
	struct change c;
	struct err err = { .text = "" };

	strbuf_addf(&json, "{\"version\":%lld}", (long long)version);
	if (!jscan_document(json.data, json.len, &v, &err) ||
	    !change_read_truncate(odd, &v, &b->arena, &c, &err))
		fail_msg("%s: %s", json.data, err.text);
	c.xid = 99;
	batch_add_change(b, &c, (struct batch_slice){ 0 });
}

/* It goes first of its table, alone, and the newest of them only. */
static void test_truncates(void **state)
{
	static const int64_t versions[] = { 5, 9, 7 };
	struct batch b;
	struct batch_params p = { 0 };
	struct db_param params[TABLE_TRUNCATE_PARAMS];
	(void)state;

	batch_init(&b);
	/* Nothing else: the arena is empty. */
	batch_add_message(&b, 1, CHANGE_DELETE);
	for (size_t i = 0; i < ARRAY_SIZE(versions); i++)
		add_truncate(&b, versions[i]);
	batch_seal(&b);
	assert_int_equal(b.norder, 1);
	assert_int_equal(b.changes[b.order[0]].change.version, 9);
	batch_truncate_build(&p, &b, 0, BATCH_ARRIVALS, params);
	assert_null(params[0].data);
	assert_int_equal(pg_get_int8(params[1].data), 9);
	assert_int_equal(pg_get_int8(params[2].data), 99);
	assert_null(params[3].data);
	assert_null(params[4].data);
	batch_fail_change(&b, b.order[0], why("refused"));
	assert_int_equal(b.failures[0].xid, 99);
	/* It is of no row. */
	assert_int_equal(b.failures[0].version, 0);
	assert_string_equal(batch_text(&b, b.failures[0].key_at), "");
	/* All rows are wrong. */
	static const char *const queues[] = { "a.sync.r", "a.delete.r" };
	struct db_param record[BATCH_RECORD_PARAMS];
	assert_true(batch_to_record(&b));
	batch_record_build(&p, &b, queues, record);
	assert_string_equal(param_text(&record[2], PGARRAY_INT8), "9");
	assert_text(&p.kept[0], 0, "{}");

	batch_reset(&b);
	batch_add_message(&b, 1, CHANGE_DELETE);
	add_odd(&b, -7, 12, CHANGE_SYNC, "");
	add(&b, 3, 10, CHANGE_SYNC);
	add_truncate(&b, 11);
	add_odd(&b, -8, 6, CHANGE_SYNC, "");
	batch_seal(&b);
	assert_int_equal(b.norder, 4);
	assert_ptr_equal(b.changes[b.order[0]].change.table, products);
	assert_true(b.changes[b.order[1]].change.truncate);
	assert_false(batch_of_one_table(&b, 0, 1));
	assert_false(batch_of_one_table(&b, 1, 2));
	assert_false(batch_of_one_table(&b, 1, 1));
	assert_true(batch_of_one_table(&b, 2, 3));
	batch_params_clear(&p);
	batch_clear(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_newest_wins),
		cmocka_unit_test(test_first_of_twins),
		cmocka_unit_test(test_older_take_over),
		cmocka_unit_test(test_many_and_again),
		cmocka_unit_test(test_sources),
		cmocka_unit_test(test_params),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_params_of_every_form),
		cmocka_unit_test(test_what_is_probably_new),
		cmocka_unit_test(test_several_tables),
		cmocka_unit_test(test_truncates),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_one_by_one),
	};
	return cmocka_run_group_tests(tests, read_tables, free_tables);
}
