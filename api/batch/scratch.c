/*
 * scratch.c: see scratch.h. A worker's thread.
 */
#include "api/batch/scratch.h"

#include <stdlib.h>
#include <string.h>

/* An array that has held more gives it back. */
#define KEEP_BYTES ((size_t)1 << 20)

void scratch_clear(struct scratch *s)
{
	for (size_t i = 0; i < s->narrays; i++)
		pgarray_clear(&s->arrays[i]);
	free(s->arrays);
	free(s->params);
	*s = (struct scratch){ 0 };
}

struct db_param *scratch_params(struct scratch *s, size_t n)
{
	if (n > s->nparams) {
		s->nparams = 2 * n;
		s->params = xreallocarray(s->params, s->nparams, sizeof(s->params[0]));
	}
	return s->params;
}

struct pgarray *scratch_arrays(struct scratch *s, size_t n)
{
	if (n > s->narrays) {
		s->arrays = xreallocarray(s->arrays, n, sizeof(s->arrays[0]));
		memset(s->arrays + s->narrays, 0, (n - s->narrays) * sizeof(s->arrays[0]));
		s->narrays = n;
	}
	for (size_t i = 0; i < n; i++)
		if (s->arrays[i].buf.cap > KEEP_BYTES)
			pgarray_clear(&s->arrays[i]);
	return s->arrays;
}
