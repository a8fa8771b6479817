/*
 * dead_letters.h: the command `pgfanout-consumer dead-letters`: lists, shows, replays and discards
 * what is in the dead-letter queues.
 */
#ifndef PGFANOUT_CONSUMER_LETTERS_DEAD_LETTERS_H
#define PGFANOUT_CONSUMER_LETTERS_DEAD_LETTERS_H

#include "common/settings/config.h"
#include "consumer/letters/dead_letters_text.h"

enum dead_action { DEAD_LIST, DEAD_SHOW, DEAD_REPLAY, DEAD_DISCARD };

struct dead_args {
	bool help;
	enum dead_action action;
	const char *replica[REPLICAS_MAX]; /* none: all */
	size_t nreplicas;
	bool yes;
	int all, json;	     /* as getopt_long() sets them: 0 or 1 */
	struct dead_id *ids; /* owned */
	size_t nids;
};

/* Strings are borrowed from argv, whose order may change. argv[0] is ignored. False: err says what
 * is wrong. Clear ret then too. */
MUST_CHECK bool dead_args_parse(int argc, char **argv, struct dead_args *ret, struct err *err);
void dead_args_clear(struct dead_args *a);

/* argv[0] is "dead-letters". Returns the exit code. Main thread; starts the one that waits for
 * signals. */
int dead_letters_main(int argc, char **argv);

#endif
