/* test_source.c: epochs by the names of their primaries. pgfanout.succeeds() has the same cases in test_epochs.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/base/base.h"
#include "common/wire/source.h"

static void test_succeeds(void **state)
{
	static const struct {
		const char *source, *other;
		bool related, succeeds;
	} rows[] = {
		{ "71/5", "71/5", true, false },
		{ "71/5@2-9", "71/5", true, true },
		{ "71/5", "71/5@2-9", true, false },
		{ "71/5@3-1", "71/5@2-9", true, true },
		{ "71/5@10-1", "71/5@9-1", true, true },
		{ "71/5@2-8", "71/5@2-9", true, false },
		{ "71/5@2-9", "71/5@2-8", true, false },
		{ "71/6@2-9", "71/5", false, false },
		{ "71/55@2-9", "71/5", false, false },
		{ "71/5@2147483647-9", "71/5@2-9", true, true },
		{ "71/5@99999999999-9", "71/5", true, false },
		{ "71/5@x", "71/5", true, false },
		{ "71/5@2", "71/5", true, false },
		{ "table-17@2-9", "table-17", true, true },
		{ "", "71/5", false, false },
		{ "71/5", "", false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (source_succeeds(rows[i].source, rows[i].other) != rows[i].succeeds)
			print_error("%s, %s\n", rows[i].source, rows[i].other);
		assert_int_equal(source_succeeds(rows[i].source, rows[i].other), rows[i].succeeds);
		assert_int_equal(source_is_related(rows[i].source, rows[i].other), rows[i].related);
	}
}

static void test_hash(void **state)
{
	(void)state;
	assert_int_not_equal(source_hash("71/5"), source_hash("71/5@2-9"));
	assert_int_not_equal(source_hash(""), 0);
	assert_int_equal(source_hash("replica-1"), source_hash("replica-1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_succeeds),
		cmocka_unit_test(test_hash),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
