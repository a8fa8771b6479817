/*
 * catalog.h: keeps the model of the resources up to date: a thread of its own looks at the primary's catalog twice
 * a second, and at once when somebody has found that a model is out of date.
 *
 *   struct catalog_place   one for the process: the newest model, under its lock, and its number, atomic. The
 *                          catalog's thread replaces it.
 *   struct catalog_view    one for each worker: the model that it holds. Reading it costs one atomic load while
 *                          nothing has changed.
 *
 * There is no model until the primary has answered once. While it does not answer, the last one stays.
 */
#ifndef PGFANOUT_API_RESOURCES_CATALOG_H
#define PGFANOUT_API_RESOURCES_CATALOG_H

#include <pthread.h>
#include <stdatomic.h>

#include "api/primary.h"
#include "api/resources/listed.h"
#include "api/resources/model.h"

struct catalog_place {
	_Atomic uint64_t number; /* that of the model; 0: there is none */
	pthread_mutex_t lock;
	struct model *model; /* under lock; a reference */
};

struct catalog_view {
	uint64_t number;
	struct model *model; /* a reference */
};

void catalog_place_init(struct catalog_place *p);
/* After the thread has stopped and all views are cleared. */
void catalog_place_clear(struct catalog_place *p);
/* Takes the reference over, and gives the model its number, the next one. One thread only. */
void catalog_place_put(struct catalog_place *p, struct model *m);

/* The slow half of catalog_view(). */
void catalog_view_renew(struct catalog_view *v, struct catalog_place *p);
void catalog_view_clear(struct catalog_view *v);

/* The newest model, NULL: none came yet; valid until the next call with the same view, unless the caller takes a
 * reference. The view is one thread's. */
static inline const struct model *catalog_view(struct catalog_view *v, struct catalog_place *p)
{
	if (atomic_load_explicit(&p->number, memory_order_relaxed) != v->number)
		catalog_view_renew(v, p);
	return v->model;
}

struct catalog;

/* Starts the thread; with an empty list nothing: *ret is NULL then. primary and place are borrowed until
 * catalog_stop(), listed is not. */
MUST_CHECK bool catalog_start(struct primary *primary, const struct listed *listed,
			      struct catalog_place *place, struct catalog **ret, struct err *err);
/* Somebody has found that the model of this number is out of date: has the catalog looked at, unless there is a
 * newer one already. Any thread; NULL is fine. */
void catalog_refresh(struct catalog *c, uint64_t after_number);
/* Waits as long as connecting may take at most. NULL is fine. The model stays in its place. */
void catalog_stop(struct catalog *c);

#endif
