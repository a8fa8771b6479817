/*
 * leader.h: whether the primary that answers is the one that leads. A server whose standby was promoted may come back,
 * and answer at DATABASE_URL: what is copied from it would take replicas back. Of several hosts that DATABASE_URL names
 * the one of the latest epoch is taken. Any thread.
 */
#ifndef PGFANOUT_CONSUMER_RESET_LEADER_H
#define PGFANOUT_CONSUMER_RESET_LEADER_H

#include "common/pg/db.h"
#include "common/wire/source.h"

/* As db_connect_raw(). Of several hosts each is asked, those that do not answer within their time excepted. ret_turn:
 * db_options.host_turn of the one that is taken, for further connections. */
struct pg_conn *leader_connect(const char *url, const struct db_options *opt, unsigned *ret_turn,
			       struct err *err);
/* pgfanout.source() of the primary, whose epoch has begun then. */
MUST_CHECK enum db_outcome leader_source(struct pg_conn *primary, char ret[SOURCE_MAX],
					 struct err *err);
/* DB_SCHEMA: the replica follows a later epoch of it. ret_at: the replica's time, NULL: it is not asked for. */
#define LEADER_TIME_MAX 48
MUST_CHECK enum db_outcome leader_check(struct pg_conn *replica, const char *source,
					char ret_at[LEADER_TIME_MAX], struct err *err);

#endif
