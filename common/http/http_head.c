/*
 * http_head.c: see http_head.h. The first fault counts; what comes after it is not looked at.
 *
 * The rules, in the order in which they are tried:
 *   1. Content-Length, Transfer-Encoding, Host, Content-Type and X-Position come once at most.
 *   2. Transfer-Encoding is exactly "chunked" (else 501) and comes without Content-Length.
 *   3. Content-Length is plain decimal digits.
 *   4. Expect is 100-continue (else 417).
 *   5. HTTP/1.1 names its host.
 */
#include "common/http/http_head.h"

#include <string.h>
#include <strings.h>

void http_head_begin(struct http_head *h)
{
	*h = (struct http_head){ .content_length = -1 };
}

static void fault(struct http_head *h, int status, const char *text)
{
	if (h->status == 0) {
		h->status = status;
		h->fault = text;
	}
}

static bool word_is(const char *s, size_t len, const char *word)
{
	return len == strlen(word) && strncasecmp(s, word, len) == 0;
}

/* Whether a list, separated by commas, has the word. */
static bool lists_word(const char *s, size_t len, const char *word)
{
	const char *end = s + len;

	while (s < end) {
		const char *comma = memchr(s, ',', (size_t)(end - s));
		const char *last = comma ? comma : end;

		while (s < last && (*s == ' ' || *s == '\t'))
			s++;
		while (last > s && (last[-1] == ' ' || last[-1] == '\t'))
			last--;
		if (word_is(s, (size_t)(last - s), word))
			return true;
		s = comma ? comma + 1 : end;
	}
	return false;
}

static bool read_length(const char *s, size_t len, int64_t *ret)
{
	int64_t n = 0;

	if (len == 0 || len > 18)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		n = n * 10 + (s[i] - '0');
	}
	*ret = n;
	return true;
}

void http_head_add(struct http_head *h, const char *name, size_t name_len, const char *value,
		   size_t value_len)
{
	if (h->status != 0)
		return;
	if (word_is(name, name_len, "content-length")) {
		if (h->lengths++ > 0)
			fault(h, 400, "more than one Content-Length");
		else if (!read_length(value, value_len, &h->content_length))
			fault(h, 400, "Content-Length is not a plain number");
	} else if (word_is(name, name_len, "transfer-encoding")) {
		if (h->encodings++ > 0)
			fault(h, 400, "more than one Transfer-Encoding");
		else if (!word_is(value, value_len, "chunked"))
			fault(h, 501, "the only Transfer-Encoding here is chunked");
		h->chunked = true;
	} else if (word_is(name, name_len, "host")) {
		if (h->hosts++ > 0)
			fault(h, 400, "more than one Host");
		h->host = value;
		h->host_len = value_len;
	} else if (word_is(name, name_len, "content-type")) {
		if (h->types++ > 0)
			fault(h, 400, "more than one Content-Type");
		h->content_type = value;
		h->content_type_len = value_len;
	} else if (word_is(name, name_len, "expect")) {
		if (!word_is(value, value_len, "100-continue"))
			fault(h, 417, "the only Expect here is 100-continue");
		h->expects_continue = true;
	} else if (word_is(name, name_len, "connection")) {
		h->closes = h->closes || lists_word(value, value_len, "close");
	} else if (word_is(name, name_len, "content-encoding")) {
		h->encoded = h->encoded || !word_is(value, value_len, "identity");
	} else if (word_is(name, name_len, "x-position")) {
		if (h->positions++ > 0)
			fault(h, 400, "more than one X-Position");
		h->position = value;
		h->position_len = value_len;
	} else if (word_is(name, name_len, "cookie")) {
		h->cookie = value;
		h->cookie_len = value_len;
	} else if (word_is(name, name_len, "cache-control")) {
		h->max_stale = h->max_stale || lists_word(value, value_len, "max-stale");
	} else if (word_is(name, name_len, "content-range")) {
		h->partial = true;
	} else if (word_is(name, name_len, "if-match") ||
		   word_is(name, name_len, "if-none-match") ||
		   word_is(name, name_len, "if-unmodified-since")) {
		h->conditional = true;
	}
}

bool http_head_end(struct http_head *h, bool http11)
{
	if (h->lengths > 0 && h->encodings > 0)
		fault(h, 400, "both Content-Length and Transfer-Encoding");
	if (http11 && h->hosts == 0)
		fault(h, 400, "the Host header is missing");
	if (!http11 && h->encodings > 0)
		fault(h, 400, "HTTP/1.0 has no Transfer-Encoding");
	return h->status == 0;
}

static void skip_blanks(const char **s, const char *end)
{
	while (*s < end && (**s == ' ' || **s == '\t'))
		(*s)++;
}

bool http_media_type_is(const char *value, size_t len, const char *type)
{
	const char *s = value;
	const char *end = value ? value + len : NULL;
	size_t n = strlen(type);

	if (!value)
		return false;
	skip_blanks(&s, end);
	if ((size_t)(end - s) < n || strncasecmp(s, type, n) != 0)
		return false;
	s += n;
	skip_blanks(&s, end);
	if (s == end)
		return true;
	if (*s++ != ';')
		return false;
	skip_blanks(&s, end);
	while (end > s && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	if (s == end) /* a lone ";" at the end is common and harmless */
		return true;
	return word_is(s, (size_t)(end - s), "charset=utf-8") ||
	       word_is(s, (size_t)(end - s), "charset=\"utf-8\"");
}
