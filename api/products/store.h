/*
 * store.h: what the products' side keeps for one worker. Each part is its module's own. The
 * worker's thread.
 */
#ifndef PGFANOUT_API_PRODUCTS_STORE_H
#define PGFANOUT_API_PRODUCTS_STORE_H

#include "api/serve/request.h"

struct store {
	struct service *service;
	struct pool *pool;
	struct read_batches *reads;
	struct write_batches *writes;
	struct lists *lists;
	struct imports *imports;
};

static inline struct store *store_of(const struct request *r)
{
	return r->all->store;
}

#endif
