/*
 * http.h: a kept connection of an HTTP/1.1 client, and one answer at a time. One thread; nothing here
 * waits, except a connect() on loopback.
 */
#ifndef PGFANOUT_TESTS_POSITIONS_HTTP_H
#define PGFANOUT_TESTS_POSITIONS_HTTP_H

#include "common/base/strbuf.h"

struct answer {
	int status;
	bool closes;	    /* the server has said so */
	bool has_position;  /* there was the header, perhaps empty */
	char position[128]; /* X-Position, cut where it is too long */
	char served_by[64]; /* X-Served-By; "": there was none */
	const char *body;   /* borrowed, until the connection is used again */
	size_t len;
};

struct connection {
	int fd;		  /* -1: closed */
	struct strbuf in; /* what has come of the answer */
};

/* False: nobody listens there. */
MUST_CHECK bool connection_open(struct connection *c, int port);
void connection_close(struct connection *c);
/* False: it is broken, and the request may have arrived or not. */
MUST_CHECK bool connection_send(struct connection *c, const struct strbuf *request);

enum received { RECEIVED_PART, RECEIVED_ALL, RECEIVED_END };

/* Takes what has come. RECEIVED_END: the connection broke, or what came is no answer. */
enum received connection_receive(struct connection *c, struct answer *ret_answer);

#endif
