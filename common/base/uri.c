/*
 * uri.c: takes the secrets out of connection strings.
 *
 * Promise: the output is put together from parts that were recognised as user, host, port and path;
 * it is never the input with something removed. Wherever a password that was not percent-encoded
 * ('@', '/', '?' or ',' inside) could have moved the borders between the parts, nothing is shown at
 * all. Pure; any thread.
 *
 * The rule for one URI:
 *   1. the scheme, letters and digits, before "://"
 *   2. what follows the first '?' or '#' is dropped; an '@' in there hides everything
 *   3. the authority ends at the first '/'; an '@' or ':' behind it hides everything
 *   4. up to the last '@' of the authority stands user[:password]; the user ends at the first ':'
 *   5. the rest are hosts with ports, separated by commas; any character that no host has hides
 *      everything
 */
#include "common/base/uri.h"

#include <string.h>

#include "common/base/strbuf.h"
#include "common/base/utf8.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Only letters, digits and the extra characters. */
static bool made_of(const char *s, size_t len, const char *extra)
{
	for (size_t i = 0; i < len; i++)
		if (!is_digit(s[i]) && !is_letter(s[i]) && (!s[i] || !strchr(extra, s[i])))
			return false;
	return true;
}

static const char *find(const char *s, size_t len, char c)
{
	for (const char *end = s + len; s < end; s++)
		if (*s == c)
			return s;
	return NULL;
}

/* ---- URIs ---- */

/* "host", "host:5432", ":5432", "[::1]:5432", or nothing. */
static bool host_is_plain(const char *s, size_t len)
{
	size_t host = 0;

	if (len && s[0] == '[') {
		const char *end = find(s, len, ']');

		if (!end || !made_of(s + 1, (size_t)(end - s) - 1, ":.%_-"))
			return false;
		host = (size_t)(end - s) + 1;
	} else {
		const char *colon = find(s, len, ':');

		host = colon ? (size_t)(colon - s) : len;
		if (!made_of(s, host, ".-_~%"))
			return false;
	}
	if (host == len)
		return true;
	if (s[host] != ':' || len - host - 1 > 5)
		return false;
	for (size_t i = host + 1; i < len; i++)
		if (!is_digit(s[i]))
			return false;
	return true;
}

static bool hosts_are_plain(const char *s, size_t len)
{
	for (;;) {
		const char *comma = find(s, len, ',');
		size_t one = comma ? (size_t)(comma - s) : len;

		if (!host_is_plain(s, one))
			return false;
		if (!comma)
			return true;
		s += one + 1;
		len -= one + 1;
	}
}

/* The length of "scheme" if s begins with "scheme://", else 0. */
static size_t scheme_length(const char *s, size_t len)
{
	size_t n = 0;

	while (n < len && (is_letter(s[n]) || is_digit(s[n])))
		n++;
	return n && len - n >= 3 && memcmp(s + n, "://", 3) == 0 ? n : 0;
}

static bool scrub_one(struct strbuf *out, const char *s, size_t len)
{
	size_t scheme = scheme_length(s, len);
	if (!scheme)
		return false;

	const char *at = s + scheme + 3;
	const char *end = s + len;

	const char *tail = at;
	while (tail < end && *tail != '?' && *tail != '#')
		tail++;
	if (find(tail, (size_t)(end - tail), '@'))
		return false;

	const char *path = find(at, (size_t)(tail - at), '/');
	if (!path)
		path = tail;
	if (!made_of(path, (size_t)(tail - path), "/._~%+$-"))
		return false;

	const char *hosts = at;
	for (const char *p = at; p < path; p++)
		if (*p == '@')
			hosts = p + 1;
	if (!hosts_are_plain(hosts, (size_t)(path - hosts)))
		return false;

	strbuf_add(out, s, scheme + 3);
	if (hosts > at) {
		size_t userinfo = (size_t)(hosts - at) - 1;
		const char *colon = find(at, userinfo, ':');
		size_t user = colon ? (size_t)(colon - at) : userinfo;

		if (!made_of(at, user, "._~%+!$&*=-"))
			return false;
		strbuf_add(out, at, user);
		strbuf_addch(out, '@');
	}
	strbuf_add(out, hosts, (size_t)(tail - hosts));
	return true;
}

/* What may begin the next entry of a list. */
static bool entry_begins(const char *s, size_t len)
{
	static const char *const known[] = { "amqp", "amqps", "postgres", "postgresql" };
	size_t n = scheme_length(s, len);

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (n == strlen(known[i]) && memcmp(s, known[i], n) == 0)
			return true;
	return false;
}

/* A list is cut only where a URI follows on the comma: other commas belong to several hosts, or to
 * a password. */
static bool scrub_list(struct strbuf *out, const char *s, size_t len)
{
	size_t start = 0;

	for (size_t i = 0; i <= len; i++) {
		size_t next = i + 1;

		if (i < len) {
			if (s[i] != ',')
				continue;
			while (next < len && s[next] == ' ')
				next++;
			if (!entry_begins(s + next, len - next))
				continue;
		}
		if (start)
			strbuf_addch(out, ',');
		if (!scrub_one(out, s + start, i - start))
			return false;
		start = next;
	}
	return true;
}

/* ---- keyword strings ---- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

static bool keyword_is_shown(const char *key, size_t len)
{
	static const char *const shown[] = {
		"host", "hostaddr", "port", "dbname", "user", "service"
	};

	for (size_t i = 0; i < ARRAY_SIZE(shown); i++)
		if (strlen(shown[i]) == len && memcmp(shown[i], key, len) == 0)
			return true;
	return false;
}

/* Reads a value as libpq does: to the next blank, or between single quotes; a backslash takes the
 * next character as it is. Returns where it ends, NULL if a quote is not closed. */
static const char *read_value(const char *p, struct strbuf *value)
{
	bool quoted = *p == '\'';

	if (quoted)
		p++;
	while (*p && (quoted ? *p != '\'' : !is_blank(*p))) {
		if (*p == '\\' && p[1])
			p++;
		strbuf_addch(value, *p++);
	}
	if (!quoted)
		return p;
	return *p == '\'' ? p + 1 : NULL;
}

/* A value that is shown must be nothing but a name: dbname may be a whole connection string of its
 * own, and a quote in the wrong place may make a password a part of it. */
static bool value_is_a_name(const struct strbuf *v)
{
	const char *s = strbuf_str(v), *end = s + v->len;

	if (strchr(s, '=') || strstr(s, "://"))
		return false;
	for (size_t n; s < end; s += n) {
		n = utf8_step(s, end);
		if (n == 0 || utf8_steers(s, n))
			return false;
	}
	return true;
}

/* As libpq would read it again. */
static void add_value(struct strbuf *out, const struct strbuf *v)
{
	bool plain = v->len > 0 && made_of(strbuf_str(v), v->len, "._~%+$:,/@-");

	if (!plain)
		strbuf_addch(out, '\'');
	for (const char *s = strbuf_str(v); *s; s++) {
		if (*s == '\'' || *s == '\\')
			strbuf_addch(out, '\\');
		strbuf_addch(out, *s);
	}
	if (!plain)
		strbuf_addch(out, '\'');
}

static bool scrub_keywords(struct strbuf *out, const char *p)
{
	AUTO_STRBUF value = STRBUF_INIT;

	for (;;) {
		while (is_blank(*p))
			p++;
		if (!*p)
			break;

		const char *key = p;
		while (is_letter(*p) || is_digit(*p) || *p == '_')
			p++;
		size_t key_len = (size_t)(p - key);
		while (is_blank(*p))
			p++;
		if (!key_len || *p++ != '=')
			return false;
		while (is_blank(*p))
			p++;

		strbuf_reset(&value);
		p = read_value(p, &value);
		if (!p || (*p && !is_blank(*p)))
			return false;
		if (!keyword_is_shown(key, key_len))
			continue;
		if (!value_is_a_name(&value))
			return false;
		if (out->len)
			strbuf_addch(out, ' ');
		strbuf_add(out, key, key_len);
		strbuf_addch(out, '=');
		add_value(out, &value);
	}
	return out->len > 0;
}

void uri_scrub(const char *uri, char *out, size_t size)
{
	AUTO_STRBUF shown = STRBUF_INIT;
	const char *text = "(hidden)";
	size_t len = strlen(uri);

	if (size == 0)
		return;
	if (len == 0)
		text = "";
	else if (scheme_length(uri, len) ? scrub_list(&shown, uri, len)
					 : scrub_keywords(&shown, uri))
		text = strbuf_str(&shown);

	size_t n = min_size(strlen(text), size - 1);
	memcpy(out, text, n);
	out[n] = '\0';
}
