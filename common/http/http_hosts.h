/*
 * http_hosts.h: which names this server may be asked for.
 *
 * A page that a browser has loaded from elsewhere can have its own name point to 127.0.0.1 (DNS
 * rebinding) and then read and write here, as if it were the same site. Its requests still carry
 * its own name as their host: whoever listens on loopback alone serves only loopback's names. Pure.
 */
#ifndef PGFANOUT_COMMON_HTTP_HTTP_HOSTS_H
#define PGFANOUT_COMMON_HTTP_HTTP_HOSTS_H

#include "common/base/base.h"
#include "common/base/err.h"

struct http_hosts {
	const char *listed; /* borrowed; separated by commas; empty: none */
	bool any;
};

/* listed: names and addresses without port, separated by commas; ".example.com" is example.com and
 * every name in it; "*" is any. Empty: loopback's names if listen is loopback, else any. Loopback's
 * names are always served. False: an entry is no name. */
MUST_CHECK bool http_hosts_init(struct http_hosts *h, const char *listen, const char *listed,
				struct err *err);
/* host: as in a Host header, maybe with a port. */
bool http_hosts_serve(const struct http_hosts *h, const char *host, size_t len);

#endif
