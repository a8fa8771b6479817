/*
 * verify_private.h: what the parts of a comparison share: verify.c (its order and its words),
 * verify_scan.c (finds suspects), verify_settle.c (judges them), verify_repair.c (repairs).
 */
#ifndef PGFANOUT_CONSUMER_VERIFY_VERIFY_PRIVATE_H
#define PGFANOUT_CONSUMER_VERIFY_VERIFY_PRIVATE_H

#include "common/settings/config.h"
#include "consumer/reset/reset_primary.h"
#include "consumer/reset/reset_settings.h"
#include "consumer/verify/verify_rule.h"
#include "consumer/verify/verify_servers.h"

/* What is compared at a time: the unit of memory here, and of work on the servers. */
#define VERIFY_ROWS_MAX	 5000
#define VERIFY_BYTES_MAX ((int64_t)8 << 20)

/* A row that another transaction keeps locked for longer is left out of a repair, with a line that says so. */
#define REPAIR_LOCK_TIMEOUT "5s"

/* A replica's part in the comparison of a table. One whose server has failed has none, whatever is here. */
enum verify_part {
	VERIFY_COMPARED,
	VERIFY_AWAITED, /* it has to catch up first: COMPARED again, or BEHIND */
	VERIFY_BEHIND,	/* undetermined to the end: it is not catching up */
	VERIFY_WITHOUT, /* the table is not for this replica */
};

struct verify_replica {
	struct verify_server server;
	enum verify_part part;
	bool arrived;	/* the table is there, in the shape that it has on the primary */
	char *relation; /* owned: what it is called there */
	struct err why; /* VERIFY_BEHIND: the reason */
	/* Of all tables: */
	int64_t rows, tables; /* compared */
	int64_t drifted, repaired, unsure;
	bool undetermined; /* a table was left behind */
};

struct verify {
	const struct reset_settings *settings;
	bool repair;

	struct verify_server primary;
	struct reset_primary
		writer; /* the primary again: the tables, and the repair's transactions */
	struct verify_replica replicas[REPLICAS_MAX];
	size_t n;
	struct verify_server *servers[REPLICAS_MAX + 1]; /* all of them, for verify_wait() */

	/* Of the table that is compared: */
	const struct reset_table *table;
	size_t chunk;	     /* rows that are compared at a time */
	int64_t given;	     /* a version that was given out lately */
	int64_t rows, total; /* compared; expected */
	/* Judged together as soon as there are more than twice as many as a chunk has rows. */
	struct verify_suspect *suspects;
	size_t nsuspects, room;

	void (*tick)(struct verify *v); /* shows progress */
	/* Reports a drift; those of one row come one after another. */
	void (*tell)(struct verify *v, const struct verify_suspect *s);
};

/* Whether it still takes part. */
static inline bool verify_taking_part(const struct verify_replica *r)
{
	return r->server.failed == EXIT_OK && r->part != VERIFY_BEHIND && r->part != VERIFY_WITHOUT;
}

/* Waits for the answers to all questions. False: nothing more can be compared, because of a stop or
 * of the primary. */
MUST_CHECK bool verify_gather(struct verify *v);

/* What rows of the table are called. */
static inline const char *verify_rows_word(const struct verify *v)
{
	return v->table->shape->flat ? v->table->shape->name : "rows";
}

/* Takes no further part in the comparison of this table. */
void verify_leave_behind(struct verify *v, size_t replica, const struct err *why);

/* Compares the table; judges, reports and repairs each batch of suspects before the next. False as
 * above. */
MUST_CHECK bool verify_scan(struct verify *v);

/* Judges all suspects: none is VERIFY_OPEN afterwards. False as above. */
MUST_CHECK bool verify_settle(struct verify *v);

/* Mends the drifted ones among the suspects, and counts them. False as above. */
MUST_CHECK bool verify_mend(struct verify *v);

#endif
