/*
 * The verdict tables, row by row: what a consumer does after each outcome of a unit, and where a
 * failed change goes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "consumer/apply/verdict.h"

static void test_units(void **state)
{
	static const struct {
		enum db_outcome outcome;
		size_t changes;
		unsigned tries;
		enum verdict_action action;
	} rows[] = {
		{ DB_OK, 1, 1, VERDICT_NEXT },
		{ DB_OK, 2000, 5, VERDICT_NEXT },
		{ DB_REFUSED, 1, 1, VERDICT_FAIL_CHANGE },
		{ DB_REFUSED, 2, 1, VERDICT_HALVE },
		{ DB_REFUSED, 2000, 1, VERDICT_HALVE },
		{ DB_RETRY, 1, 1, VERDICT_AGAIN },
		{ DB_RETRY, 2000, VERDICT_TRIES - 1, VERDICT_AGAIN },
		{ DB_RETRY, 2000, VERDICT_TRIES, VERDICT_WAIT },
		{ DB_RETRY, 1, VERDICT_TRIES + 1, VERDICT_WAIT },
		{ DB_UNFIT, 1, 1, VERDICT_WAIT },
		{ DB_SCHEMA, 1, 1, VERDICT_WAIT },
		{ DB_BROKEN, 1, 1, VERDICT_WAIT },
		{ DB_BROKEN, 2000, 1, VERDICT_WAIT },
		{ DB_LOST, 1, 1, VERDICT_WAIT },
		{ DB_BUSY, 2000, 1, VERDICT_WAIT_RESET },
		{ DB_FOREIGN, 2000, 1, VERDICT_WAIT },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct verdict v = verdict_of_unit(rows[i].outcome, rows[i].changes, rows[i].tries);
		if (v.action != rows[i].action)
			print_error("row %zu: %s, %zu changes, try %u\n", i,
				    db_outcome_name(rows[i].outcome), rows[i].changes,
				    rows[i].tries);
		assert_int_equal(v.action, rows[i].action);
		assert_true(strlen(v.sentence) > 0);
	}
}

/* The replica's trouble never uses up an attempt: only refused data may lead to the retry or the
 * dead-letter queue. */
static void test_only_refused_data_fails_a_change(void **state)
{
	(void)state;
	for (int outcome = DB_OK; outcome <= DB_LOST; outcome++)
		for (unsigned tries = 1; tries < 2 * VERDICT_TRIES; tries++) {
			enum verdict_action one =
				verdict_of_unit((enum db_outcome)outcome, 1, tries).action;
			assert_int_equal(one == VERDICT_FAIL_CHANGE, outcome == DB_REFUSED);
			assert_true(verdict_of_unit((enum db_outcome)outcome, 2, tries).action !=
				    VERDICT_FAIL_CHANGE);
		}
}

static void test_failures(void **state)
{
	static const struct {
		unsigned attempt, max;
		enum verdict_action action;
	} rows[] = {
		{ 1, 3, VERDICT_RETRY }, { 2, 3, VERDICT_RETRY }, { 3, 3, VERDICT_DEAD },
		{ 4, 3, VERDICT_DEAD },	 { 1, 1, VERDICT_DEAD },  { 1001, 10, VERDICT_DEAD },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		enum verdict_action action =
			verdict_of_failure(rows[i].attempt, rows[i].max).action;
		if (action != rows[i].action)
			print_error("row %zu: attempt %u of %u\n", i, rows[i].attempt, rows[i].max);
		assert_int_equal(action, rows[i].action);
	}
}

static void test_what_waits_for_others(void **state)
{
	static const struct {
		const char *sqlstate;
		bool waits;
	} rows[] = {
		{ "23505", true },  { "23P01", true },	{ "23503", true },  { "P0001", false },
		{ "40002", false }, { "23514", false }, { "23502", false }, { "22003", false },
		{ "54000", false }, { "21000", false }, { "44000", false },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (verdict_waits(rows[i].sqlstate) != rows[i].waits)
			print_error("%s\n", rows[i].sqlstate);
		assert_int_equal(verdict_waits(rows[i].sqlstate), rows[i].waits);
	}
}

static void test_delays(void **state)
{
	(void)state;
	assert_int_equal(verdict_delay_ms(1000, 1), 1000);
	assert_int_equal(verdict_delay_ms(1000, 2), 2000);
	assert_int_equal(verdict_delay_ms(1000, 3), 4000);
	assert_int_equal(verdict_delay_ms(10, 1), 10);
	assert_int_equal(verdict_delay_ms(600000, 9), INT64_C(153600000));
	/* Whatever a header said: no shift beyond the type. */
	assert_true(verdict_delay_ms(600000, 1001) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_units),
		cmocka_unit_test(test_only_refused_data_fails_a_change),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_what_waits_for_others),
		cmocka_unit_test(test_delays),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
