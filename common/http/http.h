/*
 * http.h: an HTTP/1.1 server inside one thread's event loop, strict about what it reads and with a
 * deadline on every client.
 *
 * libmicrohttpd stays behind this module. A server belongs to one thread: everything here is called
 * from that thread. Put http_fd() into the loop's epoll (level-triggered) and call http_run() every
 * turn, after the turn's answers and before the turn's sends.
 *
 * A request's life, and who moves it on:
 *   head     callback head(): the head has come and is well formed. It may answer at once (the body
 *            is then thrown away), or choose what becomes of the body: nothing (default),
 *            http_collect(), http_stream().
 *   body     callback body(): a piece of a streamed body.
 *   whole    callback whole(): everything is here. It answers, or somebody does later; until then
 *            the request rests.
 *   sending  http_reply() or http_reply_stream() was called, once.
 *   gone     callback gone(): the answer was sent or the client is lost. The last call; the request
 *            is not valid after it.
 *
 * Deadlines: the head of a new connection, a body that is not streamed, and what comes of a body
 * after its answer, within 30 s; the next request on a kept connection, progress of a streamed body
 * or answer, and the sending of any other answer within 60 s. While a request rests there is none:
 * whoever let it rest answers in time.
 */
#ifndef PGFANOUT_COMMON_HTTP_HTTP_H
#define PGFANOUT_COMMON_HTTP_HTTP_H

#include <sys/types.h>

#include "common/base/base.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/http/http_head.h"
#include "common/http/http_hosts.h"
#include "common/base/strbuf.h"

struct http_server;
struct http_request;

/* http_request.c has their names in this order. */
enum http_method {
	HTTP_GET, /* and HEAD: its answer is made like GET's and sent without the body */
	HTTP_POST,
	HTTP_PUT,
	HTTP_PATCH,
	HTTP_DELETE,
	HTTP_OTHER,
};

struct http_callbacks {
	void (*head)(void *arg, struct http_request *r);
	/* Returns how many bytes it took. Fewer than len: the connection rests until http_resume()
	 * or an answer. NULL if nothing is streamed. */
	size_t (*body)(void *arg, struct http_request *r, const char *data, size_t len);
	void (*whole)(void *arg, struct http_request *r);
	void (*gone)(void *arg, struct http_request *r);
};

const char *http_library_version(void);

/* Listening, non-blocking sockets, one for each address of a host name. */
#define HTTP_SOCKETS 8
struct http_sockets {
	int fd[HTTP_SOCKETS];
	size_t n; /* at least one */
};
/* shared: others of this user may listen on the same port (SO_REUSEPORT): one set a thread. Not
 * shared: refused while anybody else listens there. */
MUST_CHECK bool http_listen(const char *host, int port, bool shared, struct http_sockets *ret,
			    struct err *err);
void http_sockets_close(struct http_sockets *s);

struct http_options {
	/* When there are more, the longest idle is closed. */
	unsigned max_connections;
	const struct http_hosts *hosts; /* others are answered with 421; borrowed */
};

/* Takes the sockets over, also on failure. cb is borrowed for the server's life. */
MUST_CHECK struct http_server *http_open(const struct http_sockets *sockets,
					 const struct http_options *opt,
					 const struct http_callbacks *cb, void *arg,
					 struct err *err);
int http_fd(const struct http_server *s);
/* How long the loop may wait for http_fd() at most. */
int http_wait_ms(struct http_server *s);
/* Reads, calls callbacks, sends; never blocks. */
void http_run(struct http_server *s, struct mono now);
/* Stops accepting; every further answer closes its connection, and idle connections end half a
 * second later. */
void http_drain(struct http_server *s);
unsigned http_connections(const struct http_server *s);
/* Cuts what is left: gone() is called for every request. NULL is fine. */
void http_close(struct http_server *s);

/* ---- what came ---- */
enum http_method http_request_method(const struct http_request *r);
/* A HEAD: no byte of a body will be sent. */
bool http_request_is_head(const struct http_request *r);
/* As sent, nothing decoded; borrowed until gone. */
const char *http_request_path(const struct http_request *r);
const struct http_head *http_request_head(const struct http_request *r);
struct http_param {
	const char *key;
	size_t key_len;
	const char *value; /* NULL: "?key" without "=" */
	size_t value_len;
};
/* The query's parameters, nothing decoded; returns how many there are, which may be more than
 * max. */
size_t http_request_params(struct http_request *r, struct http_param *ret, size_t max);
/* The collected body; valid until gone. */
const struct strbuf *http_request_body(const struct http_request *r);
/* The caller's own pointer; NULL at first. */
void http_set_user(struct http_request *r, void *user);
void *http_user(const struct http_request *r);

/* ---- what to do with the body, from head() only ---- */
void http_collect(struct http_request *r, size_t max); /* beyond max bytes: answered with 413 */
void http_stream(struct http_request *r);
void http_resume(struct http_request *r); /* after body() took too little */

/* ---- the answer ---- */
/* To be filled before http_reply(); empty at first. */
struct strbuf *http_out(struct http_request *r);
/* name is a constant; value is copied. At most 8, beside Content-Type. */
void http_header(struct http_request *r, const char *name, const char *value);
/* A constant; application/json without it. */
void http_content_type(struct http_request *r, const char *type);
void http_reply(struct http_request *r, int status);
/* The envelope of a failure: {"success":false,"error":text,"field":field}; field may be NULL. */
void http_write_failure(struct strbuf *out, const char *field, const char *text);
/* Throws away what http_out() held, and replies with it. */
void http_reply_error(struct http_request *r, int status, const char *field, const char *text);
/* Whether an answer was given. */
bool http_replied(const struct http_request *r);

#define HTTP_STREAM_END (-1)
#define HTTP_STREAM_CUT (-2)
/* Fills buf and returns how much; 0: nothing yet, http_wake() will tell; HTTP_STREAM_END;
 * HTTP_STREAM_CUT closes the connection so that the client sees that something is missing. */
typedef ssize_t (*http_reader)(void *arg, char *buf, size_t max);
void http_reply_stream(struct http_request *r, int status, http_reader reader, void *arg);
void http_wake(struct http_request *r);
/* Ends the connection of a streamed answer that has begun, because its client does not take it:
 * gone() follows in the next turn. */
void http_cut(struct http_request *r);

#endif
