/*
 * read_batch_private.h: what the two parts of the reads share.
 *
 * read_batch.c       which reads are sent together, where, and when; their answers
 * read_batch_wait.c  reads that wait for a replica to have what their client has seen
 */
#ifndef PGFANOUT_API_BATCH_READ_BATCH_PRIVATE_H
#define PGFANOUT_API_BATCH_READ_BATCH_PRIVATE_H

#include "api/batch/read_batch.h"

/* ---- read_batch_wait.c ---- */
/* choice_waits() of it. */
void read_wait(struct request *r);
/* Those that need not wait any longer are submitted again. */
void read_wait_dispatch(struct store *s);
/* What a database told of itself with an answer to this one. */
void read_wait_mark(const struct request *r, struct upstream *up, const struct place *place);

#endif
