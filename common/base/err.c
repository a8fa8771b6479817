/*
 * err.c: writes and extends the one line that explains a failure.
 *
 * Promise: the text is one line without control characters, NUL-terminated, and where it had to be
 * cut it is not cut inside a character. The arguments may point into the same struct err. Pure; any
 * thread, one owner.
 */
#include "common/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/utf8.h"

/* Fills a buffer as large as err->text, from there and back, since the arguments may live in
 * err->text. */
static void PRINTF_LIKE(3, 0) format_line(char *line, size_t size, const char *fmt, va_list ap)
{
	int n = vsnprintf(line, size, fmt, ap);

	if (n < 0)
		line[0] = '\0';
	else if ((size_t)n >= size)
		line[utf8_whole(line, size - 1)] = '\0';
	utf8_plain(line);
}

bool err_set(struct err *err, const char *fmt, ...)
{
	char line[sizeof(err->text)];
	va_list ap;

	va_start(ap, fmt);
	format_line(line, sizeof(line), fmt, ap);
	va_end(ap);

	memcpy(err->text, line, strlen(line) + 1);
	err->shown[0] = '\0';
	err->sqlstate[0] = '\0';
	err->schema[0] = err->table[0] = err->column[0] = err->constraint[0] = '\0';
	err->parameter = 0;
	err->of_values = err->of_row = false;
	return false;
}

void err_show(struct err *err, const char *fmt, ...)
{
	char line[sizeof(err->shown)];
	va_list ap;

	va_start(ap, fmt);
	format_line(line, sizeof(line), fmt, ap);
	va_end(ap);
	memcpy(err->shown, line, strlen(line) + 1);
}

const char *err_shown(const struct err *err)
{
	return err->shown[0] ? err->shown : err->text;
}

bool err_prefix(struct err *err, const char *fmt, ...)
{
	char line[sizeof(err->text)];
	va_list ap;

	va_start(ap, fmt);
	format_line(line, sizeof(line), fmt, ap);
	va_end(ap);

	/* The prefix is kept whole; what was there gives way at its end. */
	size_t at = strlen(line);
	size_t room = sizeof(line) - at;
	int n = snprintf(line + at, room, ": %s", err->text);
	if (n >= 0 && (size_t)n >= room)
		line[utf8_whole(line, sizeof(line) - 1)] = '\0';
	memcpy(err->text, line, strlen(line) + 1);
	return false;
}
