/*
 * reset_settings.c: the settings table of reset-replicas. Main thread only.
 */
#include "consumer/reset/reset_settings.h"

#include <string.h>

#define AT(member) offsetof(struct reset_settings, member)

static const struct setting table[] = {
	{ "DATABASE_URL", SETTING_PG_URL, AT(database_url), NULL, 1, 4096, true, NULL,
	  "the primary, any libpq URI" },
	{ "RABBITMQ_URL", SETTING_AMQP_URL, AT(rabbitmq_url), NULL, 1, 4096, true, NULL,
	  "the broker, amqp:// or amqps://; a comma-separated list is tried in turn" },
	{ "MAX_ATTEMPTS", SETTING_INT, AT(max_attempts), "3", 1, 10, false, NULL,
	  "as pgfanout-consumer's: decides which queues a replica has" },
	{ "RESET_STALL_TIMEOUT_MS", SETTING_INT, AT(stall_timeout_ms), "30000", 1000, 3600000,
	  false, NULL,
	  "a replica that takes nothing for so long is left out, a primary that sends nothing ends the reset" },
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

bool reset_settings_load(struct reset_settings *s, struct err *err)
{
	memset(s, 0, sizeof(*s));
	if (!config_load_env_file(".env", err) || !config_load(table, ARRAY_SIZE(table), s, err))
		return false;
	if (config_load_replicas(&s->replicas, 1, err))
		return true;
	config_free(table, ARRAY_SIZE(table), s);
	return false;
}

void reset_settings_free(struct reset_settings *s)
{
	config_free(table, ARRAY_SIZE(table), s);
	config_free_replicas(&s->replicas);
}

void reset_settings_help(void)
{
	config_help(table, ARRAY_SIZE(table), true);
}

void reset_settings_print(const struct reset_settings *s)
{
	config_print(table, ARRAY_SIZE(table), s, &s->replicas);
}
