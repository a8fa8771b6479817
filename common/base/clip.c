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
		bool plain = valid > 0 && !utf8_steers(s, valid);
		size_t len = plain ? take : 1;
		if (n + len >= size)
			break;
		if (plain)
			memcpy(out + n, s, len);
		else
			out[n] = valid > 0 ? ' ' : '?';
		n += len;
		s += take;
	}
	out[n] = '\0';
}
