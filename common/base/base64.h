/*
 * base64.h: bytes as text in base64 (RFC 4648). Pure.
 */
#ifndef PGFANOUT_COMMON_BASE_BASE64_H
#define PGFANOUT_COMMON_BASE_BASE64_H

#include "common/base/strbuf.h"

enum base64 {
	BASE64_STANDARD, /* with + and /, padded with = */
	BASE64_URL,	 /* with - and _, not padded: safe in a URL */
};

/* As many characters as it returns, no NUL: at most 4 for 3 bytes. */
size_t base64_write(enum base64 kind, const void *data, size_t len, char *ret);
void base64_add(struct strbuf *out, enum base64 kind, const void *data, size_t len);
/* Strict: true only if s is what base64_add() makes of exactly `want` bytes, so that a value has
 * one spelling. After false ret may be partly written. */
MUST_CHECK bool base64_decode(enum base64 kind, const char *s, size_t len, void *ret, size_t want);

#endif
