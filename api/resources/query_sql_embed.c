/*
 * query_sql_embed.c: the rows of other resources that are joined to a row, as they become part of its JSON.
 *
 * Promise: the joins neither add nor take away a row, nor change the order; each joins by the columns
 * of a foreign key. Pure; any thread.
 *
 * An embed i is a lateral subquery e<i> of one row: j its JSON (of children: that of all with commas between),
 * m whether a parent is missing inside, of children: more, whether there are more than are shown, which is
 * looked at only if there are as many. Its table is c<i>. Where rows are cut and have embeds themselves, they
 * are cut first.
 */
#include <stdio.h>
#include <string.h>

#include "api/resources/query_private.h"
#include "api/resources/query_sql.h"

static void add_lacks(struct strbuf *out, const struct query_level *l)
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
		if (query_has_parents(l->q, (int)i)) {
			strbuf_addf(out, "%se%zu.m IS TRUE", between, i);
			between = " OR ";
		}
	}
}

void query_sql_lacks(struct strbuf *out, const struct query *q, const char *alias)
{
	if (!query_has_parents(q, -1))
		return;
	strbuf_addstr(out, ",\n\t");
	add_lacks(out, &(struct query_level){ q, q->resource, -1, alias });
}

static void add_joins(struct strbuf *out, const struct query_level *l, bool primary);

/* c1."postId" = p."id" */
static void add_match(struct strbuf *out, const struct query_level *l,
		      const struct query_level *inner, const struct query_embed *e)
{
	for (size_t k = 0; k < e->reference->n; k++) {
		size_t child = e->reference->columns[k], parent = e->reference->keys[k];

		strbuf_addstr(out, k > 0 ? " AND " : " WHERE ");
		query_sql_column(out, inner->alias, inner->r, e->up ? parent : child);
		strbuf_addstr(out, " = ");
		query_sql_column(out, l->alias, l->r, e->up ? child : parent);
	}
}

static void add_key_order(struct strbuf *out, const struct query_level *l)
{
	for (size_t k = 0; k < l->r->nkey; k++) {
		strbuf_addstr(out, k > 0 ? ", " : " ORDER BY ");
		query_sql_column(out, l->alias, l->r, l->r->key[k]);
	}
}

static void add_row_and_lacks(struct strbuf *out, const struct query_level *inner)
{
	strbuf_addstr(out, "SELECT ");
	query_sql_level(out, inner);
	strbuf_addstr(out, " AS j");
	if (query_has_parents(inner->q, inner->of)) {
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

static void add_one(struct strbuf *out, const struct query_level *l,
		    const struct query_level *inner, const struct query_embed *e, bool primary)
{
	add_row_and_lacks(out, inner);
	query_sql_table(out, inner->r, primary, inner->alias);
	add_joins(out, inner, primary);
	add_match(out, l, inner, e);
	/* On a replica nothing but the key need be unique. */
	if (!e->up || !by_key(inner->r, e->reference))
		strbuf_addstr(out, " LIMIT 1");
}

static void add_children(struct strbuf *out, const struct query_level *l,
			 const struct query_level *inner, const struct query_embed *e, bool primary)
{
	bool nested = query_has_embeds(inner->q, inner->of);

	strbuf_addf(out, "SELECT string_agg(x.j, ',') AS j, count(*) = %d AND EXISTS (SELECT FROM ",
		    QUERY_CHILDREN_MAX);
	query_sql_table(out, inner->r, primary, inner->alias);
	add_match(out, l, inner, e);
	strbuf_addf(out, " OFFSET %d) AS more%s FROM (", QUERY_CHILDREN_MAX,
		    query_has_parents(inner->q, inner->of) ? ", bool_or(x.m) AS m" : "");
	add_row_and_lacks(out, inner);
	if (nested)
		strbuf_addf(out, "(SELECT %s.* FROM ", inner->alias);
	query_sql_table(out, inner->r, primary, inner->alias);
	add_match(out, l, inner, e);
	add_key_order(out, inner);
	strbuf_addf(out, " LIMIT %d", QUERY_CHILDREN_MAX);
	if (nested) {
		strbuf_addf(out, ") AS %s", inner->alias);
		add_joins(out, inner, primary);
		add_key_order(out, inner);
	}
	strbuf_addstr(out, ") AS x");
}

static void add_joins(struct strbuf *out, const struct query_level *l, bool primary)
{
	for (size_t i = 0; i < l->q->nembeds; i++) {
		const struct query_embed *e = &l->q->embeds[i];
		char alias[24];

		if (e->of != l->of)
			continue;
		snprintf(alias, sizeof(alias), "c%zu", i);
		struct query_level inner = { l->q, query_embedded(l->q, i), (int)i, alias };
		strbuf_addstr(out, "\nLEFT JOIN LATERAL (");
		if (query_embed_is_array(e))
			add_children(out, l, &inner, e, primary);
		else
			add_one(out, l, &inner, e, primary);
		strbuf_addf(out, ") AS e%zu ON true", i);
	}
}

void query_sql_joins(struct strbuf *out, const struct query *q, const char *alias, bool primary)
{
	add_joins(out, &(struct query_level){ q, q->resource, -1, alias }, primary);
}

/* ---- tables ---- */

static bool read_before(const struct query *q, size_t embed)
{
	int table = query_embedded(q, embed)->table;

	for (size_t i = 0; i < embed; i++)
		if (query_embedded(q, i)->table == table)
			return true;
	return table == q->resource->table;
}

/* '"public"."User"'::regclass */
static void add_regclass(struct strbuf *out, const struct model_resource *r)
{
	AUTO_STRBUF name = STRBUF_INIT;

	query_sql_relation(&name, r);
	query_sql_literal(out, name.data, name.len);
	strbuf_addstr(out, "::regclass");
}

static void add_is_readable(struct strbuf *out, const struct model_resource *r)
{
	strbuf_addf(out,
		    "EXISTS (SELECT FROM pgfanout.readable_tables AS t "
		    "WHERE t.id = %d AND t.shape = %d AND t.relation = ",
		    r->table, r->shape);
	add_regclass(out, r);
	strbuf_addch(out, ')');
}

static void add_why_not(struct strbuf *out, const struct model_resource *r)
{
	strbuf_addf(out, "pgfanout.readable(%d, %d, ", r->table, r->shape);
	add_regclass(out, r);
	strbuf_addch(out, ')');
}

static void add_each_table(struct strbuf *out, const struct query *q,
			   void (*add)(struct strbuf *, const struct model_resource *))
{
	add(out, q->resource);
	for (size_t i = 0; i < q->nembeds; i++) {
		if (read_before(q, i))
			continue;
		strbuf_addstr(out, " AND ");
		add(out, query_embedded(q, i));
	}
}

void query_sql_readable(struct strbuf *out, const struct query *q)
{
	strbuf_addstr(out, "CASE WHEN ");
	add_each_table(out, q, add_is_readable);
	strbuf_addstr(out, " THEN true ELSE ");
	add_each_table(out, q, add_why_not);
	strbuf_addstr(out, " END");
}
