/*
 * utf8.c: see utf8.h. Any thread.
 */
#include "common/base/utf8.h"

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
