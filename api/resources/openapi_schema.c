/*
 * openapi_schema.c: schemas of values, rows and bodies. What a column is in JSON is the table at the head of
 * query_sql_row.c, and what is taken that of row_input.h. Pure; any thread.
 */
#include <stdlib.h>
#include <string.h>

#include "api/resources/openapi_private.h"
#include "api/resources/query_sql.h"

/* ---- values ---- */

/* {"type": "string"}, or {"type": ["string", "null"]} */
static json_t *typed(const char *type, bool nullable)
{
	return nullable ? json_pack("{s:[s, s]}", "type", type, "null")
			: json_pack("{s:s}", "type", type);
}

static json_t *with_format(json_t *schema, const char *format)
{
	json_object_set_new(schema, "format", json_string(format));
	return schema;
}

static json_t *integer_schema(const char *type, bool nullable)
{
	json_t *schema = with_format(typed("integer", nullable),
				     strcmp(type, "bigint") == 0 ? "int64" : "int32");

	if (strcmp(type, "smallint") == 0) {
		json_object_set_new(schema, "minimum", json_integer(INT16_MIN));
		json_object_set_new(schema, "maximum", json_integer(INT16_MAX));
	}
	return schema;
}

static json_t *any_of(json_t *one, json_t *other, bool nullable)
{
	json_t *all = json_pack("[o, o]", one, other);

	if (nullable)
		json_array_append_new(all, typed("null", false));
	return json_pack("{s:o}", "anyOf", all);
}

static json_t *number_schema(const char *type, bool nullable)
{
	json_t *number = typed("number", false);

	if (strcmp(type, "real") == 0)
		with_format(number, "float");
	else if (strcmp(type, "double precision") == 0)
		with_format(number, "double");
	return any_of(number,
		      json_pack("{s:s, s:[s, s, s]}", "type", "string", "enum", "NaN", "Infinity",
				"-Infinity"),
		      nullable);
}

static json_t *text_schema(const struct model_column *c, const char *type, bool nullable)
{
	json_t *schema = typed("string", nullable), *labels = json_array();

	if (strcmp(type, "uuid") == 0)
		with_format(schema, "uuid");
	if (c->max_length > 0)
		json_object_set_new(schema, "maxLength", json_integer(c->max_length));
	for (size_t i = 0; i < c->nlabels; i++)
		json_array_append_new(labels, json_string(c->labels[i]));
	if (nullable)
		json_array_append_new(labels, json_null());
	if (c->labels != NULL)
		json_object_set(schema, "enum", labels);
	json_decref(labels);
	return schema;
}

/* type: the column's, or its element's. */
static json_t *scalar_schema(const struct model_column *c, enum model_kind kind, const char *type,
			     bool nullable)
{
	switch (kind) {
	case MODEL_BOOLEAN:
		return typed("boolean", nullable);
	case MODEL_INTEGER:
		return integer_schema(type, nullable);
	case MODEL_NUMBER:
		return number_schema(type, nullable);
	case MODEL_JSON:
		return json_object();
	case MODEL_UTC:
		return with_format(typed("string", nullable), "date-time");
	case MODEL_TIME:
		return with_format(typed("string", nullable),
				   strcmp(type, "date") == 0 ? "date" : "date-time-local");
	case MODEL_TEXT:
		return text_schema(c, type, nullable);
	case MODEL_ARRAY:
	case MODEL_OTHER:
	case MODEL_KINDS:
		break;
	}
	return typed("string", nullable);
}

/* Of several dimensions arrays hold arrays. */
static json_t *array_schema(const struct model_column *c, bool nullable)
{
	size_t len = strlen(c->type);
	AUTO_FREE char *element = xstrndup(c->type,
					   len > 2 && c->type[len - 1] == ']' ? len - 2 : len);
	json_t *items = any_of(scalar_schema(c, c->element, element, false), typed("array", false),
			       true);

	return any_of(json_pack("{s:s, s:o}", "type", "array", "items", items),
		      typed("string", false), nullable);
}

static const char *note(const struct model_column *c)
{
	switch (c->kind) {
	case MODEL_JSON:
		return c->not_null ? NULL : "any JSON; absent where it is SQL's NULL";
	case MODEL_UTC:
		return "in UTC, with microseconds; infinity and years before 1 or after 9999 as "
		       "PostgreSQL writes them";
	case MODEL_TIME:
		return "without a time zone; infinity and years before 1 or after 9999 as "
		       "PostgreSQL writes them";
	case MODEL_ARRAY:
		return "an array; a string of PostgreSQL's where it does not begin at 1";
	case MODEL_OTHER:
		return "as PostgreSQL writes it";
	default:
		return NULL;
	}
}

static void describe(json_t *schema, const struct model_column *c)
{
	AUTO_STRBUF text = STRBUF_INIT;
	const char *more = note(c);

	if (c->comment != NULL && *c->comment != '\0')
		strbuf_addf(&text, "%s%s", c->comment, more != NULL ? "\n\n" : "");
	if (c->kind == MODEL_OTHER)
		strbuf_addf(&text, "%s, ", c->type);
	strbuf_addstr(&text, more != NULL ? more : "");
	if (text.len > 0)
		json_object_set_new(schema, "description", json_string(text.data));
}

static bool is_nullable(const struct model_column *c)
{
	return !c->not_null && c->key < 0;
}

static json_t *column_schema(const struct model_column *c)
{
	json_t *schema = c->kind == MODEL_ARRAY
				 ? array_schema(c, is_nullable(c))
				 : scalar_schema(c, c->kind, c->type, is_nullable(c));

	describe(schema, c);
	return schema;
}

json_t *openapi_key_schema(const struct model_column *c)
{
	if (c->kind == MODEL_INTEGER || c->kind == MODEL_BOOLEAN || c->kind == MODEL_TEXT)
		return scalar_schema(c, c->kind, c->type, false);
	return typed("string", false);
}

/* ---- rows ---- */

static json_t *object_schema(json_t *required, json_t *properties)
{
	json_t *schema = json_pack("{s:s}", "type", "object");

	if (json_array_size(required) > 0)
		json_object_set(schema, "required", required);
	json_decref(required);
	json_object_set_new(schema, "properties", properties);
	return schema;
}

/* All its columns. */
static json_t *row_schema(const struct model_resource *r)
{
	json_t *required = json_array(), *properties = json_object();

	for (size_t i = 0; i < r->ncolumns; i++) {
		const struct model_column *c = &r->columns[i];
		json_t *schema = column_schema(c);

		if (c->generated || c->identity_always)
			json_object_set_new(schema, "readOnly", json_true());
		json_object_set_new(properties, c->name, schema);
		if (c->kind != MODEL_JSON || !is_nullable(c))
			json_array_append_new(required, json_string(c->name));
	}
	return object_schema(required, properties);
}

/* ---- bodies ---- */

enum body { NEW, REPLACE, CHANGE };

static bool is_taken(const struct model_column *c, enum body body)
{
	return !c->generated && (!c->identity_always || (c->key >= 0 && body != NEW));
}

static bool is_required(const struct model_column *c, enum body body)
{
	return body != CHANGE && !is_nullable(c) && !c->has_default && !c->identity &&
	       (c->key < 0 || body == NEW);
}

static json_t *body_schema(const struct model_resource *r, enum body body)
{
	json_t *required = json_array(), *properties = json_object();

	for (size_t i = 0; i < r->ncolumns; i++) {
		const struct model_column *c = &r->columns[i];

		if (!is_taken(c, body))
			continue;
		json_t *schema = column_schema(c);

		if (c->key >= 0 && body != NEW)
			json_object_set_new(schema, "description",
					    json_string("the one in the path"));
		json_object_set_new(properties, c->name, schema);
		if (is_required(c, body))
			json_array_append_new(required, json_string(c->name));
	}
	json_t *schema = object_schema(required, properties);

	json_object_set_new(schema, "additionalProperties", json_false());
	if (body == CHANGE)
		json_object_set_new(schema, "minProperties", json_integer(1));
	return schema;
}

/* ---- embeds ---- */

json_t *openapi_schema_ref(const char *kind, const struct model_resource *r)
{
	AUTO_STRBUF text = STRBUF_INIT;

	strbuf_addf(&text, "#/components/schemas/%s.%s", kind, r->name);
	return json_pack("{s:s}", "$ref", text.data);
}

/* Those of the setting. False: they do not fit the model now. */
static bool read_embeds(const struct openapi *o, const struct model_resource *r, struct query *q)
{
	const struct listed_resource *l = listed_find(o->listed, r->name, strlen(r->name));
	const struct query_rules rules = { .scans = true, .embeds = l != NULL ? l->embeds : NULL };
	struct query_fault fault;

	return query_read(q, o->model, r, &rules, NULL, 0, true, &fault);
}

/* Whether a row may be without the one that it embeds. */
static bool may_lack(const struct query *q, const struct query_embed *e)
{
	const struct model_reference *f = e->reference;

	if (!e->up || q->model->resources[f->parent].filter != NULL)
		return true;
	for (size_t k = 0; k < f->n; k++)
		if (is_nullable(&q->model->resources[f->child].columns[f->columns[k]]))
			return true;
	return false;
}

static json_t *members_schema(const struct query *q, int of);

/* Nested as deep as embeds are, at most QUERY_DEPTH_MAX. */
static json_t *embed_schema(const struct query *q, size_t i) /* NOLINT(misc-no-recursion) */
{
	json_t *row = openapi_schema_ref("row", query_embedded(q, i));

	if (query_has_embeds(q, (int)i))
		row = json_pack("{s:[o, o]}", "allOf", row, members_schema(q, (int)i));
	return row;
}

/* The members that rows have for the embeds of one level. */
static json_t *members_schema(const struct query *q, int of) /* NOLINT(misc-no-recursion) */
{
	json_t *required = json_array(), *properties = json_object();

	for (size_t i = 0; i < q->nembeds; i++) {
		const struct query_embed *e = &q->embeds[i];
		json_t *row;

		if (e->of != of)
			continue;
		row = embed_schema(q, i);
		json_array_append_new(required, json_string(e->member));
		if (query_embed_is_array(e)) {
			AUTO_STRBUF truncated = STRBUF_INIT;

			strbuf_addf(&truncated, "%sTruncated", e->member);
			json_object_set_new(properties, e->member,
					    json_pack("{s:s, s:i, s:o}", "type", "array",
						      "maxItems", QUERY_CHILDREN_MAX, "items",
						      row));
			json_object_set_new(properties, truncated.data,
					    json_pack("{s:s, s:b, s:s}", "type", "boolean", "const",
						      1, "description", "there if there are more"));
		} else if (may_lack(q, e)) {
			json_object_set_new(properties, e->member,
					    json_pack("{s:[o, {s:s}]}", "anyOf", row, "type",
						      "null"));
		} else {
			json_object_set_new(properties, e->member, row);
		}
	}
	return object_schema(required, properties);
}

json_t *openapi_read_ref(const struct openapi *o, const struct model_resource *r)
{
	struct query q = { .model = NULL };
	bool embeds = read_embeds(o, r, &q) && q.nembeds > 0;

	query_clear(&q);
	return openapi_schema_ref(embeds ? "read" : "row", r);
}

/* ---- the resource's schemas ---- */

/* Takes the schema over. */
static void add_schema(struct openapi *o, const char *kind, const struct model_resource *r,
		       json_t *schema)
{
	AUTO_STRBUF name = STRBUF_INIT;

	strbuf_addf(&name, "%s.%s", kind, r->name);
	if (r->comment != NULL)
		json_object_set_new(schema, "description", json_string(r->comment));
	json_object_set_new(o->schemas, name.data, schema);
}

void openapi_add_schemas(struct openapi *o, const struct model_resource *r)
{
	struct query q = { .model = NULL };

	add_schema(o, "row", r, row_schema(r));
	if (read_embeds(o, r, &q) && q.nembeds > 0)
		add_schema(o, "read", r,
			   json_pack("{s:[o, o]}", "allOf", openapi_schema_ref("row", r),
				     members_schema(&q, -1)));
	query_clear(&q);
	add_schema(o, "new", r, body_schema(r, NEW));
	if (!model_key_is_made(r))
		add_schema(o, "replace", r, body_schema(r, REPLACE));
	add_schema(o, "change", r, body_schema(r, CHANGE));
}
