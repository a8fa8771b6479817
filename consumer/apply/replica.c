/*
 * replica.c: see replica.h. Worker threads, each with its own connection.
 */
#include "consumer/apply/replica.h"

#include <stdlib.h>
#include <string.h>

#include "common/pg/schema.h"
#include "consumer/apply/batch.h"
#include "common/base/clip.h"

#include "consumer/apply/sql/replica_declared.sql.h"
#include "consumer/apply/sql/record_wrong.sql.h"
#include "consumer/apply/sql/replica_left_out.sql.h"
#include "consumer/apply/sql/replica_mark.sql.h"
#include "consumer/apply/sql/replica_state.sql.h"
#include "consumer/apply/sql/replica_streams.sql.h"
#include "consumer/apply/sql/replica_waiting.sql.h"
#include "consumer/apply/sql/replica_wrong.sql.h"
#include "consumer/apply/sql/waiting_dead.sql.h"
#include "consumer/apply/sql/waiting_remove.sql.h"
#include "consumer/apply/sql/waiting_settle.sql.h"

#define CONNECT_TIMEOUT_S   3
#define LOCK_TIMEOUT_MS	    5000
#define QUESTION_TIMEOUT_MS 8000 /* a little more than a lock may take */

static const struct db_statement statements[] = {
	[REPLICA_STATE] = { "replica_state", sql_replica_state, 1, NULL },
	[REPLICA_MARK] = { "replica_mark", sql_replica_mark, 2, NULL },
	[REPLICA_DECLARED] = { "replica_declared", sql_replica_declared, 1, NULL },
	[REPLICA_WRONG] = { "replica_wrong", sql_replica_wrong, 1, NULL },
	[REPLICA_LEFT_OUT] = { "left_out", sql_replica_left_out, 1, NULL },
	[REPLICA_STREAMS] = { "streams", sql_replica_streams, 0, NULL },
	[REPLICA_WAITING_SETTLE] = { "waiting_settle", sql_waiting_settle, 4, NULL },
	[REPLICA_WAITING_DEAD] = { "waiting_dead", sql_waiting_dead, 2, NULL },
	[REPLICA_WAITING_REMOVE] = { "waiting_remove", sql_waiting_remove, 1, NULL },
	[REPLICA_RECORD_WRONG] = { "record_wrong", sql_record_wrong, 7, NULL },
};

struct db *replica_open(const struct consumer_settings *settings,
			const struct replica_setting *replica, const struct stream *stream,
			struct tables *tables, enum db_outcome *ret_outcome, struct err *err)
{
	const int64_t timeout_ms = settings->apply_timeout_ms;
	const struct db_options options = {
		.application_name = "pgfanout-consumer",
		.connect_timeout_s = CONNECT_TIMEOUT_S,
		.statement_timeout_ms = timeout_ms,
		.lock_timeout_ms = timeout_ms < LOCK_TIMEOUT_MS ? timeout_ms : LOCK_TIMEOUT_MS,
		/* For the functions that apply changes, which look rows up by their keys. As
		 * settings of their own they would cost every small batch more than its INSERT. */
		.guc = "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off"
		       " -c enable_material=off",
	};

	err->sqlstate[0] = '\0';
	/* The check wants a plain connection, and comes first: preparing would only say that some
	 * function is missing. */
	struct pg_conn *plain = db_connect_raw(replica->url, &options, err);
	if (plain == NULL) {
		*ret_outcome = sqlstate_outcome(err->sqlstate);
		return NULL;
	}
	*ret_outcome = db_check_schema(plain, replica->name, SCHEMA_REPLICA, err);
	if (*ret_outcome == DB_OK)
		*ret_outcome = table_bring_stream(plain, stream, err);
	if (*ret_outcome == DB_OK)
		*ret_outcome = tables_read(tables, plain, stream, err);
	db_conn_close(plain);
	if (*ret_outcome != DB_OK)
		return NULL;
	struct db *db = db_open(replica->url, &options, statements, ARRAY_SIZE(statements), err);
	if (db == NULL)
		*ret_outcome = sqlstate_outcome(err->sqlstate);
	else
		tables_prepare(tables, db);
	return db;
}

/* ---- tables ---- */

static enum db_outcome run(struct pg_conn *c, const char *sql, struct err *err)
{
	return db_query(c, sql, 0, NULL, false, mono_add_ms(mono_now(), QUESTION_TIMEOUT_MS), NULL,
			err);
}

struct pg_conn *replica_open_to_bring(const struct consumer_settings *settings,
				      const struct replica_setting *replica, struct err *err)
{
	const struct db_options options = {
		.application_name = "pgfanout-consumer",
		.connect_timeout_s = CONNECT_TIMEOUT_S,
		.statement_timeout_ms = settings->apply_timeout_ms,
		.lock_timeout_ms = LOCK_TIMEOUT_MS,
	};
	return db_connect_raw(replica->url, &options, err);
}

enum db_outcome replica_bring(struct pg_conn *c, const struct replica_setting *replica,
			      const struct stream *stream, int shape, const char *description,
			      const char *leaves, enum table_brought *ret, struct err *err)
{
	/* One at a time: pgfanout-migrate, and the workers of other streams. */
	enum db_outcome outcome = run(c, "BEGIN", err);
	if (outcome == DB_OK)
		outcome = run(c, "SELECT pg_advisory_xact_lock(1885824609, 4)", err);
	if (outcome == DB_OK && leaves != NULL)
		outcome = table_leave(c, stream, shape, description, leaves, ret, err);
	else if (outcome == DB_OK)
		outcome = table_bring(c, replica->name, stream, shape, description, ret, err);
	if (outcome == DB_OK)
		outcome = run(c, "COMMIT", err);
	return outcome;
}

enum db_outcome replica_bring_waiting(const struct consumer_settings *settings,
				      const struct replica_setting *replica,
				      const struct stream *stream, size_t *ret_brought,
				      struct err *err)
{
	const struct db_param params[] = { DB_TEXT(stream->name) };
	struct pg_conn *c = replica_open_to_bring(settings, replica, err);
	struct pg_result *r = NULL;
	enum table_brought how;

	*ret_brought = 0;
	if (c == NULL)
		return sqlstate_outcome(err->sqlstate);
	enum db_outcome outcome = db_query(c, sql_replica_waiting, 1, params, false,
					   mono_add_ms(mono_now(), QUESTION_TIMEOUT_MS), &r, err);
	for (int i = 0; outcome == DB_OK && i < db_rows(r); i++) {
		outcome = replica_bring(c, replica, stream,
					(int)strtol(db_value(r, i, 0), NULL, 10), db_value(r, i, 1),
					NULL, &how, err);
		*ret_brought += outcome == DB_OK && how != TABLE_WAITS;
	}
	db_result_clear(r);
	db_conn_close(c);
	return outcome;
}

/* ---- questions ---- */

struct question {
	enum db_outcome outcome;
	struct err *err;
	void (*answer)(void *arg, const struct pg_result *r);
	void *arg;
};

static void on_answer(void *arg, enum db_outcome outcome, const struct pg_result *r,
		      const struct err *err)
{
	struct question *q = arg;

	q->outcome = outcome;
	if (outcome != DB_OK)
		*q->err = *err;
	else if (q->answer != NULL)
		q->answer(q->arg, r);
}

/* The connection is idle before and after, or dead. */
static enum db_outcome ask(struct db *db, size_t statement, const struct db_param *params,
			   struct question *q)
{
	struct mono deadline = mono_add_ms(mono_now(), QUESTION_TIMEOUT_MS);

	q->outcome = DB_LOST;
	if (!db_send(db, statement, params, false, deadline, on_answer, q, q->err))
		return DB_LOST;
	/* The unit's own deadline ends this: it is always answered before db_drain() returns. */
	if (!db_drain(db, MONO_NEVER))
		return DB_LOST;
	return q->outcome;
}

enum db_outcome replica_try(struct db *db, const struct tables *tables, struct err *err)
{
	struct question q = { .err = err };
	struct batch empty;
	struct batch_params p = { 0 };
	struct db_param params[TABLE_ARRIVE_PARAMS];

	batch_init(&empty);
	batch_arrivals_build(&p, &empty, BATCH_NO_ARRIVALS, params);
	enum db_outcome outcome = ask(db, tables->arrive, params, &q);
	batch_params_clear(&p);
	batch_clear(&empty);
	return outcome;
}

struct state_answer {
	bool found;
	struct replica_state state;
};

bool replica_take_state(const struct pg_result *r, struct replica_state *ret)
{
	if (db_rows(r) != 1)
		return false;
	ret->needs_reset = strcmp(db_value(r, 0, 0), "1") == 0;
	clip_text(ret->reason, sizeof(ret->reason), db_value(r, 0, 1));
	ret->may_reset = strcmp(db_value(r, 0, 2), "1") == 0;
	ret->declared = strcmp(db_value(r, 0, 3), "1") == 0;
	clip_text(ret->due, sizeof(ret->due), db_value(r, 0, 4));
	ret->unverified = strcmp(db_value(r, 0, 5), "1") == 0;
	return true;
}

bool replica_state_due(const struct replica_state *s)
{
	return s->may_reset || strlen(s->due) > 2;
}

static void on_state(void *arg, const struct pg_result *r)
{
	struct state_answer *a = arg;

	a->found = replica_take_state(r, &a->state);
}

enum db_outcome replica_read_state(struct db *db, const struct stream *stream,
				   struct replica_state *ret, struct err *err)
{
	const struct db_param params[] = { DB_TEXT(stream->text) };
	struct state_answer answer = { 0 };
	struct question q = { .err = err, .answer = on_state, .arg = &answer };

	enum db_outcome outcome = ask(db, REPLICA_STATE, params, &q);
	if (outcome != DB_OK)
		return outcome;
	if (!answer.found) {
		err_set(err, "table pgfanout.streams has no such stream: run pgfanout-migrate up");
		return DB_SCHEMA;
	}
	*ret = answer.state;
	return DB_OK;
}

enum db_outcome replica_note_declared(struct db *db, const struct stream *stream, struct err *err)
{
	const struct db_param params[] = { DB_TEXT(stream->text) };
	struct question q = { .err = err };

	return ask(db, REPLICA_DECLARED, params, &q);
}

enum db_outcome replica_mark(struct db *db, const struct stream *stream, const char *reason,
			     struct err *err)
{
	struct question q = { .err = err };
	const struct db_param params[] = { DB_TEXT(stream->text), DB_TEXT(reason) };

	return ask(db, REPLICA_MARK, params, &q);
}
