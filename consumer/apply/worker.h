/*
 * worker.h: one thread that keeps one replica in step: see the head of worker.c.
 */
#ifndef PGFANOUT_CONSUMER_APPLY_WORKER_H
#define PGFANOUT_CONSUMER_APPLY_WORKER_H

#include "consumer/settings.h"
#include "consumer/status.h"

struct worker;

/* Settings, replica and status are borrowed until worker_join(). NULL if the thread cannot be made.
 * */
struct worker *worker_start(const struct settings *settings, const struct replica_setting *replica,
			    struct status *status, struct err *err);
/* After stop_request() or a signal: waits for the thread's end, which takes no longer than
 * DRAIN_TIMEOUT_MS and a few seconds. Frees. */
void worker_join(struct worker *w);

#endif
