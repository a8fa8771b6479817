/*
 * upstreams.h: the databases as all workers see them. What is shared says at the field who may
 * touch it.
 */
#ifndef PGFANOUT_API_POOL_UPSTREAMS_H
#define PGFANOUT_API_POOL_UPSTREAMS_H

#include <pthread.h>
#include <stdatomic.h>

#include "api/pool/lag.h"
#include "api/pool/position.h"
#include "api/pool/wrong.h"
#include "api/primary.h"
#include "common/settings/config.h"

struct connector;

enum upstream_state {
	UPSTREAM_CONNECTING,   /* no answer yet */
	UPSTREAM_SERVING,      /* answers, and may serve */
	UPSTREAM_LAGGING,      /* a replica that is too far behind: reads only if nobody else can */
	UPSTREAM_NEEDS_RESET,  /* a replica that lacks changes: no reads */
	UPSTREAM_READ_ONLY,    /* a primary that takes no writes */
	UPSTREAM_UNCAPTURED,   /* a primary whose changes are not all captured: no writes */
	UPSTREAM_NOT_MIGRATED, /* answers, but its tables are missing or old */
	UPSTREAM_UNREACHABLE,  /* does not answer */
	UPSTREAM_TOO_WRONG,    /* a replica with more wrong products than WRONG_MAX: no reads */
	UPSTREAM_NO_STANDBY,   /* named as a standby of the primary, and none: no reads */
};
/* A standby is the primary's copy, by PostgreSQL's own streaming replication. */
enum upstream_kind { UPSTREAM_REPLICA, UPSTREAM_STANDBY, UPSTREAM_PRIMARY };
const char *upstream_state_name(enum upstream_state s);

struct upstream {
	const char *name; /* these: immutable after the start */
	const char *url;
	size_t index; /* label of its metrics; the primary is the last */
	bool primary, standby;
	bool may_lead; /* a standby that DATABASE_URL names too */
	uint32_t hash; /* source_hash() of the name */
	struct connector *connector;
	struct lag_clock *clock; /* the primary's; its connector sets it */

	/* These: as the connector saw it last. Any thread. */
	atomic_bool fit;	  /* may serve reads */
	atomic_bool complete;	  /* a replica that is fit or lagging */
	_Atomic uint64_t lagging; /* its streams that are too far behind: lag_stream_bit() */
	atomic_bool uncaptured;	  /* the primary: writes would be missing on the replicas */
	atomic_bool
		recovers; /* the primary: a standby is in its place, so nobody has all there is */
	_Atomic int64_t heartbeat_us; /* Unix time, or LAG_NO_HEARTBEAT */
	_Atomic int64_t outbox;	      /* the primary's recorded changes, about; -1: not known */
	atomic_int readers, writers;  /* live links of all workers */
	atomic_int hung; /* the primary: sessions that hang in their commit, connector.h */
	/* When the last look that has ended, with whatever result, began: monotonic, us. 0: none has. */
	_Atomic int64_t looked_us;
	atomic_bool unopened;	  /* the last link could not be opened */
	struct wrong_place wrong; /* rows that are read elsewhere */
	_Atomic int64_t
		wrong_seen; /* of a replica: how often its records had changed when they were read */
	/* A replica's marks, as it told them last with an answer: by the bit of a stream, but the last one, which
	 * several share. 0: none is known. */
	_Atomic uint64_t marks[LAG_STREAM_BITS];
	_Atomic uint64_t replayed; /* of a standby, the same: a place of the primary's WAL */

	pthread_mutex_t lock;
	enum upstream_state state; /* these: under lock */
	char reason[512];	   /* of a state other than serving */
	int64_t since_us;	   /* wall clock */
	int server_version;
	/* Of the primary: tables whose changes are not all captured; of a replica: its streams beside products. JSON, as
	 * the connector saw it last; NULL: none. */
	char *tables, *streams;
	/* Of the primary: what it knows of its standbys, an array; of a standby: what its receiver says. JSON likewise. */
	char *standbys, *receiver;
	/* A replica's rows in the primary's pgfanout.queues, as the primary's connector saw them. */
	char *queues;	       /* of all streams, JSON; NULL: none is declared */
	char reset_due_at[48]; /* these two of products; "": no changes were lost */
	char reset_due_reason[200];
};

struct upstreams {
	struct upstream list[REPLICAS_MAX + 1];
	size_t n; /* the primary included */
	/* Immutable after the start: is told of each stream that the primary has. */
	void (*note_stream)(void *arg, int number, const char *name);
	void *note_arg;
	struct lag_clock clock;
	struct lag_places places;
	size_t nstandbys;
	struct primary *server; /* immutable after the start */
};

/* Before any thread: the replicas first, then the standbys, the primary last. name and url are borrowed. */
void upstreams_add(struct upstreams *all, const char *name, const char *url,
		   enum upstream_kind kind);
void upstreams_clear(struct upstreams *all); /* once all threads have ended */

static inline struct upstream *upstreams_primary(struct upstreams *u)
{
	return &u->list[u->n - 1];
}

/* The least of a replica's marks, of these streams (lag_stream_bit()); 0: one is not known. Any thread. */
uint64_t upstream_mark(const struct upstream *up, uint64_t streams);
void upstream_take_mark(struct upstream *up, uint64_t streams, uint64_t mark);

/* Why nothing is to be written to the primary though it answers; NULL: it may be. Any thread. */
const char *upstream_refuses_writes(const struct upstream *primary);

/* How far a replica is behind the primary now; false: that is not known. Any thread. */
bool upstream_lag_us(const struct upstream *up, int64_t *ret);

#endif
