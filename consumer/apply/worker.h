/*
 * worker.h: one thread that keeps one replica in step: see the head of worker.c.
 */
#ifndef PGFANOUT_CONSUMER_APPLY_WORKER_H
#define PGFANOUT_CONSUMER_APPLY_WORKER_H

#include "consumer/settings.h"
#include "consumer/status.h"

struct apply_worker;

/* Settings, replica and status are borrowed until apply_worker_join(). NULL if the thread cannot be
 * started. */
struct apply_worker *apply_worker_start(const struct consumer_settings *settings,
					const struct replica_setting *replica,
					struct status *status, struct err *err);
/* After stop_request() or a signal: waits for the thread's end, which takes no longer than
 * DRAIN_TIMEOUT_MS and a few seconds. Frees. */
void apply_worker_join(struct apply_worker *w);

#endif
