/*
 * promote_server.c: see promote_server.h. Main thread only.
 *
 * Each step may be run again, also on a server where it has been done, or was ended in the middle.
 */
#include "migrations/promote_server.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/stop.h"

#include "migrations/sql/promote_end_sessions.sql.h"
#include "migrations/sql/promote_look.sql.h"

#define POLL_MS	       50
#define RELOAD_MAX_MS  10000 /* until the server has read its settings */
#define END_MAX_MS     30000 /* until sessions that were told to end have ended */
#define PROMOTE_MAX_S  "60"
#define PROMOTE_MAX_MS 70000

void lsn_text(int64_t lsn, char *buf)
{
	snprintf(buf, LSN_MAX, "%X/%X", (unsigned)((uint64_t)lsn >> 32), (unsigned)lsn);
}

void server_say(const struct server *s, const char *fmt, ...)
{
	va_list ap;

	printf("%s: ", s->t.name);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

static int64_t number(const struct pg_result *r, int col)
{
	return strtoll(db_value(r, 0, col), NULL, 10);
}

static bool is_true(const struct pg_result *r, int col)
{
	return *db_value(r, 0, col) == 't';
}

static bool run(struct server *s, const char *sql, struct err *err)
{
	return target_query(&s->t, sql, 0, NULL, NULL, err);
}

static bool refuse(struct server *s, int code)
{
	s->t.code = code;
	return false;
}

/* ---- what it is ---- */

bool server_look(struct server *s, struct err *err)
{
	struct pg_result *r = NULL;

	if (!target_query(&s->t, sql_promote_look, 0, NULL, &r, err))
		return false;
	s->recovery = is_true(r, 0);
	snprintf(s->base, sizeof(s->base), "%s", db_value(r, 0, 1));
	s->timeline = number(r, 2);
	s->epoch_timeline = number(r, 3);
	s->epoch_number = number(r, 4);
	s->fenced = is_true(r, 5);
	s->received = number(r, 6);
	s->replayed = number(r, 7);
	s->streams = is_true(r, 8) ? number(r, 9) : 0;
	s->read_only = is_true(r, 10);
	db_result_clear(r);
	return true;
}

bool server_open(struct server *s, const char *name, const char *url, unsigned turn,
		 struct err *err)
{
	/* One that is fenced is read-only, and there may be nobody left who confirms commits. */
	static const char session[] =
		"SELECT set_config('default_transaction_read_only', 'off', false),"
		" set_config('synchronous_commit', 'local', false)";

	*s = (struct server){ .t = { .side = "primary",
				     .name = name,
				     .url = url,
				     .host_turn = turn,
				     .session_attrs = "any",
				     .limit_ms = SERVER_ANSWER_MS } };
	if (!target_open(&s->t, err))
		return false;
	db_conn_name(s->t.conn, s->address, sizeof(s->address));
	return run(s, session, err) && target_migrated(&s->t, err) && server_look(s, err);
}

void server_close(struct server *s)
{
	target_close(&s->t);
}

/* ---- what we may do ---- */

static bool ask(struct server *s, const char *sql, bool *ret, struct err *err)
{
	struct pg_result *r = NULL;

	if (!target_query(&s->t, sql, 0, NULL, &r, err))
		return false;
	*ret = is_true(r, 0);
	db_result_clear(r);
	return true;
}

bool server_may_fence(struct server *s, struct err *err)
{
	static const char sql[] =
		"SELECT rolsuper AND coalesce(current_setting('allow_alter_system', true), 'on') = 'on'"
		" FROM pg_roles WHERE rolname = current_user";
	bool may = false;

	if (!ask(s, sql, &may, err))
		return false;
	if (may)
		return true;
	err_set(err,
		"only a superuser may make it read-only and end all sessions, and only unless allow_alter_system "
		"is off: let DATABASE_URL name one for this command");
	return refuse(s, EXIT_RUNTIME);
}

bool server_none_prepared(struct server *s, struct err *err)
{
	static const char sql[] =
		"SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()";
	struct pg_result *r = NULL;

	if (!target_query(&s->t, sql, 0, NULL, &r, err))
		return false;
	int64_t n = number(r, 0);
	db_result_clear(r);
	if (n == 0)
		return true;
	err_set(err,
		"%lld prepared transactions wait on the old primary: end them first (pg_prepared_xacts)",
		(long long)n);
	return refuse(s, EXIT_RUNTIME);
}

bool server_may_promote(struct server *s, struct err *err)
{
	static const char sql[] =
		"SELECT has_function_privilege('pg_catalog.pg_promote(boolean, integer)', 'EXECUTE')";
	bool may = false;

	if (!ask(s, sql, &may, err))
		return false;
	if (may)
		return true;
	err_set(err, "its role may not promote it: name a superuser, or one who may execute "
		     "pg_promote");
	return refuse(s, EXIT_RUNTIME);
}

bool server_lock(struct server *s, struct err *err)
{
	/* Waits: the server may not have noticed yet that the one before was killed. */
	if (run(s, "SELECT pg_advisory_lock(1885824609, 7)", err))
		return true;
	if (s->t.code == EXIT_BUSY)
		err_set(err, "another pgfanout-migrate promote is at work");
	return false;
}

/* ---- the old primary ---- */

bool server_flushed(struct server *s, int64_t *ret_lsn, struct err *err)
{
	struct pg_result *r = NULL;

	if (!target_query(&s->t, "SELECT pg_current_wal_flush_lsn() - '0/0'", 0, NULL, &r, err))
		return false;
	*ret_lsn = number(r, 0);
	db_result_clear(r);
	return true;
}

static bool interrupted(struct server *s, struct err *err)
{
	err_set(err, "interrupted");
	return refuse(s, EXIT_INTERRUPTED);
}

/* The server, and with it every session that begins from then on, has its settings once this one has: the
 * postmaster is first. ret_at: no earlier than that, its clock. */
static bool reload(struct server *s, char *ret_at, size_t size, struct err *err)
{
	static const char done[] =
		"SELECT pg_conf_load_time() > $1::timestamptz, clock_timestamp()";
	const struct mono end = mono_add_ms(mono_now(), RELOAD_MAX_MS);
	char before[64];
	struct pg_result *r = NULL;

	if (!target_query(&s->t, "SELECT clock_timestamp()", 0, NULL, &r, err))
		return false;
	snprintf(before, sizeof(before), "%s", db_value(r, 0, 0));
	db_result_clear(r);
	if (!run(s, "SELECT pg_reload_conf()", err))
		return false;
	for (;;) {
		const struct db_param params[] = { DB_TEXT(before) };

		if (!target_query(&s->t, done, 1, params, &r, err))
			return false;
		bool ok = is_true(r, 0);
		snprintf(ret_at, size, "%s", db_value(r, 0, 1));
		db_result_clear(r);
		if (ok)
			return true;
		if (mono_reached(end, mono_now())) {
			err_set(err, "it has not read its settings within %d s",
				RELOAD_MAX_MS / 1000);
			return refuse(s, EXIT_BUSY);
		}
		if (stop_sleep_ms(POLL_MS))
			return interrupted(s, err);
	}
}

static bool end_sessions(struct server *s, const char *before, struct err *err)
{
	const struct db_param params[] = { DB_TEXT(before) };
	const struct mono end = mono_add_ms(mono_now(), END_MAX_MS);

	for (;;) {
		struct pg_result *r = NULL;

		if (!target_query(&s->t, sql_promote_end_sessions, 1, params, &r, err))
			return false;
		int64_t left = number(r, 0);
		db_result_clear(r);
		if (left == 0)
			return true;
		if (mono_reached(end, mono_now())) {
			err_set(err, "%lld sessions have not ended within %d s", (long long)left,
				END_MAX_MS / 1000);
			return refuse(s, EXIT_BUSY);
		}
		if (stop_sleep_ms(POLL_MS))
			return interrupted(s, err);
	}
}

/*
 *   1. Its epoch has begun: a fence of another one would hold nobody.
 *   2. What is registered refuses writes from here on. It is in the WAL, and holds whatever becomes of us.
 *   3. All else is read-only, unless a session says otherwise.
 *   4. Sessions that began before end; what they have committed is in the WAL by then.
 *   5. The fence again: its commit brings all of that to the disk, also what was committed without waiting for it.
 */
bool server_fence(struct server *s, int64_t *ret_lsn, struct err *err)
{
	static const char fence[] = "SELECT pgfanout.fence(true)";
	char reloaded[64];

	if (!run(s, "SELECT pgfanout.current_source()", err) || !run(s, fence, err) ||
	    !run(s, "ALTER SYSTEM SET default_transaction_read_only = on", err) ||
	    !reload(s, reloaded, sizeof(reloaded), err) || !end_sessions(s, reloaded, err) ||
	    !run(s, fence, err) || !server_flushed(s, ret_lsn, err))
		return false;
	s->fenced = true;
	return true;
}

/* ---- the new primary ---- */

bool server_promote(struct server *s, struct err *err)
{
	struct err ignored;

	s->t.limit_ms = PROMOTE_MAX_MS;
	bool done = run(s, "SELECT pg_promote(true, " PROMOTE_MAX_S ")", err);
	s->t.limit_ms = SERVER_ANSWER_MS;
	/* It fails if somebody else was quicker. */
	if (!done && (s->t.conn == NULL || !server_look(s, &ignored) || s->recovery))
		return false;
	if (!server_look(s, err))
		return false;
	if (!s->recovery)
		return true;
	err_set(err, "it does not take writes after " PROMOTE_MAX_S
		     " s: it is still replaying what it has received; run this again");
	return refuse(s, EXIT_BUSY);
}

/* It was a primary once, and fenced: a file of its own says so, which promoting does not change. */
static bool unfence(struct server *s, struct err *err)
{
	static const char sql[] =
		"SELECT reset_val = 'on' FROM pg_settings WHERE name = 'default_transaction_read_only'";
	bool read_only = false;
	char ignored[64];

	if (!ask(s, sql, &read_only, err))
		return false;
	if (!read_only)
		return true;
	if (!run(s, "ALTER SYSTEM RESET default_transaction_read_only", err) ||
	    !reload(s, ignored, sizeof(ignored), err) || !ask(s, sql, &read_only, err))
		return err_prefix(err, "it stays read-only");
	server_say(
		s,
		read_only
			? "stays read-only by default: default_transaction_read_only is on in its "
			  "configuration"
			: "is not read-only any more, which an earlier fence had made it");
	return true;
}

bool server_lead(struct server *s, char *ret_source, char *ret_before, struct err *err)
{
	struct pg_result *r = NULL;

	if (!unfence(s, err))
		return false;
	if (!target_query(&s->t, "SELECT pgfanout.current_source()", 0, NULL, &r, err))
		return false;
	snprintf(ret_source, SOURCE_MAX, "%s", db_value(r, 0, 0));
	db_result_clear(r);
	if (!target_query(&s->t, "SELECT pgfanout.source(last_value) FROM pgfanout.epoch_before", 0,
			  NULL, &r, err))
		return false;
	snprintf(ret_before, SOURCE_MAX, "%s", db_value(r, 0, 0));
	db_result_clear(r);
	if (!server_look(s, err))
		return false;
	if (s->epoch_timeline == s->timeline)
		return true;
	err_set(err, "its epoch has not begun");
	return refuse(s, EXIT_RUNTIME);
}

void server_say_waits(struct server *s)
{
	/* Who may not see the states is told nothing. */
	static const char sql[] =
		"SELECT current_setting('synchronous_standby_names') WHERE NOT EXISTS (SELECT FROM pg_stat_replication"
		" WHERE coalesce(sync_state, 'sync') IN ('sync', 'quorum'))";
	struct pg_result *r = NULL;
	struct err ignored;

	if (!target_query(&s->t, sql, 0, NULL, &r, &ignored))
		return;
	if (db_rows(r) > 0 && *db_value(r, 0, 0) != '\0')
		server_say(
			s,
			"commits there wait for a synchronous standby (synchronous_standby_names = %s), and "
			"none follows it yet",
			db_value(r, 0, 0));
	db_result_clear(r);
}
