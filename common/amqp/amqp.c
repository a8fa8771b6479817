/*
 * amqp.c: the connection to RabbitMQ: opening, closing, and what can be said about it without
 * asking the broker.
 *
 * Promise: every wait is bounded, also if the broker is stopped, cut off or out of memory:
 *   connecting    the timeout of amqp_open(); only the name look-up is bounded by the resolver
 *   synchronous   RPC_TIMEOUT_MS, then the link is broken
 *   reading       never waits; no sign of life for two heartbeats breaks the link
 *   publishing    amqp_can_publish() is false unless the socket takes the message at once; as a
 *                 last resort TCP_USER_TIMEOUT ends a connection whose data nobody takes
 *
 * One thread owns a link all its life.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "common/amqp/amqp_private.h"
#include "common/base/uri.h"

#define HEARTBEAT_S	10
#define FRAME_MAX	131072
#define RPC_TIMEOUT_MS	7000
#define GOODBYE_MS	200
#define SNDBUF_BYTES	(1024 * 1024)
#define USER_TIMEOUT_MS 30000
#define CA_FILE		"/etc/ssl/certs/ca-certificates.crt"

/* Which URL of the list worked last: where the next amqp_open() begins. A hint, shared by all links
 * of the process. */
static atomic_size_t last_good;

static struct timeval timeval_ms(int64_t ms)
{
	return (struct timeval){ .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
}

bool amqp_link_broken(struct amqp_link *l, struct err *err, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	l->broken = true;
	return err_set(err, "%s: %s", l->peer, text);
}

int amqp_rpc_reason(amqp_rpc_reply_t r, char *buf, size_t size)
{
	int code = 0;
	amqp_bytes_t text = amqp_empty_bytes;

	if (r.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION &&
	    r.reply.id == AMQP_CONNECTION_CLOSE_METHOD) {
		const amqp_connection_close_t *m = r.reply.decoded;
		code = m->reply_code;
		text = m->reply_text;
	} else if (r.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION &&
		   r.reply.id == AMQP_CHANNEL_CLOSE_METHOD) {
		const amqp_channel_close_t *m = r.reply.decoded;
		code = m->reply_code;
		text = m->reply_text;
	}
	if (code)
		snprintf(buf, size, "%d: %.*s", code, (int)text.len, (const char *)text.bytes);
	else if (r.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION)
		snprintf(buf, size, "%s", amqp_error_string2(r.library_error));
	else
		snprintf(buf, size, "an answer that does not fit the question");
	return code;
}

bool amqp_rpc_ok(struct amqp_link *l, amqp_rpc_reply_t r, const char *what, struct err *err)
{
	char reason[320];

	if (r.reply_type == AMQP_RESPONSE_NORMAL)
		return true;
	amqp_rpc_reason(r, reason, sizeof(reason));
	return amqp_link_broken(l, err, "%s: %s", what, reason);
}

static bool tune_socket(struct amqp_link *l, struct err *err)
{
	const struct {
		int level, name, value;
	} options[] = {
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS },
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, 5 },
		{ IPPROTO_TCP, TCP_KEEPINTVL, 2 },
		{ IPPROTO_TCP, TCP_KEEPCNT, 3 },
		/* A fixed size, so that "a third is free" is a number; the kernel gives what
		   net.core.wmem_max allows. */
		{ SOL_SOCKET, SO_SNDBUF, SNDBUF_BYTES },
	};
	socklen_t len = sizeof(l->sndbuf);

	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (setsockopt(l->fd, options[i].level, options[i].name, &options[i].value,
			       sizeof(int)) != 0)
			return amqp_link_broken(l, err, "setting a socket option: %s",
						strerror(errno));
	if (getsockopt(l->fd, SOL_SOCKET, SO_SNDBUF, &l->sndbuf, &len) != 0)
		return amqp_link_broken(l, err, "reading a socket option: %s", strerror(errno));
	return true;
}

static bool connect_socket(struct amqp_link *l, const struct amqp_connection_info *info,
			   int64_t timeout_ms, struct err *err)
{
	struct timeval timeout = timeval_ms(timeout_ms);
	amqp_socket_t *s;
	int rc;

	if (info->ssl) {
		/* Certificate and host name are verified, which is the library's default. */
		const char *ca = getenv("SSL_CERT_FILE");
		if (!ca || !*ca)
			ca = CA_FILE;
		s = amqp_ssl_socket_new(l->conn);
		if (!s)
			return amqp_link_broken(l, err, "cannot set up TLS");
		if (amqp_ssl_socket_set_cacert(s, ca) != AMQP_STATUS_OK)
			return amqp_link_broken(l, err,
						"cannot read CA certificates from %s "
						"(SSL_CERT_FILE names another file)",
						ca);
		if (amqp_ssl_socket_set_ssl_versions(s, AMQP_TLSv1_2, AMQP_TLSvLATEST) !=
		    AMQP_STATUS_OK)
			return amqp_link_broken(l, err, "TLS 1.2 is not available");
	} else {
		s = amqp_tcp_socket_new(l->conn);
		if (!s)
			fatal("out of memory");
	}
	rc = amqp_socket_open_noblock(s, info->host, info->port, &timeout);
	if (rc != AMQP_STATUS_OK)
		return amqp_link_broken(l, err, "cannot connect: %s", amqp_error_string2(rc));
	l->fd = amqp_get_sockfd(l->conn);
	return tune_socket(l, err);
}

static amqp_table_entry_t entry_bool(const char *key)
{
	return (amqp_table_entry_t){ .key = amqp_cstring_bytes(key),
				     .value = { .kind = AMQP_FIELD_KIND_BOOLEAN,
						.value.boolean = 1 } };
}

static bool login(struct amqp_link *l, const struct amqp_connection_info *info, const char *name,
		  int64_t timeout_ms, struct err *err)
{
	/* The broker sends connection.blocked and basic.cancel only to those who announce that they
	 * understand them. */
	amqp_table_entry_t capabilities[] = { entry_bool("connection.blocked"),
					      entry_bool("consumer_cancel_notify"),
					      entry_bool("basic.nack"),
					      entry_bool("publisher_confirms") };
	amqp_table_entry_t properties[] = {
		{ .key = amqp_cstring_bytes("connection_name"),
		  .value = { .kind = AMQP_FIELD_KIND_UTF8,
			     .value.bytes = amqp_cstring_bytes(name) } },
		{ .key = amqp_cstring_bytes("capabilities"),
		  .value = { .kind = AMQP_FIELD_KIND_TABLE,
			     .value.table = { .num_entries = ARRAY_SIZE(capabilities),
					      .entries = capabilities } } },
	};
	amqp_table_t table = { .num_entries = ARRAY_SIZE(properties), .entries = properties };
	const char *vhost = *info->vhost ? info->vhost : "/";
	struct timeval handshake = timeval_ms(timeout_ms), rpc = timeval_ms(RPC_TIMEOUT_MS);

	if (amqp_set_handshake_timeout(l->conn, &handshake) != AMQP_STATUS_OK ||
	    amqp_set_rpc_timeout(l->conn, &rpc) != AMQP_STATUS_OK)
		return amqp_link_broken(l, err, "cannot set timeouts");
	if (!amqp_rpc_ok(l,
			 amqp_login_with_properties(l->conn, vhost, 0, FRAME_MAX, HEARTBEAT_S,
						    &table, AMQP_SASL_METHOD_PLAIN, info->user,
						    info->password),
			 "login", err))
		return false;
	amqp_channel_open(l->conn, AMQP_CHANNEL);
	if (!amqp_rpc_ok(l, amqp_get_rpc_reply(l->conn), "opening a channel", err))
		return false;
	amqp_confirm_select(l->conn, AMQP_CHANNEL);
	return amqp_rpc_ok(l, amqp_get_rpc_reply(l->conn), "switching confirms on", err);
}

/* One URL. A URL that ends in a bare "/" means the virtual host "/": by the letter of the AMQP URI
 * rules it would be the one with the empty name, which nobody has. */
static struct amqp_link *open_one(const char *url, const char *name, int64_t timeout_ms,
				  struct err *err)
{
	AUTO_FREE char *copy = xstrdup(url);
	struct amqp_connection_info info;
	struct mono start = mono_now();
	struct amqp_link *l;
	uint64_t random;

	if (amqp_parse_url(copy, &info) != AMQP_STATUS_OK) {
		char shown[256];
		uri_scrub(url, shown, sizeof(shown));
		err_set(err,
			"%s: not a broker URL: write amqp://user:password@host:port/vhost, "
			"special characters as %%xx",
			shown);
		explicit_bzero(copy, strlen(url));
		return NULL;
	}
	l = xcalloc(1, sizeof(*l));
	l->fd = -1;
	l->first = l->next = 1;
	l->ask_channel = AMQP_PROBE_CHANNEL;
	l->cap = 1024;
	l->ring = xcalloc(l->cap, sizeof(*l->ring));
	snprintf(l->peer, sizeof(l->peer), "%s:%d", info.host, info.port);
	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		random = (uint64_t)wall_now_us() ^ (uintptr_t)l;
	snprintf(l->boot, sizeof(l->boot), "%016llx", (unsigned long long)random);
	amqp_incoming_init(&l->in);
	l->conn = amqp_new_connection();
	if (!l->conn)
		fatal("out of memory");
	if (!connect_socket(l, &info, timeout_ms, err))
		goto fail;
	timeout_ms -= mono_diff_us(mono_now(), start) / 1000;
	if (!login(l, &info, name, timeout_ms > 100 ? timeout_ms : 100, err))
		goto fail;
	explicit_bzero(copy, strlen(url));
	l->serviced = mono_now();
	return l;
fail:
	explicit_bzero(copy, strlen(url));
	amqp_close(l);
	return NULL;
}

struct amqp_link *amqp_open(const char *urls, const char *connection_name, int64_t timeout_ms,
			    struct err *err)
{
	size_t n = 1;

	for (const char *c = urls; *c; c++)
		n += *c == ',';
	size_t begin = atomic_load_explicit(&last_good, memory_order_relaxed);
	for (size_t try = 0; try < n; try++) {
		size_t index = (begin + try) % n;
		const char *at = urls;
		for (size_t i = 0; i < index; i++)
			at = strchr(at, ',') + 1;
		at += strspn(at, " ");
		size_t len = strcspn(at, ",");
		while (len && at[len - 1] == ' ')
			len--;
		char *url = xstrndup(at, len);
		struct amqp_link *l = open_one(url, connection_name, timeout_ms, err);
		explicit_bzero(url, len);
		free(url);
		if (l) {
			atomic_store_explicit(&last_good, index, memory_order_relaxed);
			return l;
		}
	}
	if (n > 1)
		err_prefix(err, "none of %zu brokers could be used, the last one", n);
	return NULL;
}

void amqp_close(struct amqp_link *l)
{
	if (!l)
		return;
	if (!l->broken && !l->blocked && amqp_writable(l)) {
		struct timeval rpc = timeval_ms(GOODBYE_MS);
		if (amqp_set_rpc_timeout(l->conn, &rpc) == AMQP_STATUS_OK)
			(void)amqp_connection_close(l->conn, AMQP_REPLY_SUCCESS);
	}
	(void)amqp_destroy_connection(l->conn);
	amqp_incoming_clear(&l->in);
	free(l->ring);
	free(l);
}

bool amqp_writable(const struct amqp_link *l)
{
	/* Linux says POLLOUT only if what is free is at least half of what is used. */
	struct pollfd p = { .fd = l->fd, .events = POLLOUT };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT);
}

bool amqp_readable(const struct amqp_link *l)
{
	struct pollfd p = { .fd = l->fd, .events = POLLIN };

	return amqp_pending(l) || poll(&p, 1, 0) == 1;
}

int amqp_fd(const struct amqp_link *l)
{
	return l->fd;
}

const char *amqp_peer(const struct amqp_link *l)
{
	return l->peer;
}

bool amqp_blocked(const struct amqp_link *l)
{
	return l->blocked;
}

int amqp_service_ms(const struct amqp_link *l)
{
	int s = amqp_get_heartbeat(l->conn);

	return (s > 0 ? s : HEARTBEAT_S) * 1000 / 4;
}

bool amqp_pending(const struct amqp_link *l)
{
	return amqp_frames_enqueued(l->conn) || amqp_data_in_buffer(l->conn);
}
