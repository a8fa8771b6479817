/*
 * pool.c: see pool.h.
 */
#include "api/pool/pool.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/log.h"

/* ---- links ---- */

static void link_close(struct link *l)
{
	struct db *db = l->db;

	if (!db)
		return;
	if (l->live)
		atomic_fetch_sub(l->live, 1);
	if (db_fd(db) >= 0)
		epoll_ctl(l->pool->epoll_fd, EPOLL_CTL_DEL, db_fd(db), NULL);
	l->silence.silent = l->give_up = false;
	l->db = NULL; /* the callbacks that db_close() calls must not queue for it again */
	l->order.after = l->up->primary ? db_left_behind(db) : 0;
	db_close(db);
	if (!l->pool->ended)
		connector_want(&l->order);
}

struct place link_place(const struct link *l)
{
	struct place place = { 0 };

	if (!l->db || !place_read(db_then(l->db), &place))
		place.seen = POSITION_UNKNOWN;
	return place;
}

static void link_poll(struct link *l)
{
	bool out = db_wants_write(l->db);

	if (out == l->polls_out)
		return;
	struct epoll_event ev = { .events = EPOLLIN | (out ? EPOLLOUT : 0), .data.ptr = l };

	epoll_ctl(l->pool->epoll_fd, EPOLL_CTL_MOD, db_fd(l->db), &ev);
	l->polls_out = out;
}

void pool_io(struct link *l)
{
	if (!l->db) /* closed earlier in this turn */
		return;
	db_io(l->db);
	if (!db_alive(l->db))
		link_close(l);
	else
		link_poll(l);
}

void pool_settle(struct pool *p)
{
	for (size_t i = 0; i < p->nlinks; i++) {
		struct link *l = &p->links[i];

		if (l->db && (!db_alive(l->db) || l->give_up))
			link_close(l);
		else if (l->db && l->touched)
			link_poll(l);
		l->touched = false;
	}
}

void pool_tick(struct pool *p)
{
	/* Another server leads since: links to the one that did are no good. */
	const unsigned heard = atomic_load(&p->upstreams->server->changes);

	for (size_t i = 0; i < p->nlinks; i++) {
		struct link *l = &p->links[i];

		if (!l->db)
			continue;
		db_tick(l->db, p->now);
		if (!db_alive(l->db) || (l->up->primary && l->order.heard != heard))
			link_close(l);
		else if (!l->up->primary)
			silence_look(&l->silence, p->now, p->settings->read_timeout_ms);
	}
}

/* ---- inbox ---- */

void pool_wake(struct pool *p)
{
	uint64_t one = 1;

	/* EAGAIN: the counter is full, so the loop is awake. What a lost wake-up costs is one
	 * tick. */
	if (write(p->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		log_warn("cannot wake a worker", KV_S("error", strerror(errno)));
}

static void deliver(struct connector_order *o)
{
	struct pool *p = ((struct link *)o)->pool;

	pthread_mutex_lock(&p->inbox_lock);
	o->next = p->arrived;
	p->arrived = o;
	pthread_mutex_unlock(&p->inbox_lock);
	pool_wake(p);
}

static struct connector_order *inbox_take(struct pool *p)
{
	pthread_mutex_lock(&p->inbox_lock);
	struct connector_order *list = p->arrived;

	p->arrived = NULL;
	pthread_mutex_unlock(&p->inbox_lock);
	return list;
}

void pool_take(struct pool *p)
{
	uint64_t count;

	if (read(p->wake_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_warn("cannot read the inbox", KV_S("error", strerror(errno)));
	for (struct connector_order *o = inbox_take(p), *next; o; o = next) {
		struct link *l = (struct link *)o;
		struct epoll_event ev = { .events = EPOLLIN, .data.ptr = l };

		next = o->next; /* one that is closed at once is wanted again */
		l->db = o->db;
		l->polls_out = l->marked = false;
		l->mark = 0;
		if (l->live)
			atomic_fetch_add(l->live, 1);
		if (epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, db_fd(l->db), &ev) != 0)
			link_close(l);
	}
}

/* ---- life ---- */

static struct link *link_init(struct pool *p, struct upstream *up, atomic_int *live,
			      const struct connector_kind *kind)
{
	struct link *l = &p->links[p->nlinks];

	l->order = (struct connector_order){ .up = up, .kind = kind, .deliver = deliver };
	l->pool = p;
	l->up = up;
	l->live = live;
	l->number = p->nlinks++;
	return l;
}

bool pool_init(struct pool *p, unsigned number, const struct api_settings *settings,
	       struct upstreams *upstreams, const struct connector_kinds *kinds, int epoll_fd,
	       struct err *err)
{
	const struct connector_kind *writes = &kinds->writes;
	struct upstream *primary = upstreams_primary(upstreams);

	p->settings = settings;
	p->upstreams = upstreams;
	p->now = mono_now();
	/* Workers begin at different replicas. */
	p->turn = number;
	p->points_turn = upstreams->n > 1 ? number % (upstreams->n - 1) : 0;
	p->dice = (uint64_t)p->now.us * 2654435761U + number + 1;
	pthread_mutex_init(&p->inbox_lock, NULL);
	for (size_t i = 0; i < upstreams->n; i++) {
		struct upstream *up = &upstreams->list[i];
		const struct connector_kind *reads = up->primary || up->standby
							     ? &kinds->primary_reads
							     : &kinds->replica_reads;

		p->points[i] = p->scans[i] = link_init(p, up, &up->readers, reads);
		if (!up->primary)
			p->scans[i] = link_init(p, up, &up->readers, reads);
	}
	p->nreads = p->nlinks;
	for (size_t i = 0; i < POOL_WRITE_LINKS; i++)
		p->writes[i] = link_init(p, primary, &primary->writers, writes);
	for (size_t i = 0; i < POOL_WAIT_LINKS; i++)
		p->waits[i] = link_init(p, primary, NULL, writes);
	for (size_t i = 0; i < POOL_BULK_LINKS; i++)
		p->bulk[i] = link_init(p, primary, NULL, writes);

	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = p };

	p->epoll_fd = epoll_fd;
	p->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, p->wake_fd, &ev) != 0)
		return err_set(err, "cannot set up a worker's loop: %s", strerror(errno));
	return true;
}

void pool_open(struct pool *p)
{
	for (size_t i = 0; i < p->nlinks; i++)
		connector_want(&p->links[i].order);
}

void pool_close(struct pool *p)
{
	p->ended = true;
	for (size_t i = 0; i < p->nlinks; i++)
		link_close(&p->links[i]);
}

void pool_clear(struct pool *p)
{
	for (struct connector_order *o = inbox_take(p); o; o = o->next)
		db_close(o->db);
	if (p->wake_fd >= 0)
		close(p->wake_fd);
	pthread_mutex_destroy(&p->inbox_lock);
	for (size_t i = 0; i < p->upstreams->n; i++)
		wrong_view_clear(&p->wrong[i]);
}

uint64_t pool_random(struct pool *p)
{
	p->dice ^= p->dice << 13; /* xorshift64 */
	p->dice ^= p->dice >> 7;
	p->dice ^= p->dice << 17;
	return p->dice;
}
