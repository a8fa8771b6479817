/*
 * rebuild_probe.h: whether a server that works in silence (an index takes hours) still answers anyone at all.
 *
 * A second socket to the same address asks the first question of PostgreSQL's protocol, whether it speaks TLS, and any answer
 * will do: no login, no connection slot. A stopped server's kernel goes on answering keepalives; this it cannot answer.
 * Never blocks. Main thread.
 */
#ifndef PGFANOUT_CONSUMER_RESET_REBUILD_PROBE_H
#define PGFANOUT_CONSUMER_RESET_REBUILD_PROBE_H

#include "common/base/base.h"
#include "common/base/clock.h"

enum probe_answer { PROBE_WAITING, PROBE_ALIVE, PROBE_SILENT };

struct probe {
	bool asking; /* else the rest means nothing */
	bool sent;
	int fd; /* -1: it could not even be asked */
	struct mono until;
};

void probe_start(struct probe *p, int connected_fd, struct mono now, int64_t timeout_ms);
enum probe_answer probe_turn(
	struct probe *p, struct mono now); /* of one that is asking; not asking after an answer */
void probe_stop(struct probe *p);	   /* fine at any time */

#endif
