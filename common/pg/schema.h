/*
 * schema.h: which migration the programs need of each database, and the check for it at their
 * start.
 *
 * pgfanout-migrate refuses to run if a number here is not the newest of its own table.
 */
#ifndef PGFANOUT_COMMON_PG_SCHEMA_H
#define PGFANOUT_COMMON_PG_SCHEMA_H

#include "common/pg/db.h"

#define SCHEMA_PRIMARY 6
#define SCHEMA_REPLICA 6

/* DB_OK if the newest registered migration is exactly `needed`; DB_SCHEMA, with what to do, if it
 * is an older or newer one or there is none; else why it could not be found out. side: "primary",
 * "replica" or a replica's name, for the message. Waits 5 s at most. */
MUST_CHECK enum db_outcome db_check_schema(struct pg_conn *c, const char *side, int needed,
					   struct err *err);

#endif
