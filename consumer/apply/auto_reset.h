/*
 * auto_reset.h: a replica that has lost changes in its queues is reset by its worker: when, and how
 * often it is tried.
 *
 * Owned by one worker's thread, which does nothing else meanwhile: a replica takes no changes while
 * it is being reset.
 */
#ifndef PGFANOUT_CONSUMER_APPLY_AUTO_RESET_H
#define PGFANOUT_CONSUMER_APPLY_AUTO_RESET_H

#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "consumer/reset/reset_settings.h"
#include "consumer/settings.h"

struct auto_reset {
	const struct consumer_settings
		*settings; /* immutable, as index: of the replica in settings->replicas */
	size_t index;
	const struct stream *stream; /* borrowed: whose tables are reset */
	struct backoff backoff;
	unsigned failures;  /* in a row, of those that end it */
	struct mono at;	    /* not before */
	struct mono ran_at; /* when the last one ended */
	bool given_up;
};

/* What resets and comparisons take from a consumer's settings; borrowed from there. */
struct reset_settings auto_reset_settings(const struct consumer_settings *s);
void auto_reset_init(struct auto_reset *a, const struct consumer_settings *settings, size_t index,
		     const struct stream *stream);
/* Whether a replica that is marked may be reset now, and if not, whether it may later. */
bool auto_reset_due(const struct auto_reset *a, struct mono now);
bool auto_reset_possible(const struct auto_reset *a);
/* One try, however long it takes; ends early on a stop. Says in the log how it went. tables: numbers, as an
 * array of SQL; NULL: all of the stream. */
void auto_reset_run(struct auto_reset *a, const char *reason, const char *tables);

#endif
