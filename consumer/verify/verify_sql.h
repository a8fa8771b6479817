/*
 * verify_sql.h: the statements that compare one table on two servers, and lower impossible versions,
 * from its description. Pure.
 *
 * A key is written as SQL writes a text[], {1,"two"}; keys are a text[] of those. A digest is 32 bytes of
 * all columns; `columns` has VERIFY_DIGEST characters for each column. Both are made of the texts of the
 * values, so they are the same wherever the texts are, whatever the types. To run with the settings of
 * verify_servers.c and the search path of verify_sql_path().
 */
#ifndef PGFANOUT_CONSUMER_VERIFY_VERIFY_SQL_H
#define PGFANOUT_CONSUMER_VERIFY_VERIFY_SQL_H

#include "common/base/strbuf.h"
#include "common/wire/table.h"
#include "consumer/verify/verify_rule.h"

enum verify_text {
	/* On the primary: */
	VERIFY_TEXT_ROWS,      /* after, most: key, digest of so many rows, in the table's order */
	VERIFY_TEXT_ROWS_NEXT, /* the same behind a key */
	VERIFY_TEXT_ABSENT, /* keys: the newest version given out; place of each that is not there */
	VERIFY_TEXT_ORIGINALS, /* keys, places: place, now, given, columns, length of its text; NULL: there is no row */
	/* On a replica: */
	VERIFY_TEXT_KEYS,      /* after, most, given: key, whether its version is above given */
	VERIFY_TEXT_KEYS_NEXT, /* the same behind a key */
	VERIFY_TEXT_DIFFERENT, /* keys, digests: place of each row that has another digest, or is not there */
	VERIFY_TEXT_MARKS, /* after, most, given: keys that may be wrong whatever the rows say */
	VERIFY_TEXT_COPIES, /* keys, places: place, all that struct verify_copy has, whether a change waits */
	VERIFY_TEXT_LOWER, /* keys, versions, buried, given, dead: see verify_sql.c */
	VERIFY_TEXTS
};

/* What they are written of. */
struct verify_names {
	const struct table *t;
	int stream;
	const char *relation; /* the table on that server, quoted and with its schema */
	const char *filter;   /* on the primary: of the rows that replicas have; NULL: all */
};

extern const int verify_text_params[VERIFY_TEXTS];
void verify_sql_text(struct strbuf *out, enum verify_text which, const struct verify_names *n);
/*
 * A repair without a message, of one row. On the primary, key: the row, locked, if there is one, as texts: its
 * version, which is newer than any that it had; the transaction; pgfanout.source(); then the columns.
 */
void verify_sql_row(struct strbuf *out, const struct verify_names *n);
/* On a replica, all those columns, and a place in the primary's WAL before which it was committed: applies it as a
 * change. */
void verify_sql_write(struct strbuf *out, const struct table *t);
#define VERIFY_ROW_COLUMNS 3 /* in front of the table's */
/* Where the operators of the key are, and what a filter may name. */
void verify_sql_path(struct strbuf *out, const struct table *t);

#endif
