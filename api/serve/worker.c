/*
 * worker.c: see worker.h for the turn of the loop.
 *
 * The end: worker_stop() -> draining: no new connections, requests under way are finished, every
 * answer closes its connection -> none is left, or DRAIN_TIMEOUT_MS is over -> the HTTP server and
 * the links are closed.
 */
#include "api/serve/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "api/measures.h"
#include "api/serve/front.h"
#include "api/serve/request.h"
#include "common/base/log.h"

#define TICK_BUSY_MS 20
#define TICK_IDLE_MS 200
#define EVENTS	     64

struct worker {
	unsigned number; /* these: immutable after the start */
	struct service *service;
	int epoll_fd; /* an event's data: this for the HTTP server, else what pool.h says */
	pthread_t thread;
	atomic_bool stopping;

	/* The rest belongs to the thread, but what pool.h says. */
	struct http_server *http;
	struct pool pool;
	struct requests requests;
	struct mono next_tick;
	size_t seen_in_flight, seen_connections; /* as last added to the metrics */
};

/* ---- loop ---- */

static void tick(struct worker *w)
{
	if (!mono_reached(w->next_tick, w->pool.now))
		return;
	w->next_tick = mono_add_ms(w->pool.now, TICK_BUSY_MS);
	pool_tick(&w->pool);
	requests_expire(&w->requests);
	w->service->calls->tick(w->requests.store);

	size_t connections = http_connections(w->http);

	metric_add(M_CONNECTIONS, 0, (int64_t)connections - (int64_t)w->seen_connections);
	metric_add(M_IN_FLIGHT, 0, (int64_t)w->requests.in_flight - (int64_t)w->seen_in_flight);
	w->seen_connections = connections;
	w->seen_in_flight = w->requests.in_flight;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	const struct store_calls *calls = w->service->calls;
	struct store *store = w->requests.store;
	struct epoll_event ev[EVENTS];
	struct mono end = MONO_NEVER;
	char name[32];

	snprintf(name, sizeof(name), "worker-%u", w->number);
	log_thread(name);
	for (;;) {
		struct mono now = mono_now();
		struct mono next = calls->next(store, mono_add_ms(now, TICK_BUSY_MS));
		int most = w->requests.in_flight > 0 ? TICK_BUSY_MS : TICK_IDLE_MS;
		int wait = mono_until_ms(next, now, most), http_wait = http_wait_ms(w->http);
		int n = epoll_wait(w->epoll_fd, ev, EVENTS, wait < http_wait ? wait : http_wait);

		w->pool.now = mono_now();
		for (int i = 0; i < n; i++) {
			if (ev[i].data.ptr == &w->pool)
				pool_take(&w->pool);
			else if (ev[i].data.ptr != w)
				pool_io(ev[i].data.ptr);
		}
		http_run(w->http, w->pool.now);
		calls->dispatch(store);
		pool_settle(&w->pool);
		tick(w);
		if (!atomic_load_explicit(&w->stopping, memory_order_relaxed))
			continue;
		if (mono_is_never(end)) {
			end = mono_add_ms(w->pool.now, w->service->settings->drain_timeout_ms);
			http_drain(w->http);
		}
		if (http_connections(w->http) == 0 || mono_reached(end, w->pool.now))
			break;
	}
	if (http_connections(w->http) > 0)
		log_warn("stopping with requests under way: they are cut off",
			 KV_I("connections", (int64_t)http_connections(w->http)));
	http_close(w->http);
	w->http = NULL;
	pool_close(&w->pool);
	return NULL;
}

/* ---- life ---- */

struct worker *worker_new(unsigned number, struct service *service,
			  const struct http_sockets *sockets, struct err *err)
{
	const struct api_settings *settings = service->settings;
	struct worker *w = xcalloc(1, sizeof(*w));
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = w };

	w->number = number;
	w->service = service;
	w->requests.service = service;
	w->requests.pool = &w->pool;
	w->requests.max_in_flight = api_settings_share(settings, settings->max_in_flight);
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	bool ok = pool_init(&w->pool, number, settings, &service->upstreams,
			    service->calls->kinds(), w->epoll_fd, err);

	w->requests.store = service->calls->new (service, &w->pool);
	struct http_options opt = {
		.max_connections = (unsigned)api_settings_share(settings,
								settings->max_connections),
		.hosts = &service->hosts,
	};

	w->http = http_open(sockets, &opt, &front_callbacks, &w->requests, err);
	if (ok && w->http && epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, http_fd(w->http), &ev) != 0)
		ok = err_set(err, "cannot set up a worker's loop: %s", strerror(errno));
	if (ok && w->http)
		return w;
	worker_free(w);
	return NULL;
}

bool worker_start(struct worker *w, struct err *err)
{
	pool_open(&w->pool);
	int rc = pthread_create(&w->thread, NULL, worker_main, w);

	return rc == 0 || err_set(err, "cannot start a worker thread: %s", strerror(rc));
}

void worker_stop(struct worker *w)
{
	atomic_store(&w->stopping, true);
	pool_wake(&w->pool);
}

void worker_join(struct worker *w)
{
	pthread_join(w->thread, NULL);
}

void worker_free(struct worker *w)
{
	if (!w)
		return;
	http_close(w->http);
	pool_clear(&w->pool);
	w->service->calls->free(w->requests.store);
	requests_clear(&w->requests);
	if (w->epoll_fd >= 0)
		close(w->epoll_fd);
	free(w);
}
