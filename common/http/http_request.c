/*
 * http_request.c: a request's way through libmicrohttpd's handler. The server's thread.
 *
 * libmicrohttpd calls the handler once with the head, then with pieces of the body, then once more
 * when all is here, and again whenever a connection was resumed. How far a request is stands in its
 * state; next_state[] below is the whole rule of what moves it on.
 */
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "common/http/http_private.h"

/* A body that nobody wants is read up to this size so that the connection can be kept. */
#define DISCARD_MAX (1 << 20)

/* What moves a request on. Where nothing is written, an event changes nothing. */
static const enum http_state next_state[HTTP_STATES][HTTP_EVENTS] = {
	[HTTP_COMING] = { [HTTP_ON_REPLY] = HTTP_EARLY,
			  [HTTP_ON_END] = HTTP_WHOLE,
			  [HTTP_ON_HOLD] = HTTP_HELD },
	[HTTP_HELD] = { [HTTP_ON_REPLY] = HTTP_EARLY, [HTTP_ON_RESUME] = HTTP_COMING },
	[HTTP_WHOLE] = { [HTTP_ON_REPLY] = HTTP_ANSWERED, [HTTP_ON_HOLD] = HTTP_RESTING },
	[HTTP_RESTING] = { [HTTP_ON_REPLY] = HTTP_ANSWERED },
	[HTTP_EARLY] = { [HTTP_ON_QUEUE] = HTTP_SENDING },
	[HTTP_ANSWERED] = { [HTTP_ON_QUEUE] = HTTP_SENDING },
	[HTTP_SENDING] = { [HTTP_ON_HOLD] = HTTP_WAITING },
	[HTTP_WAITING] = { [HTTP_ON_WAKE] = HTTP_SENDING },
};

static bool waits(enum http_state s)
{
	return s == HTTP_HELD || s == HTTP_RESTING || s == HTTP_WAITING;
}

void http_move(struct http_request *r, enum http_event event)
{
	enum http_state from = r->state, to = next_state[from][event];

	if (to == HTTP_STAY)
		return;
	r->state = to;
	/* Who is still streaming is not waited for: it may stream for hours. */
	if (to == HTTP_EARLY && r->begun && r->plan == BODY_STREAM)
		http_wire_refuse(r->server, r->conn, REFUSE_LONG);
	if (waits(from)) {
		if (from == HTTP_RESTING)
			r->server->resting--;
		else
			MHD_resume_connection(r->mhd);
		r->server->resumed = true;
		http_within(r->conn, r->server->now, HTTP_PROGRESS_MS);
	}
	if (waits(to)) {
		if (to == HTTP_RESTING)
			r->server->resting++;
		else
			MHD_suspend_connection(r->mhd);
		r->conn->deadline = MONO_NEVER; /* the caller keeps its own */
	}
}

static enum http_method read_method(const char *m, bool *ret_head)
{
	static const char *const names[] = { "GET", "POST", "PUT", "PATCH", "DELETE" };
	size_t i = 0;

	*ret_head = strcmp(m, "HEAD") == 0;
	while (!*ret_head && i < ARRAY_SIZE(names) && strcmp(m, names[i]) != 0)
		i++;
	return (enum http_method)i;
}

static struct http_request *request_new(struct http_server *s, struct MHD_Connection *mhd)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct http_request *r = s->free_requests;
	struct strbuf body = STRBUF_INIT;
	struct strbuf out = STRBUF_INIT;
	struct strbuf header_text = STRBUF_INIT;

	if (r) {
		s->free_requests = r->next_free;
		body = r->body;
		out = r->out;
		header_text = r->header_text;
	} else {
		r = xmalloc(sizeof(*r));
	}
	/* nheaders says which headers are set. */
	memset(r, 0, offsetof(struct http_request, header));
	r->state = HTTP_COMING;
	r->server = s;
	r->mhd = mhd;
	r->conn = info ? info->socket_context : NULL;
	r->body = body;
	r->out = out;
	r->header_text = header_text;
	r->content_type = "application/json";
	r->reader = NULL;
	if (r->conn) {
		r->conn->request = r;
		http_conn_goes(s, r->conn, &s->busy);
	}
	return r;
}

static void recycle(struct strbuf *b, size_t keep)
{
	if (b->cap > keep)
		strbuf_clear(b);
	else
		strbuf_reset(b);
}

void http_on_completed(void *cls, struct MHD_Connection *mhd, void **con_cls,
		       enum MHD_RequestTerminationCode code)
{
	struct http_server *s = cls;
	struct http_request *r = *con_cls;

	(void)mhd;
	(void)code;
	if (!r)
		return;
	*con_cls = NULL;
	s->moved = true;
	if (r->state == HTTP_RESTING)
		s->resting--;
	s->cb->gone(s->arg, r);
	if (r->conn) {
		r->conn->request = NULL;
		r->conn->heard = true;
		r->conn->done++;
		if (!r->conn->ending) {
			http_within(r->conn, s->now, HTTP_IDLE_MS);
			http_conn_goes(s, r->conn, &s->idle);
		}
	}
	recycle(&r->body, 16384);
	recycle(&r->out, 65536);
	recycle(&r->header_text, 4096);
	r->next_free = s->free_requests;
	s->free_requests = r;
}

static enum MHD_Result on_header(void *cls, enum MHD_ValueKind kind, const char *key,
				 size_t key_len, const char *value, size_t value_len)
{
	(void)kind;
	http_head_add(cls, key, key_len, value ? value : "", value ? value_len : 0);
	return MHD_YES;
}

static ssize_t on_read(void *cls, uint64_t pos, char *buf, size_t max)
{
	struct http_request *r = cls;

	if (r->server->closing)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	ssize_t n = r->reader(r->reader_arg, buf, max);

	(void)pos;
	r->server->moved = true;
	if (n > 0) {
		http_within(r->conn, r->server->now, HTTP_PROGRESS_MS);
		return n;
	}
	if (n == 0) {
		http_move(r, HTTP_ON_HOLD);
		return 0;
	}
	return n == HTTP_STREAM_END ? MHD_CONTENT_READER_END_OF_STREAM
				    : MHD_CONTENT_READER_END_WITH_ERROR;
}

/* Hands the answer to libmicrohttpd. The body is borrowed: out lives until http_on_completed. */
static enum MHD_Result queue_answer(struct http_request *r)
{
	struct MHD_Response *response =
		r->reader ? MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 8192, on_read, r,
							      NULL)
			  : MHD_create_response_from_buffer(r->out.len, r->out.data,
							    MHD_RESPMEM_PERSISTENT);

	if (!response)
		return MHD_NO;
	bool ok = MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
					  r->content_type) == MHD_YES;

	for (size_t i = 0; i < r->nheaders; i++)
		ok = ok &&
		     MHD_add_response_header(response, r->header[i].name,
					     r->header_text.data + r->header[i].at) == MHD_YES;
	if (r->server->draining)
		ok = ok && MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close") ==
				   MHD_YES;
	/* To a HEAD libmicrohttpd 0.9.75 sends the end mark of a chunked body, which the client
	 * would read as the next answer: such an answer is not chunked and ends its connection. */
	if (r->is_head && r->reader)
		ok = ok && MHD_set_response_options(response, MHD_RF_HTTP_VERSION_1_0_ONLY,
						    MHD_RO_END) == MHD_YES;
	http_move(r, HTTP_ON_QUEUE);
	http_within(r->conn, r->server->now, HTTP_SENDING_MS);
	enum MHD_Result result = ok ? MHD_queue_response(r->mhd, (unsigned)r->status, response)
				    : MHD_NO;

	MHD_destroy_response(response);
	return result;
}

/* A client that takes us for a proxy names the host too: "GET http://host/path"; then this is the
 * host that counts. */
static const char *path_of(const char *url, struct http_head *head)
{
	if (strncasecmp(url, "http://", 7) != 0)
		return url;
	head->host = url + 7;
	head->host_len = strcspn(head->host, "/");
	return head->host[head->host_len] ? head->host + head->host_len : "/";
}

/*
 * The first call, when the head is here. An answer queued now makes libmicrohttpd close the
 * connection, which is right if the client waits with its body until it hears that it is wanted;
 * every other answer waits for the last call, which comes at once if there is no body.
 */
static enum MHD_Result first_call(struct http_server *s, struct MHD_Connection *mhd,
				  const char *url, const char *method, const char *version,
				  void **con_cls)
{
	struct http_request *r = request_new(s, mhd);

	*con_cls = r;
	/* http_wire.c, 2 */
	if (!r->conn || r->conn->begun++ >= r->conn->reader.heads)
		return MHD_NO;
	http_within(r->conn, r->server->now, HTTP_BODY_MS);
	r->method = read_method(method, &r->is_head);
	http_head_begin(&r->head);
	MHD_get_connection_values_n(mhd, MHD_HEADER_KIND, on_header, &r->head);
	r->path = path_of(url, &r->head);
	if (!http_head_end(&r->head, strcmp(version, "HTTP/1.0") != 0))
		http_reply_error(r, r->head.status, NULL, r->head.fault);
	else if (r->head.host && !http_hosts_serve(s->hosts, r->head.host, r->head.host_len))
		http_reply_error(r, 421, NULL,
				 "this host is not served here: ALLOWED_HOSTS does not name it");
	else
		s->cb->head(s->arg, r);
	if (!http_replied(r) && r->plan == BODY_COLLECT &&
	    r->head.content_length > (int64_t)r->body_max)
		http_reply_error(r, 413, NULL, "the body is larger than MAX_BODY_BYTES allows");
	r->begun = true;
	if (http_replied(r) && r->head.expects_continue)
		return queue_answer(r);
	if ((http_replied(r) || r->plan == BODY_DISCARD) && r->head.content_length > DISCARD_MAX)
		http_wire_refuse(s, r->conn, REFUSE_LONG);
	return MHD_YES;
}

static enum MHD_Result upload_call(struct http_server *s, struct http_request *r, const char *data,
				   size_t *size)
{
	size_t n = *size;

	r->conn->heard = true;
	if (r->state >= HTTP_EARLY)
		r->plan = BODY_DISCARD;
	switch (r->plan) {
	case BODY_DISCARD:
		r->discarded += n;
		*size = 0;
		if (r->discarded > DISCARD_MAX)
			http_wire_refuse(s, r->conn, REFUSE_LONG);
		return MHD_YES;
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
	http_within(r->conn, r->server->now, HTTP_PROGRESS_MS);
	size_t taken = s->cb->body(s->arg, r, data, n);

	*size = n - taken;
	if (taken < n && r->state != HTTP_EARLY)
		http_move(r, HTTP_ON_HOLD);
	else
		*size = 0;
	return MHD_YES;
}

enum MHD_Result http_on_request(void *cls, struct MHD_Connection *mhd, const char *url,
				const char *method, const char *version, const char *upload_data,
				size_t *upload_data_size, void **con_cls)
{
	struct http_server *s = cls;
	struct http_request *r = *con_cls;

	if (s->closing && (!r || !http_replied(r)))
		return MHD_NO;
	if (r && r->state == HTTP_RESTING)
		return MHD_YES;
	s->moved = true;
	if (!r)
		return first_call(s, mhd, url, method, version, con_cls);
	if (*upload_data_size > 0)
		return upload_call(s, r, upload_data, upload_data_size);
	if (r->state == HTTP_COMING) {
		http_move(r, HTTP_ON_END);
		s->cb->whole(s->arg, r);
		if (r->state == HTTP_WHOLE)
			http_move(r, HTTP_ON_HOLD);
	}
	return r->state == HTTP_EARLY || r->state == HTTP_ANSWERED ? queue_answer(r) : MHD_YES;
}
