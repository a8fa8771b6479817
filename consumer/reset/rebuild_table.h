/*
 * rebuild_table.h: what a rebuild has to know of a table.
 */
#ifndef PGFANOUT_CONSUMER_RESET_REBUILD_TABLE_H
#define PGFANOUT_CONSUMER_RESET_REBUILD_TABLE_H

struct rebuild_table {
	int id;
	const char *name;     /* for the display */
	const char *copy_out; /* on the primary, in the snapshot's transaction */
};

#endif
