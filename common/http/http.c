/*
 * http.c: the server of http.h: one libmicrohttpd daemon in external epoll mode.
 *
 * Ownership: a struct http_conn lives as long as libmicrohttpd's connection (on_connection), a
 * struct http_request from the first handler call to http_on_completed; both go back to free lists
 * of the server. libmicrohttpd looks at a suspended connection again only after http_reply(),
 * http_resume() or http_wake(); http_close() resumes what is left, because libmicrohttpd ends the
 * process if it is stopped while a connection is suspended.
 *
 * A whole request that waits for its answer is not suspended: suspending and resuming cost three
 * system calls. It rests: libmicrohttpd calls the handler for it in every MHD_run(), and says each
 * time that it wants to run again at once. So while requests rest, http_wait_ms() follows
 * libmicrohttpd only after a run in which something was done.
 *
 * libmicrohttpd's own timeout counts idle time only, so a client that sends a byte a second would
 * stay for ever. The deadlines of http.h are kept here: http_run() walks the connections once a
 * second and shuts down the sockets of those that are late; libmicrohttpd then ends them itself.
 *
 * Nor does it accept anybody while its limit is reached, so that clients that say nothing would keep
 * all others out. Its limit is a little higher than ours; while there are more than ours, one makes
 * room (make_room()): one that has its last answer, else the longest idle, else the one whose body
 * has been coming longest. Requests that wait for their answer are never cut: if there are only
 * these, newcomers wait.
 */
#include "common/http/http.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/http/http_private.h"

#define SWEEP_MS	  1000
#define SWEEP_DRAINING_MS 50
#define DRAIN_ACCEPT_RUNS 32
#define CONNECTION_MEMORY 16384
#define BACKLOG		  1024
#define ACCEPTS_MAX	  10
/* Connections beyond the limit, accepted so that idle ones can be closed for them. */
#define SPARE_CONNECTIONS 16
/* So long a connection may be silent before it can be closed for a new one: clients that ask one
 * request after another are not. */
#define LEFT_ALONE_MS	  1000

/* ---- listening ---- */

/* What getaddrinfo() gives may have an address twice. */
static bool is_new(const struct addrinfo *list, const struct addrinfo *one)
{
	for (; list != one; list = list->ai_next)
		if (list->ai_addrlen == one->ai_addrlen &&
		    memcmp(list->ai_addr, one->ai_addr, one->ai_addrlen) == 0)
			return false;
	return true;
}

/* -1, with errno: not on this address. Where a name has addresses of both families, each has a
 * socket of its own; "::" alone takes IPv4 as well. */
static int listen_on(const struct addrinfo *a, bool alone, bool shared)
{
	int one = 1;
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
	    (!shared || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) == 0) &&
	    (alone || a->ai_family != AF_INET6 ||
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) == 0) &&
	    bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	int why = errno;

	if (fd >= 0)
		close(fd);
	errno = why;
	return -1;
}

void http_sockets_close(struct http_sockets *s)
{
	for (size_t i = 0; i < s->n; i++)
		close(s->fd[i]);
	s->n = 0;
}

bool http_listen(const char *host, int port, bool shared, struct http_sockets *ret, struct err *err)
{
	struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
				  .ai_family = AF_UNSPEC,
				  .ai_socktype = SOCK_STREAM };
	struct http_sockets s = { .n = 0 };
	struct addrinfo *list = NULL;
	char service[16];
	int why = 0;

	snprintf(service, sizeof(service), "%d", port);
	int rc = getaddrinfo(host, service, &hints, &list);

	if (rc != 0)
		return err_set(err, "cannot listen on host \"%s\": %s", host, gai_strerror(rc));
	for (const struct addrinfo *a = list; a && s.n < HTTP_SOCKETS; a = a->ai_next) {
		if (!is_new(list, a))
			continue;
		int fd = listen_on(a, list->ai_next == NULL, shared);

		if (fd >= 0) {
			s.fd[s.n++] = fd;
			continue;
		}
		why = errno;
		/* A family that this machine does not have is no reason to listen nowhere. */
		if (why != EAFNOSUPPORT && why != EADDRNOTAVAIL) {
			http_sockets_close(&s);
			break;
		}
	}
	freeaddrinfo(list);
	if (s.n > 0)
		*ret = s;
	else if (why == EADDRINUSE)
		err_set(err, "port %d of %s is in use by another process", port, host);
	else
		err_set(err, "cannot listen on %s port %d: %s", host, port, strerror(why));
	return s.n > 0;
}

/* ---- connections and their deadlines ---- */

static void ring_init(struct http_conn *ring)
{
	ring->next = ring->prev = ring;
}

static void ring_leave(struct http_conn *c)
{
	c->prev->next = c->next;
	c->next->prev = c->prev;
}

static void ring_join(struct http_conn *ring, struct http_conn *c)
{
	c->next = ring;
	c->prev = ring->prev;
	c->prev->next = c;
	ring->prev = c;
}

void http_conn_goes(struct http_server *s, struct http_conn *c, struct http_conn *ring)
{
	c->since = s->now;
	ring_leave(c);
	ring_join(ring, c);
}

static void on_connection(void *cls, struct MHD_Connection *mhd, void **socket_context,
			  enum MHD_ConnectionNotificationCode code)
{
	struct http_server *s = cls;
	struct http_conn *c = *socket_context;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		const union MHD_ConnectionInfo *info =
			MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);

		c = s->free_conns;
		if (c)
			s->free_conns = c->next;
		else
			c = xmalloc(sizeof(*c));
		*c = (struct http_conn){ .fd = info ? info->connect_fd : -1,
					 .heard = true,
					 .since = s->now,
					 .deadline = mono_add_ms(s->now, HTTP_FIRST_HEAD_MS) };
		ring_join(&s->idle, c);
		http_wire_add(s, c);
		s->nconns++;
		*socket_context = c;
		return;
	}
	ring_leave(c);
	http_wire_remove(s, c);
	s->nconns--;
	s->ncut -= c->cut;
	c->next = s->free_conns;
	s->free_conns = c;
	*socket_context = NULL;
}

/* Whether the client has closed its side. libmicrohttpd 0.9.75 does not see that when epoll reports
 * it together with the last bytes. Not asked once the request is whole: the client may have closed
 * its side and still wait for the answer. */
static bool has_ended(struct http_conn *c)
{
	char byte;

	if (!c->heard || c->ending ||
	    (c->request && c->request->state != HTTP_COMING && c->request->state != HTTP_EARLY))
		return false;
	ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	c->heard = n > 0;
	return n == 0;
}

void http_conn_cut(struct http_server *s, struct http_conn *c)
{
	if (c->fd < 0 || c->cut)
		return;
	shutdown(c->fd, SHUT_RDWR);
	c->ending = c->cut = true;
	s->ncut++;
	c->deadline = MONO_NEVER;
	http_conn_goes(s, c, &s->busy);
}

static void sweep(struct http_server *s)
{
	struct http_conn *const rings[] = { &s->idle, &s->ending, &s->busy };

	for (size_t i = 0; i < ARRAY_SIZE(rings); i++) {
		for (struct http_conn *c = rings[i]->next, *next; c != rings[i]; c = next) {
			next = c->next;
			if (mono_reached(c->deadline, s->now) || has_ended(c))
				http_conn_cut(s, c);
		}
	}
	s->next_sweep = mono_add_ms(s->now, s->draining ? SWEEP_DRAINING_MS : SWEEP_MS);
}

/* Whether nobody works on the body that comes. */
static bool is_coming(const struct http_conn *c)
{
	const struct http_request *r = c->request;

	return !c->cut && r && r->plan != BODY_STREAM &&
	       (r->state == HTTP_COMING || r->state == HTTP_EARLY);
}

static bool is_old(const struct http_server *s, const struct http_conn *c)
{
	return mono_reached(mono_add_ms(c->since, LEFT_ALONE_MS), s->now);
}

static struct http_conn *who_goes(struct http_server *s)
{
	if (s->ending.next != &s->ending)
		return s->ending.next;
	if (s->idle.next != &s->idle && is_old(s, s->idle.next))
		return s->idle.next;
	for (struct http_conn *c = s->busy.next; c != &s->busy && is_old(s, c); c = c->next)
		if (is_coming(c))
			return c;
	return NULL;
}

static void make_room(struct http_server *s)
{
	struct http_conn *c;

	while (s->nconns - s->ncut > s->max_conns && (c = who_goes(s))) {
		http_conn_cut(s, c);
		s->resumed = true; /* libmicrohttpd is to see it at once */
	}
}

/* Paths and queries are compared as they were sent: "%2F" is no slash and "%00" ends no name. */
static size_t on_unescape(void *cls, struct MHD_Connection *mhd, char *s)
{
	(void)cls;
	(void)mhd;
	return strlen(s);
}

static void on_panic(void *cls, const char *file, unsigned line, const char *reason)
{
	(void)cls;
	fatal("libmicrohttpd gave up at %s:%u: %s", file, line,
	      reason ? reason : "no reason given");
}

/* ---- server ---- */

/* libmicrohttpd listens on one socket only. Of a host name with several addresses the others are
 * accepted from here and handed over; then the loop's descriptor is one around them all. */
static bool watch(struct http_server *s, int mhd_fd)
{
	struct epoll_event ev = { .events = EPOLLIN };

	s->epoll_fd = mhd_fd;
	if (s->more.n < 2)
		return true;
	s->outer_fd = epoll_create1(EPOLL_CLOEXEC);
	if (s->outer_fd < 0 || epoll_ctl(s->outer_fd, EPOLL_CTL_ADD, mhd_fd, &ev) != 0)
		return false;
	for (size_t i = 1; i < s->more.n; i++)
		if (epoll_ctl(s->outer_fd, EPOLL_CTL_ADD, s->more.fd[i], &ev) != 0)
			return false;
	s->epoll_fd = s->outer_fd;
	return true;
}

static void close_more(struct http_server *s)
{
	for (size_t i = 1; i < s->more.n; i++)
		close(s->more.fd[i]);
	s->more.n = 0;
}

/* As many at a time as libmicrohttpd takes, and none beyond its limit: it would close them. */
static void accept_more(struct http_server *s)
{
	for (size_t i = 1; i < s->more.n; i++) {
		for (int n = 0; n < ACCEPTS_MAX && s->nconns < s->max_conns + SPARE_CONNECTIONS;
		     n++) {
			struct sockaddr_storage address;
			socklen_t len = sizeof(address);
			int fd = accept4(s->more.fd[i], (struct sockaddr *)&address, &len,
					 SOCK_NONBLOCK | SOCK_CLOEXEC);

			if (fd < 0)
				break;
			MHD_add_connection(s->daemon, fd, (struct sockaddr *)&address, len);
		}
	}
}

struct http_server *http_open(const struct http_sockets *sockets, const struct http_options *opt,
			      const struct http_callbacks *cb, void *arg, struct err *err)
{
	struct http_server *s = xcalloc(1, sizeof(*s));

	s->cb = cb;
	s->arg = arg;
	s->more = *sockets;
	s->more.fd[0] = -1; /* libmicrohttpd's */
	s->hosts = opt->hosts;
	s->max_conns = opt->max_connections;
	ring_init(&s->idle);
	ring_init(&s->ending);
	ring_init(&s->busy);
	s->now = mono_now();
	MHD_set_panic_func(on_panic, NULL);
	s->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
				     http_on_request, s, MHD_OPTION_LISTEN_SOCKET, sockets->fd[0],
				     MHD_OPTION_CONNECTION_LIMIT,
				     opt->max_connections + SPARE_CONNECTIONS,
				     MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
				     MHD_OPTION_STRICT_FOR_CLIENT, -1, MHD_OPTION_UNESCAPE_CALLBACK,
				     on_unescape, NULL, MHD_OPTION_NOTIFY_COMPLETED,
				     http_on_completed, s, MHD_OPTION_NOTIFY_CONNECTION,
				     on_connection, s, MHD_OPTION_END);
	const union MHD_DaemonInfo *info =
		s->daemon ? MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;

	if (info && watch(s, info->epoll_fd))
		return s;
	err_set(err, "the HTTP server did not start: %s", strerror(errno));
	if (s->daemon)
		MHD_stop_daemon(s->daemon);
	else
		close(sockets->fd[0]);
	close_more(s);
	if (s->outer_fd > 0)
		close(s->outer_fd);
	free(s);
	return NULL;
}

const char *http_library_version(void)
{
	return MHD_get_version();
}

int http_fd(const struct http_server *s)
{
	return s->epoll_fd;
}

int http_wait_ms(struct http_server *s)
{
	MHD_UNSIGNED_LONG_LONG ms;

	if (s->resumed)
		return 0;
	if ((s->moved || s->resting == 0) && MHD_get_timeout(s->daemon, &ms) == MHD_YES &&
	    ms < SWEEP_MS)
		return (int)ms;
	return SWEEP_MS;
}

void http_run(struct http_server *s, struct mono now)
{
	s->now = now;
	s->resumed = s->moved = false;
	accept_more(s);
	http_wire_run(s);
	http_wire_settle(s);
	make_room(s);
	if (mono_reached(s->next_sweep, now))
		sweep(s);
}

void http_drain(struct http_server *s)
{
	if (s->draining)
		return;
	s->draining = true;
	/* What the kernel has accepted for us already; libmicrohttpd takes about ten of them in a
	 * run. */
	for (int i = 0; i < DRAIN_ACCEPT_RUNS; i++) {
		accept_more(s);
		http_wire_run(s);
	}
	close_more(s);
	MHD_socket fd = MHD_quiesce_daemon(s->daemon);

	if (fd != MHD_INVALID_SOCKET)
		close(fd);
	for (struct http_conn *c = s->idle.next; c != &s->idle; c = c->next)
		http_within(c, s->now, HTTP_DRAIN_IDLE_MS);
	for (struct http_conn *c = s->ending.next; c != &s->ending; c = c->next)
		http_within(c, s->now, HTTP_DRAIN_IDLE_MS);
	s->next_sweep = s->now;
}

unsigned http_connections(const struct http_server *s)
{
	return s->nconns;
}

void http_close(struct http_server *s)
{
	if (!s)
		return;
	http_drain(s);
	s->closing = true;
	for (struct http_conn *c = s->busy.next; c != &s->busy; c = c->next) {
		struct http_request *r = c->request;

		if (!r)
			continue;
		if (r->state == HTTP_RESTING || r->state == HTTP_HELD)
			http_reply_error(
				r, 503, NULL,
				"the server is stopping: a change may or may not have been made");
		http_move(r, HTTP_ON_WAKE);
	}
	/* Queues those answers and takes what was resumed off the list of the suspended, then
	 * sends. */
	for (int i = 0; i < 2; i++)
		http_wire_run(s);
	http_wire_stop(s);
	if (s->outer_fd > 0)
		close(s->outer_fd);
	free(s->by_fd);
	while (s->free_conns) {
		struct http_conn *c = s->free_conns;

		s->free_conns = c->next;
		free(c);
	}
	while (s->free_requests) {
		struct http_request *r = s->free_requests;

		s->free_requests = r->next_free;
		strbuf_clear(&r->body);
		strbuf_clear(&r->out);
		strbuf_clear(&r->header_text);
		free(r);
	}
	free(s);
}
