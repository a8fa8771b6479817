/*
 * The feed: whatever the pace of the readers, each gets every byte once and in order, in bounded memory.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/strbuf.h"
#include "consumer/reset/feed.h"

static void test_empty_feed_ends(void **state)
{
	struct feed *f = feed_new(4, 100, 1);
	struct feed_chunk c;

	(void)state;
	assert_true(feed_has_room(f));
	assert_false(feed_peek(f, 0, &c));
	assert_false(feed_at_end(f, 0));
	feed_end(f);
	assert_false(feed_peek(f, 0, &c));
	assert_true(feed_at_end(f, 0));
	feed_free(f);
}

static void test_chunks_end_with_a_row(void **state)
{
	struct feed *f = feed_new(4, 10, 1);
	struct feed_chunk c;

	(void)state;
	feed_add(f, "123456", 6);
	assert_false(feed_peek(f, 0, &c)); /* not full yet */
	feed_add(f, "789012", 6);
	assert_true(feed_peek(f, 0, &c));
	assert_int_equal(c.len, 12);
	assert_memory_equal(c.data, "123456789012", 12);
	assert_int_equal(c.rows, 2);
	assert_int_equal(c.bytes, 12);
	feed_next(f, 0);
	feed_add(f, "abc", 3);
	assert_false(feed_peek(f, 0, &c));
	feed_end_part(f, 3); /* gives out the rest */
	feed_end(f);
	assert_true(feed_peek(f, 0, &c));
	assert_true(c.ends_part);
	assert_int_equal(c.part_rows, 3);
	assert_int_equal(c.len, 3);
	assert_int_equal(c.rows, 3);
	assert_int_equal(c.bytes, 15);
	assert_false(feed_at_end(f, 0));
	feed_next(f, 0);
	assert_true(feed_at_end(f, 0));
	feed_free(f);
}

/* Where a table ends, also one without rows, and one whose last row filled a chunk. */
static void test_parts(void **state)
{
	static const struct {
		const char *data;
		bool ends_part;
		int64_t part_rows;
	} chunks[] = {
		{ "", true, 0 }, { "1234", false, 0 }, { "", true, 1 },	 { "ab", true, 2 },
		{ "", true, 0 }, { "5678", false, 0 }, { "c", true, 2 },
	};
	struct feed *f = feed_new(10, 4, 1);
	struct feed_chunk c;

	(void)state;
	feed_end_part(f, 0);
	feed_add(f, "1234", 4);
	feed_end_part(f, 1);
	feed_add(f, "a", 1);
	feed_add(f, "b", 1);
	feed_end_part(f, 2);
	feed_end_part(f, 0);
	feed_add(f, "5678", 4);
	feed_add(f, "c", 1);
	feed_end_part(f, 2);
	feed_end(f);
	for (size_t i = 0; i < ARRAY_SIZE(chunks); i++) {
		assert_true(feed_peek(f, 0, &c));
		assert_int_equal(c.len, strlen(chunks[i].data));
		assert_memory_equal(c.data, chunks[i].data, c.len);
		assert_int_equal(c.ends_part, chunks[i].ends_part);
		if (c.ends_part)
			assert_int_equal(c.part_rows, chunks[i].part_rows);
		feed_next(f, 0);
	}
	assert_true(feed_at_end(f, 0));
	feed_free(f);
}

static void test_the_slowest_reader_holds_the_writer(void **state)
{
	struct feed *f = feed_new(2, 1, 2);
	struct feed_chunk c;

	(void)state;
	feed_add(f, "a", 1);
	feed_add(f, "b", 1);
	assert_false(feed_has_room(f));
	feed_next(f, 0);
	feed_next(f, 0);
	assert_false(feed_has_room(f)); /* reader 1 still has both to read */
	feed_next(f, 1);
	assert_true(feed_has_room(f));
	feed_add(f, "c", 1);
	assert_false(feed_has_room(f));
	assert_true(feed_peek(f, 1, &c));
	assert_memory_equal(c.data, "b", 1);
	assert_true(feed_peek(f, 0, &c));
	assert_memory_equal(c.data, "c", 1);
	feed_leave(f, 1);
	assert_true(feed_has_room(f));
	assert_false(feed_peek(f, 1, &c));
	feed_free(f);
}

/* Readers of different, changing pace, chunk sizes from one byte to more than everything: always the same bytes. */
static void test_everybody_gets_everything(void **state)
{
	static const size_t chunk_sizes[] = { 1, 7, 64, 4096 };
	static const size_t chunk_counts[] = { 1, 2, 5 };
	enum { READERS = 3, ROWS = 500 };

	(void)state;
	srand(1);
	for (size_t k = 0; k < ARRAY_SIZE(chunk_sizes) * ARRAY_SIZE(chunk_counts); k++) {
		size_t size = chunk_sizes[k % ARRAY_SIZE(chunk_sizes)];
		size_t count = chunk_counts[k / ARRAY_SIZE(chunk_sizes)];
		struct feed *f = feed_new(count, size, READERS);
		struct strbuf sent = STRBUF_INIT,
			      got[READERS] = { STRBUF_INIT, STRBUF_INIT, STRBUF_INIT };
		size_t row = 0, ended = 0, parts = 0, got_parts[READERS] = { 0 };
		int64_t in_part = 0, part_rows = 0;
		bool done = false;

		while (ended < READERS) {
			if (row < ROWS && feed_has_room(f)) {
				char text[64];
				int len = snprintf(text, sizeof(text), "%zu:%.*s;", row,
						   rand() % 20, "abcdefghijklmnopqrst");

				feed_add(f, text, (size_t)len);
				strbuf_add(&sent, text, (size_t)len);
				row++;
				in_part++;
			}
			if (!done && (row == ROWS || rand() % 50 == 0) && feed_has_room(f)) {
				feed_end_part(f, in_part);
				parts++;
				part_rows += in_part;
				in_part = 0;
				done = row == ROWS;
				if (done)
					feed_end(f);
			}
			ended = 0;
			for (size_t i = 0; i < READERS; i++) {
				struct feed_chunk c;

				if ((size_t)rand() % 3 >= i && feed_peek(f, i, &c)) {
					strbuf_add(&got[i], c.data, c.len);
					assert_int_equal(c.bytes, got[i].len);
					got_parts[i] += c.ends_part;
					feed_next(f, i);
				}
				ended += feed_at_end(f, i);
			}
		}
		for (size_t i = 0; i < READERS; i++) {
			if (got[i].len != sent.len || memcmp(got[i].data, sent.data, sent.len) != 0)
				fail_msg("%zu chunks of %zu: reader %zu got %zu bytes of %zu",
					 count, size, i, got[i].len, sent.len);
			assert_int_equal(got_parts[i], parts);
			strbuf_clear(&got[i]);
		}
		assert_int_equal(feed_rows(f), ROWS);
		assert_int_equal(part_rows, ROWS);
		assert_int_equal(feed_bytes(f), sent.len);
		strbuf_clear(&sent);
		feed_free(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty_feed_ends),
		cmocka_unit_test(test_chunks_end_with_a_row),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_the_slowest_reader_holds_the_writer),
		cmocka_unit_test(test_everybody_gets_everything),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
