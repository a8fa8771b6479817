/*
 * reset_settings.h: what reset-replicas can be told by the environment, in one table. Read once by
 * main, immutable afterwards.
 */
#ifndef PGFANOUT_CONSUMER_RESET_RESET_SETTINGS_H
#define PGFANOUT_CONSUMER_RESET_RESET_SETTINGS_H

#include "common/settings/config.h"

struct reset_settings {
	char *database_url;
	char *rabbitmq_url;
	int64_t max_attempts;
	int64_t stall_timeout_ms;
	int64_t swap_timeout_ms;
	int64_t verify_timeout_ms;
	char *log_level;
	char *log_format;
	struct replica_settings replicas;
};

/* Environment and .env. The settings' strings live until reset_settings_free(). */
MUST_CHECK bool reset_settings_load(struct reset_settings *s, struct err *err);
void reset_settings_free(struct reset_settings *s);
void reset_settings_help(void);				   /* to stdout */
void reset_settings_print(const struct reset_settings *s); /* to stdout, secrets scrubbed */

#endif
