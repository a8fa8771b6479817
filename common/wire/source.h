/*
 * source.h: what x-source names: a primary, in an epoch. Pure, any thread.
 *
 * "<system identifier>/<database>", and from its second epoch on "@<timeline>-<number>" behind it
 * (migrations/primary/0006_epochs.up.sql).
 */
#ifndef PGFANOUT_COMMON_WIRE_SOURCE_H
#define PGFANOUT_COMMON_WIRE_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#define SOURCE_MAX 128 /* bytes of pgfanout.source(), its end included */

/* Whether both are epochs of one database. */
bool source_is_related(const char *source, const char *other);
/* Whether it is a later epoch of the other one: as pgfanout.succeeds() of replicas. */
bool source_succeeds(const char *source, const char *other);

/* 32 bits that stand for a name, of a source or a database; never 0. */
uint32_t source_hash(const char *name);

#endif
