/*
 * settings.h: what pgfanout-consumer can be told, in one table. Read once by main, immutable
 * afterwards.
 */
#ifndef PGFANOUT_CONSUMER_SETTINGS_H
#define PGFANOUT_CONSUMER_SETTINGS_H

#include "common/settings/program.h"

struct consumer_settings {
	char *rabbitmq_url;
	char *queue_prefix;
	char *database_url; /* "": not set */
	bool auto_reset;
	int64_t reset_stall_timeout_ms;
	int64_t reset_swap_timeout_ms;
	char *host;
	int64_t port;
	char *allowed_hosts;
	int64_t max_attempts;
	int64_t retry_delay_ms;
	int64_t prefetch;
	int64_t batch_max_changes;
	int64_t apply_timeout_ms;
	int64_t drain_timeout_ms;
	char *log_level;
	char *log_format;
	struct replica_settings replicas;
};

extern const struct program consumer_program;

#endif
