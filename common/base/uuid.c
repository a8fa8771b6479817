/*
 * uuid.c: UUIDs: printed by libuuid, read and made here.
 *
 * Read here because uuid_parse_range() takes 170 ns, ten times as long, and a program reads each
 * id: that was a tenth of all that a change costs the consumer. Made here because libuuid knows no
 * version 7, and because its random numbers cost 1.8 us an id: ours come from the kernel in blocks,
 * one block a thread, for less than 0.1 us. Any thread.
 */
#include "common/base/uuid.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <uuid/uuid.h>

#include "common/base/clock.h"

/* 16 + value of a hex digit, 0 of any other byte: one test of bit 4 tells both digits of a byte. */
#define D(c, v) [c] = 16 + (v)
static const uint8_t hex_value[256] = {
	D('0', 0),  D('1', 1),	D('2', 2),  D('3', 3),	D('4', 4),  D('5', 5),
	D('6', 6),  D('7', 7),	D('8', 8),  D('9', 9),	D('a', 10), D('b', 11),
	D('c', 12), D('d', 13), D('e', 14), D('f', 15), D('A', 10), D('B', 11),
	D('C', 12), D('D', 13), D('E', 14), D('F', 15),
};
#undef D

bool uuid_from_text(const char *s, size_t len, struct uuid *ret)
{
	/* Where the two digits of each byte stand in the text. */
	static const uint8_t text_at[] = {
		0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34
	};
	struct uuid u;
	unsigned good = 16;

	if (len != UUID_TEXT_LEN || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-')
		return false;
	for (size_t i = 0; i < sizeof(u.b); i++) {
		unsigned high = hex_value[(unsigned char)s[text_at[i]]];
		unsigned low = hex_value[(unsigned char)s[text_at[i] + 1]];

		good &= high & low;
		u.b[i] = (uint8_t)((high & 15) << 4 | (low & 15));
	}
	if (!good)
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
