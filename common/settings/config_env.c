/*
 * config_env.c: reads a .env file into the environment.
 *
 * Promise: all of the file or nothing of it. A variable that the environment already has keeps its
 * value, even if that is empty; within the file the last line for a name counts. Nothing is
 * expanded: a dollar sign is a dollar sign. Error lines name file and line, never the text found
 * there, which may be a password. Main thread, before others start (setenv).
 *
 * A line, blanks around it and a carriage return at its end left aside:
 *   # comment, or nothing
 *   [export ]NAME=value          to the end of the line or to a '#' with a blank before it
 *   [export ]NAME='value'        as it is
 *   [export ]NAME="value"        with \n \r \t \" \\ \$
 */
#include "common/settings/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/strbuf.h"

#define FILE_MAX_BYTES (1024 * 1024)

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool is_name_char(char c, bool first)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
	       (!first && c >= '0' && c <= '9');
}

static const char *skip_blanks(const char *p, const char *end)
{
	while (p < end && is_blank(*p))
		p++;
	return p;
}

/* What a backslash and this character stand for between double quotes; NUL: nothing, both are
 * kept. */
static char unescape(char c)
{
	switch (c) {
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	case '"':
	case '\\':
	case '$':
		return c;
	default:
		return '\0';
	}
}

/* A quoted value; *p stands on the opening quote and ends behind the closing one. False: it is not
 * closed. */
static bool read_quoted(const char **p, const char *end, struct strbuf *out)
{
	char quote = *(*p)++;

	for (; *p < end && **p != quote; (*p)++) {
		char c = **p;

		if (c == '\\' && quote == '"' && *p + 1 < end && unescape((*p)[1]))
			c = unescape(*++*p);
		strbuf_addch(out, c);
	}
	if (*p == end)
		return false;
	(*p)++;
	return true;
}

static void read_plain(const char **p, const char *end, struct strbuf *out)
{
	const char *start = *p;
	const char *stop = start;

	for (; *p < end; (*p)++) {
		if (**p == '#' &&
		    is_blank((*p)[-1])) /* the line begins with a name: [-1] is in it */
			break;
		if (!is_blank(**p))
			stop = *p + 1;
	}
	strbuf_add(out, start, (size_t)(stop - start));
	*p = end;
}

static bool read_line(const char *p, const char *end, struct strbuf *out, struct err *err)
{
	if (end > p && end[-1] == '\r')
		end--;
	p = skip_blanks(p, end);
	if (p == end || *p == '#')
		return true;

	if (end - p > 7 && memcmp(p, "export", 6) == 0 && is_blank(p[6]))
		p = skip_blanks(p + 6, end);

	const char *name = p;
	while (p < end && is_name_char(*p, p == name))
		p++;
	if (p == name)
		return err_set(
			err,
			"this is neither NAME=value nor a comment; a name has letters, digits and "
			"underscores and begins with no digit");
	if (p == end || *p != '=')
		return err_set(
			err, "\"=\" must follow directly on the name; write NAME=value, or # for a "
			     "comment");
	strbuf_add(out, name, (size_t)(p - name));
	strbuf_addch(out, '\0');

	p = skip_blanks(p + 1, end);
	if (p < end && (*p == '"' || *p == '\'')) {
		if (!read_quoted(&p, end, out))
			return err_set(err, "the quote is not closed on the same line");

		const char *rest = skip_blanks(p, end);
		if (rest < end && (*rest != '#' || rest == p))
			return err_set(
				err,
				"something follows on the closing quote; quote the whole value");
	} else {
		read_plain(&p, end, out);
	}
	strbuf_addch(out, '\0');
	return true;
}

static bool read_file(const char *path, struct strbuf *out, bool *ret_exists, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	*ret_exists = fd >= 0;
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return true;
	if (fd < 0)
		return err_set(err, "%s cannot be opened (%s): make it readable or remove it", path,
			       strerror(errno));

	ssize_t n;
	do {
		n = read(fd, strbuf_reserve(out, 16384), 16384);
		if (n > 0)
			strbuf_commit(out, (size_t)n);
	} while ((n > 0 && out->len <= FILE_MAX_BYTES) || (n < 0 && errno == EINTR));
	int failure = errno;
	close(fd);

	if (n < 0)
		return err_set(err, "%s cannot be read (%s): it must be a plain file", path,
			       strerror(failure));
	if (out->len > FILE_MAX_BYTES)
		return err_set(err, "%s is longer than %d bytes: this cannot be a file of settings",
			       path, FILE_MAX_BYTES);
	return true;
}

/* The environment wins: a name it had before is marked by emptying it, before the first one is
 * set. */
static void apply(struct strbuf *found)
{
	char *end = found->data + found->len;

	for (char *name = found->data; name < end;) {
		char *value = name + strlen(name) + 1;
		char *next = value + strlen(value) + 1;

		if (getenv(name))
			memset(name, '=', strlen(name));
		name = next;
	}
	for (char *name = found->data; name < end;) {
		char *value = name + strlen(name) + 1;

		if (*name != '=' && setenv(name, value, 1) != 0)
			fatal("out of memory: %s could not be set", name);
		name = value + strlen(value) + 1;
	}
}

bool config_load_env_file(const char *path, struct err *err)
{
	AUTO_STRBUF text = STRBUF_INIT;
	AUTO_STRBUF found = STRBUF_INIT; /* name NUL value NUL, name NUL value NUL, … */
	bool exists;

	if (!read_file(path, &text, &exists, err))
		return false;
	if (!exists || text.len == 0)
		return true;

	const char *p = text.data;
	const char *end = p + text.len;
	bool good = true;

	if (text.len >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) /* byte order mark */
		p += 3;
	for (unsigned line = 1; good && p < end; line++) {
		const char *stop = memchr(p, '\n', (size_t)(end - p));

		if (!stop)
			stop = end;
		if (memchr(p, '\0', (size_t)(stop - p)))
			good = err_set(err, "there is a NUL byte: this is not a text file");
		else
			good = read_line(p, stop, &found, err);
		if (!good)
			err_prefix(err, "%s, line %u", path, line);
		p = stop + (stop < end);
	}
	if (good && found.len)
		apply(&found);
	return good;
}
