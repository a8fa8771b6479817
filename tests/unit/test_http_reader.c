/*
 * test_http_reader.c: what passes the reader, whole and byte by byte, and where it stops.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "common/http/http_hosts.h"
#include "common/http/http_reader.h"

#define GET  "GET / HTTP/1.1\r\nHost: x\r\n"
#define POST "POST / HTTP/1.1\r\nHost: x\r\n"
#define TE   POST "Transfer-Encoding: chunked\r\n\r\n"

static const struct {
	const char *good, *bad; /* what passes, and the line that does not */
	unsigned heads;
	int status; /* 0: all passes */
	bool in_head;
} rows[] = {
	{ GET "\r\n", "", 1, 0, false },
	{ GET "\r\n" GET "\r\n", "", 2, 0, false },
	{ "\r\n" GET "\r\n", "", 1, 0, false },
	{ "\r\n", "\r\n", 0, 400, true },
	{ "", "\r\r\n", 0, 400, true },
	{ "GET / HTTP/1.0\r\n\r\n", "", 1, 0, false },
	{ "", "GET /\r\n", 0, 400, true },
	{ "", "GET / HTTP/1.1 \r\n", 0, 400, true },
	{ "", "GET / HTTP/1.2\r\n", 0, 505, true },
	{ "", "GET /\t HTTP/1.1\r\n", 0, 400, true },
	{ "", "GET /\xc3\xbc HTTP/1.1\r\n", 0, 400, true },
	{ "", " GET / HTTP/1.1\r\n", 0, 400, true },
	{ "", "GET / HTTP/1.1\n", 0, 400, true },
	{ "GET / HTTP/1.1\r\n", "\r\n", 0, 400, true }, /* no host */
	{ GET "A: b\tc \r\n\r\n", "", 1, 0, false },
	{ GET "A:\r\n\r\n", "", 1, 0, false },
	{ GET, "A b: c\r\n", 0, 400, true },
	{ GET, ": c\r\n", 0, 400, true },
	{ GET "A: b\r\n", " c\r\n", 0, 400, true },
	{ GET "A: b\r\n", "\tc\r\n", 0, 400, true },
	{ GET, "A: b\rC: d\r\n", 0, 400, true },
	{ GET, "A: b\nC: d\r\n", 0, 400, true },
	{ GET, "A: \x01\r\n", 0, 400, true },
	{ GET, "A: \x7f\r\n", 0, 400, true },
	{ GET, "A\x01: b\r\n", 0, 400, true },
	{ GET, "Content-Length\t: 5\r\n", 0, 400, true },
	{ TE "1\r\na\r\n0\r\n", "A: \x01\r\n", 1, 400, false },
	{ GET "Content-Length: 5\r\n", "Content-Length: 5\r\n", 0, 400, true },
	{ POST "Content-Length: 3\r\n\r\na\nb" GET "\r\n", "", 2, 0, false },
	{ POST "Content-Length: 3\r\n\r\na\nb", "c GET\r\n", 1, 400, true },
	{ POST "Content-Length: 0\r\n\r\n" GET "\r\n", "", 2, 0, false },
	{ TE "3\r\na\nb\r\n00a\r\n0123456789\r\n0\r\n\r\n" GET "\r\n", "", 2, 0, false },
	{ TE "1\r\na\r\n0\r\nA: b\r\n\r\n" GET "\r\n", "", 2, 0, false },
	{ TE, "\r\n", 1, 400, false },
	{ TE, "g\r\n", 1, 400, false },
	{ TE, "1;x=y\r\na\r\n0\r\n\r\n", 1, 400, false },
	{ TE "1\r\na\r\n", "0;x\r\n\r\n", 1, 400, false },
	{ TE, "-1\r\n", 1, 400, false },
	{ TE, "1 \r\n", 1, 400, false },
	{ TE, "0000000000000001\r\n", 1, 400, false },
	{ TE "1\r\na", "b\r\n", 1, 400, false },
	{ TE "1\r\na\r\n0\r\nA: b\r\n", " c\r\n", 1, 400, false },
	{ GET "Connection: te, Close\r\n\r\n\n\n", "", 1, 0, false },
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		for (size_t piece = 1; piece < 400; piece = piece == 1 ? 7 : piece + 389) {
			size_t good = strlen(rows[i].good), len = good + strlen(rows[i].bad);
			char text[400];
			struct http_reader r;
			size_t passed = 0;

			print_message("%zu: %s|%s by %zu\n", i, rows[i].good, rows[i].bad, piece);
			memcpy(text, rows[i].good, good);
			memcpy(text + good, rows[i].bad, len - good);
			http_reader_init(&r);
			for (size_t at = 0; at < len; at += piece)
				passed += http_reader_take(&r, text + at,
							   min_size(piece, len - at));
			assert_int_equal(r.heads, rows[i].heads);
			assert_int_equal(r.state == READING_FAULT, rows[i].status != 0);
			if (r.state == READING_FAULT) {
				assert_int_equal(r.status, rows[i].status);
				assert_int_equal(r.fault_in_head, rows[i].in_head);
				/* Of the line, its end at the least stays away. */
				assert_true(passed >= good && passed < len);
			} else {
				assert_int_equal(passed, len);
			}
			http_reader_clear(&r);
		}
	}
}

static void test_limits(void **state)
{
	(void)state;
	static char many[HTTP_HEAD_MAX * 2];
	struct http_reader r;

	http_reader_init(&r);
	memset(many, 'a', sizeof(many));
	assert_int_equal(http_reader_take(&r, many, sizeof(many)), 0);
	assert_int_equal(r.status, 414);
	http_reader_clear(&r);

	http_reader_init(&r);
	assert_int_equal(http_reader_take(&r, GET, strlen(GET)), strlen(GET));
	assert_int_equal(http_reader_take(&r, many, sizeof(many)), 0);
	assert_int_equal(r.status, 431);
	http_reader_clear(&r);

	http_reader_init(&r);
	http_reader_take(&r, GET, strlen(GET));
	for (int i = 1; i < HTTP_LINES_MAX; i++)
		assert_int_equal(http_reader_take(&r, "A: b\r\n", 6), 6);
	assert_int_equal(http_reader_take(&r, "A: b\r\n", 6), 0);
	assert_int_equal(r.status, 431);
	http_reader_clear(&r);
}

static void test_hosts(void **state)
{
	(void)state;
	static const struct {
		const char *listen, *listed, *host;
		bool served;
	} cases[] = {
		{ "127.0.0.1", "", "localhost", true },
		{ "127.0.0.1", "", "LocalHost:8000", true },
		{ "127.0.0.1", "", "localhost.", true },
		{ "127.0.0.1", "", "127.9.8.7", true },
		{ "127.0.0.1", "", "[::1]:80", true },
		{ "127.0.0.1", "", "evil.example", false },
		{ "127.0.0.1", "", "127.0.0.1.evil.example", false },
		{ "127.0.0.1", "", "localhost:x", false },
		{ "127.0.0.1", "", "[::1", false },
		{ "127.0.0.1", "", "[::1]x", false },
		{ "127.0.0.1", "", "", false },
		{ "127.0.0.1", "", ":80", false },
		{ "localhost", "", "evil.example", false },
		{ "::1", "", "evil.example", false },
		{ "0.0.0.0", "", "any.example", true },
		{ "127.0.0.1", "*", "any.example", true },
		{ "0.0.0.0", "a.example", "any.example", false },
		{ "0.0.0.0", "a.example", "localhost", true },
		{ "0.0.0.0", "a.example, b.example", "B.example:1", true },
		{ "0.0.0.0", ".a.example", "x.a.example", true },
		{ "0.0.0.0", ".a.example", "a.example", true },
		{ "0.0.0.0", ".a.example", "xa.example", false },
		{ "0.0.0.0", "[2001:db8::1]", "[2001:db8::1]:8000", true },
	};
	static const char *const wrong[] = { "http://a", "a:80", "a/b", "a b", "a,,b", "," };
	struct http_hosts h;
	struct err err;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		print_message("%s %s %s\n", cases[i].listen, cases[i].listed, cases[i].host);
		assert_true(http_hosts_init(&h, cases[i].listen, cases[i].listed, &err));
		assert_int_equal(http_hosts_serve(&h, cases[i].host, strlen(cases[i].host)),
				 cases[i].served);
	}
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		print_message("%s\n", wrong[i]);
		assert_false(http_hosts_init(&h, "127.0.0.1", wrong[i], &err));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
