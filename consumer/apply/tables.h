/*
 * tables.h: the tables of a stream, as a replica has them, and the statements that apply their changes
 * there.
 *
 * Owned by one worker's thread; read when the replica is connected, and the same until the next time:
 * batches point into it. Reading blocks.
 */
#ifndef PGFANOUT_CONSUMER_APPLY_TABLES_H
#define PGFANOUT_CONSUMER_APPLY_TABLES_H

#include "common/json/jscan.h"
#include "common/pg/db.h"
#include "common/wire/stream.h"
#include "common/wire/table.h"

struct tables {
	const struct stream *stream; /* borrowed */
	struct table **list;	     /* shapes of tables, by their numbers */
	struct tables_statements {
		size_t apply, each, truncate;
	} * statements; /* of the connection that tables_prepare() was called for */
	size_t n;
	size_t arrive;	/* likewise: for what comes without a change, batch_arrivals_build() */
	size_t waiting; /* shapes that the replica is still to have: replica_bring_waiting() */
	char *left_out; /* the shapes whose changes are left out, as REPLICA_LEFT_OUT says it */
	int64_t unknown; /* a shape that was waited for in vain: its messages are read all the same */
};

/* Whatever was there is thrown away. */
MUST_CHECK enum db_outcome tables_read(struct tables *ts, struct pg_conn *c,
				       const struct stream *stream, struct err *err);
/* The statements are prepared with their first use. */
void tables_prepare(struct tables *ts, struct db *db);
void tables_clear(struct tables *ts); /* empty, and ready for use */

const struct table *tables_shape(const struct tables *ts, int64_t shape); /* NULL: not known */
/* Whether the message of this shape is to be waited for, before messages can be read that name it. */
bool tables_lacks(const struct tables *ts, int64_t shape);
/* Whether it is known that a table is registered no more, as far as this queue goes. */
bool tables_left(const struct tables *ts, const struct table *dropped, const char *queue);
/* "public.users", as messages have it: `probably`, the shape that the message names, or if that is another
 * table or NULL, the newest shape of the table that is taken here. NULL: there is none. */
const struct table *tables_find(const struct tables *ts, const struct jscan_value *name,
				const struct table *probably);
/* The one whose messages do not name it, which is alone in its stream; NULL: there is none. */
const struct table *tables_flat(const struct tables *ts);
const struct tables_statements *tables_statements(const struct tables *ts, const struct table *t);

#endif
