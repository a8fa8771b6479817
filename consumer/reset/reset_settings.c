/*
 * reset_settings.c: the settings table of reset-replicas. Main thread only.
 */
#include "consumer/reset/reset_settings.h"

#include "common/wire/topology.h"

#define AT(member) offsetof(struct reset_settings, member)

static const struct setting table[] = {
	{ "DATABASE_URL", SETTING_PG_URL, AT(database_url), NULL, 1, 4096, true, NULL,
	  "the primary, any libpq URI" },
	{ "RABBITMQ_URL", SETTING_AMQP_URL, AT(rabbitmq_url), NULL, 1, 4096, true, NULL,
	  "the broker, amqp:// or amqps://; a comma-separated list is tried in turn" },
	{ "QUEUE_PREFIX", SETTING_STRING, AT(queue_prefix), "", 0, 32, false, NULL,
	  "before the name of each exchange and queue; one for each installation that shares a virtual "
	  "host" },
	{ "MAX_ATTEMPTS", SETTING_INT, AT(max_attempts), "3", 1, 10, false, NULL,
	  "as pgfanout-consumer's: decides which queues a replica has" },
	{ "RESET_STALL_TIMEOUT_MS", SETTING_INT, AT(stall_timeout_ms), "30000", 1000, 3600000,
	  false, NULL,
	  "a replica that takes nothing for so long is left out, a primary that sends "
	  "nothing ends the reset" },
	{ "RESET_SWAP_TIMEOUT_MS", SETTING_INT, AT(swap_timeout_ms), "60000", 1000, 86400000, false,
	  NULL, "how long to go on trying to replace a table that readers keep in use" },
	{ "VERIFY_TIMEOUT_MS", SETTING_INT, AT(verify_timeout_ms), "30000", 1000, 3600000, false,
	  NULL,
	  "--verify, --repair: a replica whose heartbeats do not move for so long is undetermined" },
	{ "LOG_LEVEL", SETTING_CHOICE, AT(log_level), "info", 0, 0, false, "error|warn|info|debug",
	  "the least important lines to write" },
	{ "LOG_FORMAT", SETTING_CHOICE, AT(log_format), "text", 0, 0, false, "text|json",
	  "key=value lines, or JSON" },
};

static bool finish(void *settings, struct err *err)
{
	const struct reset_settings *s = settings;

	return topology_use_prefix(s->queue_prefix, err);
}

const struct program reset_program = {
	.name = "reset-replicas",
	.log_name = "reset",
	.help = "reset-replicas [--replica NAME]... [--table NAME]... [--dry-run] [--yes] [--quiet]\n"
		"reset-replicas --verify | --repair [--replica NAME]... [--table NAME]... [--quiet]\n"
		"\n"
		"Rebuilds replicas from one consistent snapshot of the primary, all at the same time, while\n"
		"writes, the consumer and readers go on. Readers see a replica's old table until the new one\n"
		"takes its place at once. Rows that only the replica had are gone, changes that are made\n"
		"meanwhile are there in the end. Whatever goes wrong: a replica has either its old table or\n"
		"the new one, complete, and the reset can be run again.\n"
		"\n"
		"With --verify it compares only, and lists the rows that differ; with --repair the\n"
		"primary then publishes those once more. Changes in flight are not reported. Nothing is locked.\n"
		"\n"
		"  --replica NAME   this one only; may be given several times (default: all)\n"
		"  --table NAME     this one only, as in SQL: users, blog.posts; may be given several times (default: all)\n"
		"  --dry-run        check everything, say what would be done, change nothing\n"
		"  --verify         compare rows, change nothing\n"
		"  --repair         compare, repair what differs, compare that again\n"
		"  --yes, -y        do not ask (without a terminal nobody is asked anyway)\n"
		"  --quiet, -q      errors only, on standard error; --verify, --repair: what differs\n"
		"  --check-config   check the settings, print them without secrets, and end\n"
		"  --version, --help\n"
		"\n"
		"Settings (environment, or .env in the working directory):",
	.codes =
		"\n"
		"Exit codes:\n"
		"  0  all named replicas were rebuilt; --verify: are equal; --repair: are equal or repaired\n"
		"  1  a replica's table cannot be replaced, or several replicas failed for different reasons;\n"
		"     the lines say why; --verify: rows differ; --repair: some still do\n"
		"  2  wrong argument or setting: nothing was started\n"
		"  3  a database or the broker could not be reached\n"
		"  4  a database has not been migrated: run pgfanout-migrate up\n"
		"  5  another reset of the replica is running\n"
		"  6  failed while at work\n"
		"  7  stopped by a signal, or the question was not answered with yes\n"
		"  8  --verify, --repair: undetermined, a replica is not catching up, or rows change too fast\n"
		"A replica that fails does not keep the others from being rebuilt, and serves the table it had.",
	.table = table,
	.ntable = ARRAY_SIZE(table),
	.replicas_at = AT(replicas),
	.log_level_at = AT(log_level),
	.log_format_at = AT(log_format),
	.finish = finish,
};
