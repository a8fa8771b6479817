/*
 * table_replica.h: a registered table brought to a replica: its table, tombstones, and the functions that
 * apply its changes.
 *
 * In the caller's transaction, with deadlines; blocks. The connection is plain.
 */
#ifndef PGFANOUT_COMMON_WIRE_TABLE_REPLICA_H
#define PGFANOUT_COMMON_WIRE_TABLE_REPLICA_H

#include "common/pg/db.h"
#include "common/wire/stream.h"
#include "common/wire/table.h"

/* Makes what is not there yet, for this shape: described as on the primary. *ret_made: whether the table
 * was not known before, so that its rows are yet to be loaded. */
MUST_CHECK enum db_outcome table_bring(struct pg_conn *c, const struct stream *stream, int shape,
				       const char *description, bool *ret_made, struct err *err);
/* The stream is known, and can be told of messages. Not in a transaction of the caller's. */
MUST_CHECK enum db_outcome table_bring_stream(struct pg_conn *c, const struct stream *stream,
					      struct err *err);
/* Makes the functions of each known table that are not as they must be anew: consumers have them prepared,
 * so not the others. */
MUST_CHECK enum db_outcome table_generate_all(struct pg_conn *c, struct err *err);

#endif
