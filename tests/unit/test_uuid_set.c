/*
 * test_uuid_set.c: each id once, with its row, through growing, emptying and the end of the rounds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/base/uuid_set.h"

#define ROWS 5000

/* Ids that differ in the first half, in the second, or in both. */
static struct uuid id_of(unsigned n)
{
	struct uuid id = { { 0 } };

	if (n % 3 != 1) {
		id.b[1] = (uint8_t)(n >> 8);
		id.b[2] = (uint8_t)n;
	}
	if (n % 3 != 0) {
		id.b[14] = (uint8_t)(n >> 8);
		id.b[15] = (uint8_t)n;
	}
	return id;
}

static void fill(struct uuid_set *s, unsigned n, unsigned first_row)
{
	for (unsigned i = 0; i < n; i++) {
		struct uuid id = id_of(i);

		assert_int_equal(*uuid_set_put(s, &id, first_row + i), first_row + i);
	}
	assert_int_equal(s->n, n);
	for (unsigned i = 0; i < n; i++) {
		struct uuid id = id_of(i);

		assert_int_equal(*uuid_set_put(s, &id, UINT32_MAX), first_row + i);
	}
	assert_int_equal(s->n, n);
}

static void test_growing(void **state)
{
	(void)state;
	struct uuid_set s = { 0 };

	fill(&s, ROWS, 7);
	assert_true(s.cap >= 2 * (size_t)ROWS);
	uuid_set_clear(&s);
	fill(&s, 3, 0);
	uuid_set_clear(&s);
}

static void test_row_is_changed(void **state)
{
	(void)state;
	struct uuid_set s = { 0 };
	struct uuid id = id_of(1);

	*uuid_set_put(&s, &id, 0) = 9;
	for (unsigned i = 2; i < ROWS; i++) {
		struct uuid other = id_of(i);

		uuid_set_put(&s, &other, i);
	}
	assert_int_equal(*uuid_set_put(&s, &id, 1), 9);
	uuid_set_clear(&s);
}

static void test_memory_is_kept(void **state)
{
	(void)state;
	struct uuid_set s = { 0 };

	uuid_set_reset(&s);
	fill(&s, ROWS, 0);
	const struct uuid_slot *slots = s.slots;

	for (unsigned round = 1; round < 100; round++) {
		uuid_set_reset(&s);
		assert_int_equal(s.n, 0);
		fill(&s, ROWS / round, round);
		assert_ptr_equal(s.slots, slots);
	}
	uuid_set_clear(&s);
}

static void test_end_of_rounds(void **state)
{
	(void)state;
	struct uuid_set s = { 0 };

	fill(&s, 100, 0); /* these slots are of round 1 */
	s.round = UINT32_MAX - 1;
	for (unsigned round = 0; round < 4; round++) {
		uuid_set_reset(&s);
		fill(&s, 100, 1000 * (round + 1));
	}
	uuid_set_clear(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_growing),
		cmocka_unit_test(test_row_is_changed),
		cmocka_unit_test(test_memory_is_kept),
		cmocka_unit_test(test_end_of_rounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
