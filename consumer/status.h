/*
 * status.h: what the outside may know of the workers: /health, /status, /metrics.
 *
 * Each worker writes its own struct status through the functions below; the ops server's thread
 * reads them. Counters are atomics, everything else is under status.lock, which is never held while
 * anything waits.
 */
#ifndef PGFANOUT_CONSUMER_STATUS_H
#define PGFANOUT_CONSUMER_STATUS_H

#include <pthread.h>
#include <stdatomic.h>

#include "common/base/base.h"
#include "common/base/strbuf.h"

/* Where a worker is; docs/replication.md has the table of what moves it on. */
enum status_state {
	STATUS_CONNECTING_REPLICA, /* opening the replica's database, or waiting to try again */
	STATUS_NOT_MIGRATED,	   /* it answers, but its schema does not fit */
	STATUS_RESETTING,	   /* reset-replicas is at work on it */
	STATUS_CONNECTING_BROKER,
	STATUS_ANOTHER_PRIMARY, /* its queues hold changes of a primary that it does not follow */
	STATUS_APPLYING,	/* consuming: at work, or idle with nothing to do */
	STATUS_STOPPED,
};
const char *status_state_name(enum status_state s);

/* All with one value a replica and stream. */
enum consumer_metric {
	METRIC_MESSAGES,
	METRIC_BATCHES,
	METRIC_APPLIED,
	METRIC_STALE,
	METRIC_RETRIED,
	METRIC_DEAD,
	METRIC_APPLY_TIME,
	METRIC_CONSUMING,
	METRIC_NEEDS_RESET,
	METRIC_WAITING,
	METRIC_DEAD_WAITING,
	METRIC_LAST_APPLIED,
	METRIC_WRONG,
	METRIC_BLOCKED,
	METRIC_WAITING_ROWS,
	CONSUMER_METRICS
};

/* A session on the replica that holds what a batch waits for. */
struct status_blocker {
	int pid;				   /* 0: a prepared transaction */
	char application[64], user[64], state[40]; /* "": not known */
	int64_t since_us;			   /* its transaction, wall clock; 0: not known */
};
#define STATUS_BLOCKERS ((size_t)3)

struct status {
	const char *replica;	     /* immutable after start */
	const char *stream;	     /* immutable after start */
	size_t label;		     /* immutable after start: the metrics' label index */
	struct status *_Atomic next; /* of the same replica, another stream; NULL: none yet */
	_Atomic int64_t counters[CONSUMER_METRICS];
	_Atomic int64_t newest_version, last_applied_us; /* 0: none */
	atomic_bool unverified; /* it follows a new primary, and was not compared with it yet */
	char database[256];	/* immutable after start: the scrubbed URL */

	pthread_mutex_t lock;
	enum status_state state; /* this and everything below: under lock */
	int64_t since_us;	 /* wall clock */
	char broker[256];	 /* host:port, "" while not connected */
	char error[512];	 /* the last one, "" if there was none */
	int64_t error_us;
	int64_t error_over_us; /* when it had passed; 0: it lasts */
	bool needs_reset;
	char reset_reason[256];
	struct status_blocker blockers[STATUS_BLOCKERS];
	size_t nblockers;
	int64_t wrong;	    /* rows of the stream that are wrong on it, -1: not known yet */
	char *wrong_tables; /* owned: how many of which table, a JSON object; NULL: not known yet */
	int64_t waiting;    /* changes that wait there for others, -1: not known yet */
	bool counted;	    /* the queues' lengths below are known */
	uint32_t waiting_sync, waiting_delete, waiting_retry, waiting_dead;
};

void status_init(struct status *s, const char *replica, const char *stream, size_t label,
		 const char *database_url);
void status_clear(struct status *s);

/* Adds to a counter; also to the metric. */
void status_count(struct status *s, enum consumer_metric metric, int64_t n);
/* A batch is committed whose newest change has this version (0: it has none), after so long a time (-1: in
 * no transaction). */
void status_applied(struct status *s, int64_t newest_version, int64_t took_us);

/* True if it is another state than before. */
bool status_set_state(struct status *s, enum status_state state);
void status_set_broker(struct status *s, const char *broker);
/* True if it is another error than the last one: worth a line in the log. */
bool status_set_error(struct status *s, const char *error);
/* What was wrong is not any more. */
void status_error_over(struct status *s);
/* True if it is news. */
bool status_set_needs_reset(struct status *s, bool needs_reset, const char *reason);
/* The oldest first; 0: nothing waits. */
void status_set_blockers(struct status *s, const struct status_blocker *blockers, size_t n);
/* tables: how many of which, as a JSON object. */
void status_set_wrong(struct status *s, int64_t rows, const char *tables);
void status_set_waiting(struct status *s, int64_t changes);
/* Messages ready or unacknowledged; not known any more when the state is not APPLYING. */
void status_set_queues(struct status *s, uint32_t sync, uint32_t deletes, uint32_t retry,
		       uint32_t dead);

/* For the ops server. */
struct status_all {
	struct status *const *replicas;
	size_t n;
	int64_t started_us;
};
/* Metrics of products: one value a replica, by its number. */
void status_metrics_init(const char *const *replicas, size_t n);
/* Metrics of another stream of a replica; both borrowed for ever. Returns their label. */
size_t status_metrics_add(const char *replica, const char *stream);
int status_health(void *arg, struct strbuf *body); /* arg: struct status_all */
int status_json(void *arg, struct strbuf *body);
int status_metrics(void *arg, struct strbuf *body);

#endif
