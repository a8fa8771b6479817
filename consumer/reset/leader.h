/*
 * leader.h: whether the primary that answers is the one that leads. A server whose standby was promoted may come back,
 * and answer at DATABASE_URL: what is copied from it would take replicas back. Any thread.
 */
#ifndef PGFANOUT_CONSUMER_RESET_LEADER_H
#define PGFANOUT_CONSUMER_RESET_LEADER_H

#include "common/pg/db.h"
#include "common/wire/source.h"

/* pgfanout.source() of the primary, whose epoch has begun then. */
MUST_CHECK enum db_outcome leader_source(struct pg_conn *primary, char ret[SOURCE_MAX],
					 struct err *err);
/* DB_SCHEMA: the replica follows a later epoch of it. */
MUST_CHECK enum db_outcome leader_check(struct pg_conn *replica, const char *source,
					struct err *err);

#endif
