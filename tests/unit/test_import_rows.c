/*
 * test_import_rows.c: a batch of an import: different ids only, full at its limits, sorted by id.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "api/batch/import_rows.h"

static bool add(struct import_rows *b, unsigned n, uint64_t line, const char *bytes)
{
	struct uuid id = { 0 };

	id.b[0] = (uint8_t)(n * 101); /* so that the order of coming is not that of the ids */
	id.b[14] = (uint8_t)(n >> 8);
	id.b[15] = (uint8_t)n;
	if (!import_rows_add(b, &id, line))
		return false;
	strbuf_add(&b->bytes, bytes, strlen(bytes) + 1);
	return true;
}

static void test_different_ids(void **state)
{
	(void)state;
	struct import_rows b = { 0 };

	for (unsigned n = 0; n < IMPORT_ROWS; n++) {
		assert_false(import_rows_full(&b));
		assert_true(add(&b, n, n + 1, "name"));
		assert_int_equal(import_rows_full(&b), n + 1 == IMPORT_ROWS);
	}
	import_rows_reset(&b);
	assert_true(add(&b, 7, 1, "first"));
	assert_false(add(&b, 7, 2, "second"));
	assert_int_equal(b.n, 1);
	import_rows_reset(&b);
	assert_true(add(&b, 7, 2, "second"));
	import_rows_clear(&b);
}

static void test_sorted(void **state)
{
	(void)state;
	struct import_rows b = { 0 };

	for (unsigned n = 0; n < 500; n++) {
		char name[8] = { (char)('a' + n % 26), 0 };

		assert_true(add(&b, n, n + 1, name));
	}
	import_rows_sort(&b);
	for (size_t i = 0; i < b.n; i++) {
		const struct import_row *row = &b.list[i];

		if (i > 0)
			assert_true(uuid_cmp(&b.list[i - 1].id, &row->id) < 0);
		assert_int_equal(b.bytes.data[row->at], 'a' + (row->line - 1) % 26);
	}
	import_rows_clear(&b);
}

static void test_full_of_bytes(void **state)
{
	(void)state;
	struct import_rows b = { 0 };
	char name[801];
	unsigned n = 0;

	memset(name, 'x', 800);
	name[800] = '\0';
	for (; !import_rows_full(&b); n++)
		assert_true(add(&b, n, n + 1, name));
	assert_true(b.n < IMPORT_ROWS);
	assert_true(b.bytes.len >= IMPORT_BYTES && b.bytes.len < IMPORT_BYTES + 801);
	import_rows_clear(&b);
}

static void test_shared_ids(void **state)
{
	(void)state;
	struct import_rows a = { 0 }, b = { 0 };

	assert_false(import_rows_share(&a, &b));
	for (unsigned n = 0; n < 100; n++) {
		assert_true(add(&a, 2 * n, n + 1, "even"));
		assert_true(add(&b, 2 * n + 1, n + 1, "odd"));
	}
	import_rows_sort(&a);
	import_rows_sort(&b);
	assert_false(import_rows_share(&a, &b));
	assert_true(import_rows_share(&b, &b));
	import_rows_reset(&b);
	assert_true(add(&b, 198, 1, "even"));
	import_rows_sort(&b);
	assert_true(import_rows_share(&a, &b));
	assert_true(import_rows_share(&b, &a));
	import_rows_clear(&a);
	import_rows_clear(&b);
}

static void test_locked_rows_stay(void **state)
{
	(void)state;
	struct import_rows b = { 0 };
	struct uuid ids[10];

	for (unsigned n = 0; n < 10; n++) {
		assert_true(add(&b, n, n + 1, "row"));
	}
	import_rows_sort(&b);
	for (unsigned n = 0; n < 10; n++)
		ids[n] = b.list[n].id;
	import_rows_lock(&b, 0, 5, &ids[4]);
	import_rows_lock(&b, 5, 10, &ids[4]); /* not among these */
	import_rows_lock(&b, 5, 10, &ids[9]);
	import_rows_keep_locked(&b);
	assert_int_equal(b.n, 2);
	assert_memory_equal(&b.list[0].id, &ids[4], sizeof(ids[4]));
	assert_memory_equal(&b.list[1].id, &ids[9], sizeof(ids[9]));
	import_rows_keep_locked(&b);
	assert_int_equal(b.n, 0);
	import_rows_clear(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_different_ids),	 cmocka_unit_test(test_sorted),
		cmocka_unit_test(test_full_of_bytes),	 cmocka_unit_test(test_shared_ids),
		cmocka_unit_test(test_locked_rows_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
