/*
 * verify_servers.h: asks all databases of a comparison at the same time: one question each, then
 * waits for all answers. Every wait has a deadline and ends on a stop. All statements only read,
 * except VERIFY_LOWER. Main thread.
 */
#ifndef PGFANOUT_CONSUMER_VERIFY_VERIFY_SERVERS_H
#define PGFANOUT_CONSUMER_VERIFY_VERIFY_SERVERS_H

#include "common/pg/db.h"
#include "consumer/reset/leader.h"
#include "consumer/verify/verify_sql.h"

/* Of a session: the search path of verify_sql_path(). */
#define VERIFY_SET_PATH "SELECT set_config('search_path', $1::text, false)"

enum verify_statement {
	VERIFY_PATH, /* of both sides */
	/* of the primary */
	VERIFY_BEGIN,
	VERIFY_ROWS, /* from here on of one table: verify_sql.h */
	VERIFY_ROWS_NEXT,
	VERIFY_ABSENT,
	VERIFY_LOOK_AT_PRIMARY,
	/* of a replica */
	VERIFY_TABLE = VERIFY_BEGIN,
	VERIFY_BEATS,
	VERIFY_COMPLETE,
	VERIFY_KEYS, /* likewise */
	VERIFY_KEYS_NEXT,
	VERIFY_DIFFERENT,
	VERIFY_MARKS,
	VERIFY_LOOK_AT_COPY,
	VERIFY_LOWER, /* for a repair */
};

typedef void (*verify_take)(void *arg, const struct pg_result *r);

struct verify_server {
	const char *name; /* borrowed, as the url */
	const char *url;
	bool primary;
	const char *leads; /* of the primary: the source that it must have, borrowed */
	char checked_at[LEADER_TIME_MAX]; /* of a replica: verify_server_check(), by its clock */
	struct db *db;
	enum exit_code failed; /* EXIT_OK as long as it answers; else err says why */
	struct err err;
	verify_take take; /* of the question under way */
	void *arg;
};

/* A plain connection with the settings that all have here, to be closed by db_conn_close(); NULL: err says
 * why. */
struct pg_conn *verify_server_connect(const struct verify_server *s, struct err *err);
/* Of a replica: checks that it can be reached, the migrations, and that it follows a primary of this source. False:
 * failed and err are set. */
MUST_CHECK bool verify_server_check(struct verify_server *s, const char *leads);
/* Connects anew: what was prepared for another table is gone. False: likewise, or it had failed before. */
MUST_CHECK bool verify_server_open(struct verify_server *s);
/* The table whose statements can be asked from here on. */
void verify_server_prepare(struct verify_server *s, const struct verify_names *names);
void verify_server_close(struct verify_server *s);
bool verify_server_fail(struct verify_server *s, enum exit_code code, const char *why);

/* Sends one question; verify_wait() passes the answer, in binary format, to take. A server that has
 * failed is not asked. */
void verify_ask(struct verify_server *s, enum verify_statement statement,
		const struct db_param *params, verify_take take, void *arg);
/* Until all that were asked have answered or failed. False: stop was requested. */
MUST_CHECK bool verify_wait(struct verify_server *const *servers, size_t n);

#endif
