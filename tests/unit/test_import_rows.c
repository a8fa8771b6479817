/*
 * test_import_rows.c: a batch of an import: different ids only, full at its limits, sorted by id.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "api/products/import_rows.h"

static void set_row(struct product_input *in, unsigned n, const char *name)
{
	memset(&in->id, 0, sizeof(in->id));
	in->id.b[0] = (uint8_t)(n * 101); /* so that the order of coming is not that of the ids */
	in->id.b[14] = (uint8_t)(n >> 8);
	in->id.b[15] = (uint8_t)n;
	strbuf_reset(&in->name);
	strbuf_addstr(&in->name, name);
	strcpy(in->price, "19.90");
	in->stock = (int32_t)n;
}

static void test_different_ids(void **state)
{
	(void)state;
	struct import_rows b = { 0 };
	struct product_input in = { 0 };

	for (unsigned n = 0; n < IMPORT_ROWS; n++) {
		assert_false(import_rows_full(&b));
		set_row(&in, n, "name");
		assert_true(import_rows_add(&b, &in, n + 1));
		assert_int_equal(import_rows_full(&b), n + 1 == IMPORT_ROWS);
	}
	import_rows_reset(&b);
	set_row(&in, 7, "first");
	assert_true(import_rows_add(&b, &in, 1));
	set_row(&in, 7, "second");
	assert_false(import_rows_add(&b, &in, 2));
	assert_int_equal(b.n, 1);
	import_rows_reset(&b);
	assert_true(import_rows_add(&b, &in, 2));
	import_rows_clear(&b);
	product_input_clear(&in);
}

static void test_sorted(void **state)
{
	(void)state;
	struct import_rows b = { 0 };
	struct product_input in = { 0 };

	for (unsigned n = 0; n < 500; n++) {
		char name[8] = { (char)('a' + n % 26), 0 };

		set_row(&in, n, name);
		assert_true(import_rows_add(&b, &in, n + 1));
	}
	import_rows_sort(&b);
	for (size_t i = 0; i < b.n; i++) {
		const struct import_row *row = &b.list[i];

		if (i > 0)
			assert_true(uuid_cmp(&b.list[i - 1].id, &row->id) < 0);
		assert_int_equal(row->line, row->stock + 1);
		assert_int_equal(row->name_len, 1);
		assert_int_equal(b.names.data[row->name_at], 'a' + row->stock % 26);
		assert_string_equal(row->price, "19.90");
	}
	import_rows_clear(&b);
	product_input_clear(&in);
}

static void test_full_of_names(void **state)
{
	(void)state;
	struct import_rows b = { 0 };
	struct product_input in = { 0 };
	char name[801];
	unsigned n = 0;

	memset(name, 'x', 800);
	name[800] = '\0';
	while (!import_rows_full(&b)) {
		set_row(&in, n++, name);
		assert_true(import_rows_add(&b, &in, n));
	}
	assert_true(b.n < IMPORT_ROWS);
	assert_true(b.names.len >= IMPORT_NAME_BYTES && b.names.len < IMPORT_NAME_BYTES + 801);
	import_rows_clear(&b);
	product_input_clear(&in);
}

static void test_shared_ids(void **state)
{
	(void)state;
	struct import_rows a = { 0 }, b = { 0 };
	struct product_input in = { 0 };

	assert_false(import_rows_share(&a, &b));
	for (unsigned n = 0; n < 100; n++) {
		set_row(&in, 2 * n, "even");
		assert_true(import_rows_add(&a, &in, n + 1));
		set_row(&in, 2 * n + 1, "odd");
		assert_true(import_rows_add(&b, &in, n + 1));
	}
	import_rows_sort(&a);
	import_rows_sort(&b);
	assert_false(import_rows_share(&a, &b));
	assert_true(import_rows_share(&b, &b));
	import_rows_reset(&b);
	set_row(&in, 198, "even");
	assert_true(import_rows_add(&b, &in, 1));
	import_rows_sort(&b);
	assert_true(import_rows_share(&a, &b));
	assert_true(import_rows_share(&b, &a));
	import_rows_clear(&a);
	import_rows_clear(&b);
	product_input_clear(&in);
}

static void test_locked_rows_stay(void **state)
{
	(void)state;
	struct import_rows b = { 0 };
	struct product_input in = { 0 };
	struct uuid ids[10];

	for (unsigned n = 0; n < 10; n++) {
		set_row(&in, n, "row");
		assert_true(import_rows_add(&b, &in, n + 1));
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
	product_input_clear(&in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_different_ids),	 cmocka_unit_test(test_sorted),
		cmocka_unit_test(test_full_of_names),	 cmocka_unit_test(test_shared_ids),
		cmocka_unit_test(test_locked_rows_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
