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
	char text[512];	  /* one line, never a secret */
	char sqlstate[6]; /* of a database error, else "" */
};

/* Writes the line (control characters become blanks). Always returns false, so that `return
 * err_set(…)` reads well. */
bool err_set(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Puts "what: " in front of the line that is there. Returns false. */
bool err_prefix(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
