/*
 * strbuf.h: a growing byte string, always NUL-terminated. One owner, no locking. Pure.
 *
 * Embedded: STRBUF_INIT, then strbuf_clear() frees. strbuf_reset() keeps the memory for the next
 * use.
 */
#ifndef PGFANOUT_COMMON_BASE_STRBUF_H
#define PGFANOUT_COMMON_BASE_STRBUF_H

#include "common/base/base.h"

struct strbuf {
	char *data; /* NULL until the first byte; strbuf_str() is never NULL */
	size_t len;
	size_t cap;
};
#define STRBUF_INIT        \
	{                  \
		NULL, 0, 0 \
	}
#define AUTO_STRBUF CLEANUP(strbuf_clear) struct strbuf

void strbuf_clear(struct strbuf *b); /* frees; b is STRBUF_INIT again */
void strbuf_reset(struct strbuf *b); /* length 0, memory kept */
/* Makes room for n more bytes and returns where they go; strbuf_commit() then says how many were
 * written there. */
char *strbuf_reserve(struct strbuf *b, size_t n);
void strbuf_commit(struct strbuf *b, size_t n);
void strbuf_add(struct strbuf *b, const void *p, size_t n);
void strbuf_addstr(struct strbuf *b, const char *s);
void strbuf_addch(struct strbuf *b, char c);
void strbuf_addf(struct strbuf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void strbuf_addint(struct strbuf *b, int64_t v); /* decimal, without printf */
const char *strbuf_str(const struct strbuf *b);
/* The caller frees the text; b is STRBUF_INIT again. ret_len may be NULL. */
char *strbuf_detach(struct strbuf *b, size_t *ret_len);

#endif
