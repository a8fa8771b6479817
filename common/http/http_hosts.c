/*
 * http_hosts.c: see http_hosts.h.
 *
 *   1. The port is not compared, nor a dot behind the name, nor the case.
 *   2. localhost, 127.0.0.0/8 and [::1] are served.
 *   3. A name on the list is served, or one that ends with an entry that begins with a dot.
 *   4. Everything else is served only if any is.
 */
#include "common/http/http_hosts.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#define HOST_MAX 255

static bool same(const char *s, size_t len, const char *other, size_t other_len)
{
	return len == other_len && strncasecmp(s, other, len) == 0;
}

static bool is_loopback(const char *s, size_t len)
{
	char text[INET6_ADDRSTRLEN];
	struct in_addr v4;
	struct in6_addr v6;

	if (same(s, len, "localhost", 9))
		return true;
	if (len >= sizeof(text))
		return false;
	memcpy(text, s, len);
	text[len] = '\0';
	if (inet_pton(AF_INET, text, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, text, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static bool is_name(const char *s, size_t len)
{
	char text[HOST_MAX + 1];
	struct in6_addr v6;

	if (len == 0 || len > HOST_MAX)
		return false;
	memcpy(text, s, len);
	text[len] = '\0';
	if (memchr(s, ':', len))
		return inet_pton(AF_INET6, text, &v6) == 1;
	for (size_t i = 0; i < len; i++)
		if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'A' && s[i] <= 'Z') ||
		      (s[i] >= 'a' && s[i] <= 'z') || strchr("-._", s[i])))
			return false;
	return true;
}

/* The next entry of the list, without blanks and the brackets of an IPv6 address; moves *list
 * behind it. False: the end. */
static bool next_entry(const char **list, const char **ret, size_t *ret_len)
{
	const char *s = *list;

	if (*s == '\0')
		return false;
	size_t len = strcspn(s, ",");

	*list = s + len + (s[len] == ',');
	while (len > 0 && *s == ' ') {
		s++;
		len--;
	}
	while (len > 0 && s[len - 1] == ' ')
		len--;
	if (len > 2 && s[0] == '[' && s[len - 1] == ']') {
		s++;
		len -= 2;
	}
	*ret = s;
	*ret_len = len;
	return true;
}

bool http_hosts_init(struct http_hosts *h, const char *listen, const char *listed, struct err *err)
{
	const char *list = listed;
	const char *entry;
	size_t len;

	h->listed = listed;
	h->any = *listed == '\0' && !is_loopback(listen, strlen(listen));
	while (next_entry(&list, &entry, &len)) {
		if (same(entry, len, "*", 1))
			h->any = true;
		else if (!is_name(entry, len))
			return err_set(err,
				       "\"%.*s\" is not the name or address of a host: write it "
				       "without scheme, port and path",
				       (int)min_size(len, HOST_MAX), entry);
	}
	return true;
}

/* Cuts off the port and the brackets. False: this is no host. */
static bool without_port(const char **host, size_t *len)
{
	const char *s = *host;
	const char *end = s + *len;
	const char *port;

	if (*len > 0 && *s == '[') {
		const char *close = memchr(s, ']', *len);

		if (!close)
			return false;
		*host = s + 1;
		*len = (size_t)(close - s) - 1;
		port = close + 1;
		if (port < end && *port != ':')
			return false;
	} else {
		port = memchr(s, ':', *len);
		port = port ? port : end;
		*len = (size_t)(port - s);
	}
	for (const char *p = port < end ? port + 1 : end; p < end; p++)
		if (*p < '0' || *p > '9')
			return false;
	/* 1 */
	if (*len > 1 && (*host)[*len - 1] == '.')
		--*len;
	return *len > 0;
}

bool http_hosts_serve(const struct http_hosts *h, const char *host, size_t len)
{
	const char *list = h->listed;
	const char *entry;
	size_t n;

	if (h->any)
		return true;
	if (!without_port(&host, &len))
		return false;
	/* 2 */
	if (is_loopback(host, len))
		return true;
	/* 3 */
	while (next_entry(&list, &entry, &n)) {
		if (same(host, len, entry, n))
			return true;
		if (n > 1 && entry[0] == '.' &&
		    (same(host, len, entry + 1, n - 1) ||
		     (len > n && same(host + len - n, n, entry, n))))
			return true;
	}
	/* 4 */
	return false;
}
