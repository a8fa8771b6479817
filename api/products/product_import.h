/*
 * product_import.h: POST /api/products/import: products, one a line (batch/import.h). A worker's thread.
 */
#ifndef PGFANOUT_API_PRODUCTS_PRODUCT_IMPORT_H
#define PGFANOUT_API_PRODUCTS_PRODUCT_IMPORT_H

#include "api/serve/service.h"

void products_import(struct request *r);

#endif
