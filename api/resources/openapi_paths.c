/*
 * openapi_paths.c: the paths of a resource: what requests may ask, and every answer that they can get. Pure; any
 * thread.
 *
 * An operation's name is its verb and the resource (list.users), of children children.users/posts: a slash is in
 * no resource's name, so no two operations have one name.
 */
#include <stdio.h>
#include <string.h>

#include "api/resources/openapi_private.h"

/* ---- parameters ---- */

/* Whether a name can stand in a path as it is. */
static bool is_plain(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

	return n > 0 && name[n] == '\0';
}

static const struct model_column *only_key(const struct model_resource *r)
{
	return r->nkey == 1 ? &r->columns[r->key[0]] : NULL;
}

/* What stands in the braces of /api/users/{id}. */
static const char *key_name(const struct model_resource *r)
{
	const struct model_column *c = only_key(r);

	return c != NULL && is_plain(c->name) ? c->name : "key";
}

static json_t *key_parameter(const struct model_resource *r)
{
	const struct model_column *c = only_key(r);
	AUTO_STRBUF text = STRBUF_INIT;

	if (c != NULL)
		strbuf_addf(&text, "%s of the row", c->name);
	else
		strbuf_addstr(&text, "the values of ");
	for (size_t k = 0; c == NULL && k < r->nkey; k++)
		strbuf_addf(&text, "%s%s", k > 0 ? "," : "", r->columns[r->key[k]].name);
	if (c == NULL)
		strbuf_addstr(&text, " with commas between them; a comma in one is %2C");
	return json_pack("{s:s, s:s, s:b, s:s, s:o}", "name", key_name(r), "in", "path", "required",
			 1, "description", strbuf_str(&text), "schema",
			 c != NULL ? openapi_key_schema(c) : json_pack("{s:s}", "type", "string"));
}

/* Values with commas between them. */
static json_t *list_parameter(const char *name, const char *description)
{
	return json_pack("{s:s, s:s, s:s, s:b, s:{s:s, s:{s:s}}}", "name", name, "in", "query",
			 "description", description, "explode", 0, "schema", "type", "array",
			 "items", "type", "string");
}

/* Once each. */
static void add_neighbours(struct strbuf *out, const struct openapi *o,
			   const struct model_resource *r)
{
	const struct model *m = o->model;

	for (size_t i = 0; i < m->nresources; i++) {
		bool leads = false;

		for (size_t f = 0; f < m->nreferences; f++) {
			const struct model_reference *x = &m->references[f];
			const struct model_resource *child = &m->resources[x->child],
						    *parent = &m->resources[x->parent];

			leads = leads || (child == r && parent == &m->resources[i]) ||
				(parent == r && child == &m->resources[i]);
		}
		if (leads)
			strbuf_addf(out, "%s%s", out->len > 0 ? ", " : "", m->resources[i].name);
	}
}

static json_t *embed_parameter(const struct openapi *o, const struct model_resource *r)
{
	AUTO_STRBUF names = STRBUF_INIT, text = STRBUF_INIT;

	add_neighbours(&names, o, r);
	strbuf_addf(
		&text,
		"rows of other resources that are members of the answer's: %s%spaths of names, as "
		"in a.b, embed in what is embedded; name!column is by the foreign key of this "
		"column. Where a row has several of one resource, each member is called as it is "
		"asked for, name!column, those that are there by themselves too",
		strbuf_str(&names), names.len > 0 ? "; " : "");
	return list_parameter("embed", text.data);
}

static json_t *select_parameter(void)
{
	return list_parameter("select",
			      "only these columns, in this order: others, which the schema "
			      "requires, are absent then");
}

static json_t *filter_parameter(const struct openapi *o, const struct model_resource *r,
				size_t column)
{
	const struct model_column *c = &r->columns[column];
	AUTO_STRBUF name = STRBUF_INIT, text = STRBUF_INIT;
	AUTO_STRBUF operators = STRBUF_INIT, served = STRBUF_INIT;

	query_operators(&operators, r, column, false);
	query_operators(&served, r, column, true);
	strbuf_addf(&name, "%s%s", query_is_parameter(c->name) ? "column." : "", c->name);
	strbuf_addf(&text,
		    "a filter of a column of type %s: %s; a value behind those that end with a dot",
		    c->type, strbuf_str(&operators));
	if (!o->options->scans)
		strbuf_addf(&text,
			    ". An index serves %s; the others only beside a filter that one serves",
			    served.len > 0 ? served.data : "none of them");
	return json_pack("{s:s, s:s, s:s, s:b, s:{s:s, s:{s:s}}}", "name", name.data, "in", "query",
			 "description", text.data, "explode", 1, "schema", "type", "array", "items",
			 "type", "string");
}

static json_t *common_parameter(const char *name)
{
	char ref[64];

	snprintf(ref, sizeof(ref), "#/components/parameters/%s", name);
	return json_pack("{s:s}", "$ref", ref);
}

static json_t *page_parameters(const struct openapi *o, const struct model_resource *r)
{
	json_t *all = json_array();

	json_array_append_new(all, common_parameter("Limit"));
	json_array_append_new(all, common_parameter("Cursor"));
	json_array_append_new(
		all, list_parameter("order",
				    o->options->scans
					    ? "columns; with - in front descending. The key comes "
					      "last by itself"
					    : "columns that an index orders by; with - in front "
					      "descending. The key comes last by itself"));
	json_array_append_new(all, select_parameter());
	json_array_append_new(all, embed_parameter(o, r));
	json_array_append_new(all, common_parameter("Count"));
	json_array_append_new(all, common_parameter("Position"));
	for (size_t i = 0; i < r->ncolumns; i++)
		json_array_append_new(all, filter_parameter(o, r, i));
	return all;
}

static json_t *row_parameters(const struct openapi *o, const struct model_resource *r)
{
	return json_pack("[o, o, o]", select_parameter(), embed_parameter(o, r),
			 common_parameter("Position"));
}

/* ---- answers ---- */

static json_t *header(const char *description, const char *type)
{
	return json_pack("{s:s, s:{s:s}}", "description", description, "schema", "type", type);
}

/* Of all answers: what the client has seen by then. */
static json_t *position_headers(void)
{
	return json_pack("{s:{s:s}}", "X-Position", "$ref", "#/components/headers/Position");
}

static json_t *read_headers(void)
{
	json_t *headers = position_headers();

	json_object_set_new(headers, "X-Served-By",
			    header("the replica that answered, or primary", "string"));
	return headers;
}

static json_t *location(void)
{
	json_t *headers = position_headers();

	json_object_set_new(headers, "Location", header("the row's path", "string"));
	return headers;
}

/* Takes data over. what: "created". */
static json_t *enveloped(const struct model_resource *r, json_t *data, const char *what, bool page)
{
	char message[128];
	json_t *properties = json_pack("{s:{s:s, s:b}, s:o}", "success", "type", "boolean", "const",
				       1, "data", data);

	if (page)
		json_object_set_new(
			properties, "next",
			json_pack("{s:[s, s], s:s}", "type", "string", "null", "description",
				  "of a page: the cursor of the next one; null on the last"));
	snprintf(message, sizeof(message), "%s %s successfully", r->name, what);
	json_object_set_new(properties, "message",
			    json_pack("{s:s, s:s}", "type", "string", "const", message));
	return json_pack("{s:s, s:[s, s, s], s:o}", "type", "object", "required", "success", "data",
			 "message", "properties", properties);
}

/* Takes data and headers (NULL: none) over. */
static json_t *answer(const struct openapi *o, const struct model_resource *r, const char *what,
		      json_t *data, json_t *headers, bool page)
{
	json_t *schema = o->options->envelope ? enveloped(r, data, what, page) : data;
	json_t *all = json_pack("{s:s, s:{s:{s:o}}}", "description", what, "content",
				"application/json", "schema", schema);

	if (headers != NULL)
		json_object_set_new(all, "headers", headers);
	return all;
}

/* Answers of components: "400 404". */
static void add_failures(json_t *responses, const char *statuses)
{
	static const struct {
		const char *status, *name;
	} all[] = {
		{ "400", "BadRequest" },  { "403", "Forbidden" }, { "404", "NoRow" },
		{ "409", "Conflict" },	  { "412", "Condition" }, { "413", "TooLarge" },
		{ "415", "WrongType" },	  { "421", "WrongHost" }, { "422", "Refused" },
		{ "503", "Unavailable" }, { "504", "TimedOut" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		char ref[64];

		if (strstr(statuses, all[i].status) == NULL)
			continue;
		snprintf(ref, sizeof(ref), "#/components/responses/%s", all[i].name);
		json_object_set_new(responses, all[i].status, json_pack("{s:s}", "$ref", ref));
	}
}

/* ---- operations ---- */

/* Takes parameters (NULL: none) and responses over. */
static json_t *operation(const struct model_resource *r, const char *verb, const char *summary,
			 json_t *parameters, json_t *responses, const char *failures)
{
	AUTO_STRBUF name = STRBUF_INIT;

	strbuf_addf(&name, "%s.%s", verb, r->name);
	json_t *o = json_pack("{s:s, s:[s], s:s}", "operationId", name.data, "tags", r->name,
			      "summary", summary);

	if (parameters != NULL)
		json_object_set_new(o, "parameters", parameters);
	add_failures(responses, failures);
	json_object_set_new(o, "responses", responses);
	return o;
}

/* In front of the responses, as people read it. */
static json_t *with_body(json_t *o, const struct model_resource *r, const char *kind)
{
	json_t *responses = json_incref(json_object_get(o, "responses"));

	json_object_del(o, "responses");
	json_object_set_new(o, "requestBody",
			    json_pack("{s:b, s:{s:{s:o}}}", "required", 1, "content",
				      "application/json", "schema", openapi_schema_ref(kind, r)));
	json_object_set_new(o, "responses", responses);
	return o;
}

static json_t *rows_answer(const struct openapi *o, const struct model_resource *r)
{
	json_t *headers = read_headers();

	json_object_set_new(headers, "X-Total-Count",
			    header("with count: how many rows there are", "integer"));
	if (!o->options->envelope)
		json_object_set_new(
			headers, "X-Next-Cursor",
			header("of a page: the cursor of the next one; absent on the last",
			       "string"));
	return answer(o, r, "retrieved",
		      json_pack("{s:s, s:o}", "type", "array", "items", openapi_read_ref(o, r)),
		      headers, true);
}

static json_t *list_operation(const struct openapi *o, const struct model_resource *r)
{
	return operation(
		r, "list",
		"All rows in the order of their keys, streamed; with limit or cursor a page",
		page_parameters(o, r), json_pack("{s:o}", "200", rows_answer(o, r)),
		"400 421 503 504");
}

static json_t *get_operation(const struct openapi *o, const struct model_resource *r)
{
	json_t *row = answer(o, r, "retrieved", openapi_read_ref(o, r), read_headers(), false);

	return operation(r, "get", "One row", row_parameters(o, r), json_pack("{s:o}", "200", row),
			 "400 404 421 503 504");
}

static json_t *written(const struct openapi *o, const struct model_resource *r, bool created)
{
	return answer(o, r, created ? "created" : "updated", openapi_schema_ref("row", r),
		      created ? location() : position_headers(), false);
}

#define OF_WRITES "400 403 409 412 413 415 421 422 503 504"

static json_t *create_operation(const struct openapi *o, const struct model_resource *r)
{
	return with_body(operation(r, "create", "Creates a row", NULL,
				   json_pack("{s:o}", "201", written(o, r, true)), OF_WRITES),
			 r, "new");
}

static json_t *replace_operation(const struct openapi *o, const struct model_resource *r)
{
	json_t *responses = json_pack("{s:o}", "200", written(o, r, false));

	if (model_key_is_made(r))
		return with_body(
			operation(r, "replace",
				  "Changes the columns that are given: only the database makes "
				  "keys, so no row is created",
				  NULL, responses, OF_WRITES " 404"),
			r, "change");
	json_object_set_new(responses, "201", written(o, r, true));
	return with_body(
		operation(r, "replace",
			  "Creates the row, or replaces it: columns that are not given get "
			  "their defaults",
			  NULL, responses, OF_WRITES),
		r, "replace");
}

static json_t *update_operation(const struct openapi *o, const struct model_resource *r)
{
	return with_body(operation(r, "update", "Changes the columns that are given", NULL,
				   json_pack("{s:o}", "200", written(o, r, false)),
				   OF_WRITES " 404"),
			 r, "change");
}

static json_t *delete_operation(const struct openapi *o, const struct model_resource *r)
{
	json_t *responses = o->options->envelope
				    ? json_pack("{s:o}", "200",
						answer(o, r, "deleted",
						       json_pack("{s:s}", "type", "null"),
						       position_headers(), false))
				    : json_pack("{s:{s:s, s:o}}", "204", "description", "deleted",
						"headers", position_headers());

	return operation(r, "delete", "Deletes the row", NULL, responses,
			 "400 403 404 409 412 421 422 503 504");
}

static json_t *import_answer(const struct openapi *o)
{
	json_t *counts = json_pack("{s:s}", "$ref", "#/components/schemas/ImportCounts");

	if (!o->options->envelope)
		return counts;
	return json_pack("{s:s, s:[s, s, s], s:{s:{s:s, s:b}, s:o, s:{s:s, s:s}}}", "type",
			 "object", "required", "success", "data", "message", "properties",
			 "success", "type", "boolean", "const", 1, "data", counts, "message",
			 "type", "string", "const", "Rows imported successfully");
}

static json_t *import_operation(const struct openapi *o, const struct model_resource *r)
{
	json_t *ok = json_pack("{s:s, s:o, s:{s:{s:o}}}", "description", "counts", "headers",
			       position_headers(), "content", "application/json", "schema",
			       import_answer(o));
	json_t *op = operation(r, "import", "Creates or replaces rows, one JSON object a line",
			       NULL, json_pack("{s:o}", "200", ok), "412 415 421 503");
	json_t *responses = json_incref(json_object_get(op, "responses"));

	json_object_del(op, "responses");
	json_object_set_new(
		op, "description",
		json_string("A line with the whole key creates or replaces its row, one without "
			    "creates one. Lines become batches; each batch is one transaction. A "
			    "rejected line costs only itself."));
	json_object_set_new(op, "requestBody",
			    json_pack("{s:b, s:{s:{s:o}}}", "required", 1, "content",
				      "application/x-ndjson", "schema",
				      openapi_schema_ref("new", r)));
	json_object_set_new(op, "responses", responses);
	return op;
}

/* ---- paths ---- */

/* Of the children by one foreign key. named: "posts", or "posts!author_id" where several lead there. */
static void add_children_path(struct openapi *o, const struct model_resource *parent,
			      const struct model_resource *child, const char *named)
{
	AUTO_STRBUF path = STRBUF_INIT, id = STRBUF_INIT;
	json_t *list = list_operation(o, child);

	strbuf_addf(&path, "%s/%s/{%s}/%s", o->options->prefix, parent->name, key_name(parent),
		    named);
	strbuf_addf(&id, "children.%s/%s", parent->name, named);
	json_object_set_new(list, "operationId", json_string(id.data));
	json_object_set_new(
		list, "summary",
		json_string("The rows that refer to this one; none if there is no such row"));
	json_object_set_new(o->paths, path.data,
			    json_pack("{s:[o], s:o}", "parameters", key_parameter(parent), "get",
				      list));
}

/* All that lead from child to parent: by its name alone if one does, else by that of a column that only one has,
 * if that can stand in a path. */
static void add_children(struct openapi *o, const struct model_resource *parent,
			 const struct model_resource *child)
{
	const struct model *m = o->model;

	if (query_children(m, child, parent, NULL, 0) != NULL) {
		add_children_path(o, parent, child, child->name);
		return;
	}
	for (size_t i = 0; i < m->nreferences; i++) {
		const struct model_reference *f = &m->references[i];

		if (&m->resources[f->child] != child || &m->resources[f->parent] != parent)
			continue;
		for (size_t k = 0; k < f->n; k++) {
			const char *name = child->columns[f->columns[k]].name;
			AUTO_STRBUF named = STRBUF_INIT;

			if (!is_plain(name) ||
			    query_children(m, child, parent, name, strlen(name)) != f)
				continue;
			strbuf_addf(&named, "%s!%s", child->name, name);
			add_children_path(o, parent, child, named.data);
			break;
		}
	}
}

void openapi_add_paths(struct openapi *o, const struct model_resource *r)
{
	AUTO_STRBUF all = STRBUF_INIT, one = STRBUF_INIT, lines = STRBUF_INIT;

	strbuf_addf(&all, "%s/%s", o->options->prefix, r->name);
	strbuf_addf(&one, "%s/{%s}", all.data, key_name(r));
	json_object_set_new(o->paths, all.data,
			    json_pack("{s:o, s:o}", "get", list_operation(o, r), "post",
				      create_operation(o, r)));
	strbuf_addf(&lines, "%s/import", all.data);
	json_object_set_new(o->paths, lines.data,
			    json_pack("{s:o}", "post", import_operation(o, r)));
	json_object_set_new(o->paths, one.data,
			    json_pack("{s:[o], s:o, s:o, s:o, s:o}", "parameters", key_parameter(r),
				      "get", get_operation(o, r), "put", replace_operation(o, r),
				      "patch", update_operation(o, r), "delete",
				      delete_operation(o, r)));
	for (size_t i = 0; i < o->model->nresources; i++)
		add_children(o, r, &o->model->resources[i]);
}
