/*
 * verify_bring.h: repairs a row that is too large for a message. Blocks, with deadlines. Main thread.
 */
#ifndef PGFANOUT_CONSUMER_VERIFY_VERIFY_BRING_H
#define PGFANOUT_CONSUMER_VERIFY_VERIFY_BRING_H

#include "consumer/verify/verify_private.h"

/* The suspects, n of them, are of one row, of the table that is compared. A replica that does not take it is
 * logged, and the others get it. DB_OK: it was read; *ret_there is false if there is no row any more, and then
 * nothing was done. Needs several times the memory of the row. */
MUST_CHECK enum db_outcome verify_bring(const struct verify *v,
					const struct verify_suspect *suspects, size_t n,
					bool *ret_there, struct err *err);

#endif
