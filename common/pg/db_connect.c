/*
 * db_connect.c: makes and ends connections to PostgreSQL.
 *
 * Promises: connecting is bounded by connect_timeout, closing never waits; every session has the
 * settings that db.h lists, whatever the server, the role or the connection string prefer; no
 * password reaches an error text. Any thread.
 */
#include "common/pg/db.h"

#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/pg/db_private.h"
#include "common/base/stop.h"
#include "common/base/strbuf.h"
#include "common/base/uri.h"

int db_connect_timeout_s(const struct db_options *opt)
{
	return opt->connect_timeout_s > 0
		       ? (opt->connect_timeout_s < 2 ? 2 : opt->connect_timeout_s)
		       : 3;
}

int db_stop_fd(const struct db_options *opt)
{
	return opt->stop_fd ? opt->stop_fd : stop_fd();
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

/* The session's settings as a command line. What the connection string or PGOPTIONS ask for stays,
 * but ours come later and win. */
static void session_options(struct strbuf *out, const struct db_options *opt, const char *theirs)
{
	if (theirs == NULL)
		theirs = getenv("PGOPTIONS");
	if (theirs)
		strbuf_addf(out, "%s ", theirs);
	/* READ COMMITTED: a batch that waited for another one must see what that one did. jit:
	 * statements here are short, and a planner switch that rules out scans makes them look dear
	 * enough to be compiled each time. */
	strbuf_addstr(out, "-c timezone=UTC -c datestyle=ISO -c extra_float_digits=3"
			   " -c plan_cache_mode=force_generic_plan -c jit=off"
			   " -c default_transaction_isolation=read\\ committed");
	strbuf_addf(out, " -c statement_timeout=%lld -c lock_timeout=%lld",
		    (long long)opt->statement_timeout_ms, (long long)opt->lock_timeout_ms);
	strbuf_addf(out,
		    " -c idle_in_transaction_session_timeout=%lld -c idle_session_timeout=%lld",
		    (long long)opt->idle_session_timeout_ms,
		    (long long)opt->idle_session_timeout_ms);
	if (opt->may_be_lost)
		strbuf_addstr(out, " -c synchronous_commit=off");
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
		{ "keepalives", "1", false },
		{ "keepalives_idle", "5", false },
		{ "keepalives_interval", "2", false },
		{ "keepalives_count", "3", false },
		{ "tcp_user_timeout", "10000", false },
		{ "connect_timeout", timeout, true },
		{ "client_encoding", "UTF8", true },
		{ "options", strbuf_str(&options), true },
		{ "application_name", opt->application_name, true },
	};
	const char *keywords[ARRAY_SIZE(ours) + 128];
	const char *values[ARRAY_SIZE(keywords)];
	size_t n = 0;

	/* Of a keyword that comes twice libpq takes the later one: defaults, connection string,
	 * what is fixed. */
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

/* What is acknowledged outward must be on this server's disk: synchronous_commit=off of the server
 * or role is not followed, any other value is. */
static bool make_durable(PGconn *c, const struct db_options *opt, struct err *err)
{
	static const char sql[] = "SELECT set_config('synchronous_commit', 'local', false)"
				  " WHERE current_setting('synchronous_commit') = 'off'";
	struct mono deadline = mono_add_ms(mono_now(), db_connect_timeout_s(opt) * 1000);

	return db_ask(c, sql, 0, NULL, false, db_stop_fd(opt), deadline, NULL, err) == DB_OK;
}

struct pg_conn *db_connect_raw(const char *uri, const struct db_options *opt, struct err *err)
{
	char shown[DB_NAME_MAX];
	uri_scrub(uri, shown, sizeof(shown));

	/* libpq quotes what it cannot read or reach, and that may be a piece of the password: where
	 * the parts cannot be told apart for sure, its words are not passed on. */
	char *complaint = NULL;
	PQconninfoOption *parsed = PQconninfoParse(uri, &complaint);
	PQfreemem(complaint);
	if (parsed == NULL || strcmp(shown, "(hidden)") == 0 || has_at(parsed, "host") ||
	    has_at(parsed, "dbname")) {
		PQconninfoFree(parsed);
		err_set(err, "a database's connection string cannot be read: write "
			     "postgresql://user:password@host:port/database, "
			     "with special characters of the password percent-encoded (@ as %%40, "
			     "/ as %%2F)");
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
	if (!opt->may_be_lost && !make_durable(c, opt, err)) {
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
	/* PQfinish() sends a last message, and on a blocking connection it would wait for ever if
	 * the server takes nothing. In the middle of a command nobody expects that message: the
	 * socket is shut down first. */
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
