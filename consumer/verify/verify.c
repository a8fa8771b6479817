/*
 * verify.c: the order of a comparison, and what it says.
 *
 *   1. Open all databases; a replica that cannot be reached takes no part, the others go on.
 *   2. Scan the table chunk by chunk for suspects: products that look different (verify_scan.c).
 *   3. Settle each batch of suspects: drift, or a change in flight (verify_settle.c).
 *   4. With --repair, repair the drifted ones of the batch (verify_repair.c).
 *   5. A line of summary a replica, and the exit code.
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

/* A product that stays locked for longer is left out, with a line that says so. */
#define REPAIR_LOCK_TIMEOUT "5s"

struct run {
	struct verify v; /* first: its callbacks get this */
	const struct verify_request *request;
	struct progress_screen *screen;
	struct progress_meter meter;
	struct uuid told; /* the last id, if any */
	bool any_told;
	bool stopped;
};

bool verify_gather(struct verify *v)
{
	return verify_wait(v->servers, v->n + 1) && v->primary.failed == EXIT_OK;
}

/* ---- what it says ---- */

static void say(struct run *run, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void say(struct run *run, const char *fmt, ...)
{
	va_list ap;

	if (run->request->quiet)
		return;
	progress_screen_clear(run->screen);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
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

static void tell(struct verify *v, const struct verify_suspect *s)
{
	struct run *run = (struct run *)v;
	char id[UUID_TEXT_LEN + 1] = "";
	AUTO_STRBUF what = STRBUF_INIT;

	uuid_to_text(&s->id, id);
	if (run->request->quiet) {
		/* Once, however many replicas: they come one after another. */
		if (!run->any_told || uuid_cmp(&run->told, &s->id) != 0)
			puts(id);
		run->told = s->id;
		run->any_told = true;
		return;
	}
	verify_describe(&what, s);
	say(run, "%s: %s %s", v->replicas[s->replica].server.name, id, strbuf_str(&what));
}

/* ---- opening ---- */

static void take_total(void *arg, const struct pg_result *r)
{
	struct verify *v = arg;

	v->total = db_rows(r) == 1 ? pg_get_int8(db_value(r, 0, 0)) : 0;
}

static bool open_primary(struct verify *v)
{
	struct err err;
	enum exit_code code = reset_primary_connect(&v->writer, v->settings->database_url,
						    topology_products(), NULL, &err);

	if (code != EXIT_OK)
		return verify_server_fail(&v->primary, code, err.text);
	if (!verify_server_open(&v->primary, true))
		return false;
	enum db_outcome outcome = db_query(v->writer.conn,
					   "SET lock_timeout = '" REPAIR_LOCK_TIMEOUT "'", 0, NULL,
					   false, mono_add_ms(mono_now(), 5000), NULL, &err);
	if (outcome != DB_OK)
		return verify_server_fail(&v->primary, db_exit_code(outcome), err.text);
	verify_ask(&v->primary, VERIFY_TOTAL, NULL, take_total, v);
	return verify_gather(v);
}

/* Logged only: its table is compared all the same. */
static void take_complete(void *arg, const struct pg_result *r)
{
	const struct verify_server *s = arg;

	if (db_rows(r) > 0)
		log_warn("needs a reset: it gets no reads until then", KV_S("replica", s->name),
			 KV_S("reason", db_value(r, 0, 0)));
}

static bool open_replicas(struct verify *v)
{
	bool any = false;

	for (size_t i = 0; i < v->n && !stop_requested(); i++)
		any = verify_server_open(&v->replicas[i].server, false) || any;
	for (size_t i = 0; i < v->n; i++)
		verify_ask(&v->replicas[i].server, VERIFY_COMPLETE, NULL, take_complete,
			   &v->replicas[i].server);
	return verify_gather(v) && any;
}

static void choose(struct verify *v, const bool *chosen)
{
	const struct replica_settings *all = &v->settings->replicas;

	v->primary = (struct verify_server){ .name = "primary", .url = v->settings->database_url };
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

/* ---- the end ---- */

static enum exit_code replica_code(const struct verify_replica *r)
{
	/* Without --repair none is repaired. */
	if (r->drifted > r->repaired)
		return EXIT_DIFFERENT;
	if (r->server.failed != EXIT_OK)
		return r->server.failed;
	return r->part == VERIFY_BEHIND || r->unsure > 0 ? EXIT_UNSURE : EXIT_OK;
}

static void summarize(struct run *run)
{
	for (size_t i = 0; i < run->v.n; i++) {
		const struct verify_replica *r = &run->v.replicas[i];
		AUTO_STRBUF line = STRBUF_INIT;

		if (r->server.failed != EXIT_OK)
			log_error("not compared to the end", KV_S("replica", r->server.name),
				  KV_S("error", r->server.err.text));
		else if (r->part == VERIFY_BEHIND)
			log_error("undetermined", KV_S("replica", r->server.name),
				  KV_S("error", r->why.text));
		else if (r->unsure > 0)
			log_error("undetermined", KV_S("replica", r->server.name),
				  KV_S("error", "some products change too fast to be compared"),
				  KV_I("products", r->unsure));
		strbuf_addf(&line, "%s: ", r->server.name);
		if (r->drifted > 0)
			strbuf_addf(&line, "%lld products differ%s", (long long)r->drifted,
				    run->request->repair ? "ed" : "");
		if (r->drifted > 0 && run->request->repair)
			strbuf_addf(&line, ", %lld repaired", (long long)r->repaired);
		if (replica_code(r) == EXIT_OK && r->drifted == 0)
			strbuf_addf(&line, "equal, %lld products", (long long)run->v.rows);
		else if (r->server.failed != EXIT_OK)
			strbuf_addf(&line, "%snot compared to the end", r->drifted > 0 ? "; " : "");
		else if (r->part == VERIFY_BEHIND || r->unsure > 0)
			strbuf_addf(&line, "%sundetermined", r->drifted > 0 ? "; others are " : "");
		say(run, "%s", strbuf_str(&line));
	}
}

/* A difference goes first, then EXIT_UNREACHABLE, then the first other failure. */
static enum exit_code exit_code(const struct run *run)
{
	enum exit_code code = EXIT_OK;

	for (size_t i = 0; i < run->v.n; i++) {
		enum exit_code c = replica_code(&run->v.replicas[i]);

		if (c == EXIT_DIFFERENT)
			return c;
		if (c != EXIT_OK && (code == EXIT_OK || c == EXIT_UNREACHABLE))
			code = c;
	}
	return code;
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
	run->screen = progress_screen_new(request->quiet);
	if (open_primary(v) && open_replicas(v))
		(void)!verify_scan(v);
	progress_screen_clear(run->screen);
	code = finish(run);
	progress_screen_free(run->screen);
	for (size_t i = 0; i <= v->n; i++)
		verify_server_close(v->servers[i]);
	reset_primary_clear(&v->writer);
	free(v->suspects);
	free(run);
	return code;
}
