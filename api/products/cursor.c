/*
 * cursor.c: see cursor.h.
 *
 * A cursor is the last id of the page before, in base64 for URLs: short, opaque, and no state here.
 */
#include "api/products/cursor.h"

#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

bool products_read_limit(const char *s, size_t len, int *ret)
{
	int n = 0;

	if (len == 0 || len > 4 || s[0] == '0')
		return false;
	for (size_t i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		n = n * 10 + (s[i] - '0');
	}
	if (n < 1 || n > PAGE_MAX)
		return false;
	*ret = n;
	return true;
}

void products_write_cursor(const struct uuid *after, char *ret)
{
	unsigned bits = 0;
	unsigned nbits = 0;

	for (size_t i = 0; i < sizeof(after->b); i++) {
		bits = bits << 8 | after->b[i];
		nbits += 8;
		while (nbits >= 6) {
			nbits -= 6;
			*ret++ = digits[bits >> nbits & 63];
		}
	}
	*ret = digits[bits << (6 - nbits) & 63]; /* 128 = 21 * 6 + 2 */
}

bool products_read_cursor(const char *s, size_t len, struct uuid *ret)
{
	unsigned bits = 0;
	unsigned nbits = 0;
	size_t at = 0;

	if (len != CURSOR_LEN)
		return false;
	for (size_t i = 0; i < len; i++) {
		const char *digit = s[i] ? strchr(digits, s[i]) : NULL;

		if (!digit)
			return false;
		bits = (bits << 6 | (unsigned)(digit - digits)) & 0xffff;
		nbits += 6;
		if (nbits >= 8) {
			nbits -= 8;
			ret->b[at++] = (uint8_t)(bits >> nbits);
		}
	}
	return (bits & ((1U << nbits) - 1)) == 0; /* one spelling for each cursor */
}
