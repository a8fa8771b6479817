/*
 * routes.c: see routes.h. The rule:
 *
 *   1. A pattern matches a path if both have the same segments; ":id" matches any one non-empty
 *      segment; and if known() says so.
 *   2. Of several patterns that match with the right method the first in the table wins: literal
 *      segments stand before ":id".
 *   3. If none has the right method, all that match tell what is allowed.
 */
#include "api/serve/routes.h"

#include <string.h>

const char *route_method_name(enum http_method method)
{
	static const char *const names[] = { "GET", "POST", "PUT", "PATCH", "DELETE", "OTHER" };

	return names[method];
}

static bool pattern_matches(const struct route *route, const void *arg, const char *path,
			    struct route_part ret[ROUTE_PARTS])
{
	const char *pattern = route->pattern;
	size_t n = 0;

	while (*pattern && *path) {
		if (*pattern == ':') {
			size_t len = strcspn(path, "/");

			if (len == 0)
				return false;
			ret[n++] = (struct route_part){ path, len };
			path += len;
			pattern += strcspn(pattern, "/");
		} else if (*pattern++ != *path++) {
			return false;
		}
	}
	while (n < ROUTE_PARTS)
		ret[n++] = (struct route_part){ NULL, 0 };
	return !*pattern && !*path && (!route->known || route->known(arg, ret));
}

static void list_methods(unsigned methods, struct route_match *ret)
{
	for (enum http_method m = HTTP_GET; m < HTTP_OTHER; m++) {
		if (!(methods & (1U << m)))
			continue;
		if (ret->allow[0])
			strcat(ret->allow, ", ");
		strcat(ret->allow, m == HTTP_GET ? "GET, HEAD" : route_method_name(m));
	}
}

enum route_verdict route_find(const struct route_table *routes, enum http_method method,
			      const char *path, struct route_match *ret)
{
	const struct route *table = routes->list;
	unsigned methods = 0;

	ret->route = NULL;
	ret->allow[0] = '\0';
	for (size_t i = 0; i < routes->n; i++) {
		if (table[i].method == method &&
		    pattern_matches(&table[i], routes->arg, path, ret->part)) {
			ret->route = &table[i];
			return ROUTE_FOUND; /* 2 */
		}
	}
	/* 3 */
	for (size_t i = 0; i < routes->n; i++)
		if (pattern_matches(&table[i], routes->arg, path, ret->part))
			methods |= 1U << table[i].method;
	if (methods == 0)
		return ROUTE_NO_PATH;
	list_methods(methods, ret);
	return ROUTE_NO_METHOD;
}

bool route_knows_any(const struct route *route)
{
	return route->params && strcmp(route->params, "*") == 0;
}

bool route_knows_param(const struct route *route, const char *name, size_t len)
{
	for (const char *p = route->params; p && *p;) {
		size_t n = strcspn(p, ",");

		if (n == len && memcmp(p, name, len) == 0)
			return true;
		p += n + (p[n] == ',');
	}
	return false;
}
