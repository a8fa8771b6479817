/*
 * promote.h: the command `promote`: a standby becomes the primary.
 */
#ifndef PGFANOUT_MIGRATIONS_PROMOTE_H
#define PGFANOUT_MIGRATIONS_PROMOTE_H

#include "common/settings/config.h"

struct promote_request {
	const char *standby; /* its name */
	bool old_is_dead;
	const char *database_url;
	const struct replica_settings *standbys, *replicas;
};

/* What follows the word promote. False: the arguments are wrong. */
MUST_CHECK bool promote_parse(int argc, char **argv, struct promote_request *ret);

/* Says on stdout what it does, and on stderr why it does not; returns the exit code. */
int promote(const struct promote_request *request);

#endif
