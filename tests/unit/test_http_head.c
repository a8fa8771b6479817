/*
 * test_http_head.c: which heads are refused, and what is read from the others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "common/http/http_head.h"

struct header {
	const char *name, *value;
};

static const struct {
	const char *what;
	bool http10;
	struct header headers[4];
	int status; /* 0: accepted */
} cases[] = {
	{ "plain", false, { { "Host", "x" } }, 0 },
	{ "no host", false, { { "Accept", "*/*" } }, 400 },
	{ "no host in 1.0", true, { { "Accept", "*/*" } }, 0 },
	{ "two hosts", false, { { "Host", "x" }, { "HOST", "x" } }, 400 },
	{ "length", false, { { "Host", "x" }, { "Content-Length", "5" } }, 0 },
	{ "two lengths",
	  false,
	  { { "Host", "x" }, { "Content-Length", "5" }, { "content-length", "5" } },
	  400 },
	{ "length list", false, { { "Host", "x" }, { "Content-Length", "5, 5" } }, 400 },
	{ "signed length", false, { { "Host", "x" }, { "Content-Length", "+5" } }, 400 },
	{ "negative length", false, { { "Host", "x" }, { "Content-Length", "-5" } }, 400 },
	{ "hex length", false, { { "Host", "x" }, { "Content-Length", "0x5" } }, 400 },
	{ "empty length", false, { { "Host", "x" }, { "Content-Length", "" } }, 400 },
	{ "huge length",
	  false,
	  { { "Host", "x" }, { "Content-Length", "18446744073709551616" } },
	  400 },
	{ "chunked", false, { { "Host", "x" }, { "Transfer-Encoding", "Chunked" } }, 0 },
	{ "chunked in 1.0", true, { { "Transfer-Encoding", "chunked" } }, 400 },
	{ "gzip, chunked",
	  false,
	  { { "Host", "x" }, { "Transfer-Encoding", "gzip, chunked" } },
	  501 },
	{ "xchunked", false, { { "Host", "x" }, { "Transfer-Encoding", "xchunked" } }, 501 },
	{ "chunked twice",
	  false,
	  { { "Host", "x" },
	    { "Transfer-Encoding", "chunked" },
	    { "Transfer-Encoding", "chunked" } },
	  400 },
	{ "length and chunked",
	  false,
	  { { "Host", "x" }, { "Content-Length", "5" }, { "Transfer-Encoding", "chunked" } },
	  400 },
	{ "chunked and length",
	  false,
	  { { "Host", "x" }, { "Transfer-Encoding", "chunked" }, { "Content-Length", "5" } },
	  400 },
	{ "two types",
	  false,
	  { { "Host", "x" }, { "Content-Type", "a/b" }, { "Content-Type", "a/b" } },
	  400 },
};

static void read_head(struct http_head *h, const struct header *headers)
{
	http_head_begin(h);
	for (size_t i = 0; i < 4 && headers[i].name; i++)
		http_head_add(h, headers[i].name, strlen(headers[i].name), headers[i].value,
			      strlen(headers[i].value));
}

static void test_heads(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct http_head h;

		print_message("%s\n", cases[i].what);
		read_head(&h, cases[i].headers);
		assert_int_equal(http_head_end(&h, !cases[i].http10), cases[i].status == 0);
		assert_int_equal(h.status, cases[i].status);
		assert_int_equal(h.fault != NULL, cases[i].status != 0);
	}
}

static void test_facts(void **state)
{
	(void)state;
	const struct header headers[4] = { { "host", "x" },
					   { "CONTENT-LENGTH", "123456789012345678" },
					   { "content-type", "text/plain" },
					   { "Expect", "100-Continue" } };
	struct http_head h;

	read_head(&h, headers);
	assert_true(http_head_end(&h, true));
	assert_true(h.content_length == INT64_C(123456789012345678));
	assert_true(h.expects_continue);
	assert_false(h.chunked);
	assert_int_equal(h.content_type_len, strlen("text/plain"));

	const struct header bare[4] = { { "host", "x" } };

	read_head(&h, bare);
	assert_true(http_head_end(&h, true));
	assert_true(h.content_length == -1);
	assert_null(h.content_type);
}

static void test_media_types(void **state)
{
	(void)state;
	static const struct {
		const char *value;
		bool is;
	} rows[] = {
		{ "application/json", true },
		{ "APPLICATION/JSON", true },
		{ " application/json ", true },
		{ "application/json;charset=utf-8", true },
		{ "application/json ; charset=\"UTF-8\"", true },
		{ "application/json;", true },
		{ "application/json; charset=latin1", false },
		{ "application/json; version=1", false },
		{ "application/jsonx", false },
		{ "application/json, text/plain", false },
		{ "application/jso", false },
		{ "text/json", false },
		{ "", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		print_message("%s\n", rows[i].value);
		assert_int_equal(http_media_type_is(rows[i].value, strlen(rows[i].value),
						    "application/json"),
				 rows[i].is);
	}
	assert_false(http_media_type_is(NULL, 0, "application/json"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_heads),
		cmocka_unit_test(test_facts),
		cmocka_unit_test(test_media_types),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
