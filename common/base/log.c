/*
 * log.c: makes one line of an event and writes it to stderr.
 *
 * Promise: whatever the values hold, the result is exactly one line that can be taken apart again:
 * in text every value that is more than a plain word is quoted, in JSON the line is a valid object
 * of valid UTF-8, and no control character reaches a terminal. A line is at most PIPE_BUF bytes and
 * goes out in one write(2), so lines of several threads never mix, not even in a pipe. To stay
 * within it a long value is cut (it then ends in "..."), and pairs that still find no room are left
 * out and truncated=true is said instead.
 *
 * Level, format and program are set before the first thread starts and do not change. Any thread;
 * no lock, no allocation, errno is kept.
 */
#include "common/base/log.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/utf8.h"

#define LINE_MAX_BYTES	PIPE_BUF
#define VALUE_MAX_BYTES 1024 /* a value as it is written, escapes included */
#define TAIL_BYTES	32   /* kept free for the truncated mark and the end of the line */

static const char *const level_names[] = { "error", "warn", "info", "debug" };

/* Immutable after log_init. */
static const char *program = "pgfanout";
static enum log_level threshold = LOG_INFO;
static bool as_json;

static _Thread_local char thread_name[32];

struct line {
	char text[LINE_MAX_BYTES];
	size_t len;
	size_t end;    /* what is written must end before */
	bool overflow; /* something did not fit; len is where it began */
};

/* ---- pieces ---- */

/* All of it or nothing. */
static void put(struct line *l, const char *p, size_t n)
{
	if (l->overflow || n > l->end - l->len) {
		l->overflow = true;
		return;
	}
	memcpy(l->text + l->len, p, n);
	l->len += n;
}

static void put_str(struct line *l, const char *s)
{
	put(l, s, strlen(s));
}

static void put_int(struct line *l, int64_t v)
{
	char digits[24];
	int n = snprintf(digits, sizeof(digits), "%lld", (long long)v);

	put(l, digits, (size_t)n);
}

/* Writes one character of s to out (8 bytes), escaped if it must be, and returns how many bytes of
 * s it was.
 *
 *   invalid byte          text \xff      JSON U+FFFD
 *   control character     text \n, \x1b  JSON \n, \u001b
 *   quote and backslash   a backslash before it, where the value is quoted
 *
 * What utf8_steers() names beyond ASCII is a control character too: terminals obey it. */
static size_t escape(const char *s, const char *end, bool quoted, char *out, size_t *ret_len)
{
	unsigned char c = (unsigned char)*s;
	size_t n = utf8_step(s, end);
	const char *short_form = c == '\n' ? "\\n" : c == '\t' ? "\\t" : c == '\r' ? "\\r" : NULL;

	if (n == 0) {
		n = 1;
		*ret_len = (size_t)(as_json ? snprintf(out, 8, "\xef\xbf\xbd")
					    : snprintf(out, 8, "\\x%02x", c));
	} else if (short_form) {
		*ret_len = (size_t)snprintf(out, 8, "%s", short_form);
	} else if (c < ' ' || c == 0x7f) {
		*ret_len = (size_t)snprintf(out, 8, as_json ? "\\u%04x" : "\\x%02x", c);
	} else if (utf8_steers(s, n)) {
		*ret_len = (size_t)snprintf(out, 8, "\\u%04x", (unsigned)utf8_code(s, n));
	} else if (quoted && (c == '"' || c == '\\')) {
		out[0] = '\\';
		out[1] = *s;
		*ret_len = 2;
	} else {
		memcpy(out, s, n);
		*ret_len = n;
	}
	return n;
}

static void put_escaped(struct line *l, const char *s, bool quoted)
{
	const char *end = s + strlen(s);
	size_t room = VALUE_MAX_BYTES;

	while (s < end) {
		char piece[8];
		size_t len;

		s += escape(s, end, quoted, piece, &len);
		if (len + strlen("...") > room) {
			put_str(l, "...");
			return;
		}
		put(l, piece, len);
		room -= len;
	}
}

static void put_quoted(struct line *l, const char *s)
{
	put_str(l, "\"");
	put_escaped(l, s, true);
	put_str(l, "\"");
}

/* A plain word stands for itself in text. */
static bool needs_quotes(const char *s)
{
	const char *end = s + strlen(s);

	if (s == end)
		return true;
	while (s < end) {
		unsigned char c = (unsigned char)*s;
		size_t n = utf8_step(s, end);

		if (n == 0 || c <= ' ' || c == 0x7f || c == '"' || c == '\\' || c == '=')
			return true;
		if (utf8_steers(s, n) || (c == 0xc2 && (unsigned char)s[1] == 0xa0))
			return true;
		s += n;
	}
	return false;
}

static void put_time(struct line *l)
{
	char text[CLOCK_TIMESTAMP_MAX];

	clock_format_wall(wall_now_us(), text);
	put(l, text, strlen("2026-01-31T12:00:00.123"));
	put_str(l, "Z");
}

/* ---- lines ---- */

static void put_head_text(struct line *l, enum log_level level, const char *message)
{
	put_time(l);
	put_str(l, " ");
	put_str(l, level_names[level]);
	put_str(l, " ");
	put_str(l, program);
	put_str(l, " ");
	put_str(l, thread_name[0] ? thread_name : "-");
	put_str(l, " ");
	put_escaped(l, message, false);
}

static void put_head_json(struct line *l, enum log_level level, const char *message)
{
	put_str(l, "{\"time\":\"");
	put_time(l);
	put_str(l, "\",\"level\":\"");
	put_str(l, level_names[level]);
	put_str(l, "\",\"program\":");
	put_quoted(l, program);
	if (thread_name[0]) {
		put_str(l, ",\"thread\":");
		put_quoted(l, thread_name);
	}
	put_str(l, ",\"message\":");
	put_quoted(l, message);
}

static void put_pair(struct line *l, const struct log_kv *kv)
{
	if (as_json) {
		put_str(l, ",");
		put_quoted(l, kv->key);
		put_str(l, ":");
	} else {
		put_str(l, " ");
		put_str(l, kv->key);
		put_str(l, "=");
	}

	if (!kv->str)
		put_int(l, kv->num);
	else if (as_json || needs_quotes(kv->str))
		put_quoted(l, kv->str);
	else
		put_escaped(l, kv->str, false);
}

static void write_out(const char *p, size_t n)
{
	/* A short write happens only where the disk is full or a signal came in: then the rest is
	 * worth more than the promise that nothing comes between. A log that cannot be written
	 * stops nobody. */
	while (n > 0) {
		ssize_t done = write(STDERR_FILENO, p, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return;
		p += done;
		n -= (size_t)done;
	}
}

void log_write(enum log_level level, const char *message, const struct log_kv *kv, size_t n)
{
	int saved_errno = errno;
	bool truncated = false;
	struct line l; /* text is left as it is: nothing behind len is ever read */

	l.len = 0;
	l.end = sizeof(l.text) - TAIL_BYTES;
	l.overflow = false;
	if (as_json)
		put_head_json(&l, level, message);
	else
		put_head_text(&l, level, message);

	for (size_t i = 0; i < n; i++) {
		size_t before = l.len;

		put_pair(&l, &kv[i]);
		if (l.overflow) {
			l.len = before;
			l.overflow = false;
			truncated = true;
		}
	}

	l.end = sizeof(l.text);
	if (truncated)
		put_str(&l, as_json ? ",\"truncated\":true" : " truncated=true");
	put_str(&l, as_json ? "}\n" : "\n");
	write_out(l.text, l.len);
	errno = saved_errno;
}

/* ---- settings ---- */

bool log_init(const char *name, const char *level, const char *format)
{
	size_t found = 0;

	while (found < ARRAY_SIZE(level_names) && strcmp(level, level_names[found]) != 0)
		found++;
	if (found == ARRAY_SIZE(level_names))
		return false;
	if (strcmp(format, "json") != 0 && strcmp(format, "text") != 0)
		return false;

	program = name;
	threshold = (enum log_level)found;
	as_json = strcmp(format, "json") == 0;
	log_thread("main");
	return true;
}

void log_thread(const char *name)
{
	snprintf(thread_name, sizeof(thread_name), "%s", name);
}

bool log_enabled(enum log_level level)
{
	return level <= threshold;
}
