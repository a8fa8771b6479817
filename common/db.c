/*
 * db.c: the one door to libpq: connecting, explaining errors, results, and single statements with a deadline.
 *
 * Promises: no call here waits longer than its deadline, also when the server is stopped in the middle of an answer; the only
 * wait that libpq keeps to itself, the login, is bounded by connect_timeout. No password reaches an error text. Any thread; a
 * connection belongs to one at a time.
 */
#include "common/db.h"

#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/db_private.h"
#include "common/stop.h"
#include "common/strbuf.h"
#include "common/uri.h"

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

enum db_outcome db_explain(struct pg_conn *c, struct pg_result *r, struct err *err)
{
	const char *sqlstate = r ? PQresultErrorField(r, PG_DIAG_SQLSTATE) : NULL;

	if (sqlstate == NULL) {
		/* libpq's own words: the connection broke, or a result of a kind that was not asked for. */
		const char *text = r ? PQresultErrorMessage(r) : PQerrorMessage(c);
		if (*text == '\0')
			text = "the server gave an unexpected answer";
		err_set(err, "%.*s", (int)strcspn(text, "\n"), text);
		return DB_LOST;
	}

	const char *primary = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
	const char *detail = PQresultErrorField(r, PG_DIAG_MESSAGE_DETAIL);
	const char *hint = PQresultErrorField(r, PG_DIAG_MESSAGE_HINT);
	err_set(err, "%s (SQLSTATE %s)%s%s%s%s", primary ? primary : "error", sqlstate,
		detail ? " " : "", detail ? detail : "", hint ? " Hint: " : "", hint ? hint : "");
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
	/* 0A000 says many things; "cached plan must not change result type" is told by who says it, in any language. */
	return strcmp(sqlstate, "26000") == 0 || (strcmp(sqlstate, "0A000") == 0 && function &&
						   strcmp(function, "RevalidateCachedQuery") == 0);
}

/* ---- connecting ---- */

int db_connect_timeout_s(const struct db_options *opt)
{
	return opt->connect_timeout_s > 0 ? (opt->connect_timeout_s < 2 ? 2 : opt->connect_timeout_s)
					  : 3;
}

static void ignore_notice(void *arg, const PGresult *r)
{
	(void)arg;
	(void)r;
}

static const char *uri_value(const PQconninfoOption *parsed, const char *keyword)
{
	for (const PQconninfoOption *o = parsed; o->keyword; o++)
		if (strcmp(o->keyword, keyword) == 0)
			return o->val;
	return NULL;
}

/* libpq ends the password at the first '@': what follows it then stands in the host. */
static bool has_at(const PQconninfoOption *parsed, const char *keyword)
{
	const char *value = uri_value(parsed, keyword);
	return value && strchr(value, '@') && value[0] != '@'; /* "@name" is an abstract socket */
}

/* The session's settings as a command line. What the connection string or PGOPTIONS ask for stays, but ours come later and win. */
static void session_options(struct strbuf *out, const struct db_options *opt, const char *theirs)
{
	if (theirs == NULL)
		theirs = getenv("PGOPTIONS");
	if (theirs)
		strbuf_addf(out, "%s ", theirs);
	/* READ COMMITTED: a batch that waited for another one must see what that one did. jit: statements here are short, and a
	 * planner switch that rules out scans makes them look dear enough to be compiled each time. */
	strbuf_addstr(out, "-c timezone=UTC -c datestyle=ISO -c extra_float_digits=3"
			   " -c plan_cache_mode=force_generic_plan -c jit=off"
			   " -c default_transaction_isolation=read\\ committed");
	strbuf_addf(out, " -c statement_timeout=%lld -c lock_timeout=%lld",
		    (long long)opt->statement_timeout_ms, (long long)opt->lock_timeout_ms);
	strbuf_addf(out,
		    " -c idle_in_transaction_session_timeout=%lld -c idle_session_timeout=%lld",
		    (long long)opt->idle_session_timeout_ms, (long long)opt->idle_session_timeout_ms);
	if (opt->guc)
		strbuf_addf(out, " %s", opt->guc);
}

static PGconn *login(const PQconninfoOption *parsed, const struct db_options *opt)
{
	AUTO_STRBUF options = STRBUF_INIT;
	char timeout[16];
	strbuf_addint(&options, db_connect_timeout_s(opt));
	memcpy(timeout, options.data, options.len + 1);
	strbuf_reset(&options);
	session_options(&options, opt, uri_value(parsed, "options"));

	const struct {
		const char *keyword, *value;
		bool fixed; /* also against the connection string */
	} ours[] = {
		{ "keepalives", "1", false },	       { "keepalives_idle", "5", false },
		{ "keepalives_interval", "2", false }, { "keepalives_count", "3", false },
		{ "tcp_user_timeout", "10000", false }, { "connect_timeout", timeout, true },
		{ "client_encoding", "UTF8", true },   { "options", strbuf_str(&options), true },
		{ "application_name", opt->application_name, true },
	};
	const char *keywords[ARRAY_SIZE(ours) + 128];
	const char *values[ARRAY_SIZE(keywords)];
	size_t n = 0;

	/* Of a keyword that comes twice libpq takes the later one: defaults, connection string, what is fixed. */
	for (size_t i = 0; i < ARRAY_SIZE(ours); i++) {
		if (!ours[i].fixed) {
			keywords[n] = ours[i].keyword;
			values[n++] = ours[i].value;
		}
	}
	for (const PQconninfoOption *o = parsed; o->keyword; o++) {
		if (o->val && *o->val && n < ARRAY_SIZE(keywords) - ARRAY_SIZE(ours)) {
			keywords[n] = o->keyword;
			values[n++] = o->val;
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(ours); i++) {
		if (ours[i].fixed && ours[i].value) {
			keywords[n] = ours[i].keyword;
			values[n++] = ours[i].value;
		}
	}
	keywords[n] = values[n] = NULL;
	return PQconnectdbParams(keywords, values, 0);
}

/* What is acknowledged outward must be on this server's disk: synchronous_commit=off of the server or role is not followed, any other
 * value is. */
static bool make_durable(PGconn *c, const struct db_options *opt, struct err *err)
{
	static const char sql[] = "SELECT set_config('synchronous_commit', 'local', false)"
				  " WHERE current_setting('synchronous_commit') = 'off'";
	struct mono deadline = mono_add_ms(mono_now(), db_connect_timeout_s(opt) * 1000);

	return db_query(c, sql, 0, NULL, false, deadline, NULL, err) == DB_OK;
}

struct pg_conn *db_connect_raw(const char *uri, const struct db_options *opt, struct err *err)
{
	char shown[DB_NAME_MAX];
	uri_scrub(uri, shown, sizeof(shown));

	/* libpq quotes what it cannot read or reach, and that may be a piece of the password: where the parts cannot be told apart
	 * for sure, its words are not passed on. */
	char *complaint = NULL;
	PQconninfoOption *parsed = PQconninfoParse(uri, &complaint);
	PQfreemem(complaint);
	if (parsed == NULL || strcmp(shown, "(hidden)") == 0 || has_at(parsed, "host") ||
	    has_at(parsed, "dbname")) {
		PQconninfoFree(parsed);
		err_set(err, "a database's connection string cannot be read: write postgresql://user:password@host:port/database, "
			     "with special characters of the password percent-encoded (@ as %%40, / as %%2F)");
		return NULL;
	}

	PGconn *c = login(parsed, opt);
	PQconninfoFree(parsed);
	if (c == NULL)
		fatal("out of memory");
	PQsetNoticeReceiver(c, ignore_notice, NULL);
	if (PQstatus(c) != CONNECTION_OK) {
		const char *text = PQerrorMessage(c);
		err_set(err, "%s: %.*s", shown, (int)strcspn(text, "\n"), text);
		goto fail;
	}
	if (!make_durable(c, opt, err)) {
		err_prefix(err, "%s", shown);
		goto fail;
	}
	return c;
fail:
	db_conn_close(c);
	return NULL;
}

void db_conn_close(struct pg_conn *c)
{
	if (c == NULL)
		return;
	/* PQfinish() says good-bye first, and a blocking connection would wait for room for that for ever if the server takes nothing. With
	 * a command under way it is not at the other end of a conversation anyway. */
	if (PQtransactionStatus(c) == PQTRANS_ACTIVE && PQsocket(c) >= 0)
		shutdown(PQsocket(c), SHUT_RDWR);
	PQfinish(c);
}

void db_conn_name(const struct pg_conn *c, char *buf, size_t size)
{
	const char *user = PQuser(c), *host = PQhost(c), *port = PQport(c), *name = PQdb(c);
	AUTO_STRBUF out = STRBUF_INIT;

	strbuf_addf(&out, "postgresql://%s@%s:%s/%s", user ? user : "", host ? host : "",
		    port ? port : "", name ? name : "");
	size_t n = min_size(out.len, size - 1);
	memcpy(buf, out.data, n);
	buf[n] = '\0';
}

/* ---- waiting ---- */

bool db_wait_socket(const struct pg_conn *c, bool for_write, bool stoppable, struct mono deadline)
{
	struct pollfd fds[2] = {
		{ .fd = PQsocket(c), .events = (short)(POLLIN | (for_write ? POLLOUT : 0)) },
		{ .fd = stoppable ? stop_fd() : -1, .events = POLLIN },
	};

	for (;;) {
		int wait_ms = mono_until_ms(deadline, mono_now(), 60000);
		int n = poll(fds, 2, wait_ms);
		if (n > 0)
			return fds[1].revents == 0;
		if (n < 0 && errno != EINTR)
			fatal("poll: %s", strerror(errno));
		if (deadline.us != 0 && mono_reached(deadline, mono_now()))
			return false;
	}
}

bool db_consume(struct pg_conn *c)
{
	if (!PQconsumeInput(c))
		return false;
	/* libpq may leave a rest of a TLS record inside OpenSSL, where poll() does not see it. One more read takes it. */
	return !PQsslInUse(c) || PQconsumeInput(c);
}

struct pg_result *db_wait_result(struct pg_conn *c, struct mono deadline, bool *ret_lost)
{
	for (;;) {
		int unsent = PQflush(c);
		if (unsent < 0 && PQstatus(c) == CONNECTION_BAD)
			break;
		if (!PQisBusy(c)) {
			/* Also on a broken connection: it then hands over what broke it, once. */
			struct pg_result *r = PQgetResult(c);
			*ret_lost = r == NULL && PQstatus(c) == CONNECTION_BAD;
			return r;
		}
		if (!db_wait_socket(c, unsent > 0, true, deadline))
			break;
		if (!db_consume(c) && PQstatus(c) == CONNECTION_BAD)
			break;
	}
	*ret_lost = true;
	return NULL;
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

static bool send_query(PGconn *c, const char *sql, int nparams, const struct db_param *params, bool binary)
{
	AUTO_FREE const char **values = xcalloc((size_t)nparams + 1, sizeof(*values));
	AUTO_FREE int *lengths = xcalloc((size_t)nparams + 1, sizeof(*lengths));
	AUTO_FREE int *formats = xcalloc((size_t)nparams + 1, sizeof(*formats));

	for (int i = 0; i < nparams; i++) {
		values[i] = params[i].data;
		lengths[i] = params[i].len;
		formats[i] = params[i].format;
	}
	return PQsendQueryParams(c, sql, nparams, NULL, values, lengths, formats, binary) == 1;
}

enum db_outcome db_query(struct pg_conn *c, const char *sql, int nparams, const struct db_param *params,
			 bool binary, struct mono deadline, struct pg_result **ret, struct err *err)
{
	enum db_outcome outcome = DB_OK;
	struct pg_result *last = NULL, *r;
	bool lost = false;
	int was_nonblocking = PQisnonblocking(c);

	/* Or a large parameter would wait inside libpq for a server that reads nothing. */
	if (PQsetnonblocking(c, 1) != 0 || !send_query(c, sql, nparams, params, binary))
		return db_explain(c, NULL, err);

	while ((r = db_wait_result(c, deadline, &lost)) != NULL) {
		ExecStatusType status = PQresultStatus(r);
		if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
			db_result_clear(last);
			last = r;
			continue;
		}
		if (outcome == DB_OK)
			outcome = db_explain(c, r, err);
		db_result_clear(r);
		if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH) {
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
