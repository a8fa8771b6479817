/*
 * stores.h: what each worker keeps for the data that it serves: the rooms batch and products, as a worker
 * calls them (serve/service.h). A worker's thread.
 */
#ifndef PGFANOUT_API_STORES_H
#define PGFANOUT_API_STORES_H

#include "api/serve/service.h"

extern const struct store_calls stores_calls;

#endif
