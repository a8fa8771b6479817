/*
 * products.h: the handlers of /api/products: read the input, check it, hand it to a store. A worker's thread.
 */
#ifndef PGFANOUT_API_PRODUCTS_PRODUCTS_H
#define PGFANOUT_API_PRODUCTS_PRODUCTS_H

#include "common/base/uuid.h"

struct request;

void products_list(struct request *r);
void products_get(struct request *r);
void products_create(struct request *r);
void products_replace(struct request *r);
void products_patch(struct request *r);
void products_delete(struct request *r);

#define PAGE_DEFAULT 50
#define PAGE_MAX     1000

/* "1" … "1000", nothing else. Pure. */
bool products_read_limit(const char *s, size_t len, int *ret);
/* A cursor is where the next page begins after; clients only hand it back. Pure. */
#define CURSOR_LEN 22
void products_write_cursor(const struct uuid *after,
			   char *ret); /* CURSOR_LEN bytes, no NUL; safe in a URL */
bool products_read_cursor(const char *s, size_t len, struct uuid *ret);

#endif
