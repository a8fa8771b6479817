/*
 * outbox.h: the primary's table of changes that the broker has not confirmed, as far as they are of one
 * stream: who may relay them, claiming and forgetting them.
 *
 * One session of the relay's thread, pipelined: nothing here blocks but outbox_open(). Any failure
 * ends the session (outbox_io() says why); a new one begins again from the first recorded change,
 * which publishes some changes twice and loses none.
 */
#ifndef PGFANOUT_API_RELAY_OUTBOX_H
#define PGFANOUT_API_RELAY_OUTBOX_H

#include "api/primary.h"
#include "api/relay/shape_route.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/strbuf.h"
#include "common/wire/change.h"
#include "common/wire/stream.h"

struct outbox;

/* A number space for messages, which begins with each lead and after each failure: the messages of
 * each kind have the numbers 1, 2, 3, … in the order they are published in. */
struct outbox_term {
	int64_t term;	      /* grows */
	uint64_t messages[2]; /* by enum change_kind: all up to these numbers are confirmed */
};
#define OUTBOX_TERMS 9 /* the present one and the last ones */

/* A record's key. */
struct outbox_key {
	uint64_t xid;
	int64_t version;
};

/* A recorded change. */
struct outbox_row {
	struct shape_route *route; /* known; as long as the outbox is open */
	enum change_kind kind;
	bool inserted;	    /* of a sync: its statement inserted it */
	bool truncate;	    /* of a delete: all rows are gone; there is no body */
	const char *source; /* names the space that xid belongs to; as long as the outbox is open */
	uint64_t xid;
	int64_t version;
	size_t body_at, body_len; /* in the chunk's bodies */
};

/* A record that a table has this shape from now on. */
struct outbox_shape {
	struct shape_route *route;
	struct outbox_key key;
};

/* Some changes, claimed at once: those that have waited since an earlier epoch first; by shapes, of each syncs first,
 * then deletes, each in the order of their versions; and maybe a heartbeat, before which they and all that was claimed
 * earlier must be published: all that was committed before the heartbeat's time is among it. Owned by whoever made it;
 * memory is kept between uses. */
struct outbox_chunk {
	struct outbox_row *rows;
	size_t n, cap;
	struct strbuf bodies; /* the arena of the rows */
	struct outbox_shape *shapes;
	size_t nshapes, shapes_cap;
	uint64_t cut; /* the sweep that found them: 1, 2, … since outbox_restart() */
	int64_t lsn;  /* they were committed before this place in the primary's WAL, in bytes */
	bool sweep_begins, sweep_ends;
	bool big; /* of a transaction put aside; no chunk of its sweep */
	bool has_beat;
	struct outbox_key beat; /* these two: of the newest heartbeat that nothing is missing for */
	int64_t beat_us;	/* since 2000-01-01 UTC */
	int64_t beat_lsn;	/* outbox_beat.sql's place; 0: a version before recorded it */
};
void outbox_chunk_clear(struct outbox_chunk *c);

/* Blocking, bounded by the connection's timeout. stream: borrowed for life. chunk_max: rows of a chunk.
 * NULL and err on failure. */
MUST_CHECK struct outbox *outbox_open(struct primary *primary, const char *application_name,
				      const struct stream *stream, size_t chunk_max,
				      struct err *err);
void outbox_close(struct outbox *o); /* gives up the lead; NULL is fine */

int outbox_fd(const struct outbox *o);
bool outbox_wants_write(const struct outbox *o);
/* When outbox_io() has something to do without the fd: to keep the session alive, or to give it
 * up. */
struct mono outbox_deadline(const struct outbox *o);
/* Reads, writes, keeps the session alive. False: the session has failed; close it. */
MUST_CHECK bool outbox_io(struct outbox *o, struct mono now, struct err *err);

/* Asks for the lead unless an answer is still on its way; outbox_leading() says when it is ours. */
void outbox_try_lead(struct outbox *o);
bool outbox_asking(const struct outbox *o); /* no answer yet */
bool outbox_leading(const struct outbox *o);
/* What a leader tells with its messages. */
struct outbox_facts {
	const char *source; /* names the primary, in its present epoch */
	int64_t flushed;    /* the primary's WAL is on its disk up to this place */
	/* At least the version of every change claimed so far, by any leader: the newest that had
	 * been given out, to any stream, when the last sweep looked. */
	int64_t newest;
	/* [0] is the present term, with what was noted of it; then those before it, newest
	 * first. Known when the first claim after outbox_restart() is answered. */
	const struct outbox_term *terms;
	size_t nterms;
};
/* Its pointers are good until the next call of any function here. */
struct outbox_facts outbox_facts(const struct outbox *o);

/* The next sweep begins at the first record, and with it a new term; nothing is put aside. Not while
 * claiming. */
void outbox_restart(struct outbox *o);
/* Whether the last chunk was not the last one of its sweep. */
bool outbox_sweeping(const struct outbox *o);
/* Claims the next chunk, which begins a sweep unless one is under way. into is filled when
 * outbox_claiming() has become false. */
void outbox_claim(struct outbox *o, struct outbox_chunk *into);
bool outbox_claiming(const struct outbox *o);
/* Whether what was committed before this place cannot be lost with the primary: the synchronous standbys have it, or
 * nobody waits for them. If not, they are asked again, at most every OUTBOX_STANDBYS_MS. */
#define OUTBOX_STANDBYS_MS 1
bool outbox_is_kept(struct outbox *o, int64_t lsn, struct mono now);

/* Whether a transaction with very many changes was put aside by a sweep, so that the changes behind
 * it need not wait for it. Its other changes are claimed by outbox_claim_big(), as into a chunk of
 * their own; of several transactions in turn. */
bool outbox_has_big(const struct outbox *o);
void outbox_claim_big(struct outbox *o, struct outbox_chunk *into);
/* A heartbeat has been claimed, and is kept until what was put aside before it is claimed. */
bool outbox_keeps_beat(const struct outbox *o);

/* Records a heartbeat, to be claimed like a change. flush: so that its place is on the disk; else others' commits see to
 * that. */
void outbox_beat(struct outbox *o, bool flush);

/* Deletes records, at most chunk_max at a time. messages: up to which numbers the messages of the
 * present term are confirmed, by enum change_kind; NULL: they are heartbeats' records. */
void outbox_forget(struct outbox *o, const struct outbox_key *keys, size_t n,
		   const uint64_t *messages);
size_t outbox_forgetting(const struct outbox *o); /* deletes under way */

#endif
