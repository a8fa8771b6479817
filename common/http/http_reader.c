/*
 * http_reader.c: see http_reader.h. RFC 9112, without what it lets servers tolerate.
 *
 *   1. A line ends with CR LF; neither stands anywhere else in it, nor does a control character but
 *      a tab. Its bytes are judged as they come, the line when it is complete.
 *   2. A request line is: a token, a blank, a target of visible ASCII, a blank, HTTP/1.0 or 1.1.
 *      One empty line may stand before it.
 *   3. A header line does not begin with a blank (folding), and has a token before its colon; what
 *      the headers say together is judged by http_head.c.
 *   4. A chunk begins with 1 to 15 hexadecimal digits, and ends with CR LF. Extensions are refused:
 *      libmicrohttpd 1.0.1 takes what follows one for part of the body. After the last chunk there
 *      may be trailers, which are header lines.
 *   5. Heads, trailers and lines have limits.
 *
 * REQUEST_LINE -> HEADERS -> BODY | CHUNK_SIZE | REQUEST_LINE, CHUNK_SIZE -> CHUNK -> CHUNK_END ->
 * CHUNK_SIZE | TRAILERS -> REQUEST_LINE; NO_MORE in place of the last, FAULT from everywhere.
 */
#include "common/http/http_reader.h"

#include <string.h>

#define CONTROL "the head or a chunk's line contains a control character"

void http_reader_init(struct http_reader *r)
{
	*r = (struct http_reader){ .state = READING_REQUEST_LINE, .line = STRBUF_INIT };
	http_head_begin(&r->head);
}

void http_reader_clear(struct http_reader *r)
{
	strbuf_clear(&r->line);
}

static bool fault(struct http_reader *r, int status, const char *text)
{
	r->status = status;
	r->fault = text;
	return false;
}

static void next_request(struct http_reader *r)
{
	r->state = r->head.closes ? READING_NO_MORE : READING_REQUEST_LINE;
	r->bytes = r->lines = 0;
}

/* Token characters of RFC 9110, at least one. */
static bool is_token(const char *s, size_t len)
{
	/* One bit for each of the 128 characters of ASCII: letters, digits, !#$%&'*+-.^_`|~ */
	static const uint64_t allowed[] = { 0x03ff6cfa00000000, 0x57ffffffc7fffffe };

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c >= 128 || !(allowed[c / 64] >> c % 64 & 1))
			return false;
	}
	return len > 0;
}

static bool is_plain(const char *s, size_t len)
{
	bool plain = true;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		plain &= (c >= 0x20 || c == '\t') & (c != 0x7f);
	}
	return plain;
}

/* ---- lines: each returns false at a fault ---- */

static bool request_line(struct http_reader *r, const char *s, size_t len)
{
	const char *end = s + len;
	const char *target = memchr(s, ' ', len);

	if (len == 0 && r->bytes == 2)
		return true;
	http_head_begin(&r->head);
	if (!target || !is_token(s, (size_t)(target - s)))
		return fault(r, 400, "the request line does not begin with a method");
	target++;
	const char *version = memchr(target, ' ', (size_t)(end - target));

	if (!version || version == target)
		return fault(r, 400, "the request line is not METHOD TARGET HTTP/1.1");
	for (const char *p = target; p < version; p++)
		if (*p <= ' ' || *p == 0x7f) /* char may be signed: above 0x7f is below ' ' */
			return fault(r, 400,
				     "the request's target contains a byte that is not "
				     "visible ASCII");
	version++;
	r->http11 = end - version == 8 && memcmp(version, "HTTP/1.1", 8) == 0;
	if (!r->http11 && (end - version != 8 || memcmp(version, "HTTP/1.0", 8) != 0))
		return fault(r, memchr(version, ' ', (size_t)(end - version)) ? 400 : 505,
			     "the request line does not end with HTTP/1.1 or HTTP/1.0");
	r->state = READING_HEADERS;
	return true;
}

static bool head_is_complete(struct http_reader *r)
{
	if (!http_head_end(&r->head, r->http11))
		return fault(r, r->head.status, r->head.fault);
	r->heads++;
	r->bytes = r->lines = 0;
	if (r->head.chunked) {
		r->state = READING_CHUNK_SIZE;
	} else if (r->head.content_length > 0) {
		r->state = READING_BODY;
		r->left = (uint64_t)r->head.content_length;
	} else {
		next_request(r);
	}
	return true;
}

static bool header_line(struct http_reader *r, const char *s, size_t len)
{
	bool trailer = r->state == READING_TRAILERS;
	const char *colon = memchr(s, ':', len);
	const char *end = s + len;

	if (len == 0 && !trailer)
		return head_is_complete(r);
	if (len == 0) {
		next_request(r);
		return true;
	}
	if (++r->lines > HTTP_LINES_MAX)
		return fault(r, 431, "there are too many headers");
	if (*s == ' ' || *s == '\t')
		return fault(r, 400, "a header's line begins with a blank: folding is not allowed");
	if (!colon || !is_token(s, (size_t)(colon - s)))
		return fault(r, 400,
			     "a header's line has no name, or one with a blank or another "
			     "forbidden character");
	if (trailer)
		return true;
	const char *value = colon + 1;

	while (value < end && (*value == ' ' || *value == '\t'))
		value++;
	while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	if (!is_plain(value, (size_t)(end - value)))
		return fault(r, 400, CONTROL);
	http_head_add(&r->head, s, (size_t)(colon - s), value, (size_t)(end - value));
	return r->head.status == 0 || fault(r, r->head.status, r->head.fault);
}

static int hex_value(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

/* The line, or what there is of it. */
static bool chunk_size(struct http_reader *r, const char *s, size_t len)
{
	size_t digits = 0;

	r->left = 0;
	for (; digits < len && hex_value(s[digits]) >= 0; digits++)
		if (digits < 15)
			r->left = r->left * 16 + (uint64_t)hex_value(s[digits]);
	if (digits > 0 && digits <= 15 && (digits == len || s[digits] == '\r'))
		return true;
	if (digits > 0 && digits < len && s[digits] == ';')
		return fault(r, 400,
			     "a chunk of the body has an extension, which is not supported");
	return fault(r, 400, "a chunk of the body does not begin with its size");
}

static bool chunk_size_line(struct http_reader *r, const char *s, size_t len)
{
	if (!chunk_size(r, s, len))
		return false;
	r->bytes = 0;
	r->state = r->left > 0 ? READING_CHUNK : READING_TRAILERS;
	return true;
}

static bool chunk_end(struct http_reader *r, const char *s, size_t len)
{
	return len == 0 || *s == '\r' ||
	       fault(r, 400, "a chunk of the body is longer than its size");
}

/* A line without its end. */
static bool take_line(struct http_reader *r, const char *s, size_t len)
{
	switch (r->state) {
	case READING_REQUEST_LINE:
		return request_line(r, s, len);
	case READING_CHUNK_SIZE:
		return chunk_size_line(r, s, len);
	case READING_CHUNK_END:
		r->state = READING_CHUNK_SIZE;
		r->bytes = 0;
		return chunk_end(r, s, len);
	default:
		return header_line(r, s, len);
	}
}

/* The beginning of a line: libmicrohttpd does not wait for the end of these two. */
static bool take_beginning(struct http_reader *r, const char *s, size_t len)
{
	switch (r->state) {
	case READING_CHUNK_SIZE:
		return chunk_size(r, s, len);
	case READING_CHUNK_END:
		return chunk_end(r, s, len);
	default:
		return true;
	}
}

/* ---- bytes ---- */

static size_t longest(const struct http_reader *r)
{
	switch (r->state) {
	case READING_CHUNK_SIZE:
		return HTTP_CHUNK_LINE_MAX;
	case READING_CHUNK_END:
		return 2;
	default:
		return HTTP_HEAD_MAX;
	}
}

static bool too_long(struct http_reader *r)
{
	switch (r->state) {
	case READING_REQUEST_LINE:
		return fault(r, 414, "the request line is too long");
	case READING_CHUNK_SIZE:
		return fault(r, 400, "a chunk of the body does not begin with its size");
	case READING_CHUNK_END:
		return fault(r, 400, "a chunk of the body is longer than its size");
	default:
		return fault(r, 431, "the headers are too long");
	}
}

/* The piece of a line that is here now, with the line's end if it has come. */
static bool piece_is_plain(struct http_reader *r, const char *s, size_t len)
{
	size_t n = len;

	if (n > 0 && s[n - 1] == '\n') {
		n--;
		if (n > 0 ? s[n - 1] != '\r'
			  : r->line.len == 0 || r->line.data[r->line.len - 1] != '\r')
			return fault(r, 400, "a line ends with LF alone, without CR");
	}
	if (n > 0 && r->line.len > 0 && r->line.data[r->line.len - 1] == '\r')
		return fault(r, 400, "a CR stands within a line");
	/* A complete line of a head is looked at in every part. */
	if (n < len && r->state <= READING_HEADERS)
		return true;
	if (n > 0 && s[n - 1] == '\r')
		n--;
	return is_plain(s, n) || fault(r, 400, CONTROL);
}

/* Takes a piece of a line; *ret_n: how much of s it was. */
static bool take_piece(struct http_reader *r, const char *s, size_t len, size_t *ret_n)
{
	const char *end = memchr(s, '\n', len);
	size_t n = end ? (size_t)(end - s) + 1 : len;

	*ret_n = n;
	if (!piece_is_plain(r, s, n))
		return false;
	r->bytes += n;
	if (r->bytes > longest(r))
		return too_long(r);
	if (!end) {
		strbuf_add(&r->line, s, n);
		return take_beginning(r, r->line.data, r->line.len);
	}
	if (r->line.len == 0)
		return take_line(r, s, n - 2);
	strbuf_add(&r->line, s, n);
	bool ok = take_line(r, r->line.data, r->line.len - 2);

	strbuf_reset(&r->line);
	return ok;
}

size_t http_reader_take(struct http_reader *r, const char *s, size_t len)
{
	size_t at = 0;

	while (at < len) {
		size_t n;

		switch (r->state) {
		case READING_FAULT:
			return at;
		case READING_NO_MORE:
			return len;
		case READING_BODY:
		case READING_CHUNK:
			n = r->left < len - at ? (size_t)r->left : len - at;
			at += n;
			r->left -= n;
			if (r->left > 0)
				break;
			if (r->state == READING_CHUNK)
				r->state = READING_CHUNK_END;
			else
				next_request(r);
			break;
		default:
			r->fault_in_head = r->state <= READING_HEADERS;
			if (!take_piece(r, s + at, len - at, &n)) {
				r->state = READING_FAULT;
				return at;
			}
			at += n;
		}
	}
	return at;
}
