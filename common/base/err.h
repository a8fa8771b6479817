/*
 * err.h: why something failed, as one line for a person.
 *
 * common/ explains into a struct err and stays quiet; whoever decides what happens next logs it
 * once. Pure.
 */
#ifndef PGFANOUT_COMMON_BASE_ERR_H
#define PGFANOUT_COMMON_BASE_ERR_H

#include "common/base/base.h"

struct err {
	char text[512];	  /* one line for the operator, never a secret */
	char shown[160];  /* what anybody may see of it, see err_shown(); "": text */
	char sqlstate[6]; /* of a database error, else "" */
	/* What it names, where it does; "" and 0 else. */
	char schema[64], table[64], column[64],
		constraint[64]; /* schema, table: of the other two */
	int parameter;		/* of the statement, from 1: its value is none of its type */
	/* Of a database error: neither the statement's text nor a function that it called is named, so it is about values,
	 * or about what is done with them. */
	bool of_values;
	bool of_row; /* row security forbids a row, not the statement: 42501 is both */
};

/* A database's own words may quote whole rows. In answers, and where strangers can look, stands
 * this: our words and at most the name of a constraint or column. */
const char *err_shown(const struct err *err);

/* Writes the line, for the operator and for anybody (control characters become blanks). Always returns false, so that `return
 * err_set(…)` reads well. */
bool err_set(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* What anybody may see of it, in place of the line. */
void err_show(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Puts "what: " in front of the line that is there. Returns false. */
bool err_prefix(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
