/*
 * service.h: what all workers share: settings, databases, the relay, what main gives them to serve,
 * and whether the process is stopping. Made in main before the workers.
 */
#ifndef PGFANOUT_API_SERVE_SERVICE_H
#define PGFANOUT_API_SERVE_SERVICE_H

#include "api/pool/pool.h"
#include "api/relay/relays.h"
#include "api/serve/routes.h"

struct service;
struct catalog;
struct catalog_place;
struct counts;
struct listed;
struct store; /* what the rooms above keep for one worker */

/* How a worker calls the rooms above. All but new() and free() in the worker's thread. */
struct store_calls {
	const struct connector_kinds *(*kinds)(void); /* of connections; before any thread, once */
	struct store *(*new)(struct service *service, struct pool *pool);
	void (*free)(struct store *s);	   /* no unit is in flight */
	void (*dispatch)(struct store *s); /* at the end of a turn: sends what waits */
	void (*tick)(struct store *s);	   /* every few milliseconds: deadlines, retries */
	/* When it needs the next turn at the latest; at tick, if something is under way that ticks
	 * matter to. */
	struct mono (*next)(const struct store *s, struct mono tick);
};

struct service {
	const struct api_settings *settings; /* these: immutable after the start */
	const struct route_table *routes;
	const struct store_calls *calls;
	struct http_hosts hosts;
	const struct listed *listed; /* what RESOURCES says */
	struct upstreams upstreams;
	/* Both set before the workers start, stopped after they have ended. */
	struct relays *relays;
	struct relay *relay;	      /* of products */
	struct catalog *catalog;      /* of the resources; NULL: there are none */
	struct catalog_place *models; /* what it finds */
	struct counts *counts;	      /* of the resources' rows; NULL: there are none */
	int64_t started_us;	      /* wall clock */
	atomic_bool draining;
	atomic_bool warm; /* /ready has said yes once */
};

#endif
