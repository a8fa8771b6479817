/*
 * strbuf.c: a byte string that grows by doubling.
 *
 * Promise: after any call data is NUL-terminated (or NULL while nothing was ever added), and cap >
 * len. What is added must not point into the buffer itself: growing may move it. One owner; pure.
 */
#include "common/base/strbuf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAP 64

void strbuf_clear(struct strbuf *b)
{
	free(b->data);
	*b = (struct strbuf)STRBUF_INIT;
}

void strbuf_reset(struct strbuf *b)
{
	b->len = 0;
	if (b->data)
		b->data[0] = '\0';
}

static void grow(struct strbuf *b, size_t n)
{
	if (n >= SIZE_MAX / 2 - b->len)
		fatal("a string of more than %zu bytes was asked for", SIZE_MAX / 2);

	size_t need = b->len + n + 1; /* and the NUL */
	size_t cap = b->cap ? b->cap * 2 : FIRST_CAP;
	if (cap < need)
		cap = need;
	b->data = xreallocarray(b->data, cap, 1);
	b->cap = cap;
	b->data[b->len] = '\0';
}

char *strbuf_reserve(struct strbuf *b, size_t n)
{
	if (b->cap - b->len <= n) /* cap 0 too: it needs room for the NUL */
		grow(b, n);
	return b->data + b->len;
}

void strbuf_commit(struct strbuf *b, size_t n)
{
	if (n == 0)
		return;
	if (b->cap - b->len <= n)
		fatal("strbuf_commit: %zu bytes were written where %zu were reserved", n,
		      b->cap - b->len);
	b->len += n;
	b->data[b->len] = '\0';
}

void strbuf_add(struct strbuf *b, const void *p, size_t n)
{
	char *at = strbuf_reserve(b, n);

	if (n)
		memcpy(at, p, n);
	b->len += n;
	b->data[b->len] = '\0';
}

void strbuf_addstr(struct strbuf *b, const char *s)
{
	strbuf_add(b, s, strlen(s));
}

void strbuf_addch(struct strbuf *b, char c)
{
	char *at = strbuf_reserve(b, 1);

	at[0] = c;
	at[1] = '\0';
	b->len++;
}

void strbuf_addf(struct strbuf *b, const char *fmt, ...)
{
	/* Most lines fit the first time; a longer one is formatted again into room that is
	 * right. */
	size_t room = 128;

	for (;;) {
		char *at = strbuf_reserve(b, room);
		va_list ap;

		va_start(ap, fmt);
		int n = vsnprintf(at, room + 1, fmt, ap);
		va_end(ap);
		if (n < 0)
			fatal("strbuf_addf: the format \"%s\" cannot be printed", fmt);
		if ((size_t)n <= room) {
			b->len += (size_t)n;
			return;
		}
		room = (size_t)n;
	}
}

void strbuf_addint(struct strbuf *b, int64_t v)
{
	char digits[20];
	size_t at = sizeof(digits);
	uint64_t u = v < 0 ? -(uint64_t)v : (uint64_t)v; /* INT64_MIN has no positive twin */

	do {
		digits[--at] = (char)('0' + u % 10);
		u /= 10;
	} while (u);
	if (v < 0)
		digits[--at] = '-';
	strbuf_add(b, digits + at, sizeof(digits) - at);
}

const char *strbuf_str(const struct strbuf *b)
{
	return b->data ? b->data : "";
}

char *strbuf_detach(struct strbuf *b, size_t *ret_len)
{
	char *data = b->data ? b->data : xstrdup("");

	if (ret_len)
		*ret_len = b->len;
	*b = (struct strbuf)STRBUF_INIT;
	return data;
}
