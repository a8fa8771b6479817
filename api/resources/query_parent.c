/*
 * query_parent.c: the children of one row: filters that hold the columns of a foreign key to the parent's key.
 * Pure; any thread.
 */
#include <string.h>

#include "api/resources/query_private.h"

/* The place of the key's column among the reference's; n: it is not there. */
static size_t place_of(const struct model_reference *f, size_t column)
{
	size_t i = 0;

	while (i < f->n && f->keys[i] != column)
		i++;
	return i;
}

static bool leads_to_key(const struct model *m, const struct model_reference *f)
{
	const struct model_resource *parent = &m->resources[f->parent];

	for (size_t k = 0; k < parent->nkey; k++)
		if (place_of(f, parent->key[k]) == f->n)
			return false;
	return f->n == parent->nkey;
}

static bool is_named(const struct model_resource *child, const struct model_reference *f,
		     const char *column)
{
	for (size_t i = 0; i < f->n; i++)
		if (strcmp(child->columns[f->columns[i]].name, column) == 0)
			return true;
	return false;
}

const struct model_reference *query_children(const struct model *m,
					     const struct model_resource *child,
					     const struct model_resource *parent,
					     const char *column, size_t len)
{
	const struct model_reference *found = NULL;
	AUTO_STRBUF name = STRBUF_INIT;
	const char *ignored;

	if (column != NULL && !query_decode(column, len, false, &name, &ignored))
		return NULL;
	for (size_t i = 0; i < m->nreferences; i++) {
		const struct model_reference *f = &m->references[i];

		if (&m->resources[f->child] != child || &m->resources[f->parent] != parent ||
		    !leads_to_key(m, f) ||
		    (column != NULL && !is_named(child, f, strbuf_str(&name))))
			continue;
		if (found)
			return NULL;
		found = f;
	}
	return found;
}

bool query_read_parent(struct query *q, const struct query_rules *rules, struct query_fault *fault)
{
	const struct model_reference *f = rules->children;
	const struct model_resource *parent = &q->model->resources[f->parent];
	struct query of = { .resource = parent };
	bool ok = query_read_key(&of, rules->parent, rules->parent_len, fault);

	for (size_t k = 0; ok && k < parent->nkey; k++) {
		size_t column = f->columns[place_of(f, parent->key[k])];
		const struct query_value *v = &of.values[k];
		const char *why;

		if (q->nfilters == QUERY_FILTERS_MAX) {
			ok = query_refuse(fault, "", "there are more than %d filters",
					  QUERY_FILTERS_MAX);
			break;
		}
		q->filters[q->nfilters++] = (struct query_filter){
			.column = column,
			.op = QUERY_EQ,
			.first_value = q->nvalues,
			.nvalues = 1,
		};
		if (!query_add_value(q, column, of.text.data + v->at, v->len, &why))
			ok = query_refuse(fault, q->resource->columns[column].name, "%s must be %s",
					  q->resource->columns[column].name, why);
	}
	query_clear(&of);
	return ok;
}
