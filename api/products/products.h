/*
 * products.h: the handlers of /api/products: read the input, check it, and hand it on. A worker's
 * thread.
 *
 * A page's cursor is the id of the last product of the page before, in base64 for URLs: short, and
 * nothing needs to be remembered here. Clients only hand it back.
 */
#ifndef PGFANOUT_API_PRODUCTS_PRODUCTS_H
#define PGFANOUT_API_PRODUCTS_PRODUCTS_H

#include "api/serve/service.h"

/* The id in the path. False: it is none, and was answered. */
bool products_check_id(struct request *r);
void products_list(struct request *r);
void products_get(struct request *r);
void products_create(struct request *r);
void products_replace(struct request *r);
void products_patch(struct request *r);
void products_delete(struct request *r);

/* "1" … "1000", nothing else. Pure. */
bool products_read_limit(const char *s, size_t len, int *ret);

#endif
