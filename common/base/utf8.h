/*
 * utf8.h: UTF-8 (RFC 3629): one character at a time, checked, counted, written. Pure.
 *
 * Valid means: no overlong forms, no surrogates, nothing above U+10FFFF.
 */
#ifndef PGFANOUT_COMMON_BASE_UTF8_H
#define PGFANOUT_COMMON_BASE_UTF8_H

#include "common/base/base.h"

/* Length of the character at p, which must be before end; 0 if it is not valid UTF-8. Inline, for
 * the JSON validator calls it for every character outside ASCII. */
static inline size_t utf8_step(const char *p, const char *end)
{
	const unsigned char *u = (const unsigned char *)p;
	size_t left = (size_t)(end - p);

	if (u[0] < 0x80)
		return 1;
	if (u[0] < 0xc2 || u[0] > 0xf4 || left < 2)
		return 0;
	if (u[0] < 0xe0)
		return (u[1] & 0xc0) == 0x80 ? 2 : 0;
	/* The range of the second byte depends on the first: this refuses overlong forms,
	 * surrogates and what is above U+10FFFF. */
	unsigned char low = u[0] == 0xe0 ? 0xa0 : u[0] == 0xf0 ? 0x90 : 0x80;
	unsigned char high = u[0] == 0xed ? 0x9f : u[0] == 0xf4 ? 0x8f : 0xbf;
	if (u[1] < low || u[1] > high || left < 3 || (u[2] & 0xc0) != 0x80)
		return 0;
	if (u[0] < 0xf0)
		return 3;
	return left >= 4 && (u[3] & 0xc0) == 0x80 ? 4 : 0;
}

/* Whether the valid character at p, of n bytes, only steers what shows it: C0, DEL, C1, the line and
 * paragraph separators, and the marks that turn the direction of writing, which make a line look
 * like another one. */
bool utf8_steers(const char *p, size_t n);
/* The code point of a valid character of n bytes. */
uint32_t utf8_code(const char *p, size_t n);
/* Makes a text one line that is fit to be shown, in place: what steers becomes a blank, a byte that
 * is no UTF-8 a '?'. */
void utf8_plain(char *s);

/* Whether the bytes are valid UTF-8 without NUL. ret_chars (may be NULL): how many characters. */
bool utf8_valid(const char *s, size_t len, size_t *ret_chars);
/* How many characters there are in valid UTF-8. */
size_t utf8_count(const char *s, size_t len);
/* How many of the len bytes are left without a character that was cut at their end. */
size_t utf8_whole(const char *s, size_t len);
/* Writes the character c (no surrogate, at most U+10FFFF) and returns its length, 1 to 4 bytes. */
size_t utf8_put(uint32_t c, char *out);

#endif
