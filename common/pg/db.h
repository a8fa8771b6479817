/*
 * db.h: PostgreSQL connections: plain blocking ones with deadlines, and pipelined ones inside an
 * event loop.
 *
 * libpq stays behind this module (consumer/reset/rebuild.c and migrations/ use it too: COPY streams
 * and whole scripts).
 *
 * Sessions: timezone=UTC, datestyle=ISO, extra_float_digits=3, client_encoding=UTF8,
 * row_security=off (unless struct db_options says so), plan_cache_mode=force_generic_plan, transactions READ COMMITTED,
 * synchronous_commit at least "local" where it was off (but see may_be_lost), jit off,
 * application_name, connect_timeout, keepalives, tcp_user_timeout, and the statement, lock and
 * idle-in-transaction timeouts of struct db_options. They are set after the login, in one round
 * trip: also through a pooler that drops start-up options, as long as it pools by session.
 *
 * A pipelined connection (struct db) sends *units*: one prepared statement and its Sync, so a unit
 * is a transaction of its own, and is answered (its callback called) only when its Sync has come
 * back: DB_OK means committed. Units are answered in the order they were sent. When the connection
 * dies every unit in flight is answered DB_LOST, from within db_io() or db_tick() or db_close(),
 * never from within db_send(). Callbacks may call db_send() on the same connection, but not
 * db_close().
 *
 * A struct db belongs to one thread at a time; db_open() may run in a helper thread that then hands
 * it over.
 */
#ifndef PGFANOUT_COMMON_PG_DB_H
#define PGFANOUT_COMMON_PG_DB_H

#include "common/base/base.h"
#include "common/base/clock.h"
#include "common/pg/db_param.h"
#include "common/base/err.h"
#include "common/pg/sqlstate.h"

struct pg_conn;	  /* libpq's PGconn */
struct pg_result; /* libpq's PGresult */

struct db_options {
	const char *application_name;
	int connect_timeout_s;	      /* 0: 3; libpq takes at least 2 */
	int64_t statement_timeout_ms; /* 0: none */
	int64_t lock_timeout_ms;      /* 0: none */
	/* 0: none; the server ends the session when nothing came from us for so long. */
	int64_t idle_session_timeout_ms;
	/* What is committed here may be lost if the server crashes: synchronous_commit = off. */
	bool may_be_lost;
	const char *guc; /* further session settings as "-c enable_seqscan=off -c …"; NULL: none */
	/* Of several hosts in the connection string: how many of the first ones are tried last. */
	unsigned host_turn;
	/* And which of them will do, instead of the string's target_session_attrs; NULL: as it says. */
	const char *session_attrs;
	/* Is asked of each connection when it has its settings; suits() gets the first value of the answer; false with err:
	 * it will not do. NULL: any will. */
	const char *suits_sql;
	bool (*suits)(const char *answer, void *arg, struct err *err);
	void *suits_arg;
	/* Opening is given up when this is readable; 0: stop_fd(). For those who go on while the
	 * process drains. */
	int stop_fd;
};

struct db_statement {
	const char *name;
	const char *sql;
	int nparams;
	const unsigned *types; /* parameter type OIDs, NULL: let the server infer */
};

/* Whether libpq can read a connection string, URI or keywords. What it cannot read, and what looks
 * like a password that should have been percent-encoded, is refused with words of ours that quote
 * nothing of it: "must be …". Does not connect, nor look at service files. */
MUST_CHECK bool db_check_uri(const char *uri, struct err *err);
/* How many hosts a connection string names; 1 if it names none, or cannot be read. */
unsigned db_host_count(const char *uri);
/* Whether both name a host, with its port, in the same words. */
bool db_has_host_of(const char *uri, const char *other);

/* Blocking connect, bounded by connect_timeout an address (the name look-up by the resolver alone),
 * and by as much again for the session's settings. NULL and err (scrubbed) on failure;
 * err->sqlstate is set where the server gave one after the login (libpq does not hand on that of a
 * refused login), and to SQLSTATE_ENCODING where the database's encoding is not UTF8;
 * sqlstate_outcome() says what it means. For use with libpq directly; db_conn_close() closes. Any thread. */
struct pg_conn *db_connect_raw(const char *uri, const struct db_options *opt, struct err *err);

/* Puts the server's message (one line; with hint, and with detail unless data was refused, when it
 * quotes the data), what anybody may see of it, and SQLSTATE of a failed result into err; r may be
 * NULL: the connection's error. Returns the outcome. */
enum db_outcome db_explain(struct pg_conn *c, struct pg_result *r, struct err *err);

/* Ends the connection and frees it, without ever waiting for the server. NULL is fine. */
void db_conn_close(struct pg_conn *c);
/* "postgresql://user@host:5432/products" of the server actually reached. */
#define DB_NAME_MAX 320
void db_conn_name(const struct pg_conn *c, char *buf, size_t size);

/* ---- results, so that callers need no libpq ---- */

int db_rows(const struct pg_result *r);
bool db_is_null(const struct pg_result *r, int row, int col);
/* Text, or the binary value where binary was asked for; never NULL, "" for an SQL NULL; lives as
 * long as the result. */
const char *db_value(const struct pg_result *r, int row, int col);
int db_length(const struct pg_result *r, int row, int col); /* bytes, without the NUL */
/* For results that are owned (db_query, db_wait_result), never inside a db_callback. NULL is
 * fine. */
void db_result_clear(struct pg_result *r);

/* Waits for and returns the next result of an asynchronous command, NULL at the end or at the
 * deadline/stop (then *ret_lost is true and the connection is of no more use). */
struct pg_result *db_wait_result(struct pg_conn *c, struct mono deadline, bool *ret_lost);

/* One statement with parameters on a plain connection, with a deadline. The result (text format
 * unless binary) is returned on DB_OK only; db_result_clear() it. ret may be NULL: nobody wants
 * it. */
MUST_CHECK enum db_outcome db_query(struct pg_conn *c, const char *sql, int nparams,
				    const struct db_param *params, bool binary,
				    struct mono deadline, struct pg_result **ret, struct err *err);

/* The same in two steps, for a statement that is run many times: the server plans it once. */
MUST_CHECK enum db_outcome db_prepare(struct pg_conn *c, const char *name, const char *sql,
				      struct mono deadline, struct err *err);
MUST_CHECK enum db_outcome db_query_prepared(struct pg_conn *c, const char *name, int nparams,
					     const struct db_param *params, struct mono deadline,
					     struct pg_result **ret, struct err *err);

/* A text of many statements, with a deadline; the first failure ends it. A lost connection is of no more
 * use. */
MUST_CHECK enum db_outcome db_script(struct pg_conn *c, const char *sql, struct mono deadline,
				     struct err *err);

/* ---- pipelined ---- */

struct db;

/* r: the result, borrowed for the call, NULL unless DB_OK; err: set unless DB_OK. */
typedef void (*db_callback)(void *arg, enum db_outcome outcome, const struct pg_result *r,
			    const struct err *err);

/* Blocking: connects, prepares the statements (index in the table is the statement number), enters
 * pipeline and non-blocking mode. NULL on failure. table is borrowed for the life of the
 * connection. */
MUST_CHECK struct db *db_open(const char *uri, const struct db_options *opt,
			      const struct db_statement *table, size_t n, struct err *err);
/* One more statement, which is prepared with its first unit: that unit fails if it cannot be. Returns its
 * number. Copies name and sql. */
size_t db_add_statement(struct db *db, const char *name, const char *sql, int nparams);
/* Such a statement in one of a number of places, counted from 0: sql, unless the one that is there has this
 * serial (not 0). It is not changed while a unit of it is in flight. Not together with
 * db_add_statement(). */
size_t db_use_statement(struct db *db, size_t place, uint64_t serial, const char *sql, int nparams);
void db_close(struct db *db); /* answers what is in flight with DB_LOST; NULL is fine */

int db_fd(const struct db *db);
bool db_alive(const struct db *db);
bool db_wants_write(const struct db *db); /* poll for writing too */
size_t db_in_flight(const struct db *db);
int db_server_version(const struct db *db); /* 150004 */
/* The server's process of a connection that was given up because an answer did not come in time: it may be at work for
 * as long as it likes, and end only then. 0: it was not. */
int db_left_behind(const struct db *db);
/* The bytes of the largest unit so far, its parameters or its result: libpq's buffers have grown to that, and
 * shrink only with db_close(). */
size_t db_largest(const struct db *db);

/* Queues a unit; parameters are copied into libpq's buffer at once. binary: format of the result.
 * The deadline is the unit's own; when it passes the connection is given up (all its units
 * DB_LOST), because later answers cannot come before it. False (err set, callback not called) if
 * the connection is dead or libpq refuses. */
MUST_CHECK bool db_send(struct db *db, size_t statement, const struct db_param *params, bool binary,
			struct mono deadline, db_callback cb, void *arg, struct err *err);

/* As db_send(); and when the unit has ended the server is asked the statement `then`, which has no
 * parameters and one value: outside of the unit's transaction, so it finds what that has committed. The callback comes
 * after its answer. That it fails, or is lost, is no failure of the unit. */
MUST_CHECK bool db_send_then(struct db *db, size_t statement, const struct db_param *params,
			     bool binary, size_t then, struct mono deadline, db_callback cb,
			     void *arg, struct err *err);
/* Within the callback: the text of that value; "": there is none. */
const char *db_then(const struct db *db);

/* To be called when the fd is readable or writable, and after sends: flushes, reads, calls
 * callbacks. After it the connection may be dead (db_alive). */
void db_io(struct db *db);
/* Gives the connection up if a deadline has passed. */
void db_tick(struct db *db, struct mono now);
struct mono db_next_deadline(
	const struct db *db); /* when db_tick() has something to do; never: nothing is awaited */

/* Waits, up to deadline, until nothing is in flight: polls the fd and runs db_io. For threads
 * without a loop of their own. False: lost. */
bool db_drain(struct db *db, struct mono deadline);

/* The exit code of a program that ends because of this outcome. After a stop: EXIT_INTERRUPTED. */
enum exit_code db_exit_code(enum db_outcome outcome);

#endif
