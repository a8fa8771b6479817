/*
 * http.c: as much of HTTP as pgfanout-api answers: Content-Length, chunks without extensions, no body
 * with 204.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/positions/http.h"

bool connection_open(struct connection *c, int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int one = 1;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	strbuf_reset(&c->in);
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		fatal("socket: %s", strerror(errno));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(c->fd, (struct sockaddr *)&to, sizeof(to)) == 0)
		return true;
	connection_close(c);
	return false;
}

void connection_close(struct connection *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	strbuf_reset(&c->in);
}

bool connection_send(struct connection *c, const struct strbuf *request)
{
	strbuf_reset(&c->in); /* the answer before is done with */
	return send(c->fd, request->data, request->len, MSG_NOSIGNAL | MSG_DONTWAIT) ==
	       (ssize_t)request->len;
}

/* The value of a header, and its length; NULL: it is not there. */
static const char *header(const char *head, const char *name, size_t *ret_len)
{
	for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n")) {
		size_t len = strlen(name);

		if (strncasecmp(line + 2, name, len) == 0 && line[2 + len] == ':') {
			const char *value = line + 2 + len + 1;

			value += strspn(value, " ");
			*ret_len = strcspn(value, "\r");
			return value;
		}
	}
	return NULL;
}

static bool copy_header(const char *head, const char *name, char *to, size_t size)
{
	size_t len = 0;
	const char *value = header(head, name, &len);

	snprintf(to, size, "%.*s", (int)len, value ? value : "");
	return value != NULL;
}

/* The chunks' data are moved together. False: not all are there. No JSON of the API's holds a CR, so
 * the last chunk is told by how it ends, and nothing is moved before. */
static bool join_chunks(char *body, size_t have, size_t *ret_len)
{
	size_t at = 0, len = 0;

	if (have < 5 || memcmp(body + have - 5, "0\r\n\r\n", 5) != 0)
		return false;
	for (;;) {
		char *end;
		size_t size = strtoul(body + at, &end, 16);
		size_t data = (size_t)(end - body) + 2;

		if (size == 0) {
			*ret_len = len;
			return data + 2 == have;
		}
		if (data + size + 2 > have)
			return false;
		memmove(body + len, body + data, size);
		len += size;
		at = data + size + 2;
	}
}

/* Whether the buffer holds the whole answer. */
static bool parse(struct strbuf *in, struct answer *a)
{
	char *end = in->len ? strstr(in->data, "\r\n\r\n") : NULL;
	size_t have, len = 0, ignored;
	char number[32];
	char *body;
	bool chunked;

	if (end == NULL)
		return false;
	body = end + 4;
	have = in->len - (size_t)(body - in->data);
	end[2] = '\0'; /* the head is a string of its own, until this returns */
	chunked = header(in->data, "Transfer-Encoding", &ignored) != NULL;
	if (copy_header(in->data, "Content-Length", number, sizeof(number)))
		len = strtoul(number, NULL, 10);
	if (chunked ? join_chunks(body, have, &len) : have >= len) {
		a->status = atoi(in->data + strcspn(in->data, " "));
		a->has_position = copy_header(in->data, "X-Position", a->position,
					      sizeof(a->position));
		copy_header(in->data, "X-Served-By", a->served_by, sizeof(a->served_by));
		a->closes = copy_header(in->data, "Connection", number, sizeof(number)) &&
			    strcasecmp(number, "close") == 0;
		a->body = body;
		a->len = len;
		return true;
	}
	end[2] = '\r';
	return false;
}

enum received connection_receive(struct connection *c, struct answer *ret_answer)
{
	for (;;) {
		ssize_t n = recv(c->fd, strbuf_reserve(&c->in, 65536), 65536, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return RECEIVED_PART;
		if (n <= 0)
			return RECEIVED_END;
		strbuf_commit(&c->in, (size_t)n);
		if (parse(&c->in, ret_answer))
			return RECEIVED_ALL;
	}
}
