/*
 * jscan_text.c: what stands inside JSON strings and integers: escapes resolved, words compared,
 * strings written.
 *
 * The promise: reading trusts jscan_document() and checks nothing again; a decoded string is valid
 * UTF-8 without NUL and never longer than the text it came from. Writing gives control characters
 * (those beyond ASCII too, which terminals obey), quotes and backslashes their escapes and leaves
 * all other bytes as they are. Pure: any thread.
 */
#include "common/json/jscan.h"
#include "common/base/clock.h"
#include "common/base/utf8.h"
#include "common/json/jscan_bytes.h"

/* *p: at a backslash; moved behind the escape. Writes 1 to 4 bytes. */
static size_t resolve_escape(const char **p, const char *end, char *out)
{
	char c = (*p)[1];

	if (c == 'u') {
		uint32_t unit = (uint32_t)jscan_hex4(*p + 2, end);
		*p += 6;
		if (unit >= 0xd800 && unit <= 0xdfff) {
			uint32_t low = (uint32_t)jscan_hex4(*p + 2, end);
			*p += 6;
			unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
		}
		return utf8_put(unit, out);
	}
	*p += 2;
	switch (c) {
	case 'b':
		*out = '\b';
		break;
	case 'f':
		*out = '\f';
		break;
	case 'n':
		*out = '\n';
		break;
	case 'r':
		*out = '\r';
		break;
	case 't':
		*out = '\t';
		break;
	default:
		*out = c; /* quote, backslash, slash */
	}
	return 1;
}

/* An escape is never shorter than what it stands for: end - p bytes of room are enough. Returns how
 * many were written. */
static size_t decode(const char *p, const char *end, char *out)
{
	char *to = out;

	while (p < end) {
		const char *escape = memchr(p, '\\', (size_t)(end - p));
		size_t n = (size_t)((escape != NULL ? escape : end) - p);
		memcpy(to, p, n);
		to += n;
		p += n;
		if (escape != NULL)
			to += resolve_escape(&p, end, to);
	}
	return (size_t)(to - out);
}

void jscan_string(const struct jscan_value *string, struct strbuf *out, size_t *ret_chars)
{
	const char *p = string->text + 1, *end = string->text + string->len - 1;
	char *to = strbuf_reserve(out, (size_t)(end - p));
	size_t n = decode(p, end, to);

	strbuf_commit(out, n);
	if (ret_chars != NULL)
		*ret_chars = utf8_count(to, n);
}

bool jscan_string_copy(const struct jscan_value *string, char *buf, size_t cap, size_t *ret_len)
{
	const char *p = string->text + 1, *end = string->text + string->len - 1;
	size_t len = 0;

	if ((size_t)(end - p) <= cap) {
		*ret_len = decode(p, end, buf);
		return true;
	}
	while (p < end) {
		char c[4];
		size_t n = 1;
		if (*p == '\\') {
			n = resolve_escape(&p, end, c);
		} else {
			n = utf8_step(p, end);
			memcpy(c, p, n);
			p += n;
		}
		if (n > cap - len) {
			*ret_len = len;
			return false;
		}
		memcpy(buf + len, c, n);
		len += n;
	}
	*ret_len = len;
	return true;
}

static bool is_word(const char *p, size_t len, const char *word)
{
	/* The first byte decides nearly always. */
	if (len == 0)
		return word[0] == '\0';
	return word[0] == p[0] && strncmp(p, word, len) == 0 && word[len] == '\0';
}

int jscan_string_find(const struct jscan_value *string, const char *const *words, size_t n)
{
	const char *p = string->text + 1;
	size_t len = string->len - 2;
	char decoded[256]; /* no word is longer: what does not fit is none of them */

	if (memchr(p, '\\', len) != NULL) {
		if (!jscan_string_copy(string, decoded, sizeof(decoded), &len))
			return -1;
		p = decoded;
	}
	for (size_t i = 0; i < n; i++)
		if (is_word(p, len, words[i]))
			return (int)i;
	return -1;
}

bool jscan_string_is(const struct jscan_value *string, const char *word)
{
	return jscan_string_find(string, &word, 1) == 0;
}

bool jscan_member(const struct jscan_value *object, const char *name, struct jscan_value *ret)
{
	struct jscan_value key, value;
	struct jscan_iter it;

	for (jscan_iter_init(&it, object); jscan_iter_next(&it, &key, &value);) {
		if (jscan_string_is(&key, name)) {
			*ret = value;
			return value.type != JSCAN_NULL;
		}
	}
	return false;
}

bool jscan_int64(const struct jscan_value *number, int64_t *ret)
{
	return number->type == JSCAN_NUMBER && int64_from_text(number->text, number->len, ret);
}

bool jscan_time(const struct jscan_value *v, int64_t *ret_pg_us, struct err *err)
{
	char text[27];
	size_t len;

	if (v->type == JSCAN_STRING && jscan_string_copy(v, text, sizeof(text), &len) &&
	    clock_parse_pg(text, len, ret_pg_us))
		return true;
	return err_set(err, "must be a UTC time such as 2026-01-31T12:00:00.123456Z%s%s",
		       v->type == JSCAN_STRING ? "" : ", not ",
		       v->type == JSCAN_STRING ? "" : jscan_type_name(v->type));
}

static void write_escape(struct strbuf *out, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	static const char short_forms[0x20] = {
		['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'
	};
	char form = c >= 0x7f ? 0 : c >= 0x20 ? (char)c : short_forms[c];

	if (form != 0) {
		strbuf_add(out, (const char[]){ '\\', form }, 2);
	} else {
		strbuf_add(out, (const char[]){ '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] }, 6);
	}
}

/* The first of U+007F to U+009F; stop: there is none. */
static const char *late_control(const char *p, const char *stop)
{
	size_t len = (size_t)(stop - p);
	const char *del = memchr(p, 0x7f, len);
	const char *c1 = memchr(p, 0xc2, len);

	while (c1 && (stop - c1 < 2 || (unsigned char)c1[1] > 0x9f))
		c1 = memchr(c1 + 1, 0xc2, (size_t)(stop - c1 - 1));
	if (del && (!c1 || del < c1))
		return del;
	return c1 ? c1 : stop;
}

void jscan_write_string(struct strbuf *out, const char *s, size_t len)
{
	const char *p = len > 0 ? s : "", *end = p + len;

	strbuf_reserve(out, len + 2); /* nearly always all that is needed */
	strbuf_addch(out, '"');
	for (;;) {
		const char *stop = late_control(p, jscan_run_end(p, end, false));
		if (stop > p)
			strbuf_add(out, p, (size_t)(stop - p));
		if (stop == end)
			break;
		p = stop + 1;
		/* The code of U+0080 to U+009F is the second byte. */
		write_escape(out, (unsigned char)*stop == 0xc2 ? (unsigned char)*p++
							       : (unsigned char)*stop);
	}
	strbuf_addch(out, '"');
}
