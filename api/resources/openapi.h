/*
 * openapi.h: the description of the API with the resources in it: the static text, in which products and the
 * routes of operations stand, and beside them paths, parameters, answers and schemas of each resource of a
 * model.
 *
 * Promise: what is written is a valid OpenAPI 3.1 document if the static text is one, whatever tables and columns
 * are called, and says of each route what it answers. Pure.
 */
#ifndef PGFANOUT_API_RESOURCES_OPENAPI_H
#define PGFANOUT_API_RESOURCES_OPENAPI_H

#include "api/resources/listed.h"
#include "api/resources/model.h"

struct openapi_options {
	const char *prefix; /* "/api"; "": none */
	bool envelope;	    /* RESOURCE_ENVELOPE */
	bool scans;	    /* RESOURCE_SCANS */
};

/* Appends it. base: the static text. listed has each resource of the model. */
void openapi_write(struct strbuf *out, const char *base, const struct model *m,
		   const struct listed *listed, const struct openapi_options *options);

#endif
