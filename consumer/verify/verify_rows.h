/*
 * verify_rows.h: the rows of one range of ids on two servers, as digests sorted by id, and which of
 * them differ. Pure.
 */
#ifndef PGFANOUT_CONSUMER_VERIFY_VERIFY_ROWS_H
#define PGFANOUT_CONSUMER_VERIFY_VERIFY_ROWS_H

#include "common/base/uuid.h"

/* How many products are compared at a time: the unit of memory here, and of work on the servers. */
#define VERIFY_CHUNK 5000

struct verify_rows {
	size_t n; /* VERIFY_CHUNK: there may be more behind the last one */
	struct {
		struct uuid id;
		uint8_t digest[32];
	} row[VERIFY_CHUNK];
};

extern const struct uuid verify_first_id, verify_last_id;

/* The id after this one; false: there is none. */
bool verify_next_id(struct uuid *id);

/* Both sides were read up to *end. Lowers *end to the last id up to which both are complete. */
void verify_complete_to(const struct verify_rows *a, const struct verify_rows *b, struct uuid *end);

/* Calls found for each id up to end that only one side has, or both with different digests. */
void verify_merge(const struct verify_rows *a, const struct verify_rows *b, const struct uuid *end,
		  void (*found)(void *arg, const struct uuid *id), void *arg);

#endif
