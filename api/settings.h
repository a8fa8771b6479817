/*
 * settings.h: what can be set for pgfanout-api. Filled once in main, immutable after it.
 */
#ifndef PGFANOUT_API_SETTINGS_H
#define PGFANOUT_API_SETTINGS_H

#include "api/resources/listed.h"
#include "common/settings/program.h"

struct api_settings {
	char *database_url;
	char *rabbitmq_url;
	char *queue_prefix;
	char *host;
	int64_t port;
	char *allowed_hosts;
	char *read_balance;
	int64_t max_replica_lag_ms; /* 0: any */
	int64_t position_wait_ms;
	bool position_cookie;
	int64_t heartbeat_ms;
	int64_t max_attempts;
	int64_t message_max_changes;
	int64_t max_backlog_messages;
	int64_t workers; /* 0 is set only in the environment: then half the processors */
	int64_t request_timeout_ms;
	int64_t read_timeout_ms;
	int64_t max_in_flight; /* these three: of the whole process, api_settings_share() */
	int64_t max_connections;
	int64_t max_lists;
	int64_t max_body_bytes;
	int64_t drain_timeout_ms;
	char *resources; /* api_settings_resources() reads these two */
	char *resource_prefix;
	bool resource_envelope;
	bool resource_scans;
	char *log_level;
	char *log_format;
	struct replica_settings replicas, standbys; /* together at most REPLICAS_MAX */
};

extern const struct program api_program;
/* What one worker may have of a limit of the whole process; at least 1. */
size_t api_settings_share(const struct api_settings *s, int64_t total);
/* RESOURCES, which settings that were loaded have right. On failure nothing is left to clear. */
MUST_CHECK bool api_settings_resources(const struct api_settings *s, struct listed *ret,
				       struct err *err);

#endif
