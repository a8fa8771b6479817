/*
 * db_connect.c: makes and ends connections to PostgreSQL.
 *
 * Promises: connecting is bounded by connect_timeout, closing never waits; every session has the
 * settings that db.h lists, whatever the server, the role, the connection string or a pooler
 * prefer; a database whose encoding is not UTF8 is refused; no password reaches an error text. Any
 * thread.
 */
#include "common/pg/db.h"

#include <libpq-fe.h>
#include <stdio.h>
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

/* ---- the session's settings ---- */

/*
 * They are set by a statement after the login, never by the start-up packet: poolers drop `options`
 * from it or refuse it, and what the server, the role or the database prefer would count then. All
 * in one round trip, in this order, the later one wins:
 *   1. What the connection string or PGOPTIONS ask for as `-c name=value`, where a pooler has
 *      dropped it. The rest of `options` is the server's alone.
 *   2. What our statements rely on, whatever they are about: the table below.
 *   3. What this connection is to have: struct db_options.
 * If this process dies in between, the server rolls nothing back: settings are the session's.
 */
static const struct {
	const char *name, *value;
} fixed[] = {
	{ "timezone", "UTC" },
	{ "datestyle", "ISO, MDY" },
	{ "intervalstyle", "postgres" },
	{ "extra_float_digits", "3" },
	{ "bytea_output", "hex" },
	{ "array_nulls", "on" },
	{ "standard_conforming_strings", "on" },
	{ "quote_all_identifiers", "off" }, /* reset_finish.sql takes definitions apart */
	/* Rows that are hidden from us would look deleted: the server is to say so instead. */
	{ "row_security", "off" },
	/* A batch that waited for another one must see what that one did. */
	{ "default_transaction_isolation", "read committed" },
	{ "default_transaction_deferrable", "off" },
	{ "plan_cache_mode", "force_generic_plan" },
	/* Statements here are short, and a planner switch that rules out scans makes them look dear
	 * enough to be compiled each time. */
	{ "jit", "off" },
	/* Values would stand in the context of every error, where db.c looks for the one at fault. */
	{ "log_parameter_max_length_on_error", "0" },
};

struct session {
	PGconn *conn;
	struct strbuf sql;
	bool ok;
};

/* when: an SQL condition about the setting's present value, or NULL. */
static void session_set(struct session *s, const char *name, const char *value, const char *when)
{
	char *n = PQescapeLiteral(s->conn, name, strlen(name));
	char *v = PQescapeLiteral(s->conn, value, strlen(value));

	s->ok = s->ok && n && v;
	if (s->ok) {
		strbuf_addstr(&s->sql, s->sql.len == 0 ? "SELECT " : ", ");
		if (when)
			strbuf_addf(&s->sql, "CASE WHEN current_setting(%s, true) %s THEN ", n,
				    when);
		strbuf_addf(&s->sql, "set_config(%s, %s, false)%s", n, v, when ? " END" : "");
	}
	PQfreemem(n);
	PQfreemem(v);
}

static void session_set_int(struct session *s, const char *name, int64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)value);
	session_set(s, name, text, NULL);
}

/* The next word of libpq's `options`: separated by blanks, a backslash takes the next character as
 * it is. False: there is none. */
static bool next_word(const char **at, struct strbuf *out)
{
	const char *p = *at + strspn(*at, " \t\n\r\f\v");

	strbuf_reset(out);
	if (*p == '\0')
		return false;
	for (; *p && !strchr(" \t\n\r\f\v", *p); p++) {
		if (*p == '\\' && p[1])
			p++;
		strbuf_add(out, p, 1);
	}
	*at = p;
	return true;
}

/* Only where it does not hold yet: some settings can be given at the start alone. */
static void session_ask(struct session *s, const char *setting)
{
	AUTO_STRBUF name = STRBUF_INIT;
	const char *equals = strchr(setting, '=');

	if (!equals)
		return;
	strbuf_add(&name, setting, (size_t)(equals - setting));
	for (char *c = name.data; *c; c++)
		*c = *c == '-' ? '_' : *c;

	char *value = PQescapeLiteral(s->conn, equals + 1, strlen(equals + 1));
	AUTO_STRBUF when = STRBUF_INIT;

	strbuf_addf(&when, "IS DISTINCT FROM %s", value ? value : "NULL");
	PQfreemem(value);
	session_set(s, strbuf_str(&name), equals + 1, strbuf_str(&when));
}

/* -c name=value, -cname=value, --name=value */
static void session_ask_all(struct session *s, const char *options)
{
	AUTO_STRBUF word = STRBUF_INIT;

	while (next_word(&options, &word)) {
		const char *w = strbuf_str(&word), *setting = NULL;

		if (strncmp(w, "--", 2) == 0 || (strncmp(w, "-c", 2) == 0 && w[2]))
			setting = w + 2;
		else if (strcmp(w, "-c") == 0 && next_word(&options, &word))
			setting = strbuf_str(&word);
		if (setting)
			session_ask(s, setting);
	}
}

static void session_options(struct session *s, const struct db_options *opt)
{
	PQconninfoOption *used = PQconninfo(s->conn);
	const char *theirs = used ? uri_value(used, "options") : NULL;

	if (theirs)
		session_ask_all(s, theirs);
	PQconninfoFree(used);
	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
		session_set(s, fixed[i].name, fixed[i].value, NULL);
	session_set_int(s, "statement_timeout", opt->statement_timeout_ms);
	session_set_int(s, "lock_timeout", opt->lock_timeout_ms);
	session_set_int(s, "idle_in_transaction_session_timeout", opt->idle_session_timeout_ms);
	session_set_int(s, "idle_session_timeout", opt->idle_session_timeout_ms);
	session_set(s, "transaction_timeout", "0", "IS NOT NULL"); /* from PostgreSQL 17 on */
	/* What is acknowledged outward must be on this server's disk: "off" of the server or role
	 * is not followed, any other value is. */
	if (opt->may_be_lost)
		session_set(s, "synchronous_commit", "off", NULL);
	else
		session_set(s, "synchronous_commit", "local", "= 'off'");
	if (opt->guc)
		session_ask_all(s, opt->guc);
}

static bool session_begin(PGconn *c, const struct db_options *opt, struct err *err)
{
	struct session s = { .conn = c, .sql = STRBUF_INIT, .ok = true };
	struct mono deadline = mono_add_ms(mono_now(), db_connect_timeout_s(opt) * 1000);

	session_options(&s, opt);
	bool ok = s.ok ? db_ask(c, strbuf_str(&s.sql), 0, NULL, false, db_stop_fd(opt), deadline,
				NULL, err) == DB_OK
		       : err_set(err, "its settings cannot be written: %s", PQerrorMessage(c));
	strbuf_clear(&s.sql);
	return ok;
}

static bool is_suitable(PGconn *c, const struct db_options *opt, struct err *err)
{
	struct mono deadline = mono_add_ms(mono_now(), db_connect_timeout_s(opt) * 1000);
	struct pg_result *r = NULL;

	if (db_ask(c, opt->suits_sql, 0, NULL, false, db_stop_fd(opt), deadline, &r, err) != DB_OK)
		return false;
	bool ok = opt->suits(db_rows(r) > 0 ? db_value(r, 0, 0) : "", opt->suits_arg, err);

	db_result_clear(r);
	return ok;
}

/* Bytes that are no UTF-8 would stop all replication, and characters that the other side has no
 * code for a product's. */
static bool encoding_fits(const PGconn *c, struct err *err)
{
	const char *encoding = PQparameterStatus(c, "server_encoding");

	if (encoding == NULL || strcmp(encoding, "UTF8") == 0)
		return true;
	err_set(err,
		"its encoding is %s, and must be UTF8: make a new database WITH ENCODING 'UTF8' "
		"TEMPLATE template0 and load a dump of this one into it",
		encoding);
	memcpy(err->sqlstate, SQLSTATE_ENCODING, sizeof(SQLSTATE_ENCODING));
	return false;
}

/* ---- connecting ---- */

static unsigned list_count(const char *list)
{
	unsigned n = 1;

	for (; *list; list++)
		n += *list == ',';
	return n;
}

/* "a,b,c" turned by 1 is "b,c,a". A list of one, as a port for all hosts, stays as it is. */
static void list_turn(char *list, unsigned by)
{
	char *at = list;

	for (by %= list_count(list); by > 0; by--)
		at = strchr(at, ',') + 1;
	if (at == list)
		return;
	size_t first = (size_t)(at - list) - 1, rest = strlen(at);
	char *copy = xstrdup(list);

	memcpy(list, copy + first + 1, rest);
	list[rest] = ',';
	memcpy(list + rest + 1, copy, first);
	free(copy);
}

/* Hosts, addresses and ports belong together by their places in the lists. */
static void hosts_turn(PQconninfoOption *parsed, unsigned by)
{
	static const char *const lists[] = { "host", "hostaddr", "port" };

	for (PQconninfoOption *o = parsed; o->keyword; o++)
		for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
			if (o->val && strcmp(o->keyword, lists[i]) == 0)
				list_turn(o->val, by);
}

static PGconn *login(const PQconninfoOption *parsed, const struct db_options *opt)
{
	char timeout[16];
	snprintf(timeout, sizeof(timeout), "%d", db_connect_timeout_s(opt));

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
		{ "application_name", opt->application_name, true },
		{ "target_session_attrs", opt->session_attrs, true },
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

static bool ports_are_good(const char *list)
{
	for (; list && *list; list += *list == ',') {
		size_t n = strcspn(list, ",");
		int64_t port;

		if (n > 0 && (!int64_from_text(list, n, &port) || port < 1 || port > 65535))
			return false;
		list += n;
	}
	return true;
}

/* A password with an '@' that was not percent-encoded: libpq ends it at the first one, and what
 * follows then stands in the host or the database's name. In keyword strings nothing is mixed up,
 * and one '@' alone is the one before the host. */
static bool is_mixed_up(const char *uri, const PQconninfoOption *parsed)
{
	bool keywords = strncmp(uri, "postgresql://", 13) != 0 &&
			strncmp(uri, "postgres://", 11) != 0;
	if (keywords)
		return false;
	const char *at = strchr(uri, '@');
	const char *path = strchr(strstr(uri, "://") + 3, '/');

	return at && (strchr(at + 1, '@') || (path && path < at)) &&
	       (has_at(parsed, "host") || has_at(parsed, "dbname"));
}

static PQconninfoOption *parse(const char *uri, struct err *err)
{
	char *complaint = NULL; /* may quote the password */
	PQconninfoOption *parsed = PQconninfoParse(uri, &complaint);

	PQfreemem(complaint);
	if (parsed && !is_mixed_up(uri, parsed)) {
		if (ports_are_good(uri_value(parsed, "port")))
			return parsed;
		err_set(err, "has a port that is no number from 1 to 65535");
	} else {
		err_set(err,
			"must be a PostgreSQL URI such as "
			"postgresql://user:password@host:5432/products, with special characters of "
			"the password percent-encoded (@ as %%40, / as %%2F), or a string such as "
			"\"host=... dbname=... user=...\"");
	}
	PQconninfoFree(parsed);
	return NULL;
}

bool db_check_uri(const char *uri, struct err *err)
{
	PQconninfoOption *parsed = parse(uri, err);

	PQconninfoFree(parsed);
	return parsed != NULL;
}

unsigned db_host_count(const char *uri)
{
	struct err ignored;
	PQconninfoOption *parsed = parse(uri, &ignored);
	const char *host = parsed ? uri_value(parsed, "host") : NULL;
	const char *address = parsed ? uri_value(parsed, "hostaddr") : NULL;
	unsigned n = list_count(address && *address ? address : host ? host : "");

	PQconninfoFree(parsed);
	return n;
}

/* The i-th element of a list; its length. Of a list of one that is meant for all hosts, that one. */
static size_t list_at(const char *list, unsigned i, const char **ret)
{
	if (list_count(list) == 1)
		i = 0;
	for (; i > 0; i--)
		list = strchr(list, ',') + 1;
	*ret = list;
	return strcspn(list, ",");
}

/* "host:port" of the i-th host, as it is written. */
static void host_name(const PQconninfoOption *parsed, unsigned i, struct strbuf *out)
{
	const char *host = uri_value(parsed, "host"), *port = uri_value(parsed, "port"), *at;
	size_t len;

	if (!host || *host == '\0')
		host = uri_value(parsed, "hostaddr");
	strbuf_reset(out);
	len = list_at(host ? host : "", i, &at);
	strbuf_add(out, at, len);
	strbuf_addch(out, ':');
	len = list_at(port ? port : "", i, &at);
	strbuf_add(out, len > 0 ? at : "5432", len > 0 ? len : 4);
}

bool db_has_host_of(const char *uri, const char *other)
{
	struct err ignored;
	PQconninfoOption *ours = parse(uri, &ignored), *theirs = parse(other, &ignored);
	unsigned n = ours ? db_host_count(uri) : 0, m = theirs ? db_host_count(other) : 0;
	AUTO_STRBUF a = STRBUF_INIT, b = STRBUF_INIT;
	bool found = false;

	for (unsigned i = 0; i < n && !found; i++) {
		host_name(ours, i, &a);
		for (unsigned k = 0; k < m && !found; k++) {
			host_name(theirs, k, &b);
			found = strcmp(strbuf_str(&a), strbuf_str(&b)) == 0;
		}
	}
	PQconninfoFree(ours);
	PQconninfoFree(theirs);
	return found;
}

struct pg_conn *db_connect_raw(const char *uri, const struct db_options *opt, struct err *err)
{
	char shown[DB_NAME_MAX];
	uri_scrub(uri, shown, sizeof(shown));

	PQconninfoOption *parsed = parse(uri, err);
	if (parsed == NULL) {
		err_set(err, "a database's connection string %s", err->text);
		return NULL;
	}

	hosts_turn(parsed, opt->host_turn);
	PGconn *c = login(parsed, opt);
	PQconninfoFree(parsed);
	if (c == NULL)
		fatal("out of memory");
	PQsetNoticeReceiver(c, ignore_notice, NULL);
	if (PQstatus(c) != CONNECTION_OK) {
		const char *text = PQerrorMessage(c);
		/* libpq quotes what it cannot reach, and that may be a piece of the password: where
		 * the parts cannot be told apart for sure, its words are not passed on. */
		if (strcmp(shown, "(hidden)") == 0)
			text = "no connection; why is not said, as libpq's words may quote the "
			       "password";
		err_set(err, "%s: %.*s", shown, (int)strcspn(text, "\n"), text);
		goto fail;
	}
	if (!encoding_fits(c, err) || !session_begin(c, opt, err) ||
	    (opt->suits && !is_suitable(c, opt, err))) {
		db_conn_name(c, shown, sizeof(shown)); /* of several hosts this one */
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
