/*
 * replicas.h: the databases as all workers see them, and the choice of the one that a read goes to.
 *
 * A struct upstream is shared: its fields say who may touch them. A struct link is one pipelined connection of one worker to
 * one upstream and belongs to that worker, but for the fields that its way from the connector to the worker needs.
 */
#ifndef PGFANOUT_API_POOL_UPSTREAMS_H
#define PGFANOUT_API_POOL_UPSTREAMS_H

#include <pthread.h>
#include <stdatomic.h>

#include "api/pool/lag.h"
#include "api/serve/request.h"
#include "api/pool/wrong.h"
#include "common/settings/config.h"
#include "common/pg/db.h"

struct worker;
struct connector;
struct reads_sent;

enum upstream_state {
	UPSTREAM_CONNECTING, /* not answered yet */
	UPSTREAM_SERVING,    /* answers, and may serve */
	UPSTREAM_LAGGING, /* a replica that is complete but too far behind: no reads if others can */
	UPSTREAM_NEEDS_RESET,  /* a replica that is incomplete: no reads */
	UPSTREAM_READ_ONLY,    /* a primary that takes no writes */
	UPSTREAM_NOT_MIGRATED, /* answers, but its tables are not there */
	UPSTREAM_UNREACHABLE,  /* does not answer */
	UPSTREAM_TOO_WRONG,    /* a replica with more wrong products than WRONG_MAX: no reads */
};
const char *upstream_state_name(enum upstream_state s);

struct upstream {
	const char *name; /* these: immutable after the start */
	const char *url;
	size_t index; /* metric label, of a replica its bit in request->tried; the primary is the last */
	bool primary;
	struct connector *connector;

	struct lag_clock *clock; /* the primary's, which its own connector sets */

	/* These: as the connector's last look said. Any thread. */
	atomic_bool fit; /* may serve reads */
	atomic_bool
		complete; /* a replica that may serve them if there is nobody better: it answers, but is lagging */
	_Atomic int64_t heartbeat_us; /* Unix time, or LAG_NO_HEARTBEAT */
	atomic_int readers, writers;  /* live links of all workers */
	atomic_bool looked;	      /* the connector has looked, with whatever result */
	atomic_bool unopened;	      /* the last link could not be opened */
	struct wrong_place wrong;     /* products that are read elsewhere */

	pthread_mutex_t lock;
	enum upstream_state state; /* these: under lock */
	char reason[512];	   /* of a state other than serving */
	int64_t since_us;	   /* wall clock */
	int server_version;
	/* Of a replica: its row in the primary's products_queues, as the primary's connector saw it last. */
	bool queues_declared;
	char reset_due_at[48]; /* "": no changes were lost */
	char reset_due_reason[200];
};

enum link_role { LINK_POINT = 1, LINK_SCAN = 2, LINK_WRITE = 4, LINK_BULK = 8 };

struct link {
	struct worker *worker;
	struct upstream *up;
	unsigned roles;
	struct db *db;	/* the worker's; NULL while the connector opens one */
	bool polls_out; /* the epoll entry asks for writability */
	bool touched;	/* something was sent in this turn */
	bool give_up;	/* the worker closes it at the end of the turn, a new one is opened */
	unsigned points_in_flight, scans_in_flight, writes_in_flight; /* units */
	size_t rows_in_flight;	/* of the newest unit of points or writes */
	struct mono rows_since; /* when it was sent */
	struct request_queue points, scans;

	/* see silence.h */
	struct reads_sent *reads_sent; /* oldest first */
	int64_t usual_us;	       /* how long its reads take, the mean of the last ones */
	bool silent;

	struct link *next_wanted;  /* under the connector's lock */
	struct link *next_arrived; /* these two: under the worker's inbox lock */
	struct db *arrived;
};

/* For reads, of each worker to each replica: by id, and lists, so that a read by id never waits behind a page. */
#define WORKER_READ_LINKS 2

/* The statements of the two kinds of links, by number. */
enum { READ_POINTS, READ_FIRST, READ_AFTER };
enum { /* enum write_kind is the number of the others */ WRITE_IMPORT = WRITE_KINDS,
       WRITE_STATEMENTS };

struct upstreams {
	struct upstream list[REPLICAS_MAX + 1];
	size_t n; /* the primary included */
	struct lag_clock clock;
};

static inline struct upstream *upstreams_primary(struct upstreams *u)
{
	return &u->list[u->n - 1];
}

static inline bool link_usable(const struct link *l)
{
	return l->db && db_alive(l->db);
}

/*
 * Which link a read takes. The rule:
 *   0. A list that has begun stays where it is while that database is fit and has not failed it: two replicas may be at
 *      different moments.
 *   1. A replica that is fit, has a live link of this role in this worker, has not failed this read yet, and has it right as far
 *      as is known: a product by id is not among its wrong ones; for pages and lists, it has no wrong ones at all. They take
 *      turns (or dice, READ_BALANCE=random). Those that are silent (silence.h) have none while others can serve.
 *   2. Else the primary, if it answers and has not failed this read yet. A link to it that is being opened is worth waiting for:
 *      NULL, and replicas_expected() says so.
 *   3. Else a lagging replica that has it right, of those that are hardly further behind than the nearest one; they take turns.
 *   4. Else the primary, if it has a live link and has not failed this read yet.
 *   5. Else a replica as in 3 that has it wrong: an old product is better than none.
 *   6. Else NULL.
 */
struct link *replicas_pick(struct worker *w, unsigned role, const struct request *r);
/* Whether a database that is fit and has not failed this read will get a link in this worker: the connector is at it. */
bool replicas_expected(const struct worker *w, const struct request *r);
/* How far a replica is behind the primary now, as far as known; false: not known. Any thread. */
bool replicas_lag_us(const struct upstream *up, int64_t *ret);
/* Remembers that the upstream failed this read. */
void replicas_failed(struct request *r, const struct upstream *up);

#endif
