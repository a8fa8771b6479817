/*
 * change.h: the message between the two sides: what happened to one row.
 *
 * Body of a sync:   {"table":"public.users","version":42,"row":{"id":1,"name":"…"}}
 * Body of a delete: {"table":"public.users","version":43,"key":{"id":1}}
 * TRUNCATE:         {"table":"public.users","version":44}, in the delete queue
 * Of a flat table:  {"id":…,"name":…,…,"version":42}, {"id":…,"version":43}
 * or an array of such objects, all of one kind and one table: the kind is the queue's (routing key's),
 * never guessed from the body. A member that is absent is NULL.
 *
 * version grows with every change of one row, in commit order of that row. It says nothing about two
 * rows.
 *
 * Headers: x-xid lists, in the order of the changes, the transaction on the primary each change was
 * committed by, as "7001" or run-length "7001*200 7005"; x-source names the primary's transaction
 * id space. With them a replica that was reset from a snapshot knows exactly which changes the
 * snapshot already contains. Without them the version decides alone. x-shape is the number of the
 * table's shape that the rows have. x-inserted says how many of the changes were made by an INSERT: a
 * hint, so that a replica tries the quicker way first.
 *
 * x-lsn: a place in the primary's WAL, in bytes from 0/0: the changes were committed before it. Of a heartbeat:
 * what was committed before it is in front of the heartbeat (heartbeat.h).
 *
 * x-cut is "term:sweep": the changes of one sweep of the outbox are what became visible between two snapshots
 * of the primary. Sweeps are numbered 1, 2, 3, … within a term.
 *
 * x-term and x-number count the messages: those of one kind have the numbers 1, 2, 3, … within a term
 * of the relay. Heartbeats say up to which number all were published (heartbeat.h), so that a replica
 * notices what has not come. A message that was moved or replayed carries none. Pure.
 */
#ifndef PGFANOUT_COMMON_WIRE_CHANGE_H
#define PGFANOUT_COMMON_WIRE_CHANGE_H

#include "common/base/err.h"
#include "common/json/jscan.h"
#include "common/base/strbuf.h"
#include "common/wire/table.h"

#define CHANGE_TERM_HEADER     "x-term"
#define CHANGE_NUMBER_HEADER   "x-number"
#define CHANGE_SHAPE_HEADER    "x-shape"
#define CHANGE_SHAPE_KIND      "shape" /* of topology_type(): a message that describes one */
#define CHANGE_TRUNCATE_KIND   "truncate"
#define CHANGE_INSERTED_HEADER "x-inserted"
#define CHANGE_CUT_HEADER      "x-cut"
#define CHANGE_LSN_HEADER      "x-lsn"
/* No version, term or number is larger: a sequence that gives out a million each second needs
 * 146,000 years for it. */
#define CHANGE_COUNT_MAX       (INT64_C(1) << 62)

enum change_kind { CHANGE_SYNC, CHANGE_DELETE };
/* "sync", "delete"; routing key and AMQP type property are "products.sync", "products.delete". */
const char *change_kind_name(enum change_kind kind);

/* A value of a row. */
enum change_where {
	CHANGE_ABSENT, /* it is NULL, or not of the key */
	CHANGE_NUMBER, /* booleans, integers, and times as PostgreSQL has them: clock.h's pg_us */
	CHANGE_RAW,    /* its text stands in the message */
	CHANGE_ARENA,  /* its text, or a UUID's bytes, are in the arena */
};
struct change_value {
	uint8_t where; /* enum change_where */
	uint32_t len;
	int64_t at; /* the number; or where its text begins, from the arena's or the messages' base */
};

/* What belongs to changes that were read. Zeroed it is empty; one owner. */
struct change_arena {
	struct strbuf text;
	struct change_value *values;
	size_t nvalues, cap;
};
void change_arena_reset(struct change_arena *a); /* empty; memory kept */
void change_arena_clear(struct change_arena *a);

struct change {
	const struct table *table; /* borrowed */
	enum change_kind kind;
	bool inserted;	    /* of a sync: probably the row is new */
	bool truncate;	    /* of a delete: all rows are gone; it has no key */
	int64_t version;    /* > 0 */
	uint64_t xid;	    /* 0: not known */
	size_t first_value; /* in the arena: one value for each column */
	size_t key_at;	    /* these two: in the arena's text, bytes for sorting and comparing */
	uint32_t key_len;
};

/* Reads one object (validated JSON value) strictly: unknown, missing, duplicate or wrong fields are
 * errors that name the field. What is raw counts from base, which the object is behind. xid is left 0.
 * On failure the arena is as it was. */
MUST_CHECK bool change_read(const struct table *t, const struct jscan_value *object,
			    enum change_kind kind, const char *base, struct change_arena *arena,
			    struct change *ret, struct err *err);
/* The same for a TRUNCATE; a flat table has none. */
MUST_CHECK bool change_read_truncate(const struct table *t, const struct jscan_value *object,
				     struct change_arena *arena, struct change *ret,
				     struct err *err);
/* Key and version of a change, also if the rest of it cannot be read. False: nor can these. */
bool change_identify(const struct table *t, const struct jscan_value *object, const char *base,
		     struct change_arena *arena, struct change *ret);
/* Where a value's text is. */
const char *change_text(const struct change_arena *a, const char *base,
			const struct change_value *v);
/* Appends the key as SQL writes a text[]: {1,"two"}. */
void change_key_text(const struct change *c, const char *base, const struct change_arena *arena,
		     struct strbuf *out);

/* x-xid: appends one more xid to the list text, run-length coded; start with an empty strbuf. */
struct change_xids {
	struct strbuf text;
	uint64_t last;
	size_t run;
};
void change_xids_add(struct change_xids *x, uint64_t xid);
const char *change_xids_finish(struct change_xids *x); /* the text; valid until reset */
void change_xids_reset(struct change_xids *x);
void change_xids_clear(struct change_xids *x);
/* Expands the text into exactly n numbers; false (all zeros) if it does not hold exactly n. */
bool change_xids_read(const char *text, uint64_t *ret, size_t n);

#endif
