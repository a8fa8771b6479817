/*
 * db_param.h: a parameter of a statement (db.h). It is borrowed until the statement is sent.
 */
#ifndef PGFANOUT_COMMON_PG_DB_PARAM_H
#define PGFANOUT_COMMON_PG_DB_PARAM_H

struct db_param {
	const char *data; /* NULL: SQL NULL */
	int len;	  /* of binary */
	int format;	  /* 0 text (NUL-terminated), 1 binary */
};
#define DB_TEXT(s)	((struct db_param){ .data = (s) })
#define DB_BINARY(p, n) ((struct db_param){ .data = (p), .len = (int)(n), .format = 1 })

#endif
