/*
 * table.h: what a registered table looks like, from its description (pgfanout.describe() on the
 * primary): all that relay, consumer and reset need to know of it.
 *
 * Immutable once read, so any thread may use it.
 */
#ifndef PGFANOUT_COMMON_WIRE_TABLE_H
#define PGFANOUT_COMMON_WIRE_TABLE_H

#include "common/base/base.h"
#include "common/base/err.h"
#include "common/base/strbuf.h"
#include "common/pg/pgarray.h"

/* How a value is written as JSON, and handed to a replica. */
enum table_form {
	TABLE_BOOLEAN,	   /* true or false */
	TABLE_INT4,	   /* a number */
	TABLE_INT8,	   /* a number */
	TABLE_UUID,	   /* a string */
	TABLE_TIMESTAMPTZ, /* a string, UTC */
	TABLE_NUMBER,	   /* a number, or a string: "NaN" */
	TABLE_JSON,	   /* what it is */
	TABLE_STRING,	   /* a string: the type is one of strings */
	TABLE_TEXT,	   /* a string: the type's own text */
	TABLE_FORMS
};

struct table_column {
	int att;      /* its number on the primary: that of a renamed column stays */
	char *name;   /* on the primary */
	char *here;   /* what the replica's column is called; NULL: it has none: table_follow() */
	char *member; /* of the row's JSON object */
	char *quoted; /* the same as it stands in an object where it has no escapes: "name" */
	size_t quoted_len;
	char *type;	 /* as SQL has it */
	char *collation; /* likewise, where it is not the type's; "": it is */
	bool filled; /* these two: it was added with this shape, and all rows had this, as text; NULL: NULL */
	char *fill;
	enum table_form form;
	bool not_null;
	int key;     /* place in the key, from 0; -1: not of it */
	char *equal; /* of a key column: the operator that says whether two values are equal */
};

struct table {
	int id, shape;
	char *stream;
	char *schema, *name;
	char *full;	/* "public.users", as messages have it */
	char *replicas; /* those that have it: "\nreplica-1\nreplica-2\n"; NULL: all */
	bool elsewhere; /* the replica that is spoken of does not have it: its changes are left out */
	bool dropped, purge; /* it is registered no more, and replicas drop what they have of it */
	char leaving[8]; /* the queue that has told the replica that is spoken of so; "": none */
	bool flat;	 /* messages are the row's object with a member "version" */
	char *version;	 /* the column on replicas that has the row's version */
	bool plain;	 /* keys that are equal have the same text */
	int loads;	 /* another number than before: its rows are to be loaded again */
	struct table_column *columns;
	size_t ncolumns;
	size_t *key; /* indices of columns, in the key's order */
	size_t nkey;
};

/* NULL: the description is none. Owned: table_free(). */
struct table *table_read(int shape, const char *description, struct err *err);
bool table_is_for(const struct table *t, const char *replica);
struct table *table_free(struct table *t); /* NULL is fine; returns NULL */
/* A replica that has another shape of the same table keeps what it has a column for: `here` of each column
 * becomes the name of the one with the same number. NULL: it is gone, or its values are of another kind. */
void table_follow(struct table *t, const struct table *has);
/* How a row is named to people: "public.users {7}", of a flat table with a key of one column that column's
 * text alone. key: as SQL writes a text[]. */
void table_name_row(struct strbuf *out, const struct table *t, const char *key);
/* Whether rows of both have the same key. */
bool table_same_key(const struct table *a, const struct table *b);
/* Whether each value of a column may be put into one of the other type: strings, and whole numbers that are
 * not wider. */
bool table_fits(const struct table_column *from, const struct table_column *to);
const struct table_column *table_column_of(const struct table *t,
					   int att); /* NULL: there is none */

/* Of the arrays that its values are handed over in. */
enum pgarray_type table_array_type(enum table_form form);
int32_t table_array_oid(enum table_form form); /* of the array type itself */
/* "uuid[]" */
const char *table_array_name(enum table_form form);

#endif
