/*
 * query_sql.h: the statements of a query. Values are parameters, in the order of query->values, as text;
 * names are quoted; nothing of a request is part of a statement. Pure.
 *
 * Every statement checks with pgfanout.readable_tables that the tables it names are what the model says (SQLSTATE
 * PF006: they are not), and is true of both kinds of databases, but for the filter of a registered
 * table, which only the primary needs. With `placed` it also says, in the first row, which is none of those asked
 * for, what the database tells of itself (place_sql()), and of a row by key the version, which only replicas have.
 *
 * Of a page or a list, a row:      0       the row as JSON, text
 *                                  1 … n   the order's columns, its cursor: whole numbers as bigint, all others
 *                                          as text
 *                                  n + 1   boolean: it lacks the parent of an embed that a foreign key promises.
 *                                          Only of queries that query_has_parents()
 *   with a count a second row of:  0       the count, as text; NULL and false in all others
 * Of a row by its key:             0       bigint: of which of the keys, from 1; the first row: 0
 *                                  1       the row as JSON
 *                                  2       as n + 1 above; without embeds: bigint, its version
 */
#ifndef PGFANOUT_API_RESOURCES_QUERY_SQL_H
#define PGFANOUT_API_RESOURCES_QUERY_SQL_H

#include "api/resources/query.h"

enum {
	QUERY_PAGE_PLACE = 0,
	QUERY_KEYS_PLACE = 1,
	QUERY_KEYS_VERSION = 2,
	QUERY_KEYS_LACKS = 2,
};

/* Children of a row are cut after so many, and the row says so: "commentsTruncated": true. */
#define QUERY_CHILDREN_MAX 100

/* A page, or a chunk of a list. The parameters: q->values, then the limit as integer in text. */
void query_sql_page(struct strbuf *out, const struct query *q, bool primary, bool placed);
/* Rows by keys. The parameters: of each of the key's columns a text[] of as many values as keys. Missing ones
 * have no row in the result. */
void query_sql_keys(struct strbuf *out, const struct query *q, bool primary, bool placed);

/* The form of both statements, beside which of them it is: two queries of one model that have it in common have
 * the same text. Bytes, appended. */
void query_sql_form(struct strbuf *out, const struct query *q);

/* For statements of others, such as writes. The expression of a row as JSON, as text; alias: of the table in
 * the statement. With embeds it names what query_sql_joins() joins. */
void query_sql_row(struct strbuf *out, const struct query *q, const char *alias);
/* How many rows the primary has, most at most; without parameters: one bigint. */
void query_sql_count(struct strbuf *out, const struct model_resource *r, int64_t most);
#endif
