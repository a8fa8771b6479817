/*
 * db_private.h: what common/pg/db*.c share and nobody else needs.
 */
#ifndef PGFANOUT_COMMON_PG_DB_PRIVATE_H
#define PGFANOUT_COMMON_PG_DB_PRIVATE_H

#include "common/pg/db.h"

/* How long a new connection may take: the login for each address, then the session's settings. */
int db_connect_timeout_s(const struct db_options *opt);

/* Polls the socket, and stop (an fd as stop_fd(); -1: none), until the deadline. False: the
 * deadline or the stop came first. */
bool db_wait_socket(const struct pg_conn *c, bool for_write, int stop, struct mono deadline);
/* db_wait_result() and db_query() with another stop. */
struct pg_result *db_take_result(struct pg_conn *c, int stop, struct mono deadline, bool *ret_lost);
MUST_CHECK enum db_outcome db_ask(struct pg_conn *c, const char *sql, int nparams,
				  const struct db_param *params, bool binary, int stop,
				  struct mono deadline, struct pg_result **ret, struct err *err);
/* Of a connection that is being opened. */
int db_stop_fd(const struct db_options *opt);

/* Whether the prepared statements of this session are of no more use after this error: the plan's
 * result changed (a migration), or they are gone (a pooler). The statement was not executed. */
bool db_needs_new_session(const struct pg_result *r);

#endif
