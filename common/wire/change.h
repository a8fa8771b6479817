/*
 * change.h: the message between the two sides: what happened to one product.
 *
 * Body of a sync:   {"id":…,"name":…,"price":…,"stock":…,"createdAt":…,"updatedAt":…,"version":…}
 * Body of a delete: {"id":…,"version":…}
 * or an array of such objects, all of one kind: the kind is the queue's (routing key's), never
 * guessed from the body.
 *
 * version grows with every change of one product, in commit order of that product. It says nothing
 * about two products.
 *
 * Headers: x-xid lists, in the order of the changes, the transaction on the primary each change was
 * committed by, as "7001" or run-length "7001*200 7005"; x-source names the primary's transaction
 * id space. With them a replica that was reset from a snapshot knows exactly which changes the
 * snapshot already contains. Without them the version decides alone.
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
#include "common/base/uuid.h"

#define CHANGE_TERM_HEADER   "x-term"
#define CHANGE_NUMBER_HEADER "x-number"
/* No version, term or number is larger: a sequence that gives out a million each second needs
 * 146,000 years for it. */
#define CHANGE_COUNT_MAX     (INT64_C(1) << 62)

enum change_kind { CHANGE_SYNC, CHANGE_DELETE };
/* "sync", "delete"; routing key and AMQP type property are "products.sync", "products.delete". */
const char *change_kind_name(enum change_kind kind);

struct change {
	enum change_kind kind;
	struct uuid id;
	int64_t version; /* > 0 */
	uint64_t xid;	 /* 0: not known */
	/* of a sync: */
	size_t name_at; /* offset of the name in the arena; name_len bytes, no NUL */
	size_t name_len;
	char price[72]; /* plain numeric text */
	int32_t stock;
	int64_t created_us, updated_us; /* as PostgreSQL has them: clock.h's pg_us */
};

/* Appends one change's JSON object. name is arena->data + name_at. */
void change_write(struct strbuf *out, const struct change *c, const char *name);

/* Reads one object (validated JSON value) strictly: unknown, missing, duplicate or wrong fields are
 * errors that name the field. Appends the name to arena. xid is left 0. */
MUST_CHECK bool change_read(const struct jscan_value *object, enum change_kind kind,
			    struct strbuf *arena, struct change *ret, struct err *err);

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
