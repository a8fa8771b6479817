/*
 * openapi.c: see openapi.h; openapi_private.h lists the parts. Pure; any thread.
 */
#include "api/resources/openapi.h"

#include <stdlib.h>

#include "api/resources/openapi_private.h"

/* The member at this path of the document, NULL at its end; NULL: it is not there. */
static json_t *at(json_t *node, const char *const *path)
{
	while (node != NULL && *path != NULL)
		node = json_object_get(node, *path++);
	return node;
}

/* ---- what is the same for all resources ---- */

static json_t *failure(const char *description)
{
	return json_pack("{s:s, s:{s:{s:{s:s}}}}", "description", description, "content",
			 "application/json", "schema", "$ref", "#/components/schemas/Failure");
}

static void add_common(json_t *components)
{
	json_t *responses = json_object_get(components, "responses");

	json_object_set_new(responses, "NoRow", failure("there is no row with this key"));
	json_object_set_new(responses, "Forbidden",
			    failure("the table's row security does not allow it"));
	json_object_set_new(
		responses, "Conflict",
		failure("another row has the same value already, or it refers to a row that does "
			"not exist, or another row refers to it"));
	json_object_update_new(
		json_object_get(components, "parameters"),
		json_pack("{s:{s:s, s:s, s:s, s:{s:s, s:i, s:i}}, s:{s:s, s:s, s:s, s:{s:s}}, "
			  "s:{s:s, s:s, s:s, s:{s:s, s:[s, s]}}}",
			  "Limit", "name", "limit", "in", "query", "description",
			  "rows of a page; 50 if only a cursor is given", "schema", "type",
			  "integer", "minimum", 1, "maximum", QUERY_LIMIT_MAX, "Cursor", "name",
			  "cursor", "in", "query", "description",
			  "where the page before ended, with the same order", "schema", "type",
			  "string", "Count", "name", "count", "in", "query", "description",
			  "asks for the number of all rows that the filters leave, in the header "
			  "X-Total-Count",
			  "schema", "type", "string", "enum", "exact", "estimated"));
}

/* ---- what the routes of operations say of resources ---- */

static void add_operation_member(json_t *document, const char *path, json_t *items)
{
	const char *const data[] = { "paths",  "get",	     "responses",
				     "200",    "content",    "application/json",
				     "schema", "properties", "data",
				     NULL };
	const char *const here[] = { "paths", path, NULL };
	json_t *schema = at(at(document, here), data + 1);
	json_t *properties = json_object_get(schema, "properties");

	if (schema != NULL && properties == NULL) {
		properties = json_object();
		json_object_set_new(schema, "properties", properties);
	}
	json_object_set_new(properties, "resources",
			    json_pack("{s:s, s:o}", "type", "array", "items", items));
}

static void add_operations(json_t *document)
{
	add_operation_member(
		document, "/stats",
		json_pack("{s:s, s:[s, s], s:{s:{s:s}, s:{s:[s, s], s:s}, s:{s:s, s:b, s:s}}}",
			  "type", "object", "required", "name", "rows", "properties", "name",
			  "type", "string", "rows", "type", "integer", "null", "description",
			  "at most a second old; null: not known now", "estimated", "type",
			  "boolean", "const", 1, "description",
			  "there if rows is the planner's estimate"));
	add_operation_member(
		document, "/status",
		json_pack(
			"{s:s, s:[s, s, s], s:{s:{s:s}, s:{s:s}, s:{s:s, s:s}, s:{s:s, s:[s, s]}, "
			"s:{s:s, s:s}}}",
			"type", "object", "required", "name", "table", "state", "properties",
			"name", "type", "string", "table", "type", "string", "rows", "type",
			"integer", "description", "the planner's estimate, if there is one",
			"state", "type", "string", "enum", "served", "missing", "reason", "type",
			"string", "description", "why it is missing"));
}

/* ---- all of it ---- */

static json_t *tag(const struct model_resource *r)
{
	AUTO_STRBUF text = STRBUF_INIT;

	strbuf_addf(&text, "rows of %s", r->name);
	return json_pack("{s:s, s:s}", "name", r->name, "description",
			 r->comment != NULL ? r->comment : text.data);
}

/* The document in the order that people read it in. Takes tags over. */
static json_t *in_order(json_t *document, json_t *tags)
{
	json_t *whole = json_object();

	json_object_set(whole, "openapi", json_object_get(document, "openapi"));
	json_object_set(whole, "info", json_object_get(document, "info"));
	/* There is no authentication, and it is said so. */
	json_object_set_new(whole, "servers", json_pack("[{s:s}]", "url", "/"));
	json_object_set_new(whole, "security", json_array());
	json_object_set_new(whole, "tags", tags);
	for (void *it = json_object_iter(document); it != NULL;
	     it = json_object_iter_next(document, it))
		json_object_set(whole, json_object_iter_key(it), json_object_iter_value(it));
	return whole;
}

void openapi_write(struct strbuf *out, const char *base, const struct model *m,
		   const struct listed *listed, const struct openapi_options *options)
{
	json_t *document = json_loads(base, 0, NULL), *tags = json_array();
	json_t *components = json_object_get(document, "components");
	struct openapi o = {
		.model = m,
		.listed = listed,
		.options = options,
		.paths = json_object_get(document, "paths"),
		.schemas = json_object_get(components, "schemas"),
	};

	if (m->nresources > 0)
		add_common(components);
	add_operations(document);
	for (size_t i = 0; i < m->nresources; i++) {
		json_array_append_new(tags, tag(&m->resources[i]));
		openapi_add_paths(&o, &m->resources[i]);
		openapi_add_schemas(&o, &m->resources[i]);
	}
	json_t *whole = in_order(document, tags);
	/* 15 digits, so that 19.9 is what it was. */
	AUTO_FREE char *text = json_dumps(whole, JSON_INDENT(1) | JSON_REAL_PRECISION(15));

	json_decref(whole);
	json_decref(document);
	if (text == NULL)
		fatal("out of memory: the description of the API could not be written");
	strbuf_addstr(out, text);
	strbuf_addch(out, '\n');
}
