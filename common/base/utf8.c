/*
 * utf8.c: see utf8.h. Any thread.
 */
#include "common/base/utf8.h"

#include <string.h>

bool utf8_valid(const char *s, size_t len, size_t *ret_chars)
{
	const char *p = len > 0 ? s : "", *end = p + len;

	while (p < end) {
		size_t n = *p == '\0' ? 0 : utf8_step(p, end);
		if (n == 0)
			return false;
		p += n;
	}
	if (ret_chars != NULL)
		*ret_chars = utf8_count(end - len, len);
	return true;
}

bool utf8_steers(const char *p, size_t n)
{
	const unsigned char *u = (const unsigned char *)p;

	switch (n) {
	case 1:
		return u[0] < 0x20 || u[0] == 0x7f;
	case 2: /* U+0080 to U+009F; U+061C */
		return (u[0] == 0xc2 && u[1] < 0xa0) || (u[0] == 0xd8 && u[1] == 0x9c);
	case 3: /* U+200E, U+200F; U+2028 to U+202E; U+2066 to U+2069 */
		return u[0] == 0xe2 && ((u[1] == 0x80 && (u[2] == 0x8e || u[2] == 0x8f ||
							  (u[2] >= 0xa8 && u[2] <= 0xae))) ||
					(u[1] == 0x81 && u[2] >= 0xa6 && u[2] <= 0xa9));
	default:
		return false;
	}
}

uint32_t utf8_code(const char *p, size_t n)
{
	static const unsigned char lead[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	uint32_t code = (unsigned char)p[0] & lead[n];

	for (size_t i = 1; i < n; i++)
		code = code << 6 | ((unsigned char)p[i] & 0x3f);
	return code;
}

void utf8_plain(char *s)
{
	const char *from = s, *end = s + strlen(s);

	while (from < end) {
		size_t n = utf8_step(from, end);

		if (n == 0 || utf8_steers(from, n)) {
			*s++ = n == 0 ? '?' : ' ';
			from += n == 0 ? 1 : n;
			continue;
		}
		memmove(s, from, n);
		s += n;
		from += n;
	}
	*s = '\0';
}

size_t utf8_count(const char *s, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += (s[i] & 0xc0) != 0x80;
	return n;
}

size_t utf8_whole(const char *s, size_t len)
{
	size_t first = len;

	while (first > 0 && len - first < 3 && ((unsigned char)s[first - 1] & 0xc0) == 0x80)
		first--;
	if (first == 0)
		return len;

	unsigned char lead = (unsigned char)s[--first];
	size_t wanted = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
	return wanted > len - first ? first : len;
}

size_t utf8_put(uint32_t c, char *out)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}
