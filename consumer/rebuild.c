/*
 * rebuild.c: the loop of a reset, and the load: see rebuild.h.
 *
 * Who owns what: the job's caller owns targets; this file owns the connections from the call on, and the feed between them. One
 * thread. No call here blocks but poll(), whose deadline is the next duty.
 *
 * What happens when this process dies (kill -9) between any two lines: its sessions end. Each replica's server notices within a
 * second, also in the middle of an index build (client_connection_check_interval), rolls its transaction back and frees the
 * advisory lock. If the message with the swap was on its way, the server runs it as a whole, commit included, or rolls
 * back. Nothing of a half reset stays behind: the next run begins anew.
 */
#include "consumer/rebuild.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/config.h"
#include "common/db.h"
#include "common/stop.h"
#include "consumer/feed.h"
#include "consumer/rebuild_private.h"

#include "consumer/sql/reset_copy_in.sql.h"
#include "consumer/sql/reset_copy_out.sql.h"

/* 4 MiB between the primary and the slowest replica. A chunk is one message and, mostly, one system call. */
#define FEED_CHUNKS 32
#define FEED_CHUNK_BYTES (128 * 1024)
/* Chunks read from the primary before the replicas get their turn. */
#define READ_TURN 4
#define TICK_MS 200
/* When a stop was asked for, a swap that is on its way may still answer for so long. */
#define STOP_SWAP_MS 3000

enum source_state {
	SOURCE_OPENING, /* COPY was sent -> its first result */
	SOURCE_READING, /* rows come, as long as the feed has room -> all rows, confirmed by the server */
	SOURCE_CLOSED,	/* complete, or failed: connection closed */
};

struct source {
	PGconn *conn;
	enum source_state state;
	bool flushing;
	bool wanted; /* the feed had room when the loop last looked: only then is silence a stall */
	struct mono moved;
	int64_t rows; /* as the server counted them, once all are there */
};

struct rebuild {
	struct rebuild_job *job;
	struct source source;
	struct feed *feed;
	struct rebuild_session sessions[REPLICAS_MAX];
	bool primary_lost;
	struct err primary_err;
	bool stopping;
};

static bool state_ended(enum rebuild_state s)
{
	return s == REBUILD_DONE || s == REBUILD_FAILED;
}

/* ---- sessions ---- */

static void session_close(struct rebuild_session *s)
{
	db_conn_close(s->conn);
	s->conn = NULL;
	s->t->conn = NULL;
	s->t->ended = mono_now();
	s->flushing = false;
	finish_clear(s);
}

void session_done(struct rebuild_session *s)
{
	session_close(s);
	s->t->state = REBUILD_DONE;
	s->t->doing[0] = '\0';
}

void session_fail(struct rebuild_session *s, const struct err *err)
{
	s->t->err = *err;
	/* The server drops the transaction when the connection ends, but says in its log what it thinks of that. */
	if (s->t->state == REBUILD_LOADING)
		(void)!PQputCopyEnd(s->conn, err->text);
	session_close(s);
	s->t->state = REBUILD_FAILED;
	s->t->doing[0] = '\0';
}

static void session_fail_lost(struct rebuild_session *s)
{
	struct err err;

	db_explain(s->conn, NULL, &err);
	if (s->t->state == REBUILD_SWAPPING)
		err_prefix(&err, "the connection was lost in the middle of the swap: the replica has either the old table or the new one, "
				 "complete; run the reset again");
	session_fail(s, &err);
}

static void session_flush(struct rebuild_session *s)
{
	int left = PQflush(s->conn);

	if (left < 0) {
		session_fail_lost(s);
		return;
	}
	s->flushing = left == 1;
}

void session_send(struct rebuild_session *s, enum rebuild_state state, const char *sql)
{
	s->t->state = state;
	s->failed = false;
	s->moved = mono_now();
	if (!PQsendQuery(s->conn, sql))
		session_fail_lost(s);
	else
		session_flush(s);
}

/* Writes as much of the feed as the replica takes without waiting. libpq keeps what the socket refuses in memory, so a
 * chunk is handed over only when the last one has left completely. */
static void session_feed(struct rebuild *r, size_t i)
{
	struct rebuild_session *s = &r->sessions[i];
	struct feed_chunk chunk;

	while (s->t->state == REBUILD_LOADING && !s->flushing && feed_peek(r->feed, i, &chunk)) {
		if (PQputCopyData(s->conn, chunk.data, (int)chunk.len) != 1) {
			session_fail_lost(s);
			return;
		}
		feed_next(r->feed, i);
		s->t->rows = chunk.rows;
		s->t->bytes = chunk.bytes;
		s->moved = mono_now();
		session_flush(s);
	}
	if (s->t->state == REBUILD_LOADING && !s->flushing && feed_at_end(r->feed, i)) {
		s->t->state = REBUILD_ENDING;
		s->moved = mono_now();
		if (PQputCopyEnd(s->conn, NULL) != 1)
			session_fail_lost(s);
		else
			session_flush(s);
	}
}

/* The load's own results; everything later is rebuild_finish.c's. */
static void load_command_ended(struct rebuild *r, struct rebuild_session *s)
{
	struct err err;

	if (s->failed) {
		session_fail(s, &s->reason);
	} else if (s->t->state == REBUILD_OPENING) {
		err_set(&err, "the server did not start the COPY");
		session_fail(s, &err);
	} else if (s->t->rows != r->source.rows) {
		err_set(&err, "the server counted %lld rows, the primary sent %lld", (long long)s->t->rows,
			(long long)r->source.rows);
		session_fail(s, &err);
	} else {
		finish_begin(s);
	}
}

/* Takes every result that is complete. */
static void session_results(struct rebuild *r, struct rebuild_session *s)
{
	while (!state_ended(s->t->state) && s->t->state != REBUILD_LOADING && !PQisBusy(s->conn)) {
		PGresult *res = PQgetResult(s->conn);
		ExecStatusType status = PQresultStatus(res);

		if (res == NULL) {
			if (PQstatus(s->conn) != CONNECTION_OK && !s->failed)
				session_fail_lost(s);
			else if (s->t->state == REBUILD_PAUSING)
				return; /* nothing is in progress */
			else if (s->t->state == REBUILD_OPENING || s->t->state == REBUILD_ENDING)
				load_command_ended(r, s);
			else
				finish_command_ended(s);
			continue;
		}
		s->moved = mono_now();
		if (status == PGRES_COPY_IN && s->t->state == REBUILD_OPENING) {
			s->t->state = REBUILD_LOADING;
		} else if (status == PGRES_COPY_IN) {
			/* Never ours; leave the state in which no command can follow. */
			PQclear(res);
			session_fail_lost(s);
			return;
		} else if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) {
			if (s->t->state == REBUILD_ENDING)
				s->t->rows = strtoll(PQcmdTuples(res), NULL, 10);
			else
				finish_result(s, res);
		} else if (!s->failed) {
			s->failed = true;
			db_explain(s->conn, res, &s->reason);
		}
		PQclear(res);
	}
}

static void session_readable(struct rebuild *r, struct rebuild_session *s)
{
	if (!PQconsumeInput(s->conn)) {
		session_fail_lost(s);
		return;
	}
	if (s->t->state == REBUILD_LOADING) {
		/* A server that takes data says nothing, unless it has stopped taking it. libpq shows the error only to
		 * one who has ended the copy. */
		s->t->state = REBUILD_ENDING;
		s->moved = mono_now();
		if (PQputCopyEnd(s->conn, "the server reported an error") != 1) {
			session_fail_lost(s);
			return;
		}
		session_flush(s);
	}
	session_results(r, s);
}

/* Building an index or collecting statistics may take any time; everything else has to get on. */
static struct mono session_deadline(const struct rebuild *r, const struct rebuild_session *s)
{
	switch (s->t->state) {
	case REBUILD_DONE:
	case REBUILD_FAILED:
		return (struct mono){0};
	case REBUILD_FINISHING:
		return s->flushing ? mono_add_ms(s->moved, r->job->stall_ms) : (struct mono){0};
	case REBUILD_PAUSING:
		return s->resume_at;
	case REBUILD_LOADING: /* one that waits for data from the primary is not late */
		return s->flushing ? mono_add_ms(s->moved, r->job->stall_ms) : (struct mono){0};
	case REBUILD_SWAPPING:
		return mono_add_ms(s->moved, r->stopping ? STOP_SWAP_MS : r->job->stall_ms);
	default:
		return mono_add_ms(s->moved, r->job->stall_ms);
	}
}

static void session_tick(struct rebuild *r, struct rebuild_session *s, struct mono now)
{
	struct mono deadline = session_deadline(r, s);
	struct err err;

	if (deadline.us == 0 || !mono_reached(deadline, now))
		return;
	if (s->t->state == REBUILD_PAUSING) {
		finish_resume(s);
		return;
	}
	err_set(&err, "no progress for %lld ms%s%s: the replica hangs, or RESET_STALL_TIMEOUT_MS is too short for it",
		(long long)(mono_diff_us(now, s->moved) / 1000), s->t->doing[0] == '\0' ? "" : " while ", s->t->doing);
	session_fail(s, &err);
}

/* ---- the primary ---- */

static void source_fail(struct rebuild *r, const char *why)
{
	struct err err;

	if (why != NULL)
		err_set(&r->primary_err, "%s", why);
	else
		db_explain(r->source.conn, NULL, &r->primary_err);
	r->primary_lost = true;
	db_conn_close(r->source.conn);
	r->source.conn = NULL;
	r->source.state = SOURCE_CLOSED;
	err_set(&err, "the primary failed: %s", r->primary_err.text);
	for (size_t i = 0; i < r->job->n; i++) {
		if (!state_ended(r->job->targets[i].state))
			session_fail(&r->sessions[i], &err);
	}
}

static void source_fail_result(struct rebuild *r, PGresult *res)
{
	struct err err;

	db_explain(r->source.conn, res, &err);
	PQclear(res);
	source_fail(r, err.text);
}

/* PQgetCopyData said -1: whether the rows were all only the result of the COPY tells. */
static void source_ended(struct rebuild *r)
{
	PGresult *res = PQgetResult(r->source.conn);

	if (PQresultStatus(res) != PGRES_COMMAND_OK) {
		source_fail_result(r, res);
		return;
	}
	r->source.rows = strtoll(PQcmdTuples(res), NULL, 10);
	PQclear(res);
	feed_end(r->feed);
	/* The snapshot is of no more use; held longer it would only keep the primary from vacuuming. */
	db_conn_close(r->source.conn);
	r->source.conn = NULL;
	r->source.state = SOURCE_CLOSED;
}

static void source_open(struct rebuild *r)
{
	struct source *src = &r->source;
	PGresult *res;

	if (PQisBusy(src->conn))
		return;
	res = PQgetResult(src->conn);
	if (PQresultStatus(res) != PGRES_COPY_OUT) {
		source_fail_result(r, res);
		return;
	}
	PQclear(res);
	src->state = SOURCE_READING;
}

/* Rows into the feed until there is none, no room, or the replicas' turn. True: there may be more at once. */
static bool source_read(struct rebuild *r)
{
	int64_t turn_ends = feed_bytes(r->feed) + READ_TURN * FEED_CHUNK_BYTES;
	bool consumed = false;
	char *row;

	while (feed_has_room(r->feed) && feed_bytes(r->feed) < turn_ends) {
		int len = PQgetCopyData(r->source.conn, &row, 1);

		if (len > 0) {
			feed_add(r->feed, row, (size_t)len);
			PQfreemem(row);
			consumed = false;
			continue;
		}
		if (len == -1) {
			source_ended(r);
			return false;
		}
		if (len == -2 || (!consumed && !PQconsumeInput(r->source.conn))) {
			source_fail(r, NULL);
			return false;
		}
		if (consumed)
			return false; /* read all there was, and no row came out of it */
		consumed = true;
	}
	return feed_has_room(r->feed);
}

static bool source_turn(struct rebuild *r, short revents)
{
	struct source *src = &r->source;

	if (src->state == SOURCE_CLOSED)
		return false;
	if (src->flushing) {
		int left = PQflush(src->conn);

		if (left < 0) {
			source_fail(r, NULL);
			return false;
		}
		src->flushing = left == 1;
	}
	if (src->state == SOURCE_OPENING) {
		if ((revents & (POLLIN | POLLHUP | POLLERR)) != 0 && !PQconsumeInput(src->conn)) {
			source_fail(r, NULL);
			return false;
		}
		source_open(r);
	}
	if (src->state != SOURCE_READING)
		return false;
	int64_t before = feed_bytes(r->feed);
	bool more = source_read(r);
	if (feed_bytes(r->feed) != before)
		src->moved = mono_now();
	return more;
}

static void source_tick(struct rebuild *r, struct mono now)
{
	struct source *src = &r->source;

	if (src->state == SOURCE_CLOSED)
		return;
	bool wanted = feed_has_room(r->feed);
	if (wanted && !src->wanted)
		src->moved = now; /* it was us who had it wait */
	src->wanted = wanted;
	if (wanted && mono_reached(mono_add_ms(src->moved, r->job->stall_ms), now))
		source_fail(r, "it sends nothing any more: it hangs, or RESET_STALL_TIMEOUT_MS is too short for it");
}

/* ---- the loop ---- */

static bool all_ended(const struct rebuild *r)
{
	for (size_t i = 0; i < r->job->n; i++) {
		if (!state_ended(r->job->targets[i].state))
			return false;
	}
	return true;
}

/* Everyone but those whose swap is on its way: how that ends is theirs to say. */
static void stop_all(struct rebuild *r)
{
	struct err err;

	/* Each turn: a swap that did not get its lock is not tried again. */
	r->stopping = true;
	err_set(&err, "stopped before the new table was in place");
	for (size_t i = 0; i < r->job->n; i++) {
		if (!state_ended(r->job->targets[i].state) && r->job->targets[i].state != REBUILD_SWAPPING)
			session_fail(&r->sessions[i], &err);
	}
}

static void wait_turn(struct rebuild *r, bool more, short *ret_source, short *ret_sessions)
{
	struct pollfd p[REPLICAS_MAX + 2];
	struct mono now = mono_now();
	int timeout = more ? 0 : TICK_MS;
	const struct source *src = &r->source;
	bool read = src->state == SOURCE_OPENING || (src->state == SOURCE_READING && feed_has_room(r->feed));
	size_t n = r->job->n;

	p[n] = (struct pollfd){.fd = read ? PQsocket(src->conn) : -1, .events = POLLIN};
	if (read && src->flushing)
		p[n].events |= POLLOUT;
	p[n + 1] = (struct pollfd){.fd = r->stopping ? -1 : stop_fd(), .events = POLLIN};
	for (size_t i = 0; i < n; i++) {
		const struct rebuild_session *s = &r->sessions[i];

		p[i] = (struct pollfd){.fd = s->conn == NULL ? -1 : PQsocket(s->conn), .events = POLLIN};
		if (s->flushing)
			p[i].events |= POLLOUT;
		if (s->conn != NULL)
			timeout = mono_until_ms(session_deadline(r, s), now, timeout);
	}
	if (poll(p, n + 2, timeout) < 0)
		memset(p, 0, sizeof(p)); /* a signal: look again */
	*ret_source = p[n].revents;
	for (size_t i = 0; i < n; i++)
		ret_sessions[i] = p[i].revents;
}

static void session_turn(struct rebuild *r, size_t i, short revents)
{
	struct rebuild_session *s = &r->sessions[i];

	if ((revents & POLLOUT) != 0 && s->flushing)
		session_flush(s);
	if (s->conn != NULL && (revents & (POLLIN | POLLHUP | POLLERR)) != 0)
		session_readable(r, s);
	if (s->conn != NULL)
		session_feed(r, i);
	if (s->conn != NULL)
		session_tick(r, s, mono_now());
	if (s->conn == NULL)
		feed_leave(r->feed, i);
}

static void loop(struct rebuild *r)
{
	short sessions[REPLICAS_MAX] = {0};
	short source = 0;
	bool more = false;

	while (!all_ended(r)) {
		wait_turn(r, more, &source, sessions);
		if (stop_requested())
			stop_all(r);
		more = source_turn(r, source);
		source_tick(r, mono_now());
		for (size_t i = 0; i < r->job->n; i++)
			session_turn(r, i, sessions[i]);
		r->job->tick(r->job->arg);
	}
}

/* A server that does not read for longer than the connection's TCP_USER_TIMEOUT would be cut off by the kernel; how long is too long
 * is stall_ms here. Fails harmlessly on a Unix socket. */
static void tune_socket(PGconn *conn, int64_t stall_ms)
{
	unsigned ms = (unsigned)stall_ms + 1000;

	(void)setsockopt(PQsocket(conn), IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
}

static void begin(struct rebuild *r)
{
	r->source.conn = r->job->primary;
	r->source.moved = mono_now();
	tune_socket(r->source.conn, r->job->stall_ms);
	for (size_t i = 0; i < r->job->n; i++) {
		struct rebuild_target *t = &r->job->targets[i];
		struct rebuild_session *s = &r->sessions[i];

		s->job = r->job;
		s->t = t;
		s->conn = t->conn;
		t->rows = t->bytes = 0;
		t->doing[0] = '\0';
		tune_socket(s->conn, r->job->stall_ms);
		PQsetnonblocking(s->conn, 1);
		session_send(s, REBUILD_OPENING, sql_reset_copy_in);
		if (s->conn == NULL)
			feed_leave(r->feed, i);
	}
	if (PQsetnonblocking(r->source.conn, 1) != 0 || !PQsendQuery(r->source.conn, sql_reset_copy_out)) {
		source_fail(r, NULL);
		return;
	}
	r->source.flushing = true;
}

enum rebuild_outcome rebuild_run(struct rebuild_job *job, struct err *err)
{
	struct rebuild *r = xcalloc(1, sizeof(*r));
	enum rebuild_outcome outcome = REBUILD_RAN;

	r->job = job;
	r->feed = feed_new(FEED_CHUNKS, FEED_CHUNK_BYTES, job->n);
	begin(r);
	loop(r);
	db_conn_close(r->source.conn); /* still there if all replicas have failed */
	job->primary = NULL;
	if (r->stopping) {
		err_set(err, "stopped by a signal");
		outcome = REBUILD_STOPPED;
	} else if (r->primary_lost) {
		*err = r->primary_err;
		outcome = REBUILD_PRIMARY_LOST;
	}
	feed_free(r->feed);
	free(r);
	return outcome;
}
