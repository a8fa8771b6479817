/*
 * routes.h: which handler answers a method and a path. Paths are matched on whole segments. Pure.
 */
#ifndef PGFANOUT_API_SERVE_ROUTES_H
#define PGFANOUT_API_SERVE_ROUTES_H

#include "common/http/http.h"

struct request;

/* What stands where a pattern has ":name": borrowed from the path, as sent; len 0: nothing. */
#define ROUTE_PARTS 3
struct route_part {
	const char *at;
	size_t len;
};

enum route_body {
	ROUTE_NO_BODY, /* a body that comes nevertheless is thrown away */
	ROUTE_JSON,
	ROUTE_NDJSON, /* streamed to data() */
};

struct route {
	enum http_method method;
	const char *pattern; /* "/api/products/:id", at most ROUTE_PARTS such */
	enum route_body body;
	const char
		*params; /* the query parameters it knows, "limit,cursor"; "*": the handler looks */
	/* Called when the request is whole; for ROUTE_NDJSON already when its head is there. */
	void (*handle)(struct request *r);
	const char *help;
	/* Whether there is something under this path; NULL: always. arg: the table's. */
	bool (*known)(const void *arg, const struct route_part *parts);
	/* Of the path's parts, before the rest of the head is looked at. False: it was answered. NULL: none. */
	bool (*check)(struct request *r);
	/* Of ROUTE_NDJSON: a piece of the body, as body() of http.h; and its end. */
	size_t (*data)(struct request *r, const char *data, size_t len);
	void (*end)(struct request *r);
};

struct route_table {
	const struct route *list;
	size_t n;
	const void *arg; /* for known() */
};

enum route_verdict { ROUTE_FOUND, ROUTE_NO_PATH, ROUTE_NO_METHOD };

struct route_match {
	const struct route *route; /* of ROUTE_FOUND */
	struct route_part part[ROUTE_PARTS];
	char allow[64]; /* of ROUTE_NO_METHOD: "GET, HEAD, PUT" */
};

/* path: raw, without the query; nothing in it is decoded. */
enum route_verdict route_find(const struct route_table *routes, enum http_method method,
			      const char *path, struct route_match *ret);

/* Whether the handler looks at the query parameters itself. */
bool route_knows_any(const struct route *route);
/* Whether name is one of the route's query parameters. */
bool route_knows_param(const struct route *route, const char *name, size_t len);

const char *route_method_name(enum http_method method);

#endif
