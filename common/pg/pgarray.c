/*
 * pgarray.c: parameters for unnest() in PostgreSQL's binary array format (array_recv in its
 * arrayfuncs.c).
 *
 * All numbers are big-endian. The head: dimensions (1; 0 for an empty array), whether there are
 * NULLs, the elements' type; then, only with a dimension, the count and the first index (1). Each
 * element: its length (-1: NULL) and its bytes. The head is written at the beginning, what was not
 * known then is filled in at the end. Pure: any thread.
 */
#include "common/pg/pgarray.h"

#include <endian.h>
#include <string.h>

enum {
	HEAD_DIMENSIONS = 0,
	HEAD_NULLS = 4,
	HEAD_TYPE = 8,
	HEAD_COUNT = 12,
	HEAD_FIRST = 16,
	HEAD_LEN = 20
};
#define HEAD_LEN_EMPTY HEAD_COUNT

int32_t pg_get_int4(const char *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof(v));
	return (int32_t)be32toh(v);
}

int64_t pg_get_int8(const char *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
	return (int64_t)be64toh(v);
}

void pg_put_int4(char *p, int32_t v)
{
	uint32_t be = htobe32((uint32_t)v);
	memcpy(p, &be, sizeof(be));
}

void pg_put_int8(char *p, int64_t v)
{
	uint64_t be = htobe64((uint64_t)v);
	memcpy(p, &be, sizeof(be));
}

void pgarray_begin(struct pgarray *a, enum pgarray_type type)
{
	strbuf_reset(&a->buf);
	a->n = 0;
	a->has_null = false;
	char *head = strbuf_reserve(&a->buf, HEAD_LEN);
	memset(head, 0, HEAD_LEN);
	pg_put_int4(head + HEAD_TYPE, (int32_t)type);
	strbuf_commit(&a->buf, HEAD_LEN);
}

/* Writes the element's length; returns where its bytes go, which the array holds already. */
static char *add_element(struct pgarray *a, size_t len)
{
	char *p = strbuf_reserve(&a->buf, 4 + len);

	pg_put_int4(p, (int32_t)len);
	strbuf_commit(&a->buf, 4 + len);
	a->n++;
	return p + 4;
}

void pgarray_add_bool(struct pgarray *a, bool v)
{
	*add_element(a, 1) = (char)v;
}

void pgarray_add_int4(struct pgarray *a, int32_t v)
{
	pg_put_int4(add_element(a, 4), v);
}

void pgarray_add_int8(struct pgarray *a, int64_t v)
{
	pg_put_int8(add_element(a, 8), v);
}

void pgarray_add_text(struct pgarray *a, const char *s, size_t len)
{
	if (len > INT32_MAX)
		fatal("pgarray_add_text: %zu bytes do not fit in an element", len);
	char *p = add_element(a, len);
	if (len > 0)
		memcpy(p, s, len);
}

void pgarray_add_uuid(struct pgarray *a, const struct uuid *u)
{
	memcpy(add_element(a, sizeof(u->b)), u->b, sizeof(u->b));
}

void pgarray_add_null(struct pgarray *a)
{
	char *p = strbuf_reserve(&a->buf, 4);

	pg_put_int4(p, -1);
	strbuf_commit(&a->buf, 4);
	a->n++;
	a->has_null = true;
}

struct db_param pgarray_finish(struct pgarray *a)
{
	char *head = a->buf.data;

	if (a->n == 0) {
		a->buf.len = HEAD_LEN_EMPTY;
		return DB_BINARY(head, a->buf.len);
	}
	if (a->n > INT32_MAX)
		fatal("pgarray_finish: %zu elements do not fit in an array", a->n);
	pg_put_int4(head + HEAD_DIMENSIONS, 1);
	pg_put_int4(head + HEAD_NULLS, a->has_null);
	pg_put_int4(head + HEAD_COUNT, (int32_t)a->n);
	pg_put_int4(head + HEAD_FIRST, 1);
	return DB_BINARY(head, a->buf.len);
}

void pgarray_clear(struct pgarray *a)
{
	strbuf_clear(&a->buf);
	a->n = 0;
	a->has_null = false;
}
