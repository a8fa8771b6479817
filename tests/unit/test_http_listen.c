/*
 * http.c: a host name with several addresses is listened on at all of them. The resolver is this
 * program's own. Companions: what the archive holds.
 */
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/http/http.h"

#define LOOPBACK(n) (0x7f000000u + (n))

static struct sockaddr_in found[4];
static struct sockaddr_in6 found6;
static struct addrinfo list[5];

/* 127.0.0.1 twice, as some machines' hosts files have it, an IPv6 address of no interface, and
 * 127.0.0.2. */
int getaddrinfo(const char *restrict node, const char *restrict service,
		const struct addrinfo *restrict hints, struct addrinfo **restrict ret)
{
	static const unsigned hosts[] = { LOOPBACK(1), LOOPBACK(1), 0, LOOPBACK(2) };
	(void)hints;

	assert_string_equal(node, "several");
	for (size_t i = 0; i < 4; i++) {
		found[i] = (struct sockaddr_in){ .sin_family = AF_INET,
						 .sin_port = htons((uint16_t)atoi(service)),
						 .sin_addr.s_addr = htonl(hosts[i]) };
		list[i] = (struct addrinfo){ .ai_family = AF_INET,
					     .ai_addrlen = sizeof(found[i]),
					     .ai_addr = (struct sockaddr *)(void *)&found[i],
					     .ai_next = i < 3 ? &list[i + 1] : NULL };
	}
	found6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = found[0].sin_port };
	memset(found6.sin6_addr.s6_addr, 0x20, sizeof(found6.sin6_addr.s6_addr));
	list[2].ai_family = AF_INET6;
	list[2].ai_addr = (struct sockaddr *)(void *)&found6;
	list[2].ai_addrlen = sizeof(found6);
	*ret = list;
	return 0;
}

void freeaddrinfo(struct addrinfo *ai)
{
	assert_ptr_equal(ai, list);
}

static void on_head(void *arg, struct http_request *r)
{
	(void)arg;
	(void)r;
}

static void on_whole(void *arg, struct http_request *r)
{
	(void)arg;
	http_reply(r, 200);
}

static int connect_to(unsigned host, uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons(port),
				 .sin_addr.s_addr = htonl(host) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)(void *)&a, sizeof(a)), 0);
	return fd;
}

/* A port that is free on 127.0.0.1, most probably on 127.0.0.2 too. */
static uint16_t free_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(LOOPBACK(1)) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)(void *)&a, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)(void *)&a, &len), 0);
	close(fd);
	return ntohs(a.sin_port);
}

static void test_all_addresses_answer(void **state)
{
	static const struct http_callbacks calls = { on_head, NULL, on_whole, on_head };
	static const char ask[] = "GET / HTTP/1.1\r\nHost: several\r\n\r\n";
	struct http_hosts hosts;
	struct http_sockets sockets, second;
	struct err err = { .text = "" };
	uint16_t port = free_port();
	(void)state;

	assert_true(http_hosts_init(&hosts, "several", "", &err));
	assert_true(http_listen("several", port, false, &sockets, &err));
	assert_int_equal(sockets.n, 2);
	assert_false(http_listen("several", port, false, &second, &err));
	assert_non_null(strstr(err.text, "in use"));
	struct http_server *s = http_open(
		&sockets, &(struct http_options){ .max_connections = 10, .hosts = &hosts }, &calls,
		NULL, &err);
	assert_non_null(s);
	for (unsigned round = 0; round < 4; round++) {
		int fd = connect_to(LOOPBACK(1 + round % 2), port);
		char answer[512] = "";

		assert_int_equal(write(fd, ask, strlen(ask)), (ssize_t)strlen(ask));
		for (int turn = 0; turn < 100; turn++) {
			struct pollfd p = { .fd = http_fd(s), .events = POLLIN };

			poll(&p, 1, http_wait_ms(s) < 100 ? http_wait_ms(s) : 100);
			http_run(s, mono_now());
			if (recv(fd, answer, sizeof(answer) - 1, MSG_DONTWAIT) > 0)
				break;
		}
		if (strncmp(answer, "HTTP/1.1 200", 12) != 0)
			fail_msg("round %u: \"%s\"", round, answer);
		close(fd);
	}
	http_close(s);
	/* All are given back. */
	assert_true(http_listen("several", port, false, &sockets, &err));
	http_sockets_close(&sockets);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_all_addresses_answer) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
