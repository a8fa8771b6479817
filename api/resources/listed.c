/*
 * listed.c: see listed.h. Pure; the main thread.
 */
#include "api/resources/listed.h"

#include <stdlib.h>
#include <string.h>

#include "common/json/jscan.h"

#define NAME_MAX_BYTES 63 /* as PostgreSQL's names */
#define BLANKS	       " \t\r\n"
#define NAME_CHARACTERS                                    \
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUV" \
	"WXYZ0123456789_.-"

/* A piece of the setting. */
struct piece {
	const char *text;
	size_t len;
};
#define PIECE(p) (int)min_size((p).len, 80), (p).text

static struct piece trim(struct piece p)
{
	while (p.len > 0 && strchr(BLANKS, p.text[0]) != NULL) {
		p.text++;
		p.len--;
	}
	while (p.len > 0 && strchr(BLANKS, p.text[p.len - 1]) != NULL)
		p.len--;
	return p;
}

/* What is before the first of these characters; *rest: from that character on, empty if there is none. */
static struct piece cut(struct piece p, const char *at, struct piece *rest)
{
	size_t n = 0;

	while (n < p.len && strchr(at, p.text[n]) == NULL)
		n++;
	*rest = (struct piece){ p.text + n, p.len - n };
	return trim((struct piece){ p.text, n });
}

static struct piece behind(struct piece p)
{
	return (struct piece){ p.text + 1, p.len - 1 };
}

static bool is(struct piece p, const char *word)
{
	return strlen(word) == p.len && memcmp(p.text, word, p.len) == 0;
}

/* Of a path: what clients do not take for something else. */
static bool is_segment(struct piece p)
{
	for (size_t i = 0; i < p.len; i++)
		if (strchr(NAME_CHARACTERS, p.text[i]) == NULL)
			return false;
	return p.len > 0 && !is(p, ".") && !is(p, "..");
}

bool listed_check_prefix(const char *prefix, struct err *err)
{
	struct piece rest = { prefix, strlen(prefix) };

	if (strcmp(prefix, "/") == 0)
		return true;
	if (*prefix != '/')
		return err_set(err, "it is \"%.80s\", and must begin with /", prefix);
	while (rest.len > 0) {
		struct piece segment = behind(rest);

		segment.len = strcspn(segment.text, "/");
		rest = (struct piece){ segment.text + segment.len, rest.len - 1 - segment.len };
		if (!is_segment(segment))
			return err_set(err,
				       "\"%.80s\" is no path: between each two of its / must be "
				       "letters, digits, _, . or -, and no / at its end",
				       prefix);
	}
	return true;
}

/* ---- one resource ---- */

static bool find(const struct listed *l, struct piece name)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->resources[i].name != NULL && is(name, l->resources[i].name))
			return true;
	return false;
}

static bool read_name(const struct listed *l, struct piece name, const char *const *reserved,
		      size_t nreserved, char **ret, struct err *err)
{
	if (name.len == 0)
		return err_set(err, "a resource has no name: between two commas is nothing");
	if (!is_segment(name) || name.len > NAME_MAX_BYTES)
		return err_set(err,
			       "\"%.*s\" cannot be a resource's name: it must be 1 to 63 letters, "
			       "digits, _, . and -",
			       PIECE(name));
	for (size_t i = 0; i < nreserved; i++)
		if (is(name, reserved[i]))
			return err_set(err,
				       "\"%.*s\" cannot be a resource's name: another route has "
				       "that path. Choose another name: other=%.*s",
				       PIECE(name), PIECE(name));
	if (find(l, name))
		return err_set(err, "\"%.*s\" is there twice", PIECE(name));
	*ret = xstrndup(name.text, name.len);
	return true;
}

static bool read_identifier(struct piece p, const char *of, char **ret, struct err *err)
{
	if (p.len == 0)
		return err_set(err, "the table of \"%s\" has no name", of);
	if (p.len > NAME_MAX_BYTES)
		return err_set(err,
			       "the table of \"%s\" has a name of more than 63 bytes, which is "
			       "more than PostgreSQL's names have",
			       of);
	*ret = xstrndup(p.text, p.len);
	return true;
}

static bool read_table(struct listed_resource *r, struct piece table, struct err *err)
{
	struct piece rest, first = cut(table, ".", &rest);

	if (rest.len == 0)
		return read_identifier(first, r->name, &r->relation, err);
	return read_identifier(first, r->name, &r->schema, err) &&
	       read_identifier(trim(behind(rest)), r->name, &r->relation, err);
}

/* Whether there is a resource of each name is seen when all are there. */
static bool read_embeds(struct listed_resource *r, struct piece embeds, struct err *err)
{
	AUTO_STRBUF list = STRBUF_INIT;
	size_t n = 0;

	while (embeds.len > 0) {
		struct piece embed = cut(behind(embeds), "+", &embeds), rest;
		struct piece name = cut(embed, "!", &rest);
		struct piece column = rest.len > 0 ? trim(behind(rest)) : rest;

		if (name.len == 0 || (rest.len > 0 && column.len == 0) ||
		    column.len > NAME_MAX_BYTES)
			return err_set(err,
				       "\"%s\" has an embed without a name: write "
				       "%s+resource, or %s+resource!column",
				       r->name, r->name, r->name);
		if (++n > LISTED_EMBEDS_MAX)
			return err_set(err, "\"%s\" has more than %d embeds", r->name,
				       LISTED_EMBEDS_MAX);
		if (list.len > 0)
			strbuf_addch(&list, ',');
		strbuf_add(&list, name.text, name.len);
		if (column.len > 0)
			strbuf_addch(&list, '!');
		strbuf_add(&list, column.text, column.len);
	}
	if (n > 0)
		r->embeds = strbuf_detach(&list, NULL);
	return true;
}

static bool read_resource(struct listed *l, struct piece item, const char *const *reserved,
			  size_t nreserved, struct err *err)
{
	struct listed_resource *r = &l->resources[l->n];
	struct piece rest, embeds, table;

	*r = (struct listed_resource){ 0 };
	table = cut(item, "=+", &rest);
	if (!read_name(l, table, reserved, nreserved, &r->name, err))
		return false;
	l->n++;
	embeds = rest;
	if (rest.len > 0 && *rest.text == '=')
		table = cut(behind(rest), "+", &embeds);
	return read_table(r, table, err) && read_embeds(r, embeds, err);
}

/* ---- all of them ---- */

/* Each embed is a resource, and none comes twice. */
static bool check_embeds(const struct listed *l, const struct listed_resource *r, struct err *err)
{
	struct piece rest = { r->embeds, strlen(r->embeds) };
	const char *begin = rest.text;

	for (;;) {
		struct piece column, before = { r->embeds, (size_t)(begin - r->embeds) };
		struct piece embed = cut(rest, ",", &rest);
		struct piece name = cut(embed, "!", &column);

		if (!find(l, name))
			return err_set(err,
				       "\"%s\" embeds \"%.*s\", which is no resource: list it too",
				       r->name, PIECE(name));
		while (before.len > 0) {
			struct piece earlier = cut(before, ",", &before);

			if (earlier.len == embed.len &&
			    memcmp(earlier.text, embed.text, embed.len) == 0)
				return err_set(err, "\"%s\" embeds \"%.*s\" twice", r->name,
					       PIECE(embed));
			if (before.len > 0)
				before = behind(before);
		}
		if (rest.len == 0)
			return true;
		rest = behind(rest);
		begin = rest.text;
	}
}

static size_t count(const char *text)
{
	size_t n = 1;

	for (; (text = strchr(text, ',')) != NULL; text++)
		n++;
	return n;
}

bool listed_read(struct listed *ret, const char *text, const char *const *reserved,
		 size_t nreserved, struct err *err)
{
	struct piece rest = trim((struct piece){ text, strlen(text) });
	struct listed l = { 0 };
	bool ok = true;

	l.resources = xcalloc(count(text), sizeof(*l.resources));
	while (ok && rest.len > 0) {
		struct piece item = cut(rest, ",", &rest);

		ok = read_resource(&l, item, reserved, nreserved, err);
		if (ok && rest.len == 1)
			ok = err_set(err, "the list ends with a comma");
		if (rest.len > 0)
			rest = behind(rest);
	}
	for (size_t i = 0; ok && i < l.n; i++)
		ok = l.resources[i].embeds == NULL || check_embeds(&l, &l.resources[i], err);
	if (ok)
		*ret = l;
	else
		listed_clear(&l);
	return ok;
}

void listed_clear(struct listed *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->resources[i].name);
		free(l->resources[i].schema);
		free(l->resources[i].relation);
		free(l->resources[i].embeds);
	}
	free(l->resources);
	*l = (struct listed){ 0 };
}

const struct listed_resource *listed_find(const struct listed *l, const char *name, size_t len)
{
	for (size_t i = 0; i < l->n; i++) {
		const char *other = l->resources[i].name;

		if (strlen(other) == len && memcmp(other, name, len) == 0)
			return &l->resources[i];
	}
	return NULL;
}

static void add_member(struct strbuf *out, const char *name, const char *value)
{
	strbuf_addstr(out, name);
	if (value != NULL)
		jscan_write_string(out, value, strlen(value));
	else
		strbuf_addstr(out, "null");
}

void listed_json(struct strbuf *out, const struct listed *l)
{
	strbuf_addch(out, '[');
	for (size_t i = 0; i < l->n; i++) {
		add_member(out, i == 0 ? "{\"name\":" : ",{\"name\":", l->resources[i].name);
		add_member(out, ",\"schema\":", l->resources[i].schema);
		add_member(out, ",\"relation\":", l->resources[i].relation);
		strbuf_addch(out, '}');
	}
	strbuf_addch(out, ']');
}
