/*
 * store.h: what the side of the data keeps for one worker. Each part is its module's own. The
 * worker's thread.
 */
#ifndef PGFANOUT_API_BATCH_STORE_H
#define PGFANOUT_API_BATCH_STORE_H

#include "api/serve/request.h"

struct store {
	struct service *service;
	struct pool *pool;
	struct made_statements *made;
	struct scratch *scratch;
	struct read_batches *reads;
	struct write_batches *writes;
	struct lists *lists;
	struct imports *imports;
	struct resources *resources;
};

static inline struct store *store_of(const struct request *r)
{
	return r->all->store;
}

#endif
