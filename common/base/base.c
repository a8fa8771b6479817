/*
 * base.c: allocation that cannot fail, the one way to end a process that cannot go on, and numbers
 * from text.
 *
 * Promise: an x-allocator returns memory or does not return. Ending the process there is safe,
 * because nothing is acknowledged to a client or to the broker before it is durable: whatever was
 * in memory is delivered again. Any thread; no state of its own.
 */
#include "common/base/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Memory may be exhausted here: the line is made on the stack and written in one go. */
void fatal(const char *fmt, ...)
{
	char line[1024] = "fatal: ";
	size_t at = strlen(line);
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(line + at, sizeof(line) - at - 1, fmt, ap);
	va_end(ap);

	if (n > 0)
		at += min_size((size_t)n, sizeof(line) - at - 2);
	line[at++] = '\n';
	if (write(STDERR_FILENO, line, at) < 0) {
		/* Nobody left to tell. */
	}
	abort();
}

static void *checked(void *p, size_t size)
{
	if (!p)
		fatal("out of memory: %zu bytes were asked for", size);
	return p;
}

/* malloc(0) may return NULL, which callers could not tell from failure: never ask for 0 bytes. */
void *xmalloc(size_t size)
{
	return checked(malloc(size ? size : 1), size);
}

void *xcalloc(size_t count, size_t size)
{
	if (count == 0 || size == 0)
		count = size = 1;
	void *p = calloc(count, size);
	if (!p)
		fatal("out of memory: %zu times %zu bytes were asked for", count, size);
	return p;
}

void *xreallocarray(void *p, size_t count, size_t size)
{
	if (count == 0 || size == 0)
		count = size = 1;
	p = reallocarray(p, count, size);
	if (!p)
		fatal("out of memory: %zu times %zu bytes were asked for", count, size);
	return p;
}

char *xstrdup(const char *s)
{
	return xstrndup(s, strlen(s));
}

/* len bytes of s, or fewer if s ends before. */
char *xstrndup(const char *s, size_t len)
{
	return checked(strndup(s, len), len);
}

char *xasprintf(const char *fmt, ...)
{
	char *s;
	va_list ap;

	va_start(ap, fmt);
	int n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n < 0)
		fatal("out of memory: a line of text could not be made");
	return s;
}

void auto_free(void *p)
{
	/* p is the address of a pointer of whatever type: copy it out rather than alias it. */
	void *memory;

	memcpy(&memory, p, sizeof(memory));
	free(memory);
}

bool int64_from_text(const char *s, size_t len, int64_t *ret)
{
	const char *p = s, *end = s + len;
	bool negative = p < end && *p == '-';
	int64_t v = 0;

	p += negative;
	if (p == end)
		return false;
	/* Counted downwards: there is one more number below zero than above. */
	for (; p < end; p++)
		if (*p < '0' || *p > '9' || __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_sub_overflow(v, *p - '0', &v))
			return false;
	if (!negative && __builtin_sub_overflow(0, v, &v))
		return false;
	*ret = v;
	return true;
}
