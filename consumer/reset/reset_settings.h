/*
 * reset_settings.h: what reset-replicas can be told by the environment, in one table. Read once by
 * main, immutable afterwards.
 */
#ifndef PGFANOUT_CONSUMER_RESET_RESET_SETTINGS_H
#define PGFANOUT_CONSUMER_RESET_RESET_SETTINGS_H

#include "common/settings/program.h"

struct reset_settings {
	char *database_url;
	char *rabbitmq_url;
	char *queue_prefix;
	int64_t max_attempts;
	int64_t stall_timeout_ms;
	int64_t swap_timeout_ms;
	int64_t verify_timeout_ms;
	char *log_level;
	char *log_format;
	struct replica_settings replicas;
};

extern const struct program reset_program;

#endif
