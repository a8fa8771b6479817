/*
 * routes.h: the one table of routes. main hands it to the workers; GET /, --routes and the check of
 * the documentation read it too.
 */
#ifndef PGFANOUT_API_ROUTES_H
#define PGFANOUT_API_ROUTES_H

#include "api/serve/routes.h"

struct listed;

struct routes {
	struct route_table table;
	struct route *list;	/* its rows; owned */
	struct strbuf patterns; /* those of the resources */
};

/* Those of the resources that are listed too, under the prefix. listed is borrowed. */
void routes_make(struct routes *ret, const char *prefix, const struct listed *listed);
void routes_clear(struct routes *r);

/* Writes "METHOD PATH" lines to stdout (--routes). */
void routes_print(void);

#endif
