/*
 * row_body.c: see row_body.h. Pure; the relay's thread.
 *
 * This is done for each change, so what can be made before is: the names, with their colons. Numbers and
 * jsonb are copied: PostgreSQL writes them as JSON does, but for NaN and infinities.
 */
#include "api/relay/row_body.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/uuid.h"
#include "common/json/jscan.h"
#include "common/pg/pgarray.h"

/* Longer than the 63 bytes of a column's name. */
#define MALFORMED \
	"\"this record of pgfanout.outbox cannot be read to its end; what stands before is of it\":true"
#define TOO_LARGE \
	"\"the row is too large for a message: run reset-replicas --repair (it was not sent)\":true"

struct member {
	enum table_form form;
	bool key;
	bool sure;	    /* it is never NULL */
	struct strbuf name; /* "name": */
};

struct row_body {
	struct member *members; /* in the order of pgfanout.recorded() */
	size_t n;
};

struct slice {
	const char *at, *end;
};

static void add_member(struct row_body *b, const struct table *t, const struct table_column *c)
{
	struct member *m = &b->members[b->n++];

	m->form = c->form;
	m->key = c->key >= 0;
	m->sure = c->not_null && (m->key || t->flat);
	jscan_write_string(&m->name, c->member, strlen(c->member));
	strbuf_addch(&m->name, ':');
}

struct row_body *row_body_new(const struct table *t)
{
	struct row_body *b = xcalloc(1, sizeof(*b));

	b->members = xcalloc(t->ncolumns, sizeof(*b->members));
	add_member(b, t, &t->columns[t->key[0]]);
	for (size_t i = 0; i < t->ncolumns; i++)
		if (i != t->key[0])
			add_member(b, t, &t->columns[i]);
	return b;
}

struct row_body *row_body_free(struct row_body *b)
{
	if (b == NULL)
		return NULL;
	for (size_t i = 0; i < b->n; i++)
		strbuf_clear(&b->members[i].name);
	free(b->members);
	free(b);
	return NULL;
}

/* ---- reading ---- */

static bool take(struct slice *rest, size_t n, struct slice *ret)
{
	if ((size_t)(rest->end - rest->at) < n)
		return false;
	*ret = (struct slice){ rest->at, rest->at + n };
	rest->at += n;
	return true;
}

static bool take_text(struct slice *rest, struct slice *ret)
{
	const char *nul = rest->at < rest->end
				  ? memchr(rest->at, '\0', (size_t)(rest->end - rest->at))
				  : NULL;

	if (nul == NULL)
		return false;
	*ret = (struct slice){ rest->at, nul };
	rest->at = nul + 1;
	return true;
}

enum taken { TAKEN, TAKEN_NULL, NOT_THERE };

static enum taken take_value(const struct member *m, struct slice *rest, struct slice *ret)
{
	static const size_t sizes[TABLE_FORMS] = { [TABLE_BOOLEAN] = 1,
						   [TABLE_INT4] = 4,
						   [TABLE_INT8] = 8,
						   [TABLE_UUID] = sizeof(struct uuid),
						   [TABLE_TIMESTAMPTZ] = 8 };
	struct slice flag;

	if (sizes[m->form] == 0) {
		if (!take_text(rest, ret))
			return NOT_THERE;
		return ret->end - ret->at == 1 && *ret->at == '\xff' ? TAKEN_NULL : TAKEN;
	}
	if (!m->sure) {
		if (!take(rest, 1, &flag) || (*flag.at != 0 && *flag.at != 1))
			return NOT_THERE;
		if (*flag.at == 0)
			return TAKEN_NULL;
	}
	return take(rest, sizes[m->form], ret) ? TAKEN : NOT_THERE;
}

/* ---- writing ---- */

static void write_uuid(struct strbuf *out, const char *bytes)
{
	struct uuid id;
	char *to = strbuf_reserve(out, UUID_TEXT_LEN + 2);

	memcpy(id.b, bytes, sizeof(id.b));
	to[0] = to[UUID_TEXT_LEN + 1] = '"';
	uuid_to_text(&id, to + 1);
	strbuf_commit(out, UUID_TEXT_LEN + 2);
}

static void write_time(struct strbuf *out, int64_t pg_us)
{
	char *to = strbuf_reserve(out, CLOCK_TIMESTAMP_MAX + 2);
	size_t len = clock_format_pg_any(pg_us, to + 1);

	to[0] = to[len + 1] = '"';
	strbuf_commit(out, len + 2);
}

static void write_value(struct strbuf *out, enum table_form form, const struct slice *v)
{
	size_t len = (size_t)(v->end - v->at);

	switch (form) {
	case TABLE_BOOLEAN:
		strbuf_addstr(out, *v->at ? "true" : "false");
		return;
	case TABLE_INT4:
		strbuf_addint(out, pg_get_int4(v->at));
		return;
	case TABLE_INT8:
		strbuf_addint(out, pg_get_int8(v->at));
		return;
	case TABLE_UUID:
		write_uuid(out, v->at);
		return;
	case TABLE_TIMESTAMPTZ:
		write_time(out, pg_get_int8(v->at));
		return;
	case TABLE_NUMBER:
		/* Those that are not finite are words. */
		if (len > 0 && v->end[-1] >= '0' && v->end[-1] <= '9')
			strbuf_add(out, v->at, len);
		else
			jscan_write_string(out, v->at, len);
		return;
	case TABLE_JSON:
		strbuf_add(out, v->at, len);
		return;
	case TABLE_STRING:
	case TABLE_TEXT:
		jscan_write_string(out, v->at, len);
		return;
	case TABLE_FORMS:
		break;
	}
	fatal("row_body: no form %d", (int)form);
}

/* recorded_key: the body is a key; only_key: only that of it is written. Returns what stands in front of
 * the next member. */
static char write_members(const struct row_body *b, struct strbuf *out, bool recorded_key,
			  bool only_key, const char *body, size_t len, bool *ret_whole)
{
	struct slice rest = { body, body + len }, v = rest;
	char before = '{';
	enum taken how = TAKEN;

	for (size_t i = 0; how != NOT_THERE && i < b->n; i++) {
		const struct member *m = &b->members[i];

		if (recorded_key && !m->key)
			continue;
		how = take_value(m, &rest, &v);
		if (how != TAKEN || (only_key && !m->key))
			continue;
		strbuf_addch(out, before);
		strbuf_add(out, m->name.data, m->name.len);
		write_value(out, m->form, &v);
		before = ',';
	}
	*ret_whole = how != NOT_THERE && rest.at == rest.end;
	return before;
}

void row_body_write(const struct row_body *b, struct strbuf *out, enum change_kind kind,
		    const char *body, size_t len)
{
	bool whole, key = kind == CHANGE_DELETE;
	char before = write_members(b, out, key, key, body, len, &whole);

	if (whole)
		return;
	strbuf_addch(out, before);
	strbuf_addstr(out, MALFORMED);
}

void row_body_write_large(const struct row_body *b, struct strbuf *out, const char *body,
			  size_t len)
{
	bool ignored;

	strbuf_addch(out, write_members(b, out, false, true, body, len, &ignored));
	strbuf_addstr(out, TOO_LARGE);
}
