/*
 * reset_primary.h: the primary's side of a reset up to the load: reachable, migrated, and the one
 * snapshot that all replicas get. Every wait has a deadline. Main thread.
 */
#ifndef PGFANOUT_CONSUMER_RESET_RESET_PRIMARY_H
#define PGFANOUT_CONSUMER_RESET_RESET_PRIMARY_H

#include "common/base/base.h"
#include "common/base/err.h"

struct pg_conn;
struct pg_result;

struct reset_primary {
	const char *url; /* borrowed */
	struct pg_conn *conn;
	char name[512]; /* scrubbed */
	/* As a replica records it, all as text: pg_current_snapshot(), products_source(), the
	 * newest version, the time, what was published (products_relay). */
	char *snapshot, *source, *floor, *taken_at, *published;
	int64_t rows, bytes;   /* of the table, estimates */
	struct pg_result *due; /* reset_due.sql: replica, moment */
};

/* Both: EXIT_OK, or what to end with; then err says why. */
MUST_CHECK enum exit_code reset_primary_connect(struct reset_primary *p, const char *url,
						struct err *err);
/* Begins the transaction in which the load has to run. On return everything that the snapshot
 * contains is on the primary's disk. url of reset_primary_connect() must live until then. */
MUST_CHECK enum exit_code reset_primary_snapshot(struct reset_primary *p, struct err *err);
/* When changes for this replica were last found to be lost, as of the snapshot; NULL: never. Lives
 * until reset_primary_clear(). */
const char *reset_primary_due(const struct reset_primary *p, const char *replica);
void reset_primary_clear(struct reset_primary *p);

#endif
