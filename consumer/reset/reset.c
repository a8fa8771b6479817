/*
 * reset.c: the order of a reset, and what it says.
 *
 * The order is the table steps[] at the end. A replica whose step fails takes no further part and
 * serves its old table; the others go on.
 *
 * Why no change is lost:
 *   1. What left the outbox before the snapshot was committed before it, so the snapshot has it.
 *   2. Everything else is published after the snapshot. From wire_all() on a queue of the replica
 *      keeps it. If the queue loses it (too long, deleted), the API notices and writes the time
 *      down on the primary. The new table records the time that the snapshot knew of; a later one
 *      marks the replica as needing a reset again (api/relay/relay_queues.c).
 *   3. What the consumer had applied before the lock was committed on the primary before the
 *      snapshot too, so nothing is taken back.
 *   4. If the primary crashes, the ids of the transactions in the snapshot are not given out again:
 *      they are on its disk before any replica is told of them.
 *
 * What happens when this process dies: until the commit of the swap no replica shows anything of
 * the reset (see rebuild.c). Queues that were declared stay: the consumer needs them anyway.
 */
#include "consumer/reset/reset.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/amqp/amqp.h"
#include "common/pg/db.h"
#include "common/base/log.h"
#include "common/base/stop.h"
#include "common/wire/topology.h"
#include "common/base/uri.h"
#include "common/base/progress_screen.h"
#include "consumer/reset/rebuild.h"
#include "consumer/reset/rebuild_table.h"
#include "consumer/reset/reset_primary.h"
#include "consumer/reset/reset_replica.h"

#define BROKER_MS 5000

struct reset {
	const struct reset_request *request;
	struct reset_replica replicas[REPLICAS_MAX];
	size_t n;
	struct reset_primary primary;
	enum exit_code failed; /* for a reason that concerns all replicas */

	/* The rebuild: the replicas that still took part when it began. */
	struct rebuild_target targets[REPLICAS_MAX];
	struct reset_replica *target_replica[REPLICAS_MAX];
	struct progress_meter meters[REPLICAS_MAX];
	bool told[REPLICAS_MAX]; /* that it failed */
	struct strbuf due[REPLICAS_MAX], names;
	size_t ntargets;
	struct progress_screen *screen;
	struct mono began;
};

static size_t taking_part(const struct reset *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n; i++)
		n += r->replicas[i].failed == EXIT_OK;
	return n;
}

/* Runs a step for every replica that still takes part; true if any does afterwards. */
static bool each(struct reset *r, bool (*step)(struct reset_replica *))
{
	for (size_t i = 0; i < r->n; i++) {
		struct reset_replica *replica = &r->replicas[i];

		if (replica->failed == EXIT_OK && !step(replica))
			log_error("not reset", KV_S("replica", replica->name),
				  KV_S("error", replica->err.text));
	}
	return taking_part(r) > 0;
}

static bool fail_all(struct reset *r, enum exit_code code, const char *what, const struct err *err)
{
	r->failed = stop_requested() ? EXIT_INTERRUPTED : code;
	LOG_AT(code == EXIT_BUSY ? LOG_WARN : LOG_ERROR, what, KV_S("error", err->text));
	return false;
}

static void say(const struct reset *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void say(const struct reset *r, const char *fmt, ...)
{
	va_list ap;

	if (r->request->quiet)
		return;
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

/* ---- checked ---- */

static bool check_primary(struct reset *r)
{
	struct err err;
	enum exit_code code = reset_primary_connect(&r->primary, r->request->settings->database_url,
						    r->request->stream, r->request->tables, &err);

	return code == EXIT_OK ||
	       fail_all(r, code, "the primary cannot serve: nothing was changed", &err);
}

static struct amqp_link *open_broker(struct reset *r)
{
	struct err err;
	struct amqp_link *link = amqp_open(r->request->settings->rabbitmq_url, "reset-replicas",
					   BROKER_MS, &err);

	if (link == NULL)
		fail_all(r, EXIT_UNREACHABLE, "cannot reach the broker: nothing was changed", &err);
	return link;
}

static bool check_broker(struct reset *r)
{
	struct amqp_link *link = open_broker(r);

	amqp_close(link);
	return link != NULL;
}

/* Foreign keys of any replica tie tables together: they are replaced together. */
static bool add_related(struct reset *r)
{
	AUTO_STRBUF numbers = STRBUF_INIT;
	enum exit_code code = EXIT_OK;
	struct err err;

	for (size_t i = 0; i < r->n && code == EXIT_OK; i++) {
		struct reset_replica *replica = &r->replicas[i];

		if (replica->failed != EXIT_OK)
			continue;
		if (!reset_replica_related(replica, &numbers))
			log_error("not reset", KV_S("replica", replica->name),
				  KV_S("error", replica->err.text));
		else if (numbers.len > 0)
			code = reset_primary_add(&r->primary, strbuf_str(&numbers), &err);
	}
	if (code != EXIT_OK)
		return fail_all(r, code, "the primary cannot serve: nothing was changed", &err);
	return taking_part(r) > 0;
}

/* ---- confirmed ---- */

/* "products, public.users": the first few. */
static const char *table_names(struct reset *r)
{
	strbuf_reset(&r->names);
	for (size_t i = 0; i < r->primary.ntables && i < 5; i++) {
		const struct table *t = r->primary.tables[i].shape;
		strbuf_addf(&r->names, "%s%s", i > 0 ? ", " : "", t->flat ? t->name : t->full);
	}
	if (r->primary.ntables > 5)
		strbuf_addf(&r->names, " and %zu more", r->primary.ntables - 5);
	return strbuf_str(&r->names);
}

static bool confirm(struct reset *r)
{
	struct pollfd p[2] = { { .fd = STDIN_FILENO, .events = POLLIN },
			       { .fd = stop_fd(), .events = POLLIN } };
	AUTO_STRBUF list = STRBUF_INIT;
	char answer[16] = "";

	if (!r->request->ask)
		return true;
	for (size_t i = 0; i < r->n; i++) {
		if (r->replicas[i].failed == EXIT_OK)
			strbuf_addf(&list, "%s%s", list.len == 0 ? "" : ", ", r->replicas[i].name);
	}
	printf("The rows of %s in %s will be replaced by those of %s.\nGo on? [y/N] ",
	       table_names(r), strbuf_str(&list), r->primary.name);
	fflush(stdout);
	while (poll(p, 2, -1) < 0)
		;
	if (p[1].revents == 0 && fgets(answer, sizeof(answer), stdin) != NULL &&
	    (strcasecmp(answer, "y\n") == 0 || strcasecmp(answer, "yes\n") == 0))
		return true;
	printf("%sNothing was changed.\n", p[1].revents == 0 ? "" : "\n");
	r->failed = EXIT_INTERRUPTED;
	return false;
}

/* ---- wired ---- */

/* A missing queue shows that changes were lost. Declaring it again hides that, so the replica is
 * marked first: if this reset fails, another one is still due. */
static bool wire_stream(struct reset *r, struct reset_replica *replica, struct amqp_link *link,
			const struct stream *stream)
{
	unsigned attempts = (unsigned)r->request->settings->max_attempts;
	enum exit_code code = EXIT_RUNTIME;
	struct topology_report report;
	struct err err;
	bool asked = topology_declare(link, stream, replica->name, attempts, TOPOLOGY_LOOK_FIRST,
				      &report, &err);

	if (asked && report.main == AMQP_ANSWER_MISSING) {
		if (!reset_replica_mark(replica, stream))
			return false;
		asked = topology_declare(link, stream, replica->name, attempts, TOPOLOGY_CREATE,
					 &report, &err);
	}
	if (asked && report.main == AMQP_ANSWER_YES)
		return true;
	if (asked) {
		/* What is published from now on would not reach it. */
		code = EXIT_UNREACHABLE;
		err = report.main_why;
	}
	err_prefix(&err, "its queues");
	return reset_replica_fail(replica, code, &err);
}

static bool wire(struct reset *r, struct reset_replica *replica, struct amqp_link *link)
{
	for (size_t i = 0; i < r->primary.nstreams; i++)
		if (!wire_stream(r, replica, link, &r->primary.streams[i].stream))
			return false;
	return true;
}

static bool wire_all(struct reset *r)
{
	struct amqp_link *link = open_broker(r);

	r->began = mono_now(); /* now that nobody is waited for */
	for (size_t i = 0; link != NULL && i < r->n; i++) {
		struct reset_replica *replica = &r->replicas[i];

		if (replica->failed != EXIT_OK || wire(r, replica, link))
			continue;
		log_error("not reset", KV_S("replica", replica->name),
			  KV_S("error", replica->err.text));
		/* The link is of no more use. A new one may still serve the other replicas. */
		amqp_close(link);
		link = open_broker(r);
	}
	if (link == NULL)
		return false;
	amqp_close(link);
	return taking_part(r) > 0;
}

/* ---- the snapshot ---- */

static bool take_snapshot(struct reset *r)
{
	struct err err;
	enum exit_code code = reset_primary_snapshot(&r->primary, &err);

	return code == EXIT_OK ||
	       fail_all(r, code, "cannot take a snapshot of the primary: nothing was changed",
			&err);
}

/* ---- rebuilt ---- */

/* At once: the other replicas may take hours. */
static void tell_failures(struct reset *r)
{
	for (size_t i = 0; i < r->ntargets; i++) {
		const struct rebuild_target *t = &r->targets[i];

		if (t->state != REBUILD_FAILED || r->told[i])
			continue;
		r->told[i] = true;
		progress_screen_clear(r->screen);
		log_error("not reset", KV_S("replica", t->name), KV_S("error", t->err.text));
	}
}

/* The rebuild's tick. */
static void show(void *arg)
{
	struct reset *r = arg;
	struct progress_row rows[REPLICAS_MAX];
	struct mono now = mono_now();
	size_t n = 0;

	tell_failures(r);
	for (size_t i = 0; i < r->ntargets; i++)
		progress_meter_add(&r->meters[i], now, r->targets[i].rows, r->targets[i].bytes);
	if (!progress_screen_due(r->screen, now))
		return;
	for (size_t i = 0; i < r->ntargets; i++) {
		const struct rebuild_target *t = &r->targets[i];
		struct progress_row *row = &rows[n];

		if (rebuild_state_ended(t->state))
			continue;
		*row = (struct progress_row){
			.name = t->name,
			.doing = t->doing,
			.rows = t->rows,
			.bytes = t->bytes,
			.total = r->primary.rows,
			.stuck_ms = t->stuck_ms,
		};
		row->measured = progress_meter_rate(&r->meters[i], &row->rows_per_s,
						    &row->bytes_per_s);
		n++;
	}
	progress_screen_show(r->screen, rows, n, now);
}

static const char *due_of(const struct reset *r, const char *replica, struct strbuf *out)
{
	reset_primary_due(&r->primary, replica, out);
	return strbuf_str(out);
}

/* What reset_record.sql takes: the streams all of whose tables are reset, and the tables. */
static void write_streams(const struct reset *r, struct strbuf *out)
{
	size_t n = 0;

	strbuf_addstr(out, "{\"streams\":[");
	for (size_t i = 0; i < r->primary.nstreams; i++)
		if (r->primary.streams[i].whole)
			strbuf_addf(out, "%s{\"stream\":%d,\"name\":\"%s\"}", n++ > 0 ? "," : "",
				    r->primary.streams[i].stream.number,
				    r->primary.streams[i].stream.name);
	strbuf_addstr(out, "],\"tables\":");
	reset_primary_tables(&r->primary, out);
	strbuf_addch(out, '}');
}

static bool rebuild(struct reset *r)
{
	AUTO_STRBUF streams = STRBUF_INIT;
	AUTO_FREE struct rebuild_table *tables = xcalloc(r->primary.ntables + 1, sizeof(*tables));
	struct rebuild_job job = {
		.primary = r->primary.conn,
		.source = r->primary.source,
		.snapshot = r->primary.snapshot,
		.floor = r->primary.floor,
		.taken_at = r->primary.taken_at,
		.published = r->primary.published,
		.before = r->primary.before,
		.after = r->primary.after,
		.tables = tables,
		.ntables = r->primary.ntables,
		.stall_ms = r->request->settings->stall_timeout_ms,
		.swap_ms = r->request->settings->swap_timeout_ms,
		.targets = r->targets,
		.tick = show,
		.arg = r,
	};

	for (size_t i = 0; i < r->primary.ntables; i++)
		tables[i] = (struct rebuild_table){ .id = r->primary.tables[i].shape->id,
						    .name = r->primary.tables[i].shape->full,
						    .copy_out = r->primary.tables[i].copy_out };
	write_streams(r, &streams);
	job.streams = strbuf_str(&streams);
	say(r, "Copying about %lld rows of %s.", (long long)r->primary.rows, r->primary.name);
	for (size_t i = 0; i < r->n; i++) {
		struct reset_replica *replica = &r->replicas[i];

		if (replica->failed != EXIT_OK)
			continue;
		r->target_replica[r->ntargets] = replica;
		r->targets[r->ntargets++] = (struct rebuild_target){
			.name = replica->name,
			.due = due_of(r, replica->name, &r->due[r->ntargets]),
			.here = replica->here,
			.conn = replica->conn
		};
		replica->conn = NULL;
	}
	job.n = r->ntargets;
	r->primary.conn = NULL;
	r->screen = progress_screen_new(r->request->quiet);
	enum rebuild_outcome outcome = rebuild_run(&job);
	tell_failures(r);
	progress_screen_free(r->screen);

	for (size_t i = 0; i < r->ntargets; i++) {
		const struct rebuild_target *t = &r->targets[i];

		if (t->state == REBUILD_DONE)
			continue;
		r->target_replica[i]->unsure = t->unsure;
		(void)!reset_replica_fail(
			r->target_replica[i],
			outcome == REBUILD_STOPPED ? EXIT_INTERRUPTED : EXIT_RUNTIME, &t->err);
	}
	return true;
}

/* ---- what it says at the end ---- */

static bool summarize(struct reset *r)
{
	for (size_t i = 0; i < r->ntargets; i++) {
		AUTO_STRBUF line = STRBUF_INIT;
		const struct rebuild_target *t = &r->targets[i];

		if (t->state == REBUILD_DONE) {
			progress_summary(&line, t->name, t->rows, t->bytes,
					 mono_diff_us(t->ended, r->began));
			say(r, "%s", strbuf_str(&line));
		}
	}
	for (size_t i = 0; i < r->n; i++) {
		if (r->replicas[i].failed != EXIT_OK)
			say(r, "%s: not reset, it serves %s", r->replicas[i].name,
			    r->replicas[i].unsure
				    ? "the table it had or the new one, complete: run the reset again"
				    : "the table it had");
	}
	return true;
}

static bool tell_plan(struct reset *r)
{
	AUTO_STRBUF size = STRBUF_INIT;

	progress_add_bytes(&size, r->primary.bytes);
	say(r, "primary %s: about %lld rows, %s", r->primary.name, (long long)r->primary.rows,
	    strbuf_str(&size));
	for (size_t i = 0; i < r->n; i++) {
		const struct reset_replica *replica = &r->replicas[i];
		char name[512];

		uri_scrub(replica->url, name, sizeof(name));
		if (replica->failed != EXIT_OK)
			say(r, "%s %s: could not be reset", replica->name, name);
		else if (replica->rows < 0)
			say(r, "%s %s: would be reset", replica->name, name);
		else
			say(r, "%s %s: would be reset, has about %lld rows", replica->name, name,
			    (long long)replica->rows);
	}
	say(r, "Dry run: nothing was changed.");
	return true;
}

static bool left_out(const struct reset *r, const struct reset_replica *replica)
{
	bool any = r->primary.nbroken > 0;

	for (size_t i = 0; replica->waits != NULL && i < r->primary.ntables; i++)
		any = any || replica->waits[i];
	return any;
}

/* One common reason is the exit code itself; different ones, or tables that were left out, become
 * EXIT_DIFFERENT. */
static enum exit_code exit_code(const struct reset *r)
{
	enum exit_code code = r->failed;

	for (size_t i = 0; i < r->n && r->failed == EXIT_OK; i++) {
		enum exit_code failed = r->replicas[i].failed;

		if (failed != EXIT_OK && code == EXIT_OK)
			code = failed;
		else if (failed != EXIT_OK && code != failed)
			code = EXIT_DIFFERENT;
		if (code == EXIT_OK && left_out(r, &r->replicas[i]))
			code = EXIT_DIFFERENT;
	}
	return code;
}

static void choose(struct reset *r)
{
	const struct replica_settings *all = &r->request->settings->replicas;

	for (size_t i = 0; i < all->n; i++) {
		if (r->request->chosen[i])
			r->replicas[r->n++] = (struct reset_replica){ .name = all->replica[i].name,
								      .url = all->replica[i].url,
								      .primary = &r->primary };
	}
}

/* ---- the steps ---- */

enum reset_kind { RESET_REAL = 1, RESET_DRY = 2, RESET_ANY = RESET_REAL | RESET_DRY };

/* A step is done once, or for each replica that still takes part. False: nobody does any more. */
static const struct reset_step {
	enum reset_kind kind; /* of run that has this step */
	bool (*once)(struct reset *r);
	bool (*each)(struct reset_replica *replica);
} steps[] = {
	{ RESET_ANY, check_primary, NULL },
	/* Connected; migrated; its tables can be replaced. */
	{ RESET_ANY, NULL, reset_replica_connect },
	{ RESET_ANY, add_related, NULL },
	{ RESET_ANY, check_broker, NULL },
	{ RESET_DRY, NULL, reset_replica_rehearse },
	{ RESET_REAL, confirm, NULL },
	/* Its queues exist and are bound. */
	{ RESET_REAL, wire_all, NULL },
	/* No batch is applied any more; those under way have ended. */
	{ RESET_REAL, NULL, reset_replica_lock },
	/* In a transaction, with an empty new table for each one. */
	{ RESET_REAL, NULL, reset_replica_begin },
	/* Of the primary, one for all. */
	{ RESET_ANY, take_snapshot, NULL },
	{ RESET_DRY, tell_plan, NULL },
	/* Loaded, indexed, swapped in, committed: rebuild.h. */
	{ RESET_REAL, rebuild, NULL },
	{ RESET_REAL, summarize, NULL },
};

static void run_steps(struct reset *r)
{
	enum reset_kind kind = r->request->dry_run ? RESET_DRY : RESET_REAL;
	bool go_on = true;

	for (const struct reset_step *s = steps; go_on && s < steps + ARRAY_SIZE(steps); s++) {
		if ((s->kind & kind) != 0)
			go_on = s->once != NULL ? s->once(r) : each(r, s->each);
	}
}

enum exit_code reset_run(const struct reset_request *request)
{
	struct reset *r = xcalloc(1, sizeof(*r));
	enum exit_code code;

	r->request = request;
	choose(r);
	run_steps(r);
	code = exit_code(r);
	for (size_t i = 0; i < r->n; i++)
		reset_replica_clear(&r->replicas[i]);
	for (size_t i = 0; i < REPLICAS_MAX; i++)
		strbuf_clear(&r->due[i]);
	strbuf_clear(&r->names);
	reset_primary_clear(&r->primary);
	free(r);
	return code;
}
