/*
 * verify_sql.c: see verify_sql.h. Pure: any thread.
 *
 * Each side goes through its own rows in its own order, by its own key's index, and the other side is
 * asked for the same keys: two servers may sort the same texts differently.
 */
#include "consumer/verify/verify_sql.h"

#include <string.h>

#include "common/wire/table_sql.h"

/* A function takes 100 arguments. */
#define CONCAT_MAX     50
/* Of a column that is NULL: VERIFY_DIGEST of what no digest has. */
#define DIGEST_OF_NULL "--------------------------------"

const int verify_text_params[VERIFY_TEXTS] = {
	[VERIFY_TEXT_ROWS] = 2,	     [VERIFY_TEXT_ROWS_NEXT] = 2, [VERIFY_TEXT_ABSENT] = 1,
	[VERIFY_TEXT_ORIGINALS] = 2, [VERIFY_TEXT_KEYS] = 3,	  [VERIFY_TEXT_KEYS_NEXT] = 3,
	[VERIFY_TEXT_DIFFERENT] = 2, [VERIFY_TEXT_MARKS] = 3,	  [VERIFY_TEXT_COPIES] = 2,
	[VERIFY_TEXT_LOWER] = 5,
};

/* ---- parts ---- */

static const struct table_column *key_column(const struct table *t, size_t k)
{
	return &t->columns[t->key[k]];
}

static void add_column(struct strbuf *out, const char *alias, const char *name)
{
	strbuf_addf(out, "%s.", alias);
	table_sql_quote(out, name);
}

/* concat() takes what the type writes, where a cast to text may do something else. */
static void add_key(struct strbuf *out, const struct table *t, const char *alias)
{
	for (size_t k = 0; k < t->nkey; k++) {
		strbuf_addstr(out, k == 0 ? "ARRAY[concat(" : "), concat(");
		add_column(out, alias, key_column(t, k)->name);
	}
	strbuf_addstr(out, ")]::text");
}

/* p."id" OPERATOR(pg_catalog.=) key[1]::uuid AND … */
static void add_match(struct strbuf *out, const struct table *t, const char *alias, const char *key)
{
	for (size_t k = 0; k < t->nkey; k++) {
		const struct table_column *c = key_column(t, k);

		strbuf_addstr(out, k > 0 ? " AND " : "");
		add_column(out, alias, c->name);
		strbuf_addf(out, " %s %s[%zu]::%s", c->equal, key, k + 1, c->type);
	}
}

/* Of a row: NULL and an empty text are two things in it. */
static void add_text(struct strbuf *out, const struct table *t)
{
	strbuf_addstr(out, "ROW(");
	for (size_t i = 0; i < t->ncolumns; i++) {
		strbuf_addstr(out, i > 0 ? ", " : "");
		add_column(out, "p", t->columns[i].name);
	}
	strbuf_addstr(out, ")::text");
}

static void add_digest(struct strbuf *out, const struct table *t)
{
	strbuf_addstr(out, "sha256(convert_to(");
	add_text(out, t);
	strbuf_addstr(out, ", 'UTF8'))");
}

static void add_columns(struct strbuf *out, const struct table *t)
{
	strbuf_addstr(out, "concat(concat(");
	for (size_t i = 0; i < t->ncolumns; i++) {
		if (i > 0)
			strbuf_addstr(out, i % CONCAT_MAX == 0 ? "), concat(" : ", ");
		/* IS NOT NULL is false for a composite that has a NULL in it. */
		strbuf_addstr(out, "CASE WHEN ");
		add_column(out, "p", t->columns[i].name);
		strbuf_addstr(out,
			      " IS DISTINCT FROM NULL THEN left(encode(sha256(convert_to(concat(");
		add_column(out, "p", t->columns[i].name);
		strbuf_addf(out, "), 'UTF8')), 'hex'), %d) ELSE '" DIGEST_OF_NULL "' END",
			    VERIFY_DIGEST);
	}
	strbuf_addstr(out, "))");
}

/* A filter's names are the table's columns, and nothing else. */
static void add_rows(struct strbuf *out, const struct verify_names *n)
{
	if (n->filter)
		strbuf_addf(out, "(SELECT * FROM %s q WHERE (%s)) p", n->relation, n->filter);
	else
		strbuf_addf(out, "%s p", n->relation);
}

static const char given[] =
	"(SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM pgfanout.version_seq) AS given";

/* So many rows in the order of the key, from the first one on or behind the key $1. */
static void add_range(struct strbuf *out, const struct verify_names *n, bool next)
{
	const struct table *t = n->t;

	strbuf_addstr(out, "\nFROM ");
	add_rows(out, n);
	strbuf_addstr(out, "\nWHERE ");
	if (next) {
		for (size_t k = 0; k < t->nkey; k++) {
			strbuf_addstr(out, k == 0 ? "(" : ", ");
			add_column(out, "p", key_column(t, k)->name);
		}
		for (size_t k = 0; k < t->nkey; k++)
			strbuf_addf(out, "%s($1::text[])[%zu]::%s", k == 0 ? ") > (" : ", ", k + 1,
				    key_column(t, k)->type);
		strbuf_addstr(out, ")");
	} else {
		strbuf_addstr(out, "$1::text[] IS NULL");
	}
	for (size_t k = 0; k < t->nkey; k++) {
		strbuf_addstr(out, k == 0 ? "\nORDER BY " : ", ");
		add_column(out, "p", key_column(t, k)->name);
	}
	strbuf_addstr(out, " LIMIT $2::integer");
}

/* ---- on the primary ---- */

static void add_originals_of_range(struct strbuf *out, const struct verify_names *n, bool next)
{
	strbuf_addstr(out, "SELECT ");
	add_key(out, n->t, "p");
	strbuf_addstr(out, " AS key, ");
	add_digest(out, n->t);
	strbuf_addstr(out, " AS digest");
	add_range(out, n, next);
}

static void add_absent(struct strbuf *out, const struct verify_names *n)
{
	strbuf_addf(out,
		    "SELECT %s, absent.place\nFROM (SELECT) AS one LEFT JOIN (\n"
		    "	SELECT (k.place - 1)::integer AS place"
		    " FROM unnest($1::text[]) WITH ORDINALITY AS k (key, place)\n"
		    "	WHERE NOT EXISTS (SELECT FROM ",
		    given);
	add_rows(out, n);
	strbuf_addstr(out, " WHERE ");
	add_match(out, n->t, "p", "(k.key::text[])");
	strbuf_addstr(out, ")\n) AS absent ON true");
}

/* now and given are read after the statement's snapshot was taken: whatever it shows was committed before
 * now, and a version above given was taken after it. */
static void add_originals(struct strbuf *out, const struct verify_names *n)
{
	strbuf_addf(
		out,
		"SELECT k.place,\n	(SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now,\n"
		"	%s,\n	CASE WHEN ",
		given);
	add_column(out, "p", key_column(n->t, 0)->name);
	strbuf_addstr(out, " IS DISTINCT FROM NULL THEN ");
	add_columns(out, n->t);
	strbuf_addstr(out, " END AS columns,\n	CASE WHEN ");
	add_column(out, "p", key_column(n->t, 0)->name);
	strbuf_addstr(out, " IS DISTINCT FROM NULL THEN octet_length(");
	add_text(out, n->t);
	strbuf_addstr(out, ") END AS bytes\n"
			   "FROM unnest($1::text[], $2::integer[]) AS k (key, place)\nLEFT JOIN ");
	add_rows(out, n);
	strbuf_addstr(out, " ON ");
	add_match(out, n->t, "p", "(k.key::text[])");
}

/* ---- on a replica ---- */

static void add_keys(struct strbuf *out, const struct verify_names *n, bool next)
{
	strbuf_addstr(out, "SELECT ");
	add_key(out, n->t, "p");
	strbuf_addstr(out, " AS key, (");
	add_column(out, "p", n->t->version);
	strbuf_addstr(out, " > $3::bigint)::integer AS above");
	add_range(out, n, next);
}

static void add_different(struct strbuf *out, const struct verify_names *n)
{
	strbuf_addstr(
		out,
		"SELECT (k.place - 1)::integer AS place\n"
		"FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS k (key, digest, place)\nLEFT JOIN ");
	add_rows(out, n);
	strbuf_addstr(out, " ON ");
	add_match(out, n->t, "p", "(k.key::text[])");
	strbuf_addstr(out, "\nWHERE k.digest IS DISTINCT FROM CASE WHEN ");
	add_column(out, "p", n->t->version);
	strbuf_addstr(out, " IS DISTINCT FROM NULL THEN ");
	add_digest(out, n->t);
	strbuf_addstr(out, " END");
}

/* A version that was never given out would turn away every change to come; of others a change was given
 * up. (A key without values: a TRUNCATE was. The rows themselves are wrong then.) */
static void add_marks(struct strbuf *out, const struct verify_names *n)
{
	strbuf_addstr(out, "SELECT m.key FROM (\n	SELECT ");
	add_key(out, n->t, "t");
	strbuf_addf(out, " AS key FROM pgfanout.tombstones_%d t WHERE ", n->t->id);
	add_column(out, "t", n->t->version);
	strbuf_addf(
		out,
		" > $3::bigint\n	UNION\n"
		"	SELECT d.key::text FROM pgfanout.dead_letters d WHERE d.\"table\" = %d AND d.key <> '{}'\n"
		") AS m\nWHERE $1::text IS NULL OR m.key COLLATE \"C\" > $1::text\n"
		"ORDER BY m.key COLLATE \"C\" LIMIT $2::integer",
		n->t->id);
}

/* Whether a change of the row waits for another row: pgfanout.wait(). */
static void add_waits(struct strbuf *out, const struct table *t)
{
	strbuf_addf(out, "(EXISTS (SELECT FROM pgfanout.waiting w WHERE w.\"table\" = %d", t->id);
	for (size_t k = 0; k < t->nkey; k++) {
		const struct table_column *c = key_column(t, k);

		strbuf_addf(out, " AND w.key[%zu]::%s %s (k.key::text[])[%zu]::%s", k + 1, c->type,
			    c->equal, k + 1, c->type);
		if (*c->collation != '\0')
			strbuf_addf(out, " COLLATE %s", c->collation);
	}
	strbuf_addstr(out, "))::integer AS waits");
}

/* What tells one state of the replica from another: which transaction wrote the row, its version, the
 * tombstone's, that of a change given up, and where the table was last loaded from. */
static void add_copies(struct strbuf *out, const struct verify_names *n)
{
	const struct table *t = n->t;

	strbuf_addstr(out, "SELECT k.place, p.xmin AS written, coalesce(");
	add_column(out, "p", t->version);
	strbuf_addstr(out, ", 0) AS version, coalesce(");
	add_column(out, "t", t->version);
	strbuf_addf(
		out,
		", 0) AS buried,\n	coalesce(d.version, 0) AS dead,\n"
		"	(SELECT hashtextextended(concat(s.reset_at, ' ', h.source, ' ', h.snapshot), 0)\n"
		"	FROM pgfanout.tables h JOIN pgfanout.streams s ON s.stream = h.stream WHERE h.id = %d)"
		" AS load,\n	CASE WHEN ",
		t->id);
	add_column(out, "p", t->version);
	strbuf_addstr(out, " IS DISTINCT FROM NULL THEN ");
	add_columns(out, t);
	strbuf_addstr(out, " END AS columns,\n	");
	add_waits(out, t);
	strbuf_addstr(out,
		      "\nFROM unnest($1::text[], $2::integer[]) AS k (key, place)\nLEFT JOIN ");
	add_rows(out, n);
	strbuf_addstr(out, " ON ");
	add_match(out, t, "p", "(k.key::text[])");
	strbuf_addf(out, "\nLEFT JOIN pgfanout.tombstones_%d t ON ", t->id);
	add_match(out, t, "t", "(k.key::text[])");
	strbuf_addf(
		out,
		"\nLEFT JOIN pgfanout.dead_letters d ON d.\"table\" = %d AND d.key = k.key::text[]",
		t->id);
}

/* One of the versions that were seen, lowered where it is still there. */
static void add_lowered(struct strbuf *out, const char *alias, const char *version,
			const char *seen)
{
	add_column(out, alias, version);
	strbuf_addf(out, " = w.%s AND ", seen);
	add_column(out, alias, version);
	strbuf_addstr(out, " > $4::bigint");
}

/*
 * Versions that the primary has never given out (of the rows, of the tombstones, of the changes given up;
 * 0: none) would make it refuse every change to come, or avoid the row for ever. They become $4, the newest
 * version that the primary had given out when it was asked after they had been seen.
 *
 * A row cannot go backwards by it: every change up to $4 is still refused, and one above $4 is newer than
 * all that the replica has applied in order. 0 would let in an old message that comes late. Only a row that
 * still has the version that was seen is changed. Batches wait meanwhile (advisory lock
 * 1885824611/<stream>), as they wait for one another.
 */
static void add_lower(struct strbuf *out, const struct verify_names *n)
{
	const struct table *t = n->t;

	strbuf_addf(
		out,
		"WITH locked AS MATERIALIZED (\n	SELECT pg_advisory_xact_lock(1885824611, %d)\n"
		"), wrong AS MATERIALIZED (\n"
		"	SELECT w.key::text[] AS key, w.version, w.buried, w.dead\n"
		"	FROM unnest($1::text[], $2::bigint[], $3::bigint[], $5::bigint[])\n"
		"		AS w (key, version, buried, dead) CROSS JOIN locked\n"
		"), lowered AS (\n	UPDATE %s p SET ",
		n->stream, n->relation);
	table_sql_quote(out, t->version);
	strbuf_addstr(out, " = $4::bigint FROM wrong w WHERE ");
	add_match(out, t, "p", "w.key");
	strbuf_addstr(out, " AND ");
	add_lowered(out, "p", t->version, "version");
	strbuf_addf(
		out,
		"\n), dead AS (\n	UPDATE pgfanout.dead_letters d SET version = $4::bigint FROM wrong w\n"
		"		WHERE d.\"table\" = %d AND d.key = w.key AND ",
		t->id);
	add_lowered(out, "d", "version", "dead");
	strbuf_addf(out, "\n)\nUPDATE pgfanout.tombstones_%d t SET ", t->id);
	table_sql_quote(out, t->version);
	strbuf_addstr(out, " = $4::bigint FROM wrong w WHERE ");
	add_match(out, t, "t", "w.key");
	strbuf_addstr(out, " AND ");
	add_lowered(out, "t", t->version, "buried");
}

/* ---- a repair without a message ---- */

/* MATERIALIZED: else the version could be taken before the wait for the lock. */
void verify_sql_row(struct strbuf *out, const struct verify_names *n)
{
	strbuf_addf(out, "WITH held AS MATERIALIZED (\n	SELECT * FROM %s q WHERE ", n->relation);
	add_match(out, n->t, "q", "($1::text[])");
	if (n->filter)
		strbuf_addf(out, " AND (%s)", n->filter);
	strbuf_addstr(out, " FOR NO KEY UPDATE\n)\n"
			   "SELECT nextval('pgfanout.version_seq'), pg_current_xact_id(), "
			   "pgfanout.source()");
	for (size_t i = 0; i < n->t->ncolumns; i++) {
		strbuf_addstr(out, ", ");
		add_column(out, "p", n->t->columns[i].name);
	}
	strbuf_addstr(out, "\nFROM held p");
}

void verify_sql_write(struct strbuf *out, const struct table *t)
{
	strbuf_addf(out,
		    "SELECT pgfanout.apply_%d($3::text, ARRAY[$1::bigint], ARRAY[$2::xid8], "
		    "ARRAY[false], ROW(",
		    t->shape);
	for (size_t i = 0; i < t->ncolumns; i++)
		strbuf_addf(out, "%sARRAY[$%zu]::%s", i > 0 ? ", " : "", VERIFY_ROW_COLUMNS + i + 1,
			    table_array_name(t->columns[i].form));
	strbuf_addf(out, ")::pgfanout.columns_%d, NULL, NULL, NULL, $1::bigint, $%zu::bigint)",
		    t->shape, VERIFY_ROW_COLUMNS + t->ncolumns + 1);
}

/* ---- the whole ---- */

void verify_sql_text(struct strbuf *out, enum verify_text which, const struct verify_names *n)
{
	switch (which) {
	case VERIFY_TEXT_ROWS:
	case VERIFY_TEXT_ROWS_NEXT:
		add_originals_of_range(out, n, which == VERIFY_TEXT_ROWS_NEXT);
		return;
	case VERIFY_TEXT_ABSENT:
		add_absent(out, n);
		return;
	case VERIFY_TEXT_ORIGINALS:
		add_originals(out, n);
		return;
	case VERIFY_TEXT_KEYS:
	case VERIFY_TEXT_KEYS_NEXT:
		add_keys(out, n, which == VERIFY_TEXT_KEYS_NEXT);
		return;
	case VERIFY_TEXT_DIFFERENT:
		add_different(out, n);
		return;
	case VERIFY_TEXT_MARKS:
		add_marks(out, n);
		return;
	case VERIFY_TEXT_COPIES:
		add_copies(out, n);
		return;
	case VERIFY_TEXT_LOWER:
		add_lower(out, n);
		return;
	case VERIFY_TEXTS:
		return;
	}
}

void verify_sql_path(struct strbuf *out, const struct table *t)
{
	strbuf_addstr(out, "pg_catalog, ");
	table_sql_quote(out, t->schema);
	for (size_t k = 0; k < t->nkey; k++) {
		/* OPERATOR("schema".=) */
		const char *equal = key_column(t, k)->equal, *from = strchr(equal, '(');
		const char *to = strrchr(equal, '.');

		if (from == NULL || to == NULL || to < from)
			continue;
		strbuf_addstr(out, ", ");
		strbuf_add(out, from + 1, (size_t)(to - from - 1));
	}
	strbuf_addstr(out, ", pg_temp");
}
