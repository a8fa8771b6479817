/*
 * The rule of a comparison, row by row: what was read, and what it means; and the statements of a
 * comparison, as text (golden_for_tests.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "consumer/verify/verify_rule.h"
#include "consumer/verify/verify_sql.h"
#include "tests/unit/golden_for_tests.h"
#include "tests/unit/tables_for_tests.h"

/* A row by its content: 0 none, else a letter for each column. */
static struct verify_content content(char letter)
{
	struct verify_content c = { NULL };

	if (letter) {
		c.columns = xcalloc(PRODUCTS_COLUMNS * VERIFY_DIGEST + 1, 1);
		memset(c.columns, letter, PRODUCTS_COLUMNS * VERIFY_DIGEST);
	}
	return c;
}

struct copy {
	char letter;
	int64_t version, buried, dead, load;
};

static struct verify_copy copy(struct copy c)
{
	return (struct verify_copy){ .content = content(c.letter),
				     .written = c.letter ? (uint32_t)c.version + 1000 : 0,
				     .version = c.version,
				     .buried = c.buried,
				     .dead = c.dead,
				     .load = c.load };
}

/* Each row: R0, then rounds of P (letter, given) and R1; the state after each. */
static void test_judgement(void **state)
{
	static const struct {
		const char *name;
		struct copy r0;
		struct {
			char letter;
			int64_t given;
			struct copy r1;
			bool unsettled;
			enum verify_state state;
		} round[4];
	} rows[] = {
		{ "has come",
		  { 'a', 1, 0, 0, 0 },
		  { { 'b', 2, { 'b', 2, 0, 0, 0 }, false, VERIFY_EQUAL } } },
		{ "was equal, the digests were read at different moments",
		  { 'a', 1, 0, 0, 0 },
		  { { 'a', 1, { 'a', 1, 0, 0, 0 }, false, VERIFY_EQUAL } } },
		{ "drift is found twice",
		  { 'x', 1, 0, 0, 0 },
		  { { 'a', 2, { 'x', 1, 0, 0, 0 }, false, VERIFY_OPEN },
		    { 'a', 2, { 'x', 1, 0, 0, 0 }, false, VERIFY_DRIFT } } },
		{ "drift of a product that changes all the time, too",
		  { 'x', 1, 0, 0, 0 },
		  { { 'a', 2, { 'x', 1, 0, 0, 0 }, false, VERIFY_OPEN },
		    { 'b', 3, { 'x', 1, 0, 0, 0 }, false, VERIFY_DRIFT } } },
		{ "missing",
		  { 0, 0, 0, 0, 0 },
		  { { 'a', 2, { 0, 0, 0, 0, 0 }, false, VERIFY_OPEN },
		    { 'a', 2, { 0, 0, 0, 0, 0 }, false, VERIFY_DRIFT } } },
		{ "missing, but deleted in between: another tombstone",
		  { 0, 0, 1, 0, 0 },
		  { { 'a', 2, { 0, 0, 3, 0, 0 }, false, VERIFY_OPEN },
		    { 0, 3, { 0, 0, 3, 0, 0 }, false, VERIFY_EQUAL } } },
		{ "missing, but reset in between",
		  { 0, 0, 0, 0, 1 },
		  { { 'a', 2, { 0, 0, 0, 0, 2 }, false, VERIFY_OPEN } } },
		{ "extra",
		  { 'x', 1, 0, 0, 0 },
		  { { 0, 2, { 'x', 1, 0, 0, 0 }, false, VERIFY_OPEN },
		    { 0, 2, { 'x', 1, 0, 0, 0 }, false, VERIFY_DRIFT } } },
		{ "inserted and deleted in between: no extra",
		  { 0, 0, 0, 0, 0 },
		  { { 0, 2, { 'a', 3, 0, 0, 0 }, false, VERIFY_OPEN },
		    { 0, 4, { 0, 0, 4, 0, 0 }, false, VERIFY_EQUAL } } },
		{ "a version that was never given out, though equal",
		  { 'a', 9, 0, 0, 0 },
		  { { 'a', 2, { 'a', 9, 0, 0, 0 }, false, VERIFY_OPEN },
		    { 'a', 2, { 'a', 9, 0, 0, 0 }, false, VERIFY_DRIFT } } },
		{ "a version that was given out since",
		  { 'a', 1, 0, 0, 0 },
		  { { 'a', 2, { 'a', 3, 0, 0, 0 }, false, VERIFY_OPEN },
		    { 'a', 3, { 'a', 3, 0, 0, 0 }, false, VERIFY_EQUAL } } },
		{ "so does a tombstone's",
		  { 0, 0, 9, 0, 0 },
		  { { 0, 2, { 0, 0, 9, 0, 0 }, false, VERIFY_OPEN },
		    { 0, 2, { 0, 0, 9, 0, 0 }, false, VERIFY_DRIFT } } },
		{ "a change given up, though equal",
		  { 'a', 1, 0, 1, 0 },
		  { { 'a', 2, { 'a', 1, 0, 1, 0 }, false, VERIFY_OPEN },
		    { 'a', 2, { 'a', 1, 0, 1, 0 }, false, VERIFY_DRIFT } } },
		{ "changes faster than anybody looks: what came is newer than the first look",
		  { 'a', 1, 0, 0, 0 },
		  { { 'b', 5, { 'c', 7, 0, 0, 0 }, false, VERIFY_OPEN },
		    { 'd', 9, { 'e', 10, 0, 0, 0 }, false, VERIFY_EQUAL } } },
		{ "waits for its next attempt: does not count",
		  { 'x', 1, 0, 0, 0 },
		  { { 'a', 2, { 'x', 1, 0, 0, 0 }, false, VERIFY_OPEN },
		    { 'a', 2, { 'x', 1, 0, 0, 0 }, true, VERIFY_OPEN },
		    { 'a', 2, { 'x', 1, 0, 0, 0 }, false, VERIFY_OPEN },
		    { 'a', 2, { 'x', 1, 0, 0, 0 }, false, VERIFY_DRIFT } } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct verify_suspect s;

		verify_suspect_init(&s, "{1}", 0);
		struct verify_copy r0 = copy(rows[i].r0);
		verify_suspect_copy(&s, &r0);
		for (size_t k = 0; k < 4 && rows[i].round[k].given > 0; k++) {
			struct verify_original p = { .content = content(rows[i].round[k].letter),
						     .given = rows[i].round[k].given };
			struct verify_copy r1 = copy(rows[i].round[k].r1);

			verify_suspect_original(&s, &p);
			verify_judge(&s, &r1, !rows[i].round[k].unsettled);
			if (s.state != rows[i].round[k].state)
				print_error("%s, round %zu: state %d\n", rows[i].name, k + 1,
					    (int)s.state);
			assert_int_equal(s.state, rows[i].round[k].state);
		}
		verify_suspect_clear(&s);
	}
}

/* Somebody writes the replica by hand all the time. */
static void test_too_fast(void **state)
{
	struct verify_copy r0 = copy((struct copy){ 'x', 1, 0, 0, 0 });
	struct verify_suspect s;
	unsigned rounds = 0;

	(void)state;
	verify_suspect_init(&s, "{1}", 0);
	verify_suspect_copy(&s, &r0);
	while (s.state == VERIFY_OPEN) {
		struct verify_original p = { .content = content('a'), .given = 1000 };
		struct verify_copy r1 = copy((struct copy){ 'x', (int64_t)++rounds + 1, 0, 0, 0 });

		verify_suspect_original(&s, &p);
		verify_judge(&s, &r1, true);
	}
	assert_int_equal(s.state, VERIFY_UNSURE);
	assert_int_equal(rounds, VERIFY_ROUNDS);
	/* From the beginning. */
	verify_suspect_again(&s);
	assert_string_equal(s.key, "{1}");
	assert_int_equal(s.state, VERIFY_OPEN);
	assert_int_equal(s.rounds, 0);
	assert_null(s.copy.content.columns);
	verify_suspect_clear(&s);
}

static void describe(char there, struct copy here, size_t differs, const char *want)
{
	struct table *t = products_for_tests();
	struct verify_suspect s = { .original = { .content = content(there), .given = 5 },
				    .copy = copy(here) };
	AUTO_STRBUF out = STRBUF_INIT;

	if (differs > 0) {
		s.copy.content.columns[2 * VERIFY_DIGEST + VERIFY_DIGEST - 1] ^= 1;
		s.copy.content.columns[differs * VERIFY_DIGEST] ^= 1;
	}
	verify_describe(&out, &s, t);
	assert_string_equal(strbuf_str(&out), want);
	verify_suspect_clear(&s);
	table_free(t);
}

static void test_words(void **state)
{
	(void)state;
	describe('a', (struct copy){ 'a', 1, 0, 0, 0 }, PRODUCTS_UPDATED,
		 "different: price, updated_at");
	describe(
		'a', (struct copy){ 0, 0, 6, 2, 0 }, 0,
		"missing; tombstone's version 6 was never given out; a change of it was given up (version 2)");
	describe(0, (struct copy){ 'a', 9, 6, 0, 0 }, 0, "extra; version 9 was never given out");
}

static void test_arrival(void **state)
{
	const int64_t t = INT64_C(1800000000000000), minute = 60000000;

	(void)state;
	assert_true(verify_arrived(t, t, t, 0));
	assert_true(verify_arrived(t + 5, t + minute, t, 10));
	assert_false(verify_arrived(t - 1, t, t, 0));
	assert_false(verify_arrived(t, t - 1, t, 0));
	assert_false(verify_arrived(0, 0, t, minute));
	/* Another clock's. */
	assert_false(verify_arrived(t + 61 * minute, t, t, 10));
	assert_false(verify_arrived(t, t + 61 * minute, t, 10));
	assert_true(verify_arrived(t + 61 * minute, t + 61 * minute, t, 61 * minute));
}

/* ---- statements ---- */

static void check_texts(const char *golden, struct table *t, const char *filter)
{
	AUTO_STRBUF out = STRBUF_INIT;
	struct verify_names n = { .t = t, .stream = 2, .relation = "s.there", .filter = filter };

	for (int i = 0; i < VERIFY_TEXTS; i++) {
		if (i >= VERIFY_TEXT_KEYS) {
			n.relation = "s.here";
			n.filter = NULL;
		}
		verify_sql_text(&out, (enum verify_text)i, &n);
		strbuf_addf(&out, "; -- %d\n\n", verify_text_params[i]);
	}
	n.relation = "s.there";
	n.filter = filter;
	verify_sql_row(&out, &n);
	strbuf_addstr(&out, ";\n\n");
	verify_sql_write(&out, t);
	strbuf_addstr(&out, ";\n\n");
	strbuf_addstr(&out, "SET search_path = ");
	verify_sql_path(&out, t);
	strbuf_addch(&out, '\n');
	check_golden(golden, &out);
	table_free(t);
}

static void test_texts(void **state)
{
	(void)state;
	check_texts("verify_products", products_for_tests(), NULL);
	check_texts("verify_odd", odd_for_tests(), "flag AND note <> 'no'");
}

/* No function with more arguments than it can have, however wide the table. */
static void test_wide(void **state)
{
	AUTO_STRBUF description = STRBUF_INIT, out = STRBUF_INIT;
	size_t most = 0, n = 0;
	(void)state;

	strbuf_addstr(&description,
		      "{\"table\": 9, \"stream\": \"rest\", \"schema\": \"s\", \"name\": \"wide\","
		      " \"version\": \"v\", \"key\": [1], \"plain\": true, \"columns\": [");
	for (int i = 1; i <= 1600; i++)
		strbuf_addf(
			&description,
			"%s{\"att\": %d, \"name\": \"c%d\", \"member\": \"c%d\", \"type\": \"integer\","
			" \"form\": \"int4\", \"equal\": \"OPERATOR(pg_catalog.=)\"}",
			i > 1 ? "," : "", i, i, i);
	strbuf_addstr(&description, "]}");
	struct table *t = table_for_tests(30, strbuf_str(&description));
	const struct verify_names names = { .t = t, .stream = 2, .relation = "s.wide" };

	verify_sql_text(&out, VERIFY_TEXT_ORIGINALS, &names);
	for (const char *p = strstr(strbuf_str(&out), "concat(concat(");
	     strncmp(p, " AS columns", 11) != 0; p++) {
		if (strncmp(p, "concat(CASE", 11) == 0)
			n = 0;
		n += strncmp(p, "CASE", 4) == 0;
		most = n > most ? n : most;
	}
	assert_int_equal(most, 50);
	table_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_judgement), cmocka_unit_test(test_too_fast),
		cmocka_unit_test(test_words),	  cmocka_unit_test(test_arrival),
		cmocka_unit_test(test_texts),	  cmocka_unit_test(test_wide),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
