/*
 * relay_private.h: what relay.c (the thread, its connections), relay_lead.c (claim, publish,
 * forget) and relay_queues.c (the replicas' queues) share. Nobody else includes it.
 */
#ifndef PGFANOUT_API_RELAY_RELAY_PRIVATE_H
#define PGFANOUT_API_RELAY_RELAY_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "api/relay/heartbeats.h"
#include "api/relay/outbox.h"
#include "api/relay/publisher.h"
#include "api/relay/relay.h"
#include "common/amqp/amqp.h"
#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/settings/config.h"

#define RELAY_CHUNKS		8
#define RELAY_CHUNK_MAX		1000 /* changes of a claim, and keys of a delete */
#define RELAY_BROKER_TIMEOUT_MS 3000
#define RELAY_DECLARE_ROUND_MS	30000 /* all queues are declared again: a binding may be gone */
#define RELAY_IDLE_MS		100   /* the longest pause between sweeps */
#define RELAY_POLL_MAX_MS	2500  /* the longest wait */

struct relay_trouble { /* what was logged last about one of the peers, so that it is logged once */
	bool on;
	char text[512];
};

struct relay {
	/* immutable after start */
	struct relay_options opt;
	pthread_t thread;
	int wake_fd;

	/* any thread */
	atomic_bool woken;
	atomic_bool stop;
	pthread_mutex_t lock;
	struct relay_status status; /* under lock */

	/* the relay's thread */
	struct amqp_link *link;
	struct amqp_handler handler;
	struct outbox *outbox;
	struct publisher *publisher;
	struct heartbeats *heartbeats;
	struct outbox_chunk *claim; /* being filled by the outbox */
	struct backoff broker_backoff, database_backoff, hold_backoff;
	struct mono broker_at, database_at, lead_at; /* when to try next */
	struct relay_trouble broker_trouble, database_trouble;
	bool asked;				/* for the lead, in this session */
	bool leading, standing_by, was_blocked; /* as logged */

	struct mono connected_at; /* to the broker */
	struct mono progress_at;  /* when the broker last answered, or nothing was awaited */
	struct mono stop_at;	  /* when to wait no longer for answers; never: not stopping */

	/* of a leader */
	struct mono hold_until; /* never: not holding */
	enum amqp_settled hold_how;
	struct mono sweep_at;	  /* when the next sweep is due */
	struct mono swept_at;	  /* when the last one began */
	int64_t pause_us, gap_us; /* to the next sweep: if nobody wakes us; in any case */
	struct mono busy_until;	  /* so long the pause does not grow */
	size_t sweep_rows;	  /* of the sweep under way */
	struct mono forget_at;	  /* when what is confirmed is forgotten; never: nothing waits */
	struct mono look_at,
		declare_at; /* when the queues were last looked at; declared, all of them */
	size_t look_next;   /* replica */
	bool declaring;	    /* in this round */
	bool declared[REPLICAS_MAX]; /* products_queues has a row */
	struct pg_conn *notes;	     /* the primary, while something is written; else NULL */
	uint64_t anew_sweeps;	     /* sweeps, when all began anew */
	struct mono beat_at;	     /* when the next heartbeat is due */
	uint64_t beat_sweeps; /* how many sweeps must have ended, so that none is unclaimed */

	uint64_t sweeps, broker_connections, database_connections; /* for the status */
};

/* ---- relay.c ---- */

/* Closes it, and everything that depends on it; says so in log and status. */
void relay_lose_broker(struct relay *r, const struct err *err);
void relay_show_error(struct relay *r, const char *what, const char *text);
void relay_lose_database(struct relay *r, const struct err *err);

/* ---- relay_queues.c ---- */

enum relay_queues { RELAY_QUEUES_OK, RELAY_QUEUES_BROKER /* lost */, RELAY_QUEUES_DATABASE };

/* All queues, at once: before anything is published. */
MUST_CHECK enum relay_queues relay_queues_declare(struct relay *r, struct err *err);
/* One replica's, if it is time. */
MUST_CHECK enum relay_queues relay_queues_look(struct relay *r, struct mono now, struct err *err);
void relay_queues_forget(struct relay *r); /* closes what it keeps open */

/* ---- relay_lead.c ---- */

/* One turn of a leader. Returns until when there is nothing to do unless something comes; broker or session may be lost
 * after it. */
struct mono relay_lead(struct relay *r, struct mono now);
/* Deletes what was confirmed, without waiting for more. */
void relay_forget(struct relay *r);

#endif
