/*
 * models_for_tests.h: a model as a catalog would give it, and requests against it, for tests of api/resources.
 *
 * users, posts, comments, categories; lines (a key of several columns), tags (a text as key), profiles (one
 * for each user), odd (names that need quotes), kinds (a column of every kind), wide (1,599 columns).
 */
#ifndef PGFANOUT_TESTS_UNIT_MODELS_FOR_TESTS_H
#define PGFANOUT_TESTS_UNIT_MODELS_FOR_TESTS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/resources/query.h"

#define MODEL_WIDE 1599

/* In place of model.c, unless it is linked. */
__attribute__((weak)) const struct model_resource *model_find(const struct model *m,
							      const char *name, size_t len)
{
	for (size_t i = 0; i < m->nresources; i++)
		if (strlen(m->resources[i].name) == len &&
		    memcmp(m->resources[i].name, name, len) == 0)
			return &m->resources[i];
	return NULL;
}

__attribute__((weak)) int model_column_find(const struct model_resource *r, const char *name,
					    size_t len)
{
	for (size_t i = 0; i < r->ncolumns; i++)
		if (strlen(r->columns[i].name) == len && memcmp(r->columns[i].name, name, len) == 0)
			return (int)i;
	return -1;
}

__attribute__((weak)) struct model *model_ref(const struct model *m)
{
	return (struct model *)(uintptr_t)m;
}

__attribute__((weak)) void model_unref(const struct model *m)
{
	(void)m;
}

/* ---- tables, as texts ---- */

struct table_spec {
	const char *name, *schema, *relation, *filter;
	/* "name|type|kind", with "!" in front of those that are NOT NULL; kinds as the first letters of enum
	 * model_kind's names. */
	const char *columns[24];
	const char *key; /* names with commas */
	const char *indexes
		[8]; /* names with commas; "-" in front: descending; "#": a hash; "~": text_pattern_ops;
				 * "c": of collation "C" */
};

static const struct table_spec table_specs[] = {
	{ "users",
	  "public",
	  "User",
	  NULL,
	  { "!id|integer|i", "!email|character varying(200)|s", "name|text|s",
	    "!createdAt|timestamp(3) without time zone|t", "managerId|integer|i",
	    "active|boolean|b" },
	  "id",
	  { "id", "email", "~name", "createdAt", "managerId" } },
	{ "posts",
	  "public",
	  "Post",
	  NULL,
	  { "!id|integer|i", "!title|text|s", "!published|boolean|b", "!userId|integer|i",
	    "editorId|integer|i", "categoryId|smallint|i", "createdAt|timestamp with time zone|u",
	    "rating|numeric(4,2)|n", "meta|jsonb|j" },
	  "id",
	  { "id", "userId,id", "categoryId,createdAt", "rating", "-createdAt,id",
	    "published,rating" } },
	{ "comments",
	  "public",
	  "Comment",
	  "visible OR id < 0",
	  { "!id|bigint|i", "!postId|integer|i", "userId|integer|i", "!text|text|s",
	    "!visible|boolean|b" },
	  "id",
	  { "id", "postId,id" } },
	{ "categories",
	  "public",
	  "categories",
	  NULL,
	  { "!id|smallint|i", "!name|character varying(40)|s", "parentId|smallint|i" },
	  "id",
	  { "id", "cname", "parentId" } },
	{ "lines",
	  "public",
	  "lines",
	  NULL,
	  { "amount|numeric|n", "!tenant|integer|i", "!code|character(4)|s", "!day|date|t",
	    "!big|bigint|i", "!id|uuid|s" },
	  "tenant,code,day",
	  { "tenant,code,day", "#id", "big" } },
	{ "tags",
	  "public",
	  "tags",
	  NULL,
	  { "!tag|text|s", "line|bit(3)|o", "post|integer|i" },
	  "tag",
	  { "tag", "post" } },
	{ "profiles",
	  "public",
	  "profiles",
	  NULL,
	  { "!id|uuid|s", "!userId|integer|i", "bio|text|s" },
	  "id",
	  { "id", "userId" } },
	{ "odd",
	  "Sales \"x\"",
	  "Odd 'one' \\ $1",
	  NULL,
	  { "!limit|integer|i", "a\"b'c\\d|text|s", "\x01\xc3\xa4$$|text|s",
	    "column.limit|integer|i", "a,b|integer|i", "-x|integer|i" },
	  "limit",
	  { "limit" } },
	{ "kinds",
	  "public",
	  "kinds",
	  NULL,
	  { "data|json|j",
	    "more|jsonb|j",
	    "!id|bigint|i",
	    "flag|boolean|b",
	    "small|smallint|i",
	    "num|numeric|n",
	    "real|real|n",
	    "dbl|double precision|n",
	    "at|timestamp with time zone|u",
	    "wall|timestamp without time zone|t",
	    "day|date|t",
	    "txt|text|s",
	    "code|character(3)|s",
	    "uid|uuid|s",
	    "mood|mood|e",
	    "nums|integer[]|a",
	    "ats|timestamp with time zone[]|a",
	    "codes|character(2)[]|a",
	    "bytes|bytea|o",
	    "ip|inet|o",
	    "span|interval|o",
	    "pair|pair|o",
	    "pt|point|o",
	    "bits|bit(3)|o" },
	  "id",
	  { "id", "mood", "dbl", "bits" } },
};

/* child, columns, parent, keys; "1" in front of the child: unique. */
static const char *const reference_specs[][4] = {
	{ "posts", "userId", "users", "id" },
	{ "posts", "editorId", "users", "id" },
	{ "posts", "categoryId", "categories", "id" },
	{ "comments", "postId", "posts", "id" },
	{ "comments", "userId", "users", "id" },
	{ "users", "managerId", "users", "id" },
	{ "categories", "parentId", "categories", "id" },
	{ "1profiles", "userId", "users", "id" },
	{ "tags", "post", "posts", "id" },
};

static inline size_t spec_column(const struct model_resource *r, const char *name, size_t len)
{
	int i = model_column_find(r, name, len);

	if (i < 0)
		fatal("there is no column %.*s in %s", (int)len, name, r->name);
	return (size_t)i;
}

static inline void spec_make_column(struct model_column *c, const char *spec)
{
	static const char letters[] = "binjutsao";
	const char *name = spec + (*spec == '!'), *type = strchr(name, '|') + 1,
		   *kind = strchr(type, '|') + 1;

	*c = (struct model_column){ .name = xstrndup(name, (size_t)(type - name - 1)),
				    .type = xstrndup(type, (size_t)(kind - type - 1)),
				    .not_null = *spec == '!',
				    .key = -1 };
	c->in_sql = c->name;
	c->kind = *kind == 'e' ? MODEL_TEXT : (enum model_kind)(strchr(letters, *kind) - letters);
	if (*kind == 'e') {
		c->labels = xcalloc(1, sizeof(*c->labels));
		c->labels[0] = xstrdup("ok");
		c->nlabels = 1;
	}
}

/* Places of columns; ret has room for all. */
static inline size_t spec_columns(const struct model_resource *r, const char *list, size_t *ret)
{
	size_t n = 0;

	while (*list != '\0') {
		size_t len = strcspn(list, ",");

		ret[n++] = spec_column(r, list, len);
		list += len + (list[len] == ',');
	}
	return n;
}

static inline void spec_make_index(const struct model_resource *r, struct model_index *x,
				   const char *spec)
{
	bool marked = strchr("-#~c", *spec) != NULL &&
		      model_column_find(r, spec, strcspn(spec, ",")) < 0;
	char mark = marked ? *spec : ' ';
	size_t places[8];

	x->ordered = mark != '#' && mark != '~';
	x->ncolumns = spec_columns(r, spec + marked, places);
	x->columns = xcalloc(x->ncolumns, sizeof(*x->columns));
	for (size_t i = 0; i < x->ncolumns; i++)
		x->columns[i] = (struct model_index_column){ .column = places[i],
							     .desc = mark == '-' && i == 0,
							     .pattern = mark == '~' ||
									mark == 'c' };
}

static inline void spec_make_resource(struct model_resource *r, const struct table_spec *t,
				      int table)
{
	*r = (struct model_resource){ .name = xstrdup(t->name),
				      .table = table,
				      .shape = table + 100,
				      .stream_number = table == 3 ? 3 : 2,
				      .version = xstrdup("pgfanout_version"),
				      .schema = xstrdup(t->schema),
				      .relation = xstrdup(t->relation),
				      .filter = t->filter != NULL ? xstrdup(t->filter) : NULL,
				      .rows = -1 };
	while (r->ncolumns < ARRAY_SIZE(t->columns) && t->columns[r->ncolumns] != NULL)
		r->ncolumns++;
	r->columns = xcalloc(r->ncolumns, sizeof(*r->columns));
	for (size_t i = 0; i < r->ncolumns; i++)
		spec_make_column(&r->columns[i], t->columns[i]);
	r->key = xcalloc(r->ncolumns, sizeof(*r->key));
	r->nkey = spec_columns(r, t->key, r->key);
	for (size_t k = 0; k < r->nkey; k++)
		r->columns[r->key[k]].key = (int)k;
	while (r->nindexes < ARRAY_SIZE(t->indexes) && t->indexes[r->nindexes] != NULL)
		r->nindexes++;
	r->indexes = xcalloc(r->nindexes, sizeof(*r->indexes));
	for (size_t i = 0; i < r->nindexes; i++)
		spec_make_index(r, &r->indexes[i], t->indexes[i]);
}

static inline void spec_make_wide(struct model_resource *r, int table)
{
	*r = (struct model_resource){ .name = xstrdup("wide"),
				      .table = table,
				      .shape = table + 100,
				      .stream_number = table == 3 ? 3 : 2,
				      .version = xstrdup("pgfanout_version"),
				      .schema = xstrdup("public"),
				      .relation = xstrdup("wide"),
				      .ncolumns = MODEL_WIDE,
				      .nkey = 1 };
	r->columns = xcalloc(MODEL_WIDE, sizeof(*r->columns));
	r->key = xcalloc(1, sizeof(*r->key));
	for (size_t i = 0; i < MODEL_WIDE; i++) {
		char *name = xasprintf("c%zu", i + 1);

		r->columns[i] = (struct model_column){ .name = name,
						       .in_sql = name,
						       .type = xstrdup("integer"),
						       .kind = MODEL_INTEGER,
						       .not_null = i == 0,
						       .key = i == 0 ? 0 : -1 };
	}
}

static inline void spec_make_reference(const struct model *m, struct model_reference *f,
				       const char *const spec[4])
{
	size_t child = model_find(m, spec[0] + (*spec[0] == '1'),
				  strlen(spec[0]) - (*spec[0] == '1')) -
		       m->resources;
	size_t parent = model_find(m, spec[2], strlen(spec[2])) - m->resources;

	*f = (struct model_reference){ .child = child,
				       .parent = parent,
				       .unique = *spec[0] == '1' };
	f->columns = xcalloc(4, sizeof(size_t));
	f->keys = xcalloc(4, sizeof(size_t));
	f->n = spec_columns(&m->resources[child], spec[1], f->columns);
	(void)spec_columns(&m->resources[parent], spec[3], f->keys);
}

static inline struct model *model_for_tests(void)
{
	struct model *m = xcalloc(1, sizeof(*m));
	size_t n = ARRAY_SIZE(table_specs);

	atomic_init(&m->refs, 1);
	m->resources = xcalloc(n + 1, sizeof(*m->resources));
	for (; m->nresources < n; m->nresources++)
		spec_make_resource(&m->resources[m->nresources], &table_specs[m->nresources],
				   (int)m->nresources + 1);
	spec_make_wide(&m->resources[n], (int)n + 1);
	m->nresources = n + 1;
	m->nreferences = ARRAY_SIZE(reference_specs);
	m->references = xcalloc(m->nreferences, sizeof(*m->references));
	for (size_t i = 0; i < m->nreferences; i++)
		spec_make_reference(m, &m->references[i], reference_specs[i]);
	return m;
}

static inline void model_for_tests_free(struct model *m)
{
	for (size_t i = 0; i < m->nresources; i++) {
		struct model_resource *r = &m->resources[i];

		for (size_t k = 0; k < r->ncolumns; k++) {
			free(r->columns[k].name);
			free(r->columns[k].type);
			if (r->columns[k].labels != NULL)
				free(r->columns[k].labels[0]);
			free(r->columns[k].labels);
		}
		for (size_t k = 0; k < r->nindexes; k++)
			free(r->indexes[k].columns);
		free(r->name);
		free(r->schema);
		free(r->relation);
		free(r->filter);
		free(r->version);
		free(r->columns);
		free(r->key);
		free(r->indexes);
	}
	for (size_t i = 0; i < m->nreferences; i++) {
		free(m->references[i].columns);
		free(m->references[i].keys);
	}
	free(m->references);
	free(m->resources);
	free(m);
}

/* ---- requests ---- */

/* "a=b&c=d" as libmicrohttpd hands it on; no more than max. */
static inline size_t params_for_tests(const char *text, size_t len, struct http_param *ret,
				      size_t max)
{
	const char *end = text + len;
	size_t n = 0;

	while (text < end && n < max) {
		const char *stop = memchr(text, '&', (size_t)(end - text));
		stop = stop != NULL ? stop : end;
		const char *equal = memchr(text, '=', (size_t)(stop - text));

		ret[n++] = (struct http_param){
			.key = text,
			.key_len = (size_t)((equal != NULL ? equal : stop) - text),
			.value = equal != NULL ? equal + 1 : NULL,
			.value_len = equal != NULL ? (size_t)(stop - equal - 1) : 0
		};
		text = stop < end ? stop + 1 : end;
	}
	return n;
}

#endif
