/*
 * uuid.h: product ids. 16 bytes in the order they are printed. Pure, but for uuid_make.
 */
#ifndef PGFANOUT_COMMON_BASE_UUID_H
#define PGFANOUT_COMMON_BASE_UUID_H

#include "common/base/base.h"

#define UUID_TEXT_LEN 36

struct uuid {
	uint8_t b[16];
};

/* Exactly 36 characters, hyphens in place, hex digits of either case; anything else is refused. len
 * need not be 36. */
bool uuid_from_text(const char *s, size_t len, struct uuid *ret);
/* Lower case; writes 36 bytes, no NUL. */
void uuid_to_text(const struct uuid *u, char *out);
/* A new version 7 UUID: the time in front, so that new rows sit together in the index. Any
 * thread. */
void uuid_make(struct uuid *ret);
static inline int uuid_cmp(const struct uuid *a, const struct uuid *b)
{
	return __builtin_memcmp(a->b, b->b, sizeof(a->b));
}

#endif
