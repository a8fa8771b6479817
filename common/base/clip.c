/*
 * clip.c: see clip.h. Any thread.
 */
#include "common/base/clip.h"

#include <string.h>

#include "common/base/utf8.h"

void clip_text(char *out, size_t size, const char *s)
{
	const char *end = s + strlen(s);
	size_t n = 0;

	while (s < end) {
		size_t valid = utf8_step(s, end), take = valid > 0 ? valid : 1;
		if (n + take >= size)
			break;
		memcpy(out + n, s, take);
		if (valid == 0)
			out[n] = '?';
		else if ((unsigned char)*s < 0x20 || *s == 0x7f)
			out[n] = ' ';
		n += take;
		s += take;
	}
	out[n] = '\0';
}
