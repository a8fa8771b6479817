/*
 * rebuild.c: the loop of a reset, and the load: see rebuild.h.
 *
 * The caller owns the targets; this file owns the connections from the call on, and the feed
 * between them. One thread. Only poll() blocks, with the next deadline as its timeout.
 *
 * What a crash of this process (kill -9) means, at any line: its sessions end. Each replica's
 * server notices within a second, also in the middle of an index build
 * (client_connection_check_interval), rolls back and releases the advisory lock. If the message
 * with the swap had been sent, the server runs it as a whole, with the commit, or rolls back.
 * Nothing of an unfinished reset is left; the next run starts from the beginning.
 */
#include "consumer/reset/rebuild.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "common/settings/config.h"
#include "common/base/stop.h"
#include "consumer/reset/rebuild_private.h"
#include "consumer/reset/rebuild_source.h"

/* 4 MiB between the primary and the slowest replica. A chunk is one message and mostly one system
 * call. */
#define FEED_CHUNKS	 32
#define FEED_CHUNK_BYTES (128 * 1024)
#define TICK_MS		 200

struct rebuild {
	struct rebuild_job *job;
	struct source source;
	struct feed *feed;
	struct rebuild_session sessions[REPLICAS_MAX];
};

static bool all_ended(const struct rebuild *r)
{
	for (size_t i = 0; i < r->job->n; i++) {
		if (!rebuild_state_ended(r->job->targets[i].state))
			return false;
	}
	return true;
}

static void fail_all(struct rebuild *r, const struct err *err, bool swapping_too)
{
	for (size_t i = 0; i < r->job->n; i++) {
		enum rebuild_state state = r->job->targets[i].state;

		if (!rebuild_state_ended(state) && (swapping_too || state != REBUILD_SWAPPING))
			session_fail(&r->sessions[i], err);
	}
}

/* A swap that was sent may still commit, so its session goes on. Called each turn of the loop: so a
 * swap that did not get its lock is not tried again. */
static void stop_all(struct rebuild *r)
{
	struct err err;

	r->job->stopping = true;
	err_set(&err, "stopped before the new table was in place");
	fail_all(r, &err, false);
}

/* Nobody has all the rows. */
static void source_failed(struct rebuild *r)
{
	struct err err = r->source.err;

	err_prefix(&err, "the primary failed");
	fail_all(r, &err, true);
}

/* p, in this order: the replicas, the primary, the stop. */
static void wait_turn(struct rebuild *r, bool more, struct pollfd *p)
{
	struct mono now = mono_now();
	int timeout = more ? 0 : TICK_MS;
	size_t n = r->job->n;

	for (size_t i = 0; i < n; i++) {
		const struct rebuild_session *s = &r->sessions[i];

		p[i] = (struct pollfd){ .fd = s->conn == NULL ? -1 : PQsocket(s->conn),
					.events = POLLIN };
		if (s->flushing)
			p[i].events |= POLLOUT;
		if (s->conn != NULL)
			timeout = mono_until_ms(session_deadline(s), now, timeout);
	}
	p[n] = (struct pollfd){ .fd = source_wants(&r->source) ? PQsocket(r->source.conn) : -1,
				.events = POLLIN };
	if (r->source.flushing)
		p[n].events |= POLLOUT;
	p[n + 1] = (struct pollfd){ .fd = r->job->stopping ? -1 : stop_fd(), .events = POLLIN };
	if (poll(p, n + 2, timeout) < 0) {
		for (size_t i = 0; i <= n; i++)
			p[i].revents = 0; /* interrupted: look again */
	}
}

static void loop(struct rebuild *r)
{
	struct pollfd p[REPLICAS_MAX + 2];
	bool more = false;

	while (!all_ended(r)) {
		wait_turn(r, more, p);
		if (stop_requested())
			stop_all(r);
		more = source_turn(&r->source, p[r->job->n].revents, mono_now());
		if (r->source.state == SOURCE_FAILED)
			source_failed(r);
		for (size_t i = 0; i < r->job->n; i++)
			session_turn(&r->sessions[i], p[i].revents);
		r->job->tick(r->job->arg);
	}
}

enum rebuild_outcome rebuild_run(struct rebuild_job *job)
{
	struct rebuild *r = xcalloc(1, sizeof(*r));
	enum rebuild_outcome outcome;

	r->job = job;
	r->feed = feed_new(FEED_CHUNKS, FEED_CHUNK_BYTES, job->n);
	for (size_t i = 0; i < job->n; i++)
		session_start(&r->sessions[i], job, &job->targets[i], r->feed, i);
	source_start(&r->source, job->primary, r->feed, job->stall_ms, job->tables, job->ntables);
	job->primary = NULL;
	loop(r);
	source_close(&r->source); /* still there if all replicas have failed */
	outcome = job->stopping ? REBUILD_STOPPED : REBUILD_RAN;
	feed_free(r->feed);
	free(r);
	return outcome;
}
