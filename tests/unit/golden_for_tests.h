/*
 * golden_for_tests.h: a text must be the file in tests/unit/golden/, byte by byte. With UPDATE_GOLDEN set in
 * the environment the files are written anew; then read the diff. Tests run in the root of the repository.
 */
#ifndef PGFANOUT_TESTS_UNIT_GOLDEN_FOR_TESTS_H
#define PGFANOUT_TESTS_UNIT_GOLDEN_FOR_TESTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/strbuf.h"

#define GOLDEN "tests/unit/golden/"

static inline void read_file(const char *path, struct strbuf *out)
{
	FILE *f = fopen(path, "r");
	size_t n;

	if (f == NULL)
		fail_msg("%s cannot be read; UPDATE_GOLDEN=1 makes it", path);
	do {
		char *to = strbuf_reserve(out, 4096);
		n = fread(to, 1, 4096, f);
		strbuf_commit(out, n);
	} while (n > 0);
	fclose(f);
}

static inline void write_file(const char *path, const struct strbuf *text)
{
	FILE *f = fopen(path, "w");

	if (f == NULL || fwrite(text->data, 1, text->len, f) != text->len || fclose(f) != 0)
		fail_msg("%s cannot be written", path);
}

static inline size_t line_of(const char *text, size_t at)
{
	size_t line = 1;

	for (size_t i = 0; i < at; i++)
		line += text[i] == '\n';
	return line;
}

static inline void check_golden(const char *name, const struct strbuf *got)
{
	AUTO_STRBUF want = STRBUF_INIT;
	char path[100];
	size_t same = 0;

	snprintf(path, sizeof(path), GOLDEN "%s.sql", name);
	if (getenv("UPDATE_GOLDEN") != NULL) {
		write_file(path, got);
		return;
	}
	read_file(path, &want);
	while (same < got->len && same < want.len && got->data[same] == want.data[same])
		same++;
	if (same < got->len || same < want.len)
		fail_msg("%s:%zu: here it is \"%.60s\"; UPDATE_GOLDEN=1 writes the file anew", path,
			 line_of(got->data, same), got->data + same);
}

#endif
