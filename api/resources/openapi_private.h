/*
 * openapi_private.h: what the parts of openapi.h share.
 *
 * openapi.c          the document, and what /stats and /status say of resources
 * openapi_paths.c    paths: parameters and answers
 * openapi_schema.c   schemas of values and rows
 *
 * Schemas of a resource are called row.users (its columns: what a write answers), read.users (what a GET answers,
 * only where the setting embeds something), new.users, replace.users and change.users (what POST, PUT and PATCH
 * take). No name of the static text has a dot, and no two resources have one name.
 */
#ifndef PGFANOUT_API_RESOURCES_OPENAPI_PRIVATE_H
#define PGFANOUT_API_RESOURCES_OPENAPI_PRIVATE_H

#include <jansson.h>

#include "api/resources/openapi.h"
#include "api/resources/query.h"

struct openapi {
	const struct model *model;
	const struct listed *listed;
	const struct openapi_options *options;
	json_t *paths, *schemas; /* parts of the document */
};

/* {"$ref": "#/components/schemas/row.users"}; kind: "row", of: "users". */
json_t *openapi_schema_ref(const char *kind, const struct model_resource *r);
/* What a GET answers of a row. */
json_t *openapi_read_ref(const struct openapi *o, const struct model_resource *r);
/* The resource's schemas become part of the document. */
void openapi_add_schemas(struct openapi *o, const struct model_resource *r);
/* Of one value of the key, in a path. */
json_t *openapi_key_schema(const struct model_column *c);
/* The paths likewise. */
void openapi_add_paths(struct openapi *o, const struct model_resource *r);

#endif
