/*
 * verify.c: the order of a comparison, and what it says.
 *
 *   1. Look at all databases; a replica that cannot be reached takes no part, the others go on.
 *   2. For each table that is asked for: wait until the replicas have it in the shape that it has on the
 *      primary.
 *   3. Scan it for suspects: rows that look different (verify_scan.c).
 *   4. Settle each batch of suspects: drift, or a change in flight (verify_settle.c).
 *   5. With --repair, repair the drifted ones of the batch (verify_repair.c).
 *   6. A line of summary a replica, and the exit code.
 *
 * Nothing is locked; memory is that of one batch. --verify changes nothing; --repair may be killed
 * at any time and run again.
 */
#include "consumer/verify/verify.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/wire/topology.h"
#include "common/pg/pgarray.h"
#include "common/base/stop.h"
#include "common/base/progress_screen.h"
#include "consumer/verify/verify_private.h"

#include "consumer/verify/sql/verify_done.sql.h"

#define POLL_MS	 100
#define DONE_MS	 5000
#define SAID_MAX 4096 /* a line */

struct run {
	struct verify v; /* first: its callbacks get this */
	const struct verify_request *request;
	struct progress_screen *screen;
	struct progress_meter meter;
	struct strbuf told; /* the last row named */
	bool only_products; /* no other table is compared */
};

bool verify_gather(struct verify *v)
{
	return verify_wait(v->servers, v->n + 1) && v->primary.failed == EXIT_OK;
}

/* ---- what it says ---- */

static void say(struct run *run, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void say(struct run *run, const char *fmt, ...)
{
	char text[SAID_MAX];
	va_list ap;

	if (run->request->quiet)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (run->request->log) {
		log_info("compared with the primary", KV_S("found", text));
		return;
	}
	progress_screen_clear(run->screen);
	puts(text);
	fflush(stdout);
}

static void tick(struct verify *v)
{
	struct run *run = (struct run *)v;
	struct progress_row rows[REPLICAS_MAX];
	struct mono now = mono_now();
	size_t n = 0;

	progress_meter_add(&run->meter, now, v->rows, 0);
	if (!progress_screen_due(run->screen, now))
		return;
	for (size_t i = 0; i < v->n; i++) {
		struct progress_row *row = &rows[n];
		int64_t bytes;

		if (!verify_taking_part(&v->replicas[i]))
			continue;
		*row = (struct progress_row){
			.name = v->replicas[i].server.name,
			.doing = v->replicas[i].part == VERIFY_AWAITED
					 ? "waiting for changes in flight"
					 : "",
			.rows = v->rows,
			.bytes = -1,
			.total = v->total,
		};
		row->measured = progress_meter_rate(&run->meter, &row->rows_per_s, &bytes);
		n++;
	}
	progress_screen_show(run->screen, rows, n, now);
}

/* What would end the line is escaped. */
static void name_row(struct strbuf *out, const struct verify *v, const char *key)
{
	AUTO_STRBUF text = STRBUF_INIT;

	table_name_row(&text, v->table->shape, key);
	for (const char *p = strbuf_str(&text); *p != '\0'; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			strbuf_addf(out, "\\x%02x", (unsigned char)*p);
		else
			strbuf_addch(out, *p);
	}
}

static void tell(struct verify *v, const struct verify_suspect *s)
{
	struct run *run = (struct run *)v;
	AUTO_STRBUF row = STRBUF_INIT, what = STRBUF_INIT;

	name_row(&row, v, s->key);
	if (run->request->quiet) {
		/* Once, however many replicas: they come one after another. */
		if (strcmp(strbuf_str(&run->told), strbuf_str(&row)) != 0)
			puts(strbuf_str(&row));
		strbuf_reset(&run->told);
		strbuf_addstr(&run->told, strbuf_str(&row));
		return;
	}
	verify_describe(&what, s, v->table->shape);
	say(run, "%s: %s %s", v->replicas[s->replica].server.name, strbuf_str(&row),
	    strbuf_str(&what));
}

/* ---- opening ---- */

static bool open_primary(struct verify *v)
{
	struct err err;
	enum exit_code code = reset_primary_connect(&v->writer, v->settings->database_url, NULL,
						    ((struct run *)v)->request->tables, &err);

	if (code != EXIT_OK)
		return verify_server_fail(&v->primary, code, err.text);
	v->primary.leads = v->writer.leads;
	enum db_outcome outcome = db_query(v->writer.conn,
					   "SET lock_timeout = '" REPAIR_LOCK_TIMEOUT "'", 0, NULL,
					   false, mono_add_ms(mono_now(), 5000), NULL, &err);
	return outcome == DB_OK || verify_server_fail(&v->primary, db_exit_code(outcome), err.text);
}

static bool check_replicas(struct verify *v)
{
	bool any = false;

	for (size_t i = 0; i < v->n && !stop_requested(); i++)
		any = verify_server_check(&v->replicas[i].server, v->writer.leads) || any;
	return any && !stop_requested();
}

static void choose(struct verify *v, const bool *chosen)
{
	const struct replica_settings *all = &v->settings->replicas;

	v->primary = (struct verify_server){ .name = "primary",
					     .url = v->settings->database_url,
					     .primary = true };
	for (size_t i = 0; i < all->n; i++) {
		if (chosen[i])
			v->replicas[v->n++].server = (struct verify_server){
				.name = all->replica[i].name, .url = all->replica[i].url
			};
	}
	for (size_t i = 0; i < v->n; i++)
		v->servers[i] = &v->replicas[i].server;
	v->servers[v->n] = &v->primary;
}

/* ---- a table ---- */

static void take_begin(void *arg, const struct pg_result *r)
{
	struct verify *v = arg;
	int64_t width, least, most;

	if (db_rows(r) == 0) {
		(void)verify_server_fail(&v->primary, EXIT_BUSY, "a table was dropped meanwhile");
		return;
	}
	v->total += db_is_null(r, 0, 0) ? 0 : pg_get_int8(db_value(r, 0, 0));
	width = db_is_null(r, 0, 1) ? 0 : pg_get_int8(db_value(r, 0, 1));
	v->given = pg_get_int8(db_value(r, 0, 2));
	/* Of a suspect both sides' digests are kept. */
	least = (int64_t)v->table->shape->ncolumns * 4 * VERIFY_DIGEST;
	if (width < least)
		width = least;
	most = width > 0 ? VERIFY_BYTES_MAX / width : 1;
	v->chunk = most < 1 ? 1 : most > VERIFY_ROWS_MAX ? VERIFY_ROWS_MAX : (size_t)most;
}

/* Logged only: its tables are compared all the same. */
static void take_complete(void *arg, const struct pg_result *r)
{
	const struct verify_server *s = arg;

	if (db_rows(r) > 0)
		log_warn("needs a reset: it gets no reads until then", KV_S("replica", s->name),
			 KV_S("reason", db_value(r, 0, 0)));
}

static bool is_first_of_stream(const struct verify *v)
{
	const struct reset_table *first = v->writer.tables;

	while (first->stream.number != v->table->stream.number)
		first++;
	return first == v->table;
}

/* What a replica has of the table. */
struct arrival {
	struct verify *v;
	struct verify_replica *r;
};

static void take_table(void *arg, const struct pg_result *r)
{
	const struct arrival *a = arg;
	const struct table *t = a->v->table->shape;

	free(a->r->relation);
	a->r->relation = NULL;
	a->r->arrived = false;
	if (db_rows(r) == 0) {
		err_set(&a->r->why, "it does not have the table yet");
		return;
	}
	a->r->relation = xstrdup(db_value(r, 0, 0));
	/* A flat table's shapes are described on each side. */
	if (!t->flat && pg_get_int4(db_value(r, 0, 1)) != t->shape)
		err_set(&a->r->why, "the table has another shape there than on the primary");
	else if (pg_get_int4(db_value(r, 0, 2)) != 0)
		err_set(&a->r->why, "the table's rows are yet to be loaded");
	else
		a->r->arrived = true;
}

static bool any_awaits_table(struct verify *v)
{
	bool any = false;

	for (size_t i = 0; i < v->n; i++)
		any = any || (verify_taking_part(&v->replicas[i]) && !v->replicas[i].arrived);
	return any;
}

/* It comes, and changes, by the stream. */
static bool await_table(struct verify *v)
{
	struct mono until = mono_add_ms(mono_now(), v->settings->verify_timeout_ms);
	struct arrival arrivals[REPLICAS_MAX];
	char id[16];

	snprintf(id, sizeof(id), "%d", v->table->shape->id);
	const struct db_param param = DB_TEXT(id);
	do {
		for (size_t i = 0; i < v->n; i++) {
			struct verify_replica *r = &v->replicas[i];
			arrivals[i] = (struct arrival){ v, r };
			if (verify_taking_part(r) && !r->arrived)
				verify_ask(&r->server, VERIFY_TABLE, &param, take_table,
					   &arrivals[i]);
		}
		if (!verify_gather(v))
			return false;
	} while (any_awaits_table(v) && !mono_reached(until, mono_now()) &&
		 !stop_sleep_ms(POLL_MS));
	for (size_t i = 0; i < v->n; i++)
		if (verify_taking_part(&v->replicas[i]) && !v->replicas[i].arrived)
			verify_leave_behind(v, i, &v->replicas[i].why);
	return !stop_requested();
}

static bool open_table(struct verify *v)
{
	const struct db_param stream = DB_TEXT(v->table->stream.text);
	const struct db_param oid = DB_TEXT(v->table->oid);

	if (!verify_server_open(&v->primary))
		return false;
	verify_ask(&v->primary, VERIFY_BEGIN, &oid, take_begin, v);
	for (size_t i = 0; i < v->n; i++) {
		struct verify_replica *r = &v->replicas[i];

		r->part = table_is_for(v->table->shape, r->server.name) ? VERIFY_COMPARED
									: VERIFY_WITHOUT;
		r->arrived = false;
		if (verify_taking_part(r) && verify_server_open(&r->server) &&
		    is_first_of_stream(v))
			verify_ask(&r->server, VERIFY_COMPLETE, &stream, take_complete, &r->server);
	}
	return verify_gather(v) && await_table(v);
}

static void prepare(struct verify *v)
{
	struct verify_names names = { .t = v->table->shape,
				      .stream = v->table->stream.number,
				      .relation = v->table->relation,
				      .filter = v->table->filter };

	verify_server_prepare(&v->primary, &names);
	names.filter = NULL;
	for (size_t i = 0; i < v->n; i++) {
		struct verify_replica *r = &v->replicas[i];
		if (!verify_taking_part(r))
			continue;
		names.relation = r->relation;
		verify_server_prepare(&r->server, &names);
		r->tables++;
	}
}

static void log_undetermined(const struct verify *v)
{
	for (size_t i = 0; i < v->n; i++) {
		const struct verify_replica *r = &v->replicas[i];
		if (r->part == VERIFY_BEHIND && r->server.failed == EXIT_OK)
			log_error("undetermined", KV_S("replica", r->server.name),
				  KV_S("table", v->table->shape->full), KV_S("error", r->why.text));
	}
}

/* False: nothing more can be compared. */
static bool compare(struct verify *v, const struct reset_table *table)
{
	v->table = table;
	if (!open_table(v))
		return false;
	prepare(v);
	bool ok = verify_gather(v) && verify_scan(v);
	log_undetermined(v);
	return ok;
}

/* ---- the end ---- */

static enum exit_code replica_code(const struct verify_replica *r)
{
	/* Without --repair none is repaired. */
	if (r->drifted > r->repaired)
		return EXIT_DIFFERENT;
	if (r->server.failed != EXIT_OK)
		return r->server.failed;
	return r->undetermined || r->unsure > 0 ? EXIT_UNSURE : EXIT_OK;
}

static void add_equal(struct strbuf *line, const struct run *run, const struct verify_replica *r)
{
	strbuf_addf(line, "equal, %lld %s", (long long)r->rows,
		    run->only_products ? "products" : "rows");
	if (!run->only_products)
		strbuf_addf(line, " of %lld table%s", (long long)r->tables,
			    r->tables == 1 ? "" : "s");
}

static void summarize(struct run *run)
{
	for (size_t i = 0; i < run->v.n; i++) {
		const struct verify_replica *r = &run->v.replicas[i];
		AUTO_STRBUF line = STRBUF_INIT;

		if (r->server.failed != EXIT_OK)
			log_error("not compared to the end", KV_S("replica", r->server.name),
				  KV_S("error", r->server.err.text));
		else if (r->unsure > 0 && !r->undetermined)
			log_error("undetermined", KV_S("replica", r->server.name),
				  KV_S("error", "some rows change too fast to be compared"),
				  KV_I("rows", r->unsure));
		strbuf_addf(&line, "%s: ", r->server.name);
		if (r->drifted > 0)
			strbuf_addf(&line, "%lld %s differ%s", (long long)r->drifted,
				    run->only_products ? "products" : "rows",
				    run->request->repair ? "ed" : "");
		if (r->drifted > 0 && run->request->repair)
			strbuf_addf(&line, ", %lld repaired", (long long)r->repaired);
		if (replica_code(r) == EXIT_OK && r->drifted == 0)
			add_equal(&line, run, r);
		else if (r->server.failed != EXIT_OK)
			strbuf_addf(&line, "%snot compared to the end", r->drifted > 0 ? "; " : "");
		else if (r->undetermined || r->unsure > 0)
			strbuf_addf(&line, "%sundetermined", r->drifted > 0 ? "; others are " : "");
		say(run, "%s", strbuf_str(&line));
	}
}

/* A difference goes first, or a table that was left out, then EXIT_UNREACHABLE, then the first other failure. */
static enum exit_code exit_code(const struct run *run)
{
	enum exit_code code = EXIT_OK;

	if (run->v.writer.nbroken > 0)
		return EXIT_DIFFERENT;
	for (size_t i = 0; i < run->v.n; i++) {
		enum exit_code c = replica_code(&run->v.replicas[i]);

		if (c == EXIT_DIFFERENT)
			return c;
		if (c != EXIT_OK && (code == EXIT_OK || c == EXIT_UNREACHABLE))
			code = c;
	}
	return code;
}

/* What the old primary had published is gone from it, if it was there. */
static void note_done(const struct run *run, const struct verify_server *s)
{
	const struct db_param params[] = { DB_TEXT(run->v.writer.leads), DB_TEXT(s->checked_at) };
	struct err err;
	struct pg_conn *conn = verify_server_connect(s, &err);

	if (conn == NULL || db_query(conn, sql_verify_done, 2, params, false,
				     mono_add_ms(mono_now(), DONE_MS), NULL, &err) != DB_OK)
		log_warn("that the replica was compared could not be noted there",
			 KV_S("replica", s->name), KV_S("error", err.text));
	db_conn_close(conn);
}

static enum exit_code finish(struct run *run)
{
	const struct verify *v = &run->v;

	if (stop_requested())
		return EXIT_INTERRUPTED;
	if (v->primary.failed != EXIT_OK) {
		log_error("cannot compare", KV_S("server", "primary"),
			  KV_S("error", v->primary.err.text));
		return v->primary.failed;
	}
	summarize(run);
	for (size_t i = 0; i < v->n && run->request->tables == NULL && v->writer.nbroken == 0; i++)
		if (replica_code(&v->replicas[i]) == EXIT_OK)
			note_done(run, &v->replicas[i].server);
	return exit_code(run);
}

enum exit_code verify_run(const struct verify_request *request)
{
	struct run *run = xcalloc(1, sizeof(*run));
	struct verify *v = &run->v;
	enum exit_code code;

	run->request = request;
	v->settings = request->settings;
	v->repair = request->repair;
	v->tick = tick;
	v->tell = tell;
	choose(v, request->chosen);
	run->screen = progress_screen_new(request->quiet || request->log);
	bool going = open_primary(v) && check_replicas(v);
	run->only_products = v->writer.ntables == 1 && v->writer.tables[0].shape->flat;
	for (size_t i = 0; i < v->writer.ntables && going; i++)
		going = compare(v, &v->writer.tables[i]);
	progress_screen_clear(run->screen);
	code = finish(run);
	progress_screen_free(run->screen);
	for (size_t i = 0; i <= v->n; i++)
		verify_server_close(v->servers[i]);
	reset_primary_clear(&v->writer);
	for (size_t i = 0; i < v->n; i++)
		free(v->replicas[i].relation);
	free(v->suspects);
	strbuf_clear(&run->told);
	free(run);
	return code;
}
