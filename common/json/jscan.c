/*
 * jscan.c: the JSON validator, and the walk over what it let through.
 *
 * The promise: jscan_document() trusts no byte and reads each once, without recursion or
 * allocation; whatever it accepts is valid RFC 8259 in valid UTF-8 without U+0000. The walk behind
 * it trusts that and checks nothing again, so it must only ever see values that came from there.
 * Strings are in jscan_text.c. Pure: any thread.
 */
#include "common/json/jscan.h"
#include "common/base/utf8.h"
#include "common/json/jscan_bytes.h"

/* More than PostgreSQL's stack lets a jsonb have by default. */
#define DEPTH_MAX 16384

/* ---- the validator --------------------------------------------------------------------------- */

struct scan {
	const char *start, *end;
	struct err *err;
};

/* Both return NULL, so that `return refuse(…)` reads well. Bytes are counted from 1. */
static const char *refuse(const struct scan *s, const char *at, const char *what)
{
	err_set(s->err, "%s at byte %zu", what, (size_t)(at - s->start) + 1);
	return NULL;
}

static const char *missing(const struct scan *s, const char *at, const char *expected)
{
	if (at < s->end)
		err_set(s->err, "expected %s at byte %zu", expected, (size_t)(at - s->start) + 1);
	else
		err_set(s->err, "expected %s, but the text ends after %zu bytes", expected,
			(size_t)(at - s->start));
	return NULL;
}

static inline const char *skip_blanks(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
		p++;
	return p;
}

static inline bool is_digit(const char *p, const char *end)
{
	return p < end && *p >= '0' && *p <= '9';
}

/* p: at the backslash. Returns what is behind the escape, of a pair of surrogates behind both. */
static const char *scan_escape(const struct scan *s, const char *p)
{
	if (s->end - p < 2)
		return missing(s, s->end, "the rest of an escape");
	if (p[1] != 'u') {
		if (p[1] == '\0' || strchr("\"\\/bfnrt", p[1]) == NULL)
			return refuse(s, p, "unknown escape in a string");
		return p + 2;
	}
	int32_t unit = jscan_hex4(p + 2, s->end);
	if (unit < 0)
		return refuse(s, p, "\\u without four hex digits");
	if (unit == 0)
		return refuse(s, p, "forbidden escape \\u0000");
	if (unit < 0xd800 || unit > 0xdfff)
		return p + 6;
	if (unit < 0xdc00 && s->end - p >= 8 && p[6] == '\\' && p[7] == 'u') {
		int32_t low = jscan_hex4(p + 8, s->end);
		if (low >= 0xdc00 && low <= 0xdfff)
			return p + 12;
	}
	return refuse(s, p, "half of a surrogate pair");
}

/* p: behind the opening quote. Returns what is behind the closing one. */
static const char *scan_string(const struct scan *s, const char *p)
{
	for (;;) {
		p = jscan_run_end(p, s->end, true);
		if (p == s->end)
			return missing(s, p, "a closing quote");
		if (*p == '"')
			return p + 1;
		if (*p == '\\') {
			p = scan_escape(s, p);
			if (p == NULL)
				return NULL;
		} else if ((unsigned char)*p < 0x20) {
			return refuse(s, p, "control character that is not written as an escape");
		} else {
			/* In other scripts than Latin these are long runs. */
			do {
				size_t n = utf8_step(p, s->end);
				if (n == 0)
					return refuse(s, p, "invalid UTF-8");
				p += n;
			} while (p < s->end && (*p & 0x80));
		}
	}
}

/* p: at '-' or a digit. */
static const char *scan_number(const struct scan *s, const char *p)
{
	p += *p == '-';
	if (!is_digit(p, s->end))
		return missing(s, p, "a digit");
	if (*p == '0') {
		p++;
		if (is_digit(p, s->end))
			return refuse(s, p, "number with a leading zero");
	}
	while (is_digit(p, s->end))
		p++;
	if (p < s->end && *p == '.') {
		p++;
		if (!is_digit(p, s->end))
			return missing(s, p, "a digit");
		while (is_digit(p, s->end))
			p++;
	}
	if (p < s->end && (*p == 'e' || *p == 'E')) {
		p++;
		if (p < s->end && (*p == '+' || *p == '-'))
			p++;
		if (!is_digit(p, s->end))
			return missing(s, p, "a digit");
		while (is_digit(p, s->end))
			p++;
	}
	return p;
}

static const char *scan_word(const struct scan *s, const char *p, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(s->end - p) < n || memcmp(p, word, n) != 0)
		return missing(s, p, "a value");
	return p + n;
}

static const char *scan_scalar(const struct scan *s, const char *p)
{
	if (p == s->end)
		return missing(s, p, "a value");
	switch (*p) {
	case '"':
		return scan_string(s, p + 1);
	case 't':
		return scan_word(s, p, "true");
	case 'f':
		return scan_word(s, p, "false");
	case 'n':
		return scan_word(s, p, "null");
	default:
		if (*p == '-' || is_digit(p, s->end))
			return scan_number(s, p);
		return missing(s, p, "a value");
	}
}

/* p: where a key must be. Returns where its value must be. */
static const char *scan_key(const struct scan *s, const char *p)
{
	if (p == s->end || *p != '"')
		return missing(s, p, "a key in quotes");
	p = scan_string(s, p + 1);
	if (p == NULL)
		return NULL;
	p = skip_blanks(p, s->end);
	if (p == s->end || *p != ':')
		return missing(s, p, "a colon");
	return skip_blanks(p + 1, s->end);
}

/* p: at the first byte of a value. Returns what is behind it. */
static const char *scan_value(const struct scan *s, const char *p)
{
	uint64_t outer[DEPTH_MAX /
		       64];   /* of every 64 levels, what objects was when they were full */
	uint64_t objects = 0; /* the open containers, innermost in bit 0; 1: an object */
	unsigned depth = 0;

	for (;;) {
		/* 1. A value: go into a container, or pass over a scalar or an empty container. */
		if (p < s->end && (*p == '{' || *p == '[')) {
			bool object = *p == '{';
			if (depth == DEPTH_MAX)
				return refuse(s, p, "nested more than 16384 deep");
			p = skip_blanks(p + 1, s->end);
			if (p < s->end && *p == (object ? '}' : ']')) {
				p++;
			} else {
				if (depth % 64 == 0 && depth > 0)
					outer[depth / 64 - 1] = objects;
				depth++;
				objects = objects << 1 | object;
				if (object && (p = scan_key(s, p)) == NULL)
					return NULL;
				continue;
			}
		} else {
			p = scan_scalar(s, p);
			if (p == NULL)
				return NULL;
		}

		/* 2. What closes behind it; 3. the comma before the next value. */
		for (;;) {
			if (depth == 0)
				return p;
			p = skip_blanks(p, s->end);
			if (p < s->end && *p == ',')
				break;
			if (p == s->end || *p != (objects & 1 ? '}' : ']'))
				return missing(s, p, objects & 1 ? "a comma or }" : "a comma or ]");
			p++;
			depth--;
			objects >>= 1;
			if (depth % 64 == 0 && depth > 0)
				objects = outer[depth / 64 - 1];
		}
		p = skip_blanks(p + 1, s->end);
		if (objects & 1 && (p = scan_key(s, p)) == NULL)
			return NULL;
	}
}

static enum jscan_type type_of(char first)
{
	switch (first) {
	case 'n':
		return JSCAN_NULL;
	case 't':
	case 'f':
		return JSCAN_BOOL;
	case '"':
		return JSCAN_STRING;
	case '[':
		return JSCAN_ARRAY;
	case '{':
		return JSCAN_OBJECT;
	default:
		return JSCAN_NUMBER;
	}
}

const char *jscan_type_name(enum jscan_type type)
{
	static const char *const names[] = {
		[JSCAN_NULL] = "null",	     [JSCAN_BOOL] = "a boolean",
		[JSCAN_NUMBER] = "a number", [JSCAN_STRING] = "a string",
		[JSCAN_ARRAY] = "an array",  [JSCAN_OBJECT] = "an object",
	};
	return names[type];
}

bool jscan_document(const char *text, size_t len, struct jscan_value *ret, struct err *err)
{
	if (len == 0)
		return err_set(err, "expected a value, but the text is empty");

	struct scan s = { text, text + len, err };
	const char *begin = skip_blanks(text, s.end);
	const char *behind = scan_value(&s, begin);
	if (behind == NULL)
		return false;
	const char *rest = skip_blanks(behind, s.end);
	if (rest != s.end) {
		refuse(&s, rest, "more text behind the value");
		return false;
	}
	*ret = (struct jscan_value){ type_of(*begin), begin, (size_t)(behind - begin) };
	return true;
}

/* ---- the walk: the text is known to be valid ------------------------------------------------- */

/* p: behind the opening quote. */
static const char *pass_string(const char *p, const char *end)
{
	for (;;) {
		p = jscan_run_end(p, end, false);
		if (*p == '"')
			return p + 1;
		p += 2; /* an escape: what follows the backslash is never the closing quote */
	}
}

static const char *pass_value(const char *p, const char *end)
{
	size_t depth = 0;

	if (*p == '"')
		return pass_string(p + 1, end);
	if (*p != '{' && *p != '[') {
		while (p < end && *p != ',' && *p != '}' && *p != ']' && (unsigned char)*p > ' ')
			p++;
		return p;
	}
	do {
		char c = *p++;
		if (c == '"')
			p = pass_string(p, end);
		else if (c == '{' || c == '[')
			depth++;
		else if (c == '}' || c == ']')
			depth--;
	} while (depth > 0);
	return p;
}

static const char *take(const char *p, const char *end, struct jscan_value *ret)
{
	const char *behind = pass_value(p, end);

	*ret = (struct jscan_value){ type_of(*p), p, (size_t)(behind - p) };
	return behind;
}

void jscan_iter_init(struct jscan_iter *it, const struct jscan_value *container)
{
	it->object = container->type == JSCAN_OBJECT;
	it->at = container->text;
	it->end = it->at;
	/* Without the brackets. A scalar has no members: the walk ends at once. */
	if (it->object || container->type == JSCAN_ARRAY) {
		it->at = container->text + 1;
		it->end = container->text + container->len - 1;
	}
}

bool jscan_iter_next(struct jscan_iter *it, struct jscan_value *ret_key,
		     struct jscan_value *ret_value)
{
	const char *p = it->at;

	while (p < it->end && (*p == ',' || (unsigned char)*p <= ' '))
		p++;
	if (p == it->end) {
		it->at = p;
		return false;
	}
	if (it->object) {
		p = take(p, it->end, ret_key);
		while (*p == ':' || (unsigned char)*p <= ' ')
			p++;
	}
	it->at = take(p, it->end, ret_value);
	return true;
}
