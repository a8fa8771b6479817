/*
 * http_wire.c: the reader (http_reader.h) between the sockets and libmicrohttpd, and the answers
 * that libmicrohttpd cannot give. The server's thread.
 *
 * libmicrohttpd offers no place where somebody else could look at the bytes first, and a look ahead
 * with MSG_PEEK proves nothing about what it will read a moment later. But it reads with recv(), by
 * way of the dynamic linker, and a program's own recv() comes before libc's: that is the one below.
 * For every descriptor that is not a client's it is what libc's is.
 *
 * 1. A byte reaches libmicrohttpd only after the reader has let it pass. A line with a fault does
 *    not, so a malformed head never becomes complete.
 * 2. libmicrohttpd may begin its n-th request of a connection only when the reader has passed n
 *    heads (http_request.c looks). If it ever reads other heads than the reader does, or does not
 *    read through it at all, its request is not served: the connection is closed.
 *
 * Three answers do not go through libmicrohttpd: to a malformed head, which it never sees; to a
 * malformed body, and to one that is too long to be thrown away in passing, in the midst of which
 * it takes no answer. They are written to the socket here, when all earlier ones have been. Then
 * our side of the connection ends and what the client still sends is thrown away for
 * HTTP_LINGER_MS, until it ends its own: to close at once would let the kernel take the answer away
 * from a client that is still sending.
 */
/* With fortification the declaration of recv() is a function of its own. */
#undef _FORTIFY_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/http/http_private.h"

/* Of what a client sends after its last answer, in one turn of the loop. */
#define THROWN_AWAY_READS 16

static _Thread_local struct http_server *reading; /* whose libmicrohttpd runs in this thread */

void http_wire_run(struct http_server *s)
{
	reading = s;
	MHD_run(s->daemon);
	reading = NULL;
}

void http_wire_stop(struct http_server *s)
{
	reading = s;
	MHD_stop_daemon(s->daemon);
	reading = NULL;
}

void http_wire_add(struct http_server *s, struct http_conn *c)
{
	if (c->fd < 0)
		return;
	if ((size_t)c->fd >= s->nfds) {
		size_t n = (size_t)c->fd * 2 + 64;

		s->by_fd = xreallocarray(s->by_fd, n, sizeof(struct http_conn *));
		memset(s->by_fd + s->nfds, 0, (n - s->nfds) * sizeof(struct http_conn *));
		s->nfds = n;
	}
	s->by_fd[c->fd] = c;
	http_reader_init(&c->reader);
}

void http_wire_remove(struct http_server *s, struct http_conn *c)
{
	if (c->fd >= 0)
		s->by_fd[c->fd] = NULL;
	http_reader_clear(&c->reader);
	for (struct http_conn **p = &s->refused; *p; p = &(*p)->next_refused) {
		if (*p == c) {
			*p = c->next_refused;
			break;
		}
	}
}

/* ---- reading ---- */

static ssize_t read_client(struct http_server *s, struct http_conn *c, void *buf, size_t len,
			   int flags)
{
	while (!c->ending || c->cut) {
		ssize_t n = recvfrom(c->fd, buf, len, flags, NULL, NULL);

		if (n <= 0)
			return n;
		if (c->cut)
			continue;
		size_t good = http_reader_take(&c->reader, buf, (size_t)n);

		if (c->reader.state == READING_FAULT)
			http_wire_refuse(s, c, c->reader.fault_in_head ? REFUSE_HEAD : REFUSE_BODY);
		if (good > 0)
			return (ssize_t)good;
	}
	errno = EAGAIN;
	return -1;
}

ssize_t recv(int fd, void *buf, size_t len, int flags)
{
	struct http_server *s = reading;
	struct http_conn *c = s && fd >= 0 && (size_t)fd < s->nfds ? s->by_fd[fd] : NULL;

	return c ? read_client(s, c, buf, len, flags) : recvfrom(fd, buf, len, flags, NULL, NULL);
}

/* ---- answers ---- */

void http_wire_refuse(struct http_server *s, struct http_conn *c, enum http_refusal refusal)
{
	if (c->refusal != REFUSE_NOTHING || c->ending)
		return;
	c->refusal = refusal;
	c->next_refused = s->refused;
	s->refused = c;
	s->resumed = true; /* settled in the next run, if not in this one */
}

static void write_answer(struct http_conn *c, int status, const struct http_request *r,
			 const struct strbuf *body)
{
	AUTO_STRBUF text = STRBUF_INIT;

	strbuf_addf(&text, "HTTP/1.1 %d %s\r\n", status,
		    MHD_get_reason_phrase_for((unsigned)status));
	for (size_t i = 0; r && i < r->nheaders; i++)
		strbuf_addf(&text, "%s: %s\r\n", r->header[i].name,
			    r->header_text.data + r->header[i].at);
	strbuf_addf(&text, "Content-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
		    r ? r->content_type : "application/json", body->len);
	if (!r || !r->is_head)
		strbuf_add(&text, body->data, body->len);
	/* All answers before it have left, so there is room; if not, the client sees a torn one. */
	if (send(c->fd, text.data, text.len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		shutdown(c->fd, SHUT_RDWR);
}

/* The end of a connection: see the head of the file. */
static void end_with(struct http_server *s, struct http_conn *c, int status,
		     const struct http_request *r, const struct strbuf *body)
{
	c->ending = true;
	http_conn_goes(s, c, &s->ending);
	write_answer(c, status, r, body);
	shutdown(c->fd, SHUT_WR);
	http_within(c, s->now, s->draining ? HTTP_DRAIN_IDLE_MS : HTTP_LINGER_MS);
}

/* False: not yet. */
static bool settle(struct http_server *s, struct http_conn *c)
{
	struct http_request *r = c->request;
	const struct http_reader *reader = &c->reader;

	switch (c->refusal) {
	case REFUSE_NOTHING:
		return true;
	case REFUSE_HEAD: {
		AUTO_STRBUF body = STRBUF_INIT;

		if (c->done < reader->heads)
			return false;
		http_write_failure(&body, NULL, reader->fault);
		end_with(s, c, reader->status, NULL, &body);
		return true;
	}
	case REFUSE_BODY:
		if (!r || c->begun < reader->heads)
			return false;
		if (!http_replied(r))
			http_reply_error(r, reader->status, NULL, reader->fault);
		break;
	case REFUSE_LONG:
		if (!r)
			return true;
		if (r->state == HTTP_COMING || r->state == HTTP_HELD)
			http_reply_error(r, 413, NULL, "the body is too long for this path");
		break;
	}
	if (r->state == HTTP_EARLY && !r->reader) {
		http_move(r, HTTP_ON_QUEUE);
		end_with(s, c, r->status, r, &r->out);
	}
	return true;
}

/* libmicrohttpd would not call again for a client whose bytes it does not get: they are taken
 * here. */
static void throw_away(struct http_server *s)
{
	static _Thread_local char bytes[65536];

	for (struct http_conn *c = s->ending.next, *next; c != &s->ending; c = next) {
		ssize_t n = 1;

		next = c->next;
		for (int i = 0; n > 0 && i < THROWN_AWAY_READS; i++)
			n = recvfrom(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT, NULL, NULL);
		if (n > 0)
			s->resumed = true;
		else if (n == 0 || (errno != EAGAIN && errno != EINTR))
			http_conn_cut(s, c);
	}
}

void http_wire_settle(struct http_server *s)
{
	struct http_conn **p = &s->refused;

	while (*p) {
		struct http_conn *c = *p;

		if (settle(s, c)) {
			*p = c->next_refused;
			c->refusal = REFUSE_NOTHING;
		} else {
			p = &c->next_refused;
		}
	}
	throw_away(s);
}
