/*
 * pgarray.h: one-dimensional arrays in PostgreSQL's binary format, as parameters for unnest():
 * nothing to quote, nothing to parse. One owner; memory is kept between uses. Pure.
 */
#ifndef PGFANOUT_COMMON_PG_PGARRAY_H
#define PGFANOUT_COMMON_PG_PGARRAY_H

#include "common/base/base.h"
#include "common/pg/db_param.h"
#include "common/base/strbuf.h"
#include "common/base/uuid.h"

/* Type OIDs of the elements. */
enum pgarray_type {
	PGARRAY_BOOL = 16,
	PGARRAY_BYTEA = 17,
	PGARRAY_INT8 = 20,
	PGARRAY_INT4 = 23,
	PGARRAY_TEXT = 25,
	PGARRAY_TIMESTAMPTZ = 1184,
	PGARRAY_UUID = 2950,
	PGARRAY_XID8 = 5069,
};

struct pgarray {
	struct strbuf buf;
	size_t n;
	bool has_null;
};

void pgarray_begin(struct pgarray *a, enum pgarray_type type); /* empties it */
void pgarray_add_bool(struct pgarray *a, bool v);
void pgarray_add_int4(struct pgarray *a, int32_t v);
/* Also timestamptz (microseconds since 2000-01-01) and xid8. */
void pgarray_add_int8(struct pgarray *a, int64_t v);
/* Also bytea. */
void pgarray_add_text(struct pgarray *a, const char *s, size_t len);
void pgarray_add_uuid(struct pgarray *a, const struct uuid *u);
void pgarray_add_null(struct pgarray *a);
/* The array as a parameter, which is borrowed until it is changed; an empty one is right too. */
struct db_param pgarray_finish(struct pgarray *a);
void pgarray_clear(struct pgarray *a);

/* Numbers of binary columns and of COPY: big-endian. */
int32_t pg_get_int4(const char *p);
int64_t pg_get_int8(const char *p);
void pg_put_int4(char *p, int32_t v);
void pg_put_int8(char *p, int64_t v);

#endif
