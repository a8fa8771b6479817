/*
 * tables.c: see tables.h. Main thread only.
 *
 * Registering is safe to be run twice, and from two places at once: who comes second finds the table
 * registered. If the process dies, what is registered by then stays so, and the next run goes on.
 */
#include "migrations/tables.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clip.h"
#include "common/base/log.h"
#include "common/base/stop.h"
#include "common/base/strbuf.h"
#include "common/json/report.h"
#include "common/settings/config.h"
#include "common/wire/table_names.h"

#include "migrations/sql/tables_primary.sql.h"
#include "migrations/sql/tables_replica.sql.h"
#include "migrations/sql/tables_unlisted.sql.h"
#include "migrations/sql/tables_wanted.sql.h"

/* ---- the setting ---- */

static void register_all(struct target *t, const struct pg_result *wanted)
{
	struct err err;

	for (int i = 0; i < db_rows(wanted) && t->conn != NULL && !stop_requested(); i++) {
		const char *name = db_value(wanted, i, 0);

		if (target_query(t, db_value(wanted, i, 1), 0, NULL, NULL, &err)) {
			printf("%s: %s: registered\n", t->name, name);
			fflush(stdout);
		} else {
			log_error("a table of TABLES is not registered", KV_S("table", name),
				  KV_S("error", err.text));
		}
	}
}

static void warn(struct target *t, const char *sql, int nparams, const struct db_param *params,
		 const char *sentence, const char *key)
{
	struct pg_result *r = NULL;
	struct err err;

	if (t->conn == NULL)
		return;
	if (!target_query(t, sql, nparams, params, &r, &err)) {
		log_error("failed", KV_S("database", t->name), KV_S("error", err.text));
		return;
	}
	for (int i = 0; i < db_rows(r); i++)
		log_warn(sentence, KV_S("table", db_value(r, i, 0)), KV_S(key, db_value(r, i, 1)));
	db_result_clear(r);
}

void tables_register(struct target *t, const char *list)
{
	static const char skipped[] =
		"SELECT relation::regclass, reason FROM pgfanout.skipped WHERE seen IS NOT NULL";
	AUTO_STRBUF names = STRBUF_INIT;
	struct pg_result *wanted = NULL;
	struct err err;

	if (!table_names_array(&names, list, true, &err))
		fatal("TABLES was not checked: %s", err.text);
	const struct db_param params[] = { DB_TEXT(strbuf_str(&names)) };
	if (!target_query(t, sql_tables_wanted, 1, params, &wanted, &err)) {
		log_error("failed", KV_S("database", t->name), KV_S("error", err.text));
		return;
	}
	register_all(t, wanted);
	db_result_clear(wanted);
	warn(t, skipped, 0, NULL, "a table of a schema of TABLES is not registered", "reason");
	warn(t, sql_tables_unlisted, 1, params, "registered, but not listed in TABLES",
	     "to_end_it");
}

/* ---- the command ---- */

/* How far a replica is with a table. */
struct progress {
	const char *state, *why;
	int64_t rows, of; /* -1: not known */
	int64_t wrong;
};

static void print_text(const char *table, const char *stream, const char *database,
		       const struct progress *p)
{
	AUTO_STRBUF state = STRBUF_INIT;

	strbuf_addstr(&state, p->state);
	if (p->rows >= 0)
		strbuf_addf(&state, ", %lld rows", (long long)p->rows);
	if (p->rows >= 0 && p->of > 0)
		strbuf_addf(&state, " of about %lld (%d %%)", (long long)p->of,
			    p->rows >= p->of ? 100 : (int)(p->rows * 100 / p->of));
	if (*p->why != '\0')
		strbuf_addf(&state, ": %s", p->why);
	if (p->wrong > 0)
		strbuf_addf(&state, ", %lld rows are wrong", (long long)p->wrong);
	printf("%-32s %-12s %-16s %s\n", table, stream, database, strbuf_str(&state));
}

static json_t *number_or_null(int64_t n)
{
	return n >= 0 ? json_integer(n) : json_null();
}

static void print_json(const char *table, const char *stream, const char *database,
		       const struct progress *p)
{
	json_t *o = json_pack("{s:o, s:o, s:s, s:s, s:o, s:o, s:o, s:o}", "table",
			      report_text(table), "stream", report_text(stream), "database",
			      database, "state", p->state, "reason", report_text(p->why), "rows",
			      number_or_null(p->rows), "expectedRows",
			      number_or_null(p->rows >= 0 ? p->of : -1), "wrongRows",
			      number_or_null(p->wrong));

	if (o == NULL || json_dumpf(o, stdout, JSON_COMPACT) != 0)
		fatal("out of memory");
	putchar('\n');
	json_decref(o);
}

static const char *after(const char *text, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(text, prefix, n) == 0 ? text + n : NULL;
}

/* Of a row of tables_primary.sql: "capture broken: why". */
static struct progress of_primary(const char *text)
{
	static const char *const with_reason[] = { "capture broken", "not replicated" };
	struct progress p = { .state = text, .why = "", .rows = -1, .of = -1, .wrong = -1 };

	for (size_t i = 0; i < ARRAY_SIZE(with_reason); i++) {
		const char *rest = after(text, with_reason[i]);
		if (rest != NULL) {
			p.state = with_reason[i];
			p.why = rest + strlen(": ");
		}
	}
	return p;
}

static int64_t number(const struct pg_result *r, int row, int col)
{
	return db_is_null(r, row, col) ? -1 : strtoll(db_value(r, row, col), NULL, 10);
}

/* row: of tables_replica.sql; r NULL: it cannot be asked. */
static struct progress of_replica(const struct pg_result *r, int row, int64_t of, const char *error)
{
	if (r == NULL)
		return (struct progress){ "unknown", error, -1, -1, -1 };
	return (struct progress){ db_value(r, row, 0), db_value(r, row, 1), number(r, row, 2), of,
				  number(r, row, 3) };
}

/* NULL: err says why. */
static struct pg_result *ask_replica(struct target *t, const struct pg_result *tables,
				     struct err *err)
{
	AUTO_STRBUF wanted = STRBUF_INIT;
	struct pg_result *r = NULL;

	if (t->conn == NULL) {
		err_set(err, "it cannot be read");
		return NULL;
	}
	strbuf_addch(&wanted, '[');
	for (int i = 0; i < db_rows(tables); i++)
		if (!db_is_null(tables, i, 3))
			strbuf_addf(&wanted, "%s%s", wanted.len > 1 ? "," : "",
				    db_value(tables, i, 3));
	strbuf_addch(&wanted, ']');
	const struct db_param params[] = { DB_TEXT(strbuf_str(&wanted)), DB_TEXT(t->name) };
	if (!target_migrated(t, err) || !target_query(t, sql_tables_replica, 2, params, &r, err)) {
		log_error("failed", KV_S("database", t->name), KV_S("error", err->text));
		return NULL;
	}
	return r;
}

void tables_print(struct target *primary, struct target *replicas, size_t n, bool json)
{
	void (*print)(const char *table, const char *stream, const char *database,
		      const struct progress *p) = json ? print_json : print_text;
	struct pg_result *tables = NULL, *answers[REPLICAS_MAX] = { NULL };
	struct err err = { .text = "" }, why[REPLICAS_MAX];
	int row = 0; /* of the answers: those of replicas know registered tables alone */

	if (primary->conn == NULL)
		return;
	if (!target_migrated(primary, &err) ||
	    !target_query(primary, sql_tables_primary, 0, NULL, &tables, &err)) {
		log_error("failed", KV_S("database", primary->name), KV_S("error", err.text));
		return;
	}
	for (size_t i = 0; i < n; i++)
		answers[i] = ask_replica(&replicas[i], tables, &why[i]);
	if (!json)
		printf("%-32s %-12s %-16s %s\n", "TABLE", "STREAM", "DATABASE", "STATE");
	for (int t = 0; t < db_rows(tables); t++) {
		const char *name = db_value(tables, t, 0), *stream = db_value(tables, t, 1);
		struct progress p = of_primary(db_value(tables, t, 2));

		print(name, stream, primary->name, &p);
		for (size_t i = 0; i < n && !db_is_null(tables, t, 3); i++) {
			p = of_replica(answers[i], row, number(tables, t, 4), why[i].text);
			if (strcmp(p.state, "left out") != 0)
				print(name, stream, replicas[i].name, &p);
		}
		row += !db_is_null(tables, t, 3);
	}
	fflush(stdout);
	for (size_t i = 0; i < n; i++)
		db_result_clear(answers[i]);
	db_result_clear(tables);
}
