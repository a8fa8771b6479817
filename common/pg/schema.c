/*
 * schema.c: compares a database's newest registered migration with what the program needs.
 *
 * A database that is newer is refused as well: what the next version changed in it, this version
 * cannot know. Any thread.
 */
#include "common/pg/schema.h"

#include <stdlib.h>
#include <string.h>

#define CHECK_TIMEOUT_MS 5000

enum db_outcome db_check_schema(struct pg_conn *c, const char *side, int needed, struct err *err)
{
	static const char sql[] =
		"SELECT coalesce(max(number), 0), pg_is_in_recovery() FROM pgfanout_migrations";
	char name[DB_NAME_MAX];
	struct pg_result *r = NULL;
	int newest = 0;
	bool standby = false;

	db_conn_name(c, name, sizeof(name));
	enum db_outcome outcome = db_query(c, sql, 0, NULL, false,
					   mono_add_ms(mono_now(), CHECK_TIMEOUT_MS), &r, err);
	/* No such table: never migrated. */
	if (outcome != DB_OK && strcmp(err->sqlstate, "42P01") != 0) {
		err_prefix(err, "%s (%s): its migrations cannot be read", side, name);
		return outcome;
	}
	if (outcome == DB_OK) {
		newest = (int)strtol(db_value(r, 0, 0), NULL, 10);
		standby = db_value(r, 0, 1)[0] == 't';
	}
	db_result_clear(r);
	if (standby && strcmp(side, "primary") != 0) {
		err_set(err,
			"%s (%s) is a standby, and a replica takes writes: name it STANDBY_n_URL, "
			"for pgfanout-api alone",
			side, name);
		return DB_SCHEMA;
	}

	if (newest == needed)
		return DB_OK;
	if (newest < needed)
		err_set(err, "%s (%s): migration %d of %d is missing: run pgfanout-migrate up",
			side, name, newest + 1, needed);
	else
		err_set(err,
			"%s (%s): has migration %d, this program knows %d: install the newer "
			"version",
			side, name, newest, needed);
	return DB_SCHEMA;
}
