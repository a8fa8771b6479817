/* test_uuid.c: text and bytes, against libuuid; new ones. Companions: common/base/uuid.c, libuuid as the judge. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uuid/uuid.h>

#include "common/base/clock.h"
#include "common/base/uuid.h"

static const struct {
	const char *text;
	bool good;
} rows[] = {
	{ "018d5b5e-7c2a-7d3e-9f10-0123456789ab", true },
	{ "018D5B5E-7C2A-7D3E-9F10-0123456789AB", true },
	{ "00000000-0000-0000-0000-000000000000", true },
	{ "ffffffff-ffff-ffff-ffff-FFFFFFFFFFFF", true },
	{ "", false },
	{ "018d5b5e-7c2a-7d3e-9f10-0123456789a", false },
	{ "018d5b5e-7c2a-7d3e-9f10-0123456789abc", false },
	{ " 18d5b5e-7c2a-7d3e-9f10-0123456789ab", false },
	{ "018d5b5e-7c2a-7d3e-9f10-0123456789a ", false },
	{ "{18d5b5e-7c2a-7d3e-9f10-0123456789a}", false },
	{ "018d5b5e7c2a7d3e9f100123456789ab", false },
	{ "018d5b5e7-c2a-7d3e-9f10-0123456789ab", false },
	{ "018d5b5e-7c2a-7d3e-9f1-00123456789ab", false },
	{ "018d5b5e_7c2a_7d3e_9f10_0123456789ab", false },
	{ "018d5b5e-7c2a-7d3e-9f10-0123456789ag", false },
	{ "018d5b5e-7c2a-7d3e-9f10-0123456789a@", false },
	{ "018d5b5e-7c2a-7d3e-9f10-0123456789a`", false },
	{ "0x8d5b5e-7c2a-7d3e-9f10-0123456789ab", false },
	{ "+18d5b5e-7c2a-7d3e-9f10-0123456789ab", false },
	{ "018d5b5e-7c2a-7d3e-9f10-01234567\xc3\xa9"
	  "ab",
	  false },
};

static void test_text(void **state)
{
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct uuid u;
		uuid_t judge;
		char text[UUID_TEXT_LEN], want[UUID_TEXT_LEN + 1];
		bool good = uuid_from_text(rows[i].text, strlen(rows[i].text), &u);

		if (good != rows[i].good)
			fail_msg("\"%s\": %s", rows[i].text, good ? "was taken" : "was refused");
		if (good != (uuid_parse(rows[i].text, judge) == 0))
			fail_msg("\"%s\": libuuid thinks otherwise", rows[i].text);
		if (!good)
			continue;
		if (memcmp(u.b, judge, sizeof(u.b)) != 0)
			fail_msg("\"%s\": other bytes than libuuid's", rows[i].text);
		uuid_unparse_lower(judge, want);
		uuid_to_text(&u, text);
		if (memcmp(text, want, UUID_TEXT_LEN) != 0)
			fail_msg("\"%s\": printed as \"%.36s\"", rows[i].text, text);
	}
}

/* Every byte value at every place: taken exactly where libuuid takes it. */
static void test_every_byte(void **state)
{
	(void)state;

	for (size_t at = 0; at < UUID_TEXT_LEN; at++) {
		for (int c = 1; c < 256; c++) {
			char text[] = "018d5b5e-7c2a-7d3e-9f10-0123456789ab";
			struct uuid u;
			uuid_t judge;

			text[at] = (char)c;
			bool good = uuid_from_text(text, UUID_TEXT_LEN, &u);
			bool want = uuid_parse(text, judge) == 0;
			if (good != want || (good && memcmp(u.b, judge, sizeof(u.b)) != 0))
				fail_msg("byte %d at %zu: we say %d, libuuid says %d", c, at, good,
					 want);
		}
		char text[] = "018d5b5e-7c2a-7d3e-9f10-0123456789ab";
		struct uuid u;
		text[at] = '\0';
		if (uuid_from_text(text, UUID_TEXT_LEN, &u))
			fail_msg("a NUL at %zu was taken", at);
	}
}

static void test_untouched(void **state)
{
	struct uuid u, before;
	(void)state;

	memset(&u, 0x5a, sizeof(u));
	before = u;
	assert_false(uuid_from_text("018d5b5e-7c2a-7d3e-9f10-0123456789ax", 36, &u));
	assert_memory_equal(&u, &before, sizeof(u));
}

static int compare(const void *a, const void *b)
{
	return uuid_cmp(a, b);
}

#define THREADS 4
#define EACH	5000
static struct uuid made[THREADS * EACH];

static void *make_some(void *arg)
{
	struct uuid *u = arg;

	for (size_t i = 0; i < EACH; i++)
		uuid_make(&u[i]);
	return NULL;
}

static void test_make(void **state)
{
	pthread_t threads[THREADS];
	int64_t before_ms = wall_now_us() / 1000;
	(void)state;

	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, make_some, made + i * EACH), 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	int64_t after_ms = wall_now_us() / 1000;

	unsigned set[16] = { 0 }, clear[16] = { 0 };
	for (size_t i = 0; i < ARRAY_SIZE(made); i++) {
		const uint8_t *b = made[i].b;
		int64_t ms = 0;

		for (size_t k = 0; k < 6; k++)
			ms = ms << 8 | b[k];
		if (ms < before_ms || ms > after_ms)
			fail_msg("uuid %zu: its time %lld is not within %lld and %lld", i,
				 (long long)ms, (long long)before_ms, (long long)after_ms);
		if (b[6] >> 4 != 7 || b[8] >> 6 != 2)
			fail_msg("uuid %zu: version %d, variant %d", i, b[6] >> 4, b[8] >> 6);
		for (size_t k = 6; k < 16; k++) {
			set[k] |= b[k];
			clear[k] |= (unsigned)(uint8_t)~b[k];
		}
	}
	for (size_t k = 6; k < 16; k++) {
		unsigned want = k == 6 ? 0x0f : k == 8 ? 0x3f : 0xff;

		if ((set[k] & clear[k]) != want)
			fail_msg("byte %zu: only the bits %02x ever change", k, set[k] & clear[k]);
	}

	qsort(made, ARRAY_SIZE(made), sizeof(made[0]), compare);
	for (size_t i = 1; i < ARRAY_SIZE(made); i++)
		if (uuid_cmp(&made[i - 1], &made[i]) == 0)
			fail_msg("the same uuid came twice");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_untouched),
		cmocka_unit_test(test_make),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
