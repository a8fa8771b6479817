/*
 * relay_private.h: what relay.c (the thread, its connections), relay_lead.c (claim, publish,
 * forget), relay_queues.c (the replicas' queues) and relay_own.c (the exchange is ours alone) share.
 * Nobody else includes it.
 */
#ifndef PGFANOUT_API_RELAY_RELAY_PRIVATE_H
#define PGFANOUT_API_RELAY_RELAY_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "api/relay/announcer.h"
#include "api/relay/gather.h"
#include "api/relay/heartbeats.h"
#include "api/relay/outbox.h"
#include "api/relay/pace.h"
#include "api/relay/publisher.h"
#include "api/relay/relay.h"
#include "common/amqp/amqp.h"
#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/settings/config.h"
#include "common/wire/topology.h"

#define RELAY_CHUNKS		8
#define RELAY_CHUNK_MAX		1000 /* changes of a claim, and keys of a delete */
#define RELAY_BROKER_TIMEOUT_MS 3000
#define RELAY_DECLARE_ROUND_MS	30000 /* all queues are declared again: a binding may be gone */
#define RELAY_IDLE_MS		100   /* until what has no event of its own is looked at again */
#define RELAY_POLL_MAX_MS	2500  /* the longest wait */

/* Where the relay's thread is. The table in relay.c says what it does there, and what it shows. */
enum relay_phase {
	RELAY_CONNECT_BROKER,	/* it has nothing */
	RELAY_CONNECT_DATABASE, /* it has the broker */
	RELAY_ASK,     /* … and a session with the primary; the first answer is awaited */
	RELAY_WAIT,    /* … and another relay has the lead */
	RELAY_DECLARE, /* it has the lead; the queues are not declared yet */
	RELAY_OWN,     /* … they are; another primary's relay may publish here */
	RELAY_PUBLISH, /* it claims, publishes, forgets */
	RELAY_HOLD,    /* a queue did not take a message, or the connection is renewed: nothing
			  new is published */
	RELAY_WIND_UP, /* stop: answers are awaited, nothing new begins */
	RELAY_END,
};

/* relay_lead.c: what RELAY_HOLD waits for. */
enum relay_hold_step {
	RELAY_HOLD_WAIT,    /* the answers awaited, and the time */
	RELAY_HOLD_DECLARE, /* the queues are declared again */
};

/* relay_queues.c: what is asked of the broker. */
enum relay_asking {
	RELAY_ASKING_NOTHING,
	RELAY_ASKING_LOOK,
	RELAY_ASKING_DECLARE,
	RELAY_ASKING_CREATE,
	RELAY_ASKING_DROP,
};
enum relay_queue_part { RELAY_QUEUES_MAIN, RELAY_QUEUES_AROUND, RELAY_QUEUE_PARTS };

/* relay_own.c: see there. */
enum relay_own_state {
	RELAY_OWN_NOTHING,
	RELAY_OWN_CLAIMED,
	RELAY_OWN_LISTENING,
	RELAY_OWN_PROBED,
	RELAY_OWN_REFUSED,
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
	struct announcer *announcer;
	struct heartbeats *heartbeats;
	struct pace *pace;	    /* of big transactions */
	struct outbox_chunk *claim; /* being filled by the outbox, or waiting for standbys; */
	struct mono kept_by;	    /* when that is logged; never: it does not wait */
	struct relay_peer broker, database;
	unsigned heard; /* primary.changes, when it was last looked whether this one leads still */
	struct mono lead_at; /* when to ask next */
	struct backoff hold_backoff;
	bool was_blocked;   /* as logged */
	uint64_t too_large; /* likewise */

	struct mono connected_at; /* to the broker */
	struct mono progress_at;  /* when the broker last answered, or nothing was awaited */
	struct mono stop_at;	  /* WIND_UP: when to wait no longer for answers */

	/* of a leader */
	enum relay_hold_step hold_step; /* these three: HOLD */
	struct mono hold_until;
	bool hold_renews; /* it goes on with a new connection to the broker */
	bool refusing; /* since a message was refused, not all that was recorded has gone through */
	bool through_marked; /* through_mark is set: all that was recorded at the restart */
	uint64_t through_mark;
	struct mono sweep_at;  /* when the next sweep is due */
	struct mono swept_at;  /* when the last one began */
	struct gather gather;  /* what is between them */
	size_t sweep_rows;     /* of the sweep under way */
	bool big_turn;	       /* the next chunk may be one of a big transaction */
	struct mono forget_at; /* when what is confirmed is forgotten; never: nothing waits */
	bool direct;	       /* messages go by name too; then: */
	struct mono calm_at;   /* it ends, if the exchange refuses nothing until then */
	struct mono renew_at;  /* a new connection may be tried */
	struct backoff renew_backoff;
	struct publisher_counts calm_from, renew_from; /* when the time began */
	struct mono refused_since[REPLICAS_MAX];       /* never: its queue does not refuse */
	uint64_t may_miss;	     /* replicas whose queue has refused for too long: bits */
	bool left_out[REPLICAS_MAX]; /* as logged */
	uint64_t restart_sweeps;     /* sweeps, at the last restart */
	struct mono beat_at;	     /* when the next heartbeat is due */
	struct mono mark_at;	     /* and if there is news: */
	bool news; /* changes, or new versions of any stream, since the last one was recorded, or just before; */
	int64_t news_newest;  /* the newest version that was known then, */
	struct mono news_at;  /* and when */
	uint64_t beat_sweeps; /* how many sweeps must have ended, so that none is unclaimed */

	/* the replicas' queues: relay_queues.c */
	struct amqp_asks *asks;
	enum relay_asking asking;
	bool declare_wanted;		 /* all of them, as soon as possible */
	struct mono look_at, declare_at; /* the last rounds began */
	unsigned exchange;		 /* these three: of the round under way */
	bool is_asked[REPLICAS_MAX];
	struct topology_asked asked[REPLICAS_MAX];
	bool to_do[REPLICAS_MAX];	 /* for the next one: to create, or to drop */
	uint64_t too_long[REPLICAS_MAX]; /* messages; 0: it is not */
	bool fresh[REPLICAS_MAX];	 /* declared, and not noted yet */
	bool declared[REPLICAS_MAX];	 /* pgfanout.queues has a row */
	enum amqp_answer told[REPLICAS_MAX][RELAY_QUEUE_PARTS]; /* as logged */
	struct pg_conn *notes; /* the primary, while something is written; else NULL */

	/* the exchange is ours alone: relay_own.c */
	enum relay_own_state own;
	bool owns;	    /* the queue products.relay is this connection's */
	bool leads;	    /* this lead was logged and has begun to publish */
	bool refused;	    /* another primary's relay publishes here */
	struct mono own_at; /* PROBED: waits until then; REFUSED: asks again then */
	struct backoff own_backoff;
	uint64_t probe_no;    /* PROBED: of the question */
	bool answered;	      /* these two: by the other one */
	char other[128];      /* its source */
	char own_source[128]; /* of the primary that we lead, or led on this connection */
	char reply_queue[TOPOLOGY_NAME_MAX + 40]; /* of this connection; "": none yet */

	uint64_t sweeps, broker_connections, database_connections; /* for the status */
};

/* ---- relay.c ---- */

/* Closes it, and everything that depends on it; says so in log and status. */
void relay_lose_broker(struct relay *r, const struct err *err);
void relay_show_error(struct relay *r, const char *what, const char *text);
void relay_lose_database(struct relay *r, const struct err *err);

/* ---- relay_queues.c ---- */

enum relay_queues { RELAY_QUEUES_OK, RELAY_QUEUES_BROKER /* lost */, RELAY_QUEUES_DATABASE };

/* Asks what is due, takes what was answered; never waits for the broker. */
MUST_CHECK enum relay_queues relay_queues_turn(struct relay *r, struct mono now, struct err *err);
struct mono relay_queues_due(const struct relay *r);
void relay_queues_lead(struct relay *r);	/* a new lead: nothing is known */
void relay_queues_want(struct relay *r);	/* all are declared as soon as possible … */
bool relay_queues_ready(const struct relay *r); /* … and that has been done */
/* This replica lacks a change: true when that is committed on the primary. */
MUST_CHECK bool relay_queues_mark(struct relay *r, size_t i, const char *reason, struct err *err);
void relay_queues_broken(struct relay *r); /* the link is lost */
void relay_queues_forget(struct relay *r); /* closes what it keeps open */

/* ---- relay_own.c ---- */

/* One turn in OWN. */
struct mono relay_own(struct relay *r, struct mono now);
void relay_own_broken(struct relay *r); /* the link is lost, or the lead */
/* As amqp_handler's. settled: false: not a message from here. */
bool relay_own_settled(struct relay *r, uint64_t publish_no, enum amqp_settled how);
void relay_own_delivery(void *arg, const struct amqp_delivery *d);
void relay_own_cancelled(void *arg, const char *consumer_tag);

/* ---- relay_lead.c ---- */

/* One turn in DECLARE, PUBLISH, HOLD. As all turns: until when there is nothing to do unless
 * something comes; broker or session may be lost after it. */
struct mono relay_declare(struct relay *r, struct mono now);
/* The exchange is ours: from OWN to PUBLISH. */
void relay_begin(struct relay *r);
struct mono relay_publish(struct relay *r, struct mono now);
struct mono relay_hold(struct relay *r, struct mono now);
/* Deletes what was confirmed, without waiting for more. False: the session was lost. */
MUST_CHECK bool relay_forget(struct relay *r);

#endif
