/*
 * service.h: what the whole process shares: settings, databases, and whether it is stopping. Made in main before the workers.
 */
#ifndef PGFANOUT_API_SERVE_SERVICE_H
#define PGFANOUT_API_SERVE_SERVICE_H

#include <stdatomic.h>

#include "api/pool/upstreams.h"
#include "api/settings.h"

struct relay;

struct service {
	const struct api_settings *settings; /* these: immutable after the start */
	struct upstreams upstreams;
	struct relay *relay; /* set before the workers start, stopped after they have ended */
	int64_t started_us;  /* wall clock */
	atomic_bool draining;
	atomic_bool warm; /* /ready has said yes once */
};

#endif
