/*
 * tables_for_tests.h: two tables as a replica knows them: products, whose messages are flat, and "odd",
 * which has a key of several columns, columns of every form that may be NULL, and names that need
 * quotes.
 */
#ifndef PGFANOUT_TESTS_UNIT_TABLES_FOR_TESTS_H
#define PGFANOUT_TESTS_UNIT_TABLES_FOR_TESTS_H

#include "common/base/base.h"
#include "common/wire/table.h"

/* Its columns in their order. */
enum products_column {
	PRODUCTS_ID,
	PRODUCTS_NAME,
	PRODUCTS_PRICE,
	PRODUCTS_STOCK,
	PRODUCTS_CREATED,
	PRODUCTS_UPDATED,
	PRODUCTS_COLUMNS
};

/* As migrations/replica/0003_any_table.up.sql has it. */
#define PRODUCTS_DESCRIPTION                                                                         \
	"{\"table\": 1, \"stream\": \"products\", \"schema\": \"public\", \"name\": \"products\","   \
	" \"flat\": true, \"version\": \"version\", \"key\": [1], \"plain\": true, \"columns\": ["   \
	"{\"att\": 1, \"name\": \"id\", \"member\": \"id\", \"type\": \"uuid\", \"form\": \"uuid\"," \
	" \"notnull\": true, \"equal\": \"OPERATOR(pg_catalog.=)\"},"                                \
	"{\"att\": 2, \"name\": \"name\", \"member\": \"name\", \"type\": \"text\","                 \
	" \"form\": \"string\", \"notnull\": true},"                                                 \
	"{\"att\": 3, \"name\": \"price\", \"member\": \"price\", \"type\": \"numeric\","            \
	" \"form\": \"number\", \"notnull\": true},"                                                 \
	"{\"att\": 4, \"name\": \"stock\", \"member\": \"stock\", \"type\": \"integer\","            \
	" \"form\": \"int4\", \"notnull\": true},"                                                   \
	"{\"att\": 5, \"name\": \"created_at\", \"member\": \"createdAt\","                          \
	" \"type\": \"timestamp with time zone\", \"form\": \"timestamptz\", \"notnull\": true},"    \
	"{\"att\": 6, \"name\": \"updated_at\", \"member\": \"updatedAt\","                          \
	" \"type\": \"timestamp with time zone\", \"form\": \"timestamptz\", \"notnull\": true}]}"

enum odd_column {
	ODD_COUNT,  /* bigint, third of the key */
	ODD_REGION, /* text, first of the key: Region "x" */
	ODD_TENANT, /* integer, second of the key: select */
	ODD_FLAG,
	ODD_SMALL,
	ODD_BIG,
	ODD_ID,
	ODD_AT,
	ODD_AMOUNT,
	ODD_DATA,
	ODD_NOTE,
	ODD_SPAN,
	ODD_CODE,
	ODD_COLUMNS
};

#define ODD_COLUMN(att, name, type, form, more)                                                   \
	"{\"att\": " #att ", \"name\": \"" name "\", \"member\": \"" name "\", \"type\": \"" type \
	"\", \"form\": \"" form "\", \"notnull\": " more "}"
#define ODD_KEY "true, \"equal\": \"OPERATOR(pg_catalog.=)\""
#define ODD_DESCRIPTION                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                    \
	"{\"table\": 7, \"stream\": \"rest\", \"schema\": \"Sales\", \"name\": \"Odd \\\"one\\\"\","                                                                                                                                                                                                                                                                                                                                                                                                                                                       \
	" \"flat\": false, \"version\": \"pgfanout_version\", \"key\": [3, 4, 2], \"plain\": false,"                                                                                                                                                                                                                                                                                                                                                                                                                                                       \
	" \"columns\": [" ODD_COLUMN(2, "count", "bigint", "int8", ODD_KEY) "," ODD_COLUMN(                                                                                                                                                                                                                                                                                                                                                                                                                                                                \
		3, "Region \\\"x\\\"", "text", "string",                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                   \
		ODD_KEY                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                    \
		", \"collation\": \"public.nocase\"") "," ODD_COLUMN(4, "select", "integer",                                                                                                                                                                                                                                                                                                                                                                                                                                                               \
								     "int4",                                                                                                                                                                                                                                                                                                                                                                                                                                                                               \
								     ODD_KEY) "," ODD_COLUMN(5,                                                                                                                                                                                                                                                                                                                                                                                                                                                            \
											     "flag",                                                                                                                                                                                                                                                                                                                                                                                                                                                       \
											     "boolean",                                                                                                                                                                                                                                                                                                                                                                                                                                                    \
											     "boolean",                                                                                                                                                                                                                                                                                                                                                                                                                                                    \
											     "false") "," ODD_COLUMN(6,                                                                                                                                                                                                                                                                                                                                                                                                                                    \
														     "small",                                                                                                                                                                                                                                                                                                                                                                                                                              \
														     "smallint",                                                                                                                                                                                                                                                                                                                                                                                                                           \
														     "int4", "false") "," ODD_COLUMN(7, "big", "bigint", "int8", "false") "," ODD_COLUMN(9, "id", "uuid", "uuid", "false") "," ODD_COLUMN(10,                                                                                                                                                                                                                                                                                              \
																															  "at", "timestamp with time zone", "timestamptz", "false") "," ODD_COLUMN(11,                                                                                                                                                                                                                     \
																																								   "amount", "numeric(20,4)", "number", "false") "," ODD_COLUMN(12, "data", "jsonb", "json", "false") "," ODD_COLUMN(13,                                                                                                   \
																																																						     "n\xc3\xb6te",                                                                                        \
																																																						     "text", "string", "false") "," ODD_COLUMN(14,                                                         \
																																																											       "back\\\\slash",                                            \
																																																											       "interval", "text", "false") "," ODD_COLUMN(15,             \
																																																																	   "code",         \
																																																																	   "character(3)", \
																																																																	   "string",       \
																																																																	   "false") "]}"

static inline struct table *table_for_tests(int shape, const char *description)
{
	struct err err = { .text = "" };
	struct table *t = table_read(shape, description, &err);

	if (t == NULL)
		fatal("%s", err.text);
	return t;
}

/* The caller's: table_free(). */
static inline struct table *products_for_tests(void)
{
	return table_for_tests(1, PRODUCTS_DESCRIPTION);
}

static inline struct table *odd_for_tests(void)
{
	return table_for_tests(12, ODD_DESCRIPTION);
}

#endif
