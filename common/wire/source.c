/*
 * source.c: see source.h.
 */
#include "common/wire/source.h"

#include <stdlib.h>
#include <string.h>

static size_t base_len(const char *source)
{
	return strcspn(source, "@");
}

/* 0: the first epoch. */
static unsigned long long timeline(const char *source)
{
	const char *at = source + base_len(source);
	char *end;

	if (*at != '@' || at[1] < '0' || at[1] > '9')
		return 0;
	unsigned long long n = strtoull(at + 1, &end, 10);

	return *end == '-' && end - at <= 11 ? n : 0;
}

bool source_is_related(const char *source, const char *other)
{
	return base_len(source) == base_len(other) && strncmp(source, other, base_len(source)) == 0;
}

bool source_succeeds(const char *source, const char *other)
{
	return source_is_related(source, other) && timeline(source) > timeline(other);
}

uint32_t source_hash(const char *name)
{
	uint32_t h = UINT32_C(0x811c9dc5); /* FNV-1a */

	for (; *name != '\0'; name++)
		h = (h ^ (unsigned char)*name) * UINT32_C(0x01000193);
	return h != 0 ? h : 1;
}
