/*
 * query_sql_row.c: a row as JSON, as an expression of SQL, and the rows that are embedded in it.
 *
 * Promise: whatever a row holds, the text is valid JSON, has one member for each column but for json and
 * jsonb that are NULL, in the order that is asked for, then the embeds; and loses nothing of a value. Names are quoted
 * here. Pure; any thread.
 *
 * concat() of pieces costs a fraction of row_to_json(), and gives what that cannot: times of one form, json
 * that is absent. It leaves out a NULL, so whatever may be NULL has coalesce(): also where the primary
 * has NOT NULL, for a replica's column may be without. It prints as the type itself does, where ::text
 * may be a cast that says something else (of inet, character). It takes 100 arguments: there are levels.
 *
 *   kind      JSON
 *   boolean   true, false
 *   integer   the number
 *   number    to_json(): the number; "NaN", "Infinity" as strings
 *   json      as it is; absent where NULL
 *   utc       "2026-01-31T12:00:00.123456Z" in the years 1 to 9999, else the type's own text
 *   time      the same without Z; a date its own text
 *   text      to_json(): a string
 *   array     to_json(), times in it as ISO 8601; if it does not begin at 1 in each dimension, its own text
 *   other     its own text as a string
 *
 * An embed i is a lateral subquery e<i> of one row: j its JSON (of children: an array of them), m whether a
 * parent is missing inside. Its table is c<i>. One more child is read than is shown, to know that there
 * are more. Where rows are cut and have embeds themselves, they are cut first.
 */
#include <stdio.h>
#include <string.h>

#include "api/resources/query_private.h"
#include "api/resources/query_sql.h"
#include "common/json/jscan.h"

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
	query_sql_name(out, r->columns[column].name);
}

static void add_relation(struct strbuf *out, const struct model_resource *r)
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
		add_relation(out, r);
		strbuf_addf(out, " WHERE (%s))", r->filter);
	} else {
		add_relation(out, r);
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

static bool begins(const char *s, const char *with)
{
	return strncmp(s, with, strlen(with)) == 0;
}

bool query_is_padded(const struct model_column *c)
{
	return strcmp(c->type, "bpchar") == 0 || strcmp(c->type, "character") == 0 ||
	       begins(c->type, "character(");
}

bool query_is_text(const struct model_column *c)
{
	return c->kind == MODEL_TEXT && c->labels == NULL &&
	       (strcmp(c->type, "text") == 0 || strcmp(c->type, "name") == 0 ||
		begins(c->type, "character varying") || query_is_padded(c));
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
	if (begins(c->type, "character(") || begins(c->type, "character[")) {
		strbuf_addstr(out, "bpchar[]");
		return;
	}
	if (strcmp(c->type, "bit") == 0 || begins(c->type, "bit(") || begins(c->type, "bit[")) {
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

/* ---- pieces ---- */

#define ARGUMENTS 90 /* of a concat(); PostgreSQL takes 100 */

/* concat('a', p."a", concat(…)): text that stands beside text becomes one literal. */
struct pieces {
	struct strbuf whole, chunk, literal;
	size_t nchunk, nwhole;
};

static void pieces_close_chunk(struct pieces *p)
{
	strbuf_addf(&p->whole, "%sconcat(%s)", p->nwhole++ > 0 ? ", " : "", strbuf_str(&p->chunk));
	strbuf_reset(&p->chunk);
	p->nchunk = 0;
}

/* Room for one more argument, which is then written there. */
static struct strbuf *pieces_argument(struct pieces *p)
{
	if (p->nchunk == ARGUMENTS)
		pieces_close_chunk(p);
	if (p->nchunk++ > 0)
		strbuf_addstr(&p->chunk, ", ");
	return &p->chunk;
}

static void pieces_flush(struct pieces *p)
{
	if (p->literal.len == 0)
		return;
	query_sql_literal(pieces_argument(p), p->literal.data, p->literal.len);
	strbuf_reset(&p->literal);
}

/* The same behind the text so far. */
static struct strbuf *pieces_next(struct pieces *p)
{
	pieces_flush(p);
	return pieces_argument(p);
}

static void pieces_end(struct pieces *p, struct strbuf *out)
{
	pieces_flush(p);
	if (p->nwhole > 0) {
		pieces_close_chunk(p);
		strbuf_addf(out, "concat(%s)", p->whole.data);
	} else {
		strbuf_addf(out, "concat(%s)", p->chunk.data);
	}
	strbuf_clear(&p->whole);
	strbuf_clear(&p->chunk);
	strbuf_clear(&p->literal);
}

/* ---- values ---- */

struct value {
	const struct model_column *c;
	struct strbuf name; /* p."a" */
};

/* Its text within quotes. */
static void add_time(struct strbuf *out, const struct value *v)
{
	const char *n = v->name.data, *z = v->c->kind == MODEL_UTC ? "Z" : "";

	if (v->c->kind != MODEL_UTC && !begins(v->c->type, "timestamp")) {
		strbuf_addstr(out, n);
		return;
	}
	strbuf_addf(out,
		    "CASE WHEN %s >= '0001-01-01 00:00:00%s' AND %s < '10000-01-01 00:00:00%s' "
		    "THEN to_char(%s, 'YYYY-MM-DD\"T\"HH24:MI:SS.US%s') ELSE %s::text END",
		    n, z, n, z, n, *z != '\0' ? "\"Z\"" : "", n);
}

/* A value whose text needs no escapes, in quotes. */
static void add_quoted(struct pieces *p, const struct value *v)
{
	if (v->c->key >= 0) {
		strbuf_addch(&p->literal, '"');
		add_time(pieces_next(p), v);
		strbuf_addch(&p->literal, '"');
		return;
	}
	struct strbuf *out = pieces_next(p);
	strbuf_addstr(out, "coalesce('\"' || ");
	add_time(out, v);
	strbuf_addstr(out, " || '\"', 'null')");
}

static void add_array(struct strbuf *out, const char *n)
{
	strbuf_addf(
		out,
		"CASE WHEN replace(array_dims(%s), '[1:', '') LIKE '%%[%%' THEN to_json(%s::text) "
		"ELSE coalesce(to_json(%s), 'null') END",
		n, n, n);
}

static void add_other(struct strbuf *out, const char *n, bool key)
{
	/* IS NULL would be true of a composite value that is made of NULLs. */
	if (key)
		strbuf_addf(out, "to_json(concat(%s))", n);
	else
		strbuf_addf(
			out,
			"CASE WHEN %s IS DISTINCT FROM NULL THEN to_json(concat(%s)) ELSE 'null' END",
			n, n);
}

static void add_value(struct pieces *p, const struct value *v)
{
	const char *n = v->name.data;
	bool key = v->c->key >= 0;

	switch (v->c->kind) {
	case MODEL_INTEGER:
		strbuf_addf(pieces_next(p), key ? "%s" : "coalesce(%s::text, 'null')", n);
		break;
	case MODEL_BOOLEAN: /* printed it is t or f */
		strbuf_addf(pieces_next(p), key ? "%s::text" : "coalesce(%s::text, 'null')", n);
		break;
	case MODEL_TEXT:
		if (strcmp(v->c->type, "uuid") == 0) {
			add_quoted(p, v);
			break;
		}
		/* fallthrough */
	case MODEL_NUMBER:
		strbuf_addf(pieces_next(p), key ? "to_json(%s)" : "coalesce(to_json(%s), 'null')",
			    n);
		break;
	case MODEL_UTC:
	case MODEL_TIME:
		add_quoted(p, v);
		break;
	case MODEL_ARRAY:
		add_array(pieces_next(p), n);
		break;
	default:
		add_other(pieces_next(p), n, key);
	}
}

/* ---- members ---- */

/* Of one level: the row's (of -1, as selected) or an embed's. */
struct level {
	const struct query *q;
	const struct model_resource *r;
	int of;
	const char *alias;
};

static const struct model_resource *embedded(const struct query *q, size_t i)
{
	const struct query_embed *e = &q->embeds[i];

	return &q->model->resources[e->up ? e->reference->parent : e->reference->child];
}

static bool is_array(const struct query_embed *e)
{
	return !e->up && !e->reference->unique;
}

static size_t ncolumns(const struct level *l)
{
	return l->of < 0 && l->q->selects ? l->q->nselect : l->r->ncolumns;
}

static size_t column_at(const struct level *l, size_t i)
{
	return l->of < 0 && l->q->selects ? l->q->select[i] : i;
}

static bool has_embeds(const struct query *q, int of)
{
	for (size_t i = 0; i < q->nembeds; i++)
		if (q->embeds[i].of == of)
			return true;
	return false;
}

/* How many of the first columns may be absent, all of them json. */
static size_t leading_absent(const struct level *l)
{
	size_t n = 0;

	while (n < ncolumns(l) && l->r->columns[column_at(l, n)].kind == MODEL_JSON)
		n++;
	return n;
}

static void add_member_name(struct strbuf *out, const char *name)
{
	jscan_write_string(out, name, strlen(name));
	strbuf_addch(out, ':');
}

/* A member that is absent where its value is NULL, with its comma. */
static void add_json_member(struct pieces *p, const struct value *v, bool comma_before)
{
	AUTO_STRBUF name = STRBUF_INIT;
	struct strbuf *out = pieces_next(p);

	strbuf_addstr(&name, comma_before ? "," : "");
	add_member_name(&name, v->c->name);
	query_sql_literal(out, name.data, name.len);
	strbuf_addf(out, " || %s::text%s", v->name.data, comma_before ? "" : " || ','");
}

static void add_columns(struct pieces *p, const struct level *l, size_t leading, bool always_comma)
{
	for (size_t i = 0; i < ncolumns(l); i++) {
		struct value v = { .c = &l->r->columns[column_at(l, i)], .name = STRBUF_INIT };

		query_sql_column(&v.name, l->alias, l->r, column_at(l, i));
		if (v.c->kind == MODEL_JSON) {
			add_json_member(p, &v, always_comma || i > leading);
		} else {
			strbuf_addstr(&p->literal, i > leading ? "," : "");
			add_member_name(&p->literal, v.c->name);
			add_value(p, &v);
		}
		strbuf_clear(&v.name);
	}
}

static void add_embed(struct pieces *p, const struct query_embed *e, size_t i)
{
	add_member_name(&p->literal, e->member);
	if (!is_array(e)) {
		strbuf_addf(pieces_next(p), "coalesce(e%zu.j, 'null')", i);
		return;
	}
	strbuf_addch(&p->literal, '[');
	strbuf_addf(
		pieces_next(p),
		"array_to_string(CASE WHEN cardinality(e%zu.j) > %d THEN e%zu.j[1:%d] ELSE e%zu.j END, ',')",
		i, QUERY_CHILDREN_MAX, i, QUERY_CHILDREN_MAX, i);
	strbuf_addch(&p->literal, ']');

	AUTO_STRBUF truncated = STRBUF_INIT, member = STRBUF_INIT;
	strbuf_addf(&truncated, "%sTruncated", e->member);
	strbuf_addch(&member, ',');
	add_member_name(&member, truncated.data);
	strbuf_addstr(&member, "true");
	struct strbuf *out = pieces_next(p);
	strbuf_addf(out, "CASE WHEN cardinality(e%zu.j) > %d THEN ", i, QUERY_CHILDREN_MAX);
	query_sql_literal(out, member.data, member.len);
	strbuf_addstr(out, " END");
}

/* The first member that is always there has no comma in front; those before it have theirs behind. If there
 * is none, all have one in front, and the first is cut off. */
static void add_row(struct strbuf *out, const struct level *l)
{
	struct pieces p = { .nchunk = 0 };
	size_t leading = leading_absent(l);
	bool none = leading == ncolumns(l) && !has_embeds(l->q, l->of),
	     first = leading == ncolumns(l);

	strbuf_addstr(&p.literal, none ? "" : "{");
	add_columns(&p, l, leading, none);
	for (size_t i = 0; i < l->q->nembeds; i++) {
		if (l->q->embeds[i].of != l->of)
			continue;
		strbuf_addstr(&p.literal, first ? "" : ",");
		first = false;
		add_embed(&p, &l->q->embeds[i], i);
	}
	strbuf_addstr(&p.literal, none ? "" : "}");
	strbuf_addstr(out, none ? "concat('{', substr(" : "");
	pieces_end(&p, out);
	strbuf_addstr(out, none ? ", 2), '}')" : "");
}

void query_sql_row(struct strbuf *out, const struct query *q, const char *alias)
{
	add_row(out, &(struct level){ q, q->resource, -1, alias });
}

/* ---- embeds ---- */

/* Whether a parent is read in this level or in one below. */
static bool has_parents(const struct query *q, int of)
{
	for (size_t i = 0; i < q->nembeds; i++)
		if (q->embeds[i].of == of && (q->embeds[i].up || has_parents(q, (int)i)))
			return true;
	return false;
}

static void add_lacks(struct strbuf *out, const struct level *l)
{
	const char *between = "";

	for (size_t i = 0; i < l->q->nembeds; i++) {
		const struct query_embed *e = &l->q->embeds[i];

		if (e->of != l->of)
			continue;
		if (e->up) {
			strbuf_addstr(out, between);
			for (size_t k = 0; k < e->reference->n; k++) {
				query_sql_column(out, l->alias, l->r, e->reference->columns[k]);
				strbuf_addstr(out, " IS NOT NULL AND ");
			}
			strbuf_addf(out, "e%zu.j IS NULL", i);
			between = " OR ";
		}
		if (has_parents(l->q, (int)i)) {
			strbuf_addf(out, "%se%zu.m IS TRUE", between, i);
			between = " OR ";
		}
	}
	strbuf_addstr(out, *between == '\0' ? "false" : "");
}

void query_sql_lacks(struct strbuf *out, const struct query *q, const char *alias)
{
	add_lacks(out, &(struct level){ q, q->resource, -1, alias });
}

static void add_joins(struct strbuf *out, const struct level *l, bool primary);

/* c1."postId" = p."id" */
static void add_match(struct strbuf *out, const struct level *l, const struct level *inner,
		      const struct query_embed *e)
{
	for (size_t k = 0; k < e->reference->n; k++) {
		size_t child = e->reference->columns[k], parent = e->reference->keys[k];

		strbuf_addstr(out, k > 0 ? " AND " : " WHERE ");
		query_sql_column(out, inner->alias, inner->r, e->up ? parent : child);
		strbuf_addstr(out, " = ");
		query_sql_column(out, l->alias, l->r, e->up ? child : parent);
	}
}

static void add_key_order(struct strbuf *out, const struct level *l)
{
	for (size_t k = 0; k < l->r->nkey; k++) {
		strbuf_addstr(out, k > 0 ? ", " : " ORDER BY ");
		query_sql_column(out, l->alias, l->r, l->r->key[k]);
	}
}

static void add_row_and_lacks(struct strbuf *out, const struct level *inner)
{
	strbuf_addstr(out, "SELECT ");
	add_row(out, inner);
	strbuf_addstr(out, " AS j");
	if (has_parents(inner->q, inner->of)) {
		strbuf_addstr(out, ", ");
		add_lacks(out, inner);
		strbuf_addstr(out, " AS m");
	}
	strbuf_addstr(out, "\nFROM ");
}

/* Whether the columns are the parent's key: then a database cannot have two of them. */
static bool by_key(const struct model_resource *parent, const struct model_reference *f)
{
	for (size_t k = 0; k < f->n; k++)
		if (parent->columns[f->keys[k]].key < 0)
			return false;
	return f->n == parent->nkey;
}

static void add_one(struct strbuf *out, const struct level *l, const struct level *inner,
		    const struct query_embed *e, bool primary)
{
	add_row_and_lacks(out, inner);
	query_sql_table(out, inner->r, primary, inner->alias);
	add_joins(out, inner, primary);
	add_match(out, l, inner, e);
	/* On a replica nothing but the key need be unique. */
	if (!e->up || !by_key(inner->r, e->reference))
		strbuf_addstr(out, " LIMIT 1");
}

static void add_children(struct strbuf *out, const struct level *l, const struct level *inner,
			 const struct query_embed *e, bool primary)
{
	bool nested = has_embeds(inner->q, inner->of);

	strbuf_addf(out, "SELECT array_agg(x.j) AS j%s FROM (",
		    has_parents(inner->q, inner->of) ? ", bool_or(x.m) AS m" : "");
	add_row_and_lacks(out, inner);
	if (nested)
		strbuf_addf(out, "(SELECT %s.* FROM ", inner->alias);
	query_sql_table(out, inner->r, primary, inner->alias);
	add_match(out, l, inner, e);
	add_key_order(out, inner);
	strbuf_addf(out, " LIMIT %d", QUERY_CHILDREN_MAX + 1);
	if (nested) {
		strbuf_addf(out, ") AS %s", inner->alias);
		add_joins(out, inner, primary);
		add_key_order(out, inner);
	}
	strbuf_addstr(out, ") AS x");
}

static void add_joins(struct strbuf *out, const struct level *l, bool primary)
{
	for (size_t i = 0; i < l->q->nembeds; i++) {
		const struct query_embed *e = &l->q->embeds[i];
		char alias[24];

		if (e->of != l->of)
			continue;
		snprintf(alias, sizeof(alias), "c%zu", i);
		struct level inner = { l->q, embedded(l->q, i), (int)i, alias };
		strbuf_addstr(out, "\nLEFT JOIN LATERAL (");
		if (is_array(e))
			add_children(out, l, &inner, e, primary);
		else
			add_one(out, l, &inner, e, primary);
		strbuf_addf(out, ") AS e%zu ON true", i);
	}
}

void query_sql_joins(struct strbuf *out, const struct query *q, const char *alias, bool primary)
{
	add_joins(out, &(struct level){ q, q->resource, -1, alias }, primary);
}

/* ---- tables ---- */

static bool read_before(const struct query *q, size_t embed)
{
	int table = embedded(q, embed)->table;

	for (size_t i = 0; i < embed; i++)
		if (embedded(q, i)->table == table)
			return true;
	return table == q->resource->table;
}

void query_sql_readable(struct strbuf *out, const struct query *q)
{
	strbuf_addf(out, "pgfanout.readable(%d, %d)", q->resource->table, q->resource->shape);
	for (size_t i = 0; i < q->nembeds; i++)
		if (!read_before(q, i))
			strbuf_addf(out, " AND pgfanout.readable(%d, %d)", embedded(q, i)->table,
				    embedded(q, i)->shape);
}
