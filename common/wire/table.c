/*
 * table.c: see table.h. Pure: any thread.
 */
#include "common/wire/table.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name; /* in descriptions */
	enum pgarray_type type;
	int32_t array_oid;
	const char *array;
} forms[TABLE_FORMS] = {
	[TABLE_BOOLEAN] = { "boolean", PGARRAY_BOOL, 1000, "boolean[]" },
	[TABLE_INT4] = { "int4", PGARRAY_INT4, 1007, "integer[]" },
	[TABLE_INT8] = { "int8", PGARRAY_INT8, 1016, "bigint[]" },
	[TABLE_UUID] = { "uuid", PGARRAY_UUID, 2951, "uuid[]" },
	[TABLE_TIMESTAMPTZ] = { "timestamptz", PGARRAY_TIMESTAMPTZ, 1185, "timestamptz[]" },
	[TABLE_NUMBER] = { "number", PGARRAY_TEXT, 1009, "text[]" },
	[TABLE_JSON] = { "json", PGARRAY_TEXT, 1009, "text[]" },
	[TABLE_STRING] = { "string", PGARRAY_TEXT, 1009, "text[]" },
	[TABLE_TEXT] = { "text", PGARRAY_TEXT, 1009, "text[]" },
};

enum pgarray_type table_array_type(enum table_form form)
{
	return forms[form].type;
}

int32_t table_array_oid(enum table_form form)
{
	return forms[form].array_oid;
}

const char *table_array_name(enum table_form form)
{
	return forms[form].array;
}

static const char *get_text(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "";
}

static bool read_column(const json_t *from, struct table_column *c, struct err *err)
{
	AUTO_STRBUF quoted = STRBUF_INIT;
	const char *form = get_text(from, "form");
	size_t i = 0;

	*c = (struct table_column){ .att = (int)json_integer_value(json_object_get(from, "att")),
				    .not_null = json_is_true(json_object_get(from, "notnull")),
				    .key = -1 };
	c->name = xstrdup(get_text(from, "name"));
	c->here = xstrdup(c->name);
	c->member = xstrdup(get_text(from, "member"));
	c->type = xstrdup(get_text(from, "type"));
	c->collation = xstrdup(get_text(from, "collation"));
	c->equal = xstrdup(get_text(from, "equal"));
	strbuf_addf(&quoted, "\"%s\"", c->member);
	c->quoted = strbuf_detach(&quoted, &c->quoted_len);
	while (i < TABLE_FORMS && strcmp(forms[i].name, form) != 0)
		i++;
	if (c->att <= 0 || *c->name == '\0' || *c->member == '\0' || *c->type == '\0' ||
	    i == TABLE_FORMS)
		return err_set(err, "a column has no number, name, member, type or form");
	c->form = (enum table_form)i;
	return true;
}

static void read_filled(const json_t *from, struct table *t)
{
	char att[16];

	for (size_t i = 0; i < t->ncolumns; i++) {
		struct table_column *c = &t->columns[i];

		snprintf(att, sizeof(att), "%d", c->att);
		const json_t *fill = json_object_get(from, att);
		c->filled = json_is_string(fill) || json_is_null(fill);
		if (json_is_string(fill))
			c->fill = xstrdup(json_string_value(fill));
	}
}

static bool read_key(const json_t *from, struct table *t, struct err *err)
{
	const json_t *att;
	size_t place;

	t->key = xcalloc(json_array_size(from) + 1, sizeof(*t->key));
	json_array_foreach(from, place, att)
	{
		const struct table_column *c = table_column_of(t, (int)json_integer_value(att));

		if (c == NULL || *c->equal == '\0')
			return err_set(err, "a column of the key is not described");
		t->key[t->nkey] = (size_t)(c - t->columns);
		t->columns[t->key[t->nkey++]].key = (int)place;
	}
	return t->nkey > 0 ? true : err_set(err, "there is no key");
}

static void read_replicas(const json_t *from, struct table *t)
{
	AUTO_STRBUF names = STRBUF_INIT;
	const json_t *name;
	size_t i;

	if (!json_is_array(from))
		return;
	strbuf_addch(&names, '\n');
	json_array_foreach(from, i, name)
	{
		if (json_is_string(name))
			strbuf_addf(&names, "%s\n", json_string_value(name));
	}
	t->replicas = strbuf_detach(&names, NULL);
}

bool table_is_for(const struct table *t, const char *replica)
{
	AUTO_STRBUF line = STRBUF_INIT;

	strbuf_addf(&line, "\n%s\n", replica);
	return t->replicas == NULL || strstr(t->replicas, strbuf_str(&line)) != NULL;
}

static bool read_table(const json_t *from, struct table *t, struct err *err)
{
	AUTO_STRBUF full = STRBUF_INIT;
	const json_t *columns = json_object_get(from, "columns"), *column;
	size_t i;

	t->id = (int)json_integer_value(json_object_get(from, "table"));
	t->stream = xstrdup(get_text(from, "stream"));
	t->schema = xstrdup(get_text(from, "schema"));
	t->name = xstrdup(get_text(from, "name"));
	t->version = xstrdup(get_text(from, "version"));
	t->flat = json_is_true(json_object_get(from, "flat"));
	t->plain = json_is_true(json_object_get(from, "plain"));
	t->purge = strcmp(get_text(from, "dropped"), "purge") == 0;
	t->dropped = *get_text(from, "dropped") != '\0';
	t->loads = (int)json_integer_value(json_object_get(from, "loads"));
	read_replicas(json_object_get(from, "replicas"), t);
	strbuf_addf(&full, "%s.%s", t->schema, t->name);
	t->full = strbuf_detach(&full, NULL);
	t->columns = xcalloc(json_array_size(columns) + 1, sizeof(*t->columns));
	json_array_foreach(columns, i, column) if (!read_column(column, &t->columns[t->ncolumns++],
								err)) return false;
	read_filled(json_object_get(from, "filled"), t);
	if (t->id <= 0 || *t->stream == '\0' || *t->schema == '\0' || *t->name == '\0' ||
	    *t->version == '\0')
		return err_set(err, "table, stream, schema, name or version is missing");
	return read_key(json_object_get(from, "key"), t, err);
}

struct table *table_read(int shape, const char *description, struct err *err)
{
	json_error_t why;
	json_t *from = json_loads(description, JSON_REJECT_DUPLICATES, &why);
	struct table *t = xcalloc(1, sizeof(*t));
	bool ok;

	t->shape = shape;
	if (from == NULL)
		ok = err_set(err, "it is no JSON: %s", why.text);
	else
		ok = read_table(from, t, err);
	json_decref(from);
	if (ok)
		return t;
	err_prefix(err, "the description of shape %d cannot be read", shape);
	return table_free(t);
}

struct table *table_free(struct table *t)
{
	if (t == NULL)
		return NULL;
	for (size_t i = 0; i < t->ncolumns; i++) {
		free(t->columns[i].name);
		free(t->columns[i].here);
		free(t->columns[i].member);
		free(t->columns[i].quoted);
		free(t->columns[i].type);
		free(t->columns[i].collation);
		free(t->columns[i].fill);
		free(t->columns[i].equal);
	}
	free(t->columns);
	free(t->key);
	free(t->stream);
	free(t->replicas);
	free(t->schema);
	free(t->name);
	free(t->full);
	free(t->version);
	free(t);
	return NULL;
}

void table_name_row(struct strbuf *out, const struct table *t, const char *key)
{
	size_t len = strlen(key);

	if (t->flat && t->nkey == 1 && len > 2)
		strbuf_add(out, key + 1, len - 2);
	else
		strbuf_addf(out, "%s%s%s", t->full, len > 0 ? " " : "", key);
}

/* ---- two shapes of one table ---- */

const struct table_column *table_column_of(const struct table *t, int att)
{
	for (size_t i = 0; i < t->ncolumns; i++)
		if (t->columns[i].att == att)
			return &t->columns[i];
	return NULL;
}

bool table_fits(const struct table_column *from, const struct table_column *to)
{
	if (strcmp(from->type, to->type) == 0)
		return true;
	if (from->form == TABLE_STRING)
		return to->form == TABLE_STRING;
	return from->form == TABLE_INT4 &&
	       (to->form == TABLE_INT8 ||
		(strcmp(from->type, "smallint") == 0 && to->form == TABLE_INT4));
}

bool table_same_key(const struct table *a, const struct table *b)
{
	bool same = a->nkey == b->nkey;

	for (size_t k = 0; same && k < a->nkey; k++) {
		const struct table_column *x = &a->columns[a->key[k]], *y = &b->columns[b->key[k]];

		same = x->att == y->att && strcmp(x->type, y->type) == 0 &&
		       strcmp(x->collation, y->collation) == 0;
	}
	return same;
}

void table_follow(struct table *t, const struct table *has)
{
	for (size_t i = 0; i < t->ncolumns; i++) {
		struct table_column *c = &t->columns[i];
		const struct table_column *same = table_column_of(has, c->att);

		free(c->here);
		c->here = same != NULL && table_fits(c, same) ? xstrdup(same->name) : NULL;
	}
}
