/*
 * rebuild_session.c: one replica's session: sends, receives, keeps deadlines, and does the load;
 * rebuild_finish.c does the rest. Never blocks.
 */
#include "consumer/reset/rebuild_private.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "common/pg/db.h"

/* After a stop, how long a swap that was sent may still take to answer. */
#define STOP_SWAP_MS 3000
#define PROBE_MS     10000

static void close_session(struct rebuild_session *s)
{
	db_conn_close(s->conn);
	s->conn = NULL;
	s->t->conn = NULL;
	s->t->ended = mono_now();
	s->flushing = false;
	probe_stop(&s->probe);
	feed_leave(s->feed, s->reader);
	finish_clear(s);
}

void session_done(struct rebuild_session *s)
{
	close_session(s);
	s->t->state = REBUILD_DONE;
	s->t->doing[0] = '\0';
}

void session_fail(struct rebuild_session *s, const struct err *err)
{
	s->t->err = *err;
	/* Closing would end the transaction too, but the server would log an error of its own. */
	if (s->t->state == REBUILD_LOADING)
		(void)!PQputCopyEnd(s->conn, err->text);
	close_session(s);
	s->t->state = REBUILD_FAILED;
	s->t->doing[0] = '\0';
}

/* Lost during the swap: the commit may or may not have happened; the table is complete either
 * way. */
static void fail_unsure(struct rebuild_session *s, struct err *err)
{
	if (s->t->state == REBUILD_SWAPPING) {
		s->t->unsure = true;
		err_prefix(err, "lost during the swap, run the reset again");
	}
	session_fail(s, err);
}

static void fail_lost(struct rebuild_session *s)
{
	struct err err;

	db_explain(s->conn, NULL, &err);
	fail_unsure(s, &err);
}

static void flush(struct rebuild_session *s)
{
	int left = PQflush(s->conn);

	if (left < 0) {
		fail_lost(s);
		return;
	}
	s->flushing = left == 1;
}

void session_send(struct rebuild_session *s, enum rebuild_state state, const char *sql)
{
	s->t->state = state;
	s->failed = false;
	probe_stop(&s->probe);
	s->moved = mono_now();
	if (!PQsendQuery(s->conn, sql))
		fail_lost(s);
	else
		flush(s);
}

/* A table that this replica is not to have is read past. */
static void open_table(struct rebuild_session *s)
{
	if (s->t->here[s->table].copy_in != NULL)
		session_send(s, REBUILD_OPENING, s->t->here[s->table].copy_in);
	else
		s->t->state = REBUILD_LOADING;
}

static void next_table(struct rebuild_session *s)
{
	if (++s->table < s->job->ntables)
		open_table(s);
	else
		finish_begin(s);
}

/* Writes as much of the feed as the replica takes without waiting. libpq keeps what the socket
 * refuses in memory, so a chunk is handed over only when the last one has left completely. */
static void write_feed(struct rebuild_session *s)
{
	struct feed_chunk chunk;

	while (s->t->state == REBUILD_LOADING && !s->flushing &&
	       feed_peek(s->feed, s->reader, &chunk)) {
		const bool skips = s->t->here[s->table].copy_in == NULL;

		if (!skips &&
		    ((chunk.len > 0 && PQputCopyData(s->conn, chunk.data, (int)chunk.len) != 1) ||
		     (chunk.ends_part && PQputCopyEnd(s->conn, NULL) != 1))) {
			fail_lost(s);
			return;
		}
		if (skips && chunk.ends_part) {
			feed_next(s->feed, s->reader);
			next_table(s);
			continue;
		}
		if (chunk.ends_part) {
			s->t->state = REBUILD_ENDING;
			s->part_rows = chunk.part_rows;
		}
		feed_next(s->feed, s->reader);
		s->t->rows = chunk.rows;
		s->t->bytes = chunk.bytes;
		s->moved = mono_now();
		flush(s);
	}
}

/* During the load; later ones are rebuild_finish.c's. */
static void load_command_ended(struct rebuild_session *s)
{
	struct err err;

	if (s->failed) {
		session_fail(s, &s->reason);
	} else if (s->t->state == REBUILD_OPENING) {
		err_set(&err, "the server did not start the COPY");
		session_fail(s, &err);
	} else if (s->counted != s->part_rows) {
		err_set(&err, "the server counted %lld rows of %s, the primary sent %lld",
			(long long)s->counted, s->job->tables[s->table].name,
			(long long)s->part_rows);
		session_fail(s, &err);
	} else {
		next_table(s);
	}
}

/* Takes all results that have arrived completely. */
static void take_results(struct rebuild_session *s)
{
	while (!rebuild_state_ended(s->t->state) && s->t->state != REBUILD_LOADING &&
	       !PQisBusy(s->conn)) {
		PGresult *res = PQgetResult(s->conn);
		ExecStatusType status = PQresultStatus(res);

		if (res == NULL) {
			if (PQstatus(s->conn) != CONNECTION_OK && !s->failed)
				fail_lost(s);
			else if (s->t->state == REBUILD_PAUSING)
				return; /* nothing is in progress */
			else if (s->t->state == REBUILD_OPENING || s->t->state == REBUILD_ENDING)
				load_command_ended(s);
			else
				finish_command_ended(s);
			continue;
		}
		s->moved = mono_now();
		if (status == PGRES_COPY_IN && s->t->state == REBUILD_OPENING) {
			s->t->state = REBUILD_LOADING;
		} else if (status == PGRES_COPY_IN) {
			/* We send no other COPY; in this state no other command could follow. */
			PQclear(res);
			fail_lost(s);
			return;
		} else if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) {
			if (s->t->state == REBUILD_ENDING)
				s->counted = strtoll(PQcmdTuples(res), NULL, 10);
			else
				finish_result(s, res);
		} else if (!s->failed) {
			s->failed = true;
			db_explain(s->conn, res, &s->reason);
		}
		PQclear(res);
	}
}

static void read_answer(struct rebuild_session *s)
{
	if (!PQconsumeInput(s->conn)) {
		fail_lost(s);
		return;
	}
	if (s->t->state == REBUILD_LOADING) {
		/* During a COPY the server only sends something when it has failed. libpq gives the
		 * error only after the end of the copy. */
		s->t->state = REBUILD_ENDING;
		s->moved = mono_now();
		if (PQputCopyEnd(s->conn, "the server reported an error") != 1) {
			fail_lost(s);
			return;
		}
		flush(s);
	}
	take_results(s);
}

/* When the lack of progress is an error. Building an index, or the rows that are not the same, may take any
 * time, as long as the server is alive: watch_silence(). */
struct mono session_deadline(const struct rebuild_session *s)
{
	switch (s->t->state) {
	case REBUILD_DONE:
	case REBUILD_FAILED:
		return MONO_NEVER;
	case REBUILD_PAUSING:
		return s->resume_at;
	case REBUILD_SWAPPING:
		if (s->job->stopping)
			return mono_add_ms(s->moved, STOP_SWAP_MS);
		/* fall through */
	case REBUILD_LOADING: /* one that waits for data from the primary is not late */
	case REBUILD_FINISHING:
		return s->flushing ? mono_add_ms(s->moved, s->job->stall_ms) : MONO_NEVER;
	default:
		return mono_add_ms(s->moved, s->job->stall_ms);
	}
}

/* During a long statement: does the server still answer anyone? */
static void watch_silence(struct rebuild_session *s, struct mono now)
{
	struct err err;

	if (!s->probe.asking) {
		if (mono_reached(mono_add_ms(s->moved, s->job->stall_ms), now))
			probe_start(&s->probe, PQsocket(s->conn), now, PROBE_MS);
		return;
	}
	switch (probe_turn(&s->probe, now)) {
	case PROBE_WAITING:
		break;
	case PROBE_ALIVE:
		s->moved = now;
		break;
	case PROBE_SILENT:
		err_set(&err, "%s: the server does not answer any more: it hangs", s->t->doing);
		fail_unsure(s, &err);
		break;
	}
}

static void keep_deadline(struct rebuild_session *s, struct mono now)
{
	struct mono deadline = session_deadline(s);
	struct err err;

	s->t->stuck_ms = s->flushing ? mono_diff_us(now, s->moved) / 1000 : 0;
	if (mono_is_never(deadline) && s->t->state != REBUILD_LOADING) {
		watch_silence(s, now);
		return;
	}
	if (!mono_reached(deadline, now))
		return;
	if (s->t->state == REBUILD_PAUSING) {
		finish_resume(s);
		return;
	}
	err_set(&err,
		"no progress for %lld ms%s%s: the replica hangs, or RESET_STALL_TIMEOUT_MS is too short for it",
		(long long)(mono_diff_us(now, s->moved) / 1000),
		s->t->doing[0] == '\0' ? "" : " while ", s->t->doing);
	fail_unsure(s, &err);
}

/* The kernel would drop the connection when the server reads nothing for TCP_USER_TIMEOUT; here
 * stall_ms decides, so that comes later. Has no effect on a Unix socket. */
static void tune_socket(PGconn *conn, int64_t stall_ms)
{
	unsigned ms = (unsigned)stall_ms + 1000;

	(void)setsockopt(PQsocket(conn), IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
}

void session_start(struct rebuild_session *s, const struct rebuild_job *job,
		   struct rebuild_target *t, struct feed *feed, size_t reader)
{
	s->job = job;
	s->t = t;
	s->conn = t->conn;
	s->feed = feed;
	s->reader = reader;
	t->rows = t->bytes = 0;
	t->doing[0] = '\0';
	tune_socket(s->conn, job->stall_ms);
	if (PQsetnonblocking(s->conn, 1) != 0)
		fail_lost(s);
	else if (job->ntables > 0)
		open_table(s);
	else
		finish_begin(s);
}

void session_turn(struct rebuild_session *s, short revents)
{
	if (s->conn != NULL && s->flushing && (revents & POLLOUT) != 0)
		flush(s);
	if (s->conn != NULL && (revents & (POLLIN | POLLHUP | POLLERR)) != 0)
		read_answer(s);
	if (s->conn != NULL)
		write_feed(s);
	if (s->conn != NULL)
		keep_deadline(s, mono_now());
}
