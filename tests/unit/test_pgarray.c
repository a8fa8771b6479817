/*
 * test_pgarray.c: the bytes of PostgreSQL's binary arrays, spelled out.
 */
#include "common/pg/pgarray.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BYTES(literal) literal, sizeof(literal) - 1

static void check(struct pgarray *a, const char *expected, size_t len)
{
	pgarray_finish(a);
	assert_int_equal(a->buf.len, len);
	assert_memory_equal(a->buf.data, expected, len);
}

static void an_empty_array_has_no_dimension(void **state)
{
	struct pgarray a = { .n = 0 };
	(void)state;

	pgarray_begin(&a, PGARRAY_TEXT);
	check(&a, BYTES("\0\0\0\0\0\0\0\0\0\0\0\x19"));
	pgarray_begin(&a, PGARRAY_XID8);
	check(&a, BYTES("\0\0\0\0\0\0\0\0\0\0\x13\xcd"));
	pgarray_clear(&a);
	pgarray_clear(&a);
}

static void elements_are_big_endian(void **state)
{
	struct pgarray a = { .n = 0 };
	struct uuid u;
	(void)state;

	pgarray_begin(&a, PGARRAY_INT4);
	pgarray_add_int4(&a, 1);
	pgarray_add_int4(&a, -2);
	pgarray_add_int4(&a, INT32_MAX);
	check(&a,
	      BYTES("\0\0\0\x01\0\0\0\0\0\0\0\x17\0\0\0\x03\0\0\0\x01"
		    "\0\0\0\x04\0\0\0\x01\0\0\0\x04\xff\xff\xff\xfe\0\0\0\x04\x7f\xff\xff\xff"));

	pgarray_begin(&a, PGARRAY_INT8);
	pgarray_add_int8(&a, INT64_C(0x0102030405060708));
	pgarray_add_int8(&a, INT64_MIN);
	check(&a, BYTES("\0\0\0\x01\0\0\0\0\0\0\0\x14\0\0\0\x02\0\0\0\x01"
			"\0\0\0\x08\x01\x02\x03\x04\x05\x06\x07\x08\0\0\0\x08\x80\0\0\0\0\0\0\0"));

	pgarray_begin(&a, PGARRAY_TIMESTAMPTZ);
	pgarray_add_int8(&a, -1);
	check(&a, BYTES("\0\0\0\x01\0\0\0\0\0\0\x04\xa0\0\0\0\x01\0\0\0\x01"
			"\0\0\0\x08\xff\xff\xff\xff\xff\xff\xff\xff"));

	pgarray_begin(&a, PGARRAY_BOOL);
	pgarray_add_bool(&a, true);
	pgarray_add_bool(&a, false);
	check(&a,
	      BYTES("\0\0\0\x01\0\0\0\0\0\0\0\x10\0\0\0\x02\0\0\0\x01\0\0\0\x01\x01\0\0\0\x01\0"));

	assert_true(uuid_from_text("00112233-4455-6677-8899-aabbccddeeff", 36, &u));
	pgarray_begin(&a, PGARRAY_UUID);
	pgarray_add_uuid(&a, &u);
	check(&a,
	      BYTES("\0\0\0\x01\0\0\0\0\0\0\x0b\x86\0\0\0\x01\0\0\0\x01"
		    "\0\0\0\x10\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff"));
	pgarray_clear(&a);
}

static void text_needs_no_quotes_and_may_be_null(void **state)
{
	struct pgarray a = { .n = 0 };
	(void)state;

	pgarray_begin(&a, PGARRAY_TEXT);
	pgarray_add_text(&a, "a\",{}\\", 6);
	pgarray_add_text(&a, NULL, 0);
	pgarray_add_null(&a);
	pgarray_add_text(&a, "\xc3\xb4", 2);
	check(&a, BYTES("\0\0\0\x01\0\0\0\x01\0\0\0\x19\0\0\0\x04\0\0\0\x01"
			"\0\0\0\x06"
			"a\",{}\\\0\0\0\0\xff\xff\xff\xff\0\0\0\x02\xc3\xb4"));

	/* The next array knows nothing of the last one's NULL. */
	pgarray_begin(&a, PGARRAY_TEXT);
	pgarray_add_text(&a, "x", 1);
	check(&a, BYTES("\0\0\0\x01\0\0\0\0\0\0\0\x19\0\0\0\x01\0\0\0\x01\0\0\0\x01x"));
	pgarray_clear(&a);
}

static void a_long_array_is_counted(void **state)
{
	struct pgarray a = { .n = 0 };
	(void)state;

	pgarray_begin(&a, PGARRAY_INT8);
	for (int i = 0; i < 100000; i++)
		pgarray_add_int8(&a, i);
	pgarray_finish(&a);
	assert_int_equal(pg_get_int4(a.buf.data + 12), 100000);
	assert_int_equal(a.buf.len, 20 + 100000 * 12);
	for (int i = 0; i < 100000; i++) {
		assert_int_equal(pg_get_int4(a.buf.data + 20 + i * 12), 8);
		assert_int_equal(pg_get_int8(a.buf.data + 24 + i * 12), i);
	}
	pgarray_clear(&a);
}

static void numbers_come_back(void **state)
{
	static const int64_t rows[] = { 0,
					1,
					-1,
					255,
					256,
					-256,
					INT32_MAX,
					INT32_MIN,
					INT64_MAX,
					INT64_MIN,
					INT64_C(0x123456789abcdef) };
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char bytes[9]; /* not aligned */
		pg_put_int8(bytes + 1, rows[i]);
		assert_true(pg_get_int8(bytes + 1) == rows[i]);
		pg_put_int4(bytes + 1, (int32_t)rows[i]);
		assert_true(pg_get_int4(bytes + 1) == (int32_t)rows[i]);
	}
	assert_int_equal(pg_get_int4("\x01\x02\x03\x04"), 0x01020304);
	assert_true(pg_get_int8("\xff\xff\xff\xff\xff\xff\xff\xfe") == -2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_array_has_no_dimension),
		cmocka_unit_test(elements_are_big_endian),
		cmocka_unit_test(text_needs_no_quotes_and_may_be_null),
		cmocka_unit_test(a_long_array_is_counted),
		cmocka_unit_test(numbers_come_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
