/*
 * verify_private.h: what the parts of a comparison share: verify.c (its order and its words),
 * verify_scan.c (finds suspects), verify_settle.c (judges them), verify_repair.c (repairs).
 */
#ifndef PGFANOUT_CONSUMER_VERIFY_VERIFY_PRIVATE_H
#define PGFANOUT_CONSUMER_VERIFY_VERIFY_PRIVATE_H

#include "common/settings/config.h"
#include "consumer/reset/reset_primary.h"
#include "consumer/reset/reset_settings.h"
#include "consumer/verify/verify_rows.h"
#include "consumer/verify/verify_rule.h"
#include "consumer/verify/verify_servers.h"

/* Suspects that are judged together, a few MB; one chunk may add more than that. */
#define VERIFY_SUSPECTS 10000

/* A replica's part in the comparison. One whose server has failed has none, whatever is here. */
enum verify_part {
	VERIFY_COMPARED,
	VERIFY_AWAITED, /* it has to catch up first: COMPARED again, or BEHIND */
	VERIFY_BEHIND,	/* undetermined to the end: it is not catching up */
};

struct verify_replica {
	struct verify_server server;
	enum verify_part part;
	struct err why; /* VERIFY_BEHIND: the reason */
	int64_t drifted, repaired, unsure;
};

struct verify {
	const struct reset_settings *settings;
	bool repair;

	struct verify_server primary;
	struct reset_primary writer; /* the primary again, for the repair's transactions */
	struct verify_replica replicas[REPLICAS_MAX];
	size_t n;
	struct verify_server *servers[REPLICAS_MAX + 1]; /* all of them, for verify_wait() */

	struct verify_suspect *suspects;
	size_t nsuspects, room;

	int64_t rows, total;		/* compared; expected */
	void (*tick)(struct verify *v); /* shows progress */
	/* Reports a drift; those of one product come one after another. */
	void (*tell)(struct verify *v, const struct verify_suspect *s);
};

/* Whether it still takes part. */
static inline bool verify_taking_part(const struct verify_replica *r)
{
	return r->server.failed == EXIT_OK && r->part != VERIFY_BEHIND;
}

/* Waits for the answers to all questions. False: nothing more can be compared, because of a stop or
 * of the primary. */
MUST_CHECK bool verify_gather(struct verify *v);

/* Compares everything; judges, reports and repairs each batch of suspects before the next. False as
 * above. */
MUST_CHECK bool verify_scan(struct verify *v);

/* Judges all suspects: none is VERIFY_OPEN afterwards. False as above. */
MUST_CHECK bool verify_settle(struct verify *v);

/* Mends the drifted ones among the suspects, and counts them. False as above. */
MUST_CHECK bool verify_mend(struct verify *v);

#endif
