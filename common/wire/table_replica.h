/*
 * table_replica.h: a registered table brought to a replica: its table, tombstones, and the functions that
 * apply its changes.
 *
 * In the caller's transaction, with deadlines; blocks. The connection is plain.
 */
#ifndef PGFANOUT_COMMON_WIRE_TABLE_REPLICA_H
#define PGFANOUT_COMMON_WIRE_TABLE_REPLICA_H

#include "common/base/strbuf.h"
#include "common/pg/db.h"
#include "common/wire/stream.h"
#include "common/wire/table.h"

enum table_brought {
	TABLE_THERE,
	TABLE_DUE, /* its rows are yet to be loaded, as is noted there: it was not known before, changes of it
		      * were left out; or columns that its rows have no values of, or another key, are put off
		      * until then (table_remake()) */
	TABLE_LEAVES, /* it is registered no more, and stays ours until the other queue says so too */
	TABLE_LEFT,   /* it is ours no more; err says why it could not be dropped, or "" */
	TABLE_WAITS, /* a person has to act there, err says why. That is noted, and its changes are left out */
};

/* Makes what is not there yet, for this shape: described as on the primary. A table that has an older one
 * is altered; its readers are waited for, some seconds, and they hardly wait for it. The transaction's
 * lock_timeout is another one then. Of a table that is not for this replica the shape is noted, so that its
 * changes are known and left out. */
MUST_CHECK enum db_outcome table_bring(struct pg_conn *c, const char *replica,
				       const struct stream *stream, int shape,
				       const char *description, enum table_brought *ret,
				       struct err *err);
/* Whether a change to this shape was put off until its rows are loaded. */
MUST_CHECK enum db_outcome table_is_put_off(struct pg_conn *c, const struct table *t, bool *ret,
					    struct err *err);
/* In the transaction of the load, before it: one that was put off. anew: a new, empty table like the old one,
 * quoted and with its schema; it gets this shape, and what applies changes is as it will be. is_replaced: with
 * its indexes and key; it takes the old one's place. *before, *after: scripts to be run before and after that,
 * or before and after the rows of the old one are made those of the new one. */
MUST_CHECK enum db_outcome table_remake(struct pg_conn *c, const struct table *t, const char *anew,
					bool is_replaced, struct strbuf *before,
					struct strbuf *after, struct err *err);
/* The same for a shape that says that the table is registered no more; queue: "sync" or "delete", which brought
 * it. */
MUST_CHECK enum db_outcome table_leave(struct pg_conn *c, const struct stream *stream, int shape,
				       const char *description, const char *queue,
				       enum table_brought *ret, struct err *err);
/* The stream is known, and can be told of messages. Not in a transaction of the caller's. */
MUST_CHECK enum db_outcome table_bring_stream(struct pg_conn *c, const struct stream *stream,
					      struct err *err);
/* Makes the functions of each known table that are not as they must be anew: consumers have them prepared,
 * so not the others. */
MUST_CHECK enum db_outcome table_generate_all(struct pg_conn *c, struct err *err);

#endif
