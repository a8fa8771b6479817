/*
 * connector.h: one thread for each database, which opens the workers' connections to it and looks after its state.
 *
 * Opening a connection blocks (DNS, a hung server), so it is done here and not in a worker; and with a thread for each
 * database a hung one delays only itself.
 *
 * States of the thread:
 *   away     the last look failed: looks again after a jittered back-off; opens nothing
 *   present  looks every second; opens what workers ask for, one after another; a failure to open means another look
 */
#ifndef PGFANOUT_API_POOL_CONNECTOR_H
#define PGFANOUT_API_POOL_CONNECTOR_H

#include "api/pool/upstreams.h"
#include "api/settings.h"

/* Of the i-th upstream. */
MUST_CHECK bool connector_start(struct upstreams *all, size_t i,
				const struct api_settings *settings, struct err *err);
/* Asks for a connection for the link, which has none; it arrives through worker_deliver(). Any thread. */
void connector_want(struct link *l);
/* Once the workers have ended. Bounded by the connect timeout. After it nothing is delivered any more. */
void connector_stop(struct upstream *up);

#endif
