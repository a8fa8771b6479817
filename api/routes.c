/*
 * routes.c: the table of routes. The index page, --routes and the documentation check read it.
 */
#include "api/serve/routes.h"

#include <stdio.h>

#include "api/products/import.h"
#include "api/products/products.h"
#include "api/serve/status.h"

/* clang-format off */
const struct route route_table[] = {
	{ HTTP_GET, "/api/products", ROUTE_NO_BODY, "limit,cursor", products_list,
	  "all products ordered by id, streamed; with limit or cursor a page of them" },
	{ HTTP_POST, "/api/products", ROUTE_JSON, NULL, products_create,
	  "creates a product, or replaces the one with the id given" },
	{ HTTP_POST, "/api/products/import", ROUTE_NDJSON, NULL, import_start,
	  "creates or replaces products, one JSON object a line" },
	{ HTTP_GET, "/api/products/:id", ROUTE_NO_BODY, NULL, products_get,
	  "one product" },
	{ HTTP_PUT, "/api/products/:id", ROUTE_JSON, NULL, products_replace,
	  "creates or replaces the product" },
	{ HTTP_PATCH, "/api/products/:id", ROUTE_JSON, NULL, products_patch,
	  "changes the fields that are given" },
	{ HTTP_DELETE, "/api/products/:id", ROUTE_NO_BODY, NULL, products_delete,
	  "deletes the product" },
	{ HTTP_GET, "/health", ROUTE_NO_BODY, NULL, status_get_health,
	  "whether the process works" },
	{ HTTP_GET, "/ready", ROUTE_NO_BODY, NULL, status_get_ready,
	  "whether reads and writes are possible; 503 with the reason if not" },
	{ HTTP_GET, "/status", ROUTE_NO_BODY, NULL, status_get_status,
	  "state of the databases and of the relay" },
	{ HTTP_GET, "/stats", ROUTE_NO_BODY, NULL, status_get_stats,
	  "counters as JSON" },
	{ HTTP_GET, "/metrics", ROUTE_NO_BODY, NULL, status_get_metrics,
	  "metrics in Prometheus text format" },
	{ HTTP_GET, "/openapi.json", ROUTE_NO_BODY, NULL, status_get_openapi,
	  "description of this API for programs" },
	{ HTTP_GET, "/", ROUTE_NO_BODY, NULL, status_get_index,
	  "this list" },
};
/* clang-format on */
const size_t route_count = ARRAY_SIZE(route_table);

void routes_print(void)
{
	for (size_t i = 0; i < route_count; i++)
		printf("%s %s\n", route_method_name(route_table[i].method), route_table[i].pattern);
}
