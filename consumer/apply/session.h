/*
 * session.h: one stretch of consuming: from "both connections are up" until a named reason ends it.
 *
 * Owned by one worker's thread. The connections are the worker's; the buffers and the moves of
 * failed changes are the session's, and are kept from one stretch to the next.
 */
#ifndef PGFANOUT_CONSUMER_APPLY_SESSION_H
#define PGFANOUT_CONSUMER_APPLY_SESSION_H

#include "common/amqp/amqp.h"
#include "common/pg/db.h"
#include "common/wire/topology.h"
#include "consumer/apply/auto_reset.h"
#include "consumer/apply/streams.h"
#include "consumer/apply/tables.h"
#include "consumer/settings.h"
#include "consumer/status.h"

struct session;

enum session_end {
	SESSION_STOPPED,   /* stop was requested; what was in flight is done, if there was time */
	SESSION_REPLICA,   /* lost, or cannot take changes: its connection is opened again */
	SESSION_RESETTING, /* the replica is being reset; its connection is good */
	SESSION_BROKER,	   /* the broker's connection is lost */
	SESSION_CANCELLED, /* a queue was deleted; what had been received from it is applied */
	SESSION_RESET_DUE, /* the replica is marked, and may be reset by itself */
	SESSION_SHAPE,	   /* tables have shapes that are not known here: session_shapes() */
	SESSION_TABLES,	   /* tables that the replica is still to have are due for another try */
	SESSION_LARGE, /* a large change has come, and the memory that it took is to be given back */
};

struct session_result {
	enum session_end end;
	enum db_outcome outcome; /* of SESSION_REPLICA */
	const char *sentence;	 /* for the operator; NULL where there is nothing to say */
	struct err err;
	bool cancelled; /* a queue was deleted, whatever ended the stretch then */
	size_t batches; /* applied in this stretch */
};

/* All borrowed for life; the tables change between two stretches only. streams: is told of those that the
 * replica knows; NULL: nobody asks. */
struct session *session_new(const struct consumer_settings *settings, const struct stream *stream,
			    const char *replica, const struct tables *tables,
			    struct streams *streams, struct status *status);
struct session *session_free(struct session *s); /* NULL is fine; returns NULL */

/* Starts consuming on a fresh link, whose queues were just declared as report says. */
MUST_CHECK bool session_subscribe(struct session *s, struct amqp_link *link,
				  const struct topology_report *report, struct err *err);

/* Between two stretches: something met a lock on the replica; or the replica is lost, so that
 * nothing is known of its locks. */
void session_meets_lock(struct session *s, bool lock);

/* Runs until a reason. Afterwards the link is good for amqp_close() only: what was delivered and
 * not acknowledged goes back to its queue. A unit may be left in flight on db only if it did not
 * end in time. after_trouble: the log says when it is over. auto_reset says when SESSION_RESET_DUE
 * may end it, tables_at when SESSION_TABLES does, where tables wait. */
void session_run(struct session *s, struct db *db, struct amqp_link *link, bool after_trouble,
		 const struct auto_reset *auto_reset, struct mono tables_at,
		 struct session_result *ret);

#define SESSION_SHAPES_MAX 100 /* as many as a load takes */
struct session_shape {
	int shape, table;
	char *description; /* as it came; NULL: a message needs it, and it has come to another consumer, or
			     * not at all */
	const char *leaves; /* of a table that is dropped: the queue that says so; else NULL */
};

/* After SESSION_SHAPE, until the next stretch: at least one, in the order they came in. */
size_t session_shapes(const struct session *s, const struct session_shape **ret);

#endif
