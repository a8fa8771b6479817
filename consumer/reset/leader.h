/*
 * leader.h: whether the primary that answers is the one that leads. A server whose standby was promoted may come back,
 * and answer at DATABASE_URL: what is copied from it would take replicas back. Of several hosts that DATABASE_URL names
 * the one of the latest epoch is taken. Any thread.
 */
#ifndef PGFANOUT_CONSUMER_RESET_LEADER_H
#define PGFANOUT_CONSUMER_RESET_LEADER_H

#include "common/pg/db.h"
#include "common/wire/source.h"

/* As db_connect_raw(). Of several hosts that take writes each is asked for its source. */
struct pg_conn *leader_connect(const char *url, const struct db_options *opt, struct err *err);
/* As db_connect_raw() and db_open(), to the server of that source and no other: further connections of what has begun
 * there. */
struct pg_conn *leader_connect_same(const char *url, const struct db_options *opt,
				    const char *source, struct err *err);
struct db *leader_open_same(const char *url, const struct db_options *opt, const char *source,
			    const struct db_statement *statements, size_t n, struct err *err);
/* pgfanout.source() of the primary, whose epoch has begun then. */
MUST_CHECK enum db_outcome leader_source(struct pg_conn *primary, char ret[SOURCE_MAX],
					 struct err *err);
/* DB_SCHEMA: the replica follows a later epoch of it. ret_at: the replica's time, NULL: it is not asked for. */
#define LEADER_TIME_MAX 48
MUST_CHECK enum db_outcome leader_check(struct pg_conn *replica, const char *source,
					char ret_at[LEADER_TIME_MAX], struct err *err);

#endif
