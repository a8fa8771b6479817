/*
 * listed.h: the setting RESOURCES: which tables are resources, under which names, and what of other resources
 * is embedded in each of their rows unless a request says otherwise. And RESOURCE_PREFIX, the path they are under.
 *
 *   users=User+posts+comments, posts=Post+users!author_id, accounts, blog.posts
 *
 *   name        1 to 63 of [A-Za-z0-9_.-], not "." or ".."; each once
 *   =table      as the catalog has it, without SQL's quotes: "=User" is the table "User"; with a dot the
 *               schema is in front. Without it the table is called as the resource
 *   +embed      a resource of this list; "!column" names the foreign key where two lead there
 *
 * Pure.
 */
#ifndef PGFANOUT_API_RESOURCES_LISTED_H
#define PGFANOUT_API_RESOURCES_LISTED_H

#include "common/base/base.h"
#include "common/base/err.h"
#include "common/base/strbuf.h"

#define LISTED_EMBEDS_MAX 16 /* of a resource */

struct listed_resource {
	char *name;
	char *schema; /* NULL: whichever has the only registered table of this name */
	char *relation;
	char *embeds; /* "posts,users!author_id"; NULL: none */
};

struct listed {
	struct listed_resource *resources;
	size_t n;
};

/* Whether it is a path that resources can be under: "/", which puts nothing in front of them, or "/api/v1". */
MUST_CHECK bool listed_check_prefix(const char *prefix, struct err *err);
/* reserved: names that are taken. On failure nothing is left to clear. */
MUST_CHECK bool listed_read(struct listed *ret, const char *text, const char *const *reserved,
			    size_t nreserved, struct err *err);
void listed_clear(struct listed *l);
/* NULL: none has this name. */
const struct listed_resource *listed_find(const struct listed *l, const char *name, size_t len);

/* As catalog.sql takes it: [{"name":"users","schema":null,"relation":"User"}, …] */
void listed_json(struct strbuf *out, const struct listed *l);

#endif
