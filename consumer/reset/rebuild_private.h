/*
 * rebuild_private.h: one replica's session, which rebuild.c (the loop), rebuild_session.c (the
 * load) and rebuild_finish.c (everything after the load) share. Main thread.
 */
#ifndef PGFANOUT_CONSUMER_RESET_REBUILD_PRIVATE_H
#define PGFANOUT_CONSUMER_RESET_REBUILD_PRIVATE_H

#include <libpq-fe.h>

#include "common/base/strbuf.h"
#include "consumer/reset/feed.h"
#include "consumer/reset/rebuild.h"
#include "consumer/reset/rebuild_table.h"
#include "consumer/reset/rebuild_probe.h"

struct rebuild_step {
	char *what;
	char *sql;
};

struct rebuild_session {
	const struct rebuild_job *job;
	struct rebuild_target *t;
	struct feed *feed;
	size_t reader; /* our number in the feed */
	PGconn *conn;  /* t->conn; NULL when closed */
	bool flushing; /* libpq still has something to send: poll for writing */
	struct probe probe;
	struct mono moved; /* when this session last made progress */
	size_t table;	   /* the one that is loaded, or planned */
	int64_t part_rows; /* ENDING: so many rows the primary has sent of it */
	int64_t counted;   /* so many its server has taken */

	struct rebuild_step *steps;
	size_t nsteps, step;
	struct strbuf first, swap, last; /* of the swap: in this order */
	struct strbuf ids;		 /* of the tables that it has: an array of SQL */
	struct mono swap_until;		 /* no further try after this */
	struct mono resume_at;		 /* PAUSING: the next try */
	char blockers[256];

	bool failed; /* the command in progress has reported an error: reason */
	struct err reason;
};

void session_start(struct rebuild_session *s, const struct rebuild_job *job,
		   struct rebuild_target *t, struct feed *feed, size_t reader);
/* To be called every turn of the loop: writes, reads, keeps deadlines. */
void session_turn(struct rebuild_session *s, short revents);
struct mono session_deadline(const struct rebuild_session *s); /* never: none */

/* Each ends the session and closes the connection; the server rolls back what is not committed. */
void session_done(struct rebuild_session *s);
void session_fail(struct rebuild_session *s, const struct err *err);

/* Sends an SQL text and enters the state that waits for its end; if it cannot send, fails the
 * session. */
void session_send(struct rebuild_session *s, enum rebuild_state state, const char *sql);

/* rebuild_finish.c. The load is complete: t->rows is the server's count. */
void finish_begin(struct rebuild_session *s);
void finish_result(struct rebuild_session *s, const PGresult *r);
/* The command in progress has ended; with an error if s->failed. */
void finish_command_ended(struct rebuild_session *s);
void finish_resume(struct rebuild_session *s); /* PAUSING is over */
void finish_clear(struct rebuild_session *s);

#endif
