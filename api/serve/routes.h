/*
 * routes.h: which handler answers a method and a path: one table, matched on whole segments. The matching is pure.
 */
#ifndef PGFANOUT_API_SERVE_ROUTES_H
#define PGFANOUT_API_SERVE_ROUTES_H

#include "common/http/http.h"

struct request;

enum route_body {
	ROUTE_NO_BODY, /* a body that comes nevertheless is thrown away */
	ROUTE_JSON,
	ROUTE_NDJSON, /* streamed to handle_data */
};

struct route {
	enum http_method method;
	const char *pattern; /* "/api/products/:id" */
	enum route_body body;
	const char *params; /* the query parameters it knows, "limit,cursor" */
	/* Called when the request is whole, or, for ROUTE_NDJSON, when its head is there. */
	void (*handle)(struct request *r);
	const char *help;
};

extern const struct route route_table[];
extern const size_t route_count;

enum route_verdict { ROUTE_FOUND, ROUTE_NO_PATH, ROUTE_NO_METHOD };

struct route_match {
	const struct route *route; /* of ROUTE_FOUND */
	const char *
		id; /* what stands where the pattern says ":id"; NULL: no such place; borrowed from path */
	size_t id_len;
	char allow[64]; /* of ROUTE_NO_METHOD: "GET, HEAD, PUT" */
};

/* path: raw, without the query; nothing in it is decoded. A literal segment goes before ":id". */
enum route_verdict route_find(const struct route *table, size_t n, enum http_method method,
			      const char *path, struct route_match *ret);

/* Whether name is one of the words in a list like "limit,cursor". */
bool route_knows_param(const struct route *route, const char *name, size_t len);

const char *route_method_name(enum http_method method);

/* Writes "METHOD PATH" lines to stdout (--routes). */
void routes_print(void);

#endif
