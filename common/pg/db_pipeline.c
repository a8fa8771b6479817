/*
 * db_pipeline.c: a connection in libpq's pipeline mode inside somebody's event loop.
 *
 * Promises: each unit that db_send() took is answered exactly once, in the order of sending; DB_OK
 * only after its Sync came back, so after its commit; nothing here blocks but db_open() and
 * db_drain(). One thread at a time.
 *
 * A connection is alive from db_open() on. It is broken for good when the connection ends, a
 * deadline passes, or the session has lost its prepared statements: nothing is read or sent any
 * more, and db_io(), db_tick() or db_close() answers what is in flight with DB_LOST.
 *
 * A unit on the wire is Bind, Execute, Sync. The server answers with a result or an error, then
 * with the Sync's. It commits at the Sync: a result before it proves nothing yet, and an error may
 * come at the commit itself. When this process or the server dies between the two, the unit's
 * outcome is unknown: DB_LOST. A unit of db_send_then() has a second Bind, Execute, Sync, whose answers are
 * taken when the first Sync's has come: from there on its outcome is known, whatever comes of the rest.
 *
 * libpq's PQgetResult() returns NULL for ever on a dead connection, without an answer for the units
 * behind the first: so a broken connection is never asked again, and the queue here, not libpq's,
 * says who is to be told.
 */
#include "common/pg/db.h"

#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/pg/db_private.h"
#include "common/base/strbuf.h"

/* A statement that is prepared waits so long for a lock; shorter than any connect_timeout. */
#define PREPARE_LOCK_MS 1000

struct unit {
	db_callback cb;
	void *arg;
	struct mono deadline; /* never later than that of the unit behind; MONO_NEVER: none */
	size_t prepares;      /* an extra statement, by its number; 0: none */
	unsigned before;      /* results that come before its own: of DEALLOCATE, of the prepare */
	bool then;	      /* something is asked after it */
};

/* A statement beside those of the table. While the unit that prepares it is in flight, others bring its text
 * with them: that unit may fail before it. */
struct extra {
	char *name, *sql;
	int nparams;
	uint64_t serial; /* db_use_statement() */
	enum { UNPREPARED, ASKED, PREPARED } state;
	bool taken; /* the server has an older statement of this name */
};

struct db {
	PGconn *conn;
	const struct db_statement *table;
	size_t nstatements;
	struct extra *extras; /* their numbers go on from those of the table */
	size_t nextras;

	bool broken;
	int pid;	    /* of the session's process on the server */
	int left_behind;    /* db_left_behind() */
	struct err why;	    /* for the units that are lost */
	bool flush_pending; /* libpq holds bytes that the socket did not take */
	size_t largest;	    /* of units: db_largest() */

	/* In flight: a ring of cap (a power of two) places, oldest at head. */
	struct unit *units;
	size_t head, count, cap;

	/* The answer to the unit at the head, kept until its Sync. */
	PGresult *result;
	enum db_outcome outcome;
	unsigned passed;  /* of its results before the answer have come */
	bool answered;	  /* result or error has come */
	bool new_session; /* … and the error says that this session is of no more use */
	struct err err;
	bool ended;	     /* its Sync has come: what was asked after it is awaited */
	char then_value[80]; /* the answer to that */

	/* Parameters of one PQsendQueryPrepared, large enough for every statement. */
	const char **values;
	int *lengths, *formats;
	int most;
};

static void give_up(struct db *db, const char *why)
{
	if (db->broken)
		return;
	db->broken = true;
	if (why)
		err_set(&db->why, "%s", why);
	else
		db_explain(db->conn, NULL, &db->why);
	db->why.sqlstate[0] = '\0';
}

/* ---- open and close ---- */

/* And asks for the session's process: what libpq knows of it behind a pooler is the pooler's. */
static bool set_lock_timeout(struct db *db, int64_t ms)
{
	AUTO_STRBUF sql = STRBUF_INIT;

	strbuf_addf(&sql, "SELECT set_config('lock_timeout', '%lld', false), pg_backend_pid()",
		    (long long)ms);
	return PQsendQueryParams(db->conn, strbuf_str(&sql), 0, NULL, NULL, NULL, NULL, 0);
}

/* Prepares all statements in one round trip, and leaves the connection in pipeline mode. To be
 * prepared a statement reads its tables' descriptions, and waits for whoever has one of them
 * locked: so that this can be said, it waits for less than the deadline. */
static bool prepare_all(struct db *db, const struct db_options *opt, struct mono deadline,
			struct err *err)
{
	/* The first answer and the last one are those of set_lock_timeout(). */
	const size_t answers = db->nstatements + 2;
	int64_t most_ms = opt->statement_timeout_ms / 2; /* or that would pass first */
	int stop = db_stop_fd(opt);

	if (PQsetnonblocking(db->conn, 1) != 0 || !PQenterPipelineMode(db->conn) ||
	    !set_lock_timeout(db,
			      most_ms > 0 && most_ms < PREPARE_LOCK_MS ? most_ms : PREPARE_LOCK_MS))
		goto refused;
	for (size_t i = 0; i < db->nstatements; i++) {
		const struct db_statement *s = &db->table[i];
		if (!PQsendPrepare(db->conn, s->name, s->sql, s->nparams, s->types))
			goto refused;
	}
	if (!set_lock_timeout(db, opt->lock_timeout_ms) || !PQpipelineSync(db->conn))
		goto refused;

	/* Each statement: a result and a NULL; then the Sync. The first failure explains it, the
	 * others are only "aborted". */
	for (size_t i = 0; i <= answers; i++) {
		bool lost = false;
		PGresult *r = db_take_result(db->conn, stop, deadline, &lost);
		ExecStatusType status = PQresultStatus(r);

		if (lost) {
			if (PQstatus(db->conn) == CONNECTION_BAD)
				goto refused;
			return err_set(err, "the database did not answer in time");
		}
		if (status == PGRES_TUPLES_OK)
			db->pid = atoi(PQgetvalue(r, 0, 1));
		if ((status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) && i < answers) {
			PQclear(r);
			r = db_take_result(db->conn, stop, deadline, &lost);
			if (r != NULL || lost) {
				PQclear(r);
				goto refused;
			}
			continue;
		}
		if (status == PGRES_PIPELINE_SYNC && i == answers) {
			PQclear(r);
			return true;
		}
		db_explain(db->conn, r, err);
		PQclear(r);
		if (strcmp(err->sqlstate, "55P03") == 0) {
			err_set(err,
				"a table of pgfanout is locked by another session (SQLSTATE 55P03)");
			memcpy(err->sqlstate, "55P03", sizeof(err->sqlstate));
		} else if (i > 0 && i <= db->nstatements) {
			err_prefix(err, "statement %s cannot be prepared", db->table[i - 1].name);
		}
		return false;
	}
refused:
	db_explain(db->conn, NULL, err);
	return false;
}

struct db *db_open(const char *uri, const struct db_options *opt, const struct db_statement *table,
		   size_t n, struct err *err)
{
	struct mono deadline;
	struct db *db = xcalloc(1, sizeof(*db));
	int most = 1;

	db->table = table;
	db->nstatements = n;
	db->conn = db_connect_raw(uri, opt, err);
	if (db->conn == NULL)
		goto fail;
	deadline = mono_add_ms(mono_now(), db_connect_timeout_s(opt) * 1000);
	if (!prepare_all(db, opt, deadline, err)) {
		char name[DB_NAME_MAX];
		db_conn_name(db->conn, name, sizeof(name));
		err_prefix(err, "%s", name);
		goto fail;
	}
	for (size_t i = 0; i < n; i++)
		most = table[i].nparams > most ? table[i].nparams : most;
	db->most = most;
	db->values = xcalloc((size_t)most, sizeof(*db->values));
	db->lengths = xcalloc((size_t)most, sizeof(*db->lengths));
	db->formats = xcalloc((size_t)most, sizeof(*db->formats));
	return db;
fail:
	db_close(db);
	return NULL;
}

static void set_extra(struct db *db, struct extra *e, const char *sql, int nparams)
{
	e->sql = xstrdup(sql);
	e->nparams = nparams;
	db->most = nparams > db->most ? nparams : db->most;
	db->values = xreallocarray(db->values, (size_t)db->most, sizeof(*db->values));
	db->lengths = xreallocarray(db->lengths, (size_t)db->most, sizeof(*db->lengths));
	db->formats = xreallocarray(db->formats, (size_t)db->most, sizeof(*db->formats));
}

size_t db_add_statement(struct db *db, const char *name, const char *sql, int nparams)
{
	db->extras = xreallocarray(db->extras, db->nextras + 1, sizeof(*db->extras));
	db->extras[db->nextras] = (struct extra){ .name = xstrdup(name) };
	set_extra(db, &db->extras[db->nextras], sql, nparams);
	return db->nstatements + db->nextras++;
}

size_t db_use_statement(struct db *db, size_t place, uint64_t serial, const char *sql, int nparams)
{
	while (db->nextras <= place) {
		char name[32];

		snprintf(name, sizeof(name), "made_%zu", db->nextras);
		(void)db_add_statement(db, name, "", 0);
	}
	struct extra *e = &db->extras[place];

	if (e->serial != serial) {
		if (e->state == ASKED)
			fatal("db_use_statement: statement %zu is on its way", place);
		e->taken = e->taken || e->state == PREPARED;
		e->state = UNPREPARED;
		e->serial = serial;
		free(e->sql);
		set_extra(db, e, sql, nparams);
	}
	return db->nstatements + place;
}

static struct unit *unit_at(const struct db *db, size_t i)
{
	return &db->units[(db->head + i) & (db->cap - 1)];
}

static struct unit unit_pop(struct db *db)
{
	struct unit u = *unit_at(db, 0);
	db->head = (db->head + 1) & (db->cap - 1);
	db->count--;
	return u;
}

/* The unit at the head: its Sync has come. Everything that the callback may change through db_send() is settled first. */
static void answer_ended(struct db *db)
{
	struct unit u = unit_pop(db);
	PGresult *result = db->result;
	enum db_outcome outcome = db->outcome;
	struct err err = { .text = "" };

	if (outcome != DB_OK)
		err = db->err;
	if (outcome == DB_LOST || db->new_session)
		give_up(db,
			err.text[0] ? err.text : "the session has lost its prepared statements");
	if (u.prepares) {
		struct extra *e = &db->extras[u.prepares - db->nstatements];

		e->state = db->passed == u.before ? PREPARED : UNPREPARED;
		e->taken = e->taken && db->passed == 0;
	}
	db->result = NULL;
	db->passed = 0;
	db->answered = db->new_session = db->ended = false;
	u.cb(u.arg, outcome, result, &err);
	db->then_value[0] = '\0';
	PQclear(result);
}

static void answer_lost(struct db *db)
{
	if (db->ended) {
		answer_ended(db);
	} else {
		PQclear(db->result);
		db->result = NULL;
	}
	/* What came without its Sync did not count, but the server's last words say more than
	 * "connection closed". */
	if (db->answered && db->outcome != DB_OK)
		db->why = db->err;
	db->answered = false;
	while (db->count > 0) {
		struct unit u = unit_pop(db);
		u.cb(u.arg, DB_LOST, NULL, &db->why);
	}
}

void db_close(struct db *db)
{
	if (db == NULL)
		return;
	give_up(db, "the connection was closed");
	answer_lost(db);
	db_conn_close(db->conn);
	for (size_t i = 0; i < db->nextras; i++) {
		free(db->extras[i].name);
		free(db->extras[i].sql);
	}
	free(db->extras);
	free(db->units);
	free(db->values);
	free(db->lengths);
	free(db->formats);
	free(db);
}

/* ---- questions ---- */

int db_fd(const struct db *db)
{
	return PQsocket(db->conn);
}

bool db_alive(const struct db *db)
{
	return !db->broken;
}

bool db_wants_write(const struct db *db)
{
	return db->flush_pending;
}

size_t db_in_flight(const struct db *db)
{
	return db->count;
}

int db_server_version(const struct db *db)
{
	return PQserverVersion(db->conn);
}

int db_left_behind(const struct db *db)
{
	return db->left_behind;
}

size_t db_largest(const struct db *db)
{
	return db->largest;
}

/* ---- sending ---- */

static void note_size(struct db *db, size_t bytes)
{
	if (db->largest < bytes)
		db->largest = bytes;
}

static size_t length_of(const struct db_param *p)
{
	if (p->data == NULL)
		return 0;
	return p->format == 1 ? (size_t)p->len : strlen(p->data);
}

static void flush(struct db *db)
{
	int n = PQflush(db->conn);
	/* A failed write is no news yet: reading may still bring answers, and then the reason. */
	db->flush_pending = n > 0;
	if (n < 0 && PQstatus(db->conn) == CONNECTION_BAD)
		give_up(db, NULL);
}

static void unit_push(struct db *db, struct unit u)
{
	if (db->count == db->cap) {
		size_t cap = db->cap ? db->cap * 2 : 16;
		struct unit *units = xcalloc(cap, sizeof(*units));
		for (size_t i = 0; i < db->count; i++)
			units[i] = *unit_at(db, i);
		free(db->units);
		db->units = units;
		db->cap = cap;
		db->head = 0;
	}
	/* Answers come in order: whoever is in front must be answered by then too. So the head's
	 * deadline is always the nearest. */
	for (size_t i = db->count; i > 0 && unit_at(db, i - 1)->deadline.us > u.deadline.us; i--)
		unit_at(db, i - 1)->deadline = u.deadline;
	db->count++;
	*unit_at(db, db->count - 1) = u;
}

/* As part of a unit: if it cannot be prepared the unit fails, and the next one prepares again. */
static bool send_prepare(struct db *db, const struct extra *e)
{
	if (e->taken) {
		AUTO_STRBUF sql = STRBUF_INIT;

		strbuf_addf(&sql, "DEALLOCATE %s", e->name);
		if (!PQsendQueryParams(db->conn, strbuf_str(&sql), 0, NULL, NULL, NULL, NULL, 0))
			return false;
	}
	return PQsendPrepare(db->conn, e->name, e->sql, e->nparams, NULL);
}

static bool send_unit(struct db *db, size_t statement, const struct db_param *params, bool binary,
		      bool then, struct mono deadline, db_callback cb, void *arg, struct err *err)
{
	if (db->broken)
		return err_set(err, "%s", db->why.text);
	if (statement >= db->nstatements + db->nextras)
		fatal("db_send: no statement %zu", statement);

	struct extra *e = statement < db->nstatements ? NULL
						      : &db->extras[statement - db->nstatements];
	const char *name = e ? e->name : db->table[statement].name;
	int nparams = e ? e->nparams : db->table[statement].nparams;
	size_t bytes = 0;
	for (int i = 0; i < nparams; i++) {
		bytes += length_of(&params[i]);
		db->values[i] = params[i].data;
		db->lengths[i] = params[i].len;
		db->formats[i] = params[i].format;
	}
	note_size(db, bytes);
	bool prepares = e && e->state == UNPREPARED;
	if ((prepares && !send_prepare(db, e)) ||
	    !(e && e->state == ASKED
		      ? PQsendQueryParams(db->conn, e->sql, nparams, NULL, db->values, db->lengths,
					  db->formats, binary)
		      : PQsendQueryPrepared(db->conn, name, nparams, db->values, db->lengths,
					    db->formats, binary))) {
		/* Without its Sync nothing of it is ever committed. */
		db_explain(db->conn, NULL, err);
		give_up(db, err->text);
		return false;
	}
	unit_push(db, (struct unit){ .cb = cb,
				     .arg = arg,
				     .deadline = deadline,
				     .prepares = prepares ? statement : 0,
				     .before = !prepares ? 0 : 1 + e->taken,
				     .then = then });
	if (prepares)
		e->state = ASKED;
	/* From here on the unit may be on its way: a failure makes it DB_LOST, it does not make it
	 * unsent. */
	if (!PQpipelineSync(db->conn))
		give_up(db, NULL);
	return true;
}

bool db_send(struct db *db, size_t statement, const struct db_param *params, bool binary,
	     struct mono deadline, db_callback cb, void *arg, struct err *err)
{
	bool ok = send_unit(db, statement, params, binary, false, deadline, cb, arg, err);

	if (ok && !db->broken)
		flush(db);
	return ok;
}

bool db_send_then(struct db *db, size_t statement, const struct db_param *params, bool binary,
		  size_t then, struct mono deadline, db_callback cb, void *arg, struct err *err)
{
	if (!send_unit(db, statement, params, binary, true, deadline, cb, arg, err))
		return false;
	if (!db->broken &&
	    (!PQsendQueryPrepared(db->conn, db->table[then].name, 0, NULL, NULL, NULL, 0) ||
	     !PQpipelineSync(db->conn)))
		give_up(db, NULL);
	if (!db->broken)
		flush(db);
	return true;
}

const char *db_then(const struct db *db)
{
	return db->then_value;
}

/* ---- receiving ---- */

/* Of what was asked after the unit at the head. */
static void take_then(struct db *db, PGresult *r, ExecStatusType status)
{
	if (status == PGRES_TUPLES_OK && PQntuples(r) == 1)
		snprintf(db->then_value, sizeof(db->then_value), "%s", PQgetvalue(r, 0, 0));
	else if (status != PGRES_PIPELINE_SYNC)
		db->new_session = db->new_session || db_needs_new_session(r);
	PQclear(r);
	if (status == PGRES_PIPELINE_SYNC)
		answer_ended(db);
}

static void take_result(struct db *db, PGresult *r)
{
	ExecStatusType status = PQresultStatus(r);

	if (db->ended) {
		take_then(db, r, status);
		return;
	}
	switch (status) {
	case PGRES_TUPLES_OK:
	case PGRES_COMMAND_OK:
		/* They count, whatever comes of the unit. */
		if (db->passed < unit_at(db, 0)->before) {
			db->passed++;
			PQclear(r);
			return;
		}
		note_size(db, PQresultMemorySize(r));
		PQclear(db->result);
		db->result = r;
		db->outcome = DB_OK;
		db->answered = true;
		return;
	case PGRES_PIPELINE_SYNC:
		PQclear(r);
		break;
	case PGRES_COPY_IN:
	case PGRES_COPY_OUT:
	case PGRES_COPY_BOTH:
		PQclear(r);
		give_up(db, "COPY cannot be run in a pipeline");
		return;
	default: /* an error, of the statement or of its commit */
		if (!db->answered || db->outcome == DB_OK) {
			db->new_session = db_needs_new_session(r);
			db->outcome = db_explain(db->conn, r, &db->err);
		}
		db->answered = true;
		PQclear(r);
		PQclear(db->result);
		db->result = NULL;
		return;
	}

	if (!db->answered) {
		give_up(db, "the server answered a Sync without an answer to its statement");
		return;
	}
	if (unit_at(db, 0)->then)
		db->ended = true;
	else
		answer_ended(db);
}

/* Takes everything that libpq has complete in memory. */
static void take_results(struct db *db)
{
	bool was_null = false;

	/* Two NULLs in a row: libpq has nothing more, whatever it thinks of being busy. */
	while (!db->broken && db->count > 0 && !PQisBusy(db->conn)) {
		PGresult *r = PQgetResult(db->conn);
		if (r == NULL && was_null)
			break;
		was_null = r == NULL;
		if (r)
			take_result(db, r);
	}
}

static bool readable(const struct db *db)
{
	struct pollfd fd = { .fd = PQsocket(db->conn), .events = POLLIN };
	return poll(&fd, 1, 0) > 0;
}

/* PQconsumeInput() reads a buffer at a time: a large answer takes many. The bound keeps one
 * connection from holding the loop. */
#define READS_MOST 64

void db_io(struct db *db)
{
	if (!db->broken)
		flush(db);
	/* libpq may leave the rest of a TLS record inside OpenSSL (or GSS), where poll() does not
	 * see it: so one read more than poll() says. */
	bool tls = PQsslInUse(db->conn) != 0 || PQgssEncInUse(db->conn) != 0, more = tls;
	for (int i = 0; i < READS_MOST && !db->broken; i++) {
		/* The first read needs no question, the caller's poll has told; when all is
		 * answered, it will tell of more. */
		if (i > 0) {
			if (db->count == 0 && !tls)
				break;
			bool come = readable(db);
			if (!come && !more)
				break;
			more = come && tls;
		}
		bool ok = PQconsumeInput(db->conn) != 0;
		take_results(db);
		if (!ok && PQstatus(db->conn) == CONNECTION_BAD)
			give_up(db, NULL);
	}
	/* Callbacks may have sent, and reading may have made room. */
	if (!db->broken && db->flush_pending)
		flush(db);
	if (db->broken)
		answer_lost(db);
}

void db_tick(struct db *db, struct mono now)
{
	if (!db->broken && db->count > 0 && mono_reached(unit_at(db, 0)->deadline, now)) {
		db->left_behind = db->pid;
		give_up(db, "the database did not answer in time");
	}
	if (db->broken)
		answer_lost(db);
}

struct mono db_next_deadline(const struct db *db)
{
	if (db->count == 0)
		return MONO_NEVER;
	if (db->broken)
		return (struct mono){ 0 }; /* long ago: those in flight are to be told at once */
	return unit_at(db, 0)->deadline;
}

bool db_drain(struct db *db, struct mono deadline)
{
	for (;;) {
		db_io(db);
		db_tick(db, mono_now());
		if (db->broken)
			return false;
		if (db->count == 0)
			return true;

		struct mono first = mono_earlier(db_next_deadline(db), deadline);
		/* Not ended by a stop: what is in flight is awaited, that is what draining is
		 * for. */
		if (!db_wait_socket(db->conn, db->flush_pending, -1, first) &&
		    mono_reached(deadline, mono_now()) && db->count > 0)
			return false;
	}
}
