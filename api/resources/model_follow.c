/*
 * model_follow.c: see model_follow.h. A column is found by its number in the table, which it keeps for ever: the
 * name may be another one's by now. Pure; any thread.
 */
#include "api/resources/model_follow.h"

#include <stdlib.h>
#include <string.h>

static const struct model_column *numbered(const struct model_resource *now, int number)
{
	for (size_t i = 0; number > 0 && i < now->ncolumns; i++)
		if (now->columns[i].number == number)
			return &now->columns[i];
	return NULL;
}

static bool same_key(const struct model_resource *was, const struct model_resource *now)
{
	if (was->nkey != now->nkey)
		return false;
	for (size_t k = 0; k < was->nkey; k++)
		if (was->columns[was->key[k]].number != now->columns[now->key[k]].number)
			return false;
	return true;
}

/* NULL: none is the same table. */
static const struct model_resource *same_table(const struct model *now,
					       const struct model_resource *was)
{
	const struct model_resource *r = model_find(now, was->name, strlen(was->name));

	return r != NULL && r->table == was->table && same_key(was, r) ? r : NULL;
}

static void follow_column(struct model_column *ret, const struct model_column *was,
			  const struct model_column *now)
{
	*ret = (struct model_column){
		.name = xstrdup(was->name),
		.in_sql = xstrdup(now ? now->name : was->in_sql),
		.type = xstrdup(now ? now->type : was->type),
		.kind = was->kind,
		.element = was->element,
		.not_null = now && now->not_null,
		.plain = was->plain && now && now->plain,
		.key = was->key,
		.collation = now ? now->collation : was->collation,
		.number = was->number,
		.gone = was->gone || !now || now->kind != was->kind || now->element != was->element,
	};
}

static size_t *copy_places(const size_t *from, size_t n)
{
	size_t *ret = xcalloc(n + 1, sizeof(*ret));

	memcpy(ret, from, n * sizeof(*ret));
	return ret;
}

static void follow_resource(struct model_resource *ret, const struct model_resource *was,
			    const struct model_resource *now)
{
	const struct model_resource *is = now ? now : was;

	*ret = (struct model_resource){
		.name = xstrdup(was->name),
		.table = was->table,
		.shape = is->shape,
		.schema = xstrdup(is->schema),
		.relation = xstrdup(is->relation),
		.filter = is->filter ? xstrdup(is->filter) : NULL,
		.columns = xcalloc(was->ncolumns + 1, sizeof(*ret->columns)),
		.ncolumns = was->ncolumns,
		.key = copy_places(was->key, was->nkey),
		.nkey = was->nkey,
		.plain = was->plain && is->plain,
		.stream_number = is->stream_number,
		.version = is->version ? xstrdup(is->version) : NULL,
	};
	for (size_t i = 0; i < was->ncolumns; i++)
		follow_column(&ret->columns[i], &was->columns[i],
			      now ? numbered(now, was->columns[i].number) : NULL);
}

struct model *model_follow(const struct model *was, const struct model *now)
{
	struct model *m = xcalloc(1, sizeof(*m));

	atomic_init(&m->refs, 1);
	m->number = now->number;
	m->members = was->members;
	m->resources = xcalloc(was->nresources + 1, sizeof(*m->resources));
	m->nresources = was->nresources;
	for (size_t i = 0; i < was->nresources; i++)
		follow_resource(&m->resources[i], &was->resources[i],
				same_table(now, &was->resources[i]));
	m->references = xcalloc(was->nreferences + 1, sizeof(*m->references));
	m->nreferences = was->nreferences;
	for (size_t i = 0; i < was->nreferences; i++) {
		m->references[i] = was->references[i];
		m->references[i].columns = copy_places(was->references[i].columns,
						       was->references[i].n);
		m->references[i].keys = copy_places(was->references[i].keys, was->references[i].n);
	}
	return m;
}
