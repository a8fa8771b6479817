/*
 * uuid_set.h: a hash set of ids, each with the number of its row in the owner's array. Pure; one
 * owner.
 *
 * Memory grows with the largest use and is kept for the next: in the steady state nothing is
 * allocated, and to empty the set costs the same whatever was in it.
 */
#ifndef PGFANOUT_COMMON_BASE_UUID_SET_H
#define PGFANOUT_COMMON_BASE_UUID_SET_H

#include "common/base/uuid.h"

struct uuid_slot {
	struct uuid id;
	uint32_t row;
	uint32_t round; /* in use only if it is the set's */
};

/* Zeroed it is empty and ready for use. */
struct uuid_set {
	struct uuid_slot *slots; /* owned; open addressing, at most half of them in use */
	size_t cap;		 /* power of two, or 0 */
	size_t n;		 /* ids in the set */
	uint32_t round;		 /* one more at each reset, which frees all slots at once */
};

/*
 * The row number kept with this id. An id that is not in the set is put there with `row`, so that
 * *returned == row tells a new id if each call has another row. The caller may change what is kept,
 * until the next call.
 */
uint32_t *uuid_set_put(struct uuid_set *s, const struct uuid *id, uint32_t row);
void uuid_set_reset(struct uuid_set *s); /* empty; memory kept */
void uuid_set_clear(struct uuid_set *s); /* frees; empty and ready for use */

#endif
