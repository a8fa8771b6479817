/*
 * ops.h: a small HTTP server for operations (/health, /status, /metrics) with one thread of its
 * own, for programs that serve nothing else. GET and HEAD only; 404 and 405 in the envelope of the
 * API.
 */
#ifndef PGFANOUT_COMMON_HTTP_OPS_H
#define PGFANOUT_COMMON_HTTP_OPS_H

#include "common/base/err.h"
#include "common/base/strbuf.h"

struct ops_route {
	const char *path;
	const char *content_type;
	/* Returns the HTTP status; called in the server's thread. */
	int (*answer)(void *arg, struct strbuf *body);
};

struct ops_server;
/* allowed_hosts: see http_hosts.h; borrowed like routes until ops_stop(). */
MUST_CHECK struct ops_server *ops_start(const char *host, int port, const char *allowed_hosts,
					const struct ops_route *routes, size_t n, void *arg,
					struct err *err);
void ops_stop(struct ops_server *s); /* NULL is fine */

#endif
