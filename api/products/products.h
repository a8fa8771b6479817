/*
 * products.h: the handlers of /api/products: read the input, check it, hand it to a store; and the
 * products' side as a worker calls it. A worker's thread.
 */
#ifndef PGFANOUT_API_PRODUCTS_PRODUCTS_H
#define PGFANOUT_API_PRODUCTS_PRODUCTS_H

#include "api/serve/service.h"

void products_list(struct request *r);
void products_get(struct request *r);
void products_create(struct request *r);
void products_replace(struct request *r);
void products_patch(struct request *r);
void products_delete(struct request *r);

extern const struct store_calls products_calls;

#endif
