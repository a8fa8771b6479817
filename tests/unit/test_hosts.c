/* test_hosts.c: several hosts in a connection string, which listeners here stand in for. Companions:
 * common/pg/db_connect.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/pg/db.h"

static void test_count(void **state)
{
	static const struct {
		const char *uri;
		unsigned n;
	} rows[] = {
		{ "postgresql://u:p@a/db", 1 },
		{ "postgresql://u:p@a:1,b:2,c/db", 3 },
		{ "postgresql:///db", 1 },
		{ "host=a,b port=5432", 2 },
		{ "host=a,b hostaddr=10.0.0.1,10.0.0.2", 2 },
		{ "hostaddr=10.0.0.1,10.0.0.2,10.0.0.3", 3 },
		{ "host=/tmp", 1 },
		{ "no=such setting", 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (db_host_count(rows[i].uri) != rows[i].n)
			print_error("row %zu: %s\n", i, rows[i].uri);
		assert_int_equal(db_host_count(rows[i].uri), rows[i].n);
	}
}

/* ---- the order in which they are tried ---- */

#define HOSTS 3

struct listeners {
	int fd[HOSTS], port[HOSTS];
	char order[16]; /* "012": who was tried, in this order */
	atomic_bool end;
};

/* Nobody is let in: the next one is tried. */
static void *turn_away(void *arg)
{
	struct listeners *l = arg;
	struct pollfd fds[HOSTS];

	while (!atomic_load(&l->end)) {
		for (size_t i = 0; i < HOSTS; i++)
			fds[i] = (struct pollfd){ .fd = l->fd[i], .events = POLLIN };
		if (poll(fds, HOSTS, 20) <= 0)
			continue;
		for (size_t i = 0; i < HOSTS; i++) {
			if (!(fds[i].revents & POLLIN))
				continue;
			int fd = accept(l->fd[i], NULL, NULL);
			size_t n = strlen(l->order);

			if (n + 1 < sizeof(l->order))
				l->order[n] = (char)('0' + i);
			close(fd);
		}
	}
	return NULL;
}

static void listen_all(struct listeners *l)
{
	memset(l, 0, sizeof(*l));
	for (size_t i = 0; i < HOSTS; i++) {
		struct sockaddr_in a = { .sin_family = AF_INET,
					 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		socklen_t size = sizeof(a);

		l->fd[i] = socket(AF_INET, SOCK_STREAM, 0);
		assert_int_equal(bind(l->fd[i], (struct sockaddr *)&a, sizeof(a)), 0);
		assert_int_equal(listen(l->fd[i], 8), 0);
		assert_int_equal(getsockname(l->fd[i], (struct sockaddr *)&a, &size), 0);
		l->port[i] = ntohs(a.sin_port);
	}
}

static void first_tried(const char *host, unsigned turn, char first)
{
	const struct db_options opt = { .application_name = "test", .host_turn = turn };
	struct listeners l;
	char filled[256];
	pthread_t thread;
	struct err err;

	listen_all(&l);
	snprintf(filled, sizeof(filled),
		 "%s=127.0.0.1,127.0.0.1,127.0.0.1 port=%d,%d,%d sslmode=disable "
		 "gssencmode=disable",
		 host, l.port[0], l.port[1], l.port[2]);
	assert_int_equal(pthread_create(&thread, NULL, turn_away, &l), 0);
	assert_null(db_connect_raw(filled, &opt, &err));
	atomic_store(&l.end, true);
	pthread_join(thread, NULL);
	for (size_t i = 0; i < HOSTS; i++)
		close(l.fd[i]);
	if (l.order[0] != first)
		print_error("turned by %u: tried in the order %s\n", turn, l.order);
	assert_int_equal(l.order[0], first);
}

static void test_turn(void **state)
{
	(void)state;
	for (unsigned turn = 0; turn < 5; turn++) {
		first_tried("host", turn, (char)('0' + turn % 3));
		first_tried("hostaddr", turn, (char)('0' + turn % 3));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_count),
		cmocka_unit_test(test_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
