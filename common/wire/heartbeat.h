/*
 * heartbeat.h: the message that measures lag and tells what was published, type <stream>.heartbeat:
 *
 *   {"at":"2026-01-31T12:00:00.123456Z","version":4711,
 *    "terms":[{"term":1769860800000000,"sync":120,"delete":3},{"term":1769774400000000,…}]}
 *
 * The leading relay sends it into each replica's two queues, past the exchange, so that other
 * subscribers never see it. It says: everything that was committed on the primary before this time
 * is in front of this message; no change published so far has a version above this one; in these
 * terms of the relay, the present one first, messages with the numbers up to these were put into the
 * queues before. Its x-xid is the transaction that recorded it: of two heartbeats of one term the one
 * with the larger is the newer, whatever the primary's clock says.
 *
 * Its x-lsn (change.h) is to places in the primary's WAL what `at` is to times: whoever saw something committed
 * there, and then read a smaller pg_current_wal_insert_lsn(), finds it in front of this message. A header, as
 * versions before read the body strictly. Absent: not known. x-every goes with it: while there are writes
 * heartbeats come more often than each so many ms, and a replica may take the others for their places alone. Pure.
 */
#ifndef PGFANOUT_COMMON_WIRE_HEARTBEAT_H
#define PGFANOUT_COMMON_WIRE_HEARTBEAT_H

#include "common/base/err.h"
#include "common/json/jscan.h"
#include "common/base/strbuf.h"
#include "common/wire/change.h"

#define HEARTBEAT_KIND	       "heartbeat" /* of topology_type() */
#define HEARTBEAT_TERMS_MAX    16
#define HEARTBEAT_EVERY_MAX    10000 /* ms */
#define HEARTBEAT_EVERY_HEADER "x-every"

struct heartbeat_term {
	int64_t term;
	int64_t messages[2]; /* by enum change_kind */
};

struct heartbeat {
	int64_t at_us; /* since 2000-01-01 UTC, as PostgreSQL's binary format */
	int64_t version;
	size_t nterms; /* at least 1 */
	struct heartbeat_term terms[HEARTBEAT_TERMS_MAX];
};

/* Appends the body. */
void heartbeat_write(struct strbuf *out, const struct heartbeat *h);
/* Reads a body strictly: an object with these fields and nothing else; terms get smaller. */
MUST_CHECK bool heartbeat_read(const struct jscan_value *body, struct heartbeat *ret,
			       struct err *err);

#endif
