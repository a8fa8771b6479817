/*
 * measures.h: the metrics of pgfanout-api, by number. The table is in measures.c; docs/metrics.md
 * lists it.
 */
#ifndef PGFANOUT_API_MEASURES_H
#define PGFANOUT_API_MEASURES_H

#include "common/http/metrics.h"

enum measure {
	M_REQUESTS,
	M_ANSWERS_4XX,
	M_ANSWERS_5XX,
	M_IN_FLIGHT,
	M_CONNECTIONS,
	M_DURATION,
	M_OVERLOADED,
	M_TIMEOUTS,
	M_READS,
	M_READ_FAILURES,
	M_READS_REPEATED,
	M_READS_BEHIND,
	M_READS_WAITED,
	M_READS_LATE,
	M_READ_UNITS,
	M_WRITES,
	M_WRITE_UNITS,
	M_WRITES_LOCKED,
	M_WRITE_FAILURES,
	M_IMPORT_ROWS,
	M_IMPORT_REJECTED,
	M_LISTS_RUNNING,
	M_IMPORTS_RUNNING,
	M_DATABASE_UP,
	M_REPLICA_LAG,
	M_WRONG_PRODUCTS,
	M_WRONG_ROWS,
	M_RELAY_CONNECTED,
	M_RELAY_LEADER,
	M_RELAY_IN_FLIGHT,
	M_RELAY_MESSAGES,
	M_RELAY_CONFIRMED,
	M_RELAY_RETURNED,
	M_RELAY_NACKED,
	M_RELAY_TOO_LARGE,
	M_BACKLOG_DROPPED,
	M_OUTBOX,
	MEASURES,
};

/* names: of the databases, the primary last; borrowed for ever. */
void measures_init(const char *const *names, size_t n);

#endif
