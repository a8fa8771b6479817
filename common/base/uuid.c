/*
 * uuid.c: UUIDs: read and printed by libuuid, made here.
 *
 * Made here because libuuid knows no version 7, and because its random numbers cost 1.8 us an id:
 * ours come from the kernel in blocks, one block a thread, for less than 0.1 us. Any thread.
 */
#include "common/base/uuid.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <uuid/uuid.h>

#include "common/base/clock.h"

bool uuid_from_text(const char *s, size_t len, struct uuid *ret)
{
	struct uuid u;

	if (len != UUID_TEXT_LEN || uuid_parse_range(s, s + len, u.b) != 0)
		return false;
	*ret = u;
	return true;
}

void uuid_to_text(const struct uuid *u, char *out)
{
	char text[UUID_TEXT_LEN + 1];

	uuid_unparse_lower(u->b, text);
	memcpy(out, text, UUID_TEXT_LEN);
}

/* getrandom() gives 256 bytes always as a whole, and no signal interrupts it. */
static void random_bytes(uint8_t *out, size_t n)
{
	static _Thread_local uint8_t pool[256];
	static _Thread_local size_t left;

	if (left < n) {
		if (getrandom(pool, sizeof(pool), 0) != sizeof(pool))
			fatal("the kernel gives no random numbers: %s", strerror(errno));
		left = sizeof(pool);
	}
	left -= n;
	memcpy(out, pool + left, n);
}

/* RFC 9562, version 7: 48 bits of milliseconds since 1970, then 74 random bits around version and
 * variant. */
void uuid_make(struct uuid *ret)
{
	uint64_t ms = (uint64_t)(wall_now_us() / 1000);

	random_bytes(ret->b + 6, sizeof(ret->b) - 6);
	for (size_t i = 0; i < 6; i++)
		ret->b[i] = (uint8_t)(ms >> (40 - 8 * i));
	ret->b[6] = (uint8_t)(0x70 | (ret->b[6] & 0x0f));
	ret->b[8] = (uint8_t)(0x80 | (ret->b[8] & 0x3f));
}
