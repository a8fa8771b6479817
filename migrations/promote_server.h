/*
 * promote_server.h: one server in a promotion: what it is now, and the steps on it. promote.c decides.
 */
#ifndef PGFANOUT_MIGRATIONS_PROMOTE_SERVER_H
#define PGFANOUT_MIGRATIONS_PROMOTE_SERVER_H

#include "migrations/migrate.h"

struct server {
	struct target t;
	char address[DB_NAME_MAX]; /* of the server reached */
	/* As server_look() has found it last: */
	bool recovery;
	char base
		[SOURCE_MAX]; /* its source without the epoch: that of all who are copies of one server */
	int64_t timeline;
	int64_t epoch_timeline, epoch_number; /* of the epoch that has begun */
	bool fenced, read_only;		      /* both: nothing is left of fencing it */
	int64_t received, replayed;	      /* a standby: how much of the WAL, in bytes */
	int64_t streams; /* the timeline that it receives at the moment; 0: it does not */
};

#define LSN_MAX 24 /* "0/3000148" */
void lsn_text(int64_t lsn, char *buf);

/* "name: what happened", on stdout. */
void server_say(const struct server *s, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* All of these: false with err and s->t.code set. */

/* Connects to the turn-th host of the URL, or the next one that answers, whatever it is; and looks. */
MUST_CHECK bool server_open(struct server *s, const char *name, const char *url, unsigned turn,
			    struct err *err);
void server_close(struct server *s);
MUST_CHECK bool server_look(struct server *s, struct err *err);

/* So long a server or a replica may take for an answer: one that hangs must not hold up a promotion. Longer than a wait for
 * a lock. */
#define SERVER_ANSWER_MS 15000

/* Whether we may fence it, or promote it. Changes nothing. */
MUST_CHECK bool server_may_fence(struct server *s, struct err *err);
/* Of a primary: nothing waits there that could be committed behind a fence. */
MUST_CHECK bool server_none_prepared(struct server *s, struct err *err);
MUST_CHECK bool server_may_promote(struct server *s, struct err *err);
/* Until the session ends nobody else promotes a standby and takes notice of this server. */
MUST_CHECK bool server_lock(struct server *s, struct err *err);

/* The place up to which all that is committed is on its disk. */
MUST_CHECK bool server_flushed(struct server *s, int64_t *ret_lsn, struct err *err);
/* No table that is registered can be written any more, no other one by who does not insist, and all sessions are
 * ended. *ret_lsn is the place behind everything that was committed before. Again: the same. */
MUST_CHECK bool server_fence(struct server *s, int64_t *ret_lsn, struct err *err);

/* Returns once it takes writes; also if somebody else has promoted it. */
MUST_CHECK bool server_promote(struct server *s, struct err *err);
/* Begins the epoch where it has not begun, and what may have been left of an earlier fence is taken back. */
MUST_CHECK bool server_lead(struct server *s, char *ret_source, char *ret_before, struct err *err);
/* Says so if commits hang on it, since no standby that they wait for follows it. */
void server_say_waits(struct server *s);

#endif
