/*
 * http_answer.c: what callers read of a request, what they want done with its body, and how they
 * answer. The server's thread.
 */
#include <string.h>

#include "common/http/http_private.h"
#include "common/json/jscan.h"

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
}

void http_resume(struct http_request *r)
{
	http_move(r, HTTP_ON_RESUME);
}

/* ---- the answer ---- */

struct strbuf *http_out(struct http_request *r)
{
	return &r->out;
}

void http_header(struct http_request *r, const char *name, const char *value)
{
	if (r->nheaders == HTTP_HEADERS_MAX)
		fatal("more than %d headers in an answer", HTTP_HEADERS_MAX);
	r->header[r->nheaders].name = name;
	r->header[r->nheaders].at = r->header_text.len;
	strbuf_add(&r->header_text, value, strlen(value) + 1);
	r->nheaders++;
}

void http_content_type(struct http_request *r, const char *type)
{
	r->content_type = type;
}

void http_reply(struct http_request *r, int status)
{
	r->status = status;
	http_move(r, HTTP_ON_REPLY);
}

void http_write_failure(struct strbuf *out, const char *field, const char *text)
{
	strbuf_addstr(out, "{\"success\":false,\"error\":");
	jscan_write_string(out, text, strlen(text));
	if (field && *field) {
		strbuf_addstr(out, ",\"field\":");
		jscan_write_string(out, field, strlen(field));
	}
	strbuf_addch(out, '}');
}

void http_reply_error(struct http_request *r, int status, const char *field, const char *text)
{
	strbuf_reset(&r->out);
	http_write_failure(&r->out, field, text);
	http_reply(r, status);
}

bool http_replied(const struct http_request *r)
{
	return r->state >= HTTP_EARLY;
}

void http_reply_stream(struct http_request *r, int status, http_reader reader, void *arg)
{
	r->reader = reader;
	r->reader_arg = arg;
	http_reply(r, status);
}

void http_wake(struct http_request *r)
{
	http_move(r, HTTP_ON_WAKE);
}

void http_cut(struct http_request *r)
{
	http_move(r, HTTP_ON_WAKE); /* what is suspended is not ended */
	http_conn_cut(r->server, r->conn);
	r->server->resumed = true;
}
