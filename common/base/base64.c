/*
 * base64.c: see base64.h.
 */
#include "common/base/base64.h"

#include <string.h>

#define LETTERS_AND_DIGITS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

static const char alphabet[][64 + 1] = {
	[BASE64_STANDARD] = LETTERS_AND_DIGITS "+/",
	[BASE64_URL] = LETTERS_AND_DIGITS "-_",
};

static size_t text_len(enum base64 kind, size_t len)
{
	return kind == BASE64_STANDARD ? (len + 2) / 3 * 4 : (len * 4 + 2) / 3;
}

size_t base64_write(enum base64 kind, const void *data, size_t len, char *ret)
{
	const uint8_t *p = data;
	char *to = ret, *end = ret + text_len(kind, len);
	unsigned bits = 0, nbits = 0; /* the lowest nbits of bits are still to be written */

	for (size_t i = 0; i < len; i++) {
		bits = bits << 8 | p[i];
		for (nbits += 8; nbits >= 6; nbits -= 6)
			*to++ = alphabet[kind][bits >> (nbits - 6) & 63];
	}
	if (nbits > 0)
		*to++ = alphabet[kind][bits << (6 - nbits) & 63];
	while (to < end)
		*to++ = '=';
	return (size_t)(to - ret);
}

void base64_add(struct strbuf *out, enum base64 kind, const void *data, size_t len)
{
	size_t n = text_len(kind, len);

	strbuf_commit(out, base64_write(kind, data, len, strbuf_reserve(out, n)));
}

bool base64_decode(enum base64 kind, const char *s, size_t len, void *ret, size_t want)
{
	uint8_t *p = ret;
	unsigned bits = 0, nbits = 0; /* the lowest nbits of bits belong to the next byte */
	size_t at = 0;

	if (len != text_len(kind, want))
		return false;
	for (; at < text_len(BASE64_URL, want); at++) { /* all but the padding */
		const char *digit = memchr(alphabet[kind], s[at], 64);

		if (!digit)
			return false;
		bits = bits << 6 | (unsigned)(digit - alphabet[kind]);
		nbits += 6;
		if (nbits >= 8) {
			nbits -= 8;
			*p++ = (uint8_t)(bits >> nbits);
		}
	}
	while (at < len)
		if (s[at++] != '=')
			return false;
	return (bits & ((1U << nbits) - 1)) == 0;
}
