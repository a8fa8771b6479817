/*
 * batch.c: which change of a product is applied, in what order, what takes its place when it is
 * refused, and the parameters.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "consumer/apply/batch.h"

static struct uuid id_of(unsigned n)
{
	struct uuid id = { { 0 } };
	id.b[14] = (uint8_t)(n >> 8);
	id.b[15] = (uint8_t)n;
	return id;
}

static void add(struct batch *b, unsigned id, int64_t version, enum change_kind kind)
{
	struct change c = {
		.kind = kind, .id = id_of(id), .version = version, .xid = (uint64_t)version + 7000
	};

	if (kind == CHANGE_SYNC) {
		c.name_at = b->names.len;
		c.name_len = 4;
		strbuf_add(&b->names, "name", 4);
		strcpy(c.price, "12.50");
		c.stock = (int32_t)id;
		c.created_us = 1;
		c.updated_us = 2;
	}
	batch_add_change(b, &c, (struct batch_slice){ 0 });
}

static const struct err *why(const char *text)
{
	static struct err err;

	err_set(&err, "%s", text);
	err_show(&err, "a word for \"%s\"", text);
	return &err;
}

/* "1v5 2v3": ids and versions in order. */
static const char *order_text(const struct batch *b)
{
	static char text[512];
	size_t n = 0;

	text[0] = '\0';
	for (size_t i = 0; i < b->norder; i++) {
		const struct change *c = &b->changes[b->order[i]].change;
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%uv%lld", i ? " " : "",
				      (unsigned)(c->id.b[14] << 8 | c->id.b[15]),
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
		{ "several products, sorted by id",
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

/* When the newest is refused, the others of that product come up one after another, newest first,
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
			struct uuid id = id_of(i);
			assert_int_equal(uuid_cmp(&c->id, &id), 0);
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

static void test_params(void **state)
{
	(void)state;
	struct batch b;
	struct batch_params p = { 0 };
	struct db_param params[BATCH_PARAMS];
	batch_init(&b);
	batch_add_message(&b, 1, CHANGE_SYNC);
	add(&b, 3, 5, CHANGE_SYNC);
	add(&b, 4, 6, CHANGE_DELETE);
	add(&b, 5, 7, CHANGE_SYNC);
	batch_seal(&b);
	batch_params_build(&p, &b, 1, 2, true, params);
	const struct pgarray *all[] = { &p.ids,	   &p.versions, &p.xids,    &p.deleted, &p.names,
					&p.prices, &p.stocks,	&p.created, &p.updated };
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		/* dimensions, has-null flag, type, length, lower bound */
		assert_int_equal(pg_get_int4(all[i]->buf.data), 1);
		assert_int_equal(pg_get_int4(all[i]->buf.data + 4), i > 3);
		assert_int_equal(pg_get_int4(all[i]->buf.data + 12), 2);
	}
	/* versions: 20 bytes of head, then length and value each */
	assert_int_equal(p.versions.buf.len, 20 + 2 * 12);
	assert_int_equal(pg_get_int8(p.versions.buf.data + 24), 6);
	assert_int_equal(pg_get_int8(p.versions.buf.data + 36), 7);
	assert_int_equal(pg_get_int8(p.xids.buf.data + 24), 7006);
	assert_int_equal(p.deleted.buf.data[24], 1);
	assert_int_equal(p.deleted.buf.data[29], 0);
	/* names: NULL, then "name" */
	assert_int_equal(pg_get_int4(p.names.buf.data + 20), -1);
	assert_int_equal(pg_get_int4(p.names.buf.data + 24), 4);
	assert_memory_equal(p.names.buf.data + 28, "name", 4);
	/* no source and no arrivals yet, between them the arrays */
	assert_null(params[0].data);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		assert_ptr_equal(params[1 + i].data, all[i]->buf.data);
		assert_int_equal(params[1 + i].len, all[i]->buf.len);
		assert_int_equal(params[1 + i].format, 1);
	}
	assert_null(params[10].data);
	assert_null(params[11].data);
	assert_int_equal(pg_get_int8(params[12].data), 7);
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
	batch_params_build(&p, &b, 0, 0, true, params);
	static const int64_t runs[] = { 0, 8, 5, 8, 1, 8, 5, 6, 1, 8, 8, 9, 1, 9, 10, 10 };
	assert_int_equal(params[10].len, 20 + 12 * ARRAY_SIZE(runs));
	for (size_t i = 0; i < ARRAY_SIZE(runs); i++)
		assert_int_equal(pg_get_int8(params[10].data + 24 + 12 * i), runs[i]);
	assert_string_equal(params[11].data,
			    "[{\"queue\":\"delete\",\"at\":\"2000-01-01T00:00:00.000000Z\","
			    "\"version\":42,\"term\":9,\"xid\":66,"
			    "\"terms\":[{\"term\":9,\"messages\":4}]}]");
	batch_params_build(&p, &b, 0, 0, false, params);
	assert_null(params[10].data);
	assert_null(params[11].data);
	assert_int_equal(pg_get_int4(p.ids.buf.data), 0);
	assert_int_equal(p.ids.buf.len, 12);
	batch_params_clear(&p);
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
	batch_clear(&b);
}

/* What is refused because of others is tried again by versions, and is no failure until it is given
 * up. */
static void test_refused_ones_are_kept(void **state)
{
	struct batch b;
	(void)state;

	batch_init(&b);
	batch_add_message(&b, 1, CHANGE_SYNC);
	add(&b, 4, 10, CHANGE_SYNC);
	add(&b, 1, 13, CHANGE_SYNC);
	add(&b, 3, 11, CHANGE_SYNC);
	add(&b, 2, 12, CHANGE_SYNC);
	add(&b, 2, 9, CHANGE_SYNC);
	batch_seal(&b);
	assert_string_equal(order_text(&b), "1v13 2v12 3v11 4v10");
	for (size_t i = 0; i < 3; i++)
		batch_refuse(&b, b.order[i], why(i == 0 ? "first" : "other"));
	assert_false(batch_applied(&b, 3, 1));
	assert_int_equal(b.nrefused, 3);
	assert_int_equal(b.nfailures, 0);
	batch_retry(&b, false);
	assert_string_equal(order_text(&b), "3v11 2v12 1v13");
	assert_true(batch_applied(&b, 0, 1));
	batch_retry(&b, true);
	assert_string_equal(order_text(&b), "1v13 2v12");
	batch_refuse(&b, b.order[0], why("again"));
	batch_fail_change(&b, b.order[1], why("own"));
	assert_int_equal(b.nrefused, 1);
	batch_give_up(&b);
	assert_int_equal(b.nrefused, 0);
	assert_int_equal(b.nfailures, 2);
	assert_string_equal(batch_text(&b, b.failures[0].error_at), "own");
	assert_string_equal(batch_text(&b, b.failures[1].error_at), "first");
	assert_string_equal(batch_text(&b, b.failures[1].shown_at), "a word for \"first\"");
	assert_int_equal(b.failures[1].version, 13);
	batch_clear(&b);
}

/* An older change of a product may be tried beside the newest one. */
static void test_older_ones_are_told_apart(void **state)
{
	struct batch b;
	size_t older;
	(void)state;

	batch_init(&b);
	batch_add_message(&b, 1, CHANGE_SYNC);
	add(&b, 1, 5, CHANGE_SYNC);
	add(&b, 1, 7, CHANGE_SYNC);
	batch_seal(&b);
	batch_refuse(&b, b.order[0], why("no"));
	assert_true(batch_older(&b, b.order[0], &older));
	batch_refuse(&b, b.order[older], why("no"));
	batch_retry(&b, false);
	assert_string_equal(order_text(&b), "1v5 1v7");
	assert_false(batch_is_newest(&b, 0));
	assert_true(batch_is_newest(&b, 1));
	batch_clear(&b);
}

/* One that was refused in an earlier batch counts when it is taken. */
static void test_a_message_that_failed_before(void **state)
{
	struct batch b;
	(void)state;

	batch_init(&b);
	batch_add_message(&b, 1, CHANGE_SYNC);
	add(&b, 1, 5, CHANGE_SYNC);
	batch_add_message(&b, 2, CHANGE_SYNC)->attempt = 2;
	add(&b, 2, 6, CHANGE_SYNC);
	batch_seal(&b);
	assert_false(batch_applied(&b, 0, 1));
	assert_true(batch_applied(&b, 1, 1));
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
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_refused_ones_are_kept),
		cmocka_unit_test(test_older_ones_are_told_apart),
		cmocka_unit_test(test_a_message_that_failed_before),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
