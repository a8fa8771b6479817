/*
 * http_reader.h: the bytes of one connection as a strict HTTP/1 server reads them: where each
 * request's head and body end, and where the first byte stands that is no HTTP.
 *
 * It looks at every byte before libmicrohttpd does (http_wire.c), which cuts lines at a NUL, takes
 * a bare CR or LF for a line's end, and adds folded lines to the header's name: in each of these a
 * second request can hide from a proxy in front. Nothing is decoded and nothing changed: what the
 * reader lets pass means the same to both. Pure.
 */
#ifndef PGFANOUT_COMMON_HTTP_HTTP_READER_H
#define PGFANOUT_COMMON_HTTP_HTTP_READER_H

#include "common/base/strbuf.h"
#include "common/http/http_head.h"

/* Request line and headers together, trailers, and each line of a chunked body. */
#define HTTP_HEAD_MAX	    8192
#define HTTP_LINES_MAX	    100 /* headers of a request, and as many trailers */
#define HTTP_CHUNK_LINE_MAX 256

/* What the next byte belongs to; http_reader.c says what moves it on. */
enum http_reading {
	READING_REQUEST_LINE, /* before it: nothing, or one empty line */
	READING_HEADERS,
	READING_BODY,	    /* `left` bytes of it */
	READING_CHUNK_SIZE, /* its line */
	READING_CHUNK,	    /* `left` bytes of it */
	READING_CHUNK_END,  /* its CR LF */
	READING_TRAILERS,
	READING_NO_MORE, /* after a request with "Connection: close" */
	READING_FAULT,	 /* nothing passes any more */
};

struct http_reader {
	enum http_reading state;
	uint64_t heads;	       /* so many were complete and good */
	struct http_head head; /* the one that is being read, or was read last */
	struct strbuf line;    /* what there is of a line that came in pieces; owned */
	size_t bytes, lines;   /* of the head or the trailers so far */
	uint64_t left;
	bool http11;
	/* Of READING_FAULT: */
	int status;
	const char *fault;  /* a sentence, constant */
	bool fault_in_head; /* there is no request it belongs to */
};

void http_reader_init(struct http_reader *r);
void http_reader_clear(struct http_reader *r);
/* Returns how many of the next len bytes may pass: all of them, or those before the line with the
 * fault. */
size_t http_reader_take(struct http_reader *r, const char *s, size_t len);

#endif
