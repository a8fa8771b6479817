/*
 * rebuild_table.h: what a rebuild has to know of a table, and of it on a replica.
 */
#ifndef PGFANOUT_CONSUMER_RESET_REBUILD_TABLE_H
#define PGFANOUT_CONSUMER_RESET_REBUILD_TABLE_H

#include "common/base/base.h"

/* reset_finish.sql is prepared on each replica's connection, by this name. */
#define RESET_FINISH "reset_finish"

struct rebuild_table {
	int id;
	const char *name;     /* for the display */
	const char *copy_out; /* on the primary, in the snapshot's transaction */
};

/* All owned by struct reset_replica. */
struct rebuild_here {
	char *local; /* its name, quoted and with its schema; NULL: this replica is not to have it */
	char *copy_in; /* into the new table */
	char *difference; /* NULL: the new table takes the old one's place; else the statements that bring the
			     old one up to date */
	bool is_altered; /* the new one has another shape, and indexes already: table_remake() */
	char *before, *after; /* of the swap, then; else NULL */
};

#endif
