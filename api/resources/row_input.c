/*
 * row_input.c: see row_input.h. Pure.
 */
#include "api/resources/row_input.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clip.h"
#include "common/base/utf8.h"
#include "common/json/jscan.h"

#define DEPTH_MAX 6 /* of arrays: PostgreSQL's */

void row_input_clear(struct row_input *in)
{
	strbuf_clear(&in->text);
	free(in->values);
	*in = (struct row_input){ 0 };
}

const struct row_value *row_input_find(const struct row_input *in, size_t column)
{
	for (size_t i = 0; i < in->n; i++)
		if (in->values[i].column == column)
			return &in->values[i];
	return NULL;
}

/* ---- names of rows ---- */

static uint64_t mix(uint64_t h, const char *text, size_t len)
{
	h = (h ^ len) * UINT64_C(0x9e3779b97f4a7c15);
	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
	return h ^ h >> 29;
}

void row_name_begin(struct uuid *id, const struct model_resource *r)
{
	const uint64_t parts[2] = { UINT64_C(0xcbf29ce484222325), (uint64_t)r->table };

	memcpy(id->b, parts, sizeof(id->b));
}

void row_name_add(struct uuid *id, const char *text, size_t len)
{
	uint64_t parts[2];

	memcpy(parts, id->b, sizeof(parts));
	parts[0] = mix(parts[0], text, len);
	parts[1] = mix(parts[1] + parts[0], text, len);
	memcpy(id->b, parts, sizeof(parts));
}

bool row_name(struct uuid *ret, const struct model_resource *r, const struct row_input *in)
{
	row_name_begin(ret, r);
	for (size_t k = 0; k < r->nkey; k++) {
		const struct row_value *v = row_input_find(in, r->key[k]);

		if (!v || v->null) {
			uuid_make(ret);
			return false;
		}
		row_name_add(ret, in->text.data + v->at, v->len);
	}
	return true;
}

/* ---- faults ---- */

static bool PRINTF_LIKE(4, 5)
	refuse(struct row_fault *fault, int status, const char *field, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fault->status = status;
	clip_text(fault->field, sizeof(fault->field), field ? field : "");
	err_set(&fault->err, "%s", text);
	return false;
}

/* ---- values ---- */

static bool must_be(struct row_fault *fault, const struct model_column *c, const char *what)
{
	return refuse(fault, 422, c->name, "%s must be %s", c->name, what);
}

static bool in_range(const char *type, int64_t n)
{
	if (strcmp(type, "smallint") == 0)
		return n >= INT16_MIN && n <= INT16_MAX;
	return strcmp(type, "integer") != 0 || (n >= INT32_MIN && n <= INT32_MAX);
}

static bool add_integer(struct strbuf *out, const struct model_column *c,
			const struct jscan_value *v, struct row_fault *fault)
{
	int64_t n;

	if (v->type != JSCAN_NUMBER || !jscan_int64(v, &n) || !in_range(c->type, n)) {
		char what[64];

		snprintf(what, sizeof(what), "a whole number that fits %s", c->type);
		return must_be(fault, c, what);
	}
	strbuf_addint(out, n); /* "-0" is 0 */
	return true;
}

static bool add_number(struct strbuf *out, const struct model_column *c,
		       const struct jscan_value *v, struct row_fault *fault)
{
	static const char *const others[] = { "NaN", "Infinity", "-Infinity" };

	if (v->type == JSCAN_STRING && jscan_string_find(v, others, ARRAY_SIZE(others)) >= 0)
		strbuf_add(out, v->text + 1, v->len - 2);
	else if (v->type == JSCAN_NUMBER)
		strbuf_add(out, v->text, v->len);
	else
		return must_be(fault, c, "a number");
	return true;
}

static bool is_label(const struct model_column *c, const char *text, size_t len)
{
	for (size_t i = 0; i < c->nlabels; i++)
		if (strlen(c->labels[i]) == len && memcmp(c->labels[i], text, len) == 0)
			return true;
	return c->labels == NULL;
}

static bool refuse_label(struct row_fault *fault, const struct model_column *c)
{
	AUTO_STRBUF what = STRBUF_INIT;

	strbuf_addstr(&what, "one of ");
	for (size_t i = 0; i < c->nlabels && what.len < 250; i++)
		strbuf_addf(&what, "%s%s", i ? ", " : "", c->labels[i]);
	return must_be(fault, c, strbuf_str(&what));
}

/* A UUID in small letters, so that two of the same are the same text. */
static void make_plain(char *text, size_t len)
{
	struct uuid id;
	char plain[UUID_TEXT_LEN + 1];

	if (!uuid_from_text(text, len, &id))
		return;
	uuid_to_text(&id, plain);
	memcpy(text, plain, UUID_TEXT_LEN);
}

static bool add_string(struct strbuf *out, const struct model_column *c,
		       const struct jscan_value *v, struct row_fault *fault)
{
	size_t before = out->len, chars;

	if (v->type != JSCAN_STRING)
		return must_be(fault, c, "a string");
	jscan_string(v, out, &chars);
	if (strcmp(c->type, "uuid") == 0)
		make_plain(out->data + before, out->len - before);
	if (!is_label(c, out->data + before, out->len - before))
		return refuse_label(fault, c);
	if (c->max_length > 0 && chars > (size_t)c->max_length)
		return refuse(fault, 422, c->name, "%s must have at most %d characters", c->name,
			      c->max_length);
	return true;
}

/* ---- arrays: JSON's become PostgreSQL's text ---- */

static void add_quoted(struct strbuf *out, const char *text, size_t len)
{
	strbuf_addch(out, '"');
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '"' || text[i] == '\\')
			strbuf_addch(out, '\\');
		strbuf_addch(out, text[i]);
	}
	strbuf_addch(out, '"');
}

static bool add_scalar(struct strbuf *out, const struct model_column *c, enum model_kind kind,
		       const struct jscan_value *v, struct row_fault *fault);

static bool add_element(struct strbuf *out, const struct model_column *c,
			const struct jscan_value *v, struct row_fault *fault)
{
	AUTO_STRBUF text = STRBUF_INIT;

	if (v->type == JSCAN_NULL) {
		strbuf_addstr(out, "NULL");
		return true;
	}
	/* The bounds of the element's type are the database's to know. */
	static char widest[] = "bigint";
	struct model_column element = {
		.name = c->name, .type = widest, .labels = c->labels, .nlabels = c->nlabels
	};

	if (!add_scalar(&text, &element, c->element, v, fault))
		return false;
	add_quoted(out, strbuf_str(&text), text.len);
	return true;
}

/* Depth first, without recursion. */
static bool add_array(struct strbuf *out, const struct model_column *c, const struct jscan_value *v,
		      struct row_fault *fault)
{
	struct jscan_iter levels[DEPTH_MAX];
	bool begun[DEPTH_MAX] = { false };
	size_t depth = 1;
	struct jscan_value item;

	if (v->type == JSCAN_STRING) {
		jscan_string(v, out, NULL);
		return true;
	}
	if (v->type != JSCAN_ARRAY)
		return must_be(fault, c, "an array");
	jscan_iter_init(&levels[0], v);
	strbuf_addch(out, '{');
	while (depth > 0) {
		if (!jscan_iter_next(&levels[depth - 1], NULL, &item)) {
			strbuf_addch(out, '}');
			depth--;
			continue;
		}
		if (begun[depth - 1])
			strbuf_addch(out, ',');
		begun[depth - 1] = true;
		if (item.type != JSCAN_ARRAY) {
			if (!add_element(out, c, &item, fault))
				return false;
		} else if (depth == DEPTH_MAX) {
			return must_be(fault, c, "an array of at most 6 dimensions");
		} else {
			jscan_iter_init(&levels[depth], &item);
			begun[depth++] = false;
			strbuf_addch(out, '{');
		}
	}
	return true;
}

static bool add_scalar(struct strbuf *out, const struct model_column *c, enum model_kind kind,
		       const struct jscan_value *v, struct row_fault *fault)
{
	switch (kind) {
	case MODEL_BOOLEAN:
		if (v->type != JSCAN_BOOL)
			return must_be(fault, c, "true or false");
		strbuf_add(out, v->text, v->len);
		return true;
	case MODEL_INTEGER:
		return add_integer(out, c, v, fault);
	case MODEL_NUMBER:
		return add_number(out, c, v, fault);
	case MODEL_JSON:
		strbuf_add(out, v->text, v->len);
		return true;
	case MODEL_ARRAY:
		return add_array(out, c, v, fault);
	case MODEL_UTC:
	case MODEL_TIME:
	case MODEL_TEXT:
	case MODEL_OTHER:
	case MODEL_KINDS:
		break;
	}
	return add_string(out, c, v, fault);
}

/* ---- members ---- */

static bool add_member(struct row_input *in, const struct model_resource *r,
		       const struct jscan_value *key, const struct jscan_value *v,
		       struct row_fault *fault)
{
	AUTO_STRBUF name = STRBUF_INIT;

	jscan_string(key, &name, NULL);
	int place = model_column_find(r, strbuf_str(&name), name.len);
	char shown[64];

	clip_text(shown, sizeof(shown), strbuf_str(&name));
	utf8_plain(shown);
	if (place < 0)
		return refuse(fault, 422, shown, "%s has no column \"%s\"", r->name, shown);
	const struct model_column *c = &r->columns[place];

	if (row_input_find(in, (size_t)place))
		return refuse(fault, 400, shown, "\"%s\" is given twice", shown);
	if (c->generated)
		return refuse(fault, 422, c->name, "%s is generated by the database: leave it out",
			      c->name);
	if (in->n == in->cap) {
		in->cap = in->cap ? 2 * in->cap : 16;
		in->values = xreallocarray(in->values, in->cap, sizeof(in->values[0]));
	}
	struct row_value *value = &in->values[in->n++];

	*value = (struct row_value){ .column = (size_t)place, .at = in->text.len };
	if (v->type == JSCAN_NULL && c->kind != MODEL_JSON) {
		value->null = true;
		return true;
	}
	if (!add_scalar(&in->text, c, c->kind, v, fault))
		return false;
	value->len = in->text.len - value->at;
	strbuf_addch(&in->text, '\0');
	return true;
}

static int by_column(const void *a, const void *b)
{
	const struct row_value *x = a, *y = b;

	return x->column < y->column ? -1 : x->column > y->column;
}

bool row_input_read(struct row_input *in, const struct model_resource *r, const char *text,
		    size_t len, struct row_fault *fault)
{
	struct jscan_value document, key, value;
	struct jscan_iter it;
	struct err err;

	in->n = 0;
	strbuf_reset(&in->text);
	if (!jscan_document(text, len, &document, &err))
		return refuse(fault, 400, NULL, "the body is not valid JSON: %s", err.text);
	if (document.type != JSCAN_OBJECT)
		return refuse(fault, 400, NULL, "the body must be a JSON object, not %s",
			      jscan_type_name(document.type));
	for (jscan_iter_init(&it, &document); jscan_iter_next(&it, &key, &value);)
		if (!add_member(in, r, &key, &value, fault))
			return false;
	if (in->n > 1)
		qsort(in->values, in->n, sizeof(in->values[0]), by_column);
	return true;
}
