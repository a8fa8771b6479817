/*
 * scratch.h: memory for the parameters of the statement that is being sent, used again for the next one. A
 * worker's thread; each worker has its own.
 */
#ifndef PGFANOUT_API_BATCH_SCRATCH_H
#define PGFANOUT_API_BATCH_SCRATCH_H

#include "common/pg/db_param.h"
#include "common/pg/pgarray.h"

struct scratch {
	struct db_param *params;
	size_t nparams;
	struct pgarray *arrays;
	size_t narrays;
	char number[8]; /* in binary */
};

/* Zeroed: it holds nothing. */
void scratch_clear(struct scratch *s);
/* At least n of them. The arrays are as the last use left them. */
struct db_param *scratch_params(struct scratch *s, size_t n);
struct pgarray *scratch_arrays(struct scratch *s, size_t n);

#endif
