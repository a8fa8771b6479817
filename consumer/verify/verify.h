/*
 * verify.h: comparing replicas with the primary, and repairing the rows that differ, while everything
 * else goes on.
 */
#ifndef PGFANOUT_CONSUMER_VERIFY_VERIFY_H
#define PGFANOUT_CONSUMER_VERIFY_VERIFY_H

#include "common/base/base.h"
#include "consumer/reset/reset_settings.h"

struct verify_request {
	const struct reset_settings *settings;
	bool chosen[REPLICAS_MAX]; /* of settings->replicas */
	const char *tables;	   /* names, an array of SQL; NULL: all */
	bool repair;
	bool quiet; /* nothing but ids, or tables and keys, on standard output */
	bool log;   /* nothing on standard output; what would be there is logged */
};

/* Writes differences to standard output, one a line, and failures to the log. EXIT_OK: all replicas
 * are equal, or were repaired. Any thread; call stop_init() first. */
enum exit_code verify_run(const struct verify_request *request);

#endif
