/*
 * http.c: see http.h. One libmicrohttpd daemon in external epoll mode.
 *
 * Ownership: a struct http_conn lives as long as libmicrohttpd's connection (on_connection), a struct http_request from the
 * first handler call to on_completed; both go back to free lists of the server. A request that rests (suspended) is in
 * libmicrohttpd's hands only through http_reply(), http_resume() and http_wake(), which resume it; http_close() resumes
 * what is left, because libmicrohttpd ends the process if a suspended connection is there when it stops.
 *
 * libmicrohttpd's own timeout counts idle time only, so a client that sends a byte a second would stay for ever. The
 * deadlines of http.h are kept here: http_run() walks the connections once a second and shuts down the sockets of those
 * that are late; libmicrohttpd then ends them itself.
 */
#include "common/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/jscan.h"

#define FIRST_HEAD_MS 30000
#define BODY_MS 30000
#define IDLE_MS 60000
#define PROGRESS_MS 60000
#define SENDING_MS 60000
#define SWEEP_MS 1000
#define CONNECTION_MEMORY 16384
#define BACKLOG 1024
#define HEADERS_MAX 4
/* A body that nobody wants is read up to this size so that the connection can be kept and the client sees the answer. */
#define DISCARD_MAX ((size_t)1 << 20)
/* After a streamed body was answered early: the client hears it when it has sent the rest, within reason. */
#define DISCARD_STREAM_MAX ((size_t)1 << 30)

enum body_plan { BODY_DISCARD, BODY_COLLECT, BODY_STREAM };

struct http_conn {
	struct http_conn *next, *prev;
	struct http_request *request; /* NULL between requests */
	struct mono deadline;	      /* 0: none, the request rests */
	int fd;
};

struct http_request {
	struct http_server *server;
	struct http_conn *conn;
	struct MHD_Connection *mhd;
	struct http_request *next_free;
	void *user;
	const char *path;
	enum http_method method;
	bool is_head;
	struct http_head head;
	enum body_plan plan;
	size_t body_max, discarded, discard_max;
	bool whole, suspended, replied, queued;
	struct strbuf body, out;
	int status;
	const char *content_type;
	size_t nheaders;
	struct {
		const char *name;
		char value[HTTP_VALUE_MAX + 1];
	} header[HEADERS_MAX];
	http_reader reader;
	void *reader_arg;
};

struct http_server {
	struct MHD_Daemon *daemon;
	const struct http_callbacks *cb;
	void *arg;
	int epoll_fd, listen_fd;
	bool draining, closing;
	bool resumed; /* since the last MHD_run(), which MHD_get_timeout() does not know */
	struct mono now, next_sweep;
	struct http_conn conns; /* ring */
	unsigned nconns;
	struct http_conn *free_conns;
	struct http_request *free_requests;
};

/* ---- listening ---- */

int http_listen(const char *host, int port, bool shared, struct err *err)
{
	struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
				  .ai_family = AF_UNSPEC,
				  .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;
	char service[16];
	int fd = -1;
	int one = 1;

	snprintf(service, sizeof(service), "%d", port);
	int rc = getaddrinfo(host, service, &hints, &list);

	if (rc != 0) {
		err_set(err, "cannot listen on host \"%s\": %s", host, gai_strerror(rc));
		return -1;
	}
	fd = socket(list->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
	    (!shared || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) == 0) &&
	    bind(fd, list->ai_addr, list->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0) {
		freeaddrinfo(list);
		return fd;
	}
	if (errno == EADDRINUSE)
		err_set(err, "port %d of %s is in use by another process", port, host);
	else
		err_set(err, "cannot listen on %s port %d: %s", host, port, strerror(errno));
	if (fd >= 0)
		close(fd);
	freeaddrinfo(list);
	return -1;
}

/* ---- connections and their deadlines ---- */

static void conn_within(struct http_conn *c, int64_t ms)
{
	c->deadline = mono_add_ms(c->request ? c->request->server->now : mono_now(), ms);
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
					 .next = s->conns.next,
					 .prev = &s->conns,
					 .deadline = mono_add_ms(s->now, FIRST_HEAD_MS) };
		c->next->prev = c;
		c->prev->next = c;
		s->nconns++;
		*socket_context = c;
		return;
	}
	c->prev->next = c->next;
	c->next->prev = c->prev;
	s->nconns--;
	c->next = s->free_conns;
	s->free_conns = c;
	*socket_context = NULL;
}

static void sweep(struct http_server *s)
{
	for (struct http_conn *c = s->conns.next; c != &s->conns; c = c->next)
		if (c->deadline.us != 0 && mono_reached(c->deadline, s->now) && c->fd >= 0) {
			shutdown(c->fd, SHUT_RDWR);
			c->deadline.us = 0;
		}
	s->next_sweep = mono_add_ms(s->now, SWEEP_MS);
}

/* ---- requests ---- */

static enum http_method read_method(const char *m, bool *ret_head)
{
	*ret_head = strcmp(m, "HEAD") == 0;
	if (*ret_head || strcmp(m, "GET") == 0)
		return HTTP_GET;
	if (strcmp(m, "POST") == 0)
		return HTTP_POST;
	if (strcmp(m, "PUT") == 0)
		return HTTP_PUT;
	if (strcmp(m, "PATCH") == 0)
		return HTTP_PATCH;
	if (strcmp(m, "DELETE") == 0)
		return HTTP_DELETE;
	return HTTP_OTHER;
}

static struct http_request *request_new(struct http_server *s, struct MHD_Connection *mhd)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct http_request *r = s->free_requests;
	struct strbuf body = STRBUF_INIT;
	struct strbuf out = STRBUF_INIT;

	if (r) {
		s->free_requests = r->next_free;
		body = r->body;
		out = r->out;
	} else {
		r = xmalloc(sizeof(*r));
	}
	/* The header values need no clearing: nheaders says which are set. */
	memset(r, 0, offsetof(struct http_request, header));
	r->server = s;
	r->mhd = mhd;
	r->conn = info ? info->socket_context : NULL;
	r->body = body;
	r->out = out;
	r->content_type = "application/json";
	r->reader = NULL;
	if (r->conn)
		r->conn->request = r;
	return r;
}

static void recycle(struct strbuf *b, size_t keep)
{
	if (b->cap > keep)
		strbuf_clear(b);
	else
		strbuf_reset(b);
}

static void on_completed(void *cls, struct MHD_Connection *mhd, void **con_cls,
			 enum MHD_RequestTerminationCode code)
{
	struct http_server *s = cls;
	struct http_request *r = *con_cls;

	(void)mhd;
	(void)code;
	if (!r)
		return;
	*con_cls = NULL;
	s->cb->gone(s->arg, r);
	if (r->conn) {
		conn_within(r->conn, IDLE_MS);
		r->conn->request = NULL;
	}
	recycle(&r->body, 16384);
	recycle(&r->out, 65536);
	r->next_free = s->free_requests;
	s->free_requests = r;
}

static enum MHD_Result on_header(void *cls, enum MHD_ValueKind kind, const char *key, size_t key_len,
				 const char *value, size_t value_len)
{
	(void)kind;
	http_head_add(cls, key, key_len, value ? value : "", value ? value_len : 0);
	return MHD_YES;
}

static ssize_t on_read(void *cls, uint64_t pos, char *buf, size_t max)
{
	struct http_request *r = cls;
	ssize_t n = r->reader(r->reader_arg, buf, max);

	(void)pos;
	if (n > 0) {
		conn_within(r->conn, PROGRESS_MS);
		return n;
	}
	if (n == 0) {
		r->suspended = true;
		r->conn->deadline.us = 0;
		MHD_suspend_connection(r->mhd);
		return 0;
	}
	return n == HTTP_STREAM_END ? MHD_CONTENT_READER_END_OF_STREAM :
				      MHD_CONTENT_READER_END_WITH_ERROR;
}

/* Hands the answer to libmicrohttpd. The body is borrowed: out lives until on_completed. */
static enum MHD_Result queue_answer(struct http_request *r)
{
	struct MHD_Response *response =
		r->reader ? MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 8192, on_read, r, NULL) :
			    MHD_create_response_from_buffer(r->out.len, r->out.data,
							    MHD_RESPMEM_PERSISTENT);

	if (!response)
		return MHD_NO;
	bool ok = MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
					  r->content_type) == MHD_YES;

	for (size_t i = 0; i < r->nheaders; i++)
		ok = ok && MHD_add_response_header(response, r->header[i].name,
						   r->header[i].value) == MHD_YES;
	if (r->server->draining)
		ok = ok && MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close") ==
				   MHD_YES;
	r->queued = true;
	conn_within(r->conn, SENDING_MS);
	enum MHD_Result result =
		ok ? MHD_queue_response(r->mhd, (unsigned)r->status, response) : MHD_NO;

	MHD_destroy_response(response);
	return result;
}

static void rest(struct http_request *r)
{
	r->suspended = true;
	r->conn->deadline.us = 0;
	MHD_suspend_connection(r->mhd);
}

static void unrest(struct http_request *r)
{
	if (!r->suspended)
		return;
	r->suspended = false;
	r->server->resumed = true;
	conn_within(r->conn, PROGRESS_MS);
	MHD_resume_connection(r->mhd);
}

/*
 * The first call, when the head is here. An answer queued now makes libmicrohttpd close the connection, which is right for
 * a malformed head (what follows it cannot be trusted) and for a body too large to be read in passing; every other answer
 * waits for the last call, which comes at once if there is no body.
 */
static enum MHD_Result first_call(struct http_server *s, struct MHD_Connection *mhd, const char *url,
				  const char *method, const char *version, void **con_cls)
{
	struct http_request *r = request_new(s, mhd);

	*con_cls = r;
	if (!r->conn)
		return MHD_NO;
	conn_within(r->conn, BODY_MS);
	r->path = url;
	r->method = read_method(method, &r->is_head);
	r->discard_max = DISCARD_MAX;
	http_head_begin(&r->head);
	MHD_get_connection_values_n(mhd, MHD_HEADER_KIND, on_header, &r->head);
	if (!http_head_end(&r->head, strcmp(version, "HTTP/1.0") != 0)) {
		http_reply_error(r, r->head.status, NULL, r->head.fault);
		return queue_answer(r);
	}
	s->cb->head(s->arg, r);
	if (r->replied && (r->head.expects_continue || r->head.content_length > (int64_t)DISCARD_MAX))
		return queue_answer(r);
	if (!r->replied && r->plan == BODY_COLLECT && r->head.content_length > (int64_t)r->body_max) {
		http_reply_error(r, 413, NULL, "the body is larger than MAX_BODY_BYTES allows");
		return queue_answer(r);
	}
	return MHD_YES;
}

static enum MHD_Result upload_call(struct http_server *s, struct http_request *r, const char *data,
				   size_t *size)
{
	size_t n = *size;

	if (r->replied)
		r->plan = BODY_DISCARD;
	switch (r->plan) {
	case BODY_DISCARD:
		r->discarded += n;
		*size = 0;
		/* libmicrohttpd can take no answer now, so a client that goes on and on is cut off. */
		if (r->discard_max == DISCARD_STREAM_MAX)
			conn_within(r->conn, PROGRESS_MS);
		return r->discarded <= r->discard_max ? MHD_YES : MHD_NO;
	case BODY_COLLECT:
		if (r->body.len + n > r->body_max) {
			http_reply_error(r, 413, NULL,
					 "the body is larger than MAX_BODY_BYTES allows");
			r->plan = BODY_DISCARD;
			r->discarded = n;
		} else {
			strbuf_add(&r->body, data, n);
		}
		*size = 0;
		return MHD_YES;
	case BODY_STREAM:
		break;
	}
	conn_within(r->conn, PROGRESS_MS);
	size_t taken = s->cb->body(s->arg, r, data, n);

	*size = n - taken;
	if (taken < n && !r->replied)
		rest(r);
	else
		*size = 0;
	return MHD_YES;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *mhd, const char *url,
				  const char *method, const char *version, const char *upload_data,
				  size_t *upload_data_size, void **con_cls)
{
	struct http_server *s = cls;
	struct http_request *r = *con_cls;

	if (s->closing && (!r || !r->replied))
		return MHD_NO;
	if (!r)
		return first_call(s, mhd, url, method, version, con_cls);
	if (*upload_data_size > 0)
		return upload_call(s, r, upload_data, upload_data_size);
	if (!r->whole) {
		r->whole = true;
		if (!r->replied)
			s->cb->whole(s->arg, r);
	}
	if (r->replied)
		return r->queued ? MHD_YES : queue_answer(r);
	rest(r);
	return MHD_YES;
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
	fatal("libmicrohttpd gave up at %s:%u: %s", file, line, reason ? reason : "no reason given");
}

/* ---- server ---- */

struct http_server *http_open(int listen_fd, unsigned max_connections, const struct http_callbacks *cb,
			      void *arg, struct err *err)
{
	struct http_server *s = xcalloc(1, sizeof(*s));

	s->cb = cb;
	s->arg = arg;
	s->listen_fd = listen_fd;
	s->conns.next = s->conns.prev = &s->conns;
	s->now = mono_now();
	MHD_set_panic_func(on_panic, NULL);
	s->daemon = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, s,
		MHD_OPTION_LISTEN_SOCKET, listen_fd, MHD_OPTION_CONNECTION_LIMIT, max_connections,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
		MHD_OPTION_STRICT_FOR_CLIENT, -1, MHD_OPTION_UNESCAPE_CALLBACK, on_unescape, NULL,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, s, MHD_OPTION_NOTIFY_CONNECTION,
		on_connection, s, MHD_OPTION_END);
	const union MHD_DaemonInfo *info =
		s->daemon ? MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;

	if (!info) {
		err_set(err, "the HTTP server did not start: %s", strerror(errno));
		if (s->daemon)
			MHD_stop_daemon(s->daemon);
		else
			close(listen_fd);
		free(s);
		return NULL;
	}
	s->epoll_fd = info->epoll_fd;
	return s;
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
	if (MHD_get_timeout(s->daemon, &ms) == MHD_YES && ms < SWEEP_MS)
		return (int)ms;
	return SWEEP_MS;
}

void http_run(struct http_server *s, struct mono now)
{
	s->now = now;
	s->resumed = false;
	MHD_run(s->daemon);
	if (mono_reached(s->next_sweep, now))
		sweep(s);
}

void http_drain(struct http_server *s)
{
	if (s->draining)
		return;
	s->draining = true;
	MHD_socket fd = MHD_quiesce_daemon(s->daemon);

	if (fd != MHD_INVALID_SOCKET)
		close(fd);
	/* Between two requests nothing was accepted that could be lost. */
	for (struct http_conn *c = s->conns.next; c != &s->conns; c = c->next)
		if (!c->request && c->fd >= 0)
			shutdown(c->fd, SHUT_RDWR);
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
	for (struct http_conn *c = s->conns.next; c != &s->conns; c = c->next) {
		struct http_request *r = c->request;

		if (r && r->suspended) {
			r->suspended = false;
			r->reader = NULL;
			if (!r->replied)
				http_reply_error(r, 503, NULL, "the server is stopping");
			MHD_resume_connection(r->mhd);
		}
		if (c->fd >= 0 && r)
			shutdown(c->fd, SHUT_RDWR);
	}
	MHD_run(s->daemon); /* takes what was resumed off the list of the suspended */
	MHD_stop_daemon(s->daemon);
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
		free(r);
	}
	free(s);
}

/* ---- what came ---- */

enum http_method http_request_method(const struct http_request *r)
{
	return r->method;
}

bool http_request_is_head(const struct http_request *r)
{
	return r->is_head;
}

const char *http_request_path(const struct http_request *r)
{
	return r->path;
}

const struct http_head *http_request_head(const struct http_request *r)
{
	return &r->head;
}

struct params {
	struct http_param *list;
	size_t n, max;
};

static enum MHD_Result on_param(void *cls, enum MHD_ValueKind kind, const char *key, size_t key_len,
				const char *value, size_t value_len)
{
	struct params *p = cls;

	(void)kind;
	if (p->n < p->max)
		p->list[p->n] = (struct http_param){ key, key_len, value, value ? value_len : 0 };
	p->n++;
	return MHD_YES;
}

size_t http_request_params(struct http_request *r, struct http_param *ret, size_t max)
{
	struct params p = { ret, 0, max };

	MHD_get_connection_values_n(r->mhd, MHD_GET_ARGUMENT_KIND, on_param, &p);
	return p.n;
}

const struct strbuf *http_request_body(const struct http_request *r)
{
	return &r->body;
}

void http_set_user(struct http_request *r, void *user)
{
	r->user = user;
}

void *http_user(const struct http_request *r)
{
	return r->user;
}

void http_collect(struct http_request *r, size_t max)
{
	r->plan = BODY_COLLECT;
	r->body_max = max;
}

void http_stream(struct http_request *r)
{
	r->plan = BODY_STREAM;
	r->discard_max = DISCARD_STREAM_MAX;
}

void http_resume(struct http_request *r)
{
	unrest(r);
}

/* ---- the answer ---- */

struct strbuf *http_out(struct http_request *r)
{
	return &r->out;
}

void http_header(struct http_request *r, const char *name, const char *value)
{
	if (r->nheaders == HEADERS_MAX)
		fatal("more than %d headers in an answer", HEADERS_MAX);
	r->header[r->nheaders].name = name;
	snprintf(r->header[r->nheaders].value, HTTP_VALUE_MAX + 1, "%s", value);
	r->nheaders++;
}

void http_content_type(struct http_request *r, const char *type)
{
	r->content_type = type;
}

void http_reply(struct http_request *r, int status)
{
	r->status = status;
	r->replied = true;
	unrest(r);
}

void http_reply_error(struct http_request *r, int status, const char *field, const char *text)
{
	strbuf_reset(&r->out);
	strbuf_addstr(&r->out, "{\"success\":false,\"error\":");
	jscan_write_string(&r->out, text, strlen(text));
	if (field && *field) {
		strbuf_addstr(&r->out, ",\"field\":");
		jscan_write_string(&r->out, field, strlen(field));
	}
	strbuf_addch(&r->out, '}');
	http_reply(r, status);
}

bool http_replied(const struct http_request *r)
{
	return r->replied;
}

void http_reply_stream(struct http_request *r, int status, http_reader reader, void *arg)
{
	r->reader = reader;
	r->reader_arg = arg;
	http_reply(r, status);
}

void http_wake(struct http_request *r)
{
	unrest(r);
}
