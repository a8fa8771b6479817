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
#include "api/relay/pace.h"
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

/* Where the relay's thread is. The table in relay.c says what it does there, and what it shows. */
enum relay_phase {
	RELAY_CONNECT_BROKER,	/* it has nothing */
	RELAY_CONNECT_DATABASE, /* it has the broker */
	RELAY_ASK,     /* … and a session with the primary; the first answer is awaited */
	RELAY_WAIT,    /* … and another relay has the lead */
	RELAY_DECLARE, /* it has the lead; the queues are not declared yet */
	RELAY_PUBLISH, /* it claims, publishes, forgets */
	RELAY_HOLD,    /* a queue did not take a message: nothing new is published */
	RELAY_WIND_UP, /* stop: answers are awaited, nothing new begins */
	RELAY_END,
};

struct relay_peer { /* the broker, the primary */
	struct backoff backoff;
	struct mono at; /* when to try next */
	bool trouble;	/* these two: logged last, so that it is logged once */
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
	enum relay_phase phase;
	struct amqp_link *link;
	struct amqp_handler handler;
	struct outbox *outbox;
	struct publisher *publisher;
	struct heartbeats *heartbeats;
	struct pace *pace;	    /* of big transactions */
	struct outbox_chunk *claim; /* being filled by the outbox */
	struct relay_peer broker, database;
	struct mono lead_at; /* when to ask next */
	struct backoff hold_backoff;
	bool was_blocked; /* as logged */

	struct mono connected_at; /* to the broker */
	struct mono progress_at;  /* when the broker last answered, or nothing was awaited */
	struct mono stop_at;	  /* WIND_UP: when to wait no longer for answers */

	/* of a leader */
	struct mono hold_until; /* these two: HOLD */
	enum amqp_settled hold_how;
	struct mono sweep_at;	  /* when the next sweep is due */
	struct mono swept_at;	  /* when the last one began */
	int64_t pause_us, gap_us; /* to the next sweep: if nobody wakes us; in any case */
	struct mono busy_until;	  /* the pause does not grow until then */
	size_t sweep_rows;	  /* of the sweep under way */
	bool big_turn;		  /* the next chunk may be one of a big transaction */
	struct mono forget_at;	  /* when what is confirmed is forgotten; never: nothing waits */
	struct mono look_at, declare_at; /* the queues were last looked at; all were declared */
	size_t look_next;		 /* replica */
	bool declaring;			 /* in this round */
	bool declared[REPLICAS_MAX];	 /* products_queues has a row */
	struct pg_conn *notes;		 /* the primary, while something is written; else NULL */
	uint64_t restart_sweeps;	 /* sweeps, at the last restart */
	struct mono beat_at;		 /* when the next heartbeat is due */
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

/* One turn in DECLARE, PUBLISH, HOLD. As all turns: until when there is nothing to do unless
 * something comes; broker or session may be lost after it. */
struct mono relay_declare(struct relay *r, struct mono now);
struct mono relay_publish(struct relay *r, struct mono now);
struct mono relay_hold(struct relay *r, struct mono now);
/* Deletes what was confirmed, without waiting for more. */
void relay_forget(struct relay *r);

#endif
