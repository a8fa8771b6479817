/*
 * rebuild_source.c: see rebuild_source.h.
 */
#include "consumer/reset/rebuild_source.h"

#include <poll.h>
#include <stdlib.h>

#include "common/pg/db.h"

/* Bytes read before the replicas get their turn. */
#define TURN_BYTES (512 * 1024)

void source_close(struct source *src)
{
	db_conn_close(src->conn);
	src->conn = NULL;
}

/* r: a failed result, NULL: the connection says why. */
static void fail(struct source *src, PGresult *r)
{
	(void)db_explain(src->conn, r, &src->err);
	PQclear(r);
	source_close(src);
	src->state = SOURCE_FAILED;
}

/* The next table, or the end. */
static void open_table(struct source *src)
{
	if (src->table == src->n) {
		feed_end(src->feed);
		/* The snapshot is not needed any more, and holds back VACUUM on the primary. */
		source_close(src);
		src->state = SOURCE_COMPLETE;
		return;
	}
	src->state = SOURCE_OPENING;
	if (!PQsendQuery(src->conn, src->tables[src->table].copy_out))
		fail(src, NULL);
	else
		src->flushing = true;
}

void source_start(struct source *src, PGconn *conn, struct feed *feed, int64_t stall_ms,
		  const struct rebuild_table *tables, size_t n)
{
	*src = (struct source){
		.conn = conn, .feed = feed, .stall_ms = stall_ms, .tables = tables, .n = n
	};
	src->moved = mono_now();
	if (PQsetnonblocking(conn, 1) != 0)
		fail(src, NULL);
	else
		open_table(src);
}

bool source_wants(const struct source *src)
{
	return src->state == SOURCE_OPENING ||
	       (src->state == SOURCE_READING && feed_has_room(src->feed));
}

/* PQgetCopyData returned -1. Only the result of the COPY tells whether these were all rows. */
static void complete(struct source *src)
{
	PGresult *r = PQgetResult(src->conn);

	if (PQresultStatus(r) != PGRES_COMMAND_OK) {
		fail(src, r);
		return;
	}
	src->rows = strtoll(PQcmdTuples(r), NULL, 10);
	PQclear(r);
	/* The NULL behind it: the next command may be sent. */
	while ((r = PQgetResult(src->conn)) != NULL)
		PQclear(r);
	src->state = SOURCE_ENDING;
}

static void end_table(struct source *src)
{
	if (!feed_has_room(src->feed))
		return;
	feed_end_part(src->feed, src->rows);
	src->table++;
	src->moved = mono_now();
	open_table(src);
}

static void open_copy(struct source *src, short revents)
{
	if ((revents & (POLLIN | POLLHUP | POLLERR)) != 0 && !PQconsumeInput(src->conn)) {
		fail(src, NULL);
		return;
	}
	if (PQisBusy(src->conn))
		return;
	PGresult *r = PQgetResult(src->conn);
	if (PQresultStatus(r) != PGRES_COPY_OUT) {
		fail(src, r);
		return;
	}
	PQclear(r);
	src->state = SOURCE_READING;
}

/* Moves rows into the feed until there is no row, no room, or it is the replicas' turn. True: there
 * may be more at once. */
static bool read_rows(struct source *src)
{
	int64_t turn_ends = feed_bytes(src->feed) + TURN_BYTES;
	bool consumed = false;
	char *row;

	while (feed_has_room(src->feed) && feed_bytes(src->feed) < turn_ends) {
		int len = PQgetCopyData(src->conn, &row, 1);

		if (len > 0) {
			feed_add(src->feed, row, (size_t)len);
			PQfreemem(row);
			consumed = false;
			continue;
		}
		if (len == -1) {
			complete(src);
			return false;
		}
		if (len == -2 || (!consumed && !PQconsumeInput(src->conn))) {
			fail(src, NULL);
			return false;
		}
		if (consumed)
			return false; /* read all there was, and no row came out of it */
		consumed = true;
	}
	return feed_has_room(src->feed);
}

static void check_stall(struct source *src, struct mono now)
{
	bool wanted = source_wants(src);

	if (wanted && !src->wanted)
		src->moved = now; /* it had to wait for us */
	src->wanted = wanted;
	if (!wanted || !mono_reached(mono_add_ms(src->moved, src->stall_ms), now))
		return;
	err_set(&src->err,
		"it has sent nothing for %lld ms: it hangs, or RESET_STALL_TIMEOUT_MS is too short for it",
		(long long)(mono_diff_us(now, src->moved) / 1000));
	source_close(src);
	src->state = SOURCE_FAILED;
}

bool source_turn(struct source *src, short revents, struct mono now)
{
	bool more = false;

	if (src->conn == NULL)
		return false;
	if (src->flushing) {
		int left = PQflush(src->conn);

		if (left < 0) {
			fail(src, NULL);
			return false;
		}
		src->flushing = left == 1;
	}
	if (src->state == SOURCE_OPENING)
		open_copy(src, revents);
	if (src->state == SOURCE_READING) {
		int64_t before = feed_bytes(src->feed);

		more = read_rows(src);
		if (feed_bytes(src->feed) != before)
			src->moved = now;
	}
	if (src->state == SOURCE_ENDING)
		end_table(src);
	if (src->conn != NULL)
		check_stall(src, now);
	return more;
}
