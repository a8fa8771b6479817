/*
 * gather.h: how long recorded changes wait for others before a sweep looks for them: few not at all, many
 * so long that they share messages. One message of fifty changes costs the broker and the replicas a
 * fraction of fifty messages.
 *
 *   changes a second    from the beginning of a sweep to the next, at least
 *   up to 1,000         0.5 ms
 *   more                2 ms more for each thousand, up to 20 ms
 *
 * Nobody says when others than this process have committed changes, so sweeps look for them: after a pause of 1 ms, or
 * of a twentieth of the time that none has been found if that is more, up to 100 ms. So a change waits little against the
 * time since the one before it, and a stream with a few changes a second costs few sweeps.
 *
 * Owned by the relay's thread; memory only.
 */
#ifndef PGFANOUT_API_RELAY_GATHER_H
#define PGFANOUT_API_RELAY_GATHER_H

#include "common/base/clock.h"

#define GATHER_IDLE_MS 100 /* the longest pause */

struct gather {
	int64_t pause_us; /* after the end of a sweep, if nobody says that there are changes; */
	int64_t gap_us;	  /* from the beginning of a sweep to the next, in any case */
	/* the rest is gather.c's */
	int64_t rate; /* of late, changes a second */
	struct mono swept_at, found_at;
};

void gather_begin(struct gather *g, struct mono now);
/* A sweep has found so many changes, and ends now. */
void gather_swept(struct gather *g, size_t changes, struct mono now);
/* There are so many of late that their commits write the WAL to the disk every few milliseconds. */
bool gather_flushes(const struct gather *g);
/* There are few of late: each may have a message of its own. */
bool gather_calm(const struct gather *g);

#endif
