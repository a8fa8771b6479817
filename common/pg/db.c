/*
 * db.c: plain connections through libpq: explaining errors, results, and single statements with a
 * deadline. Connecting is db_connect.c, the pipeline db_pipeline.c.
 *
 * Promise: no call here waits longer than its deadline, also when the server is stopped in the
 * middle of an answer. Any thread; a connection belongs to one at a time.
 */
#include "common/pg/db.h"

#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "common/pg/db_private.h"
#include "common/base/stop.h"

/* ---- results ---- */

int db_rows(const struct pg_result *r)
{
	return PQntuples(r);
}

bool db_is_null(const struct pg_result *r, int row, int col)
{
	return PQgetisnull(r, row, col) != 0;
}

const char *db_value(const struct pg_result *r, int row, int col)
{
	const char *value = PQgetvalue(r, row, col);
	return value ? value : "";
}

int db_length(const struct pg_result *r, int row, int col)
{
	return PQgetlength(r, row, col);
}

void db_result_clear(struct pg_result *r)
{
	PQclear(r);
}

/* ---- errors ---- */

/* What anybody may see. */
static void show(const PGresult *r, const char *sqlstate, struct err *err)
{
	const char *constraint = PQresultErrorField(r, PG_DIAG_CONSTRAINT_NAME);
	const char *column = PQresultErrorField(r, PG_DIAG_COLUMN_NAME);
	const char *name = constraint ? constraint : column;

	err_show(err, "%s (%s%s%sSQLSTATE %s)", sqlstate_words(sqlstate),
		 constraint ? "constraint "
		 : column   ? "column "
			    : "",
		 name ? name : "", name ? ", " : "", sqlstate);
}

/* "unnamed portal parameter $2 = '…'", in any language: the statement's parameter that is none of its type. */
static int parameter_of(const PGresult *r)
{
	const char *context = PQresultErrorField(r, PG_DIAG_CONTEXT);
	const char *position = PQresultErrorField(r, PG_DIAG_STATEMENT_POSITION);
	const char *at = context && !position ? strchr(context, '$') : NULL;

	return at ? (int)strtol(at + 1, NULL, 10) : 0;
}

/* A trigger's function, or one of a statement that it runs, is in the context. */
static bool is_of_values(const PGresult *r, int parameter)
{
	return !PQresultErrorField(r, PG_DIAG_STATEMENT_POSITION) &&
	       (parameter > 0 || !PQresultErrorField(r, PG_DIAG_CONTEXT));
}

/* Told by who says it, in any language. */
static bool is_of_row(const PGresult *r)
{
	const char *sqlstate = PQresultErrorField(r, PG_DIAG_SQLSTATE);
	const char *function = PQresultErrorField(r, PG_DIAG_SOURCE_FUNCTION);

	return strcmp(sqlstate, "42501") == 0 && function &&
	       strcmp(function, "ExecWithCheckOptions") == 0;
}

static void name_part(const PGresult *r, int field, char *ret, size_t size)
{
	const char *name = PQresultErrorField(r, field);

	snprintf(ret, size, "%s", name ? name : "");
}

static void name_parts(const PGresult *r, struct err *err)
{
	name_part(r, PG_DIAG_SCHEMA_NAME, err->schema, sizeof(err->schema));
	name_part(r, PG_DIAG_TABLE_NAME, err->table, sizeof(err->table));
	name_part(r, PG_DIAG_COLUMN_NAME, err->column, sizeof(err->column));
	name_part(r, PG_DIAG_CONSTRAINT_NAME, err->constraint, sizeof(err->constraint));
	err->parameter = parameter_of(r);
	err->of_values = is_of_values(r, err->parameter);
	err->of_row = is_of_row(r);
}

enum db_outcome db_explain(struct pg_conn *c, struct pg_result *r, struct err *err)
{
	const char *sqlstate = r ? PQresultErrorField(r, PG_DIAG_SQLSTATE) : NULL;

	if (sqlstate == NULL) {
		/* libpq's own words: the connection broke, or a result of a kind that was not asked
		 * for. */
		const char *text = r ? PQresultErrorMessage(r) : PQerrorMessage(c);
		if (*text == '\0')
			text = "the server gave an unexpected answer";
		err_set(err, "%.*s", (int)strcspn(text, "\n"), text);
		return DB_LOST;
	}

	const char *primary = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
	const char *hint = PQresultErrorField(r, PG_DIAG_MESSAGE_HINT);
	const char *detail = PQresultErrorField(r, PG_DIAG_MESSAGE_DETAIL);

	/* Where the data is refused, the detail is the data: a whole row, or a key. */
	if (sqlstate_outcome(sqlstate) == DB_REFUSED)
		detail = NULL;
	err_set(err, "%s (SQLSTATE %s)%s%s%s%s", primary ? primary : "error", sqlstate,
		detail ? " " : "", detail ? detail : "", hint ? " Hint: " : "", hint ? hint : "");
	show(r, sqlstate, err);
	name_parts(r, err);
	memcpy(err->sqlstate, sqlstate, min_size(strlen(sqlstate) + 1, sizeof(err->sqlstate)));
	err->sqlstate[sizeof(err->sqlstate) - 1] = '\0';
	return db_needs_new_session(r) ? DB_RETRY : sqlstate_outcome(sqlstate);
}

bool db_needs_new_session(const struct pg_result *r)
{
	const char *sqlstate = PQresultErrorField(r, PG_DIAG_SQLSTATE);
	const char *function = PQresultErrorField(r, PG_DIAG_SOURCE_FUNCTION);

	if (sqlstate == NULL)
		return false;
	/* 0A000 says many things; "cached plan must not change result type" is told by who says it,
	 * in any language. */
	return strcmp(sqlstate, "26000") == 0 || (strcmp(sqlstate, "0A000") == 0 && function &&
						  strcmp(function, "RevalidateCachedQuery") == 0);
}

/* ---- waiting ---- */

bool db_wait_socket(const struct pg_conn *c, bool for_write, int stop, struct mono deadline)
{
	struct pollfd fds[2] = {
		{ .fd = PQsocket(c), .events = (short)(POLLIN | (for_write ? POLLOUT : 0)) },
		{ .fd = stop, .events = POLLIN },
	};

	for (;;) {
		int wait_ms = mono_until_ms(deadline, mono_now(), 60000);
		int n = poll(fds, 2, wait_ms);
		if (n > 0)
			return fds[1].revents == 0;
		if (n < 0 && errno != EINTR)
			fatal("poll: %s", strerror(errno));
		if (mono_reached(deadline, mono_now()))
			return false;
	}
}

struct pg_result *db_take_result(struct pg_conn *c, int stop, struct mono deadline, bool *ret_lost)
{
	for (;;) {
		int unsent = PQflush(c);
		if (unsent < 0 && PQstatus(c) == CONNECTION_BAD && PQisBusy(c))
			break;
		if (!PQisBusy(c)) {
			/* Also on a broken connection: it then hands over what broke it, once. */
			struct pg_result *r = PQgetResult(c);
			*ret_lost = r == NULL && PQstatus(c) == CONNECTION_BAD;
			return r;
		}
		if (!db_wait_socket(c, unsent > 0, stop, deadline))
			break;
		bool ok = PQconsumeInput(c);
		/* libpq may leave the rest of a TLS record inside OpenSSL, where poll() does not
		 * see it: one more read takes it. */
		if (ok && PQsslInUse(c) && PQisBusy(c))
			ok = PQconsumeInput(c);
		if (!ok && PQstatus(c) == CONNECTION_BAD && PQisBusy(c))
			break;
	}
	*ret_lost = true;
	return NULL;
}

struct pg_result *db_wait_result(struct pg_conn *c, struct mono deadline, bool *ret_lost)
{
	return db_take_result(c, stop_fd(), deadline, ret_lost);
}

/* ---- one statement ---- */

/* Why db_wait_result gave up. */
static enum db_outcome explain_loss(PGconn *c, struct err *err)
{
	if (PQstatus(c) == CONNECTION_BAD)
		return db_explain(c, NULL, err);
	err_set(err, stop_requested() ? "stopped while waiting for the database's answer"
				      : "the database did not answer in time");
	return DB_LOST;
}

/* name: of a statement that was prepared, instead of sql. */
static bool send_query(PGconn *c, const char *sql, const char *name, int nparams,
		       const struct db_param *params, bool binary)
{
	AUTO_FREE const char **values = xcalloc((size_t)nparams + 1, sizeof(*values));
	AUTO_FREE int *lengths = xcalloc((size_t)nparams + 1, sizeof(*lengths));
	AUTO_FREE int *formats = xcalloc((size_t)nparams + 1, sizeof(*formats));

	for (int i = 0; i < nparams; i++) {
		values[i] = params[i].data;
		lengths[i] = params[i].len;
		formats[i] = params[i].format;
	}
	if (name != NULL)
		return PQsendQueryPrepared(c, name, nparams, values, lengths, formats, binary) == 1;
	return PQsendQueryParams(c, sql, nparams, NULL, values, lengths, formats, binary) == 1;
}

/* Takes what comes of a command, which was sent without waiting, and waits for its end. */
static enum db_outcome take_answer(PGconn *c, bool was_nonblocking, int stop, struct mono deadline,
				   struct pg_result **ret, struct err *err)
{
	enum db_outcome outcome = DB_OK;
	struct pg_result *last = NULL, *r;
	bool lost = false;

	while ((r = db_take_result(c, stop, deadline, &lost)) != NULL) {
		ExecStatusType status = PQresultStatus(r);
		if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
			db_result_clear(last);
			last = r;
			continue;
		}
		if (outcome == DB_OK)
			outcome = db_explain(c, r, err);
		db_result_clear(r);
		if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT ||
		    status == PGRES_COPY_BOTH) {
			err_set(err, "COPY cannot be run as a single statement");
			break;
		}
	}
	if (lost && outcome == DB_OK)
		outcome = explain_loss(c, err);
	else if (lost)
		outcome = DB_LOST; /* the text is the server's last words */
	else if (!was_nonblocking && PQsetnonblocking(c, 0) != 0)
		outcome = db_explain(c, NULL, err);
	if (outcome == DB_OK && ret) {
		*ret = last;
		last = NULL;
	}
	db_result_clear(last);
	return outcome;
}

/* As send_query() has it. */
static enum db_outcome query(PGconn *c, const char *sql, const char *name, int nparams,
			     const struct db_param *params, bool binary, int stop,
			     struct mono deadline, struct pg_result **ret, struct err *err)
{
	const bool was_nonblocking = PQisnonblocking(c) != 0;

	/* Or a large parameter would wait inside libpq for a server that reads nothing. */
	if (PQsetnonblocking(c, 1) != 0 || !send_query(c, sql, name, nparams, params, binary))
		return db_explain(c, NULL, err);
	return take_answer(c, was_nonblocking, stop, deadline, ret, err);
}

enum db_outcome db_query(struct pg_conn *c, const char *sql, int nparams,
			 const struct db_param *params, bool binary, struct mono deadline,
			 struct pg_result **ret, struct err *err)
{
	return db_ask(c, sql, nparams, params, binary, stop_fd(), deadline, ret, err);
}

enum db_outcome db_ask(struct pg_conn *c, const char *sql, int nparams,
		       const struct db_param *params, bool binary, int stop, struct mono deadline,
		       struct pg_result **ret, struct err *err)
{
	return query(c, sql, NULL, nparams, params, binary, stop, deadline, ret, err);
}

enum db_outcome db_query_prepared(struct pg_conn *c, const char *name, int nparams,
				  const struct db_param *params, struct mono deadline,
				  struct pg_result **ret, struct err *err)
{
	return query(c, NULL, name, nparams, params, false, stop_fd(), deadline, ret, err);
}

enum db_outcome db_prepare(struct pg_conn *c, const char *name, const char *sql,
			   struct mono deadline, struct err *err)
{
	const bool was_nonblocking = PQisnonblocking(c) != 0;

	if (PQsetnonblocking(c, 1) != 0 || PQsendPrepare(c, name, sql, 0, NULL) != 1)
		return db_explain(c, NULL, err);
	return take_answer(c, was_nonblocking, stop_fd(), deadline, NULL, err);
}

enum exit_code db_exit_code(enum db_outcome outcome)
{
	if (stop_requested())
		return EXIT_INTERRUPTED;
	switch (outcome) {
	case DB_LOST:
	case DB_UNFIT:
		return EXIT_UNREACHABLE;
	case DB_SCHEMA:
		return EXIT_SCHEMA;
	case DB_BUSY:
	case DB_FOREIGN:
		return EXIT_BUSY;
	default:
		return EXIT_RUNTIME;
	}
}

enum db_outcome db_script(struct pg_conn *c, const char *sql, struct mono deadline, struct err *err)
{
	enum db_outcome outcome = DB_OK;
	bool lost = false;
	PGresult *r;

	if (!PQsendQuery(c, sql))
		return db_explain(c, NULL, err);
	while ((r = db_wait_result(c, deadline, &lost)) != NULL) {
		ExecStatusType status = PQresultStatus(r);
		if (outcome == DB_OK && status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
			outcome = db_explain(c, r, err);
		PQclear(r);
	}
	if (!lost)
		return outcome;
	if (outcome == DB_OK)
		err_set(err, "%s",
			stop_requested() ? "stopped; it is rolled back"
					 : "the connection was lost; it is rolled back");
	return DB_LOST;
}
