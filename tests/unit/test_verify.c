/*
 * The rule of a comparison, row by row: what was read, and what it means; the merge of two sides; and that the statements for
 * both sides make digests of the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "consumer/verify/sql/verify_chunk.sql.h"
#include "consumer/verify/sql/verify_chunk_copy.sql.h"
#include "consumer/verify/sql/verify_look.sql.h"
#include "consumer/verify/sql/verify_look_copy.sql.h"
#include "consumer/verify/sql/verify_rows.sql.h"
#include "consumer/verify/verify_rows.h"
#include "consumer/verify/verify_rule.h"

/* A product by its content: 0 none, else a letter for each column. */
static struct verify_content content(char letter)
{
	struct verify_content c = { .exists = letter != 0 };

	if (letter)
		memset(c.column, letter, sizeof(c.column));
	return c;
}

struct copy {
	char letter;
	int64_t version, buried, dead, reset_at;
};

static struct verify_copy copy(struct copy c)
{
	return (struct verify_copy){ .content = content(c.letter),
				     .written = c.letter ? (uint32_t)c.version + 1000 : 0,
				     .version = c.version,
				     .buried = c.buried,
				     .dead = c.dead,
				     .reset_at = c.reset_at };
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
	const struct uuid id = { { 1 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct verify_suspect s;

		verify_suspect_init(&s, &id, 0);
		s.copy = copy(rows[i].r0);
		for (size_t k = 0; k < 4 && rows[i].round[k].given > 0; k++) {
			struct verify_original p = { content(rows[i].round[k].letter),
						     rows[i].round[k].given };
			struct verify_copy r1 = copy(rows[i].round[k].r1);

			verify_suspect_original(&s, &p);
			verify_judge(&s, &r1, !rows[i].round[k].unsettled);
			if (s.state != rows[i].round[k].state)
				print_error("%s, round %zu: state %d\n", rows[i].name, k + 1,
					    (int)s.state);
			assert_int_equal(s.state, rows[i].round[k].state);
		}
	}
}

/* Somebody writes the replica by hand all the time. */
static void test_too_fast(void **state)
{
	const struct uuid id = { { 1 } };
	const struct verify_original p = { content('a'), 1000 };
	struct verify_suspect s;
	unsigned rounds = 0;

	(void)state;
	verify_suspect_init(&s, &id, 0);
	s.copy = copy((struct copy){ 'x', 1, 0, 0, 0 });
	while (s.state == VERIFY_OPEN) {
		struct verify_copy r1 = copy((struct copy){ 'x', (int64_t)++rounds + 1, 0, 0, 0 });

		verify_suspect_original(&s, &p);
		verify_judge(&s, &r1, true);
	}
	assert_int_equal(s.state, VERIFY_UNSURE);
	assert_int_equal(rounds, VERIFY_ROUNDS);
}

static void test_words(void **state)
{
	struct verify_suspect s = { .original = { content('a'), 5 } };
	AUTO_STRBUF out = STRBUF_INIT;

	(void)state;
	s.copy = copy((struct copy){ 'a', 1, 0, 0, 0 });
	s.copy.content.column[1][15] ^= 1;
	s.copy.content.column[4][0] ^= 1;
	verify_describe(&out, &s);
	assert_string_equal(strbuf_str(&out), "different: price, updated_at");
	strbuf_reset(&out);
	s.copy = copy((struct copy){ 0, 0, 6, 2, 0 });
	verify_describe(&out, &s);
	assert_string_equal(
		strbuf_str(&out),
		"missing; tombstone's version 6 was never given out; a change of it was given up (version 2)");
	strbuf_reset(&out);
	s.original.content = content(0);
	s.copy = copy((struct copy){ 'a', 9, 6, 0, 0 });
	verify_describe(&out, &s);
	assert_string_equal(strbuf_str(&out), "extra; version 9 was never given out");
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

/* ---- ranges ---- */

static struct uuid number(unsigned n)
{
	return (struct uuid){ { [14] = (uint8_t)(n >> 8), [15] = (uint8_t)n } };
}

static void test_next_id(void **state)
{
	struct uuid id = number(255), carried = number(256), last = verify_last_id;

	(void)state;
	assert_true(verify_next_id(&id));
	assert_memory_equal(&id, &carried, sizeof(id));
	assert_false(verify_next_id(&last));
	assert_memory_equal(&last, &verify_last_id, sizeof(last));
	last.b[15] = 0xfe;
	assert_true(verify_next_id(&last));
	assert_memory_equal(&last, &verify_last_id, sizeof(last));
}

struct found {
	unsigned id[8];
	size_t n;
};

static void note(void *arg, const struct uuid *id)
{
	struct found *f = arg;

	assert_true(f->n < ARRAY_SIZE(f->id));
	f->id[f->n++] = (unsigned)id->b[14] << 8 | id->b[15];
}

static void add(struct verify_rows *rows, unsigned n, char letter)
{
	rows->row[rows->n].id = number(n);
	memset(rows->row[rows->n++].digest, letter, 32);
}

static void test_merge(void **state)
{
	struct verify_rows *a = xcalloc(1, sizeof(*a)), *b = xcalloc(1, sizeof(*b));
	struct uuid end = number(8);
	struct found f = { 0 };

	(void)state;
	add(a, 1, 'a');
	add(a, 3, 'a');
	add(a, 4, 'a');
	add(a, 8, 'a');
	add(b, 2, 'a');
	add(b, 3, 'a');
	add(b, 4, 'b');
	add(b, 9, 'a'); /* beyond the end */
	verify_merge(a, b, &end, note, &f);
	assert_int_equal(f.n, 4);
	assert_int_equal(f.id[0], 1);
	assert_int_equal(f.id[1], 2);
	assert_int_equal(f.id[2], 4);
	assert_int_equal(f.id[3], 8);
	f.n = b->n = 0;
	verify_merge(b, a, &end, note, &f);
	assert_int_equal(f.n, 4);
	f.n = a->n = 0;
	verify_merge(a, b, &end, note, &f);
	assert_int_equal(f.n, 0);
	free(a);
	free(b);
}

/* A side that was cut off is complete only up to its last row. */
static void test_complete_to(void **state)
{
	struct verify_rows *full = xcalloc(1, sizeof(*full)), *few = xcalloc(1, sizeof(*few));
	struct uuid end = verify_last_id, last = number(VERIFY_CHUNK - 1);

	(void)state;
	add(few, 1, 'a');
	verify_complete_to(few, few, &end);
	assert_memory_equal(&end, &verify_last_id, sizeof(end));
	while (full->n < VERIFY_CHUNK)
		add(full, (unsigned)full->n, 'a');
	verify_complete_to(few, full, &end);
	assert_memory_equal(&end, &last, sizeof(end));
	end = number(7);
	verify_complete_to(full, few, &end);
	assert_int_equal(end.b[15], 7);
	free(full);
	free(few);
}

/* The part from `from` to the first `to` behind it, without blanks. */
static char *part(const char *sql, const char *from, const char *to)
{
	const char *s = strstr(sql, from);
	const char *end = s ? strstr(s, to) : NULL;

	assert_non_null(end);
	char *text = calloc(1, (size_t)(end - s) + 1);
	size_t n = 0;

	assert_non_null(text);
	for (; s < end; s++)
		if (strchr(" \t\n", *s) == NULL)
			text[n++] = *s;
	return text;
}

/* What one side has, and the other would have to change with it. */
static void test_same_digests(void **state)
{
	static const struct {
		const char *one, *other, *from, *to;
	} rows[] = {
		{ sql_verify_look, sql_verify_look_copy, "substr(sha256(", "AS columns" },
		{ sql_verify_chunk, sql_verify_chunk_copy, "length(name)", "AS line" },
		{ sql_verify_chunk, sql_verify_rows, "length(name)", "::timestamptz ||" },
		{ sql_verify_chunk, sql_verify_rows, "' ' || updated_at", "::timestamptz" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char *one = part(rows[i].one, rows[i].from, rows[i].to);
		char *other = part(rows[i].other, rows[i].from, rows[i].to);

		assert_string_equal(one, other);
		free(one);
		free(other);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_judgement),   cmocka_unit_test(test_too_fast),
		cmocka_unit_test(test_words),	    cmocka_unit_test(test_arrival),
		cmocka_unit_test(test_next_id),	    cmocka_unit_test(test_merge),
		cmocka_unit_test(test_complete_to), cmocka_unit_test(test_same_digests),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
