/*
 * tempo.h: how fast clients send or take what may last for hours, and which of them has to give way
 * when a place is wanted: the slowest of those that moved fewer than TEMPO_BYTES in a whole TEMPO_MS.
 * As long as there are places nobody is asked to hurry. Pure.
 */
#ifndef PGFANOUT_API_BATCH_TEMPO_H
#define PGFANOUT_API_BATCH_TEMPO_H

#include "common/base/clock.h"

#define TEMPO_MS    10000
#define TEMPO_BYTES 16384

struct tempo {
	struct tempo *next, *prev;
	void *owner;
	struct mono began; /* never: it is not the client that is waited for */
	size_t bytes;	   /* since then */
	int64_t last;	   /* in the last whole TEMPO_MS; -1: there was none */
};

/* Those that run; zeroed: none. */
struct tempos {
	struct tempo *first;
};

void tempo_join(struct tempos *all, struct tempo *p, void *owner, struct mono now);
void tempo_leave(struct tempos *all, struct tempo *p);
/* From now on it is the client that is waited for; moved bytes have come or gone. */
void tempo_moved(struct tempo *p, size_t moved, struct mono now);
void tempo_rest(struct tempo *p); /* from now on it is not */
/* The owner of the slowest that may be asked to go; NULL: none. */
void *tempo_slowest(struct tempos *all, struct mono now);

#endif
