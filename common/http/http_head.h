/*
 * http_head.h: is this request's head one that every proxy in front would read as we do?
 *
 * libmicrohttpd 0.9.75 takes most forms that smuggle a second request past a proxy: two lengths, a
 * length beside an encoding. This is the check that refuses them (called by http_reader.c, which
 * judges the lines), and at the same time the collection of the few headers that matter here (called
 * by http_request.c). Pure: the slices borrow the caller's text.
 */
#ifndef PGFANOUT_COMMON_HTTP_HTTP_HEAD_H
#define PGFANOUT_COMMON_HTTP_HTTP_HEAD_H

#include "common/base/base.h"

struct http_head {
	const char *content_type; /* NULL: none */
	size_t content_type_len;
	const char *host; /* NULL: none */
	size_t host_len;
	const char *position; /* X-Position; NULL: none */
	size_t position_len;
	const char *cookie; /* NULL: none */
	size_t cookie_len;
	int64_t content_length; /* -1: none */
	bool chunked;
	bool expects_continue;
	bool closes;	  /* Connection: close */
	bool encoded;	  /* Content-Encoding, but identity */
	bool conditional; /* If-Match, If-None-Match or If-Unmodified-Since */
	bool partial;	  /* Content-Range */
	bool max_stale;	  /* Cache-Control: max-stale */
	unsigned hosts, lengths, encodings, types, positions; /* how many of each there were */
	int status;	   /* 0, or the HTTP status of the first fault */
	const char *fault; /* constant text */
};

void http_head_begin(struct http_head *h);
/* name and value: of a line that http_reader.c lets pass. */
void http_head_add(struct http_head *h, const char *name, size_t name_len, const char *value,
		   size_t value_len);
/* After the last header. http11: HTTP/1.1, which must name a host. False: answer h->status with
 * h->fault and close. */
bool http_head_end(struct http_head *h, bool http11);

/* Whether a Content-Type is this media type, whatever its case, with no parameter but
 * charset=utf-8. */
bool http_media_type_is(const char *value, size_t len, const char *type);

#endif
