/*
 * change.c: see change.h. Pure: any thread.
 *
 * The promise: what capture wrote is read back to the last digit and microsecond; whatever else came
 * into a queue is refused with the member at fault, so that it can be parked with a reason.
 *
 * The arena gets the values that do not stand in the message as they are: strings with escapes, UUIDs.
 * And the key of each change, in such a form that memcmp() puts keys into the order of the table's
 * index, mostly, and that two keys are equal if their bytes are: numbers big-endian with the sign
 * turned, everything else by its bytes, two NUL behind each text.
 */
#include "common/wire/change.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/clock.h"
#include "common/base/uuid.h"

const char *change_kind_name(enum change_kind kind)
{
	return kind == CHANGE_SYNC ? "sync" : "delete";
}

/* ---- the arena ---- */

void change_arena_reset(struct change_arena *a)
{
	strbuf_reset(&a->text);
	a->nvalues = 0;
}

void change_arena_clear(struct change_arena *a)
{
	strbuf_clear(&a->text);
	free(a->values);
	*a = (struct change_arena){ 0 };
}

static struct change_value *add_values(struct change_arena *a, size_t n)
{
	if (a->nvalues + n > a->cap) {
		while (a->nvalues + n > a->cap)
			a->cap = a->cap ? 2 * a->cap : 256;
		a->values = xreallocarray(a->values, a->cap, sizeof(*a->values));
	}
	struct change_value *v = a->values + a->nvalues;

	memset(v, 0, n * sizeof(*v)); /* CHANGE_ABSENT */
	a->nvalues += n;
	return v;
}

const char *change_text(const struct change_arena *a, const char *base,
			const struct change_value *v)
{
	return (v->where == CHANGE_RAW ? base : a->text.data) + v->at;
}

/* ---- values ---- */

struct reader {
	const struct table *table;
	const char *base;
	struct change_arena *arena;
	struct change_value *values; /* of the columns of the table */
	struct change *change;
};

static bool refuse(const struct table_column *c, const char *rule, const struct jscan_value *v,
		   enum jscan_type wanted, struct err *err)
{
	if (v->type != wanted)
		return err_set(err, "%s must be %s, not %s", c->member, rule,
			       jscan_type_name(v->type));
	return err_set(err, "%s must be %s", c->member, rule);
}

static void take_raw(struct reader *r, const char *text, size_t len, struct change_value *ret)
{
	*ret = (struct change_value){ .where = CHANGE_RAW,
				      .len = (uint32_t)len,
				      .at = (int64_t)(text - r->base) };
}

static void take_string(struct reader *r, const struct jscan_value *v, struct change_value *ret)
{
	size_t at = r->arena->text.len;

	if (memchr(v->text, '\\', v->len) == NULL) {
		take_raw(r, v->text + 1, v->len - 2, ret);
		return;
	}
	jscan_string(v, &r->arena->text, NULL);
	*ret = (struct change_value){ .where = CHANGE_ARENA,
				      .len = (uint32_t)(r->arena->text.len - at),
				      .at = (int64_t)at };
}

static bool read_int(const struct table_column *c, const struct jscan_value *v, int64_t low,
		     int64_t high, const char *rule, struct change_value *ret, struct err *err)
{
	if (v->type != JSCAN_NUMBER || !jscan_int64(v, &ret->at) || ret->at < low || ret->at > high)
		return refuse(c, rule, v, JSCAN_NUMBER, err);
	ret->where = CHANGE_NUMBER;
	return true;
}

static bool read_uuid(struct reader *r, const struct table_column *c, const struct jscan_value *v,
		      struct change_value *ret, struct err *err)
{
	struct uuid id;

	if (v->type != JSCAN_STRING || v->len != UUID_TEXT_LEN + 2 ||
	    !uuid_from_text(v->text + 1, UUID_TEXT_LEN, &id))
		return refuse(c, "a UUID of 36 characters", v, JSCAN_STRING, err);
	*ret = (struct change_value){ .where = CHANGE_ARENA,
				      .len = sizeof(id.b),
				      .at = (int64_t)r->arena->text.len };
	strbuf_add(&r->arena->text, id.b, sizeof(id.b));
	return true;
}

/* Also what no four digits of a year can hold, as capture writes it. */
static bool read_time(const struct table_column *c, const struct jscan_value *v,
		      struct change_value *ret, struct err *err)
{
	ret->where = CHANGE_NUMBER;
	if (v->type == JSCAN_STRING && v->len > 2 &&
	    (clock_parse_pg(v->text + 1, v->len - 2, &ret->at) ||
	     clock_parse_pg_any(v->text + 1, v->len - 2, &ret->at)))
		return true;
	return refuse(c, "a UTC time such as 2026-01-31T12:00:00.123456Z", v, JSCAN_STRING, err);
}

static const char *const not_finite[] = { "NaN", "Infinity", "-Infinity" };

static bool read_value(struct reader *r, const struct table_column *c, const struct jscan_value *v,
		       struct change_value *ret, struct err *err)
{
	switch (c->form) {
	case TABLE_BOOLEAN:
		if (v->type != JSCAN_BOOL)
			return refuse(c, "true or false", v, JSCAN_BOOL, err);
		*ret = (struct change_value){ .where = CHANGE_NUMBER, .at = v->text[0] == 't' };
		return true;
	case TABLE_INT4:
		return read_int(c, v, INT32_MIN, INT32_MAX,
				"an integer from -2147483648 to 2147483647", ret, err);
	case TABLE_INT8:
		return read_int(c, v, INT64_MIN, INT64_MAX, "an integer of at most 64 bits", ret,
				err);
	case TABLE_UUID:
		return read_uuid(r, c, v, ret, err);
	case TABLE_TIMESTAMPTZ:
		return read_time(c, v, ret, err);
	case TABLE_JSON:
		take_raw(r, v->text, v->len, ret);
		return true;
	case TABLE_NUMBER:
		if (v->type == JSCAN_NUMBER) {
			take_raw(r, v->text, v->len, ret);
			return true;
		}
		if (v->type != JSCAN_STRING ||
		    jscan_string_find(v, not_finite, ARRAY_SIZE(not_finite)) < 0)
			return refuse(c, "a number", v, JSCAN_NUMBER, err);
		take_string(r, v, ret);
		return true;
	case TABLE_STRING:
	case TABLE_TEXT:
		if (v->type != JSCAN_STRING)
			return refuse(c, "a string", v, JSCAN_STRING, err);
		take_string(r, v, ret);
		return true;
	case TABLE_FORMS:
		break;
	}
	fatal("change: no form %d", (int)c->form);
}

/* ---- objects ---- */

static bool refuse_key(const struct jscan_value *key, const char *what, struct err *err)
{
	char text[64];
	size_t len;

	(void)jscan_string_copy(key, text, sizeof(text) - 1, &len);
	text[len] = '\0';
	return err_set(err, "%s \"%s\"", what, text);
}

/* Which column a member is of; *next is the one that is expected, since most come in order. Of a key
 * those of the key alone. NULL: none. */
static const struct table_column *find_column(const struct reader *r, const struct jscan_value *key,
					      size_t *next)
{
	const struct table *t = r->table;
	bool only_key = r->change->kind == CHANGE_DELETE,
	     plain = memchr(key->text, '\\', key->len) == NULL;

	for (size_t i = 0; i < t->ncolumns; i++) {
		size_t at = *next + i < t->ncolumns ? *next + i : *next + i - t->ncolumns;
		const struct table_column *c = &t->columns[at];

		if (only_key && c->key < 0)
			continue;
		if (plain ? c->quoted_len == key->len && memcmp(c->quoted, key->text, key->len) == 0
			  : jscan_string_is(key, c->member)) {
			*next = at + 1 < t->ncolumns ? at + 1 : 0;
			return c;
		}
	}
	return NULL;
}

static bool read_version(const struct jscan_value *v, struct change *ret, struct err *err)
{
	int64_t version;

	if (ret->version > 0)
		return err_set(err, "duplicate key \"version\"");
	if (!jscan_int64(v, &version) || version <= 0)
		return err_set(err, "version must be an integer of at least 1, and below 2^63");
	ret->version = version;
	return true;
}

/* A row, or a key; flat: with the version among it. */
static bool read_row(struct reader *r, const struct jscan_value *object, bool flat, struct err *err)
{
	const struct table *t = r->table;
	bool only_key = r->change->kind == CHANGE_DELETE;
	struct jscan_value key, value;
	struct jscan_iter it;
	size_t next = 0;

	if (object->type != JSCAN_OBJECT)
		return err_set(err, "%s must be an object, not %s",
			       flat	  ? "a change"
			       : only_key ? "key"
					  : "row",
			       jscan_type_name(object->type));
	for (jscan_iter_init(&it, object); jscan_iter_next(&it, &key, &value);) {
		const struct table_column *c = find_column(r, &key, &next);

		if (c == NULL && flat && jscan_string_is(&key, "version")) {
			if (!read_version(&value, r->change, err))
				return false;
			continue;
		}
		if (c == NULL)
			return refuse_key(&key, "unknown field", err);
		if (r->values[c - t->columns].where != CHANGE_ABSENT)
			return refuse_key(&key, "duplicate key", err);
		if (!read_value(r, c, &value, &r->values[c - t->columns], err))
			return false;
	}
	for (size_t i = 0; i < t->ncolumns; i++)
		if (r->values[i].where == CHANGE_ABSENT && t->columns[i].not_null &&
		    (!only_key || t->columns[i].key >= 0))
			return err_set(err, "%s is missing", t->columns[i].member);
	return true;
}

static bool read_envelope(struct reader *r, const struct jscan_value *object, struct err *err)
{
	const char *content = r->change->kind == CHANGE_DELETE ? "key" : "row";
	struct jscan_value key, value;
	struct jscan_iter it;
	bool table = false, row = false;

	if (object->type != JSCAN_OBJECT)
		return err_set(err, "a change must be an object, not %s",
			       jscan_type_name(object->type));
	for (jscan_iter_init(&it, object); jscan_iter_next(&it, &key, &value);) {
		if (jscan_string_is(&key, "version")) {
			if (!read_version(&value, r->change, err))
				return false;
		} else if (jscan_string_is(&key, "table")) {
			if (table)
				return refuse_key(&key, "duplicate key", err);
			table = true; /* whoever gave us the table has read it */
		} else if (!r->change->truncate && jscan_string_is(&key, content)) {
			if (row)
				return refuse_key(&key, "duplicate key", err);
			if (!read_row(r, &value, false, err))
				return false;
			row = true;
		} else {
			return refuse_key(&key, "unknown field", err);
		}
	}
	return row || r->change->truncate ? true : err_set(err, "%s is missing", content);
}

/* ---- keys ---- */

static void add_key(struct reader *r)
{
	const struct table *t = r->table;
	struct strbuf *text = &r->arena->text;

	r->change->key_at = text->len;
	for (size_t i = 0; i < t->nkey; i++) {
		const struct table_column *c = &t->columns[t->key[i]];
		const struct change_value *v = &r->values[t->key[i]];

		if (v->where == CHANGE_NUMBER) {
			char number[8];
			pg_put_int8(number, (int64_t)((uint64_t)v->at ^ (UINT64_C(1) << 63)));
			strbuf_add(text, number, sizeof(number));
			continue;
		}
		/* The room first: the value may be in the same buffer. */
		char *to = strbuf_reserve(text, v->len + 2);
		memcpy(to, change_text(r->arena, r->base, v), v->len);
		strbuf_commit(text, v->len);
		if (c->form != TABLE_UUID)
			strbuf_add(text, "\0", 2);
	}
	r->change->key_len = (uint32_t)(text->len - r->change->key_at);
}

/* What was read becomes a change, or the arena is as it was. */
static bool finish(struct reader *r, bool ok, size_t text_before, struct change *ret)
{
	if (!ok) {
		r->arena->nvalues = r->change->first_value;
		r->arena->text.len = text_before;
		return false;
	}
	add_key(r);
	*ret = *r->change;
	return true;
}

bool change_read(const struct table *t, const struct jscan_value *object, enum change_kind kind,
		 const char *base, struct change_arena *arena, struct change *ret, struct err *err)
{
	size_t text_before = arena->text.len;
	struct change c = { .table = t, .kind = kind, .first_value = arena->nvalues };
	struct reader r = { t, base, arena, add_values(arena, t->ncolumns), &c };
	bool ok = t->flat ? read_row(&r, object, true, err) : read_envelope(&r, object, err);

	if (ok && c.version == 0)
		ok = err_set(err, "version is missing");
	return finish(&r, ok, text_before, ret);
}

bool change_read_truncate(const struct table *t, const struct jscan_value *object,
			  struct change_arena *arena, struct change *ret, struct err *err)
{
	struct change c = { .table = t,
			    .kind = CHANGE_DELETE,
			    .truncate = true,
			    .first_value = arena->nvalues,
			    .key_at = arena->text.len };
	struct reader r = { .table = t, .arena = arena, .change = &c };

	if (t->flat)
		return err_set(err, "%s has no TRUNCATE, but a delete of each row", t->full);
	if (!read_envelope(&r, object, err))
		return false;
	if (c.version == 0)
		return err_set(err, "version is missing");
	*ret = c;
	return true;
}

bool change_identify(const struct table *t, const struct jscan_value *object, const char *base,
		     struct change_arena *arena, struct change *ret)
{
	/* Only what is asked for is looked at: the members of the key, and the version. */
	size_t text_before = arena->text.len, next = 0;
	struct change c = { .table = t, .kind = CHANGE_DELETE, .first_value = arena->nvalues };
	struct reader r = { t, base, arena, add_values(arena, t->ncolumns), &c };
	struct jscan_value row = *object, key, value;
	struct jscan_iter it;
	struct err ignored;
	bool ok = object->type == JSCAN_OBJECT;

	if (ok && !t->flat) {
		for (jscan_iter_init(&it, object); jscan_iter_next(&it, &key, &value);) {
			if (jscan_string_is(&key, "row") || jscan_string_is(&key, "key"))
				row = value;
			else if (jscan_string_is(&key, "version"))
				ok = ok && read_version(&value, &c, &ignored);
		}
		ok = ok && row.type == JSCAN_OBJECT;
	}
	if (ok)
		jscan_iter_init(&it, &row);
	while (ok && jscan_iter_next(&it, &key, &value)) {
		const struct table_column *column = find_column(&r, &key, &next);

		if (column != NULL)
			ok = r.values[column - t->columns].where == CHANGE_ABSENT &&
			     read_value(&r, column, &value, &r.values[column - t->columns],
					&ignored);
		else if (t->flat && jscan_string_is(&key, "version"))
			ok = read_version(&value, &c, &ignored);
	}
	for (size_t i = 0; i < t->nkey; i++)
		ok = ok && r.values[t->key[i]].where != CHANGE_ABSENT;
	ok = ok && c.version > 0;
	return finish(&r, ok, text_before, ret);
}

/* ---- the key as SQL's text ---- */

/* As the server writes it: quoted only where it must be. */
static void add_element(struct strbuf *out, const char *text, size_t len)
{
	bool quoted = len == 0 || (len == 4 && strncasecmp(text, "null", 4) == 0);

	for (size_t i = 0; i < len && !quoted; i++)
		quoted = strchr("{}\",\\ \t\n\v\f\r", text[i]) != NULL;
	if (!quoted) {
		strbuf_add(out, text, len);
		return;
	}
	strbuf_addch(out, '"');
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '"' || text[i] == '\\')
			strbuf_addch(out, '\\');
		strbuf_addch(out, text[i]);
	}
	strbuf_addch(out, '"');
}

void change_key_text(const struct change *c, const char *base, const struct change_arena *arena,
		     struct strbuf *out)
{
	const struct table *t = c->table;
	char text[CLOCK_TIMESTAMP_MAX];

	strbuf_addch(out, '{');
	for (size_t i = 0; i < t->nkey; i++) {
		const struct change_value *v = &arena->values[c->first_value + t->key[i]];

		if (i > 0)
			strbuf_addch(out, ',');
		switch (t->columns[t->key[i]].form) {
		case TABLE_BOOLEAN:
			strbuf_addstr(out, v->at ? "t" : "f");
			break;
		case TABLE_TIMESTAMPTZ:
			clock_format_pg_any(v->at, text);
			add_element(out, text, strlen(text));
			break;
		case TABLE_UUID: {
			struct uuid id;
			memcpy(id.b, change_text(arena, base, v), sizeof(id.b));
			uuid_to_text(&id, text);
			strbuf_add(out, text, UUID_TEXT_LEN);
			break;
		}
		default:
			if (v->where == CHANGE_NUMBER)
				strbuf_addint(out, v->at);
			else
				add_element(out, change_text(arena, base, v), v->len);
			break;
		}
	}
	strbuf_addch(out, '}');
}

/* ---- x-xid: the transactions of a message's changes ---- */

/*
 * Items with one blank between them, each NUMBER or NUMBER*COUNT, in decimal without signs. What
 * was added comes back exactly. A text that does not hold exactly as many numbers as the message
 * has changes is of no use and gives zeros ("not known"): the versions then decide alone.
 */

/* strbuf_addint() is for signed numbers: what does not fit there is written in two halves. */
static void add_unsigned(struct strbuf *out, uint64_t v)
{
	if (v > INT64_MAX) {
		strbuf_addint(out, (int64_t)(v / 10));
		v %= 10;
	}
	strbuf_addint(out, (int64_t)v);
}

static void end_run(struct change_xids *x)
{
	if (x->run == 0)
		return;
	if (x->text.len > 0)
		strbuf_addch(&x->text, ' ');
	add_unsigned(&x->text, x->last);
	if (x->run > 1) {
		strbuf_addch(&x->text, '*');
		add_unsigned(&x->text, x->run);
	}
	x->run = 0;
}

void change_xids_add(struct change_xids *x, uint64_t xid)
{
	if (x->run > 0 && x->last != xid)
		end_run(x);
	x->last = xid;
	x->run++;
}

const char *change_xids_finish(struct change_xids *x)
{
	end_run(x);
	return strbuf_str(&x->text);
}

void change_xids_reset(struct change_xids *x)
{
	strbuf_reset(&x->text);
	x->last = 0;
	x->run = 0;
}

void change_xids_clear(struct change_xids *x)
{
	strbuf_clear(&x->text);
	x->last = 0;
	x->run = 0;
}

/* *p: moved behind the digits. */
static bool read_number(const char **p, uint64_t *ret)
{
	const char *at = *p;
	uint64_t v = 0;

	for (; *at >= '0' && *at <= '9'; at++)
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*at - '0'), &v))
			return false;
	if (at == *p)
		return false;
	*p = at;
	*ret = v;
	return true;
}

static bool read_list(const char *p, uint64_t *ret, size_t n)
{
	size_t done = 0;

	while (*p != '\0') {
		uint64_t xid, count = 1;
		if (done > 0 && *p++ != ' ')
			return false;
		if (!read_number(&p, &xid))
			return false;
		if (*p == '*') {
			p++;
			if (!read_number(&p, &count))
				return false;
		}
		if (count == 0 || count > n - done)
			return false;
		while (count-- > 0)
			ret[done++] = xid;
	}
	return done == n;
}

bool change_xids_read(const char *text, uint64_t *ret, size_t n)
{
	if (text != NULL && read_list(text, ret, n))
		return true;
	if (n > 0)
		memset(ret, 0, n * sizeof(*ret));
	return false;
}
