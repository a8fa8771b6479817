/*
 * resources_status.c: the routes of operations that tell of resources: /openapi.json, /status and /stats. A
 * worker's thread.
 *
 * None of them waits for a database but /stats, for the time of WAIT_MS at most: until what it says of rows is less
 * than a second old. Without RESOURCES they are what they are without resources.
 */
#include <stdlib.h>
#include <string.h>

#include "api/resources/counts.h"
#include "api/resources/openapi.h"
#include "api/resources/resources_private.h"
#include "api/serve/static/openapi.json.h"
#include "api/serve/status.h"

#define WAIT_MS 500

static const struct model *newest(struct request *r)
{
	return catalog_view(&store_of(r)->resources->view, r->all->service->models);
}

/* ---- /openapi.json ---- */

/* Made once for each model. */
static void renew_openapi(struct request *r, const struct model *m)
{
	struct resources *all = store_of(r)->resources;
	const struct openapi_options options = {
		.prefix = resources_prefix(r),
		.envelope = resources_envelope(r),
		.scans = r->all->service->settings->resource_scans,
	};

	if (all->openapi_of == m->number)
		return;
	strbuf_reset(&all->openapi);
	openapi_write(&all->openapi, static_openapi_json, m, r->all->service->listed, &options);
	all->openapi_of = m->number;
}

void resources_get_openapi(struct request *r)
{
	const struct model *m = newest(r);

	if (m == NULL) {
		strbuf_addstr(http_out(r->http), static_openapi_json);
	} else {
		const struct strbuf *text = &store_of(r)->resources->openapi;

		renew_openapi(r, m);
		strbuf_add(http_out(r->http), text->data, text->len);
	}
	request_reply(r, 200);
}

/* ---- /status ---- */

static const char *why_missing(const struct model *m, const char *name)
{
	for (size_t i = 0; m != NULL && i < m->nmissing; i++)
		if (strcmp(m->missing[i].name, name) == 0)
			return m->missing[i].reason;
	return "the primary's tables are not known yet";
}

static json_t *resource_json(const struct model *m, const struct listed_resource *l)
{
	const struct model_resource *r = m != NULL ? model_find(m, l->name, strlen(l->name)) : NULL;
	const char *schema = r != NULL ? r->schema : l->schema;
	AUTO_STRBUF table = STRBUF_INIT;

	strbuf_addf(&table, "%s%s%s", schema != NULL ? schema : "", schema != NULL ? "." : "",
		    r != NULL ? r->relation : l->relation);

	json_t *o = json_pack("{s:s, s:s, s:s}", "name", l->name, "table", table.data, "state",
			      r != NULL ? "served" : "missing");

	if (r == NULL)
		json_object_set_new(o, "reason", json_string(why_missing(m, l->name)));
	else if (r->rows >= 0)
		json_object_set_new(o, "rows", json_integer((json_int_t)r->rows));
	return o;
}

void resources_get_status(struct request *r)
{
	const struct listed *listed = r->all->service->listed;
	json_t *data = status_data(r->all->service), *list = json_array();
	const struct model *m = newest(r);

	for (size_t i = 0; i < listed->n; i++)
		json_array_append_new(list, resource_json(m, &listed->resources[i]));
	if (listed->n > 0)
		json_object_set(data, "resources", list);
	json_decref(list);
	status_reply(r, data, "Status retrieved successfully");
}

/* ---- /stats ---- */

static json_t *rows_json(const char *name, struct counts_row row, const struct model *m)
{
	const struct model_resource *r = m != NULL ? model_find(m, name, strlen(name)) : NULL;

	if (row.rows < 0 && r != NULL && r->rows >= 0)
		row = (struct counts_row){ .rows = r->rows, .estimated = true };

	json_t *o = json_pack("{s:s, s:o}", "name", name, "rows",
			      row.rows < 0 ? json_null() : json_integer((json_int_t)row.rows));

	if (row.estimated)
		json_object_set_new(o, "estimated", json_true());
	return o;
}

/* Once its rows were counted lately, or it has waited for that. False: not yet. */
static bool answer_stats(struct request *r, bool late)
{
	const struct service *s = r->all->service;
	AUTO_FREE struct counts_row *rows = xcalloc(s->listed->n, sizeof(*rows));

	if (!counts_get(s->counts, r->all->pool->now, rows) && !late)
		return false;

	json_t *data = status_stats_data(s), *list = json_array();
	const struct model *m = newest(r);

	for (size_t i = 0; i < s->listed->n; i++)
		json_array_append_new(list, rows_json(s->listed->resources[i].name, rows[i], m));
	json_object_set_new(data, "resources", list);
	status_reply(r, data, STATUS_STATS_MESSAGE);
	return true;
}

void resources_get_stats(struct request *r)
{
	const struct service *s = r->all->service;

	if (s->counts == NULL) {
		status_reply(r, status_stats_data(s), STATUS_STATS_MESSAGE);
		return;
	}
	if (answer_stats(r, false))
		return;
	counts_ask(s->counts);
	r->not_before = mono_add_ms(r->all->pool->now, WAIT_MS);
	r->state = REQUEST_DELAYED;
	queue_push(&store_of(r)->resources->counting, r);
}

void resources_tick_stats(struct store *s)
{
	struct request_queue *q = &s->resources->counting;

	for (size_t n = q->n; n > 0; n--) {
		struct request *r = queue_pop(q);

		if (!answer_stats(r, mono_reached(r->not_before, s->pool->now)))
			queue_push(q, r);
	}
}
