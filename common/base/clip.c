/*
 * clip.c: see clip.h. Pure.
 */
#include "common/base/clip.h"

#include <string.h>

#include "common/json/jscan.h"

static size_t sequence_length(unsigned char first)
{
	return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

void clip_text(char *out, size_t size, const char *s)
{
	size_t len = strlen(s), n = 0;

	for (size_t i = 0; i < len;) {
		size_t take = sequence_length((unsigned char)s[i]);
		bool good = take <= len - i && jscan_utf8(s + i, take, NULL);
		if (!good)
			take = 1;
		if (n + take >= size)
			break;
		memcpy(out + n, s + i, take);
		if (!good)
			out[n] = '?';
		else if (take == 1 && ((unsigned char)s[i] < 0x20 || s[i] == 0x7f))
			out[n] = ' ';
		n += take;
		i += take;
	}
	out[n] = '\0';
}
