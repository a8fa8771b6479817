/*
 * side.h: a replica's second broker connection: moves failed changes, keeps queues and bindings
 * declared, counts messages, answers marks.
 *
 * Why a second one: while the broker has a memory or disk alarm it stops reading from connections
 * that publish, and if the one that carries the acknowledgements published too, the queues would no
 * longer be drained, which may be just what ends the alarm. And a question on a connection that a
 * backlog pours in on has its answer behind megabytes of messages.
 *
 * It is opened again by itself, with back-off; while it is down, changes go on being applied. Owned
 * by one worker's thread.
 */
#ifndef PGFANOUT_CONSUMER_APPLY_SIDE_H
#define PGFANOUT_CONSUMER_APPLY_SIDE_H

#include "common/wire/stream.h"
#include "common/base/clock.h"
#include "consumer/apply/inbox.h"
#include "common/wire/topology.h"
#include "consumer/apply/retry.h"
#include "consumer/settings.h"
#include "consumer/status.h"

struct side;

/* All borrowed for life. */
struct side *side_new(const struct consumer_settings *settings, const struct stream *stream,
		      const char *replica, struct status *status, struct retry *retry,
		      const struct inbox *inbox);
struct side *side_free(struct side *s); /* NULL is fine; returns NULL */

/* Does what can be done now; may take as long as opening a connection or a few questions. Call it
 * when side_fd() is readable, and at the latest after side_wait_ms(). duties: also declare and
 * count; false while draining. */
void side_step(struct side *s, struct mono now, bool duties);
int side_fd(const struct side *s); /* -1: none */
int side_wait_ms(const struct side *s, struct mono now, int max_ms);
/* Sends a mark's body back. If that cannot be done now it is not done. */
void side_answer(struct side *s, const char *reply_to, const char *body);
/* The name of a main queue that was not there when it was looked for; NULL: none. It is not
 * recreated here: the replica must be marked before. */
const char *side_missing(const struct side *s);
/* The queues were declared just now, on another link. */
void side_take_report(struct side *s, const struct topology_report *report);
void side_close(struct side *s);

#endif
