/*
 * query_value.c: the values of a request: of filters, cursors and keys.
 *
 * Promise: a value of a column of whole numbers, of booleans or UUIDs is one that PostgreSQL takes, and is
 * written as PostgreSQL writes it. Any other is a text for the database to read: a parameter, never part of a
 * statement. Pure; any thread.
 *
 * A LIKE whose pattern begins with other than a wildcard, and whose column has an index for that, has three
 * values: the pattern, and the texts from which on, and before which, what it finds stands in the order of
 * bytes. A statement that is planned once for all values would otherwise not use the index.
 */
#include <stdlib.h>
#include <string.h>

#include "api/resources/query_private.h"
#include "common/base/base64.h"
#include "common/base/utf8.h"
#include "common/base/uuid.h"
#include "common/json/jscan.h"

static void add_text(struct query *q, size_t column, const char *s, size_t len)
{
	/* Room for a power of two of them. */
	if ((q->nvalues & (q->nvalues - 1)) == 0)
		q->values = xreallocarray(q->values, q->nvalues > 0 ? q->nvalues * 2 : 1,
					  sizeof(*q->values));
	q->values[q->nvalues++] =
		(struct query_value){ .at = q->text.len, .len = len, .column = column };
	strbuf_add(&q->text, s, len);
	strbuf_addch(&q->text, '\0');
}

static bool add_integer(struct query *q, size_t column, const char *s, size_t len,
			const char **ret_why)
{
	const char *type = q->resource->columns[column].type;
	int64_t low = INT64_MIN, high = INT64_MAX, n;
	AUTO_STRBUF digits = STRBUF_INIT;

	*ret_why = "a whole number";
	if (strcmp(type, "smallint") == 0) {
		low = INT16_MIN;
		high = INT16_MAX;
		*ret_why = "a whole number from -32768 to 32767";
	} else if (strcmp(type, "integer") == 0) {
		low = INT32_MIN;
		high = INT32_MAX;
		*ret_why = "a whole number from -2147483648 to 2147483647";
	}
	if (!int64_from_text(s, len, &n) || n < low || n > high)
		return false;
	strbuf_addint(&digits, n);
	add_text(q, column, digits.data, digits.len);
	return true;
}

bool query_add_value(struct query *q, size_t column, const char *s, size_t len,
		     const char **ret_why)
{
	const struct model_column *c = &q->resource->columns[column];
	char uuid_text[UUID_TEXT_LEN];
	struct uuid uuid;

	if (c->kind == MODEL_INTEGER)
		return add_integer(q, column, s, len, ret_why);
	*ret_why = "true or false";
	if (c->kind == MODEL_BOOLEAN && strcmp(s, "true") != 0 && strcmp(s, "false") != 0)
		return false;
	if (strcmp(c->type, "uuid") == 0) {
		*ret_why = "a UUID";
		if (!uuid_from_text(s, len, &uuid))
			return false;
		uuid_to_text(&uuid, uuid_text);
		add_text(q, column, uuid_text, sizeof(uuid_text));
		return true;
	}
	*ret_why = "a value that is not empty";
	if (len == 0 && c->kind != MODEL_TEXT && c->kind != MODEL_OTHER)
		return false;
	add_text(q, column, s, len);
	return true;
}

/* ---- filters ---- */

/* What a kind of column can be compared by. */
enum comparing { NEVER, EQUALITY, ORDER };

static enum comparing comparing(const struct model_column *c)
{
	static const char *const without_equal[] = { "point",	    "line",    "lseg",
						     "box",	    "path",    "polygon",
						     "circle",	    "xml",     "txid_snapshot",
						     "pg_snapshot", "jsonpath" };

	for (size_t i = 0; i < ARRAY_SIZE(without_equal); i++)
		if (strcmp(c->type, without_equal[i]) == 0)
			return NEVER;
	if (c->kind == MODEL_JSON)
		return NEVER;
	return c->kind == MODEL_OTHER || c->kind == MODEL_ARRAY ? EQUALITY : ORDER;
}

static const struct {
	const char *word;
	enum query_op op;
	enum comparing needs;
} operators[] = {
	{ "eq", QUERY_EQ, EQUALITY },	  { "neq", QUERY_NEQ, EQUALITY },
	{ "lt", QUERY_LT, ORDER },	  { "lte", QUERY_LTE, ORDER },
	{ "gt", QUERY_GT, ORDER },	  { "gte", QUERY_GTE, ORDER },
	{ "in", QUERY_IN, EQUALITY },	  { "like", QUERY_LIKE, NEVER },
	{ "is.null", QUERY_NULL, NEVER }, { "is.notnull", QUERY_NOT_NULL, NEVER },
	{ "is.true", QUERY_TRUE, NEVER }, { "is.false", QUERY_FALSE, NEVER },
};

static bool bad_value(struct query_fault *fault, const char *field, const char *why)
{
	return query_refuse(fault, field, "%s must be %s", query_show(field).text, why);
}

/* (1,2,"a,b") */
static bool read_in(struct query *q, struct query_filter *f, const char *field, const char *s,
		    size_t len, struct query_fault *fault)
{
	AUTO_STRBUF item = STRBUF_INIT;
	enum query_item got;
	struct query_list l;
	const char *why;
	bool quoted;

	if (len < 3 || s[0] != '(' || s[len - 1] != ')')
		return query_refuse(fault, field, "%s=in. needs values in brackets: in.(1,2)",
				    query_show(field).text);
	query_list_init(&l, s + 1, len - 2);
	while ((got = query_list_next(&l, &item, &quoted, NULL)) == QUERY_ITEM) {
		if (item.len == 0 && !quoted)
			return query_refuse(
				fault, field,
				"%s=in. has an empty value; an empty text is written \"\"",
				query_show(field).text);
		if (f->nvalues == QUERY_IN_MAX)
			return query_refuse(fault, field, "%s=in. has more than %d values",
					    query_show(field).text, QUERY_IN_MAX);
		if (!query_add_value(q, f->column, strbuf_str(&item), item.len, &why))
			return bad_value(fault, field, why);
		f->nvalues++;
	}
	if (got == QUERY_ITEM_BAD)
		return query_refuse(fault, field,
				    "%s=in. has quotes that do not end where a value does",
				    query_show(field).text);
	return true;
}

/* The text before which all stand that begin with prefix: its last character becomes the next one. "": none. */
static void add_end(struct query *q, size_t column, struct strbuf *prefix)
{
	while (prefix->len > 0) {
		size_t last = prefix->len - 1;
		char next[4];

		while (((unsigned char)prefix->data[last] & 0xc0) == 0x80)
			last--;
		uint32_t code = utf8_code(prefix->data + last, prefix->len - last) + 1;

		prefix->len = last;
		if (code == 0xd800)
			code = 0xe000;
		if (code > 0x10ffff)
			continue;
		strbuf_add(prefix, next, utf8_put(code, next));
		break;
	}
	add_text(q, column, strbuf_str(prefix), prefix->len);
}

static bool read_like(struct query *q, struct query_filter *f, const char *field, const char *s,
		      size_t len, struct query_fault *fault)
{
	AUTO_STRBUF prefix = STRBUF_INIT;
	bool wild = false;

	if (!query_is_text(&q->resource->columns[f->column]))
		return query_refuse(fault, field, "%s is no text: like does not work on it",
				    query_show(field).text);
	for (size_t i = 0; i < len; i++) {
		wild = wild || s[i] == '%' || s[i] == '_';
		if (s[i] == '\\' && ++i == len)
			return query_refuse(fault, field,
					    "%s=like. ends with a \\ that escapes nothing",
					    query_show(field).text);
		if (!wild)
			strbuf_addch(&prefix, s[i]);
	}
	add_text(q, f->column, s, len);
	f->nvalues = 1;
	if (prefix.len > 0 && query_serves(q->resource, f->column, QUERY_LIKE)) {
		add_text(q, f->column, prefix.data, prefix.len);
		add_end(q, f->column, &prefix);
		/* Nothing comes behind a text of the last of all characters: then there is no range. */
		f->nvalues = q->values[q->nvalues - 1].len > 0 ? 3 : 1;
		q->nvalues -= f->nvalues == 3 ? 0 : 2;
	}
	return true;
}

static bool read_operand(struct query *q, struct query_filter *f, const char *field, const char *s,
			 size_t len, struct query_fault *fault)
{
	const struct model_column *c = &q->resource->columns[f->column];
	const char *why;

	switch (f->op) {
	case QUERY_NULL:
	case QUERY_NOT_NULL:
		return true;
	case QUERY_TRUE:
	case QUERY_FALSE:
		if (c->kind != MODEL_BOOLEAN)
			return query_refuse(
				fault, field,
				"%s is no boolean: is.true and is.false do not work on it",
				query_show(field).text);
		return true;
	case QUERY_IN:
		return read_in(q, f, field, s, len, fault);
	case QUERY_LIKE:
		return read_like(q, f, field, s, len, fault);
	default:
		if (!query_add_value(q, f->column, s, len, &why))
			return bad_value(fault, field, why);
		f->nvalues = 1;
		return true;
	}
}

/* The operator's place in the table, and what stands behind its dot; -1: it is none. */
static int find_operator(const struct strbuf *value, const char **ret_operand)
{
	for (size_t i = 0; i < ARRAY_SIZE(operators); i++) {
		size_t n = strlen(operators[i].word);

		if (operators[i].op >= QUERY_NULL
			    ? strcmp(strbuf_str(value), operators[i].word) == 0
			    : value->len > n && value->data[n] == '.' &&
				      memcmp(value->data, operators[i].word, n) == 0) {
			*ret_operand = operators[i].op >= QUERY_NULL ? "" : value->data + n + 1;
			return (int)i;
		}
	}
	return -1;
}

bool query_read_filter(struct query *q, size_t column, const char *field,
		       const struct strbuf *value, struct query_fault *fault)
{
	const struct model_column *c = &q->resource->columns[column];
	struct query_filter *f = &q->filters[q->nfilters];
	const char *operand;
	int i = find_operator(value, &operand);

	if (i < 0)
		return query_refuse(
			fault, field,
			"%s must have one of the operators eq. neq. lt. lte. gt. gte. in.(…) like. is.null "
			"is.notnull is.true is.false in front of its value, as in eq.5",
			query_show(field).text);
	if (operators[i].needs > comparing(c))
		return query_refuse(fault, field,
				    "%s is of type %s, which cannot be compared by %s",
				    query_show(field).text, query_show(c->type).text,
				    operators[i].word);
	if (q->nfilters == QUERY_FILTERS_MAX)
		return query_refuse(fault, field, "there are more than %d filters",
				    QUERY_FILTERS_MAX);
	*f = (struct query_filter){ .column = column,
				    .op = operators[i].op,
				    .first_value = q->nvalues };
	if (!read_operand(q, f, field, operand, strlen(operand), fault))
		return false;
	q->nfilters++;
	return true;
}

void query_operators(struct strbuf *out, const struct model_resource *r, size_t column, bool served)
{
	const struct model_column *c = &r->columns[column];
	const char *between = "";

	for (size_t i = 0; i < ARRAY_SIZE(operators); i++) {
		enum query_op op = operators[i].op;

		if (operators[i].needs > comparing(c) || (op == QUERY_LIKE && !query_is_text(c)) ||
		    ((op == QUERY_TRUE || op == QUERY_FALSE) && c->kind != MODEL_BOOLEAN) ||
		    (served && !query_serves(r, column, op)))
			continue;
		strbuf_addf(out, "%s%s%s", between, operators[i].word,
			    op == QUERY_IN    ? ".(…)"
			    : op < QUERY_NULL ? "."
					      : "");
		between = " ";
	}
}

/* ---- cursors ---- */

static bool add_cursor_value(struct query *q, size_t i, const struct jscan_value *v)
{
	const struct model_column *c = &q->resource->columns[q->orders[i].column];
	AUTO_STRBUF text = STRBUF_INIT;
	const char *why;

	if (v->type == JSCAN_NULL) {
		if (c->not_null || c->key >= 0)
			return false;
		q->cursor_nulls |= UINT32_C(1) << i;
		return true;
	}
	if (v->type != JSCAN_STRING)
		return false;
	jscan_string(v, &text, NULL);
	return query_add_value(q, q->orders[i].column, strbuf_str(&text), text.len, &why);
}

static bool read_cursor(struct query *q, const char *s, size_t len)
{
	char json[QUERY_VALUE_MAX];
	size_t want = len / 4 * 3 + (len % 4 > 0 ? len % 4 - 1 : 0);

	return len % 4 != 1 && want <= sizeof(json) &&
	       base64_decode(BASE64_URL, s, len, json, want) && query_set_cursor(q, json, want);
}

bool query_set_cursor(struct query *q, const char *json, size_t len)
{
	struct jscan_value array, v;
	struct jscan_iter it;
	struct err err;
	size_t n = 0;

	if (!jscan_document(json, len, &array, &err) || array.type != JSCAN_ARRAY)
		return false;
	/* Its values are the last ones. */
	if (q->ncursor > 0 && q->nvalues > q->cursor) {
		q->text.len = q->values[q->cursor].at;
		q->nvalues = q->cursor;
	}
	q->cursor = q->nvalues;
	q->cursor_nulls = 0;
	jscan_iter_init(&it, &array);
	while (jscan_iter_next(&it, NULL, &v)) {
		if (n == q->norders || !add_cursor_value(q, n, &v))
			return false;
		n++;
	}
	q->ncursor = n;
	return n == q->norders;
}

bool query_read_cursor(struct query *q, const struct strbuf *value, struct query_fault *fault)
{
	if (!read_cursor(q, strbuf_str(value), value->len))
		return query_refuse(fault, "cursor",
				    "cursor is not one that an earlier page gave as \"next\"");
	return true;
}
