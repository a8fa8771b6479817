/*
 * query_sql_name.c: names, literals and types in statements.
 *
 * Promise: all names of the model are quoted here, and none can end what it stands in. Pure; any thread.
 */
#include <string.h>

#include "api/resources/query_private.h"

void query_sql_name(struct strbuf *out, const char *name)
{
	strbuf_addch(out, '"');
	for (const char *p = name; *p != '\0'; p++) {
		if (*p == '"')
			strbuf_addch(out, '"');
		strbuf_addch(out, *p);
	}
	strbuf_addch(out, '"');
}

void query_sql_column(struct strbuf *out, const char *alias, const struct model_resource *r,
		      size_t column)
{
	strbuf_addf(out, "%s.", alias);
	query_sql_name(out, r->columns[column].in_sql);
}

void query_sql_relation(struct strbuf *out, const struct model_resource *r)
{
	query_sql_name(out, r->schema);
	strbuf_addch(out, '.');
	query_sql_name(out, r->relation);
}

void query_sql_table(struct strbuf *out, const struct model_resource *r, bool primary,
		     const char *alias)
{
	if (primary && r->filter != NULL) {
		/* Its names are of this table alone. */
		strbuf_addstr(out, "(SELECT * FROM ");
		query_sql_relation(out, r);
		strbuf_addf(out, " WHERE (%s))", r->filter);
	} else {
		query_sql_relation(out, r);
	}
	strbuf_addf(out, " AS %s", alias);
}

/* A text as a literal, whatever the session thinks of backslashes. */
void query_sql_literal(struct strbuf *out, const char *s, size_t len)
{
	strbuf_addstr(out, memchr(s, '\\', len) != NULL ? "E'" : "'");
	for (size_t i = 0; i < len; i++) {
		if (s[i] == '\'' || s[i] == '\\')
			strbuf_addch(out, s[i]);
		strbuf_addch(out, s[i]);
	}
	strbuf_addch(out, '\'');
}

/* ---- types ---- */

bool query_type_begins(const struct model_column *c, const char *with)
{
	return strncmp(c->type, with, strlen(with)) == 0;
}

bool query_is_padded(const struct model_column *c)
{
	return strcmp(c->type, "bpchar") == 0 || strcmp(c->type, "character") == 0 ||
	       query_type_begins(c, "character(");
}

bool query_is_text(const struct model_column *c)
{
	return c->kind == MODEL_TEXT && c->labels == NULL &&
	       (strcmp(c->type, "text") == 0 || strcmp(c->type, "name") == 0 ||
		query_type_begins(c, "character varying") || query_is_padded(c));
}

void query_sql_type(struct strbuf *out, const struct model_column *c)
{
	bool quoted = false;
	int depth = 0;

	if (query_is_text(c)) {
		strbuf_addstr(out, query_is_padded(c) ? "bpchar" : "text");
		return;
	}
	/* Without a length these two are of length 1. */
	if (query_type_begins(c, "character(") || query_type_begins(c, "character[")) {
		strbuf_addstr(out, "bpchar[]");
		return;
	}
	if (strcmp(c->type, "bit") == 0 || query_type_begins(c, "bit(") ||
	    query_type_begins(c, "bit[")) {
		strbuf_addstr(out, strchr(c->type, '[') != NULL ? "\"bit\"[]" : "\"bit\"");
		return;
	}
	for (const char *p = c->type; *p != '\0'; p++) {
		quoted = quoted != (*p == '"');
		depth += !quoted && *p == '(';
		if (depth == 0)
			strbuf_addch(out, *p);
		depth -= !quoted && *p == ')';
	}
}
