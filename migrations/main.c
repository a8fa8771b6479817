/*
 * main.c: pgfanout-migrate. Brings the primary and all replicas to the newest schema, takes one
 * step back, or lists.
 *
 * Promises: every database is tried, even when another one fails; what was done is a line on
 * stdout, what was not is one on stderr; the exit code is that of the first database that failed.
 * One thread (and the one that waits for signals); SIGTERM ends it at once, and the migration under
 * way is rolled back.
 */
#include <stdio.h>
#include <string.h>

#include "common/amqp/amqp.h"
#include "common/settings/program.h"
#include "common/base/log.h"
#include "common/base/stop.h"
#include "common/wire/topology.h"
#include "common/wire/table_names.h"
#include "migrations/migrate.h"
#include "migrations/promote.h"
#include "migrations/tables.h"

struct settings {
	char *database_url;
	char *rabbitmq_url;
	char *queue_prefix;
	int64_t max_attempts;
	char *tables;
	char *log_level;
	char *log_format;
	struct replica_settings replicas, standbys;
};

#define DEADLOCKS_MAX 5

#define AT(member) offsetof(struct settings, member)

static const struct setting settings_table[] = {
	{ "DATABASE_URL", SETTING_PG_URL, AT(database_url), NULL, 1, 4096, true, NULL,
	  "the primary, any libpq URI" },
	{ "RABBITMQ_URL", SETTING_AMQP_URL, AT(rabbitmq_url), "", 0, 4096, true, NULL,
	  "the broker: where it can be reached, a new replica's queues are declared before "
	  "it is called complete" },
	{ "QUEUE_PREFIX", SETTING_STRING, AT(queue_prefix), "", 0, 32, false, NULL,
	  "before the name of each exchange and queue; one for each installation that shares a virtual "
	  "host" },
	{ "MAX_ATTEMPTS", SETTING_INT, AT(max_attempts), "3", 1, 10, false, NULL,
	  "attempts for a message, as the consumer has it: how many retry queues there are" },
	{ "TABLES", SETTING_STRING, AT(tables), "", 0, 65535, false, NULL,
	  "tables that `up` registers, beside products: users,blog.posts,\"User\",blog.*; the last one is all "
	  "of a schema, new ones too" },
	{ "LOG_LEVEL", SETTING_CHOICE, AT(log_level), "info", 0, 0, false, "error|warn|info|debug",
	  "the least important lines to write" },
	{ "LOG_FORMAT", SETTING_CHOICE, AT(log_format), "text", 0, 0, false, "text|json",
	  "key=value lines, or JSON" },
};

static bool finish(void *settings, struct err *err)
{
	const struct settings *s = settings;
	AUTO_STRBUF tables = STRBUF_INIT;

	if (!table_names_array(&tables, s->tables, true, err))
		return err_prefix(err, "TABLES");
	return topology_use_prefix(s->queue_prefix, err);
}

/* The primary, then the replicas in the order of their numbers. */
struct targets {
	struct target all[1 + REPLICAS_MAX];
	size_t n;
	const struct settings *settings;
	bool json;
};

static void complain(const struct target *t, const struct err *err)
{
	log_error("failed", KV_S("database", t->name), KV_S("error", err->text));
}

static void say(const struct target *t, const struct migration *m, const char *what)
{
	printf("%s: %d %s: %s\n", t->name, m->number, m->name, what);
	fflush(stdout);
}

/* ---- all databases ---- */

static void targets_init(struct targets *ts, const struct settings *s)
{
	memset(ts, 0, sizeof(*ts));
	ts->settings = s;
	ts->all[ts->n++] =
		(struct target){ .side = "primary", .name = "primary", .url = s->database_url };
	for (size_t i = 0; i < s->replicas.n; i++)
		ts->all[ts->n++] = (struct target){ .side = "replica",
						    .name = s->replicas.replica[i].name,
						    .url = s->replicas.replica[i].url };
}

static void targets_open(struct targets *ts)
{
	for (size_t i = 0; i < ts->n && !stop_requested(); i++) {
		struct err err;
		if (!target_open(&ts->all[i], &err))
			complain(&ts->all[i], &err);
	}
}

/* One database under two names would apply its own changes to itself: nothing is done then. */
static bool targets_differ(const struct targets *ts)
{
	for (size_t i = 0; i < ts->n; i++) {
		for (size_t k = 0; k < i; k++) {
			const struct target *a = &ts->all[k], *b = &ts->all[i];
			if (a->identity[0] == '\0' || strcmp(a->identity, b->identity) != 0)
				continue;
			log_error("two settings lead to one database: the primary and each "
				  "replica need their own",
				  KV_S("database", a->name), KV_S("and", b->name));
			return false;
		}
	}
	return true;
}

/* The first failure's code. After a stop the rest was not tried: interrupted. */
static int targets_code(const struct targets *ts)
{
	for (size_t i = 0; i < ts->n; i++)
		if (ts->all[i].code != EXIT_OK)
			return ts->all[i].code;
	return stop_requested() ? EXIT_INTERRUPTED : EXIT_OK;
}

/* ---- up ---- */

/* Programs of the version before are at work, and lock as they like: in a deadlock it may be us whom the
 * server chooses to end. */
static bool up_at_last(struct target *t, const struct migration *m, bool *ret_done, struct err *err)
{
	for (int tries = 1; !target_up(t, m, ret_done, err); tries++) {
		if (t->conn == NULL || strcmp(err->sqlstate, "40P01") != 0 ||
		    tries == DEADLOCKS_MAX || stop_requested())
			return false;
		t->code = EXIT_OK;
	}
	return true;
}

static bool all_up(struct target *t)
{
	int newest = migration_newest(t->side), done = 0;
	struct err err;

	for (int n = 1; n <= newest; n++) {
		const struct migration *m = migration_find(t->side, n);
		bool did = false, there = false;

		for (size_t i = 0; i < t->registered; i++)
			there = there || t->registry[i].number == n;
		if (there)
			continue;
		if (!up_at_last(t, m, &did, &err)) {
			err_prefix(&err, "migration %d (%s)", m->number, m->name);
			complain(t, &err);
			return false;
		}
		say(t, m, did ? "applied" : "applied by another pgfanout-migrate just now");
		done++;
	}
	if (done == 0)
		say(t, migration_find(t->side, newest), "up to date");
	return true;
}

/* From here on everything that is published reaches the replica. False: the broker cannot be
 * reached, which is no failure. */
static bool declare_queues(const struct targets *ts, const char *replica)
{
	struct topology_report report;
	struct err err;
	bool declared = false;

	if (!ts->settings->rabbitmq_url || *ts->settings->rabbitmq_url == '\0')
		return false;
	struct amqp_link *link = amqp_open(ts->settings->rabbitmq_url, "pgfanout-migrate", 3000,
					   &err);

	/* Main queues too: the replica needs a reset as it is. */
	if (link && topology_declare(link, topology_products(), replica,
				     (unsigned)ts->settings->max_attempts, TOPOLOGY_CREATE, &report,
				     &err)) {
		declared = report.main == AMQP_ANSWER_YES;
		err = report.main_why;
	}
	if (!declared)
		log_info("queues not declared", KV_S("replica", replica), KV_S("error", err.text));
	amqp_close(link);
	return declared;
}

/* Whether a new replica is complete, judged after the primary has its triggers and the replica its
 * queues: what is written from here on is recorded and reaches them. */
static bool settle(struct targets *ts, struct target *t, struct err *err)
{
	bool needs_reset = false, pristine = false;
	char reason[64] = "", source[SOURCE_MAX] = "";

	if (!replica_settle(t, NULL, &needs_reset, reason, err))
		return false;
	if (needs_reset && ts->all[0].conn != NULL && ts->all[0].code == EXIT_OK) {
		bool declared = declare_queues(ts, t->name);
		struct err primary_err;

		if (!primary_is_pristine(&ts->all[0], declared, &pristine, source, &primary_err))
			complain(&ts->all[0], &primary_err);
		else if (pristine && !replica_settle(t, source, &needs_reset, reason, err))
			return false;
	}
	if (needs_reset) {
		printf("%s: needs a reset (%s): run reset-replicas --replica %s\n", t->name, reason,
		       t->name);
		fflush(stdout);
	}
	return true;
}

/* What was not captured is in no queue: only a reset brings it to the replicas. Every API copies the
 * mark to them. */
static void repair(struct target *t)
{
	struct pg_result *marked;
	char fault[512];
	struct err err;

	if (!primary_repair(t, fault, sizeof(fault), &marked, &err)) {
		err_prefix(&err, "capture is broken and was not repaired");
		complain(t, &err);
		return;
	}
	if (fault[0] != '\0')
		printf("%s: capture was broken (%s): repaired\n", t->name, fault);
	for (int i = 0; marked && i < db_rows(marked); i++)
		printf("%s: needs a reset (it may have missed changes): marked, the consumer resets "
		       "it unless AUTO_RESET=false\n",
		       db_value(marked, i, 0));
	fflush(stdout);
	db_result_clear(marked);
}

/* Who may not make event triggers is told what that means. */
static void say_alterations(struct target *t)
{
	bool at_once = false;
	struct err err;

	if (!primary_follows(t, &at_once, &err))
		complain(t, &err);
	else if (!at_once)
		printf("%s: no event triggers, which only a superuser may make: tables that are "
		       "altered are seen to by the API, within a second\n",
		       t->name);
	fflush(stdout);
}

static int command_up(struct targets *ts)
{
	for (size_t i = 0; i < ts->n && !stop_requested(); i++) {
		struct target *t = &ts->all[i];
		struct err err;

		if (t->conn == NULL || !all_up(t))
			continue;
		if (i == 0) {
			repair(t);
			if (t->conn != NULL && t->code == EXIT_OK)
				say_alterations(t);
			if (*ts->settings->tables != '\0' && t->conn != NULL && t->code == EXIT_OK)
				tables_register(t, ts->settings->tables);
		} else if (!replica_generate(t, &err) || !settle(ts, t, &err)) {
			complain(t, &err);
		}
	}
	return targets_code(ts);
}

/* ---- down ---- */

/* A down script begins with what it means, as a comment. */
static void print_meaning(const struct migration *m)
{
	for (const char *line = m->down; strncmp(line, "-- ", 3) == 0;
	     line = strchr(line, '\n') + 1)
		printf("    %.*s\n", (int)strcspn(line + 3, "\n"), line + 3);
	fflush(stdout);
}

static int newest_registered(const struct target *t)
{
	return t->registered > 0 ? t->registry[t->registered - 1].number : 0;
}

/* A version needs certain numbers of the primary and of replicas, and a number is given out for all of them, even
 * if it is of one side alone. So the newest of all is taken back, where it is. */
static int newest_of_all(const struct targets *ts)
{
	int newest = 0;

	for (size_t i = 0; i < ts->n; i++)
		if (ts->all[i].conn != NULL && newest < newest_registered(&ts->all[i]))
			newest = newest_registered(&ts->all[i]);
	return newest;
}

static int command_down(struct targets *ts)
{
	const int newest = newest_of_all(ts);

	/* Replicas first: without the functions that apply them a replica's changes wait in its queues. */
	for (size_t i = ts->n; i-- > 0 && !stop_requested();) {
		struct target *t = &ts->all[i];
		const struct migration *m = NULL;
		struct err err;

		if (t->conn == NULL)
			continue;
		if (newest_registered(t) < newest) {
			m = migration_find(t->side, newest_registered(t));
			if (m != NULL)
				say(t, m, "stays");
			continue;
		}
		if (!target_down(t, &m, &err)) {
			complain(t, &err);
		} else if (m == NULL) {
			printf("%s: nothing to take back\n", t->name);
			fflush(stdout);
		} else {
			say(t, m, "taken back");
			print_meaning(m);
		}
	}
	return targets_code(ts);
}

/* ---- status ---- */

/* False: it is broken, or that cannot be found out. */
static bool say_capture(struct target *t)
{
	char fault[512];
	struct err err;

	if (!primary_fault(t, fault, sizeof(fault), &err)) {
		complain(t, &err);
		return false;
	}
	if (fault[0] != '\0')
		printf("%s: capture is broken (%s): run pgfanout-migrate up\n", t->name, fault);
	return fault[0] == '\0';
}

static int command_status(struct targets *ts)
{
	bool pending = false;

	printf("%-24s %6s  %-24s %s\n", "DATABASE", "NUMBER", "NAME", "APPLIED AT");
	for (size_t i = 0; i < ts->n; i++) {
		const struct target *t = &ts->all[i];
		if (t->conn == NULL) {
			printf("%-24s %6s  %-24s %s\n", t->name, "-", "-",
			       t->code == EXIT_SCHEMA ? "does not fit this program"
						      : "cannot be read");
			continue;
		}
		for (int n = 1; n <= migration_newest(t->side); n++) {
			const char *applied_at = "pending";
			for (size_t k = 0; k < t->registered; k++)
				if (t->registry[k].number == n)
					applied_at = t->registry[k].applied_at;
			pending = pending || strcmp(applied_at, "pending") == 0;
			printf("%-24s %6d  %-24s %s\n", t->name, n,
			       migration_find(t->side, n)->name, applied_at);
		}
	}
	if (!pending && ts->all[0].conn != NULL) {
		pending = !say_capture(&ts->all[0]);
		say_alterations(&ts->all[0]);
	}
	fflush(stdout);
	int code = targets_code(ts);
	return code == EXIT_OK && pending ? EXIT_SCHEMA : code;
}

/* ---- tables ---- */

static int command_tables(struct targets *ts)
{
	tables_print(&ts->all[0], ts->all + 1, ts->n - 1, ts->json);
	return targets_code(ts);
}

/* ---- main ---- */

static const struct command {
	const char *name;
	int (*run)(struct targets *ts);
} commands[] = { { "up", command_up },
		 { "down", command_down },
		 { "status", command_status },
		 { "tables", command_tables } };

#define USAGE                                                                                              \
	"Usage: pgfanout-migrate up | down | status | tables [--json] | promote STANDBY [--old-is-dead] |" \
	" --check-config | --help | --version\n"

static const struct program program = {
	.name = "pgfanout-migrate",
	.log_name = "migrate",
	.help = USAGE
	"\nBrings the tables of the primary and of all replicas up to date. Safe to run twice, "
	"and from two places at\n"
	"once: each migration is one transaction, registered in the table pgfanout_migrations.\n\n"
	"  up               bring the primary and all replicas to the newest schema\n"
	"  down             take the newest migration of all databases back; no product is lost\n"
	"  status           list the migrations of each database\n"
	"  tables           list the tables that are replicated, and how far each replica is with them; --json: an\n"
	"                   object a line\n"
	"  promote STANDBY  make the standby of this name the primary: the old primary is fenced, the standby gets all\n"
	"                   that was committed there, the replicas follow it; run again, it goes on where it was ended\n"
	"  --old-is-dead    promote: also if the old primary does not answer, and never will\n"
	"  --check-config   print the settings as they are understood, and exit\n"
	"  --help           this text\n"
	"  --version        the version\n\n"
	"Settings (environment, or .env in the working directory):",
	.codes =
		"\nExit codes: 0 done; 2 wrong argument or setting, or one database given "
		"twice; 3 a database did not answer,\n"
		"promote: no primary did;\n"
		"4 status: something is pending, or a database is newer than this program; 5 "
		"another pgfanout-migrate or a long\n"
		"transaction is in the way, promote: a server has not come so far in time; 6 a migration failed and was rolled\n"
		"back, promote: refused, or a step failed; 7 "
		"interrupted. With several failures the first database's counts, the\n"
		"primary first.",
	.table = settings_table,
	.ntable = ARRAY_SIZE(settings_table),
	.replicas_at = AT(replicas),
	.standbys_at = AT(standbys),
	.log_level_at = AT(log_level),
	.log_format_at = AT(log_format),
	.finish = finish,
};

static int run(const struct command *command, const struct settings *s, bool json)
{
	static struct targets ts;
	struct err err;

	if (!migrations_check(&err))
		fatal("this build is broken: %s", err.text);
	targets_init(&ts, s);
	ts.json = json;
	targets_open(&ts);
	int code = targets_differ(&ts) ? command->run(&ts) : EXIT_USAGE;
	for (size_t i = 0; i < ts.n; i++)
		target_close(&ts.all[i]);
	return code;
}

int main(int argc, char **argv)
{
	const struct command *command = NULL;
	struct promote_request promotion = { 0 };
	struct settings s;

	if (argc < 2) {
		fputs(USAGE, stderr);
		return EXIT_USAGE;
	}
	const bool promotes = strcmp(argv[1], "promote") == 0;
	if (promotes && !promote_parse(argc - 2, argv + 2, &promotion)) {
		fputs("pgfanout-migrate: promote needs the name of a standby, and takes --old-is-dead: see "
		      "--help\n",
		      stderr);
		return EXIT_USAGE;
	}
	const bool json = argc == 3 && strcmp(argv[1], "tables") == 0 &&
			  strcmp(argv[2], "--json") == 0;

	for (size_t i = 0; i < ARRAY_SIZE(commands) && (argc == 2 || json); i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			command = &commands[i];
	int code = program_begin(&program, command || promotes ? 1 : argc, argv, &s);

	if (code != PROGRAM_GOES_ON ||
	    !(command || promotes)) /* without a command it does not go on */
		return code;
	promotion.database_url = s.database_url;
	promotion.replicas = &s.replicas;
	promotion.standbys = &s.standbys;
	code = promotes ? promote(&promotion) : run(command, &s, json);
	program_free(&program, &s);
	return code;
}
