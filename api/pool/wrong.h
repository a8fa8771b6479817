/*
 * wrong.h: which rows are known to be wrong on a replica: a change of theirs was given up there
 * (pgfanout.dead_letters). They are read elsewhere.
 *
 * A set never changes once it is made; it is reference-counted, and replaced as a whole.
 *
 *   struct wrong_place   one for each database: the newest set, under its lock, and its number,
 *                        atomic. The connector's thread replaces it.
 *   struct wrong_view    one for each worker and database: the set that the worker holds. Reading
 *   it
 *                        costs one atomic load while nothing has changed. Mostly no row is wrong:
 *                        then there is no set at all.
 */
#ifndef PGFANOUT_API_POOL_WRONG_H
#define PGFANOUT_API_POOL_WRONG_H

#include <pthread.h>
#include <stdatomic.h>

#include "common/base/base.h"

/* Of a table. More than so many, and all its rows count as wrong; of products the replica gets no reads at all. */
#define WRONG_MAX 10000

/* A row is known by a hash of its key: one of another row that is the same costs a read elsewhere. */
struct wrong_row {
	int table;    /* as registered */
	uint64_t row; /* wrong_hash(); WRONG_ALL: all of the table */
};
#define WRONG_ALL 0

struct wrong_set {
	atomic_uint refs;
	size_t n;		 /* at least 1 */
	struct wrong_row rows[]; /* sorted, each once */
};

struct wrong_place {
	atomic_uint number; /* grows with each replacement */
	pthread_mutex_t lock;
	struct wrong_set *set; /* under lock; NULL: none is wrong */
};

struct wrong_view {
	unsigned number;
	struct wrong_set *set;
};

/* Of a key: the texts of its columns, with U+001F between them. Never WRONG_ALL. */
uint64_t wrong_hash(const char *key, size_t len);

/* One reference, the caller's. The rows are to be filled in, then wrong_set_sort(). */
struct wrong_set *wrong_set_new(size_t n);
void wrong_set_sort(struct wrong_set *s);
void wrong_set_unref(struct wrong_set *s); /* NULL is fine */
/* row: WRONG_ALL asks whether any is. NULL is fine. */
bool wrong_set_has(const struct wrong_set *s, int table, uint64_t row);
size_t wrong_set_count(const struct wrong_set *s, int table); /* NULL is fine */

void wrong_place_init(struct wrong_place *p);
/* After all views are cleared. */
void wrong_place_clear(struct wrong_place *p);
/* Takes the reference over; NULL: none is wrong. A set equal to the one that is there changes
 * nothing. One thread only. */
void wrong_place_put(struct wrong_place *p, struct wrong_set *s);
size_t wrong_place_count(struct wrong_place *p); /* any thread */

/* The slow half of wrong_view(). */
void wrong_view_renew(struct wrong_view *v, struct wrong_place *p);
void wrong_view_clear(struct wrong_view *v);

/* What is wrong now, NULL: nothing; valid until the next call with the same view. */
static inline const struct wrong_set *wrong_view(struct wrong_view *v, struct wrong_place *p)
{
	if (atomic_load_explicit(&p->number, memory_order_relaxed) != v->number)
		wrong_view_renew(v, p);
	return v->set;
}

#endif
