/*
 * heartbeat.h: the message that measures lag: {"at":"2026-01-31T12:00:00.123456Z"}, type
 * products.heartbeat.
 *
 * The leading relay sends it into each replica's two queues, past the exchange, so that other
 * subscribers never see it. It says: everything that was committed on the primary before this time
 * is in front of this message. Pure.
 */
#ifndef PGFANOUT_COMMON_WIRE_HEARTBEAT_H
#define PGFANOUT_COMMON_WIRE_HEARTBEAT_H

#include "common/base/err.h"
#include "common/json/jscan.h"
#include "common/base/strbuf.h"

#define HEARTBEAT_TYPE "products.heartbeat"

/* at_us: microseconds since 2000-01-01 UTC, as PostgreSQL's binary format. Appends the body. */
void heartbeat_write(struct strbuf *out, int64_t at_us);
/* Reads a body strictly: an object with "at" and nothing else. */
MUST_CHECK bool heartbeat_read(const struct jscan_value *body, int64_t *ret_at_us, struct err *err);

#endif
