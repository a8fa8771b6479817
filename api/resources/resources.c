/*
 * resources.c: see resources.h; resources_private.h lists the parts. A worker's thread.
 */
#include "api/resources/resources.h"

#include <stdlib.h>
#include <string.h>

#include "api/batch/list.h"
#include "api/resources/listed.h"
#include "api/resources/resources_private.h"

#define PATIENCE_MS 3000 /* for another model */

/* ---- names ---- */

struct route_part resources_name(struct route_part part)
{
	const char *mark = memchr(part.at, '!', part.len);

	return (struct route_part){ part.at, mark ? (size_t)(mark - part.at) : part.len };
}

bool resources_known(const void *arg, const struct route_part *parts)
{
	const struct listed *l = arg;

	if (parts[2].at) {
		struct route_part child = resources_name(parts[2]);

		if (!listed_find(l, child.at, child.len))
			return false;
	}
	return listed_find(l, parts[0].at, parts[0].len) != NULL;
}

const struct listed_resource *resources_listed(const struct request *r,
					       const struct model_resource *resource)
{
	return listed_find(r->all->service->listed, resource->name, strlen(resource->name));
}

const struct model *resources_model(struct request *r)
{
	const struct model *m = catalog_view(&store_of(r)->resources->view,
					     r->all->service->models);

	if (!m)
		request_unavailable(r, "the primary's tables are not known yet");
	return m;
}

const struct model_resource *resources_find(struct request *r, const struct model *m,
					    struct route_part name)
{
	const struct model_resource *resource = model_find(m, name.at, name.len);

	if (!resource)
		request_unavailable(r, "the table of this resource is not replicated now");
	return resource;
}

/* ---- statements ---- */

void resources_form(struct strbuf *out, const struct model *m, char which)
{
	uint64_t is[] = { m->number, m->members };

	strbuf_addch(out, which);
	strbuf_add(out, (const char *)is, sizeof(is));
}

bool resources_make_write(struct made_statements *all, const struct model *m,
			  const struct query_write *w, struct made **ret)
{
	for (int which = WRITE_FREE; which <= WRITE_WAITS; which++) {
		AUTO_STRBUF form = STRBUF_INIT, sql = STRBUF_INIT;

		resources_form(&form, m, which == WRITE_FREE ? 'f' : 'w');
		query_write_form(&form, w);
		ret[which] = made_find(all, &form);
		if (ret[which])
			continue;
		query_write_sql(&sql, w, which == WRITE_WAITS);
		ret[which] = made_add(all, &form, sql.data, sql.data, (int)query_write_params(w));
		if (!ret[which])
			return false;
	}
	return true;
}

void resources_drop_made(struct made **made)
{
	for (int which = WRITE_FREE; which <= WRITE_WAITS; which++) {
		made_unref(made[which]);
		made[which] = NULL;
	}
}

/* ---- life ---- */

/* What was read against a model. */
static void forget_plan(struct request *r)
{
	struct resource_request *of = r->of;

	query_clear(&of->query);
	resources_drop_made(of->made);
}

static void on_clear(struct request *r)
{
	forget_plan(r);
	row_input_clear(&r->of->in);
	free(r->of);
	r->of = NULL;
}

void resources_init(struct request *r, bool (*plan)(struct request *),
		    void (*submit)(struct request *))
{
	r->of = xcalloc(1, sizeof(*r->of));
	r->of->plan = plan;
	r->of->submit = submit;
	r->of->patience = MONO_NEVER;
	r->clear = on_clear;
}

void resources_start(struct request *r)
{
	if (r->of->plan(r) && request_admit(r))
		r->of->submit(r);
}

/* ---- what requests have in common ---- */

bool resources_refuse(struct request *r, const struct query_fault *fault)
{
	request_fail(r, 400, fault->field[0] ? fault->field : NULL, "%s", fault->err.text);
	return false;
}

bool resources_read_key(struct request *r)
{
	struct query_fault fault = { 0 };

	return query_read_key(&r->of->query, r->part[1].at, r->part[1].len, &fault) ||
	       resources_refuse(r, &fault);
}

const char *resources_prefix(const struct request *r)
{
	const char *prefix = r->all->service->settings->resource_prefix;

	return strcmp(prefix, "/") == 0 ? "" : prefix;
}

bool resources_envelope(const struct request *r)
{
	return r->all->service->settings->resource_envelope;
}

void resources_message(const struct request *r, struct strbuf *out, const char *what)
{
	strbuf_addf(out, ",\"message\":\"%s %s successfully\"}", r->of->query.resource->name, what);
}

/* ---- those that wait for another model ---- */

/* Of class 42, or a schema that is not there, which is looked up alike. */
static bool is_of_statement(const struct err *err)
{
	return strncmp(err->sqlstate, "42", 2) == 0 || strcmp(err->sqlstate, "3F000") == 0;
}

bool resources_blames_value(const struct err *err)
{
	static const char *const others[] = {
		"42501", /* a right is missing */
		"42P10", /* the key is no unique constraint any more */
		"428C9", /* a column is made by the database */
	};

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (strcmp(err->sqlstate, others[i]) == 0)
			return false;
	return err->of_values && is_of_statement(err);
}

bool resources_is_outdated(const struct err *err)
{
	/* 42501: which no other model gives. */
	return strcmp(err->sqlstate, "PF006") == 0 ||
	       (strncmp(err->sqlstate, "42", 2) == 0 && strcmp(err->sqlstate, "42501") != 0 &&
		!resources_blames_value(err));
}

bool resources_wait(struct request *r)
{
	struct store *s = store_of(r);
	struct resource_request *of = r->of;

	if (mono_is_never(of->patience))
		of->patience = mono_add_ms(s->pool->now, PATIENCE_MS);
	if (mono_reached(of->patience, s->pool->now))
		return false;
	of->outdated = of->query.model->number;
	catalog_refresh(r->all->service->catalog, of->outdated);
	r->state = REQUEST_DELAYED;
	queue_push(&s->resources->outdated, r);
	return true;
}

static void read_again(struct request *r)
{
	forget_plan(r);
	r->want = (struct read_want){ .by_key = r->want.by_key };
	r->way = WRITE_TOGETHER;
	if (r->of->plan(r))
		r->of->submit(r);
}

static void tick_outdated(struct store *s)
{
	struct resources *all = s->resources;
	const struct model *m = all->outdated.n > 0 ? catalog_view(&all->view, s->service->models)
						    : NULL;
	/* Whoever is read again may find a newer one yet, and m is gone then. */
	const uint64_t number = m != NULL ? m->number : 0;

	for (size_t n = all->outdated.n; n > 0; n--) {
		struct request *r = queue_pop(&all->outdated);

		if (number != r->of->outdated && list_is_running(r))
			resources_read_on(r);
		else if (number != r->of->outdated)
			read_again(r);
		else if (mono_reached(r->of->patience, s->pool->now) && list_is_running(r))
			list_cut(r);
		else if (mono_reached(r->of->patience, s->pool->now))
			request_unavailable(r, "the table of this resource is being changed");
		else
			queue_push(&all->outdated, r);
	}
}

void resources_tick(struct store *s)
{
	tick_outdated(s);
	resources_tick_stats(s);
}

void resources_clear(struct resources *all)
{
	strbuf_clear(&all->openapi);
	catalog_view_clear(&all->view);
}
