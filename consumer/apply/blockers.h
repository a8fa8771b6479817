/*
 * blockers.h: who keeps a batch of a replica waiting: a session there that has locked a row or a
 * table, which is shown in the status and told to the log once.
 *
 * Owned by one worker's thread, which it holds up for a few seconds at most, and only while a batch
 * waits already.
 */
#ifndef PGFANOUT_CONSUMER_APPLY_BLOCKERS_H
#define PGFANOUT_CONSUMER_APPLY_BLOCKERS_H

#include "common/base/clock.h"
#include "consumer/settings.h"
#include "consumer/status.h"

struct blockers;

/* All borrowed for life. */
struct blockers *blockers_new(const struct consumer_settings *settings, const char *replica,
			      struct status *status);
struct blockers *blockers_free(struct blockers *b); /* NULL is fine; returns NULL */

/* A batch is under way since then. Looks if it is time. */
void blockers_step(struct blockers *b, struct mono since, struct mono now);
/* When blockers_step() has something to do, if the batch is still under way then. */
struct mono blockers_wake(const struct blockers *b, struct mono since);
/* Looks now: something else than a batch met a lock. */
void blockers_look(struct blockers *b);
/* Nothing waits any more: a batch is through, or the replica is lost. */
void blockers_over(struct blockers *b);

#endif
