/*
 * http_private.h: what the http*.c files share and nobody else needs. libmicrohttpd's types stay
 * among them.
 *
 * http.c          the server: listening, connections and their deadlines, the loop's side
 * http_wire.c     what libmicrohttpd gets to read of a connection, and answers past it
 * http_request.c  a request from libmicrohttpd's first handler call to its last
 * http_answer.c   what callers read of a request, and how they answer it
 */
#ifndef PGFANOUT_COMMON_HTTP_HTTP_PRIVATE_H
#define PGFANOUT_COMMON_HTTP_HTTP_PRIVATE_H

#include <microhttpd.h>

#include "common/http/http.h"
#include "common/http/http_reader.h"

#define HTTP_FIRST_HEAD_MS 30000
#define HTTP_BODY_MS	   30000
#define HTTP_IDLE_MS	   60000
#define HTTP_PROGRESS_MS   60000
#define HTTP_SENDING_MS	   60000
#define HTTP_LINGER_MS	   30000
/* While stopping, a client that keeps its connection has this long to send one more request, which
 * is answered and told that the connection ends; closing at once would cut off what it is just
 * sending. */
#define HTTP_DRAIN_IDLE_MS 500
#define HTTP_HEADERS_MAX   8

enum body_plan { BODY_DISCARD, BODY_COLLECT, BODY_STREAM };

/* Where a request is; http_request.c has the table of what moves it on. From HTTP_EARLY on the
 * caller has answered. */
enum http_state {
	HTTP_STAY,     /* no state, but "as before" in that table */
	HTTP_COMING,   /* its head or body is coming; body_plan says what becomes of the body */
	HTTP_HELD,     /* the caller took too little of its body: suspended */
	HTTP_WHOLE,    /* everything is here, the caller is being told */
	HTTP_RESTING,  /* whole, and waits for the answer, without being suspended */
	HTTP_EARLY,    /* answered before it was whole: the rest of its body is thrown away */
	HTTP_ANSWERED, /* whole and answered: libmicrohttpd takes the answer at its next call */
	HTTP_SENDING,  /* libmicrohttpd has the answer */
	HTTP_WAITING,  /* there is nothing to send yet of a streamed answer: suspended */
	HTTP_STATES
};
enum http_event {
	HTTP_ON_REPLY,	/* the caller answers */
	HTTP_ON_RESUME, /* the caller takes more of the body */
	HTTP_ON_WAKE,	/* the caller has more of the answer */
	HTTP_ON_END,	/* all of the request is here */
	HTTP_ON_HOLD,	/* the caller cannot go on now */
	HTTP_ON_QUEUE,	/* libmicrohttpd is given the answer */
	HTTP_EVENTS
};

/* Why a connection ends with an answer that does not go through libmicrohttpd; http_wire.c. */
enum http_refusal {
	REFUSE_NOTHING,
	REFUSE_HEAD, /* a head is malformed: when all requests before it are answered */
	REFUSE_BODY, /* the framing of a body is: when its request is the one under way */
	REFUSE_LONG, /* nobody wants so long a body: at once */
};

/* In one of the server's rings: idle between requests, in the order in which they became so;
 * ending, after an answer that was the last; else busy. */
struct http_conn {
	struct http_conn *next, *prev;
	struct http_request *request; /* NULL between requests */
	struct mono since;	      /* when it came into its ring */
	struct mono deadline;	      /* never: the request rests */
	int fd;
	bool heard; /* bytes may have come since sweep() looked for its end */
	struct http_reader reader;
	uint64_t begun, done; /* requests that libmicrohttpd has begun and ended */
	enum http_refusal refusal;
	struct http_conn *next_refused; /* while refusal is set */
	bool ending; /* the last answer was sent, or it was cut: what comes is thrown away */
	bool cut;    /* shut down: libmicrohttpd will close it */
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
	bool begun; /* the first call is over */
	struct http_head head;
	enum http_state state;
	enum body_plan plan;
	size_t body_max, discarded;
	struct strbuf body, out;
	int status;
	const char *content_type;
	struct strbuf header_text; /* their values, each with a NUL */
	size_t nheaders;
	struct {
		const char *name;
		size_t at;
	} header[HTTP_HEADERS_MAX];
	http_reader reader;
	void *reader_arg;
};

struct http_server {
	struct MHD_Daemon *daemon;
	const struct http_callbacks *cb;
	void *arg;
	int epoll_fd;		  /* the loop's: libmicrohttpd's, or outer_fd */
	int outer_fd;		  /* around libmicrohttpd's and `more`; 0: there is none */
	struct http_sockets more; /* from the second on; the first one is libmicrohttpd's */
	bool draining, closing;
	unsigned resting; /* requests that wait without being suspended */
	bool resumed;	  /* since the last MHD_run(), which MHD_get_timeout() does not know */
	bool moved;	  /* the last MHD_run() did something: there may be more to do at once */
	struct mono now, next_sweep;
	const struct http_hosts *hosts;
	struct http_conn idle, ending, busy; /* rings */
	unsigned nconns, ncut, max_conns;
	struct http_conn **by_fd; /* nfds of them; NULL: not a client's */
	size_t nfds;
	struct http_conn *refused; /* list of those whose refusal is set */
	struct http_conn *free_conns;
	struct http_request *free_requests;
};

/* For MHD_start_daemon(). */
enum MHD_Result http_on_request(void *cls, struct MHD_Connection *mhd, const char *url,
				const char *method, const char *version, const char *upload_data,
				size_t *upload_data_size, void **con_cls);
void http_on_completed(void *cls, struct MHD_Connection *mhd, void **con_cls,
		       enum MHD_RequestTerminationCode code);

/* From the ring it is in to the end of this one. */
void http_conn_goes(struct http_server *s, struct http_conn *c, struct http_conn *ring);
void http_conn_cut(struct http_server *s, struct http_conn *c);

/* ---- http_wire.c ---- */
/* MHD_run() and MHD_stop_daemon(), while which libmicrohttpd reads through the reader. */
void http_wire_run(struct http_server *s);
void http_wire_stop(struct http_server *s);
void http_wire_add(struct http_server *s, struct http_conn *c);
void http_wire_remove(struct http_server *s, struct http_conn *c);
/* Answers past libmicrohttpd what waits for it, and goes on with what ends. After MHD_run(). */
void http_wire_settle(struct http_server *s);
void http_wire_refuse(struct http_server *s, struct http_conn *c, enum http_refusal refusal);

/* Moves the request on: an event that means nothing in its state changes nothing. */
void http_move(struct http_request *r, enum http_event event);

static inline void http_within(struct http_conn *c, struct mono now, int64_t ms)
{
	c->deadline = mono_add_ms(now, ms);
}

#endif
