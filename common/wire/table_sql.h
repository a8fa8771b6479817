/*
 * table_sql.h: the statements for one table on a replica, from its description. Pure.
 */
#ifndef PGFANOUT_COMMON_WIRE_TABLE_SQL_H
#define PGFANOUT_COMMON_WIRE_TABLE_SQL_H

#include "common/base/strbuf.h"
#include "common/wire/table.h"

/* "users": every name that becomes part of a statement is quoted by this. */
void table_sql_quote(struct strbuf *out, const char *name);
/* "public"."users" */
void table_sql_name(struct strbuf *out, const struct table *t);
/* A script that makes the table on a replica, unless it is there, with its key alone; and its tombstones. What
 * it needs is there. */
void table_sql_create(struct strbuf *out, const struct table *t, const char *local);

/* A script that gives a replica's table the columns of another shape of it. True: rows that it has had lack
 * values then. */
MUST_CHECK bool table_sql_columns(struct strbuf *out, const struct table *was,
				  const struct table *now, const char *local);
/* One that does the rest, after that: tombstones, and where it moves to. */
void table_sql_rest(struct strbuf *out, const struct table *was, const struct table *now,
		    const char *local);
/* What it is called then. */
void table_sql_moved(struct strbuf *out, const struct table *was, const struct table *now,
		     const char *local);
/* pgfanout.drop_key() and pgfanout.make_key(): the key of a replica's table. */
void table_sql_key(struct strbuf *out, const char *function, const struct table *t,
		   const char *local);

/* The two ends of a load: from the primary's table, with the rows that fulfil the condition (NULL: all), into
 * one on a replica. Version 0: it came with a snapshot. */
void table_sql_copy_out(struct strbuf *out, const struct table *t, const char *relation,
			const char *filter);
void table_sql_copy_in(struct strbuf *out, const struct table *t, const char *into);

/* Two statements that make the rows of a replica's table those of another one with the same columns, whatever
 * is unique there: rows that are gone or not the same to the last digit go, then what is missing comes. */
void table_sql_difference(struct strbuf *out, const struct table *t, const char *local,
			  const char *from);

/* A script that makes, or makes anew, what applies changes of this shape of the table, to a replica's table
 * of maybe another shape (table_follow()):
 *   type pgfanout.columns_<shape>     an array for each column, c1, c2, …, in their order
 *   function pgfanout.apply_<shape>   see table_sql.c
 *   function pgfanout.version_of_<table>(key text[])
 *   function pgfanout.truncate_<table>(msg_source text, version bigint, xid xid8, runs bigint[], beats jsonb,
 *     lsn bigint)
 * local: the replica's table, quoted and with its schema. stream: its number. */
void table_sql_apply(struct strbuf *out, const struct table *t, const char *local, int stream);

/* A script that makes function pgfanout.arrive_<stream>(msg_source text, runs bigint[], beats jsonb): for
 * what comes without a change. And what the others need of the stream: the sequence pgfanout.seen_<stream>. */
void table_sql_arrive(struct strbuf *out, int stream);
#define TABLE_ARRIVE_PARAMS 3

/* The statement that calls apply_<shape>; its parameters are numbered as in enum table_apply. */
enum table_apply {
	TABLE_APPLY_SOURCE,
	TABLE_APPLY_VERSIONS,
	TABLE_APPLY_XIDS,
	TABLE_APPLY_DELETED,
	TABLE_APPLY_COLUMNS, /* a columns_<shape> */
	TABLE_APPLY_NEW,     /* whether probably all rows are new; NULL: probably none is */
	TABLE_APPLY_RUNS,
	TABLE_APPLY_BEATS,
	TABLE_APPLY_NEWEST,
	TABLE_APPLY_LSN, /* they were committed before this place in the WAL; NULL: not known */
	TABLE_APPLY_PARAMS
};
void table_sql_call(struct strbuf *out, const struct table *t);
/* The statement that applies changes one by one, and keeps those that wait (pgfanout.apply_each()): source,
 * versions, xids, deleted, columns, an array of each of these, and lsn. */
enum table_kept_text {
	TABLE_KEPT_KEY, /* as SQL writes a text[] */
	TABLE_KEPT_BODY,
	TABLE_KEPT_TYPE,
	TABLE_KEPT_CONTENT_TYPE,
	TABLE_KEPT_ID,
	TABLE_KEPT_QUEUE,
	TABLE_KEPT_TEXTS
};
#define TABLE_EACH_PARAMS (5 + TABLE_KEPT_TEXTS + 1)
void table_sql_each(struct strbuf *out, const struct table *t, int stream);
#define TABLE_TRUNCATE_PARAMS 6

#endif
