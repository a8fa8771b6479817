/*
 * worker.h: one thread that keeps one replica in step, as far as one stream goes: see the head of
 * worker.c.
 */
#ifndef PGFANOUT_CONSUMER_APPLY_WORKER_H
#define PGFANOUT_CONSUMER_APPLY_WORKER_H

#include "consumer/apply/streams.h"
#include "consumer/settings.h"
#include "consumer/status.h"

struct apply_worker;

/* Settings, replica, streams and status are borrowed until apply_worker_join(). streams: is told of those
 * that the replica knows; NULL: nobody asks. NULL if the thread cannot be started. */
struct apply_worker *apply_worker_start(const struct consumer_settings *settings,
					const struct replica_setting *replica,
					const struct stream *stream, struct streams *streams,
					struct status *status, struct err *err);
/* After stop_request() or a signal: waits for the thread's end, which takes no longer than
 * DRAIN_TIMEOUT_MS and a few seconds. Frees. */
void apply_worker_join(struct apply_worker *w);

#endif
