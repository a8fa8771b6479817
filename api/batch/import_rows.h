/*
 * import_rows.h: the rows of one batch of an import, with different ids, in memory that is used
 * again. Pure; one owner.
 */
#ifndef PGFANOUT_API_BATCH_IMPORT_ROWS_H
#define PGFANOUT_API_BATCH_IMPORT_ROWS_H

#include "common/base/uuid_set.h"
#include "common/base/strbuf.h"

#define IMPORT_ROWS  1000
#define IMPORT_BYTES 262144 /* a batch is full when it has either */

struct import_row {
	struct uuid id; /* first, for the sort */
	uint64_t line;
	size_t at;   /* of what it says, in the rows' bytes */
	bool locked; /* left out, because somebody else has locked its row */
};

struct import_rows {
	struct import_row *list; /* owned, IMPORT_ROWS of them, made when the first comes */
	size_t n;
	struct uuid_set ids; /* of the rows; their numbers are right until the sort */
	struct strbuf bytes;
};

/* Whoever adds a row writes what it says to bytes: in what form, and how long it is, is for the same to know.
 * False: a row with this id is there already, and nothing was added. Not to be called when full, nor after a
 * sort. */
MUST_CHECK bool import_rows_add(struct import_rows *b, const struct uuid *id, uint64_t line);
bool import_rows_full(const struct import_rows *b);
void import_rows_sort(struct import_rows *b); /* by id */
/* Marks the row with this id, if it is among those from..to; they are sorted. */
void import_rows_lock(struct import_rows *b, size_t from, size_t to, const struct uuid *id);
/* Drops all rows but the locked ones, which are marked no longer. */
void import_rows_keep_locked(struct import_rows *b);
/* Whether an id is in both, which are sorted. */
bool import_rows_share(const struct import_rows *a, const struct import_rows *b);
void import_rows_reset(struct import_rows *b);
void import_rows_clear(struct import_rows *b);

#endif
