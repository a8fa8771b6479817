/*
 * ops.c: see ops.h. A thread with its own small loop around common/http/http.h.
 *
 * The thread owns the server; ops_stop() writes to the eventfd, the thread closes the server and
 * ends. Routes are asked for answers in this thread alone.
 */
#include "common/http/ops.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/http/http.h"
#include "common/base/log.h"

#define CONNECTIONS_MAX 64

struct ops_server {
	const struct ops_route *routes; /* these four: immutable after the start */
	size_t n;
	void *arg;
	struct http_hosts hosts;
	struct http_server *http; /* the thread's */
	int stop_fd;
	pthread_t thread;
};

/* Everything is known from the head; a body is thrown away. */
static void on_head(void *arg, struct http_request *r)
{
	struct ops_server *s = arg;
	size_t i = 0;

	while (i < s->n && strcmp(s->routes[i].path, http_request_path(r)) != 0)
		i++;
	if (i == s->n) {
		http_reply_error(r, 404, NULL, "there is nothing under this path");
	} else if (http_request_method(r) != HTTP_GET) {
		http_header(r, "Allow", "GET, HEAD");
		http_reply_error(r, 405, NULL, "only GET and HEAD are allowed here");
	} else {
		http_content_type(r, s->routes[i].content_type);
		http_reply(r, s->routes[i].answer(s->arg, http_out(r)));
	}
}

/* It has been answered. */
static void on_whole(void *arg, struct http_request *r)
{
	(void)arg;
	(void)r;
}

static void on_gone(void *arg, struct http_request *r)
{
	(void)arg;
	(void)r;
}

static const struct http_callbacks callbacks = { .head = on_head,
						 .whole = on_whole,
						 .gone = on_gone };

static void *ops_main(void *arg)
{
	struct ops_server *s = arg;
	struct pollfd fds[2] = { { .fd = http_fd(s->http), .events = POLLIN },
				 { .fd = s->stop_fd, .events = POLLIN } };

	log_thread("ops");
	while (!(fds[1].revents & POLLIN)) {
		poll(fds, ARRAY_SIZE(fds), http_wait_ms(s->http));
		http_run(s->http, mono_now());
	}
	http_close(s->http);
	return NULL;
}

struct ops_server *ops_start(const char *host, int port, const char *allowed_hosts,
			     const struct ops_route *routes, size_t n, void *arg, struct err *err)
{
	struct http_sockets sockets;

	if (!http_listen(host, port, false, &sockets, err))
		return NULL;
	struct ops_server *s = xcalloc(1, sizeof(*s));

	s->routes = routes;
	s->n = n;
	s->arg = arg;
	if (http_hosts_init(&s->hosts, host, allowed_hosts, err))
		s->http = http_open(&sockets,
				    &(struct http_options){ .max_connections = CONNECTIONS_MAX,
							    .hosts = &s->hosts },
				    &callbacks, s, err);
	else
		http_sockets_close(&sockets);
	s->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->http && s->stop_fd >= 0) {
		int rc = pthread_create(&s->thread, NULL, ops_main, s);

		if (rc == 0)
			return s;
		err_set(err, "cannot start the thread of the operations server: %s", strerror(rc));
	} else if (s->http) {
		err_set(err, "cannot make an eventfd for the operations server");
	}
	http_close(s->http);
	if (s->stop_fd >= 0)
		close(s->stop_fd);
	free(s);
	return NULL;
}

void ops_stop(struct ops_server *s)
{
	uint64_t one = 1;

	if (!s)
		return;
	if (write(s->stop_fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
		fatal("cannot tell the operations server to stop");
	pthread_join(s->thread, NULL);
	close(s->stop_fd);
	free(s);
}
