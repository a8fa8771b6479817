/*
 * front.c: see front.h.
 *
 * The checks, in this order; the first that fails answers:
 *   1. The head is well formed (common/http/http_head.c).
 *   2. The path is known, byte for byte: 404. The method is known for it: 405 with Allow.
 *   3. Every query parameter is known, and comes once: 400 naming it.
 *   4. The path's parts are what the route takes, an id is a UUID: 400.
 *   5. A write names no condition: 412, because nothing here has an ETag to compare; and no range:
 *      400. To ignore either would write what the client said not to.
 *   6. What a read's client has seen (X-Position) is a position of ours: 400.
 *   7. The content type is the route's, and the body not compressed: 415. It is not too large: 413.
 * What the body says is the handler's to judge.
 */
#include "api/serve/front.h"

#include <stdio.h>
#include <string.h>

#include "api/measures.h"
#include "api/serve/request.h"
#include "common/base/utf8.h"

#define PARAMS_MAX 8

static bool check_params(struct request *r)
{
	struct http_param params[PARAMS_MAX];
	size_t n = http_request_params(r->http, params, PARAMS_MAX);

	if (n > PARAMS_MAX) {
		request_fail(r, 400, NULL, "too many query parameters");
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		char name[64];

		snprintf(name, sizeof(name), "%.*s", (int)min_size(params[i].key_len, 63),
			 params[i].key);
		if (!utf8_valid(name, strlen(name), NULL))
			snprintf(name, sizeof(name), "?");
		if (!route_knows_param(r->route, params[i].key, params[i].key_len)) {
			request_fail(r, 400, name, "unknown query parameter \"%s\"", name);
			return false;
		}
		for (size_t j = 0; j < i; j++) {
			if (params[i].key_len == params[j].key_len &&
			    memcmp(params[i].key, params[j].key, params[i].key_len) == 0) {
				request_fail(r, 400, name, "query parameter \"%s\" is given twice",
					     name);
				return false;
			}
		}
	}
	return true;
}

static bool check_conditions(struct request *r)
{
	const struct http_head *head = http_request_head(r->http);

	if (r->route->method == HTTP_GET)
		return true;
	if (head->conditional)
		request_fail(r, 412, NULL,
			     "conditions (If-Match, If-None-Match, If-Unmodified-Since) are not "
			     "supported: nothing was changed");
	else if (head->partial)
		request_fail(r, 400, NULL, "Content-Range is not supported: nothing was changed");
	return !head->conditional && !head->partial;
}

/* The value of a cookie of this name; false: there is none. */
static bool find_cookie(const struct http_head *head, const char *name, const char **ret,
			size_t *ret_len)
{
	const char *s = head->cookie, *end = s ? s + head->cookie_len : NULL;
	size_t len = strlen(name);

	while (s < end) {
		const char *semicolon = memchr(s, ';', (size_t)(end - s));
		const char *last = semicolon ? semicolon : end;

		while (s < last && *s == ' ')
			s++;
		if ((size_t)(last - s) > len && memcmp(s, name, len) == 0 && s[len] == '=') {
			*ret = s + len + 1;
			*ret_len = (size_t)(last - *ret);
			return true;
		}
		s = semicolon ? semicolon + 1 : end;
	}
	return false;
}

static bool check_position(struct request *r)
{
	const struct http_head *head = http_request_head(r->http);
	struct position from_cookie;
	const char *value;
	size_t len;

	if (r->route->method != HTTP_GET)
		return true;
	if (head->position && !position_read(head->position, head->position_len, &r->want.at)) {
		request_fail(r, 400, NULL, "X-Position is not one that an answer gave");
		return false;
	}
	/* A browser sends what it has: a cookie that is none of ours says nothing. */
	if (r->all->service->settings->position_cookie &&
	    find_cookie(head, POSITION_COOKIE, &value, &len) &&
	    position_read(value, len, &from_cookie))
		position_join(&r->want.at, &from_cookie);
	/* Of another primary, which this one has taken the place of. */
	uint32_t source = atomic_load_explicit(&r->all->service->upstreams.server->source,
					       memory_order_relaxed);

	if (r->want.at.source != 0 && source != 0 && r->want.at.source != source)
		r->want.at = (struct position){ .source = source, .lsn = POSITION_UNKNOWN };
	r->want.past = head->max_stale;
	return true;
}

static bool check_type(struct request *r)
{
	const struct http_head *head = http_request_head(r->http);
	const char *type = r->route->body == ROUTE_JSON ? "application/json"
							: "application/x-ndjson";

	if (!http_media_type_is(head->content_type, head->content_type_len, type)) {
		request_fail(r, 415, NULL, "Content-Type must be %s", type);
		return false;
	}
	if (head->encoded) {
		http_header(r->http, "Accept-Encoding", "identity");
		request_fail(r, 415, NULL,
			     "Content-Encoding is not supported: send the body uncompressed");
	}
	return !head->encoded;
}

static void on_head(void *arg, struct http_request *http)
{
	struct requests *all = arg;
	struct request *r = request_new(all, http);
	struct route_match match;

	metric_add(M_REQUESTS, 0, 1);
	/* 2 */
	switch (route_find(all->service->routes, http_request_method(http), http_request_path(http),
			   &match)) {
	case ROUTE_FOUND:
		break;
	case ROUTE_NO_PATH:
		request_fail(r, 404, NULL,
			     "there is nothing under this path; GET / lists what there is");
		return;
	case ROUTE_NO_METHOD:
		http_header(http, "Allow", match.allow);
		request_fail(r, 405, NULL, "this method is not allowed here; allowed: %s",
			     match.allow);
		return;
	}
	r->route = match.route;
	memcpy(r->part, match.part, sizeof(r->part));
	/* 3 */
	if (!route_knows_any(r->route) && !check_params(r))
		return;
	/* 4 */
	if (r->route->check && !r->route->check(r))
		return;
	/* 5 */
	if (!check_conditions(r))
		return;
	/* 6 */
	if (!check_position(r))
		return;
	/* 7 */
	switch (match.route->body) {
	case ROUTE_NO_BODY:
		return;
	case ROUTE_JSON:
		if (check_type(r))
			http_collect(http, (size_t)all->service->settings->max_body_bytes);
		return;
	case ROUTE_NDJSON:
		if (!check_type(r))
			return;
		http_stream(http);
		match.route->handle(r);
		return;
	}
}

static size_t on_body(void *arg, struct http_request *http, const char *data, size_t len)
{
	struct request *r = http_user(http);

	(void)arg;
	return r->route->data(r, data, len);
}

static void on_whole(void *arg, struct http_request *http)
{
	struct request *r = http_user(http);

	(void)arg;
	if (r->route->body == ROUTE_NDJSON)
		r->route->end(r);
	else
		r->route->handle(r);
}

static void on_gone(void *arg, struct http_request *http)
{
	struct request *r = http_user(http);

	(void)arg;
	if (!r) /* its head was malformed */
		return;
	request_settle(r);
	r->http = NULL;
	if (r->gone)
		r->gone(r);
	request_unref(r);
}

const struct http_callbacks front_callbacks = {
	.head = on_head,
	.body = on_body,
	.whole = on_whole,
	.gone = on_gone,
};
