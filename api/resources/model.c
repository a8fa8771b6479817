/*
 * model.c: see model.h. What catalog.sql writes is read strictly: a text that is not as model.h has it makes no
 * model at all, rather than one that statements would be made from. Members that are not known are left out.
 * Pure; any thread.
 */
#include "api/resources/model.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "common/json/jscan.h"

static const char *const kinds[MODEL_KINDS] = {
	[MODEL_BOOLEAN] = "boolean", [MODEL_INTEGER] = "integer", [MODEL_NUMBER] = "number",
	[MODEL_JSON] = "json",	     [MODEL_UTC] = "utc",	  [MODEL_TIME] = "time",
	[MODEL_TEXT] = "text",	     [MODEL_ARRAY] = "array",	  [MODEL_OTHER] = "other",
};

/* ---- members of an object ---- */

static char *copy(const struct jscan_value *string)
{
	AUTO_STRBUF text = STRBUF_INIT;

	jscan_string(string, &text, NULL);
	return text.len > 0 ? strbuf_detach(&text, NULL) : xstrdup("");
}

static bool read_optional(const struct jscan_value *object, const char *name, char **ret,
			  struct err *err)
{
	struct jscan_value v;

	if (!jscan_member(object, name, &v))
		return true;
	if (v.type != JSCAN_STRING)
		return err_set(err, "%s is %s, not a string", name, jscan_type_name(v.type));
	*ret = copy(&v);
	return true;
}

static bool read_text(const struct jscan_value *object, const char *name, char **ret,
		      struct err *err)
{
	if (!read_optional(object, name, ret, err))
		return false;
	if (*ret != NULL && **ret != '\0')
		return true;
	err_set(err, "%s is missing", name);
	return false;
}

static bool read_bool(const struct jscan_value *object, const char *name, bool *ret,
		      struct err *err)
{
	struct jscan_value v;

	if (!jscan_member(object, name, &v))
		return true;
	if (v.type != JSCAN_BOOL)
		return err_set(err, "%s is %s, not a boolean", name, jscan_type_name(v.type));
	*ret = *v.text == 't';
	return true;
}

/* What is not there leaves *ret as it is. */
static bool read_int(const struct jscan_value *object, const char *name, int64_t least,
		     int64_t most, int64_t *ret, struct err *err)
{
	struct jscan_value v;
	int64_t n;

	if (!jscan_member(object, name, &v))
		return true;
	if (v.type != JSCAN_NUMBER || !jscan_int64(&v, &n) || n < least || n > most)
		return err_set(err, "%s is no whole number from %lld to %lld", name,
			       (long long)least, (long long)most);
	*ret = n;
	return true;
}

/* A whole number above 0, which must be there. */
static bool read_number(const struct jscan_value *object, const char *name, int *ret,
			struct err *err)
{
	int64_t n = 0;

	if (!read_int(object, name, 1, INT_MAX, &n, err))
		return false;
	*ret = (int)n;
	return n > 0 ? true : err_set(err, "%s is missing", name);
}

/* The elements of an array, all of them of this type; how many. None: it is not there, or empty. */
static bool read_array(const struct jscan_value *object, const char *name, enum jscan_type of,
		       struct jscan_iter *ret_it, size_t *ret_n, struct err *err)
{
	struct jscan_value v, element;
	struct jscan_iter count;
	size_t n = 0;

	*ret_n = 0;
	if (!jscan_member(object, name, &v))
		return true;
	if (v.type != JSCAN_ARRAY)
		return err_set(err, "%s is %s, not an array", name, jscan_type_name(v.type));
	for (jscan_iter_init(&count, &v); jscan_iter_next(&count, NULL, &element); n++)
		if (element.type != of)
			return err_set(err, "%s has an element that is %s, not %s", name,
				       jscan_type_name(element.type), jscan_type_name(of));
	jscan_iter_init(ret_it, &v);
	*ret_n = n;
	return true;
}

/* ---- columns ---- */

static bool read_kind(const struct jscan_value *object, const char *name, enum model_kind *ret,
		      bool *ret_there, struct err *err)
{
	struct jscan_value v;
	int i = -1;

	*ret_there = jscan_member(object, name, &v);
	if (!*ret_there)
		return true;
	if (v.type == JSCAN_STRING)
		i = jscan_string_find(&v, kinds, MODEL_KINDS);
	if (i < 0)
		return err_set(err, "%s is no kind: %.*s", name, (int)min_size(v.len, 40), v.text);
	*ret = (enum model_kind)i;
	return true;
}

static bool read_kinds(const struct jscan_value *from, struct model_column *c, struct err *err)
{
	bool kind, element;

	if (!read_kind(from, "kind", &c->kind, &kind, err) ||
	    !read_kind(from, "element", &c->element, &element, err))
		return false;
	if (!kind)
		return err_set(err, "kind is missing");
	if (element != (c->kind == MODEL_ARRAY))
		return err_set(err, "an array has an element, and nothing else has");
	if (element &&
	    (c->element == MODEL_ARRAY || c->element == MODEL_JSON || c->element == MODEL_OTHER))
		return err_set(err, "an array has elements that are %s", kinds[c->element]);
	return true;
}

static bool read_labels(const struct jscan_value *from, struct model_column *c, struct err *err)
{
	struct jscan_iter it;
	struct jscan_value label;
	size_t n;

	if (!read_array(from, "labels", JSCAN_STRING, &it, &n, err))
		return false;
	if (n == 0)
		return true;
	c->labels = xcalloc(n, sizeof(*c->labels));
	while (jscan_iter_next(&it, NULL, &label))
		c->labels[c->nlabels++] = copy(&label);
	return true;
}

static bool read_identity(const struct jscan_value *from, struct model_column *c, struct err *err)
{
	static const char *const words[] = { "always", "by default" };
	struct jscan_value v;
	int i = -1;

	if (!jscan_member(from, "identity", &v))
		return true;
	if (v.type == JSCAN_STRING)
		i = jscan_string_find(&v, words, ARRAY_SIZE(words));
	if (i < 0)
		return err_set(err, "identity is neither \"always\" nor \"by default\"");
	c->identity = true;
	c->identity_always = i == 0;
	return true;
}

static bool read_column(const struct jscan_value *from, struct model_column *c, struct err *err)
{
	int64_t most = 0, number = 0;

	c->key = -1;
	if (!read_text(from, "name", &c->name, err))
		return false;
	c->in_sql = c->name;
	if (!read_text(from, "type", &c->type, err) ||
	    !read_optional(from, "comment", &c->comment, err) || !read_kinds(from, c, err) ||
	    !read_labels(from, c, err) || !read_identity(from, c, err) ||
	    !read_bool(from, "notnull", &c->not_null, err) ||
	    !read_bool(from, "default", &c->has_default, err) ||
	    !read_bool(from, "generated", &c->generated, err) ||
	    !read_bool(from, "plain", &c->plain, err) ||
	    !read_int(from, "number", 1, INT16_MAX, &number, err) ||
	    !read_int(from, "collation", 1, UINT32_MAX, &c->collation, err) ||
	    !read_int(from, "max", 1, INT_MAX, &most, err))
		return err_prefix(err, "column %s", c->name);
	c->max_length = (int)most;
	c->number = (int)number;
	return true;
}

static bool read_columns(const struct jscan_value *from, struct model_resource *r, struct err *err)
{
	struct jscan_iter it;
	struct jscan_value column;
	size_t n;

	if (!read_array(from, "columns", JSCAN_OBJECT, &it, &n, err))
		return false;
	r->columns = xcalloc(n + 1, sizeof(*r->columns));
	while (r->ncolumns < n && jscan_iter_next(&it, NULL, &column)) {
		struct model_column *c = &r->columns[r->ncolumns++];

		if (!read_column(&column, c, err))
			return false;
		if (&r->columns[model_column_find(r, c->name, strlen(c->name))] != c)
			return err_set(err, "it has two columns %s", c->name);
	}
	return true;
}

/* Names of columns of r, at least one; their places, which the caller frees. */
static bool read_names(const struct jscan_value *from, const char *name,
		       const struct model_resource *r, size_t **ret, size_t *ret_n, struct err *err)
{
	struct jscan_iter it;
	struct jscan_value v;
	size_t n, i = 0;

	if (!read_array(from, name, JSCAN_STRING, &it, &n, err))
		return false;
	if (n == 0)
		return err_set(err, "%s is missing", name);

	size_t *places = xcalloc(n, sizeof(*places));

	while (jscan_iter_next(&it, NULL, &v)) {
		AUTO_FREE char *column = copy(&v);
		int place = model_column_find(r, column, strlen(column));

		if (place < 0) {
			free(places);
			return err_set(err, "%s has a column that %s has not: %s", name, r->name,
				       column);
		}
		places[i++] = (size_t)place;
	}
	*ret = places;
	*ret_n = n;
	return true;
}

/* ---- keys and indexes ---- */

static bool read_key(const struct jscan_value *from, struct model_resource *r, struct err *err)
{
	if (!read_names(from, "key", r, &r->key, &r->nkey, err))
		return false;
	r->plain = true;
	for (size_t i = 0; i < r->nkey; i++) {
		struct model_column *c = &r->columns[r->key[i]];

		if (c->key >= 0)
			return err_set(err, "its key has the column %s twice", c->name);
		c->key = (int)i;
		r->plain = r->plain && c->plain;
	}
	return true;
}

static bool read_index_column(const struct jscan_value *from, const struct model_resource *r,
			      struct model_index_column *c, struct err *err)
{
	AUTO_FREE char *name = NULL;

	if (!read_text(from, "name", &name, err))
		return false;

	int place = model_column_find(r, name, strlen(name));

	if (place < 0)
		return err_set(err, "%s has no column %s", r->name, name);
	c->column = (size_t)place;
	return read_bool(from, "desc", &c->desc, err) &&
	       read_bool(from, "pattern", &c->pattern, err) &&
	       read_bool(from, "unordered", &c->unordered, err) &&
	       read_bool(from, "unequal", &c->unequal, err);
}

static bool read_index(const struct jscan_value *from, const struct model_resource *r,
		       struct model_index *x, struct err *err)
{
	static const char *const methods[] = { "btree", "hash" };
	struct jscan_iter it;
	struct jscan_value v;
	size_t n;
	int method = -1;

	if (jscan_member(from, "method", &v) && v.type == JSCAN_STRING)
		method = jscan_string_find(&v, methods, ARRAY_SIZE(methods));
	if (method < 0)
		return err_set(err, "its method is neither btree nor hash");
	x->ordered = method == 0;
	if (!read_bool(from, "unique", &x->unique, err) ||
	    !read_array(from, "columns", JSCAN_OBJECT, &it, &n, err))
		return false;
	if (n == 0)
		return err_set(err, "it has no columns");
	x->columns = xcalloc(n, sizeof(*x->columns));
	while (jscan_iter_next(&it, NULL, &v))
		if (!read_index_column(&v, r, &x->columns[x->ncolumns++], err))
			return false;
	return true;
}

static bool read_indexes(const struct jscan_value *from, struct model_resource *r, struct err *err)
{
	struct jscan_iter it;
	struct jscan_value v;
	size_t n;

	if (!read_array(from, "indexes", JSCAN_OBJECT, &it, &n, err))
		return false;
	r->indexes = xcalloc(n + 1, sizeof(*r->indexes));
	while (r->nindexes < n && jscan_iter_next(&it, NULL, &v))
		if (!read_index(&v, r, &r->indexes[r->nindexes++], err))
			return err_prefix(err, "an index");
	return true;
}

/* ---- resources, references, what is missing ---- */

static bool read_constraints(const struct jscan_value *from, struct model_resource *r,
			     struct err *err)
{
	struct jscan_iter it;
	struct jscan_value v;
	size_t n;

	if (!read_array(from, "constraints", JSCAN_OBJECT, &it, &n, err))
		return false;
	r->constraints = xcalloc(n + 1, sizeof(*r->constraints));
	while (r->nconstraints < n && jscan_iter_next(&it, NULL, &v)) {
		struct model_constraint *c = &r->constraints[r->nconstraints++];
		AUTO_FREE char *column = NULL;

		if (!read_text(&v, "name", &c->name, err) || !read_text(&v, "column", &column, err))
			return err_prefix(err, "a constraint");
		int place = model_column_find(r, column, strlen(column));

		if (place < 0)
			return err_set(err, "there is no column %s", column);
		c->column = (size_t)place;
	}
	return true;
}

static bool read_resource(const struct jscan_value *from, struct model_resource *r, struct err *err)
{
	int64_t stream = 0;

	r->rows = -1;
	if (!read_text(from, "name", &r->name, err))
		return false;
	if (!read_number(from, "table", &r->table, err) ||
	    !read_number(from, "shape", &r->shape, err) ||
	    !read_text(from, "schema", &r->schema, err) ||
	    !read_text(from, "relation", &r->relation, err) ||
	    !read_optional(from, "filter", &r->filter, err) ||
	    !read_optional(from, "comment", &r->comment, err) ||
	    !read_int(from, "rows", -1, INT64_MAX, &r->rows, err) ||
	    !read_bool(from, "joined", &r->joined, err) ||
	    !read_bool(from, "replaced", &r->replaced, err) ||
	    !read_bool(from, "partitioned", &r->partitioned, err) ||
	    !read_optional(from, "stream", &r->stream, err) ||
	    !read_optional(from, "version", &r->version, err) ||
	    !read_int(from, "streamNumber", 1, INT16_MAX, &stream, err) ||
	    !read_columns(from, r, err) || !read_key(from, r, err) || !read_indexes(from, r, err) ||
	    !read_constraints(from, r, err))
		return err_prefix(err, "resource %s", r->name);
	r->stream_number = (int)stream;
	return true;
}

static bool read_resources(const struct jscan_value *from, struct model *m, struct err *err)
{
	struct jscan_iter it;
	struct jscan_value v;
	size_t n;

	if (!read_array(from, "resources", JSCAN_OBJECT, &it, &n, err))
		return false;
	m->resources = xcalloc(n + 1, sizeof(*m->resources));
	while (m->nresources < n && jscan_iter_next(&it, NULL, &v)) {
		struct model_resource *r = &m->resources[m->nresources++];

		if (!read_resource(&v, r, err))
			return false;
		if (model_find(m, r->name, strlen(r->name)) != r)
			return err_set(err, "there are two resources %s", r->name);
	}
	return true;
}

static bool read_party(const struct jscan_value *from, const char *name, const struct model *m,
		       size_t *ret, struct err *err)
{
	AUTO_FREE char *text = NULL;

	if (!read_text(from, name, &text, err))
		return false;

	const struct model_resource *r = model_find(m, text, strlen(text));

	if (r == NULL)
		return err_set(err, "%s is no resource: %s", name, text);
	*ret = (size_t)(r - m->resources);
	return true;
}

static bool read_reference(const struct jscan_value *from, const struct model *m,
			   struct model_reference *f, struct err *err)
{
	size_t nkeys = 0;

	if (!read_party(from, "child", m, &f->child, err) ||
	    !read_party(from, "parent", m, &f->parent, err) ||
	    !read_names(from, "columns", &m->resources[f->child], &f->columns, &f->n, err) ||
	    !read_names(from, "keys", &m->resources[f->parent], &f->keys, &nkeys, err))
		return false;
	if (nkeys != f->n)
		return err_set(err, "it has %zu columns and %zu keys", f->n, nkeys);
	return read_bool(from, "unique", &f->unique, err);
}

static bool read_references(const struct jscan_value *from, struct model *m, struct err *err)
{
	struct jscan_iter it;
	struct jscan_value v;
	size_t n;

	if (!read_array(from, "references", JSCAN_OBJECT, &it, &n, err))
		return false;
	m->references = xcalloc(n + 1, sizeof(*m->references));
	while (m->nreferences < n && jscan_iter_next(&it, NULL, &v))
		if (!read_reference(&v, m, &m->references[m->nreferences++], err))
			return err_prefix(err, "a reference");
	return true;
}

static bool read_missing(const struct jscan_value *from, struct model *m, struct err *err)
{
	struct jscan_iter it;
	struct jscan_value v;
	size_t n;

	if (!read_array(from, "missing", JSCAN_OBJECT, &it, &n, err))
		return false;
	m->missing = xcalloc(n + 1, sizeof(*m->missing));
	while (m->nmissing < n && jscan_iter_next(&it, NULL, &v)) {
		struct model_missing *x = &m->missing[m->nmissing++];

		if (!read_text(&v, "name", &x->name, err) ||
		    !read_text(&v, "reason", &x->reason, err))
			return err_prefix(err, "what is missing");
	}
	return true;
}

struct model *model_read(const char *text, size_t len, struct err *err)
{
	struct jscan_value from;

	if (!jscan_document(text, len, &from, err)) {
		err_prefix(err, "the description of the resources is no JSON");
		return NULL;
	}

	struct model *m = xcalloc(1, sizeof(*m));
	bool ok = true;

	atomic_init(&m->refs, 1);
	if (from.type != JSCAN_OBJECT)
		ok = err_set(err, "it is %s, not an object", jscan_type_name(from.type));
	ok = ok && read_resources(&from, m, err) && read_references(&from, m, err) &&
	     read_missing(&from, m, err);
	if (ok)
		return m;
	err_prefix(err, "the description of the resources cannot be read");
	model_unref(m);
	return NULL;
}

/* ---- its life ---- */

static void column_clear(struct model_column *c)
{
	if (c->in_sql != c->name)
		free(c->in_sql);
	free(c->name);
	free(c->type);
	free(c->comment);
	for (size_t i = 0; i < c->nlabels; i++)
		free(c->labels[i]);
	free(c->labels);
}

static void resource_clear(struct model_resource *r)
{
	for (size_t i = 0; i < r->ncolumns; i++)
		column_clear(&r->columns[i]);
	for (size_t i = 0; i < r->nindexes; i++)
		free(r->indexes[i].columns);
	for (size_t i = 0; i < r->nconstraints; i++)
		free(r->constraints[i].name);
	free(r->constraints);
	free(r->stream);
	free(r->version);
	free(r->columns);
	free(r->indexes);
	free(r->key);
	free(r->name);
	free(r->schema);
	free(r->relation);
	free(r->filter);
	free(r->comment);
}

static void model_free(struct model *m)
{
	for (size_t i = 0; i < m->nresources; i++)
		resource_clear(&m->resources[i]);
	for (size_t i = 0; i < m->nreferences; i++) {
		free(m->references[i].columns);
		free(m->references[i].keys);
	}
	for (size_t i = 0; i < m->nmissing; i++) {
		free(m->missing[i].name);
		free(m->missing[i].reason);
	}
	free(m->resources);
	free(m->references);
	free(m->missing);
	free(m);
}

/* Who shares a model may not change it, but for the count of who does. */
static struct model *counted(const struct model *m)
{
	union {
		const struct model *shared;
		struct model *counted;
	} as = { .shared = m };

	return as.counted;
}

struct model *model_ref(const struct model *m)
{
	struct model *c = counted(m);

	atomic_fetch_add(&c->refs, 1);
	return c;
}

void model_unref(const struct model *m)
{
	struct model *c = counted(m);

	if (c != NULL && atomic_fetch_sub(&c->refs, 1) == 1)
		model_free(c);
}

/* ---- looking things up ---- */

static bool is_called(const char *name, const char *asked, size_t len)
{
	return strncmp(name, asked, len) == 0 && name[len] == '\0';
}

const struct model_resource *model_find(const struct model *m, const char *name, size_t len)
{
	for (size_t i = 0; i < m->nresources; i++)
		if (is_called(m->resources[i].name, name, len))
			return &m->resources[i];
	return NULL;
}

bool model_key_is_made(const struct model_resource *r)
{
	for (size_t k = 0; k < r->nkey; k++)
		if (r->columns[r->key[k]].identity_always || r->columns[r->key[k]].generated)
			return true;
	return false;
}

bool model_key_is_exact(const struct model_resource *r)
{
	bool exact = r->plain;

	for (size_t k = 0; k < r->nkey; k++) {
		enum model_kind kind = r->columns[r->key[k]].kind;

		exact = exact &&
			(kind == MODEL_INTEGER || kind == MODEL_BOOLEAN || kind == MODEL_TEXT);
	}
	return exact;
}

const char *model_constraint_column(const struct model_resource *r, const char *constraint)
{
	for (size_t i = 0; i < r->nconstraints; i++)
		if (strcmp(r->constraints[i].name, constraint) == 0)
			return r->columns[r->constraints[i].column].name;
	return NULL;
}

int model_column_find(const struct model_resource *r, const char *name, size_t len)
{
	for (size_t i = 0; i < r->ncolumns; i++)
		if (is_called(r->columns[i].name, name, len))
			return (int)i;
	return -1;
}
