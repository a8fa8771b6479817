/*
 * base.h: what every file may use: memory, attributes, small helpers, exit codes.
 *
 * The x-allocators never return NULL: out of memory ends the process with a line on stderr, which
 * is safe because nothing is ever acknowledged before it is durable. Any thread.
 */
#ifndef PGFANOUT_COMMON_BASE_BASE_H
#define PGFANOUT_COMMON_BASE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUST_CHECK		__attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))
#define NORETURN		__attribute__((noreturn))
#define CLEANUP(fn)		__attribute__((cleanup(fn)))
#define ARRAY_SIZE(a)		(sizeof(a) / sizeof((a)[0]))

/* Free with free(). calloc-like ones check the product for overflow. */
void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xreallocarray(void *p, size_t count, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t len);
char *xasprintf(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* For a broken invariant or exhausted memory only: one line on stderr, then abort(). */
void fatal(const char *fmt, ...) NORETURN PRINTF_LIKE(1, 2);

/* For AUTO_FREE: frees the pointer that p points at. */
void auto_free(void *p);
#define AUTO_FREE CLEANUP(auto_free)

/* Decimal digits, perhaps with a minus in front, and nothing else; false too where it does not
 * fit. */
MUST_CHECK bool int64_from_text(const char *s, size_t len, int64_t *ret);

static inline size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Process exit codes, the same for all four programs; docs/programs.md lists them. */
enum exit_code {
	EXIT_OK = 0,
	/* A comparison found a difference, or part of the work could not be done. */
	EXIT_DIFFERENT = 1,
	EXIT_USAGE = 2,	      /* wrong argument or setting: nothing was started */
	EXIT_UNREACHABLE = 3, /* a database or the broker did not answer */
	EXIT_SCHEMA = 4,      /* a database has not been migrated, or is newer than the program */
	EXIT_BUSY = 5,	      /* another process is doing the same work */
	EXIT_RUNTIME = 6,     /* failed while at work; the message says what is left as it was */
	EXIT_INTERRUPTED = 7, /* stopped by a signal before the work was done */
	EXIT_UNSURE = 8,      /* undetermined: a replica is not catching up */
};

#endif
