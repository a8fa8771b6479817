/*
 * query_write.h: the statements that write rows of a resource. Values are parameters: of each column an array
 * of texts, as many as rows, NULL where a value is; names are quoted. Pure.
 *
 * The result:   0  bigint: of which row it is, from 1; NULL: of the next one that was not left out
 *               1  the row as JSON; of a delete "{}"; NULL: it was left out, because it is locked
 *               2  boolean: it was not there before
 *               3  its key, as a JSON array of texts
 * Rows that were left out come first. Each checks with pgfanout.readable_tables that the table is what the model says.
 */
#ifndef PGFANOUT_API_RESOURCES_QUERY_WRITE_H
#define PGFANOUT_API_RESOURCES_QUERY_WRITE_H

#include "api/resources/model.h"

enum query_verb {
	QUERY_INSERT,  /* new rows */
	QUERY_REPLACE, /* those that are there are replaced: other columns get their defaults */
	QUERY_UPDATE,
	QUERY_DELETE,
	QUERY_VERBS
};

struct query_write {
	const struct model_resource *resource;
	enum query_verb verb;
	/* What is written, beside the key of all verbs but QUERY_INSERT. */
	const size_t *columns;
	size_t ncolumns;
	bool brief; /* nobody reads the row and its key: "" and NULL */
};

/* The parameters: the key's columns (not of an insert), then the others. waits: for rows that somebody else has
 * locked; else they are left out. */
void query_write_sql(struct strbuf *out, const struct query_write *w, bool waits);
/* Two writes of one model that have this in common have the same texts. Bytes, appended. */
void query_write_form(struct strbuf *out, const struct query_write *w);
size_t query_write_params(const struct query_write *w);

#endif
