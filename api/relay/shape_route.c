/*
 * shape_route.c: see shape_route.h. Pure; the relay's thread.
 *
 * A routing key is a list of words with dots between them, so a dot in a name is written %2E; and so are
 * the characters that mean something in bindings, and the % itself.
 */
#include "api/relay/shape_route.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json/jscan.h"
#include "common/wire/stream.h"

struct shape_route *shape_route_new(int32_t shape)
{
	struct shape_route *r = xcalloc(1, sizeof(*r));

	r->shape = shape;
	return r;
}

void shape_route_free(struct shape_route *r)
{
	if (!r)
		return;
	strbuf_clear(&r->head);
	row_body_free(r->body);
	free(r->description);
	free(r);
}

static void add_word(struct strbuf *key, const char *name)
{
	for (const char *p = name; *p; p++) {
		if (strchr(".*#%", *p))
			strbuf_addf(key, "%%%02X", (unsigned)*p);
		else
			strbuf_addch(key, *p);
	}
}

/* <schema>.<table>.<kind>, or the stream's name in front of it. */
static void write_key(char *ret, const char *stream, const char *schema, const char *name,
		      const char *kind)
{
	AUTO_STRBUF key = STRBUF_INIT;

	if (stream) {
		strbuf_addstr(&key, stream);
	} else {
		add_word(&key, schema);
		strbuf_addch(&key, '.');
		add_word(&key, name);
	}
	strbuf_addf(&key, ".%s", kind);
	snprintf(ret, ROUTE_KEY_MAX, "%s", strbuf_str(&key));
}

static void set(struct shape_route *r, const struct table *t)
{
	r->flat = t->flat;
	for (int kind = CHANGE_SYNC; kind <= CHANGE_DELETE; kind++)
		write_key(r->keys[kind], t->flat ? t->stream : NULL, t->schema, t->name,
			  change_kind_name((enum change_kind)kind));
	write_key(r->truncate_key, NULL, t->schema, t->name, CHANGE_TRUNCATE_KIND);
	strbuf_reset(&r->head);
	strbuf_addstr(&r->head, "{\"table\":");
	jscan_write_string(&r->head, t->full, strlen(t->full));
	strbuf_addstr(&r->head, ",\"version\":");
	row_body_free(r->body);
	r->body = row_body_new(t);
}

bool shape_route_set(struct shape_route *r, const char *description, struct err *err)
{
	struct table *t = table_read(r->shape, description, err);

	if (t == NULL)
		return false;
	set(r, t);
	r->last = t->dropped;
	table_free(t);
	free(r->description);
	r->description = xstrdup(description);
	r->known = true;
	return true;
}

static void write_body(const struct shape_route *r, struct strbuf *out, enum change_kind kind,
		       const char *body, size_t len, bool large)
{
	if (large)
		row_body_write_large(r->body, out, body, len);
	else
		row_body_write(r->body, out, kind, body, len);
}

static void write_change(const struct shape_route *r, struct strbuf *out, enum change_kind kind,
			 int64_t version, const char *body, size_t len, bool large)
{
	if (r->flat) {
		/* There is no TRUNCATE of it, but by hand. */
		write_body(r, out, kind, body != NULL ? body : "", len, large);
		strbuf_add(out, ",\"version\":", 11);
		strbuf_addint(out, version);
		strbuf_addch(out, '}');
		return;
	}
	strbuf_add(out, r->head.data, r->head.len);
	strbuf_addint(out, version);
	if (body != NULL) {
		strbuf_addstr(out, kind == CHANGE_SYNC ? ",\"row\":" : ",\"key\":");
		write_body(r, out, kind, body, len, large);
		strbuf_addch(out, '}');
	}
	strbuf_addch(out, '}');
}

void shape_route_write(const struct shape_route *r, struct strbuf *out, enum change_kind kind,
		       int64_t version, const char *body, size_t len)
{
	write_change(r, out, kind, version, body, len, false);
}

void shape_route_write_large(const struct shape_route *r, struct strbuf *out, int64_t version,
			     const char *body, size_t len)
{
	write_change(r, out, CHANGE_SYNC, version, body, len, true);
}
