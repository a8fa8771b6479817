/*
 * mark.h: the message that finds out how long a replica takes: type <stream>.mark, with a reply-to.
 *
 * The leading relay puts one behind changes in a replica's queue. The consumer sends its body to the
 * reply-to when everything in front of it is committed on the replica, or moved out of the way; what
 * it says is the relay's business. Whoever sends marks expects that one may stay without an answer.
 * Pure.
 */
#ifndef PGFANOUT_COMMON_WIRE_MARK_H
#define PGFANOUT_COMMON_WIRE_MARK_H

#include "common/base/err.h"
#include "common/base/strbuf.h"
#include "common/json/jscan.h"

#define MARK_KIND     "mark" /* of topology_type() */
#define MARK_BODY_MAX 200    /* bytes; a longer one is refused */

struct mark {
	int64_t queue;	 /* of the sender's numbering */
	int64_t changes; /* sent to that queue before */
	int64_t sent_us; /* on the sender's monotonic clock */
};

/* Appends the body. */
void mark_write(struct strbuf *out, const struct mark *m);
/* Reads a body strictly: these three members, none of them negative. */
MUST_CHECK bool mark_read(const struct jscan_value *body, struct mark *ret, struct err *err);

#endif
