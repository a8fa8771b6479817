/*
 * reset_primary.h: the primary's side of a reset up to the load: reachable, migrated, and the one
 * snapshot that all replicas get. Every wait has a deadline. Main thread.
 */
#ifndef PGFANOUT_CONSUMER_RESET_RESET_PRIMARY_H
#define PGFANOUT_CONSUMER_RESET_RESET_PRIMARY_H

#include "common/base/base.h"
#include "common/base/err.h"
#include "common/base/strbuf.h"
#include "common/wire/stream.h"
#include "consumer/reset/leader.h"
#include "common/wire/table.h"

struct pg_conn;
struct pg_result;

/* A registered table that is asked for. */
struct reset_table {
	struct table *shape;
	struct stream stream;
	char *description; /* the shape's, as JSON */
	char *relation;	   /* the primary's table, quoted and with its schema */
	char *oid;
	char *filter; /* NULL: all rows */
	char *copy_out;
};

/* One of a table that is asked for, or that is asked for itself. */
struct reset_stream {
	struct stream stream;
	bool whole; /* all tables of it, maybe none */
};

struct reset_primary {
	const char *url; /* borrowed */
	struct pg_conn *conn;
	char name[512];		/* scrubbed */
	char leads[SOURCE_MAX]; /* its source, when it was connected to */
	/* As a replica records it, all as text: pg_current_snapshot(), pgfanout.source(), the
	 * newest version, the time, what was published (pgfanout.relay), places in its WAL before and after
	 * the snapshot. */
	char *snapshot, *source, *floor, *taken_at, *published, *before, *after;
	int64_t rows, bytes; /* of the tables, estimates */
	struct reset_table *tables;
	size_t ntables;
	int *broken; /* tables that are left out: their changes are not captured as they should be */
	size_t nbroken;
	const char *names;	      /* borrowed: as asked for */
	struct reset_stream *streams; /* each once */
	size_t nstreams;
	struct pg_result *due; /* reset_due.sql: replica, moment, stream */
};

/* Both: EXIT_OK, or what to end with; then err says why. */

/* Reads which tables are asked for: those of a stream, or those of these names or numbers, as an array of SQL;
 * both NULL: all. There may be none. One that is broken is refused if it was asked for by name; else it is left
 * out, which is logged. */
MUST_CHECK enum exit_code reset_primary_connect(struct reset_primary *p, const char *url,
						const struct stream *stream, const char *names,
						struct err *err);
/* And those with these numbers. */
MUST_CHECK enum exit_code reset_primary_add(struct reset_primary *p, const char *numbers,
					    struct err *err);
/* The tables with their shapes: [{"id":101,"shape":7},…] */
void reset_primary_tables(const struct reset_primary *p, struct strbuf *out);
/* Begins the transaction in which the load has to run. EXIT_BUSY: a table was altered meanwhile. On return
 * everything that the snapshot contains is on the primary's disk. url of reset_primary_connect() must live
 * until then. */
MUST_CHECK enum exit_code reset_primary_snapshot(struct reset_primary *p, struct err *err);
/* Appends when changes for this replica were last found to be lost, as of the snapshot: JSON, by stream. */
void reset_primary_due(const struct reset_primary *p, const char *replica, struct strbuf *out);
void reset_primary_clear(struct reset_primary *p);

#endif
