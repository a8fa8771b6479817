/*
 * test_position.c: what a client has seen: as text, joined, and after each answer. Companions: common/base.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "api/pool/position.h"
#include "common/wire/source.h"
#include "common/base/base64.h"

#define R1     11U
#define R2     22U
#define SOURCE 7U

static bool same(const struct position *a, const struct position *b)
{
	return a->source == b->source && a->lsn == b->lsn && a->version == b->version &&
	       a->replica == b->replica && a->seen == b->seen;
}

static void test_text(void **state)
{
	static const struct position rows[] = {
		{ .source = 1 },
		{ .source = UINT32_MAX, .lsn = POSITION_UNKNOWN, .version = INT64_MAX },
		{ SOURCE, 4711, 12, R1, 4712 },
		{ SOURCE, 0, 0, UINT32_MAX, POSITION_UNKNOWN },
	};
	char text[POSITION_TEXT_MAX + 1];
	struct position read;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		position_write(&rows[i], text);
		assert_true(strlen(text) <= POSITION_TEXT_MAX);
		assert_true(position_read(text, strlen(text), &read));
		assert_true(same(&read, &rows[i]));
		/* One text for each, and no other. */
		assert_false(position_read(text, strlen(text) - 1, &read));
		for (size_t at = 0; at < strlen(text); at++) {
			char old = text[at];

			text[at] = '=';
			assert_false(position_read(text, strlen(text), &read));
			text[at] = old;
		}
	}
}

static bool reads(const char *bytes, size_t len)
{
	AUTO_STRBUF text = STRBUF_INIT;
	struct position read;

	base64_add(&text, BASE64_URL, bytes, len);
	return position_read(strbuf_str(&text), text.len, &read);
}

static void test_other_texts(void **state)
{
	char bytes[40] = { 1, 0, 0, 0, 7 };
	struct position read;

	(void)state;
	assert_true(reads(bytes, 21));
	assert_false(reads(bytes, 33)); /* no replica */
	bytes[21] = 1;
	assert_true(reads(bytes, 33));
	for (size_t len = 0; len < sizeof(bytes); len++)
		assert_int_equal(reads(bytes, len), len == 21 || len == 33);
	bytes[13] = (char)0x80; /* a negative version */
	assert_false(reads(bytes, 21));
	bytes[13] = 0;
	bytes[0] = 2; /* another format */
	assert_false(reads(bytes, 21));
	bytes[0] = 1;
	bytes[4] = 0; /* nothing was seen */
	assert_false(reads(bytes, 21));
	assert_false(position_read("", 0, &read));
}

static void test_needs(void **state)
{
	const struct position at = { SOURCE, 100, 0, R1, 150 };

	(void)state;
	assert_int_equal(position_needs(&at, R1), 100);
	assert_int_equal(position_needs(&at, R2), 150);
	/* After chunks of a list that were not known when it began. */
	const struct position list = { SOURCE, 100, 0, R1, POSITION_UNKNOWN };
	assert_int_equal(position_needs(&list, R1), 100);
	assert_true(position_needs(&list, R2) == POSITION_UNKNOWN);
}

/* A standby that is started again may be behind what it has shown. */
static void test_standbys(void **state)
{
	const struct position at = { SOURCE, 100, 0, R1, 151 };

	(void)state;
	assert_int_equal(position_needs_replayed(&at, R1), 150); /* as it told that */
	assert_int_equal(position_needs_replayed(&at, R2), 151);
	const struct position unknown = { SOURCE, 100, 0, R1, POSITION_UNKNOWN };
	assert_true(position_needs_replayed(&unknown, R1) == POSITION_UNKNOWN);
	const struct position written = { SOURCE, 200, 7, 0, 0 };
	assert_int_equal(position_needs_replayed(&written, R1), 200);
}

static void test_answers(void **state)
{
	struct position at = { 0 };
	const struct place first = { .seen = 150, .mark = 120, .source = SOURCE };
	const struct place second = { .seen = 140, .mark = 170, .source = SOURCE };

	(void)state;
	/* A replica: what it shows need not be in its marks, as long as the client stays. */
	position_at_replica(&at, R1, &first, 9);
	assert_true(same(&at, &(struct position){ SOURCE, 0, 9, R1, 150 }));
	/* A row by key with an older version, then a page: its versions are not known. */
	position_at_replica(&at, R1, &first, 5);
	assert_int_equal(at.version, 9);
	position_at_replica(&at, R1, &first, 0);
	assert_int_equal(at.version, 0);
	/* And are not known afterwards, whatever else is read. */
	position_at_replica(&at, R1, &first, 12);
	assert_int_equal(at.version, 0);
	/* Another one: what was seen at the first must be behind everybody's marks from now on. */
	position_at_replica(&at, R2, &second, 0);
	assert_true(same(&at, &(struct position){ SOURCE, 150, 0, R2, 140 }));
	/* The primary has all of it. */
	position_at_primary(&at, SOURCE, 300, 77);
	assert_true(same(&at, &(struct position){ SOURCE, 300, 77, 0, 0 }));
	position_at_primary(&at, SOURCE, 0, 0);
	assert_true(at.lsn == POSITION_UNKNOWN);
}

static void test_join(void **state)
{
	static const struct {
		struct position a, b, joined;
	} rows[] = {
		{ { 0 }, { SOURCE, 5, 6, R1, 7 }, { SOURCE, 5, 6, R1, 7 } },
		{ { SOURCE, 5, 6, R1, 7 }, { 0 }, { SOURCE, 5, 6, R1, 7 } },
		{ { SOURCE, 5, 6, R1, 7 }, { SOURCE, 6, 9, R1, 6 }, { SOURCE, 6, 9, R1, 7 } },
		{ { SOURCE, 5, 6, R1, 7 }, { SOURCE, 6, 0, R2, 9 }, { SOURCE, 9, 0, 0, 0 } },
		{ { SOURCE, 5, 0, 0, 0 }, { SOURCE, 4, 9, R2, 9 }, { SOURCE, 9, 0, 0, 0 } },
		{ { SOURCE, 5, 3, 0, 0 },
		  { SOURCE + 1, 4, 9, 0, 0 },
		  { SOURCE, POSITION_UNKNOWN, 9, 0, 0 } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct position p = rows[i].a;

		position_join(&p, &rows[i].b);
		if (!same(&p, &rows[i].joined))
			fail_msg("row %zu", i);
	}
}

static void test_places(void **state)
{
	struct place place;

	(void)state;
	assert_true(place_read("17", &place));
	assert_true(place.seen == 17 && place.mark == 0 && place.source == 0);
	assert_true(place_read("17 3", &place));
	assert_true(place.seen == 17 && place.mark == 0 && place.wrong == 3 && place.source == 0);
	assert_true(place_read("17 3 16 7123/5", &place));
	assert_true(place.seen == 17 && place.mark == 16 && place.wrong == 3);
	assert_int_equal(place.source, source_hash("7123/5"));
	assert_true(place_read("18446744073709551615", &place));
	assert_true(place.seen == POSITION_UNKNOWN);
	assert_false(place_read("", &place));
	assert_true(place_read("9223372036854775807 3", &place));
	assert_true(place.seen == POSITION_UNKNOWN);
	assert_false(place_read("17 3 16", &place));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),	cmocka_unit_test(test_other_texts),
		cmocka_unit_test(test_needs),	cmocka_unit_test(test_standbys),
		cmocka_unit_test(test_answers), cmocka_unit_test(test_join),
		cmocka_unit_test(test_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
