/*
 * rebuild_probe.h: whether a server that is busy with one long statement (an index may take hours)
 * still answers at all.
 *
 * A second socket to the same address sends an SSLRequest, the first message of PostgreSQL's
 * protocol; any answer will do. It takes no login and no connection slot. The kernel of a stopped
 * server still answers TCP keepalives, but not this. Never blocks. Main thread.
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
/* Only while p->asking; after an answer it no longer is. */
enum probe_answer probe_turn(struct probe *p, struct mono now);
void probe_stop(struct probe *p); /* fine at any time */

#endif
