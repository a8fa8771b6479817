/*
 * query_text.c: the texts of a URL: %XX resolved and checked, lists taken apart, and how names of a request
 * stand in our sentences.
 *
 * Promise: what query_decode() lets through is valid UTF-8 without NUL and not too long; a fault's field and
 * words are valid UTF-8 in one line, whatever the request held. Pure; any thread.
 */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/resources/query_private.h"
#include "common/base/clip.h"
#include "common/base/utf8.h"

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static const char too_long[] = "is longer than 4096 bytes";
static_assert(QUERY_VALUE_MAX == 4096, "too_long says it");

static bool because(const char **ret_why, const char *why)
{
	*ret_why = why;
	return false;
}

bool query_decode(const char *s, size_t len, bool plus, struct strbuf *ret, const char **ret_why)
{
	/* Three bytes make one. */
	if (len > (size_t)3 * QUERY_VALUE_MAX)
		return because(ret_why, too_long);
	for (size_t i = 0; i < len; i++) {
		char c = s[i];

		if (c == '%') {
			int high = i + 2 < len ? hex(s[i + 1]) : -1;
			int low = i + 2 < len ? hex(s[i + 2]) : -1;

			if (high < 0 || low < 0)
				return because(ret_why,
					       "has a % without two hexadecimal digits behind it");
			c = (char)(high << 4 | low);
			i += 2;
		} else if (plus && c == '+') {
			c = ' ';
		}
		strbuf_addch(ret, c);
	}
	if (ret->len > QUERY_VALUE_MAX)
		return because(ret_why, too_long);
	if (!utf8_valid(strbuf_str(ret), ret->len, NULL))
		return because(ret_why, "is not UTF-8, or has a NUL");
	return true;
}

/* ---- lists ---- */

void query_list_init(struct query_list *l, const char *s, size_t len)
{
	*l = (struct query_list){ .at = s, .end = s + len, .begun = false };
}

/* l->at is behind the opening quote. */
static enum query_item read_quoted(struct query_list *l, struct strbuf *ret)
{
	for (; l->at < l->end; l->at++) {
		if (*l->at == '"') {
			l->at++;
			return l->at == l->end || *l->at == ',' ? QUERY_ITEM : QUERY_ITEM_BAD;
		}
		if (*l->at == '\\' && l->at + 1 < l->end && (l->at[1] == '"' || l->at[1] == '\\'))
			l->at++;
		strbuf_addch(ret, *l->at);
	}
	return QUERY_ITEM_BAD;
}

enum query_item query_list_next(struct query_list *l, struct strbuf *ret, bool *ret_quoted,
				char *ret_sign)
{
	strbuf_reset(ret);
	if (l->begun && l->at == l->end)
		return QUERY_ITEMS_END;
	if (l->begun)
		l->at++; /* the comma */
	l->begun = true;
	if (ret_sign != NULL) {
		*ret_sign = 0;
		if (l->at < l->end && strchr("+- ", *l->at) != NULL)
			*ret_sign = *l->at++;
	}
	*ret_quoted = l->at < l->end && *l->at == '"';
	if (*ret_quoted) {
		l->at++;
		return read_quoted(l, ret);
	}
	const char *comma = memchr(l->at, ',', (size_t)(l->end - l->at));
	const char *end = comma != NULL ? comma : l->end;
	strbuf_add(ret, l->at, (size_t)(end - l->at));
	l->at = end;
	return QUERY_ITEM;
}

/* ---- words ---- */

struct query_shown query_show(const char *name)
{
	struct query_shown shown = { "" };

	clip_text(shown.text, sizeof(shown.text), name);
	if (strlen(name) >= sizeof(shown.text) &&
	    strlen(shown.text) > sizeof(shown.text) - sizeof("…")) {
		size_t end = utf8_whole(shown.text, sizeof(shown.text) - sizeof("…"));

		memcpy(shown.text + end, "…", sizeof("…"));
	}
	return shown;
}

bool query_refuse(struct query_fault *fault, const char *field, const char *fmt, ...)
{
	char line[sizeof(fault->err.text)], name[sizeof(fault->field)];
	va_list ap;

	clip_text(name, sizeof(name), field);
	va_start(ap, fmt);
	int n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (n < 0)
		line[0] = '\0';
	else if ((size_t)n >= sizeof(line))
		line[utf8_whole(line, sizeof(line) - 1)] = '\0';
	memcpy(fault->field, name, sizeof(name));
	return err_set(&fault->err, "%s", line);
}
