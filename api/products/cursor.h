/*
 * cursor.h: the query parameters of pages. Pure.
 */
#ifndef PGFANOUT_API_PRODUCTS_CURSOR_H
#define PGFANOUT_API_PRODUCTS_CURSOR_H

#include "common/base/uuid.h"

#define PAGE_DEFAULT 50
#define PAGE_MAX     1000

/* "1" … "1000", nothing else. */
bool products_read_limit(const char *s, size_t len, int *ret);
/* A cursor says after which product the next page begins; clients only hand it back. */
#define CURSOR_LEN 22
/* ret: CURSOR_LEN bytes, no NUL; safe in a URL. */
void products_write_cursor(const struct uuid *after, char *ret);
bool products_read_cursor(const char *s, size_t len, struct uuid *ret);

#endif
