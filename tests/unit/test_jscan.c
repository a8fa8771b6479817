/*
 * test_jscan.c: what is JSON and what is not, told byte by byte; slices, escapes, integers and
 * written strings.
 *
 * Texts are handed over in a block of exactly their length, so that a sanitizer sees a read behind
 * the end.
 */
#include "common/base/clock.h"
#include "common/base/utf8.h"
#include "common/json/jscan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A text with its length: rows may hold NUL. */
#define T(literal) literal, sizeof(literal) - 1

static bool read_exact(const char *text, size_t len, enum jscan_type *ret_type, struct err *err)
{
	char *copy = xmalloc(len > 0 ? len : 1);
	struct jscan_value v;

	memcpy(copy, text, len);
	bool ok = jscan_document(copy, len, &v, err);
	if (ok)
		*ret_type = v.type;
	free(copy);
	return ok;
}

static void valid_documents_are_accepted(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		enum jscan_type type;
	} rows[] = {
		{ T("null"), JSCAN_NULL },
		{ T("true"), JSCAN_BOOL },
		{ T("false"), JSCAN_BOOL },
		{ T(" \t\r\n0 \t\r\n"), JSCAN_NUMBER },
		{ T("-0"), JSCAN_NUMBER },
		{ T("-0.0e-0"), JSCAN_NUMBER },
		{ T("10"), JSCAN_NUMBER },
		{ T("1.50E+007"), JSCAN_NUMBER },
		{ T("1e400"), JSCAN_NUMBER },
		{ T("123456789012345678901234567890.123456789012345678901234567890"),
		  JSCAN_NUMBER },
		{ T("\"\""), JSCAN_STRING },
		{ T("\"plain text that is longer than a word\""), JSCAN_STRING },
		{ T("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\ude00\""), JSCAN_STRING },
		{ T("\"\\u0001\\uffff\\ud7ff\\ue000\""), JSCAN_STRING },
		{ T("\"\x7f\""), JSCAN_STRING },
		{ T("\"\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf\""),
		  JSCAN_STRING },
		{ T("\"\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf\""), JSCAN_STRING },
		{ T("[]"), JSCAN_ARRAY },
		{ T("[ ]"), JSCAN_ARRAY },
		{ T("{}"), JSCAN_OBJECT },
		{ T("{ \n}"), JSCAN_OBJECT },
		{ T("[1,[2,[3,{}],[]],{\"a\":[{\"b\":null}]}]"), JSCAN_ARRAY },
		{ T(" { \"a\" : 1 , \"a\" : [ true , false ] , \"\" : { } } "), JSCAN_OBJECT },
		{ T("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"),
		  JSCAN_ARRAY }, /* 32 */
		{ T("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1,2]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]],3]"),
		  JSCAN_ARRAY },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		enum jscan_type type;
		struct err err;
		if (!read_exact(rows[i].text, rows[i].len, &type, &err))
			fail_msg("%s: refused: %s", rows[i].text, err.text);
		if (type != rows[i].type)
			fail_msg("%s: is %s", rows[i].text, jscan_type_name(type));
	}
}

static void invalid_documents_are_refused_at_their_byte(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		const char *error; /* a part of it */
	} rows[] = {
		{ T(""), "text is empty" },
		{ T(" \n "), "expected a value, but the text ends after 3 bytes" },
		{ T("nul"), "expected a value at byte 1" },
		{ T("nulL"), "expected a value at byte 1" },
		{ T("nullx"), "more text behind the value at byte 5" },
		{ T("True"), "expected a value at byte 1" },
		{ T("NaN"), "expected a value at byte 1" },
		{ T("Infinity"), "expected a value at byte 1" },
		{ T("-Infinity"), "expected a digit at byte 2" },
		{ T("\xef\xbb\xbf{}"), "expected a value at byte 1" },
		{ T("'a'"), "expected a value at byte 1" },
		{ T("\0"), "expected a value at byte 1" },
		{ T("1\0"), "more text behind the value at byte 2" },
		{ T("{\"a\":26\0}"), "expected a comma or } at byte 8" },
		{ T("[true\0]"), "expected a comma or ] at byte 6" },
		{ T("1 2"), "more text behind the value at byte 3" },
		{ T("{}{}"), "more text behind the value at byte 3" },
		{ T("{}\v"), "more text behind the value at byte 3" },
		{ T("1/**/"), "more text behind the value at byte 2" },
		/* numbers */
		{ T("-"), "expected a digit, but the text ends after 1 bytes" },
		{ T("+1"), "expected a value at byte 1" },
		{ T(".5"), "expected a value at byte 1" },
		{ T("5."), "expected a digit, but the text ends after 2 bytes" },
		{ T("5.e1"), "expected a digit at byte 3" },
		{ T("01"), "leading zero at byte 2" },
		{ T("-01"), "leading zero at byte 3" },
		{ T("1e"), "expected a digit" },
		{ T("1e+"), "expected a digit" },
		{ T("1e-x"), "expected a digit at byte 4" },
		{ T("1e1.5"), "more text behind the value at byte 4" },
		{ T("0x10"), "more text behind the value at byte 2" },
		{ T("1_000"), "more text behind the value at byte 2" },
		{ T("[1.2.3]"), "expected a comma or ] at byte 5" },
		/* strings */
		{ T("\""), "expected a closing quote" },
		{ T("\"abc"), "expected a closing quote, but the text ends after 4 bytes" },
		{ T("\"abcdefghijklmnop"), "expected a closing quote" },
		{ T("\"abc\\\""), "expected a closing quote" },
		{ T("\"abc\\"), "expected the rest of an escape" },
		{ T("\"\\x41\""), "unknown escape in a string at byte 2" },
		{ T("\"\\U0041\""), "unknown escape" },
		{ T("\"\\\0\""), "unknown escape" },
		{ T("\"\\'\""), "unknown escape" },
		{ T("\"\\u12\""), "\\u without four hex digits at byte 2" },
		{ T("\"\\u12"), "\\u without four hex digits at byte 2" },
		{ T("\"\\u12g4\""), "\\u without four hex digits" },
		{ T("\"\\u+123\""), "\\u without four hex digits" },
		{ T("\"a\\u0000\""), "forbidden escape \\u0000 at byte 3" },
		{ T("\"\\ud800\""), "half of a surrogate pair at byte 2" },
		{ T("\"\\udc00\""), "half of a surrogate pair at byte 2" },
		{ T("\"\\ud800\\ud800\""), "half of a surrogate pair" },
		{ T("\"\\ud800\\u0041\""), "half of a surrogate pair" },
		{ T("\"\\ud800x\\udc00\""), "half of a surrogate pair" },
		{ T("\"\\ud800\\ue000\""), "half of a surrogate pair" },
		{ T("\"\\udbff\\uffff\""), "half of a surrogate pair" },
		{ T("\"\\ud800\\udbff\""), "half of a surrogate pair" },
		{ T("\"\\ud800\\n\""), "half of a surrogate pair" },
		{ T("\"\\ud800\\udc0"), "half of a surrogate pair" },
		{ T("\"\\ud800\\u"), "half of a surrogate pair" },
		{ T("\"a\nb\""), "control character that is not written as an escape at byte 3" },
		{ T("\"\t\""), "control character" },
		{ T("\"a\0b\""), "control character that is not written as an escape at byte 3" },
		{ T("\"0123456789abcde\x1f\""),
		  "control character that is not written as an escape at byte 17" },
		/* UTF-8 */
		{ T("\"\x80\""), "invalid UTF-8 at byte 2" },
		{ T("\"\xbf\""), "invalid UTF-8" },
		{ T("\"\xc0\x80\""), "invalid UTF-8" },
		{ T("\"\xc1\xbf\""), "invalid UTF-8" },
		{ T("\"\xc2\""), "invalid UTF-8" },
		{ T("\"\xc2"), "invalid UTF-8" },
		{ T("\"\xe0\x9f\xbf\""), "invalid UTF-8" },
		{ T("\"\xe2\x82\""), "invalid UTF-8" },
		{ T("\"\xe2\x82"), "invalid UTF-8" },
		{ T("\"\xed\xa0\x80\""), "invalid UTF-8" }, /* a surrogate */
		{ T("\"\xed\xbf\xbf\""), "invalid UTF-8" },
		{ T("\"\xf0\x8f\xbf\xbf\""), "invalid UTF-8" },
		{ T("\"\xf0\x9f\x98\""), "invalid UTF-8" },
		{ T("\"\xf0\x9f\x98"), "invalid UTF-8" },
		{ T("\"\xf4\x90\x80\x80\""), "invalid UTF-8" }, /* above U+10FFFF */
		{ T("\"\xf5\x80\x80\x80\""), "invalid UTF-8" },
		{ T("\"\xff\""), "invalid UTF-8" },
		{ T("\"12345678\xc3\xa9\xc3\""), "invalid UTF-8 at byte 12" },
		{ T("{\"\xff\":1}"), "invalid UTF-8 at byte 3" },
		/* arrays and objects */
		{ T("["), "expected a value, but the text ends after 1 bytes" },
		{ T("[1"), "expected a comma or ], but the text ends after 2 bytes" },
		{ T("[1,"), "expected a value" },
		{ T("[1,]"), "expected a value at byte 4" },
		{ T("[,1]"), "expected a value at byte 2" },
		{ T("[1 2]"), "expected a comma or ] at byte 4" },
		{ T("[1}"), "expected a comma or ] at byte 3" },
		{ T("[}"), "expected a value at byte 2" },
		{ T("{"), "expected a key in quotes" },
		{ T("{]"), "expected a key in quotes at byte 2" },
		{ T("{a:1}"), "expected a key in quotes at byte 2" },
		{ T("{1:1}"), "expected a key in quotes at byte 2" },
		{ T("{\"a\"}"), "expected a colon at byte 5" },
		{ T("{\"a\""), "expected a colon, but the text ends" },
		{ T("{\"a\":"), "expected a value" },
		{ T("{\"a\":}"), "expected a value at byte 6" },
		{ T("{\"a\":1"), "expected a comma or }" },
		{ T("{\"a\":1]"), "expected a comma or } at byte 7" },
		{ T("{\"a\":1,}"), "expected a key in quotes at byte 8" },
		{ T("{\"a\":1,\"b\"}"), "expected a colon" },
		{ T("{\"a\":1 \"b\":2}"), "expected a comma or }" },
		{ T("{\"a\" 1}"), "expected a colon at byte 6" },
		{ T("{\"a\":[}"), "expected a value at byte 7" },
		{ T("]"), "expected a value at byte 1" },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		enum jscan_type type;
		struct err err = { .text = "" };
		if (read_exact(rows[i].text, rows[i].len, &type, &err))
			fail_msg("row %zu, %s: accepted", i, rows[i].text);
		if (strstr(err.text, rows[i].error) == NULL)
			fail_msg("row %zu, %s: says \"%s\", not \"%s\"", i, rows[i].text, err.text,
				 rows[i].error);
	}
}

/* A quote, control character, backslash or high byte is seen at every place of a word, behind every
 * byte value. */
/* Arrays and objects by turns, so that each closing bracket has to know which of the two it ends. */
static void nesting_ends_where_it_should(void **state)
{
	static const size_t depths[] = { 63, 64, 65, 128, 129, 1000, 16384, 16385 };
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(depths); i++) {
		struct strbuf text = STRBUF_INIT;
		enum jscan_type type;
		struct err err = { .text = "" };

		for (size_t d = 0; d < depths[i]; d++)
			strbuf_addstr(&text, d % 3 == 0 ? "{\"a\":" : "[");
		strbuf_addstr(&text, "1");
		for (size_t d = depths[i]; d-- > 0;)
			strbuf_addstr(&text, d % 3 == 0 ? "}" : "]");
		if (read_exact(text.data, text.len, &type, &err) != (depths[i] <= 16384))
			fail_msg("%zu deep: %s", depths[i], err.text);
		if (depths[i] > 16384)
			assert_non_null(strstr(err.text, "nested more than 16384 deep"));
		for (size_t d = 0; d < depths[i] && depths[i] < 1000; d++) {
			char *closing = &text.data[text.len - 1 - d], right = *closing;
			*closing = right == '}' ? ']' : '}';
			assert_false(read_exact(text.data, text.len, &type, &err));
			*closing = right;
		}
		strbuf_clear(&text);
	}
}

static void every_byte_at_every_place(void **state)
{
	(void)state;

	for (int byte = 0; byte < 256; byte++) {
		for (size_t place = 0; place < 20; place++) {
			char text[24];
			enum jscan_type type;
			struct err err;
			text[0] = '"';
			memset(text + 1, 'x', 21);
			text[1 + place] = (char)byte;
			text[21] = '"';
			bool plain = byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
			if (read_exact(text, 22, &type, &err) != plain)
				fail_msg("byte 0x%02x at place %zu: %s", byte, place,
					 plain ? err.text : "accepted");

			/* Twice: the first one decides where the run ends. */
			text[20] = (char)byte;
			bool pair = byte == '\\' && place == 18; /* an escaped backslash */
			if (read_exact(text, 22, &type, &err) != (plain || pair))
				fail_msg("byte 0x%02x at places %zu and 19", byte, place);
		}
	}
}

/* Every part of a valid text, from the front, is refused without reading behind its end. */
static void truncated_documents_are_refused(void **state)
{
	static const char text[] =
		"{\"id\":\"\\u00e9\\ud83d\\ude00 \xf0\x9f\x98\x80\",\"a\":[-1.5e+10,true,false,null,{}],\"b\":{}}";
	enum jscan_type type;
	struct err err;
	(void)state;

	for (size_t len = 0; len < sizeof(text) - 1; len++)
		if (read_exact(text, len, &type, &err))
			fail_msg("%.*s: accepted", (int)len, text);
	assert_true(read_exact(text, sizeof(text) - 1, &type, &err));
}

static void document(const char *text, struct jscan_value *ret)
{
	struct err err;

	if (!jscan_document(text, strlen(text), ret, &err))
		fail_msg("%s: %s", text, err.text);
}

static void walk(const char *text, const char *expected)
{
	AUTO_STRBUF got = STRBUF_INIT;
	struct jscan_value doc, key, value;
	struct jscan_iter it;

	document(text, &doc);
	jscan_iter_init(&it, &doc);
	while (jscan_iter_next(&it, doc.type == JSCAN_OBJECT ? &key : NULL, &value)) {
		if (doc.type == JSCAN_OBJECT)
			strbuf_addf(&got, "%.*s=", (int)key.len, key.text);
		strbuf_addf(&got, "%.*s(%s);", (int)value.len, value.text,
			    jscan_type_name(value.type));
	}
	assert_false(jscan_iter_next(&it, &key, &value));
	assert_string_equal(strbuf_str(&got), expected);
}

static void walk_hands_out_exact_slices(void **state)
{
	(void)state;

	walk("[]", "");
	walk(" [ \n ] ", "");
	walk("{}", "");
	walk("17", ""); /* a scalar has no members */
	walk("\"[1]\"", "");
	walk("[1,-2.50e1,\"a\",null,true,false,[],{}]",
	     "1(a number);-2.50e1(a number);\"a\"(a string);null(null);true(a boolean);false(a boolean);[](an array);{}(an object);");
	walk("[ 1 , 2\t,\n3 ]", "1(a number);2(a number);3(a number);");
	walk("[\"a,]\\\"}\",\"\\\\\",\"]\"]",
	     "\"a,]\\\"}\"(a string);\"\\\\\"(a string);\"]\"(a string);");
	walk("[[1,[2,\"]\"]],{\"}\":\"]\\\"\"} ]",
	     "[1,[2,\"]\"]](an array);{\"}\":\"]\\\"\"}(an object);");
	walk("{\"a\":151.90,\"b\" : {\"c\":[1]} , \"\\u0061\":\"x\"}",
	     "\"a\"=151.90(a number);\"b\"={\"c\":[1]}(an object);\"\\u0061\"=\"x\"(a string);");
}

static void strings_are_resolved(void **state)
{
	static const struct {
		const char *json, *expected;
		size_t chars;
	} rows[] = {
		{ "\"\"", "", 0 },
		{ "\"abc\"", "abc", 3 },
		{ "\"\\\"\\\\\\/\"", "\"\\/", 3 },
		{ "\"\\b\\f\\n\\r\\t\"", "\b\f\n\r\t", 5 },
		{ "\"\\u0041\\u00E9\\u20ac\"", "A\xc3\xa9\xe2\x82\xac", 3 },
		{ "\"\\ud83d\\uDE00\"", "\xf0\x9f\x98\x80", 1 },
		{ "\"\\ud800\\udc00\\udbff\\udfff\"", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 2 },
		{ "\"C\xc3\xb4te \\u2013 \xf0\x9f\x98\x80!\"",
		  "C\xc3\xb4te \xe2\x80\x93 \xf0\x9f\x98\x80!", 9 },
		{ "\"\\u001f\\u007f\"", "\x1f\x7f", 2 },
		{ "\"a\\\\nb\"", "a\\nb", 4 },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO_STRBUF out = STRBUF_INIT;
		struct jscan_value v;
		size_t chars = 99, len;
		char buf[64];
		document(rows[i].json, &v);
		strbuf_addstr(&out, "before ");
		jscan_string(&v, &out, &chars);
		if (strcmp(strbuf_str(&out) + 7, rows[i].expected) != 0 || chars != rows[i].chars)
			fail_msg("%s: \"%s\", %zu characters", rows[i].json, strbuf_str(&out) + 7,
				 chars);
		assert_memory_equal(out.data, "before ", 7);

		/* Copying: all of it where it fits to the byte; whole characters only where it does
		 * not. */
		size_t full = strlen(rows[i].expected);
		for (size_t cap = 0; cap <= full + 1; cap++) {
			bool all = jscan_string_copy(&v, buf, cap, &len);
			if (all != (cap >= full) || len > cap ||
			    memcmp(buf, rows[i].expected, len) != 0 ||
			    !utf8_valid(buf, len, NULL) || (!all && cap - len >= 4) ||
			    (all && len != full))
				fail_msg("%s: copied to %zu bytes: %zu", rows[i].json, cap, len);
		}
	}
}

static void words_are_found_however_they_are_spelled(void **state)
{
	static const char *const words[] = { "id", "name", "names", "i", "" };
	static const struct {
		const char *json;
		int found;
	} rows[] = {
		{ "\"id\"", 0 },
		{ "\"\\u0069d\"", 0 },
		{ "\"\\u0069\\u0064\"", 0 },
		{ "\"name\"", 1 },
		{ "\"nam\\u0065\"", 1 },
		{ "\"names\"", 2 },
		{ "\"i\"", 3 },
		{ "\"\"", 4 },
		{ "\"ID\"", -1 },
		{ "\"i\\\\d\"", -1 },
		{ "\"nam\"", -1 },
		{ "\"namesx\"", -1 },
		{ "\"id \"", -1 },
		{ "\"\\u0131d\"", -1 },
		{ "\"n\xc3\xa4me\"", -1 },
		{ "\"id\\n\"", -1 },
		{ "\"namenamenamenamenamenamenamenamenamenamenamenamenamenamenamename\\u0065\"",
		  -1 },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct jscan_value v;
		document(rows[i].json, &v);
		int found = jscan_string_find(&v, words, ARRAY_SIZE(words));
		if (found != rows[i].found)
			fail_msg("%s: %d", rows[i].json, found);
		for (size_t w = 0; w < ARRAY_SIZE(words); w++)
			if (jscan_string_is(&v, words[w]) != ((int)w == rows[i].found))
				fail_msg("%s is %s", rows[i].json, words[w]);
	}
}

static void integers(void **state)
{
	static const struct {
		const char *json;
		bool ok;
		int64_t value;
	} rows[] = {
		{ "0", true, 0 },
		{ "-0", true, 0 },
		{ "7", true, 7 },
		{ "-17", true, -17 },
		{ "9223372036854775807", true, INT64_MAX },
		{ "-9223372036854775808", true, INT64_MIN },
		{ "9223372036854775808", false, 0 },
		{ "-9223372036854775809", false, 0 },
		{ "92233720368547758070", false, 0 },
		{ "99999999999999999999999999999999", false, 0 },
		{ "1.0", false, 0 },
		{ "1e2", false, 0 },
		{ "1E2", false, 0 },
		{ "\"1\"", false, 0 },
		{ "null", false, 0 },
		{ "[1]", false, 0 },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct jscan_value v;
		int64_t n = 4711;
		document(rows[i].json, &v);
		bool ok = jscan_int64(&v, &n);
		if (ok != rows[i].ok || n != (ok ? rows[i].value : 4711))
			fail_msg("%s: %d, %lld", rows[i].json, ok, (long long)n);
	}
}

static void written_strings_escape_only_what_they_must(void **state)
{
	static const struct {
		const char *s, *json;
	} rows[] = {
		{ "", "\"\"" },
		{ "plain text, longer than a word/", "\"plain text, longer than a word/\"" },
		{ "say \"hi\"", "\"say \\\"hi\\\"\"" },
		{ "a\\b", "\"a\\\\b\"" },
		{ "\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\"" },
		{ "\x01\x1f\x7f", "\"\\u0001\\u001f\\u007f\"" },
		{ "\xc2\x80\xc2\x9b,\xc2\x9f\x7f", "\"\\u0080\\u009b,\\u009f\\u007f\"" },
		{ "\xc2\xa0\xc3\x9b\xc2\xa9", "\"\xc2\xa0\xc3\x9b\xc2\xa9\"" },
		{ "C\xc3\xb4te \xf0\x9f\x98\x80", "\"C\xc3\xb4te \xf0\x9f\x98\x80\"" },
		{ "12345678\"", "\"12345678\\\"\"" },
		{ "<>&'", "\"<>&'\"" },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO_STRBUF out = STRBUF_INIT, back = STRBUF_INIT;
		struct jscan_value v;
		jscan_write_string(&out, rows[i].s, strlen(rows[i].s));
		assert_string_equal(strbuf_str(&out), rows[i].json);
		document(strbuf_str(&out), &v);
		jscan_string(&v, &back, NULL);
		assert_string_equal(strbuf_str(&back), rows[i].s);
	}

	AUTO_STRBUF out = STRBUF_INIT;
	jscan_write_string(&out, NULL, 0);
	assert_string_equal(strbuf_str(&out), "\"\"");
}

/* Every code point there is, written and read again: as it is, as an escape, and in UTF-8 of one to
 * four bytes. */
static void every_code_point_survives(void **state)
{
	AUTO_STRBUF out = STRBUF_INIT, back = STRBUF_INIT;
	(void)state;

	for (uint32_t c = 1; c <= 0x10ffff; c += c < 0x3000 ? 1 : 61) {
		if (c >= 0xd800 && c <= 0xdfff)
			continue;
		struct jscan_value v;
		struct err err;
		char json[32];
		size_t chars;
		if (c < 0x10000)
			snprintf(json, sizeof(json), "\"\\u%04x\"", c);
		else
			snprintf(json, sizeof(json), "\"\\u%04X\\u%04X\"",
				 0xd800 + ((c - 0x10000) >> 10), 0xdc00 + ((c - 0x10000) & 0x3ff));
		strbuf_reset(&back);
		if (!jscan_document(json, strlen(json), &v, &err))
			fail_msg("%s: %s", json, err.text);
		jscan_string(&v, &back, &chars);
		size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
		if (chars != 1 || back.len != len || !utf8_valid(back.data, back.len, &chars) ||
		    chars != 1)
			fail_msg("U+%04X: %zu bytes", c, back.len);

		char direct[8];
		memcpy(direct, back.data, len);
		strbuf_reset(&out);
		jscan_write_string(&out, direct, len);
		strbuf_reset(&back);
		if (!jscan_document(out.data, out.len, &v, &err))
			fail_msg("U+%04X: %s", c, err.text);
		jscan_string(&v, &back, NULL);
		if (back.len != len || memcmp(back.data, direct, len) != 0)
			fail_msg("U+%04X does not come back", c);
	}
}

static void times(void **state)
{
	static const struct {
		const char *json;
		int64_t us;	  /* only where text is NULL */
		const char *text; /* as it is written again; "-": refused */
	} rows[] = {
		{ "\"2000-01-01T00:00:00Z\"", 0, NULL },
		{ "\"2000-01-01T00:00:00.000001Z\"", 1, NULL },
		{ "\"1999-12-31T23:59:59.999999Z\"", -1, NULL },
		{ "\"1970-01-01T00:00:00Z\"", INT64_C(-946684800000000), NULL },
		{ "\"2038-01-19T03:14:08Z\"", INT64_C(1200798848000000), NULL },
		{ "\"2026-01-31T12:00:00.123456Z\"", 0, "2026-01-31T12:00:00.123456Z" },
		{ "\"2026-01-31T12:00:00.1Z\"", 0, "2026-01-31T12:00:00.100000Z" },
		{ "\"2026-01-31T12:00:00.012Z\"", 0, "2026-01-31T12:00:00.012000Z" },
		{ "\"2026-01-31T12:00:00.00012Z\"", 0, "2026-01-31T12:00:00.000120Z" },
		{ "\"2026\\u002d01-31T12:00:00\\u005A\"", 0, "2026-01-31T12:00:00.000000Z" },
		{ "\"0001-01-01T00:00:00Z\"", 0, "0001-01-01T00:00:00.000000Z" },
		{ "\"9999-12-31T23:59:59.999999Z\"", 0, "9999-12-31T23:59:59.999999Z" },
		{ "\"2024-02-29T00:00:00Z\"", 0, "2024-02-29T00:00:00.000000Z" },
		{ "\"2000-02-29T00:00:00Z\"", 0, "2000-02-29T00:00:00.000000Z" },
		{ "\"2000-03-01T00:00:00Z\"", 0, "2000-03-01T00:00:00.000000Z" },
		{ "\"1900-03-01T00:00:00Z\"", 0, "1900-03-01T00:00:00.000000Z" },
		{ "\"2023-02-29T00:00:00Z\"", 0, "-" },
		{ "\"1900-02-29T00:00:00Z\"", 0, "-" },
		{ "\"2100-02-29T00:00:00Z\"", 0, "-" },
		{ "\"2024-02-30T00:00:00Z\"", 0, "-" },
		{ "\"2026-04-31T00:00:00Z\"", 0, "-" },
		{ "\"2026-06-31T00:00:00Z\"", 0, "-" },
		{ "\"2026-09-31T00:00:00Z\"", 0, "-" },
		{ "\"2026-11-31T00:00:00Z\"", 0, "-" },
		{ "\"2026-01-32T00:00:00Z\"", 0, "-" },
		{ "\"2026-01-00T00:00:00Z\"", 0, "-" },
		{ "\"2026-00-01T00:00:00Z\"", 0, "-" },
		{ "\"2026-13-01T00:00:00Z\"", 0, "-" },
		{ "\"0000-01-01T00:00:00Z\"", 0, "-" },
		{ "\"2026-01-31T24:00:00Z\"", 0, "-" },
		{ "\"2026-01-31T12:60:00Z\"", 0, "-" },
		{ "\"2016-12-31T23:59:60Z\"", 0, "-" },
		{ "\"2026-01-31T12:00:00\"", 0, "-" },
		{ "\"2026-01-31T12:00:00z\"", 0, "-" },
		{ "\"2026-01-31t12:00:00Z\"", 0, "-" },
		{ "\"2026-01-31 12:00:00Z\"", 0, "-" },
		{ "\"2026-01-31T12:00:00.Z\"", 0, "-" },
		{ "\"2026-01-31T12:00:00.1234567Z\"", 0, "-" },
		{ "\"2026-01-31T12:00:00,123Z\"", 0, "-" },
		{ "\"2026-01-31T12:00:00.12 Z\"", 0, "-" },
		{ "\"2026-01-31T12:00:00.-12Z\"", 0, "-" },
		{ "\"2026-01-31T12:00:00+00:00\"", 0, "-" },
		{ "\"2026-01-31T12:00Z\"", 0, "-" },
		{ "\"2026-1-31T12:00:00Z\"", 0, "-" },
		{ "\"+026-01-31T12:00:00Z\"", 0, "-" },
		{ "\"12026-01-31T12:00:00Z\"", 0, "-" },
		{ "\" 2026-01-31T12:00:00Z\"", 0, "-" },
		{ "\"2026-01-31T12:00:00Z \"", 0, "-" },
		{ "\"infinity\"", 0, "-" },
		{ "\"\"", 0, "-" },
		{ "823000000", 0, "-" },
		{ "null", 0, "-" },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct jscan_value v;
		struct err err = { .text = "" };
		int64_t us = 4711;
		char text[CLOCK_TIMESTAMP_MAX];
		document(rows[i].json, &v);
		bool ok = jscan_time(&v, &us, &err);
		bool wanted = rows[i].text == NULL || rows[i].text[0] != '-';
		if (ok != wanted)
			fail_msg("%s: %s", rows[i].json, ok ? "accepted" : err.text);
		if (!ok)
			assert_int_equal(us, 4711);
		else if (rows[i].text == NULL && us != rows[i].us)
			fail_msg("%s: %lld", rows[i].json, (long long)us);
		if (ok && rows[i].text != NULL) {
			clock_format_pg(us, text);
			assert_string_equal(text, rows[i].text);
		}
	}
}

/* The calendar here and the one that writes times are two pieces of code: every day of 10,000 years
 * must agree. */
static void every_day_comes_back(void **state)
{
	const int64_t day_us = INT64_C(86400000000);
	struct err err;
	(void)state;

	for (int64_t day = -730119; day <= 2921939; day += 1) {
		char json[CLOCK_TIMESTAMP_MAX + 2] = "\"";
		struct jscan_value v = { JSCAN_STRING, json, 0 };
		int64_t us = day * day_us + 86399999999 - (day & 0xffff), back = 0;
		size_t n = clock_format_pg(us, json + 1);
		json[1 + n] = '"';
		v.len = n + 2;
		if (!jscan_time(&v, &back, &err) || back != us)
			fail_msg("day %lld: %.*s: %lld", (long long)day, (int)v.len, json,
				 (long long)back);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(valid_documents_are_accepted),
		cmocka_unit_test(invalid_documents_are_refused_at_their_byte),
		cmocka_unit_test(nesting_ends_where_it_should),
		cmocka_unit_test(every_byte_at_every_place),
		cmocka_unit_test(truncated_documents_are_refused),
		cmocka_unit_test(walk_hands_out_exact_slices),
		cmocka_unit_test(strings_are_resolved),
		cmocka_unit_test(words_are_found_however_they_are_spelled),
		cmocka_unit_test(integers),
		cmocka_unit_test(written_strings_escape_only_what_they_must),
		cmocka_unit_test(every_code_point_survives),
		cmocka_unit_test(times),
		cmocka_unit_test(every_day_comes_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
