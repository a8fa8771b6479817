/*
 * query.h: what a GET asks of a resource: which rows, in which order, with what of them. Read from the
 * parameters of the URL against a model, and checked: whatever query_read() lets through, query_sql.h has a
 * statement for. Pure.
 *
 *   limit=50                       rows of a page, 1 to 1000
 *   cursor=…                       behind the last row of the page before
 *   order=-createdAt,id            descending, ascending; at the end the key, so that it is total
 *   name=eq.Ada, price=gte.5       filters, all of which hold: eq neq lt lte gt gte, in.(1,2,"a,b"), is.null,
 *                                  is.notnull, is.true, is.false, like.Ada%25. A column may come several times
 *   select=id,name                 these columns, in this order
 *   embed=users,comments.users     rows of other resources, by foreign keys: users!author_id names the
 *                                  column where two lead there; depth 3
 *   count=exact, count=estimated   of all rows that the filters leave
 *
 * A column that is called as one of these is filtered as "column.limit=eq.5". In all names and values %XX is
 * what it stands for, and + a blank.
 *
 * Without scans (RESOURCE_SCANS) filters and an order must be such that an index serves them: the rule stands in
 * query_index.c. What embeds are: query_embed.c.
 */
#ifndef PGFANOUT_API_RESOURCES_QUERY_H
#define PGFANOUT_API_RESOURCES_QUERY_H

#include "api/resources/model.h"
#include "common/http/http.h"

#define QUERY_LIMIT_DEFAULT 50
#define QUERY_LIMIT_MAX	    1000
#define QUERY_FILTERS_MAX   16
#define QUERY_ORDERS_MAX    8  /* beside the key's */
#define QUERY_EMBEDS_MAX    16 /* those of the setting included */
#define QUERY_DEPTH_MAX	    3
#define QUERY_IN_MAX	    100
#define QUERY_KEY_MAX	    32	 /* columns of a key */
#define QUERY_CURSOR_MAX    4096 /* bytes, as it is sent */

enum query_op {
	QUERY_EQ,
	QUERY_NEQ,
	QUERY_LT,
	QUERY_LTE,
	QUERY_GT,
	QUERY_GTE,
	QUERY_IN,
	QUERY_LIKE,
	QUERY_NULL,
	QUERY_NOT_NULL,
	QUERY_TRUE,
	QUERY_FALSE,
};

struct query_filter {
	size_t column;
	enum query_op op;
	/* Of query->values; none for those from QUERY_NULL on. A like that an index serves has three: the pattern,
	 * and the ends of the range that it is in. */
	size_t first_value, nvalues;
};

struct query_order {
	size_t column;
	bool desc;
};

struct query_embed {
	char *member; /* what the row's member is called; owned */
	int column;   /* of the children, that it is called by too; -1: by none */
	const struct model_reference *reference;
	bool up; /* one row, the parent; else an array, the children (one of a unique reference) */
	int of;	 /* of which embed it is a part; -1: of the row itself. Always an earlier one */
};

enum query_count { QUERY_NO_COUNT, QUERY_EXACT, QUERY_ESTIMATED };

/* A text: where it begins in query->text, NUL-terminated. */
struct query_value {
	size_t at, len;
	size_t column; /* of the resource: whose type it has */
};

struct query {
	const struct model *model; /* a reference of the query's */
	const struct model_resource *resource;
	bool paged;	    /* limit or cursor was given; else all rows are asked for */
	int limit;	    /* as given, else QUERY_LIMIT_DEFAULT */
	struct strbuf text; /* of all values */
	struct query_value *values;
	size_t nvalues;
	/* Of how many columns there is a cursor, 0: none; its first value. Those that are NULL have no value: bit n
	 * of cursor_nulls is set if the n-th is. */
	size_t ncursor, cursor;
	uint32_t cursor_nulls;
	bool selects;
	size_t *select; /* columns; of selects */
	size_t nselect;
	struct query_filter filters[QUERY_FILTERS_MAX];
	size_t nfilters;
	struct query_order orders[QUERY_ORDERS_MAX + QUERY_KEY_MAX]; /* ends with the key */
	size_t norders;
	struct query_embed embeds[QUERY_EMBEDS_MAX];
	size_t nembeds;
	enum query_count count;
};

/* What is wrong: the answer's field (a parameter's or a column's name) and words. 400. */
struct query_fault {
	char field[64]; /* "": none */
	struct err err;
};

struct query_rules {
	bool scans;	    /* RESOURCE_SCANS */
	const char *embeds; /* of the setting: "posts,comments"; NULL: none */
	/* Only the children of one row: those that refer by this foreign key, whose keys are the parent's key,
	 * to the row with this key, as query_read_key() takes it. NULL: all. */
	const struct model_reference *children;
	const char *parent;
	size_t parent_len;
};

/* The foreign key by which rows of one resource refer to the key of another one; column: by this column of the
 * child's, where several lead there, as the path has it, %XX decoded. NULL: there is none, or several. */
const struct model_reference *query_children(const struct model *m,
					     const struct model_resource *child,
					     const struct model_resource *parent,
					     const char *column, size_t len);

/* The operators that a filter of this column may have: "eq. neq. is.null"; served: those of them that an index
 * serves. */
void query_operators(struct strbuf *out, const struct model_resource *r, size_t column,
		     bool served);

/* Zeroed, or cleared. Reads the parameters of a page or list, or with key of one row (then only select and
 * embed are known). False: fault is set, and q is to be cleared all the same. */
MUST_CHECK bool query_read(struct query *q, const struct model *m, const struct model_resource *r,
			   const struct query_rules *rules, const struct http_param *params,
			   size_t n, bool key, struct query_fault *fault);
void query_clear(struct query *q);
/* The same query by another model, which was made of the query's by model_follow(); the reference becomes the
 * query's. False: something that it reads is gone. */
MUST_CHECK bool query_follow(struct query *q, struct model *m);

/* The text of a cursor is base64 of a JSON array: the texts of the order's columns in the last row, or null.
 * This one, in place of what cursor there is, is not in base64. False: it is none. */
MUST_CHECK bool query_set_cursor(struct query *q, const char *json, size_t len);

/* A key as the path has it, "a,b", %XX decoded, a comma in a value as %2C: nkey values at the end of
 * q->values. Whole numbers, UUIDs and booleans are checked, and written as PostgreSQL writes them. */
MUST_CHECK bool query_read_key(struct query *q, const char *path, size_t len,
			       struct query_fault *fault);

/* The k-th value of the key that was read. */
static inline const struct query_value *query_key(const struct query *q, size_t k)
{
	return &q->values[q->nvalues - q->resource->nkey + k];
}

/* Whether a parameter of this name is none of a column, unless "column." stands in front. */
bool query_is_parameter(const char *name);

/* The resource that an embed reads; whether its member is an array of children; whether there are embeds of this
 * one, or of -1. */
const struct model_resource *query_embedded(const struct query *q, size_t embed);
bool query_embed_is_array(const struct query_embed *e);
bool query_has_embeds(const struct query *q, int of);
/* Whether a parent is read as an embed of this one, or of one below it. */
bool query_has_parents(const struct query *q, int of);

#endif
