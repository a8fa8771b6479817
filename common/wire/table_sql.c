/*
 * table_sql.c: see table_sql.h. Pure: any thread.
 *
 * apply_<shape> applies a batch of changes of one table: one element a row (the newest change of it), in
 * one transaction, and says how many changed something.
 *
 *   1. While a reset of the stream's tables runs (advisory lock 1885824610/<stream>), nothing is applied:
 *      SQLSTATE PF001.
 *   2. Batches of a stream run one after another (advisory lock 1885824611/<stream>), whoever sends
 *      them: what one deleted the next one sees.
 *   3. A change that the snapshot contains which the table was loaded from is stale: pgfanout.stale().
 *   4. A change that is not newer than the row or the tombstone is stale.
 *   5. A delete leaves a tombstone, also where there is no row yet: the sync may come later.
 *   6. A row whose change was given up is right again when that change or a newer one has come; every
 *      one is newer than one with an impossible version. (One whose change waits: pgfanout.settle().)
 *   7. An impossible version (pgfanout.impossible()) is refused: it would turn away every change to
 *      come. `newest` is the newest of the versions, if the caller knows it.
 *   8. Messages and heartbeats that came with the batch count when it is committed. `runs`: four
 *      numbers for each run of messages: 0 for the sync queue and 1 for the other one, the term, the
 *      first and the last number. `beats`: [{"queue":"sync","at":…,"version":…,"term":…,"xid":…,
 *      "terms":[{"term":…,"messages":7}]}]
 *      Of a heartbeat also {"lsn":…,"every":1000}, if that is known.
 *   9. Changes and heartbeats of a primary that this replica does not follow are not applied:
 *      SQLSTATE PF002. If it followed that one until a reset, they are stale. A later epoch of its own primary
 *      (pgfanout.succeeds()) it follows from then on; of an earlier one changes are applied, by version, but no
 *      heartbeats, and what they change is yet to be compared with the primary, which may never have had it.
 *  10. The changes were committed before the place `lsn` in the primary's WAL. The sequence pgfanout.seen_<stream>
 *      has that place, or a later one, before anybody can see them, as it knows no transactions. NULL: the place is
 *      not known, nor then is the stream's (is_called is false), until a change comes whose place is known, or a
 *      heartbeat (pgfanout.beat()). 0: it was noted before (pgfanout.apply_each()).
 *
 * READ COMMITTED only: the waits of 1 and 2 come before the reads, and an older snapshot would miss what
 * they waited for.
 *
 * New rows come by a plain INSERT, which costs half of ON CONFLICT. all_new: the caller expects that all
 * are, so none is looked up; if one is there after all, the unique index refuses it (SQLSTATE 23505), and
 * the statement runs once more with a look. NULL: that none is, so the UPDATE comes first, and mostly
 * alone. A row that is there is newer than its tombstone. If somebody else adds the same row at the same
 * time, the batch fails, and finds it there at the next attempt.
 *
 * Arrays are unnested in the SELECT list, in step: in FROM each of them would first become a table of its
 * own. OFFSET 0: otherwise the planner could choose to hash the whole table, and keep that plan while the
 * table grows. Where equal keys may have different texts, the server finds the newest change of each.
 *
 * All names are quoted in add_name(), all of them but pg_catalog's stand with their schema. None of them
 * can end a function's body: make_tag().
 */
#include "common/wire/table_sql.h"

#include <stdio.h>
#include <string.h>

static void add_name(struct strbuf *out, const char *name)
{
	strbuf_addch(out, '"');
	for (const char *p = name; *p; p++) {
		if (*p == '"')
			strbuf_addch(out, '"');
		strbuf_addch(out, *p);
	}
	strbuf_addch(out, '"');
}

void table_sql_quote(struct strbuf *out, const char *name)
{
	add_name(out, name);
}

#define TAG_MAX 24
#define TAG	"$pgfanout$"

static bool has_text(const struct table *t, const char *local, const char *text)
{
	bool found = strstr(local, text) != NULL || strstr(t->version, text) != NULL;

	for (size_t i = 0; i < t->ncolumns; i++)
		found = found ||
			(t->columns[i].here != NULL && strstr(t->columns[i].here, text) != NULL) ||
			strstr(t->columns[i].type, text) != NULL ||
			strstr(t->columns[i].equal, text) != NULL;
	return found;
}

/* What stands around the bodies of functions, and in none of them. */
static void make_tag(const struct table *t, const char *local, char ret[TAG_MAX])
{
	snprintf(ret, TAG_MAX, TAG);
	for (unsigned n = 1; has_text(t, local, ret); n++)
		snprintf(ret, TAG_MAX, "$pgfanout%u$", n);
}

/* ---- parts ---- */

/* "m.c1::uuid": a text becomes what the table has; text itself needs no cast, and gets none, because an
 * explicit one would cut what is too long. */
static void add_value(struct strbuf *out, const struct table *t, size_t i, const char *alias)
{
	const struct table_column *c = &t->columns[i];

	strbuf_addf(out, "%s.c%zu", alias, i + 1);
	if (c->form == TABLE_NUMBER || c->form == TABLE_JSON || c->form == TABLE_TEXT)
		strbuf_addf(out, "::%s", c->type);
	else if (c->form == TABLE_STRING &&
		 (strncmp(c->type, "character(", 10) == 0 || strcmp(c->type, "bpchar") == 0))
		strbuf_addstr(out, "::bpchar");
}

/* p."id" = m.c1::…, with the operators of the key. */
static void add_match(struct strbuf *out, const struct table *t, const char *table_alias,
		      const char *alias)
{
	for (size_t k = 0; k < t->nkey; k++) {
		const struct table_column *c = &t->columns[t->key[k]];

		strbuf_addstr(out, k > 0 ? " AND " : "");
		strbuf_addf(out, "%s.", table_alias);
		add_name(out, c->here);
		strbuf_addf(out, " %s ", c->equal);
		add_value(out, t, t->key[k], alias);
	}
}

/* The key alone, of a text[] that is the first parameter: a column may be called as it is. */
static void add_key_match(struct strbuf *out, const struct table *t, const char *alias)
{
	for (size_t k = 0; k < t->nkey; k++) {
		const struct table_column *c = &t->columns[t->key[k]];

		strbuf_addstr(out, k > 0 ? " AND " : "");
		strbuf_addf(out, "%s.", alias);
		add_name(out, c->here);
		strbuf_addf(out, " %s $1[%zu]::%s", c->equal, k + 1, c->type);
	}
}

/* A key's value as the table compares it: a text that came in an array has not the column's collation,
 * and gets it from where there is never a row. */
static void add_compared(struct strbuf *out, const struct table *t, size_t i, const char *alias,
			 const char *local)
{
	const struct table_column *c = &t->columns[i];

	if (t->plain || c->form != TABLE_STRING) {
		add_value(out, t, i, alias);
		return;
	}
	strbuf_addstr(out, "coalesce(");
	add_value(out, t, i, alias);
	strbuf_addstr(out, ", (SELECT p.");
	add_name(out, c->here);
	strbuf_addf(out, " FROM %s p LIMIT 0))", local);
}

/* The changes as rows m: version, xid, deleted, c1, c2, … Of a batch for deletes the key alone. */
static void add_source(struct strbuf *out, const struct table *t, const char *local, bool only_key)
{
	strbuf_addstr(out, "(SELECT ");
	if (!t->plain) {
		strbuf_addstr(out, "DISTINCT ON (");
		for (size_t k = 0; k < t->nkey; k++) {
			strbuf_addstr(out, k > 0 ? ", " : "");
			add_compared(out, t, t->key[k], "u", local);
		}
		strbuf_addstr(out, ") u.* FROM (SELECT ");
	}
	strbuf_addstr(
		out,
		"unnest(versions) AS version, unnest(xids) AS xid, unnest(deleted) AS deleted");
	for (size_t i = 0; i < t->ncolumns; i++)
		if (!only_key || t->columns[i].key >= 0)
			strbuf_addf(out, ", unnest(cols.c%zu) AS c%zu", i + 1, i + 1);
	if (!t->plain) {
		strbuf_addstr(out, ") AS u ORDER BY ");
		for (size_t k = 0; k < t->nkey; k++) {
			add_compared(out, t, t->key[k], "u", local);
			strbuf_addstr(out, ", ");
		}
		strbuf_addstr(out, "u.version DESC");
	}
	strbuf_addstr(out, ") AS m");
}

static void add_not_stale(struct strbuf *out)
{
	strbuf_addstr(
		out,
		"m.version > load_truncated AND NOT pgfanout.stale(m.xid, m.version, msg_source, "
		"load_source, load_snapshot, load_floor)");
}

/* Adds the rows that are not there. */
static void add_insert(struct strbuf *out, const struct table *t, const char *local, bool look)
{
	strbuf_addf(out, "INSERT INTO %s (", local);
	for (size_t i = 0; i < t->ncolumns; i++) {
		if (t->columns[i].here == NULL)
			continue;
		add_name(out, t->columns[i].here);
		strbuf_addstr(out, ", ");
	}
	add_name(out, t->version);
	strbuf_addstr(out, ")\n\tSELECT ");
	for (size_t i = 0; i < t->ncolumns; i++) {
		if (t->columns[i].here == NULL)
			continue;
		add_value(out, t, i, "m");
		strbuf_addstr(out, ", ");
	}
	strbuf_addstr(out, "m.version\n\tFROM ");
	add_source(out, t, local, false);
	strbuf_addstr(out, "\n\tWHERE NOT m.deleted");
	if (look) {
		strbuf_addf(out, "\n\t\tAND NOT EXISTS (SELECT FROM %s p WHERE ", local);
		add_match(out, t, "p", "m");
		strbuf_addstr(out, " OFFSET 0)");
	}
	strbuf_addstr(out, "\n\t\tAND CASE WHEN buried THEN coalesce((SELECT t.");
	add_name(out, t->version);
	strbuf_addf(out, " FROM pgfanout.tombstones_%d t WHERE ", t->id);
	add_match(out, t, "t", "m");
	strbuf_addstr(out, ") < m.version, true) ELSE true END\n\t\tAND ");
	add_not_stale(out);
	strbuf_addstr(out, ";\n");
}

static void add_update(struct strbuf *out, const struct table *t, const char *local)
{
	strbuf_addf(out, "UPDATE %s AS p SET ", local);
	for (size_t i = 0; i < t->ncolumns; i++) {
		/* The same key may have another text now: 1.0, 1.00. */
		if (t->columns[i].here == NULL || (t->columns[i].key >= 0 && t->plain))
			continue;
		add_name(out, t->columns[i].here);
		strbuf_addstr(out, " = ");
		add_value(out, t, i, "m");
		strbuf_addstr(out, ", ");
	}
	add_name(out, t->version);
	strbuf_addstr(out, " = m.version\n\tFROM ");
	add_source(out, t, local, false);
	strbuf_addstr(out, "\n\tWHERE ");
	add_match(out, t, "p", "m");
	strbuf_addstr(out, " AND NOT m.deleted AND p.");
	add_name(out, t->version);
	strbuf_addstr(out, " < m.version\n\t\tAND ");
	add_not_stale(out);
	strbuf_addstr(out, ";\n");
}

static void add_delete(struct strbuf *out, const struct table *t, const char *local)
{
	strbuf_addstr(out, "WITH gone AS (\n\t\tSELECT m.* FROM ");
	add_source(out, t, local, true);
	strbuf_addf(out, "\n\t\tLEFT JOIN %s p ON ", local);
	add_match(out, t, "p", "m");
	strbuf_addstr(out, "\n\t\tWHERE m.deleted AND (p.");
	add_name(out, t->version);
	strbuf_addstr(out, " IS NULL OR p.");
	add_name(out, t->version);
	strbuf_addstr(out, " < m.version)\n\t\t\tAND ");
	add_not_stale(out);
	strbuf_addf(out, "\n\t), buried AS (\n\t\tINSERT INTO pgfanout.tombstones_%d AS t (",
		    t->id);
	for (size_t k = 0; k < t->nkey; k++) {
		add_name(out, t->columns[t->key[k]].here);
		strbuf_addstr(out, ", ");
	}
	add_name(out, t->version);
	strbuf_addstr(out, ")\n\t\tSELECT ");
	for (size_t k = 0; k < t->nkey; k++) {
		add_value(out, t, t->key[k], "g");
		strbuf_addstr(out, ", ");
	}
	strbuf_addstr(out, "g.version FROM gone g\n\t\t");
	strbuf_addf(out, "ON CONFLICT ON CONSTRAINT tombstones_%d_pkey DO UPDATE SET ", t->id);
	add_name(out, t->version);
	strbuf_addstr(out, " = excluded.");
	add_name(out, t->version);
	strbuf_addstr(out, "\n\t\t\tWHERE t.");
	add_name(out, t->version);
	strbuf_addstr(out, " < excluded.");
	add_name(out, t->version);
	strbuf_addf(out, "\n\t)\n\tDELETE FROM %s p USING gone g WHERE ", local);
	add_match(out, t, "p", "g");
	strbuf_addstr(out, ";\n");
}

/* ---- tables ---- */

void table_sql_name(struct strbuf *out, const struct table *t)
{
	add_name(out, t->schema);
	strbuf_addch(out, '.');
	add_name(out, t->name);
}

static void add_primary_key(struct strbuf *out, const struct table *t)
{
	strbuf_addstr(out, "PRIMARY KEY (");
	for (size_t k = 0; k < t->nkey; k++) {
		strbuf_addstr(out, k > 0 ? ", " : "");
		add_name(out, t->columns[t->key[k]].name);
	}
	strbuf_addstr(out, ")");
}

/* A text as a literal, whatever the session thinks of backslashes. */
static void add_literal(struct strbuf *out, const char *text)
{
	strbuf_addstr(out, "E'");
	for (const char *p = text; *p; p++) {
		if (*p == '\'' || *p == '\\')
			strbuf_addch(out, *p);
		strbuf_addch(out, *p);
	}
	strbuf_addch(out, '\'');
}

/* text COLLATE "C" */
static void add_type(struct strbuf *out, const struct table_column *c)
{
	strbuf_addstr(out, c->type);
	if (*c->collation != '\0')
		strbuf_addf(out, " COLLATE %s", c->collation);
}

static void add_column(struct strbuf *out, const struct table_column *c)
{
	add_name(out, c->name);
	strbuf_addch(out, ' ');
	add_type(out, c);
	strbuf_addstr(out, c->not_null ? " NOT NULL, " : ", ");
}

static void add_tombstones(struct strbuf *out, const struct table *t)
{
	strbuf_addf(out, "CREATE TABLE IF NOT EXISTS pgfanout.tombstones_%d (", t->id);
	for (size_t k = 0; k < t->nkey; k++)
		add_column(out, &t->columns[t->key[k]]);
	add_name(out, t->version);
	strbuf_addf(out, " bigint NOT NULL, CONSTRAINT tombstones_%d_pkey ", t->id);
	add_primary_key(out, t);
	strbuf_addf(
		out,
		");\nCOMMENT ON TABLE pgfanout.tombstones_%d IS 'pgfanout: deleted rows of a table and "
		"the version they were deleted at, so that an older message cannot bring them back; "
		"emptied by a reset';\n",
		t->id);
}

void table_sql_create(struct strbuf *out, const struct table *t, const char *local)
{
	strbuf_addf(out, "CREATE TABLE IF NOT EXISTS %s (", local);
	for (size_t i = 0; i < t->ncolumns; i++)
		add_column(out, &t->columns[i]);
	add_name(out, t->version);
	strbuf_addstr(out, " bigint NOT NULL DEFAULT 0, ");
	add_primary_key(out, t);
	/* It may be there already, from before it was dropped and registered once more. */
	strbuf_addf(out, ");\nALTER TABLE %s ", local);
	for (size_t i = 0; i < t->ncolumns; i++) {
		strbuf_addstr(out, "ADD COLUMN IF NOT EXISTS ");
		add_name(out, t->columns[i].name);
		strbuf_addch(out, ' ');
		add_type(out, &t->columns[i]);
		strbuf_addstr(out, ", ");
	}
	strbuf_addstr(out, "ADD COLUMN IF NOT EXISTS ");
	add_name(out, t->version);
	strbuf_addstr(out, " bigint NOT NULL DEFAULT 0;\n");
	add_tombstones(out, t);
}

static void alter(struct strbuf *out, const char *local, const char *what, const char *name)
{
	strbuf_addf(out, "ALTER TABLE %s %s ", local, what);
	add_name(out, name);
}

/* Every renamed column gives up its name before any takes its new one: they may have been swapped. */
static void add_renames(struct strbuf *out, const struct table *was, const struct table *now,
			const char *local, bool only_key, bool to_final)
{
	for (size_t i = 0; i < now->ncolumns; i++) {
		const struct table_column *c = &now->columns[i],
					  *old = table_column_of(was, c->att);
		char meanwhile[32];

		if (old == NULL || strcmp(old->name, c->name) == 0 || (only_key && c->key < 0))
			continue;
		snprintf(meanwhile, sizeof(meanwhile), "pgfanout_renamed_%d", c->att);
		alter(out, local, "RENAME COLUMN", to_final ? meanwhile : old->name);
		strbuf_addstr(out, " TO ");
		add_name(out, to_final ? c->name : meanwhile);
		strbuf_addstr(out, ";\n");
	}
}

/* Whether the column can stay: an ALTER TYPE that would write all rows anew locks out their readers, and a
 * column that is made anew does not. */
static bool stays(const struct table_column *was, const struct table_column *now)
{
	return strcmp(was->type, now->type) == 0 ||
	       (table_fits(was, now) &&
		(strcmp(now->type, "text") == 0 || strcmp(now->type, "character varying") == 0));
}

static bool add_column_changes(struct strbuf *out, const struct table *was, const struct table *now,
			       const char *local)
{
	bool load = false;

	for (size_t i = 0; i < now->ncolumns; i++) {
		const struct table_column *c = &now->columns[i],
					  *old = table_column_of(was, c->att);

		if (old != NULL && stays(old, c)) {
			if (strcmp(old->type, c->type) != 0 ||
			    strcmp(old->collation, c->collation) != 0) {
				alter(out, local, "ALTER COLUMN", c->name);
				strbuf_addstr(out, " TYPE ");
				add_type(out, c);
				strbuf_addstr(out, ";\n");
			}
			if (old->not_null && !c->not_null) {
				alter(out, local, "ALTER COLUMN", c->name);
				strbuf_addstr(out, " DROP NOT NULL;\n");
			}
			continue;
		}
		if (old != NULL) {
			alter(out, local, "DROP COLUMN", c->name);
			strbuf_addstr(out, ";\n");
		}
		/* What is filled needs no load: rows of an older shape that are yet to come get it too. */
		bool filled = old == NULL && c->filled;
		alter(out, local, filled ? "ADD COLUMN" : "ADD COLUMN IF NOT EXISTS", c->name);
		strbuf_addch(out, ' ');
		add_type(out, c);
		if (filled && c->fill != NULL) {
			strbuf_addstr(out, " DEFAULT ");
			add_literal(out, c->fill);
		}
		strbuf_addstr(out, ";\n");
		load = load || !filled;
	}
	return load;
}

static void add_moves(struct strbuf *out, const struct table *was, const struct table *now,
		      const char *local)
{
	if (strcmp(was->schema, now->schema) != 0) {
		alter(out, local, "SET SCHEMA", now->schema);
		strbuf_addstr(out, ";\n");
	}
	if (strcmp(was->name, now->name) != 0) {
		strbuf_addstr(out, "ALTER TABLE ");
		add_name(out, now->schema);
		strbuf_addch(out, '.');
		add_name(out, was->name);
		strbuf_addstr(out, " RENAME TO ");
		add_name(out, now->name);
		strbuf_addstr(out, ";\n");
	}
}

bool table_sql_columns(struct strbuf *out, const struct table *was, const struct table *now,
		       const char *local)
{
	for (size_t i = 0; i < was->ncolumns; i++)
		if (table_column_of(now, was->columns[i].att) == NULL) {
			alter(out, local, "DROP COLUMN IF EXISTS", was->columns[i].name);
			strbuf_addstr(out, ";\n");
		}
	for (int final = 0; final < 2; final++)
		add_renames(out, was, now, local, false, final);
	return add_column_changes(out, was, now, local);
}

void table_sql_rest(struct strbuf *out, const struct table *was, const struct table *now,
		    const char *local)
{
	char tombstones[48];

	snprintf(tombstones, sizeof(tombstones), "pgfanout.tombstones_%d", now->id);
	if (table_same_key(was, now)) {
		for (int final = 0; final < 2; final++)
			add_renames(out, was, now, tombstones, true, final);
	} else {
		strbuf_addf(out, "DROP TABLE %s;\n", tombstones);
		add_tombstones(out, now);
	}
	add_moves(out, was, now, local);
}

void table_sql_moved(struct strbuf *out, const struct table *was, const struct table *now,
		     const char *local)
{
	if (strcmp(was->schema, now->schema) == 0 && strcmp(was->name, now->name) == 0)
		strbuf_addstr(out, local);
	else
		table_sql_name(out, now);
}

void table_sql_key(struct strbuf *out, const char *function, const struct table *t,
		   const char *local)
{
	strbuf_addf(out, "SELECT pgfanout.%s(", function);
	add_literal(out, local);
	strbuf_addstr(out, "::regclass, ARRAY[");
	for (size_t k = 0; k < t->nkey; k++) {
		strbuf_addstr(out, k > 0 ? ", " : "");
		add_literal(out, t->columns[t->key[k]].name);
	}
	strbuf_addstr(out, "]::text[]);\n");
}

/* Binary is quicker, but types that are not the server's own may have other numbers on another server. */
static const char *copy_format(const struct table *t)
{
	for (size_t i = 0; i < t->ncolumns; i++)
		if (t->columns[i].form == TABLE_TEXT)
			return "text";
	return "binary";
}

void table_sql_copy_out(struct strbuf *out, const struct table *t, const char *relation,
			const char *filter)
{
	/* The casts make both ends the same whatever the columns are there. */
	strbuf_addstr(out, "COPY (SELECT ");
	for (size_t i = 0; i < t->ncolumns; i++) {
		add_name(out, t->columns[i].name);
		strbuf_addf(out, "::%s, ", t->columns[i].type);
	}
	strbuf_addf(out, "0::bigint FROM %s", relation);
	if (filter)
		strbuf_addf(out, " WHERE (%s)", filter);
	strbuf_addf(out, ") TO STDOUT (FORMAT %s)", copy_format(t));
}

void table_sql_copy_in(struct strbuf *out, const struct table *t, const char *into)
{
	/* With FREEZE a reader whose snapshot is from before the swap sees the rows of the new
	 * table; without it the reader would see an empty one. */
	strbuf_addf(out, "COPY %s (", into);
	for (size_t i = 0; i < t->ncolumns; i++) {
		add_name(out, t->columns[i].name);
		strbuf_addstr(out, ", ");
	}
	add_name(out, t->version);
	strbuf_addf(out, ") FROM STDIN (FORMAT %s, FREEZE)", copy_format(t));
}

/* n."id" = p."id" */
static void add_same_key(struct strbuf *out, const struct table *t)
{
	for (size_t k = 0; k < t->nkey; k++) {
		const struct table_column *c = &t->columns[t->key[k]];

		strbuf_addstr(out, k > 0 ? " AND n." : "n.");
		add_name(out, c->name);
		strbuf_addf(out, " %s p.", c->equal);
		add_name(out, c->name);
	}
}

static void add_row(struct strbuf *out, const struct table *t, const char *prefix)
{
	for (size_t i = 0; i < t->ncolumns; i++) {
		strbuf_addstr(out, prefix);
		add_name(out, t->columns[i].name);
		strbuf_addstr(out, ", ");
	}
	strbuf_addstr(out, prefix);
	add_name(out, t->version);
}

void table_sql_difference(struct strbuf *out, const struct table *t, const char *local,
			  const char *from)
{
	/* *= compares bytes, of any type; the casts keep it from becoming one for each column. */
	strbuf_addf(out, "DELETE FROM %s p WHERE NOT EXISTS (SELECT FROM %s n WHERE ", local, from);
	add_same_key(out, t);
	strbuf_addstr(out, "\n	AND ROW(");
	add_row(out, t, "n.");
	strbuf_addstr(out, ")::record OPERATOR(pg_catalog.*=) ROW(");
	add_row(out, t, "p.");
	strbuf_addf(out, ")::record);\nINSERT INTO %s (", local);
	add_row(out, t, "");
	strbuf_addstr(out, ") SELECT ");
	add_row(out, t, "n.");
	strbuf_addf(out, " FROM %s n\n	WHERE NOT EXISTS (SELECT FROM %s p WHERE ", from, local);
	add_same_key(out, t);
	strbuf_addstr(out, ")");
}

/* ---- the whole ---- */

/* What is in front of everything: rules 1 and 2. %1$d: the stream. */
static const char guard[] =
	"	IF NOT pg_try_advisory_xact_lock_shared(1885824610, %1$d) THEN\n"
	"		RAISE EXCEPTION 'the replica is being reset' USING ERRCODE = 'PF001';\n"
	"	END IF;\n"
	"	IF current_setting('transaction_isolation') <> 'read committed' THEN\n"
	"		RAISE EXCEPTION 'changes are applied in READ COMMITTED transactions only'\n"
	"			USING ERRCODE = 'object_not_in_prerequisite_state';\n"
	"	END IF;\n"
	"	PERFORM pg_advisory_xact_lock(1885824611, %1$d);\n";

/* Rule 9. %1$d: the stream. */
static const char follow[] =
	"	IF NOT FOUND THEN\n"
	"		RAISE EXCEPTION 'pgfanout.streams or pgfanout.tables has lost a row'\n"
	"			USING ERRCODE = 'object_not_in_prerequisite_state',\n"
	"			HINT = 'Run reset-replicas for this replica.';\n"
	"	END IF;\n"
	"	IF msg_source <> '' AND msg_source <> follows THEN\n"
	"		IF pgfanout.succeeds(msg_source, follows) THEN\n"
	"			PERFORM pgfanout.follow_successor(%1$d::smallint, msg_source, false);\n"
	"			follows := msg_source;\n"
	"		ELSIF pgfanout.succeeds(follows, msg_source) THEN\n"
	"			beats := NULL;\n"
	"			earlier := true;\n"
	"		ELSIF msg_source = ANY (ARRAY(SELECT unnest(s.followed) FROM pgfanout.streams s\n"
	"			WHERE s.stream = %1$d))\n"
	"		THEN\n"
	"			RETURN 0;\n"
	"		ELSE\n"
	"			RAISE EXCEPTION 'changes of another primary: their source is %%, this replica follows %%',\n"
	"				msg_source, follows USING ERRCODE = 'PF002',\n"
	"				HINT = 'Give each installation a virtual host or a QUEUE_PREFIX of its own. If '\n"
	"					'the primary was replaced, run reset-replicas.';\n"
	"		END IF;\n"
	"	END IF;\n";

/* What a batch finds. %1$d: the stream, %2$d: the table. */
static const char state[] =
	"	SELECT s.given, s.follows, t.source, t.snapshot, t.floor, t.truncated,\n"
	"		EXISTS (SELECT FROM pgfanout.tombstones_%2$d),\n"
	"		EXISTS (SELECT FROM pgfanout.dead_letters d WHERE d.\"table\" = %2$d AND NOT d.waiting)\n"
	"	INTO given, follows, load_source, load_snapshot, load_floor, load_truncated, buried, wrong\n"
	"	FROM pgfanout.streams s JOIN pgfanout.tables t ON t.id = %2$d WHERE s.stream = %1$d;\n";

/* Rule 7. */
static const char possible[] =
	"	IF newest IS NULL THEN\n"
	"		newest := (SELECT max(v) FROM unnest(versions) AS v);\n"
	"	END IF;\n"
	"	IF pgfanout.impossible(newest, given) THEN\n"
	"		RAISE EXCEPTION 'version % is above all that the primary can have given out (%)',\n"
	"			newest, given USING ERRCODE = 'numeric_value_out_of_range';\n"
	"	END IF;\n";

/* What both functions that apply changes begin with, and what add_checks() fills. %2$s: the tag. */
#define DECLARED                                                    \
	"	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp\n" \
	"AS %2$s\n"                                                 \
	"#variable_conflict use_variable\n"                         \
	"DECLARE\n"                                                 \
	"	given         bigint;\n"                                  \
	"	follows       text;\n"                                    \
	"	load_source   text;\n"                                    \
	"	load_snapshot pg_snapshot;\n"                             \
	"	load_floor    bigint;\n"                                  \
	"	load_truncated bigint;\n"                                 \
	"	buried        boolean;\n"                                 \
	"	earlier       boolean;\n"                                 \
	"	wrong         boolean;\n"

/* Rule 10. %1$d: the stream. */
static const char seen[] =
	"	PERFORM setval('pgfanout.seen_%1$d', greatest(s.last_value, lsn), lsn IS NOT NULL)\n"
	"		FROM pgfanout.seen_%1$d s WHERE CASE WHEN lsn > 0 THEN lsn > s.last_value OR NOT s.is_called\n"
	"			ELSE lsn IS NULL AND s.is_called END;\n";

static void add_checks(struct strbuf *out, const struct table *t, int stream)
{
	strbuf_addf(out, guard, stream);
	strbuf_addf(out, state, stream, t->id);
	strbuf_addf(out, follow, stream);
	strbuf_addstr(out, possible);
	strbuf_addf(out, seen, stream);
}

/* What is behind them: rule 8. %1$d: the stream, %2$s: the tag. */
static const char end[] =
	"	IF runs IS NOT NULL THEN\n"
	"		INSERT INTO pgfanout.arrivals (stream, runs) VALUES (%1$d, runs);\n"
	"	END IF;\n"
	"	IF earlier AND changed > 0 THEN\n"
	"		UPDATE pgfanout.streams s SET unverified = clock_timestamp() WHERE s.stream = %1$d;\n"
	"	END IF;\n"
	"	IF beats IS NOT NULL THEN\n"
	"		PERFORM pgfanout.beat(%1$d::smallint, beats, msg_source);\n"
	"	END IF;\n"
	"	RETURN changed;\n"
	"END %2$s;\n";

static void add_columns_type(struct strbuf *out, const struct table *t)
{
	/* A shape's columns never change. A consumer may be calling what has them as a parameter, so they must
	 * not be dropped. */
	strbuf_addf(out,
		    "DO $pgfanout$ BEGIN\n"
		    "	CREATE TYPE pgfanout.columns_%d AS (",
		    t->shape);
	for (size_t i = 0; i < t->ncolumns; i++)
		strbuf_addf(out, "%sc%zu %s", i > 0 ? ", " : "", i + 1,
			    table_array_name(t->columns[i].form));
	strbuf_addstr(out, ");\nEXCEPTION WHEN duplicate_object THEN NULL; END $pgfanout$;\n");
}

static void add_version_of(struct strbuf *out, const struct table *t, const char *local,
			   const char *tag)
{
	strbuf_addf(out,
		    "CREATE OR REPLACE FUNCTION pgfanout.version_of_%d(key text[]) RETURNS bigint\n"
		    "	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp\nAS %s\n"
		    "	SELECT max(v.version) FROM (\n		SELECT p.",
		    t->id, tag);
	add_name(out, t->version);
	strbuf_addf(out, " AS version FROM %s p WHERE ", local);
	add_key_match(out, t, "p");
	strbuf_addstr(out, "\n		UNION ALL\n		SELECT t.");
	add_name(out, t->version);
	strbuf_addf(out, " FROM pgfanout.tombstones_%d t WHERE ", t->id);
	add_key_match(out, t, "t");
	strbuf_addf(out,
		    "\n	) AS v\n%s;\nCOMMENT ON FUNCTION pgfanout.version_of_%d(text[])"
		    " IS 'pgfanout: the newest version of a row that is known here';\n",
		    tag, t->id);
}

/* A TRUNCATE: all rows that are older are gone, whatever comes of them later. */
static void add_truncate(struct strbuf *out, const struct table *t, const char *local, int stream,
			 const char *tag)
{
	strbuf_addf(
		out,
		"DROP FUNCTION IF EXISTS pgfanout.truncate_%1$d(text, bigint, xid8, bigint[], jsonb);\n"
		"CREATE OR REPLACE FUNCTION pgfanout.truncate_%1$d(msg_source text, newest bigint, xid xid8,\n"
		"	runs bigint[], beats jsonb, lsn bigint DEFAULT NULL) RETURNS bigint\n" DECLARED
		"	versions      bigint[];\n"
		"	changed       bigint := 0;\n"
		"BEGIN\n",
		t->id, tag);
	add_checks(out, t, stream);
	strbuf_addf(
		out,
		"	IF newest > load_truncated AND NOT pgfanout.stale(xid, newest, msg_source, load_source, "
		"load_snapshot, load_floor)\n	THEN\n"
		"		UPDATE pgfanout.tables t SET truncated = newest WHERE t.id = %d;\n"
		"		DELETE FROM %s p WHERE p.",
		t->id, local);
	add_name(out, t->version);
	strbuf_addstr(out, " < newest;\n		GET DIAGNOSTICS changed = ROW_COUNT;\n");
	strbuf_addf(out, "		DELETE FROM pgfanout.tombstones_%d t WHERE t.", t->id);
	add_name(out, t->version);
	strbuf_addf(
		out,
		" < newest;\n		DELETE FROM pgfanout.dead_letters d WHERE d.\"table\" = %d AND "
		"d.version <= newest;\n	END IF;\n",
		t->id);
	strbuf_addf(out, end, stream, tag);
	strbuf_addf(
		out,
		"COMMENT ON FUNCTION pgfanout.truncate_%d(text, bigint, xid8, bigint[], jsonb, bigint)\n"
		"	IS 'pgfanout: applies a TRUNCATE';\n",
		t->id);
}

void table_sql_apply(struct strbuf *out, const struct table *t, const char *local, int stream)
{
	char tag[TAG_MAX];

	make_tag(t, local, tag);
	add_columns_type(out, t);
	strbuf_addf(
		out,
		"DROP FUNCTION IF EXISTS pgfanout.apply_%1$d(text, bigint[], xid8[], boolean[], pgfanout.columns_%1$d,\n"
		"	boolean, bigint[], jsonb, bigint);\n"
		"CREATE OR REPLACE FUNCTION pgfanout.apply_%1$d(msg_source text, versions bigint[], xids xid8[],\n"
		"	deleted boolean[], cols pgfanout.columns_%1$d, all_new boolean, runs bigint[],\n"
		"	beats jsonb, newest bigint, lsn bigint DEFAULT NULL) RETURNS bigint\n" DECLARED
		"	changed       bigint;\n"
		"	n             bigint;\n"
		"BEGIN\n",
		t->shape, tag);
	add_checks(out, t, stream);
	strbuf_addstr(out, "	IF false <> ALL (deleted) THEN\n"
			   "		changed := 0;\n"
			   "	ELSE\n"
			   "	IF all_new IS NULL THEN\n	");
	add_update(out, t, local);
	strbuf_addstr(out, "		GET DIAGNOSTICS changed = ROW_COUNT;\n"
			   "	ELSIF all_new THEN\n		BEGIN\n	");
	add_insert(out, t, local, false);
	strbuf_addstr(
		out,
		"			GET DIAGNOSTICS changed = ROW_COUNT;\n"
		"		EXCEPTION WHEN unique_violation THEN\n"
		"			changed := NULL;\n"
		"		END;\n"
		"	END IF;\n"
		"	IF changed IS NULL OR all_new IS NULL AND changed < cardinality(versions) THEN\n	");
	add_insert(out, t, local, true);
	strbuf_addstr(
		out,
		"		GET DIAGNOSTICS n = ROW_COUNT;\n"
		"		changed := coalesce(changed, 0) + n;\n"
		"	END IF;\n"
		"	IF all_new IS NOT NULL AND changed < cardinality(versions) THEN\n	");
	add_update(out, t, local);
	strbuf_addstr(out, "		GET DIAGNOSTICS n = ROW_COUNT;\n"
			   "		changed := changed + n;\n"
			   "	END IF;\n"
			   "	END IF;\n"
			   "	IF true = ANY (deleted) THEN\n	");
	add_delete(out, t, local);
	strbuf_addstr(out, "		GET DIAGNOSTICS n = ROW_COUNT;\n"
			   "		changed := changed + n;\n"
			   "	END IF;\n"
			   "	IF wrong THEN\n"
			   "		DELETE FROM pgfanout.dead_letters d USING ");
	add_source(out, t, local, true);
	strbuf_addf(out, "\n		WHERE d.\"table\" = %d", t->id);
	for (size_t k = 0; k < t->nkey; k++) {
		const struct table_column *c = &t->columns[t->key[k]];

		strbuf_addf(out, " AND d.key[%zu]::%s %s ", k + 1, c->type, c->equal);
		add_compared(out, t, t->key[k], "m", local);
	}
	strbuf_addstr(out, "\n			AND (d.version <= m.version OR "
			   "pgfanout.impossible(d.version, given)) AND NOT d.waiting;\n	END IF;\n");
	strbuf_addf(out, end, stream, tag);
	strbuf_addf(
		out,
		"COMMENT ON FUNCTION pgfanout.apply_%1$d(text, bigint[], xid8[], boolean[], "
		"pgfanout.columns_%1$d, boolean, bigint[], jsonb, bigint, bigint)\n"
		"	IS 'pgfanout: applies a batch of changes of a table, newest version wins';\n"
		"COMMENT ON TYPE pgfanout.columns_%1$d\n"
		"	IS 'pgfanout: the columns of a batch of changes';\n",
		t->shape);
	add_version_of(out, t, local, tag);
	if (!t->flat) /* whose TRUNCATE is a delete of each row */
		add_truncate(out, t, local, stream, tag);
}

void table_sql_arrive(struct strbuf *out, int stream)
{
	strbuf_addf(
		out,
		"CREATE SEQUENCE IF NOT EXISTS pgfanout.seen_%1$d;\n"
		"COMMENT ON SEQUENCE pgfanout.seen_%1$d IS 'pgfanout: what is visible of a stream was committed "
		"before this place in the primary''s WAL';\n"
		"GRANT SELECT ON pgfanout.seen_%1$d TO PUBLIC;\n",
		stream);
	strbuf_addf(
		out,
		"CREATE OR REPLACE FUNCTION pgfanout.arrive_%d(msg_source text, runs bigint[], beats "
		"jsonb) RETURNS bigint\n"
		"	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp\n"
		"AS $pgfanout$\n"
		"DECLARE\n"
		"	follows text;\n"
		"	earlier boolean;\n"
		"	changed bigint := 0;\n"
		"BEGIN\n",
		stream);
	strbuf_addf(out, guard, stream);
	strbuf_addf(
		out,
		"	IF current_setting('transaction_read_only')::boolean THEN\n"
		"		RAISE EXCEPTION 'the replica is read-only'\n"
		"			USING ERRCODE = 'read_only_sql_transaction';\n"
		"	END IF;\n"
		"	SELECT s.follows INTO follows FROM pgfanout.streams s WHERE s.stream = %d;\n",
		stream);
	strbuf_addf(out, follow, stream);
	/* What heartbeats alone say later ones say again, if a crash takes it back with all that has come since: nobody
	 * waits for the disk, least of all the changes behind them. */
	strbuf_addstr(out, "	IF runs IS NULL THEN\n"
			   "		PERFORM set_config('synchronous_commit', 'off', true);\n"
			   "	END IF;\n");
	strbuf_addf(out, end, stream, TAG);
	strbuf_addf(
		out,
		"COMMENT ON FUNCTION pgfanout.arrive_%d(text, bigint[], jsonb)\n"
		"	IS 'pgfanout: takes in messages and heartbeats that came without a change';\n",
		stream);
}

void table_sql_call(struct strbuf *out, const struct table *t)
{
	strbuf_addf(
		out,
		"SELECT pgfanout.apply_%1$d($1::text, $2::bigint[], $3::xid8[], $4::boolean[], "
		"$5::pgfanout.columns_%1$d, $6::boolean, $7::bigint[], $8::jsonb, $9::bigint, $10::bigint)",
		t->shape);
}

void table_sql_each(struct strbuf *out, const struct table *t, int stream)
{
	strbuf_addf(
		out,
		"SELECT applied, kept FROM pgfanout.apply_each($%d::bigint, %d::smallint, %d, %d, $1::text, $2::bigint[], "
		"$3::xid8[], $4::boolean[], $5::pgfanout.columns_%d",
		TABLE_EACH_PARAMS, stream, t->id, t->shape, t->shape);
	for (int i = 6; i < TABLE_EACH_PARAMS; i++)
		strbuf_addf(out, ", $%d::text[]", i);
	strbuf_addch(out, ')');
}
