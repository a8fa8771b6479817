/*
 * model.h: what the resources are: which tables of the primary, with which columns, keys, indexes and
 * references, as sql/catalog.sql reads them from the catalog.
 *
 * A model never changes once it is made; all threads share it, counted. A change of a table makes a new one
 * (catalog.h). Pure.
 *
 * The text that model_read() takes, the one result of catalog.sql; whatever is not set may be missing:
 *   {"resources": [{"name": "posts", "table": 103, "shape": 7, "schema": "public", "relation": "Post",
 *      "filter": "published", "comment": "…", "rows": 1234,
 *      "columns": [{"name": "id", "number": 1, "type": "integer", "kind": "integer", "comment": "…",
 *          "element": "text", "labels": ["a", "b"], "notnull": true, "default": true,
 *          "identity": "always" | "by default", "generated": true, "plain": true, "max": 40, "collation": 100}],
 *      "key": ["id"],
 *      "indexes": [{"method": "btree", "unique": true, "columns": [{"name": "id", "desc": true, "pattern": true,
 *          "unordered": true, "unequal": true}]}],
 *      "constraints": [{"name": "Post_title_key", "column": "title"}],
 *      "stream": "tables", "streamNumber": 2, "joined": true, "replaced": true, "partitioned": true}],
 *    "references": [{"child": "posts", "columns": ["userId"], "parent": "users", "keys": ["id"], "unique": true}],
 *    "missing": [{"name": "accounts", "reason": "there is no table \"accounts\""}]}
 */
#ifndef PGFANOUT_API_RESOURCES_MODEL_H
#define PGFANOUT_API_RESOURCES_MODEL_H

#include <stdatomic.h>

#include "common/base/base.h"
#include "common/base/err.h"
#include "common/base/strbuf.h"

/* How values of a type are written as JSON, and which are taken. */
enum model_kind {
	MODEL_BOOLEAN, /* true, false */
	MODEL_INTEGER, /* smallint, integer, bigint: a number without fraction */
	MODEL_NUMBER,  /* numeric, real, double precision: a number; "NaN", "Infinity" as strings */
	MODEL_JSON,    /* json, jsonb: what it is. SQL's NULL: the member is absent */
	MODEL_UTC,     /* timestamptz: a string, "2026-01-31T12:00:00.123456Z" */
	MODEL_TIME,    /* timestamp, date: a string, "2026-01-31T12:00:00.123456", "2026-01-31" */
	MODEL_TEXT,    /* text, varchar, bpchar, name, uuid, enums: a string */
	MODEL_ARRAY, /* of those above but JSON: an array; with odd bounds a string, as MODEL_OTHER */
	MODEL_OTHER, /* everything else: a string, PostgreSQL's own text */
	MODEL_KINDS
};

struct model_column {
	char *name; /* the column, and the member */
	char *in_sql; /* the column in statements: another name only where model_follow.h made the model */
	char *type;    /* as SQL has it: numeric(12,2); a domain's is its base type */
	char *comment; /* NULL: none */
	char **labels; /* of an enum; NULL: it is none */
	size_t nlabels;
	enum model_kind kind, element; /* element: of MODEL_ARRAY */
	bool not_null, has_default, generated, identity, identity_always;
	bool plain;	   /* equal values have the same text */
	int max_length;	   /* of varchar(40); 0: none */
	int64_t collation; /* which one the primary has; 0: none */
	int key;	   /* its place in the key, from 0; -1: not of it */
	int number;	   /* in the table, whatever it is called; 0: not known */
	bool gone;	   /* of model_follow.h: statements cannot have it any more */
};

struct model_index_column {
	size_t column;
	bool desc;    /* with NULLs first; ascending with NULLs last */
	bool pattern; /* LIKE 'a%' can use it */
	bool unordered; /* neither order nor comparisons but equality are the column's: text_pattern_ops */
	bool unequal; /* nor is equality: another collation. Only LIKE, then */
};

/* Neither partial nor by expressions; columns that are no columns of the resource end it. */
struct model_index {
	bool ordered; /* btree; else only equality */
	bool unique;
	size_t ncolumns;
	struct model_index_column *columns;
};

/* Also a unique index: what the server names when it refuses a row. */
struct model_constraint {
	char *name;
	size_t column; /* that is to blame */
};

struct model_resource {
	char *name;	  /* as requests have it */
	int table, shape; /* pgfanout.registered, pgfanout.shapes */
	char *schema, *relation;
	char *filter;  /* what rows on replicas fulfil; NULL: all are there */
	char *comment; /* NULL: none */
	int64_t rows;  /* about; -1: not known */
	struct model_column *columns;
	size_t ncolumns;
	size_t *key; /* places of columns, in the key's order */
	size_t nkey;
	bool plain; /* keys that are equal have the same text */
	/* Several rows may be inserted, or inserted or replaced, by one statement: no trigger of a user's looks at
	 * them. */
	bool joined, replaced;
	bool partitioned;
	char *stream; /* that its changes go by; NULL and 0: not known */
	int stream_number;
	char *version; /* the column of replicas that has a row's version; NULL: not known */
	struct model_constraint *constraints;
	size_t nconstraints;
	struct model_index *indexes;
	size_t nindexes;
};

/* A foreign key between two resources. */
struct model_reference {
	size_t child, parent; /* places of resources */
	size_t n;
	size_t *columns, *keys; /* n of the child's, n of the parent's */
	bool unique;		/* a parent has at most one child by it */
};

/* A resource that is listed, and is not there. */
struct model_missing {
	char *name, *reason;
};

struct model {
	atomic_uint refs;
	uint64_t number;  /* grows with each model of this process; catalog.c sets it */
	uint64_t members; /* of which number the members are: the same, but in model_follow.h */
	struct model_resource *resources;
	size_t nresources;
	struct model_reference *references;
	size_t nreferences;
	struct model_missing *missing;
	size_t nmissing;
};

/* NULL: it is no such text. One reference, the caller's. */
struct model *model_read(const char *text, size_t len, struct err *err);
struct model *model_ref(const struct model *m);
void model_unref(const struct model *m); /* NULL is fine */

/* NULL: none has this name. */
const struct model_resource *model_find(const struct model *m, const char *name, size_t len);
/* Whether only the database can make a key. */
bool model_key_is_made(const struct model_resource *r);
/* Whether two texts are never one key: those of a date, or of a number, may be. */
bool model_key_is_exact(const struct model_resource *r);
/* The column's name; NULL: none is to blame. */
const char *model_constraint_column(const struct model_resource *r, const char *constraint);
/* -1: none. */
int model_column_find(const struct model_resource *r, const char *name, size_t len);

#endif
