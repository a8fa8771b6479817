/*
 * wrong_records.h: records on the replica, in pgfanout.dead_letters, which rows are wrong there because
 * a change of theirs that waited there is given up. The API reads them elsewhere. Of other changes apply.c does
 * it, with the same statement.
 *
 * The rule: a change is recorded first, and published to the dead-letter queue then. A crash in
 * between leaves a record of a change that is delivered again. If the replica refuses the record,
 * the change is published all the same.
 *
 * Owned by one worker's thread. Never waits. Logs what could not be recorded.
 */
#ifndef PGFANOUT_CONSUMER_APPLY_WRONG_RECORDS_H
#define PGFANOUT_CONSUMER_APPLY_WRONG_RECORDS_H

#include "common/pg/db.h"
#include "consumer/apply/retry.h"
#include "consumer/settings.h"

struct wrong_records;

/* All borrowed for life. */
struct wrong_records *wrong_records_new(const struct consumer_settings *settings,
					const char *replica, struct retry *retry);
struct wrong_records *wrong_records_free(struct wrong_records *w); /* NULL is fine; returns NULL */

/* At the beginning of a stretch: nothing is in flight. */
void wrong_records_start(struct wrong_records *w);
/* Sends what is to be recorded, one statement at a time; after its answer the changes may be
 * published. Call it after each db_io(). True: something was recorded since the last call. */
bool wrong_records_step(struct wrong_records *w, struct db *db, struct mono now);

#endif
