/*
 * verify_servers.h: asks all databases of a comparison at the same time: one question each, then
 * waits for all answers. Every wait has a deadline and ends on a stop. All statements only read,
 * except VERIFY_LOWER. Main thread.
 */
#ifndef PGFANOUT_CONSUMER_VERIFY_VERIFY_SERVERS_H
#define PGFANOUT_CONSUMER_VERIFY_VERIFY_SERVERS_H

#include "common/pg/db.h"
#include "common/base/uuid.h"

#define VERIFY_ID(u) DB_BINARY((const char *)(u)->b, sizeof((u)->b))

enum verify_statement {
	/* of both sides */
	VERIFY_ROWS,
	/* of the primary */
	VERIFY_CHUNK_OF_PRIMARY,
	VERIFY_LOOK_AT_PRIMARY,
	VERIFY_TOTAL,
	/* of a replica */
	VERIFY_CHUNK_OF_COPY = VERIFY_CHUNK_OF_PRIMARY,
	VERIFY_LOOK_AT_COPY = VERIFY_LOOK_AT_PRIMARY,
	VERIFY_MARKS = VERIFY_TOTAL,
	VERIFY_BEATS,
	VERIFY_COMPLETE,
	VERIFY_LOWER, /* for a repair */
};

typedef void (*verify_take)(void *arg, const struct pg_result *r);

struct verify_server {
	const char *name; /* borrowed, as the url */
	const char *url;
	struct db *db;
	enum exit_code failed; /* EXIT_OK as long as it answers; else err says why */
	struct err err;
	verify_take take; /* of the question under way */
	void *arg;
};

/* Connects and checks the migrations. False: failed and err are set. */
MUST_CHECK bool verify_server_open(struct verify_server *s, bool primary);
void verify_server_close(struct verify_server *s);
bool verify_server_fail(struct verify_server *s, enum exit_code code, const char *why);

/* Sends one question; verify_wait() passes the answer, in binary format, to take. A server that has
 * failed is not asked. */
void verify_ask(struct verify_server *s, enum verify_statement statement,
		const struct db_param *params, verify_take take, void *arg);
/* Until all that were asked have answered or failed. False: stop was requested. */
MUST_CHECK bool verify_wait(struct verify_server *const *servers, size_t n);

#endif
