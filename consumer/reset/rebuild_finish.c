/*
 * rebuild_finish.c: one replica from the end of the load to the commit: see the states in
 * rebuild.h.
 *
 * The statements come from reset_finish.sql, which is run on the replica after the load. The swap
 * is one message: lock, truncate, drop, rename, commit; savepoint and lock timeout are set before
 * it. Foreign keys are taken off at its begin, and made again, and so checked, at its end. So no reader
 * waits for our network, and a crash of ours cannot fall between lock and commit.
 *
 * While a lock request waits, later readers queue behind it. So it waits for LOCK_WAIT_MS only,
 * lets the readers through for PAUSE_MS and tries again, until swap_ms are over.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clip.h"
#include "common/pg/db.h"
#include "consumer/reset/rebuild_private.h"

#include "consumer/reset/sql/reset_blockers.sql.h"
#include "consumer/reset/sql/reset_record.sql.h"

#define LOCK_WAIT_MS 500
#define PAUSE_MS     1000

static void doing(struct rebuild_session *s, const char *what)
{
	snprintf(s->t->doing, sizeof(s->t->doing), "%s", what);
}

void finish_clear(struct rebuild_session *s)
{
	for (size_t i = 0; i < s->nsteps; i++) {
		free(s->steps[i].what);
		free(s->steps[i].sql);
	}
	free(s->steps);
	s->steps = NULL;
	s->nsteps = 0;
	strbuf_clear(&s->first);
	strbuf_clear(&s->swap);
	strbuf_clear(&s->last);
	strbuf_clear(&s->ids);
}

static void add_step(struct rebuild_session *s, const char *what, const char *sql)
{
	s->steps = xreallocarray(s->steps, s->nsteps + 1, sizeof(*s->steps));
	s->steps[s->nsteps++] = (struct rebuild_step){ .what = xstrdup(what), .sql = xstrdup(sql) };
}

void finish_begin(struct rebuild_session *s)
{
	const struct rebuild_job *job = s->job;
	char rows[32];
	const char *values[] = { job->source, job->snapshot, job->floor,     rows,
				 s->t->due,   job->taken_at, job->published, job->streams,
				 job->before, job->after };

	snprintf(rows, sizeof(rows), "%lld", (long long)s->t->rows);
	doing(s, "writing down the snapshot");
	s->t->state = REBUILD_RECORDING;
	s->failed = false;
	s->moved = mono_now();
	if (!PQsendQueryParams(s->conn, sql_reset_record, ARRAY_SIZE(values), NULL, values, NULL,
			       NULL, 0)) {
		struct err err;

		db_explain(s->conn, NULL, &err);
		session_fail(s, &err);
		return;
	}
	s->flushing = true; /* the loop flushes */
}

static void send_step(struct rebuild_session *s)
{
	doing(s, s->steps[s->step].what);
	session_send(s, REBUILD_FINISHING, s->steps[s->step].sql);
}

static void send_swap(struct rebuild_session *s)
{
	doing(s, "swapping the new table in");
	session_send(s, REBUILD_SWAPPING, strbuf_str(&s->first));
}

/* Past those that this replica is not to have. False: no table is left. */
static bool skip_tables(struct rebuild_session *s)
{
	while (s->table < s->job->ntables && s->t->here[s->table].local == NULL)
		s->table++;
	return s->table < s->job->ntables;
}

/* All are planned: s->first becomes the whole swap. */
static void end_plans(struct rebuild_session *s)
{
	AUTO_STRBUF text = STRBUF_INIT;

	strbuf_addstr(&s->first, strbuf_str(&s->swap));
	if (s->last.len > 0) /* what is checked at the end of a transaction would be in their way */
		strbuf_addf(&s->first, "SET CONSTRAINTS ALL IMMEDIATE; %s", strbuf_str(&s->last));
	strbuf_addstr(&s->first, "COMMIT");
	strbuf_addf(&text, "SET LOCAL lock_timeout = %d; SAVEPOINT before_swap", LOCK_WAIT_MS);
	add_step(s, "swapping the new table in", strbuf_str(&text));
}

/* The rows of reset_finish.sql: part, number, what, statement. */
static void take_plan(struct rebuild_session *s, const PGresult *r)
{
	const struct rebuild_here *here = &s->t->here[s->table];

	if (here->is_altered)
		strbuf_addstr(&s->swap, here->before);
	for (int i = 0; i < PQntuples(r); i++) {
		const char *part = PQgetvalue(r, i, 0), *sql = PQgetvalue(r, i, 3);

		if (strcmp(part, "step") == 0)
			add_step(s, PQgetvalue(r, i, 2), sql);
		else
			strbuf_addf(strcmp(part, "first") == 0	? &s->first
				    : strcmp(part, "last") == 0 ? &s->last
								: &s->swap,
				    "%s; ", sql);
	}
	if (here->is_altered)
		strbuf_addstr(&s->swap, here->after);
	s->table++;
	if (!skip_tables(s))
		end_plans(s);
}

void finish_result(struct rebuild_session *s, const PGresult *r)
{
	if (PQresultStatus(r) != PGRES_TUPLES_OK)
		return;
	if (s->t->state == REBUILD_PLANNING)
		take_plan(s, r);
	else if (s->t->state == REBUILD_REWINDING)
		clip_text(s->blockers, sizeof(s->blockers), PQgetvalue(r, 0, 0));
}

/* The lock was not granted in time, or we were the victim of a deadlock. */
static bool swap_may_be_tried_again(const struct err *err)
{
	return strcmp(err->sqlstate, "55P03") == 0 || strcmp(err->sqlstate, "40P01") == 0;
}

static void rewind_swap(struct rebuild_session *s)
{
	AUTO_STRBUF sql = STRBUF_INIT;

	strbuf_addstr(&sql, "ROLLBACK TO SAVEPOINT before_swap; ");
	strbuf_addstr(&sql, sql_reset_blockers);
	session_send(s, REBUILD_REWINDING, strbuf_str(&sql));
}

static void pause_or_give_up(struct rebuild_session *s)
{
	struct mono now = mono_now();
	struct err err;

	if (mono_reached(s->swap_until, now)) {
		err_set(&err,
			"a table was in use all the %lld s (RESET_SWAP_TIMEOUT_MS) in which it should have been replaced: %s",
			(long long)(s->job->swap_ms / 1000),
			s->blockers[0] == '\0' ? "by whom could not be seen" : s->blockers);
		session_fail(s, &err);
		return;
	}
	snprintf(s->t->doing, sizeof(s->t->doing), "waiting for readers of the old table: %.100s",
		 s->blockers);
	s->resume_at = mono_add_ms(now, PAUSE_MS);
	s->t->state = REBUILD_PAUSING;
}

void finish_resume(struct rebuild_session *s)
{
	send_swap(s);
}

/* What remains to be done for s->table. */
static void ask_plan(struct rebuild_session *s)
{
	char id[16];
	const struct rebuild_here *here = &s->t->here[s->table];
	const char *values[] = { id, here->difference, strbuf_str(&s->ids),
				 here->is_altered ? "true" : "false" };

	snprintf(id, sizeof(id), "%d", s->job->tables[s->table].id);
	s->t->state = REBUILD_PLANNING;
	s->failed = false;
	s->moved = mono_now();
	if (PQsendQueryPrepared(s->conn, RESET_FINISH, 4, values, NULL, NULL, 0)) {
		s->flushing = true;
		return;
	}
	struct err err;
	db_explain(s->conn, NULL, &err);
	session_fail(s, &err);
}

/* All locks first, of tombstones before their tables: the order in which others read the two, so they
 * wait, but do not deadlock. Readers go on with a table that is only brought up to date. */
static void add_locks(struct rebuild_session *s, bool replaced)
{
	size_t n = 0;

	for (size_t i = 0; i < s->job->ntables; i++) {
		const struct rebuild_here *here = &s->t->here[i];

		if (here->local == NULL ||
		    (here->difference == NULL || here->is_altered) != replaced)
			continue;
		strbuf_addstr(&s->first, n++ > 0 ? ", " : "LOCK TABLE ");
		if (replaced)
			strbuf_addf(&s->first, "pgfanout.tombstones_%d, ", s->job->tables[i].id);
		strbuf_addstr(&s->first, here->local);
	}
	if (n > 0)
		strbuf_addstr(&s->first, replaced ? " IN ACCESS EXCLUSIVE MODE; "
						  : " IN SHARE ROW EXCLUSIVE MODE; ");
}

static void begin_plans(struct rebuild_session *s)
{
	s->table = 0;
	strbuf_reset(&s->first);
	add_locks(s, true);
	add_locks(s, false);
	strbuf_addch(&s->ids, '{');
	for (size_t i = 0; i < s->job->ntables; i++)
		if (s->t->here[i].local != NULL)
			strbuf_addf(&s->ids, "%s%d", s->ids.len > 1 ? "," : "",
				    s->job->tables[i].id);
	strbuf_addch(&s->ids, '}');
	if (skip_tables(s)) {
		ask_plan(s);
		return;
	}
	end_plans(s); /* it is to have none of them */
	send_step(s);
}

static void next_plan(struct rebuild_session *s)
{
	if (s->table < s->job->ntables)
		ask_plan(s);
	else
		send_step(s);
}

static void next_step(struct rebuild_session *s)
{
	if (++s->step < s->nsteps) {
		send_step(s);
		return;
	}
	s->swap_until = mono_add_ms(mono_now(), s->job->swap_ms);
	send_swap(s);
}

/* What follows a command that has ended without an error in this state. */
static void (*const follow[])(struct rebuild_session *s) = {
	[REBUILD_RECORDING] = begin_plans,	[REBUILD_PLANNING] = next_plan,
	[REBUILD_FINISHING] = next_step,	[REBUILD_SWAPPING] = session_done,
	[REBUILD_REWINDING] = pause_or_give_up,
};

void finish_command_ended(struct rebuild_session *s)
{
	enum rebuild_state state = s->t->state;

	if (s->failed && state == REBUILD_SWAPPING && swap_may_be_tried_again(&s->reason)) {
		rewind_swap(s);
	} else if (s->failed) {
		if (s->t->doing[0] != '\0')
			err_prefix(&s->reason, "%s", s->t->doing);
		session_fail(s, &s->reason);
	} else {
		if (state >= ARRAY_SIZE(follow) || follow[state] == NULL)
			fatal("reset: a command ended in state %d", (int)state);
		follow[state](s);
	}
}
