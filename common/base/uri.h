/*
 * uri.h: connection strings as a person may see them: user, host, port, path; never a password or a
 * query. Pure.
 */
#ifndef PGFANOUT_COMMON_BASE_URI_H
#define PGFANOUT_COMMON_BASE_URI_H

#include "common/base/base.h"

/* Writes "postgresql://user@host:5432/products" from a URI with or without a password, also for
 * several hosts and for a comma-separated list of URIs; a libpq keyword string ("host=…
 * password=…") loses its password. What cannot be read is shown as "(hidden)". Always
 * NUL-terminated. */
void uri_scrub(const char *uri, char *out, size_t size);

#endif
