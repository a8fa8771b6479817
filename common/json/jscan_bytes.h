/*
 * jscan_bytes.h: how jscan.c and jscan_text.c look at bytes: eight at a time, and four hex digits.
 *
 * Private to these two. Nothing here reads at or behind `end`. Pure.
 */
#ifndef PGFANOUT_COMMON_JSON_JSCAN_BYTES_H
#define PGFANOUT_COMMON_JSON_JSCAN_BYTES_H

#include "common/base/base.h"

#include <endian.h>
#include <string.h>

#define JSCAN_EVERY(byte) (UINT64_C(0x0101010101010101) * (byte))
#define JSCAN_HIGH	  JSCAN_EVERY(0x80)

/* The first byte is the lowest, on every machine. */
static inline uint64_t jscan_load8(const char *p)
{
	uint64_t w;
	memcpy(&w, p, sizeof(w));
	return le64toh(w);
}

/* Bit 7 of every byte that is zero. Borrows make false marks only above a true one: the lowest mark
 * is always right. */
static inline uint64_t jscan_zeros(uint64_t w)
{
	return (w - JSCAN_EVERY(1)) & ~w & JSCAN_HIGH;
}

/* Where a run of plain characters ends: at a quote, a backslash or a control character; with ascii
 * also at a byte above 0x7f. */
static inline const char *jscan_run_end(const char *p, const char *end, bool ascii)
{
	for (; end - p >= 8; p += 8) {
		uint64_t w = jscan_load8(p);
		uint64_t marks = jscan_zeros(w ^ JSCAN_EVERY('"')) |
				 jscan_zeros(w ^ JSCAN_EVERY('\\')) |
				 ((w - JSCAN_EVERY(0x20)) & ~w & JSCAN_HIGH) |
				 (ascii ? w & JSCAN_HIGH : 0);
		if (marks != 0)
			return p + (__builtin_ctzll(marks) >> 3);
	}
	for (; p < end; p++) {
		unsigned char c = (unsigned char)*p;
		if (c < 0x20 || c == '"' || c == '\\' || (ascii && c >= 0x80))
			break;
	}
	return p;
}

/* Four hex digits as a number; -1 if they are not. */
static inline int32_t jscan_hex4(const char *p, const char *end)
{
	int32_t v = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		unsigned char c = (unsigned char)p[i];
		if (c >= '0' && c <= '9')
			v = v * 16 + (c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			v = v * 16 + ((c | 0x20) - 'a' + 10);
		else
			return -1;
	}
	return v;
}

#endif
