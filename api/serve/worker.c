/*
 * worker.c: see worker.h for the turn of the loop.
 *
 * A link's life in here: wanted from the connector -> arrived in the inbox (any thread, under its lock) -> taken into the
 * loop -> dead or given up -> closed, which answers its units with DB_LOST, and wanted again.
 *
 * The end: worker_stop() -> draining: no new connections, requests under way are finished, every answer closes its
 * connection -> none left, or DRAIN_TIMEOUT_MS over -> the HTTP server and the links are closed.
 */
#include "api/serve/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "api/pool/connector.h"
#include "api/measures.h"
#include "api/serve/front.h"
#include "api/serve/service.h"
#include "api/pool/silence.h"
#include "common/base/log.h"

#define TICK_BUSY_MS 20
#define TICK_IDLE_MS 200
#define EVENTS	     64

/* ---- links ---- */

static void link_want(struct link *l)
{
	l->give_up = false;
	if (!l->worker->ended)
		connector_want(l);
}

static void link_count(struct link *l, int delta)
{
	if (l->roles & (LINK_POINT | LINK_SCAN))
		atomic_fetch_add(&l->up->readers, delta);
	if (l->roles & LINK_WRITE)
		atomic_fetch_add(&l->up->writers, delta);
}

static void link_close(struct link *l)
{
	struct db *db = l->db;

	if (!db)
		return;
	link_count(l, -1);
	if (db_fd(db) >= 0)
		epoll_ctl(l->worker->epoll_fd, EPOLL_CTL_DEL, db_fd(db), NULL);
	l->silent = false;
	l->db = NULL; /* so that nothing is queued for it again from the callbacks */
	db_close(db);
	read_reroute(l);
	link_want(l);
}

static void link_poll(struct link *l)
{
	bool out = db_wants_write(l->db);

	if (out == l->polls_out)
		return;
	struct epoll_event ev = { .events = EPOLLIN | (out ? EPOLLOUT : 0), .data.ptr = l };

	epoll_ctl(l->worker->epoll_fd, EPOLL_CTL_MOD, db_fd(l->db), &ev);
	l->polls_out = out;
}

static void link_io(struct link *l)
{
	if (!l->db) /* closed earlier in this turn */
		return;
	db_io(l->db);
	if (!db_alive(l->db))
		link_close(l);
	else
		link_poll(l);
}

void worker_deliver(struct link *l, struct db *db)
{
	struct worker *w = l->worker;
	uint64_t one = 1;

	pthread_mutex_lock(&w->inbox_lock);
	l->arrived = db;
	l->next_arrived = w->arrived;
	w->arrived = l;
	pthread_mutex_unlock(&w->inbox_lock);
	/* Full is impossible, interrupted too: it is non-blocking. A lost wake-up costs one idle tick. */
	if (write(w->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		log_warn("cannot wake a worker", KV_S("error", strerror(errno)));
}

static struct link *inbox_take(struct worker *w)
{
	pthread_mutex_lock(&w->inbox_lock);
	struct link *list = w->arrived;

	w->arrived = NULL;
	pthread_mutex_unlock(&w->inbox_lock);
	return list;
}

static void take_arrived(struct worker *w)
{
	uint64_t count;

	if (read(w->wake_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_warn("cannot read the inbox", KV_S("error", strerror(errno)));
	for (struct link *l = inbox_take(w); l; l = l->next_arrived) {
		struct epoll_event ev = { .events = EPOLLIN, .data.ptr = l };

		l->db = l->arrived;
		l->arrived = NULL;
		l->polls_out = false;
		l->points_in_flight = l->scans_in_flight = l->writes_in_flight = 0;
		link_count(l, 1);
		if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, db_fd(l->db), &ev) != 0)
			link_close(l);
	}
}

/* ---- loop ---- */

static void dispatch(struct worker *w)
{
	for (size_t i = 0; i < w->nlinks; i++)
		if (w->links[i].points.head || w->links[i].scans.head)
			read_dispatch(&w->links[i]);
	write_dispatch(w);
	import_dispatch(w);
	for (size_t i = 0; i < w->nlinks; i++) {
		struct link *l = &w->links[i];

		if (l->db && (!db_alive(l->db) || l->give_up))
			link_close(l);
		else if (l->db && l->touched)
			link_poll(l);
		l->touched = false;
	}
}

static void tick(struct worker *w)
{
	if (!mono_reached(w->next_tick, w->now))
		return;
	w->next_tick = mono_add_ms(w->now, TICK_BUSY_MS);
	for (size_t i = 0; i < w->nlinks; i++) {
		struct link *l = &w->links[i];

		if (!l->db)
			continue;
		db_tick(l->db, w->now);
		if (!db_alive(l->db))
			link_close(l);
		else if (silence_look(l))
			read_hedge(l);
	}
	request_expire(w);
	read_tick(w);
	write_tick(w);
	import_tick(w);
	list_tick(w);

	unsigned connections = http_connections(w->http);

	metric_add(M_CONNECTIONS, 0, (int64_t)connections - (int64_t)w->seen_connections);
	metric_add(M_IN_FLIGHT, 0, (int64_t)w->in_flight - (int64_t)w->seen_in_flight);
	w->seen_connections = connections;
	w->seen_in_flight = w->in_flight;
}

static bool busy(const struct worker *w)
{
	return w->in_flight > 0 || w->lists.n > 0 || w->imports.n > 0;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct epoll_event ev[EVENTS];
	struct mono end = MONO_NEVER;
	char name[32];

	snprintf(name, sizeof(name), "worker-%u", w->number);
	log_thread(name);
	for (;;) {
		int wait = http_wait_ms(w->http);
		int mine = busy(w) ? TICK_BUSY_MS : TICK_IDLE_MS;

		mine = mono_until_ms(w->writing.gather_until, mono_now(), mine);
		int n = epoll_wait(w->epoll_fd, ev, EVENTS, wait < mine ? wait : mine);

		w->now = mono_now();
		for (int i = 0; i < n; i++) {
			if (ev[i].data.ptr == &w->wake_fd)
				take_arrived(w);
			else if (ev[i].data.ptr != w)
				link_io(ev[i].data.ptr);
		}
		http_run(w->http, w->now);
		dispatch(w);
		tick(w);
		if (!atomic_load_explicit(&w->stopping, memory_order_relaxed))
			continue;
		if (mono_is_never(end)) {
			end = mono_add_ms(w->now, w->settings->drain_timeout_ms);
			http_drain(w->http);
		}
		if (http_connections(w->http) == 0 || mono_reached(end, w->now))
			break;
	}
	if (http_connections(w->http) > 0)
		log_warn("stopping with requests under way: they are cut off",
			 KV_I("connections", (int64_t)http_connections(w->http)));
	http_close(w->http);
	w->ended = true;
	for (size_t i = 0; i < w->nlinks; i++)
		link_close(&w->links[i]);
	return NULL;
}

/* ---- life ---- */

static bool watch_fd(struct worker *w, int fd, void *ptr, struct err *err)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = ptr };

	if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &ev) == 0)
		return true;
	return err_set(err, "cannot set up a worker's loop: %s", strerror(errno));
}

static struct link *link_init(struct worker *w, struct upstream *up, unsigned roles)
{
	struct link *l = &w->links[w->nlinks++];

	l->worker = w;
	l->up = up;
	l->roles = roles;
	return l;
}

static void links_init(struct worker *w)
{
	size_t replicas = w->upstreams->n - 1;
	struct upstream *primary = upstreams_primary(w->upstreams);

	w->links = xcalloc(WORKER_READ_LINKS * replicas + 1 + WORKER_WRITE_LINKS + IMPORT_BATCHES,
			   sizeof(*w->links));
	w->points = xcalloc(replicas + 1, sizeof(struct link *));
	w->scans = xcalloc(replicas + 1, sizeof(struct link *));
	w->wrong = xcalloc(replicas + 1, sizeof(*w->wrong));
	for (size_t i = 0; i < replicas; i++) {
		w->points[i] = link_init(w, &w->upstreams->list[i], LINK_POINT);
		w->scans[i] = link_init(w, &w->upstreams->list[i], LINK_SCAN);
	}
	w->points[replicas] = w->scans[replicas] = link_init(w, primary, LINK_POINT | LINK_SCAN);
	for (size_t i = 0; i < WORKER_WRITE_LINKS; i++)
		w->writes[i] = link_init(w, primary, LINK_WRITE);
	for (size_t i = 0; i < IMPORT_BATCHES; i++)
		w->bulk[i] = link_init(w, primary, LINK_BULK);
}

static size_t share(int64_t total, int64_t workers)
{
	return total < workers ? 1 : (size_t)(total / workers);
}

struct worker *worker_new(unsigned number, const struct api_settings *settings,
			  struct service *service, struct upstreams *upstreams, int listen_fd,
			  struct err *err)
{
	struct worker *w = xcalloc(1, sizeof(*w));

	w->number = number;
	w->settings = settings;
	w->service = service;
	w->upstreams = upstreams;
	w->max_in_flight = share(settings->max_in_flight, settings->workers);
	w->max_lists = w->max_imports = share(settings->max_lists, settings->workers);
	w->turn = number; /* workers begin at different replicas */
	w->dice = (uint64_t)mono_now().us * 2654435761U + number + 1;
	w->now = mono_now();
	pthread_mutex_init(&w->inbox_lock, NULL);
	read_batches_init(&w->reads);
	write_batches_init(&w->writing);
	imports_init(&w->imports);
	links_init(w);
	w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	w->http = http_open(listen_fd,
			    (unsigned)share(settings->max_connections, settings->workers),
			    &front_callbacks, w, err);
	if (!w->http || !watch_fd(w, w->wake_fd, &w->wake_fd, err) ||
	    !watch_fd(w, http_fd(w->http), w, err)) {
		worker_free(w);
		return NULL;
	}
	return w;
}

bool worker_start(struct worker *w, struct err *err)
{
	for (size_t i = 0; i < w->nlinks; i++)
		connector_want(&w->links[i]);
	int rc = pthread_create(&w->thread, NULL, worker_main, w);

	if (rc != 0)
		return err_set(err, "cannot start a worker thread: %s", strerror(rc));
	w->started = true;
	return true;
}

void worker_stop(struct worker *w)
{
	uint64_t one = 1;

	atomic_store(&w->stopping, true);
	if (write(w->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		log_warn("cannot wake a worker", KV_S("error", strerror(errno)));
}

void worker_join(struct worker *w)
{
	if (w->started)
		pthread_join(w->thread, NULL);
	else
		http_close(w->http);
	w->http = NULL;
	w->started = false;
}

void worker_free(struct worker *w)
{
	if (!w)
		return;
	if (w->http)
		worker_join(w);
	for (struct link *l = inbox_take(w); l; l = l->next_arrived)
		db_close(l->arrived);
	read_batches_clear(&w->reads);
	write_batches_clear(&w->writing);
	imports_clear(&w->imports);
	while (w->free_requests) {
		struct request *r = w->free_requests;

		w->free_requests = r->next;
		product_input_clear(&r->in);
		free(r);
	}
	if (w->epoll_fd >= 0)
		close(w->epoll_fd);
	if (w->wake_fd >= 0)
		close(w->wake_fd);
	pthread_mutex_destroy(&w->inbox_lock);
	free(w->links);
	free(w->points);
	free(w->scans);
	for (size_t i = 0; i < w->upstreams->n; i++)
		wrong_view_clear(&w->wrong[i]);
	free(w->wrong);
	free(w);
}
