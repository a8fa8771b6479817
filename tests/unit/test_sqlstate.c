/* test_sqlstate.c: SQLSTATE to outcome, a row each. Companions: common/pg/sqlstate.c alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/base/base.h"
#include "common/pg/sqlstate.h"

static const struct row {
	const char *sqlstate;
	enum db_outcome outcome;
} rows[] = {
	/* no SQLSTATE: the connection is gone */
	{ NULL, DB_LOST },
	{ "", DB_LOST },
	{ "2300", DB_LOST },
	{ "235050", DB_LOST },
	{ "08006", DB_LOST },
	{ "08P01", DB_LOST },
	{ "25P03", DB_LOST }, /* idle_in_transaction_session_timeout */
	{ "57P05", DB_LOST }, /* idle_session_timeout */
	{ "40003", DB_LOST },
	/* the data */
	{ "21000", DB_REFUSED },
	{ "22003", DB_REFUSED },
	{ "22021", DB_REFUSED },
	{ "22P02", DB_REFUSED },
	{ "23505", DB_REFUSED },
	{ "23514", DB_REFUSED },
	{ "27000", DB_REFUSED },
	{ "40002", DB_REFUSED },
	{ "44000", DB_REFUSED },
	{ "54000", DB_REFUSED },
	{ "P0001", DB_REFUSED },
	{ "P0004", DB_REFUSED },
	{ "PF003", DB_REFUSED }, /* a trigger's own */
	{ "AB123", DB_REFUSED },
	/* the server itself */
	{ "XX000", DB_REFUSED },
	{ "XX001", DB_BROKEN },
	{ "XX002", DB_BROKEN },
	/* a reset is running */
	{ "PF001", DB_BUSY },
	{ SQLSTATE_ENCODING, DB_SCHEMA },
	{ "PF002", DB_FOREIGN },
	/* soon again */
	{ "26000", DB_RETRY },
	{ "PF006", DB_RETRY },
	{ "40001", DB_RETRY },
	{ "40P01", DB_RETRY },
	{ "55006", DB_RETRY },
	{ "55P03", DB_RETRY },
	{ "57014", DB_RETRY },
	{ "72000", DB_RETRY },
	/* later again */
	{ "25006", DB_UNFIT },
	{ "53100", DB_UNFIT },
	{ "53200", DB_UNFIT },
	{ "53300", DB_UNFIT },
	{ "57P01", DB_UNFIT },
	{ "57P02", DB_UNFIT },
	{ "57P03", DB_UNFIT },
	{ "58030", DB_UNFIT },
	/* a person must act */
	{ "0A000", DB_SCHEMA },
	{ "28P01", DB_SCHEMA },
	{ "3D000", DB_SCHEMA },
	{ "3F000", DB_SCHEMA },
	{ "42501", DB_SCHEMA },
	{ "42703", DB_SCHEMA },
	{ "42883", DB_SCHEMA },
	{ "42P01", DB_SCHEMA },
	{ "55000", DB_SCHEMA },
	{ "57P04", DB_SCHEMA },
};

static void test_outcomes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		enum db_outcome got = sqlstate_outcome(rows[i].sqlstate);
		if (got != rows[i].outcome)
			fail_msg("%s: %s, not %s", rows[i].sqlstate ? rows[i].sqlstate : "NULL",
				 db_outcome_name(got), db_outcome_name(rows[i].outcome));
	}
}

static void test_names(void **state)
{
	(void)state;
	for (int a = DB_OK; a <= DB_LOST; a++) {
		assert_string_not_equal(db_outcome_name((enum db_outcome)a), "?");
		for (int b = DB_OK; b < a; b++)
			assert_string_not_equal(db_outcome_name((enum db_outcome)a),
						db_outcome_name((enum db_outcome)b));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_outcomes),
		cmocka_unit_test(test_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
