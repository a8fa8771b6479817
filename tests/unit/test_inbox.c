/*
 * The inbox: when reading has to pause, and that nothing joins a batch that is being applied.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "consumer/apply/inbox.h"
#include "tests/unit/tables_for_tests.h"

#define MAX_CHANGES 100

static uint64_t tag;

static struct table *list[1];
static const struct stream stream = { .number = 1, .text = "1", .name = "products" };
static const struct tables tables = { .stream = &stream, .list = list, .n = ARRAY_SIZE(list) };

static int read_tables(void **state)
{
	(void)state;
	list[0] = products_for_tests();
	return 0;
}

static int free_tables(void **state)
{
	(void)state;
	list[0] = table_free(list[0]);
	return 0;
}

/* Takes an array of n deletes, or of n elements that are none. */
static void take(struct inbox *in, size_t n, bool good, const char *source)
{
	AUTO_STRBUF body = STRBUF_INIT;
	struct amqp_header headers[] = { { .key = "x-source", .str = source },
					 { .key = "x-term", .num = 7 },
					 { .key = "x-number", .num = (int64_t)tag + 1 } };

	for (size_t i = 0; i < n; i++) {
		strbuf_addch(&body, i ? ',' : '[');
		if (good)
			strbuf_addf(&body,
				    "{\"id\":\"00000000-0000-4000-8000-%012zu\",\"version\":%llu}",
				    i, (unsigned long long)(tag * 1000 + i + 1));
		else
			strbuf_addch(&body, '1');
	}
	strbuf_addch(&body, ']');
	const struct amqp_delivery d = { .tag = ++tag,
					 .message_id = "",
					 .type = "",
					 .content_type = "application/json",
					 .headers = headers,
					 .nheaders = ARRAY_SIZE(headers),
					 .body = body.data,
					 .len = body.len };
	inbox_take(in, &d, CHANGE_DELETE);
}

static void test_what_is_full(void **state)
{
	static const struct {
		const char *what;
		size_t messages, elements;
		bool good, other_sources, full;
	} rows[] = {
		{ "nothing", 0, 0, true, false, false },
		{ "one change less than the most", 99, 1, true, false, false },
		{ "the most changes", 100, 1, true, false, true },
		{ "one message with more than the most", 1, 150, true, false, true },
		{ "failures, one less", 33, 3, false, false, false },
		{ "failures", 34, 3, false, false, true },
		{ "a few sources", 3, 1, true, true, false },
		{ "ever other sources", 50, 1, true, true, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct inbox in;

		inbox_init(&in, &tables, MAX_CHANGES);
		for (size_t m = 0; m < rows[i].messages && !inbox_full(&in); m++)
			take(&in, rows[i].elements, rows[i].good,
			     rows[i].other_sources && m % 2 ? "b" : "a");
		if (inbox_full(&in) != rows[i].full)
			print_error("%s\n", rows[i].what);
		assert_int_equal(inbox_full(&in), rows[i].full);
		/* However full: applying it makes room. */
		while (inbox_begin(&in))
			inbox_done(&in);
		assert_false(inbox_full(&in));
		inbox_clear(&in);
	}
}

static void test_nothing_joins_the_batch_that_is_applied(void **state)
{
	struct inbox in;

	(void)state;
	inbox_init(&in, &tables, MAX_CHANGES);
	take(&in, 2, true, "a");
	const struct batch *first = inbox_begin(&in);
	take(&in, 3, true, "a");
	take(&in, 4, true, "a");
	assert_int_equal(first->nchanges, 2);
	inbox_done(&in);
	const struct batch *second = inbox_begin(&in);
	assert_int_equal(second->nmessages, 2);
	assert_int_equal(second->nchanges, 7);
	inbox_drop(&in);
	assert_null(inbox_begin(&in));
	inbox_clear(&in);
}

static void test_a_batch_is_of_one_source(void **state)
{
	static const char *const sources[] = { "a", "b", "", "a" };
	struct inbox in;

	(void)state;
	inbox_init(&in, &tables, MAX_CHANGES);
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
		take(&in, 1, true, sources[i]);
		take(&in, 1, true, sources[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
		const struct batch *b = inbox_begin(&in);
		assert_int_equal(b->nmessages, 2);
		assert_string_equal(batch_text(b, b->source_at), sources[i]);
		inbox_done(&in);
	}
	inbox_clear(&in);
}

static void take_shape(struct inbox *in, int64_t shape)
{
	struct amqp_header headers[] = { { .key = "x-source", .str = "a" },
					 { .key = "x-shape", .num = shape } };
	const struct amqp_delivery d = { .type = "products.shape",
					 .headers = headers,
					 .nheaders = ARRAY_SIZE(headers),
					 .body = "{}",
					 .len = 2 };

	inbox_take(in, &d, CHANGE_SYNC);
}

/* A shape begins a batch, and ends it: what comes behind it may need it. */
static void test_a_shape_is_alone(void **state)
{
	static const size_t messages[] = { 2, 1, 1, 2 };
	struct inbox in;

	(void)state;
	inbox_init(&in, &tables, MAX_CHANGES);
	take(&in, 1, true, "a");
	take(&in, 1, true, "a");
	take_shape(&in, 12);
	take_shape(&in, 12);
	take(&in, 1, true, "a");
	take(&in, 1, true, "a");
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
		const struct batch *b = inbox_begin(&in);
		assert_int_equal(b->nmessages, messages[i]);
		assert_int_equal(b->shape, messages[i] == 1 ? 12 : 0);
		inbox_done(&in);
	}
	assert_null(inbox_begin(&in));
	inbox_clear(&in);
}

/* One that is known already is no news. */
static void test_a_shape_that_is_known_is_not(void **state)
{
	struct inbox in;

	(void)state;
	inbox_init(&in, &tables, MAX_CHANGES);
	take(&in, 1, true, "a");
	take_shape(&in, list[0]->shape);
	take(&in, 1, true, "a");
	const struct batch *b = inbox_begin(&in);
	assert_int_equal(b->nmessages, 3);
	assert_int_equal(b->nfailures, 0);
	assert_int_equal(b->shape, 0);
	inbox_clear(&in);
}

/* Of many tables that are registered together, many shapes are read together. */
static void test_many_shapes(void **state)
{
	struct inbox in;

	(void)state;
	inbox_init(&in, &tables, MAX_CHANGES);
	for (int64_t i = 0; i < INBOX_SHAPES_MAX; i++) {
		assert_false(inbox_full(&in));
		take_shape(&in, 100 + i);
	}
	assert_true(inbox_full(&in));
	for (int64_t i = 0; i < INBOX_SHAPES_MAX; i++) {
		assert_int_equal(inbox_begin(&in)->shape, 100 + i);
		inbox_done(&in);
		assert_false(inbox_full(&in));
	}
	assert_null(inbox_begin(&in));
	assert_int_equal(in.shape_bytes, 0);
	inbox_clear(&in);
}

/* The numbers of a batch that is done, and what becomes of them. */
static void test_numbers_stay(void **state)
{
	static const struct {
		const char *what, *next; /* the source of what came meanwhile; NULL: nothing */
		bool apart;
		size_t messages; /* of the batch that has the numbers */
	} rows[] = {
		{ "nothing came", NULL, false, 0 },
		{ "nothing came, apart", NULL, true, 0 },
		{ "messages of the same source", "a", false, 1 },
		{ "the same, apart", "a", true, 0 },
		{ "messages of another source", "b", false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct inbox in;

		print_message("%s\n", rows[i].what);
		inbox_init(&in, &tables, MAX_CHANGES);
		tag = 10;
		take(&in, 1, true, "a");
		take(&in, 1, true, "a");
		assert_non_null(inbox_begin(&in));
		if (rows[i].next)
			take(&in, 1, true, rows[i].next);
		inbox_done_but_numbers(&in, rows[i].apart);
		const struct batch *b = inbox_first(&in);
		assert_int_equal(b->nmessages, rows[i].messages);
		assert_string_equal(batch_text(b, b->source_at), "a");
		assert_int_equal(b->nruns, 1);
		assert_int_equal(b->runs[0].term, 7);
		assert_int_equal(b->runs[0].first, 11);
		assert_int_equal(b->runs[0].last, 12 + rows[i].messages);
		/* Others join numbers that are alone, those of another source do not. */
		take(&in, 1, true, "c");
		assert_int_equal(b->nmessages, rows[i].messages);
		if (!rows[i].next) {
			inbox_drop(&in);
			take(&in, 1, true, "a");
			inbox_begin(&in);
			inbox_done_but_numbers(&in, false);
			take(&in, 1, true, "a");
			assert_int_equal(inbox_begin(&in)->nmessages, 1);
			assert_int_equal(in.nbatches, 1);
		}
		inbox_clear(&in);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_full),
		cmocka_unit_test(test_nothing_joins_the_batch_that_is_applied),
		cmocka_unit_test(test_a_batch_is_of_one_source),
		cmocka_unit_test(test_a_shape_is_alone),
		cmocka_unit_test(test_a_shape_that_is_known_is_not),
		cmocka_unit_test(test_many_shapes),
		cmocka_unit_test(test_numbers_stay),
	};

	return cmocka_run_group_tests(tests, read_tables, free_tables);
}
