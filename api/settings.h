/*
 * settings.h: what can be set for pgfanout-api. Filled once in main, immutable after it.
 */
#ifndef PGFANOUT_API_SETTINGS_H
#define PGFANOUT_API_SETTINGS_H

#include "common/settings/config.h"

struct api_settings {
	char *database_url;
	char *rabbitmq_url;
	char *host;
	int64_t port;
	char *read_balance;
	int64_t max_replica_lag_ms; /* 0: any */
	int64_t heartbeat_ms;
	int64_t max_attempts;
	int64_t message_max_changes;
	int64_t max_backlog_messages;
	int64_t workers; /* after api_settings_load never 0 */
	int64_t request_timeout_ms;
	int64_t read_timeout_ms;
	int64_t max_in_flight; /* these three: of the whole process, api_settings_share() */
	int64_t max_connections;
	int64_t max_lists;
	int64_t max_body_bytes;
	int64_t drain_timeout_ms;
	char *log_level;
	char *log_format;
	struct replica_settings replicas;
};

MUST_CHECK bool api_settings_load(struct api_settings *s, struct err *err);
void api_settings_free(struct api_settings *s);
void api_settings_help(void);
/* What one worker may have of a limit of the whole process; at least 1. */
size_t api_settings_share(const struct api_settings *s, int64_t total);
void api_settings_print(const struct api_settings *s);

#endif
