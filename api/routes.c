/*
 * routes.c: see routes.h.
 */
#include "api/routes.h"

#include <stdio.h>

#include "api/products/import.h"
#include "api/products/products.h"
#include "api/serve/status.h"

/* clang-format off */
static const struct route table[] = {
	{ HTTP_GET, "/api/products", ROUTE_NO_BODY, "limit,cursor", products_list,
	  .help = "all products ordered by id, streamed; with limit or cursor a page of them" },
	{ HTTP_POST, "/api/products", ROUTE_JSON, NULL, products_create,
	  .help = "creates a product, or replaces the one with the id given" },
	{ HTTP_POST, "/api/products/import", ROUTE_NDJSON, NULL, import_start,
	  .help = "creates or replaces products, one JSON object a line",
	  .data = import_data, .end = import_end },
	{ HTTP_GET, "/api/products/:id", ROUTE_NO_BODY, NULL, products_get,
	  .help = "one product", .check = products_check_id },
	{ HTTP_PUT, "/api/products/:id", ROUTE_JSON, NULL, products_replace,
	  .help = "creates or replaces the product", .check = products_check_id },
	{ HTTP_PATCH, "/api/products/:id", ROUTE_JSON, NULL, products_patch,
	  .help = "changes the fields that are given", .check = products_check_id },
	{ HTTP_DELETE, "/api/products/:id", ROUTE_NO_BODY, NULL, products_delete,
	  .help = "deletes the product", .check = products_check_id },
	{ HTTP_GET, "/health", ROUTE_NO_BODY, NULL, status_get_health,
	  .help = "whether the process works" },
	{ HTTP_GET, "/ready", ROUTE_NO_BODY, NULL, status_get_ready,
	  .help = "whether reads and writes are possible; 503 with the reason if not" },
	{ HTTP_GET, "/status", ROUTE_NO_BODY, NULL, status_get_status,
	  .help = "state of the databases and of the relay" },
	{ HTTP_GET, "/stats", ROUTE_NO_BODY, NULL, status_get_stats,
	  .help = "counters as JSON" },
	{ HTTP_GET, "/metrics", ROUTE_NO_BODY, NULL, status_get_metrics,
	  .help = "metrics in Prometheus text format" },
	{ HTTP_GET, "/openapi.json", ROUTE_NO_BODY, NULL, status_get_openapi,
	  .help = "description of this API for programs" },
	{ HTTP_GET, "/", ROUTE_NO_BODY, NULL, status_get_index,
	  .help = "this list" },
};
/* clang-format on */
const struct route_table api_routes = { table, ARRAY_SIZE(table), NULL };

void routes_print(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		printf("%s %s\n", route_method_name(table[i].method), table[i].pattern);
}
