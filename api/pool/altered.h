/*
 * altered.h: has the primary see to tables that have been altered, where no event trigger does:
 * pgfanout.notice(), on a connection of its own, because that may wait for locks, and nobody is to wait for it.
 *
 * Owned by the thread of the primary's connector. Connecting blocks, nothing else does.
 */
#ifndef PGFANOUT_API_POOL_ALTERED_H
#define PGFANOUT_API_POOL_ALTERED_H

#include "api/primary.h"
#include "common/base/base.h"

struct altered;

/* primary is borrowed. stop_fd: as in struct db_options. */
struct altered *altered_new(struct primary *primary, int stop_fd);
struct altered *altered_free(struct altered *a); /* NULL is fine; returns NULL */

/* Takes the answer to the last request, if it has come, and asks again. Call it every second while the primary
 * takes writes. */
void altered_step(struct altered *a);

#endif
