/*
 * relay.h: the thread that publishes the recorded changes of a stream: from the primary's outbox to the exchange,
 * forgotten only when confirmed.
 *
 * Of all relays of one primary (each API process has one) one leads and works, the others stand by.
 * Starting needs neither the primary nor the broker to be there; writes never wait for the relay.
 */
#ifndef PGFANOUT_API_RELAY_RELAY_H
#define PGFANOUT_API_RELAY_RELAY_H

#include "api/primary.h"
#include "common/base/base.h"
#include "common/base/err.h"
#include "common/wire/stream.h"

struct relay;

struct relay_options { /* strings are borrowed until relay_stop() */
	struct primary *primary;
	const char *rabbitmq_urls;
	const char *application_name; /* of the session and of the broker's connection */
	/* Names; the queues of all of them are declared before anything is published. */
	const char *const *replicas;
	size_t nreplicas;
	struct stream stream;
	unsigned max_attempts;
	unsigned message_max_changes; /* 0: 200; 1: no arrays */
	int64_t heartbeat_ms;	      /* from one heartbeat of a leader to the next */
	uint64_t max_backlog; /* messages of a replica's queues; more are dropped; 0: no bound */
};

enum relay_state {
	RELAY_NO_BROKER,   /* not connected, or a queue could not be declared */
	RELAY_NO_DATABASE, /* broker fine, no session with the primary */
	RELAY_STANDBY,	   /* another relay leads */
	RELAY_LEADING,
	RELAY_REFUSED, /* the exchange belongs to another primary's relay: nothing is published */
	RELAY_STOPPED,
};
/* "no broker", "no database", "standby", "leading", "refused", "stopped" */
const char *relay_state_name(enum relay_state s);

struct relay_status {
	enum relay_state state;
	bool broker_blocked; /* it asked publishers to pause */
	char broker[264];    /* host:port, "" if not connected */
	uint64_t in_flight;  /* changes claimed and not yet answered by the broker */
	uint64_t messages;   /* published, since the start */
	uint64_t confirmed;  /* changes, since the start, and so on */
	uint64_t returned;   /* reached no queue: tried again */
	uint64_t nacked;     /* refused by the broker: tried again */
	uint64_t too_large;  /* for a message: sent by their keys */
	uint64_t sweeps;
	uint64_t broker_connections, database_connections; /* made since the start */
	char last_error[640];				   /* "" if there was none */
	int64_t last_error_at_s;			   /* wall clock, Unix time */
	int64_t error_over_at_s; /* when that had passed, likewise; 0: it lasts */
};

MUST_CHECK struct relay *relay_start(const struct relay_options *options, struct err *err);
/* There is something to publish. Any thread; cheap, many calls collapse into one. */
void relay_wake(struct relay *r);
/* Any thread. */
void relay_status(struct relay *r, struct relay_status *ret);
/* Waits a few seconds at most for the broker's answers to what was published, ends the thread,
 * frees. NULL is fine. */
void relay_stop(struct relay *r);

#endif
