/*
 * failover.h: after a standby was promoted. What the old primary published and the standby had not received is on
 * replicas, and on the primary it never was: replicas that follow a new one are compared with it, and repaired, by
 * themselves.
 */
#ifndef PGFANOUT_CONSUMER_FAILOVER_H
#define PGFANOUT_CONSUMER_FAILOVER_H

#include "consumer/settings.h"
#include "consumer/status.h"

struct failover;

/* Starts the thread. statuses: of each replica, in the order of the settings; both borrowed until failover_stop(). */
MUST_CHECK struct failover *failover_start(const struct consumer_settings *settings,
					   struct status *const *statuses, struct err *err);
/* Once a stop was requested. NULL is fine. */
void failover_stop(struct failover *f);

#endif
