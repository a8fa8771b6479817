/*
 * position.h: what a client has seen, so that no later read of it shows anything older. Pure.
 *
 * A place is one of the primary's WAL, in bytes. A replica tells with each answer, of the same snapshot
 * (migrations/replica/0006_positions.up.sql):
 *   mark  everything that was visible on the primary before this place is here, but for rows that are known to
 *         be wrong here
 *   seen  what is visible here was visible on the primary before this place
 * and the primary tells the place its WAL has reached, read when all that the answer shows was visible; a standby
 * the place that it has replayed, likewise. (While a standby replays a commit, that shows before the place has moved
 * on: it tells the next one.)
 *
 * Why a mark that is larger than a client's place has all that the client has seen: marks and places are what
 * one counter said that only grows, and a mark is larger than whatever it said before. So what was visible
 * when the place was read was visible when the mark was.
 *
 * A client that was told `seen` by a replica need not wait for another's marks as long as it stays there: the
 * replica itself never gets older. (A standby may: it replays once more what it had, after a restart. So it is to have
 * passed what it showed.) So a position has a place that every replica must have passed (lsn), and one
 * that all but one must have passed (seen).
 *
 * The version is for rows by key, so that one is served as soon as it has come, without waiting for a mark. It is
 * not older than any version that the client has seen or written; it is 0 once the client has seen rows whose
 * versions it was not told.
 */
#ifndef PGFANOUT_API_POOL_POSITION_H
#define PGFANOUT_API_POOL_POSITION_H

#include "common/base/base.h"
#include "common/base/strbuf.h"

#define POSITION_TEXT_MAX 44
/* It is known of no database but the primary that it has all of it. */
#define POSITION_UNKNOWN  UINT64_MAX

struct position {
	uint32_t source; /* source_hash() of the primary's source; 0: nothing was seen */
	uint64_t lsn;
	int64_t version;
	uint32_t replica; /* source_hash() of its name; 0: none */
	uint64_t seen;
};

/* What a database tells of itself. */
struct place {
	uint64_t seen; /* POSITION_UNKNOWN: it is not known */
	int64_t wrong; /* of a replica: how often its records of wrong rows had changed */
	uint64_t mark; /* likewise; 0: it has none */
	uint32_t
		source; /* of the primary that a replica, which has a mark, or a standby follows; 0: it is not known */
};

/* False: it is no position that position_write() wrote. */
MUST_CHECK bool position_read(const char *text, size_t len, struct position *ret);
void position_write(const struct position *p, char ret[POSITION_TEXT_MAX + 1]);
/* What was seen at both. */
void position_join(struct position *p, const struct position *other);

/* The place that a replica's mark must be behind; POSITION_UNKNOWN: none is enough. */
uint64_t position_needs(const struct position *p, uint32_t replica);
/* The place that a standby must have replayed. */
uint64_t position_needs_replayed(const struct position *p, uint32_t standby);

/* After an answer. version: of the row by key that it shows; 0: it shows something else, or it is not known. */
void position_at_replica(struct position *p, uint32_t replica, const struct place *place,
			 int64_t version);
/* The primary has all that anybody has seen before. lsn: 0 where it could not be asked. */
void position_at_primary(struct position *p, uint32_t source, uint64_t lsn, int64_t version);

/* An expression, of type text, that place_read() reads: of these streams, 0: one that is not known. */
void place_sql(struct strbuf *out, const int *streams, size_t n, bool primary);
/* False: it is no such text. */
MUST_CHECK bool place_read(const char *text, struct place *ret);

#endif
