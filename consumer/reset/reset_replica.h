/*
 * reset_replica.h: one replica from its URL to the moment at which the load can begin: checked,
 * locked against the consumer, in a transaction that holds an empty new table for each one. Every wait
 * has a deadline. Main thread.
 */
#ifndef PGFANOUT_CONSUMER_RESET_RESET_REPLICA_H
#define PGFANOUT_CONSUMER_RESET_RESET_REPLICA_H

#include "common/base/base.h"
#include "common/base/err.h"
#include "common/base/strbuf.h"
#include "consumer/reset/reset_primary.h"

struct pg_conn;
struct rebuild_here;

struct reset_replica {
	const char *name; /* borrowed, as the url */
	const char *url;
	struct pg_conn *conn;		     /* NULL: not connected */
	int64_t rows;			     /* in its tables now, an estimate; -1: never counted */
	const struct reset_primary *primary; /* borrowed: which tables */
	struct rebuild_here *here;	     /* of each of them, from reset_replica_begin() on */
	enum exit_code failed; /* EXIT_OK as long as it takes part; else err says why */
	struct err err;
	bool *waits; /* of each table: a person has to act on this replica before it can have it */
	bool unsure; /* it failed during the swap: it has the old table or the new one */
};

/* One step each. False: the replica takes no part any more (failed, err), its connection is
 * closed. */

/* Connects; the server is migrated, and nothing keeps its tables from being replaced. */
MUST_CHECK bool reset_replica_connect(struct reset_replica *r);
/* Tables that are not asked for, but tied to those that are by foreign keys that it has: an array of SQL, of
 * their numbers; "": none. */
MUST_CHECK bool reset_replica_related(struct reset_replica *r, struct strbuf *ret);
/* Marks it as needing a reset of the stream, in case this one fails. */
MUST_CHECK bool reset_replica_mark(struct reset_replica *r, const struct stream *stream);
/* From here on no batch is applied. */
MUST_CHECK bool reset_replica_lock(struct reset_replica *r);
/* Begins the transaction and makes the new tables in it, and those that it does not have yet. */
MUST_CHECK bool reset_replica_begin(struct reset_replica *r);
/* For --dry-run: what begin and the end would do, rolled back. */
MUST_CHECK bool reset_replica_rehearse(struct reset_replica *r);

void reset_replica_clear(struct reset_replica *r); /* closes and frees */

/* Ends its part, for this reason, and closes its connection. Returns false. */
bool reset_replica_fail(struct reset_replica *r, enum exit_code code, const struct err *err);

#endif
