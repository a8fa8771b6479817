/*
 * pace.h: how fast clients send or take what may last for hours, and which of them has to give way
 * when a place is wanted: the slowest of those that moved fewer than PACE_BYTES in a whole PACE_MS.
 * As long as there are places nobody is asked to hurry. Pure.
 */
#ifndef PGFANOUT_API_PRODUCTS_PACE_H
#define PGFANOUT_API_PRODUCTS_PACE_H

#include "common/base/clock.h"

#define PACE_MS	   10000
#define PACE_BYTES 16384

struct pace {
	struct pace *next, *prev;
	void *owner;
	struct mono began; /* never: it is not the client that is waited for */
	size_t bytes;	   /* since then */
	int64_t last;	   /* in the last whole PACE_MS; -1: there was none */
};

/* Those that run; zeroed: none. */
struct paces {
	struct pace *first;
};

void pace_join(struct paces *all, struct pace *p, void *owner, struct mono now);
void pace_leave(struct paces *all, struct pace *p);
/* From now on it is the client that is waited for; moved bytes have come or gone. */
void pace_moved(struct pace *p, size_t moved, struct mono now);
void pace_rest(struct pace *p); /* from now on it is not */
/* The owner of the slowest that may be asked to go; NULL: none. */
void *pace_slowest(struct paces *all, struct mono now);

#endif
