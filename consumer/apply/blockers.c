/*
 * blockers.c: see blockers.h.
 *
 *   it is      moves on when
 *   at rest    a batch is under way for LOOK_MS           -> a look
 *   looking    LOOK_MS after a look that was answered, FAILED_MS after one that was not -> a look
 *              a batch is through                         -> at rest
 *
 * A look is one statement on a connection of its own, because the worker's waits itself. The
 * connection is kept for the next look, and closed when the wait is over. If the replica does not
 * answer at all, the look fails within a few seconds and nobody is named; the batch's own deadline
 * finds that out.
 *
 * What was found stays in the status until a batch is through, also while the worker connects again
 * because the lock was not free in time. If the process dies here, nothing is lost.
 */
#include "consumer/apply/blockers.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/clip.h"
#include "common/base/log.h"
#include "common/base/stop.h"
#include "common/pg/db.h"
#include "consumer/apply/sql/replica_blockers.sql.h"

#define LOOK_MS	    2000
#define FAILED_MS   10000
#define QUESTION_MS 1000

struct blockers {
	const char *url;
	const char *replica;
	struct status *status;
	struct pg_conn *conn; /* NULL: none */
	struct mono look_at;  /* not before */
	struct status_blocker found[STATUS_BLOCKERS];
	size_t nfound; /* as it is in the status */
};

struct blockers *blockers_new(const struct consumer_settings *settings, const char *replica,
			      struct status *status)
{
	struct blockers *b = xcalloc(1, sizeof(*b));

	b->replica = replica;
	b->status = status;
	for (size_t i = 0; i < settings->replicas.n; i++)
		if (strcmp(settings->replicas.replica[i].name, replica) == 0)
			b->url = settings->replicas.replica[i].url;
	if (b->url == NULL)
		fatal("there is no replica %s", replica);
	return b;
}

struct blockers *blockers_free(struct blockers *b)
{
	if (b == NULL)
		return NULL;
	db_conn_close(b->conn);
	free(b);
	return NULL;
}

static void tell(const struct blockers *b)
{
	const struct status_blocker *first = &b->found[0];
	char since[CLOCK_TIMESTAMP_MAX] = "";

	if (first->since_us != 0)
		clock_format_wall(first->since_us, since);
	log_warn("a batch waits for a lock that another session of the replica holds",
		 KV_S("replica", b->replica), KV_I("pid", first->pid),
		 KV_S("application", first->application), KV_S("user", first->user),
		 KV_S("state", first->state), KV_S("since", since),
		 KV_I("sessions", (int64_t)b->nfound));
}

/* Shows what was found, and tells it if somebody else holds the lock than before. */
static void take(struct blockers *b, const struct pg_result *r)
{
	int before = b->nfound > 0 ? b->found[0].pid : -1;

	/* A moment between two tries: nobody waits, and still nothing is through. */
	if (db_rows(r) == 0)
		return;

	b->nfound = min_size((size_t)db_rows(r), STATUS_BLOCKERS);
	for (size_t i = 0; i < b->nfound; i++) {
		struct status_blocker *f = &b->found[i];
		f->pid = (int)strtol(db_value(r, (int)i, 0), NULL, 10);
		clip_text(f->application, sizeof(f->application), db_value(r, (int)i, 1));
		clip_text(f->user, sizeof(f->user), db_value(r, (int)i, 2));
		clip_text(f->state, sizeof(f->state), db_value(r, (int)i, 3));
		f->since_us = strtoll(db_value(r, (int)i, 4), NULL, 10);
	}
	status_set_blockers(b->status, b->found, b->nfound);
	if (b->found[0].pid != before)
		tell(b);
}

void blockers_look(struct blockers *b)
{
	static const struct db_options options = {
		.application_name = "pgfanout-consumer look",
		.connect_timeout_s = 2,
		.statement_timeout_ms = QUESTION_MS,
		.lock_timeout_ms = QUESTION_MS,
	};
	struct pg_result *r;
	struct err err;

	b->look_at = mono_add_ms(mono_now(), FAILED_MS);
	if (b->conn == NULL)
		b->conn = db_connect_raw(b->url, &options, &err);
	if (b->conn == NULL)
		return;
	if (db_query(b->conn, sql_replica_blockers, 0, NULL, false,
		     mono_add_ms(mono_now(), QUESTION_MS), &r, &err) != DB_OK) {
		db_conn_close(b->conn);
		b->conn = NULL;
		return;
	}
	take(b, r);
	db_result_clear(r);
	b->look_at = mono_add_ms(mono_now(), LOOK_MS);
}

struct mono blockers_wake(const struct blockers *b, struct mono since)
{
	struct mono due = mono_add_ms(since, LOOK_MS);

	if (mono_is_never(since))
		return MONO_NEVER;
	return mono_reached(b->look_at, due) ? due : b->look_at;
}

void blockers_step(struct blockers *b, struct mono since, struct mono now)
{
	if (!mono_is_never(since) && mono_reached(blockers_wake(b, since), now) &&
	    !stop_requested())
		blockers_look(b);
}

void blockers_over(struct blockers *b)
{
	if (b->conn != NULL) {
		db_conn_close(b->conn);
		b->conn = NULL;
	}
	if (b->nfound == 0)
		return;
	b->nfound = 0;
	status_set_blockers(b->status, b->found, 0);
	log_info("no batch waits for a lock any more", KV_S("replica", b->replica));
}
