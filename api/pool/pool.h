/*
 * pool.h: the connections of one worker to all databases.
 *
 * A link's life: wanted from the connector -> delivered into the inbox, by the connector's thread
 * -> taken into the worker's loop, and used -> dead, or given up -> closed, which answers its units
 * with DB_LOST -> wanted again. All but pool_wake() belongs to the worker's thread.
 *
 * In a turn of the loop: pool_io() and pool_take() for the events; then units are sent, which sets
 * touched; pool_settle() at the end.
 */
#ifndef PGFANOUT_API_POOL_POOL_H
#define PGFANOUT_API_POOL_POOL_H

#include "api/pool/connector.h"
#include "api/pool/silence.h"

/* To each replica: one for reads by id, which so never wait behind a page or a list, and one for
 * those. The primary has one for all reads. */
#define POOL_READ_LINKS	 2
#define POOL_READS_MAX	 (POOL_READ_LINKS * REPLICAS_MAX + 1)
#define POOL_WRITE_LINKS 2
#define POOL_WAIT_LINKS	 2 /* for writes that wait for somebody else's lock */
#define POOL_BULK_LINKS	 2

struct link {
	struct connector_order order; /* the first member */
	struct pool *pool;
	struct upstream *up;
	atomic_int *live; /* counts those of its kind, of all workers; NULL: nobody counts */
	size_t number;	  /* in pool->links; those for reads come first */
	struct db *db;	  /* NULL while the connector opens one */
	bool polls_out;	  /* the epoll entry asks for writability */
	bool touched;	  /* something was sent in this turn */
	bool give_up;	  /* closed at the end of the turn; a new one is opened */
	unsigned points_in_flight, scans_in_flight, writes_in_flight; /* units */
	unsigned slow_in_flight; /* units of reads that may take all the time there is */
	size_t rows_in_flight;	 /* of the newest unit of points or writes */
	struct mono rows_since;	 /* when it was sent */
	int64_t mark; /* of this session on the server; 0: not asked for, session_mark.sql */
	bool marked;  /* the server has confirmed it */
	struct silence silence;
};

struct pool {
	const struct api_settings *settings; /* these: immutable after the start */
	struct upstreams *upstreams;
	int epoll_fd; /* the worker's; an event's data is a link, or the pool for the inbox */
	int wake_fd;  /* eventfd */

	pthread_mutex_t inbox_lock;
	struct connector_order *arrived; /* under inbox_lock */

	struct mono now; /* of this turn; the worker sets it */
	bool ended;	 /* links are not opened again */
	struct link links[POOL_READS_MAX + POOL_WRITE_LINKS + POOL_WAIT_LINKS + POOL_BULK_LINKS];
	size_t nlinks, nreads;
	struct link *points[REPLICAS_MAX + 1], *scans[REPLICAS_MAX + 1]; /* by upstream index */
	struct link *writes[POOL_WRITE_LINKS];
	struct link *waits[POOL_WAIT_LINKS];
	struct link *bulk[POOL_BULK_LINKS];
	struct wrong_view wrong[REPLICAS_MAX + 1]; /* by upstream index */
	size_t turn, points_turn;		   /* whose turn it is: choice.c */
	uint64_t dice;
};

/* number: of the worker, from 1. A pool that could not be made is to be cleared too. */
MUST_CHECK bool pool_init(struct pool *p, unsigned number, const struct api_settings *settings,
			  struct upstreams *upstreams, const struct connector_kinds *kinds,
			  int epoll_fd, struct err *err);
void pool_open(struct pool *p);	 /* the connectors run */
void pool_close(struct pool *p); /* answers all units */
/* After the connectors have stopped. */
void pool_clear(struct pool *p);

void pool_wake(struct pool *p); /* ends the wait of the worker's loop; any thread */
void pool_take(struct pool *p); /* what has arrived */
void pool_io(struct link *l);
void pool_settle(struct pool *p);
void pool_tick(struct pool *p); /* deadlines, and who is silent */

/* Good enough to spread load and delays. */
uint64_t pool_random(struct pool *p);

/* Of a link to the primary: where its WAL was after the last unit, which was sent by db_send_then(). seen is
 * POSITION_UNKNOWN if that is not known. */
struct place link_place(const struct link *l);

static inline bool link_usable(const struct link *l)
{
	return l->db && db_alive(l->db);
}

#endif
