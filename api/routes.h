/*
 * routes.h: the one table of routes. main hands it to the workers; GET /, --routes and the check of
 * the documentation read it too.
 */
#ifndef PGFANOUT_API_ROUTES_H
#define PGFANOUT_API_ROUTES_H

#include "api/serve/routes.h"

extern const struct route_table api_routes;

/* Writes "METHOD PATH" lines to stdout (--routes). */
void routes_print(void);

#endif
