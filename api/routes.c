/*
 * routes.c: see routes.h.
 */
#include "api/routes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/batch/import.h"
#include "api/products/product_import.h"
#include "api/products/products.h"
#include "api/resources/listed.h"
#include "api/resources/resources.h"
#include "api/serve/status.h"

/* clang-format off */
static const struct route table[] = {
	{ HTTP_GET, "/api/products", ROUTE_NO_BODY, "limit,cursor", products_list,
	  .help = "all products ordered by id, streamed; with limit or cursor a page of them" },
	{ HTTP_POST, "/api/products", ROUTE_JSON, NULL, products_create,
	  .help = "creates a product, or replaces the one with the id given" },
	{ HTTP_POST, "/api/products/import", ROUTE_NDJSON, NULL, products_import,
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
	{ HTTP_GET, "/status", ROUTE_NO_BODY, NULL, resources_get_status,
	  .help = "state of the databases and of the relay" },
	{ HTTP_GET, "/stats", ROUTE_NO_BODY, NULL, resources_get_stats,
	  .help = "counters as JSON" },
	{ HTTP_GET, "/metrics", ROUTE_NO_BODY, NULL, status_get_metrics,
	  .help = "metrics in Prometheus text format" },
	{ HTTP_GET, "/openapi.json", ROUTE_NO_BODY, NULL, resources_get_openapi,
	  .help = "description of this API for programs" },
	{ HTTP_GET, "/", ROUTE_NO_BODY, NULL, status_get_index,
	  .help = "this list" },
};

/* Under RESOURCE_PREFIX, for each resource of RESOURCES. */
static const struct route resource_routes[] = {
	{ HTTP_GET, "/:resource", ROUTE_NO_BODY, "*", resources_list, .known = resources_known,
	  .help = "all rows in the order of their keys, streamed; with limit or cursor a page of them" },
	{ HTTP_POST, "/:resource", ROUTE_JSON, NULL, resources_create, .known = resources_known,
	  .help = "creates a row" },
	{ HTTP_POST, "/:resource/import", ROUTE_NDJSON, NULL, resources_import, .known = resources_known,
	  .help = "creates or replaces rows, one JSON object a line",
	  .data = import_data, .end = import_end },
	{ HTTP_GET, "/:resource/:key", ROUTE_NO_BODY, "*", resources_get, .known = resources_known,
	  .help = "one row" },
	{ HTTP_PUT, "/:resource/:key", ROUTE_JSON, NULL, resources_replace, .known = resources_known,
	  .help = "creates or replaces the row" },
	{ HTTP_PATCH, "/:resource/:key", ROUTE_JSON, NULL, resources_update, .known = resources_known,
	  .help = "changes the columns that are given" },
	{ HTTP_DELETE, "/:resource/:key", ROUTE_NO_BODY, NULL, resources_delete, .known = resources_known,
	  .help = "deletes the row" },
	{ HTTP_GET, "/:resource/:key/:child", ROUTE_NO_BODY, "*", resources_children, .known = resources_known,
	  .help = "the rows of another resource that refer to this one" },
};
/* clang-format on */

void routes_make(struct routes *ret, const char *prefix, const struct listed *listed)
{
	size_t n = ARRAY_SIZE(table), more = listed->n > 0 ? ARRAY_SIZE(resource_routes) : 0;
	size_t at[ARRAY_SIZE(resource_routes)];

	*ret = (struct routes){ .list = xcalloc(n + more, sizeof(struct route)) };
	memcpy(ret->list, table, sizeof(table));
	for (size_t i = 0; i < more; i++) {
		at[i] = ret->patterns.len;
		strbuf_addf(&ret->patterns, "%s%s", strcmp(prefix, "/") == 0 ? "" : prefix,
			    resource_routes[i].pattern);
		strbuf_addch(&ret->patterns, '\0');
	}
	for (size_t i = 0; i < more; i++) {
		ret->list[n + i] = resource_routes[i];
		ret->list[n + i].pattern = ret->patterns.data + at[i];
	}
	ret->table = (struct route_table){ ret->list, n + more, listed };
}

void routes_clear(struct routes *r)
{
	free(r->list);
	strbuf_clear(&r->patterns);
}

void routes_print(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		printf("%s %s\n", route_method_name(table[i].method), table[i].pattern);
	for (size_t i = 0; i < ARRAY_SIZE(resource_routes); i++)
		printf("%s /api%s\n", route_method_name(resource_routes[i].method),
		       resource_routes[i].pattern);
}
