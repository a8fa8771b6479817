/*
 * altered.c: see altered.h. If the process dies, the next API that asks goes on: what is to be seen to is in
 * the primary's catalog.
 */
#include "api/pool/altered.h"

#include <stdlib.h>
#include <string.h>

#include "api/pool/sql/primary_notice.sql.h"
#include "common/base/clip.h"
#include "common/base/log.h"
#include "common/pg/db.h"

#define ANSWER_MS 60000

static const struct db_statement statement = { "notice", sql_primary_notice, 0, NULL };

struct altered {
	struct primary *primary;
	int stop_fd;
	unsigned heard;	 /* primary_moved() */
	struct db *db;	 /* NULL: none */
	char error[256]; /* the last one, which is in the log; "": there was none */
};

struct altered *altered_new(struct primary *primary, int stop_fd)
{
	struct altered *a = xcalloc(1, sizeof(*a));

	a->primary = primary;
	a->stop_fd = stop_fd;
	return a;
}

struct altered *altered_free(struct altered *a)
{
	if (a == NULL)
		return NULL;
	db_close(a->db);
	free(a);
	return NULL;
}

static void on_answer(void *arg, enum db_outcome outcome, const struct pg_result *r,
		      const struct err *err)
{
	struct altered *a = arg;
	char text[sizeof(a->error)];

	(void)r;
	clip_text(text, sizeof(text), outcome == DB_OK ? "" : err->text);
	/* Whether the primary is there the connector says. */
	if (outcome != DB_OK && outcome != DB_LOST && strcmp(a->error, text) != 0)
		log_warn("tables that have been altered could not be seen to; trying again",
			 KV_S("error", err->text));
	memcpy(a->error, text, sizeof(text));
}

void altered_step(struct altered *a)
{
	const struct db_options opt = { .application_name = "pgfanout-api tables",
					.statement_timeout_ms = ANSWER_MS,
					.stop_fd = a->stop_fd };
	struct mono now = mono_now();
	struct err ignored;

	if (primary_moved(a->primary, &a->heard)) {
		db_close(a->db);
		a->db = NULL;
	}
	if (a->db == NULL)
		a->db = primary_open(a->primary, &opt, &statement, 1, &ignored);
	if (a->db == NULL)
		return;
	db_io(a->db);
	db_tick(a->db, now);
	/* What cannot be sent is lost with its connection. */
	if (db_alive(a->db) && db_in_flight(a->db) == 0)
		(void)!db_send(a->db, 0, NULL, false, mono_add_ms(now, ANSWER_MS), on_answer, a,
			       &ignored);
	if (db_alive(a->db))
		db_io(a->db);
	if (!db_alive(a->db)) {
		db_close(a->db);
		a->db = NULL;
	}
}
