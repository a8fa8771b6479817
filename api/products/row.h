/*
 * row.h: a product as a database answers it, and as clients see it. Pure but for row_reply().
 */
#ifndef PGFANOUT_API_PRODUCTS_ROW_H
#define PGFANOUT_API_PRODUCTS_ROW_H

#include "api/serve/request.h"

/* Its text lives as long as the result. */
struct product_row {
	struct uuid id;
	const char *name;
	size_t name_len;
	const char *price;
	size_t price_len;
	int32_t stock;
	int64_t created_us, updated_us; /* as PostgreSQL counts */
};

/* first: the column of the id; the others follow in this order. */
struct product_row row_read(const struct pg_result *r, int row, int first);
void row_write(struct strbuf *out, const struct product_row *p);
/* The answer. */
void row_reply(struct request *r, int status, const struct product_row *p, const char *message);

#endif
