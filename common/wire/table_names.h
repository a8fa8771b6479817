/*
 * table_names.h: tables as people name them: users, blog.posts, "User", blog.*. As in SQL: what is not
 * quoted is in lower case, a dot or comma in quotes is part of the name. Pure.
 */
#ifndef PGFANOUT_COMMON_WIRE_TABLE_NAMES_H
#define PGFANOUT_COMMON_WIRE_TABLE_NAMES_H

#include "common/base/err.h"
#include "common/base/strbuf.h"

/* Appends the names of a list, between commas, as an array of SQL, each quoted as SQL has it: "blog"."posts".
 * stars: "blog".* may be among them, all tables of a schema. False: err says which one is no name; out is
 * then of no use. */
MUST_CHECK bool table_names_array(struct strbuf *out, const char *list, bool stars,
				  struct err *err);

#endif
