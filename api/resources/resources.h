/*
 * resources.h: the handlers of resources: what a request asks is read against the newest model, becomes a
 * statement, and its rows the answer. A worker's thread.
 *
 * A model may be out of date: the table was altered since. Every statement checks that (PF006), on replicas
 * too, which come behind. A read that a replica refuses so goes elsewhere; one that the primary refuses waits
 * for the next model (catalog.h), is read once more against that, and sent again. So no answer mixes two
 * shapes of a table, and none fails because one was altered, but for a list that is being sent: it is cut.
 */
#ifndef PGFANOUT_API_RESOURCES_RESOURCES_H
#define PGFANOUT_API_RESOURCES_RESOURCES_H

#include "api/batch/statements.h"
#include "api/resources/catalog.h"
#include "api/resources/query.h"

/* Of one worker. Zeroed: nothing is under way. */
struct resources {
	struct catalog_view view;
	struct request_queue outdated; /* wait for another model */
	struct request_queue counting; /* wait for counts of rows */
	struct strbuf openapi;	       /* the description of the API, of the model `openapi_of` */
	uint64_t openapi_of;
};

/* Whether a path's parts are names of the list; arg: a struct listed. */
bool resources_known(const void *arg, const struct route_part *parts);

void resources_list(struct request *r);
void resources_get(struct request *r);
void resources_children(struct request *r);
void resources_create(struct request *r);
void resources_replace(struct request *r);
void resources_update(struct request *r);
void resources_delete(struct request *r);
void resources_import(struct request *r);

/* The routes of operations that tell of resources too. */
void resources_get_openapi(struct request *r);
void resources_get_status(struct request *r);
void resources_get_stats(struct request *r);

void resources_tick(struct store *s);
void resources_clear(struct resources *all);

#endif
