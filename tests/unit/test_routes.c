/*
 * test_routes.c: which route answers a method and a path, and what a page's limit may look like.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "api/products/products.h"
#include "api/resources/listed.h"
#include "api/routes.h"

#define ID "01a1f862-f215-7a75-9394-999ca50334cc"

static const struct {
	enum http_method method;
	const char *path;
	enum route_verdict verdict;
	const char *expect; /* the pattern, or what is allowed */
	const char *id;
} cases[] = {
	{ HTTP_GET, "/", ROUTE_FOUND, "/", NULL },
	{ HTTP_GET, "/health", ROUTE_FOUND, "/health", NULL },
	{ HTTP_GET, "/health/", ROUTE_NO_PATH, NULL, NULL },
	{ HTTP_GET, "/healthy", ROUTE_NO_PATH, NULL, NULL },
	{ HTTP_GET, "/Health", ROUTE_NO_PATH, NULL, NULL },
	{ HTTP_GET, "//health", ROUTE_NO_PATH, NULL, NULL },
	{ HTTP_GET, "", ROUTE_NO_PATH, NULL, NULL },
	{ HTTP_GET, "health", ROUTE_NO_PATH, NULL, NULL },
	{ HTTP_GET, "*", ROUTE_NO_PATH, NULL, NULL },
	{ HTTP_GET, "http://host/health", ROUTE_NO_PATH, NULL, NULL },
	{ HTTP_GET, "/%68ealth", ROUTE_NO_PATH, NULL, NULL },
	{ HTTP_GET, "/health%00", ROUTE_NO_PATH, NULL, NULL },
	{ HTTP_POST, "/health", ROUTE_NO_METHOD, "GET, HEAD", NULL },
	{ HTTP_GET, "/api", ROUTE_NO_PATH, NULL, NULL },
	{ HTTP_GET, "/api/products", ROUTE_FOUND, "/api/products", NULL },
	{ HTTP_POST, "/api/products", ROUTE_FOUND, "/api/products", NULL },
	{ HTTP_DELETE, "/api/products", ROUTE_NO_METHOD, "GET, HEAD, POST", NULL },
	{ HTTP_GET, "/api/products/", ROUTE_NO_PATH, NULL, NULL },
	{ HTTP_GET, "/api/products/" ID, ROUTE_FOUND, "/api/products/:id", ID },
	{ HTTP_PUT, "/api/products/" ID, ROUTE_FOUND, "/api/products/:id", ID },
	{ HTTP_PATCH, "/api/products/" ID, ROUTE_FOUND, "/api/products/:id", ID },
	{ HTTP_DELETE, "/api/products/x", ROUTE_FOUND, "/api/products/:id", "x" },
	{ HTTP_GET, "/api/products/" ID "/", ROUTE_NO_PATH, NULL, NULL },
	{ HTTP_GET, "/api/products/" ID "/x", ROUTE_NO_PATH, NULL, NULL },
	{ HTTP_GET, "/api/products//" ID, ROUTE_NO_PATH, NULL, NULL },
	{ HTTP_POST, "/api/products/" ID, ROUTE_NO_METHOD, "GET, HEAD, PUT, PATCH, DELETE", NULL },
	{ HTTP_OTHER, "/api/products/" ID, ROUTE_NO_METHOD, "GET, HEAD, PUT, PATCH, DELETE", NULL },
	{ HTTP_POST, "/api/products/import", ROUTE_FOUND, "/api/products/import", NULL },
	{ HTTP_GET, "/api/products/import", ROUTE_FOUND, "/api/products/:id", "import" },
};

static struct routes routes;

static int make(void **state)
{
	static const struct listed none = { 0 };

	(void)state;
	routes_make(&routes, "/api", &none);
	return 0;
}

static int clear(void **state)
{
	(void)state;
	routes_clear(&routes);
	return 0;
}

static void test_find(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct route_match m;
		enum route_verdict verdict = route_find(&routes.table, cases[i].method,
							cases[i].path, &m);

		print_message("%s %s\n", route_method_name(cases[i].method), cases[i].path);
		assert_int_equal(verdict, cases[i].verdict);
		if (verdict == ROUTE_FOUND) {
			assert_string_equal(m.route->pattern, cases[i].expect);
			assert_int_equal(m.route->method, cases[i].method);
			assert_int_equal(m.part[0].len, cases[i].id ? strlen(cases[i].id) : 0);
			if (cases[i].id)
				assert_memory_equal(m.part[0].at, cases[i].id, m.part[0].len);
		} else if (verdict == ROUTE_NO_METHOD) {
			assert_string_equal(m.allow, cases[i].expect);
		}
	}
}

/* No route stands behind one that takes its paths. */
static void test_every_route_is_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < routes.table.n; i++) {
		const struct route *r = &routes.table.list[i];
		struct route_match m;

		print_message("%s %s\n", route_method_name(r->method), r->pattern);
		assert_int_equal(route_find(&routes.table, r->method, r->pattern, &m), ROUTE_FOUND);
		assert_ptr_equal(m.route, r);
	}
}

static void test_params_known(void **state)
{
	(void)state;
	const struct route r = { .params = "limit,cursor" };
	const struct route none = { .params = NULL };

	assert_true(route_knows_param(&r, "limit", 5));
	assert_true(route_knows_param(&r, "cursor", 6));
	assert_false(route_knows_param(&r, "curso", 5));
	assert_false(route_knows_param(&r, "limit,cursor", 12));
	assert_false(route_knows_param(&r, "", 0));
	assert_false(route_knows_param(&r, "Limit", 5));
	assert_false(route_knows_param(&none, "limit", 5));
}

static void test_limit(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int value; /* 0: refused */
	} rows[] = {
		{ "1", 1 },  { "50", 50 },  { "1000", 1000 }, { "0", 0 },
		{ "01", 0 }, { "1001", 0 }, { "9999", 0 },    { "10000", 0 },
		{ "", 0 },   { "-1", 0 },   { "+1", 0 },      { " 1", 0 },
		{ "1 ", 0 }, { "1.0", 0 },  { "1e2", 0 },     { "%31", 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int n = 0;

		print_message("limit=%s\n", rows[i].text);
		assert_int_equal(products_read_limit(rows[i].text, strlen(rows[i].text), &n),
				 rows[i].value > 0);
		assert_int_equal(n, rows[i].value);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_every_route_is_found),
		cmocka_unit_test(test_params_known),
		cmocka_unit_test(test_limit),
	};

	return cmocka_run_group_tests(tests, make, clear);
}
