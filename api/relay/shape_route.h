/*
 * shape_route.h: how recorded changes of one shape of a table become messages: where they go, and what
 * they are there.
 *
 *   of most tables   {"table":"public.users","version":42,"row":{…}}, a delete with "key":{…}, a TRUNCATE
 *                    with neither
 *   flat             {…,"version":42}
 *
 * Where … is row_body.h's. Owned by the outbox. Pure.
 */
#ifndef PGFANOUT_API_RELAY_SHAPE_ROUTE_H
#define PGFANOUT_API_RELAY_SHAPE_ROUTE_H

#include "api/relay/row_body.h"
#include "common/base/strbuf.h"
#include "common/wire/change.h"

#define ROUTE_KEY_MAX 256 /* bytes of a routing key, with the NUL: AMQP's short strings */

struct shape_route {
	int32_t shape;
	bool known; /* else only the number is */
	bool flat;
	bool last; /* the table is registered no more: announced behind all rows of other shapes */
	unsigned announced;	     /* announcer.c's: when; a flat one needs no announcement */
	char keys[2][ROUTE_KEY_MAX]; /* by enum change_kind */
	char truncate_key[ROUTE_KEY_MAX];
	struct strbuf head; /* in front of the version, unless it is flat */
	struct row_body *body;
	char *description; /* JSON */
};

struct shape_route *shape_route_new(int32_t shape);
/* From the table's description: now everything is known. False: it is none. */
MUST_CHECK bool shape_route_set(struct shape_route *r, const char *description, struct err *err);
void shape_route_free(struct shape_route *r);

/* Appends the change's JSON object. body: the record's; NULL: it is a TRUNCATE. */
void shape_route_write(const struct shape_route *r, struct strbuf *out, enum change_kind kind,
		       int64_t version, const char *body, size_t len);
/* The same of a row whose object would be larger than a message may be: see row_body.h. */
void shape_route_write_large(const struct shape_route *r, struct strbuf *out, int64_t version,
			     const char *body, size_t len);

#endif
