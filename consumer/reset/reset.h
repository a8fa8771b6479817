/*
 * reset.h: rebuilding replicas from one snapshot of the primary, while everything else goes on.
 */
#ifndef PGFANOUT_CONSUMER_RESET_RESET_H
#define PGFANOUT_CONSUMER_RESET_RESET_H

#include "common/base/base.h"
#include "common/wire/stream.h"
#include "consumer/reset/reset_settings.h"

struct reset_request {
	const struct reset_settings *settings;
	bool chosen[REPLICAS_MAX]; /* of settings->replicas */
	/* Which tables: of this stream, or with these names, an array of SQL; both NULL: all. */
	const struct stream *stream;
	const char *tables;
	bool dry_run;
	bool ask; /* the user at the terminal has to confirm */
	bool quiet;
};

/* Logs what fails; shows progress and a summary on standard output. Call stop_init() first. Any
 * thread; while one reset of a replica runs, a second one fails with EXIT_BUSY. */
enum exit_code reset_run(const struct reset_request *request);

#endif
