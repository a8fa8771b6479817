/*
 * query_private.h: what the files of query.h share: a request that is being read. For query*.c only.
 */
#ifndef PGFANOUT_API_RESOURCES_QUERY_PRIVATE_H
#define PGFANOUT_API_RESOURCES_QUERY_PRIVATE_H

#include "api/resources/query.h"

#define QUERY_VALUE_MAX \
	QUERY_CURSOR_MAX    /* bytes of a value, of a name, and of a cursor as it is sent */
#define QUERY_NAME_SHOWN 80 /* bytes of a name in a sentence */

/* ---- query_text.c: bytes of a URL as text, and lists in it ---- */

/* %XX and, of a parameter, + are resolved. False, with "is …" or
 * "has …": a bad %XX, no UTF-8, a NUL, too long. */
MUST_CHECK bool query_decode(const char *s, size_t len, bool plus, struct strbuf *ret,
			     const char **ret_why);

/* a,"b, c",d */
struct query_list {
	const char *at, *end;
	bool begun;
};
enum query_item { QUERY_ITEM, QUERY_ITEMS_END, QUERY_ITEM_BAD };
void query_list_init(struct query_list *l, const char *s, size_t len);
/* The next item without its quotes; quoted: it had some. BAD: quotes that do not end, or end too early.
 * signs: a + or - or blank in front of it is taken off, and is *ret_sign (else 0). */
enum query_item query_list_next(struct query_list *l, struct strbuf *ret, bool *ret_quoted,
				char *ret_sign);

/* Sets field and words. Always false. */
bool query_refuse(struct query_fault *fault, const char *field, const char *fmt, ...)
	PRINTF_LIKE(3, 4);
/* A name for a sentence: one line, not long. */
struct query_shown {
	char text[QUERY_NAME_SHOWN];
};
struct query_shown query_show(const char *name);

/* ---- query_value.c: values, filters and cursors ---- */

/* Appends a value of a column to q, if the column can have it: whole numbers, booleans and UUIDs as
 * PostgreSQL writes them. False, and *ret_why: what it should be. */
MUST_CHECK bool query_add_value(struct query *q, size_t column, const char *s, size_t len,
				const char **ret_why);
/* value: the parameter's, decoded. field: as it was called. */
MUST_CHECK bool query_read_filter(struct query *q, size_t column, const char *field,
				  const struct strbuf *value, struct query_fault *fault);
/* After the order is complete. */
MUST_CHECK bool query_read_cursor(struct query *q, const struct strbuf *value,
				  struct query_fault *fault);

/* ---- query_parent.c ---- */

MUST_CHECK bool query_read_parent(struct query *q, const struct query_rules *rules,
				  struct query_fault *fault);

/* ---- query_embed.c ---- */

MUST_CHECK bool query_read_embeds(struct query *q, const char *value, size_t len,
				  struct query_fault *fault);
/* When all are read: what each is called in its row. */
MUST_CHECK bool query_name_embeds(struct query *q, struct query_fault *fault);

/* ---- query_index.c: the rule of indexes ---- */

/* children: only those of one row. nordered: how many of q->orders were asked for. */
MUST_CHECK bool query_check_indexes(const struct query *q, bool children, size_t nordered,
				    struct query_fault *fault);
/* Whether an index serves this operator: of like, if its pattern begins with other than a wildcard. */
bool query_serves(const struct model_resource *r, size_t column, enum query_op op);

/* ---- query_sql_name.c ---- */

void query_sql_name(struct strbuf *out, const char *name); /* "a""b" */
/* 'a''b', whatever the session thinks of backslashes. */
void query_sql_literal(struct strbuf *out, const char *s, size_t len);
/* p."a" */
void query_sql_column(struct strbuf *out, const char *alias, const struct model_resource *r,
		      size_t column);
/* "public"."User" */
void query_sql_relation(struct strbuf *out, const struct model_resource *r);
/* The table, as an item of FROM; on the primary only the rows that replicas have. */
void query_sql_table(struct strbuf *out, const struct model_resource *r, bool primary,
		     const char *alias);
/* Whether the column is a text that LIKE reads; whether it is character(n). */
bool query_is_text(const struct model_column *c);
bool query_is_padded(const struct model_column *c);
bool query_type_begins(const struct model_column *c, const char *with);
/* A type as that of a parameter: without a length, which would cut or round the value. */
void query_sql_type(struct strbuf *out, const struct model_column *c);

/* ---- query_sql_row.c, query_sql_embed.c ---- */

/* Of one level: the row's (of -1, as selected) or an embed's. */
struct query_level {
	const struct query *q;
	const struct model_resource *r;
	int of;
	const char *alias;
};

/* The row of a level as JSON. */
void query_sql_level(struct strbuf *out, const struct query_level *l);

/* ---- query_sql_embed.c ---- */

/* " LEFT JOIN LATERAL …" for each embed; nothing without embeds. */
void query_sql_joins(struct strbuf *out, const struct query *q, const char *alias, bool primary);
/* ", boolean": a parent is missing that a foreign key promises. Nothing if none is read. */
void query_sql_lacks(struct strbuf *out, const struct query *q, const char *alias);
/* boolean, or SQLSTATE PF006: whether the tables are what the model says. Each is looked for in
 * pgfanout.readable_tables; pgfanout.readable() says why one is not there. */
void query_sql_readable(struct strbuf *out, const struct query *q);

#endif
