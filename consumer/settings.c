/*
 * settings.c: the settings table of pgfanout-consumer. Main thread only.
 */
#include "consumer/settings.h"

#include "common/http/http_hosts.h"
#include "common/wire/topology.h"

#define AT(member) offsetof(struct consumer_settings, member)

static const struct setting table[] = {
	{ "RABBITMQ_URL", SETTING_AMQP_URL, AT(rabbitmq_url), NULL, 1, 4096, true, NULL,
	  "the broker, amqp:// or amqps://; a comma-separated list is tried in turn" },
	{ "DATABASE_URL", SETTING_PG_URL, AT(database_url), "", 1, 4096, true, NULL,
	  "the primary, any libpq URI; needed for AUTO_RESET only" },
	{ "QUEUE_PREFIX", SETTING_STRING, AT(queue_prefix), "", 0, 32, false, NULL,
	  "before the name of each exchange and queue; one for each installation that shares a virtual "
	  "host" },
	{ "AUTO_RESET", SETTING_BOOL, AT(auto_reset), "true", 0, 0, false, NULL,
	  "a replica whose queues were dropped or deleted is reset without being asked" },
	{ "RESET_STALL_TIMEOUT_MS", SETTING_INT, AT(reset_stall_timeout_ms), "30000", 1000, 3600000,
	  false, NULL, "of such a reset: as reset-replicas'" },
	{ "RESET_SWAP_TIMEOUT_MS", SETTING_INT, AT(reset_swap_timeout_ms), "60000", 1000, 86400000,
	  false, NULL, "of such a reset: as reset-replicas'" },
	{ "CONSUMER_HOST", SETTING_STRING, AT(host), "127.0.0.1", 1, 255, false, NULL,
	  "where /health, /status and /metrics are served" },
	{ "CONSUMER_PORT", SETTING_INT, AT(port), "8080", 1, 65535, false, NULL,
	  "and on which port" },
	{ "ALLOWED_HOSTS", SETTING_STRING, AT(allowed_hosts), "", 0, 4096, false, NULL,
	  "hosts that requests may name, separated by commas; * is any; by default "
	  "loopback's on loopback, else any" },
	{ "MAX_ATTEMPTS", SETTING_INT, AT(max_attempts), "3", 1, 10, false, NULL,
	  "how often a change may fail before it goes to the dead-letter queue" },
	{ "RETRY_DELAY_MS", SETTING_INT, AT(retry_delay_ms), "1000", 10, 600000, false, NULL,
	  "wait before the second attempt; doubles with each further one" },
	{ "PREFETCH", SETTING_INT, AT(prefetch), "200", 1, 10000, false, NULL,
	  "messages of a queue that may be on their way to a replica at a time" },
	{ "BATCH_MAX_CHANGES", SETTING_INT, AT(batch_max_changes), "2000", 1, 10000, false, NULL,
	  "changes that are applied to a replica in one transaction" },
	{ "APPLY_TIMEOUT_MS", SETTING_INT, AT(apply_timeout_ms), "30000", 1000, 600000, false, NULL,
	  "a replica that takes longer for one transaction counts as out of order" },
	{ "DRAIN_TIMEOUT_MS", SETTING_INT, AT(drain_timeout_ms), "10000", 100, 300000, false, NULL,
	  "on SIGTERM: how long to wait for the work in flight" },
	{ "LOG_LEVEL", SETTING_CHOICE, AT(log_level), "info", 0, 0, false, "error|warn|info|debug",
	  "the least important lines to write" },
	{ "LOG_FORMAT", SETTING_CHOICE, AT(log_format), "text", 0, 0, false, "text|json",
	  "key=value lines, or JSON" },
};

static bool finish(void *settings, struct err *err)
{
	const struct consumer_settings *s = settings;
	struct http_hosts hosts;

	if (!http_hosts_init(&hosts, s->host, s->allowed_hosts, err))
		return err_prefix(err, "ALLOWED_HOSTS");
	return topology_use_prefix(s->queue_prefix, err);
}

const struct program consumer_program = {
	.name = "pgfanout-consumer",
	.log_name = "consumer",
	.help = "pgfanout-consumer applies the changes that the broker delivers to every replica.\n"
		"\n"
		"Usage: pgfanout-consumer [--help | --version | --check-config]\n"
		"       pgfanout-consumer dead-letters list | show | replay | discard ...\n"
		"\n"
		"It runs until SIGTERM or SIGINT, and then finishes what is in flight.\n"
		"GET /health, /status and /metrics tell how it is.\n"
		"dead-letters is about changes that were given up: see dead-letters --help.\n"
		"\n"
		"Settings, from the environment or a .env file in the working directory:",
	.codes = "\nExit codes: 0 stopped by a signal; 2 wrong argument or setting, or the port "
		 "is taken; "
		 "6 failed while at work; 7 stopped by a third signal.",
	.table = table,
	.ntable = ARRAY_SIZE(table),
	.replicas_at = AT(replicas),
	.log_level_at = AT(log_level),
	.log_format_at = AT(log_format),
	.finish = finish,
};
