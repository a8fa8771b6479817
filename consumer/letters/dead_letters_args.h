/*
 * dead_letters_args.h: the arguments of `pgfanout-consumer dead-letters`. Main thread (getopt); no
 * I/O.
 */
#ifndef PGFANOUT_CONSUMER_LETTERS_DEAD_LETTERS_ARGS_H
#define PGFANOUT_CONSUMER_LETTERS_DEAD_LETTERS_ARGS_H

#include "common/settings/config.h"
#include "common/base/uuid.h"

enum dead_action { DEAD_LIST, DEAD_SHOW, DEAD_REPLAY, DEAD_DISCARD };

/* A message id or a product's: both are looked for. */
struct dead_id {
	const char *text;
	bool is_product; /* it may be a product's: */
	struct uuid product;
	bool found; /* a letter had it */
};

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

#endif
