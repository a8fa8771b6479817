/*
 * table_names.c: see table_names.h.
 */
#include "common/wire/table_names.h"

#include <string.h>

static bool begins_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80) != 0;
}

static bool goes_on(char c)
{
	return begins_name(c) || (c >= '0' && c <= '9') || c == '$';
}

static const char *skip_blanks(const char *p)
{
	return p + strspn(p, " \t\r\n");
}

/* Within an element of an array, which is in quotes itself. */
static void add(struct strbuf *out, char c)
{
	if (c == '"' || c == '\\')
		strbuf_addch(out, '\\');
	strbuf_addch(out, c);
}

/* One word, from *p on, which is moved behind it. */
static bool take_word(struct strbuf *out, const char **p)
{
	const char *s = *p;
	size_t n = 0;

	add(out, '"');
	if (*s == '"') {
		for (s++; *s != '\0' && (*s != '"' || s[1] == '"'); s++, n++) {
			add(out, *s);
			if (*s == '"')
				add(out, *s++);
		}
		if (*s++ != '"')
			return false;
	} else if (begins_name(*s)) {
		for (; goes_on(*s); s++, n++)
			add(out, *s >= 'A' && *s <= 'Z' ? (char)(*s - 'A' + 'a') : *s);
	}
	add(out, '"');
	*p = s;
	return n > 0;
}

/* One table. */
static bool take_name(struct strbuf *out, const char **p, bool stars)
{
	strbuf_addch(out, '"');
	if (!take_word(out, p))
		return false;
	*p = skip_blanks(*p);
	if (**p == '.') {
		strbuf_addch(out, '.');
		*p = skip_blanks(*p + 1);
		if (stars && **p == '*') {
			strbuf_addch(out, '*');
			++*p;
		} else if (!take_word(out, p)) {
			return false;
		}
		*p = skip_blanks(*p);
	}
	strbuf_addch(out, '"');
	return **p == ',' || **p == '\0';
}

bool table_names_array(struct strbuf *out, const char *list, bool stars, struct err *err)
{
	const char *p = skip_blanks(list);

	strbuf_addch(out, '{');
	while (*p != '\0') {
		const char *begin = p;

		if (!take_name(out, &p, stars))
			return err_set(
				err,
				"%.100s is no table's name: write it as in SQL, schema.table or "
				"table, with double quotes where it has capitals%s",
				begin, stars ? ", or schema.* for all of a schema" : "");
		if (*p == '\0')
			break;
		strbuf_addch(out, ',');
		p = skip_blanks(p + 1);
		if (*p == '\0')
			return err_set(err, "the list of tables ends with a comma");
	}
	strbuf_addch(out, '}');
	return true;
}
