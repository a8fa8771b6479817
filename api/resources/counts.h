/*
 * counts.h: how many rows each resource has, for /stats: counted on the primary by a thread of its own, and only
 * when somebody has asked, at most once a second. So nobody who serves requests, nor the thread that looks at the
 * catalog, ever waits for a count.
 *
 * Rows are counted up to COUNTS_EXACT; what has more, or takes too long, or is locked, has the planner's estimate.
 */
#ifndef PGFANOUT_API_RESOURCES_COUNTS_H
#define PGFANOUT_API_RESOURCES_COUNTS_H

#include "api/resources/catalog.h"
#include "common/base/clock.h"

#define COUNTS_EXACT 100000

struct counts;

struct counts_row {
	int64_t rows; /* -1: not known */
	bool estimated;
};

/* Starts the thread; with an empty list nothing: *ret is NULL then. All are borrowed until counts_stop(). */
MUST_CHECK bool counts_start(struct primary *primary, const struct listed *listed,
			     struct catalog_place *models, struct counts **ret, struct err *err);
/* Has them counted, unless that was begun less than a second ago. Any thread. */
void counts_ask(struct counts *c);
/* Copies what is known of all that are listed, in their order. False: that was begun more than a second before
 * now. Any thread. */
bool counts_get(struct counts *c, struct mono now, struct counts_row *ret);
/* Waits as long as connecting, or a count, may take at most. NULL is fine. */
void counts_stop(struct counts *c);

#endif
