/* test_rebuild_probe.c: who answers is alive, whatever it answers; who does not is silent, after the time it was given. Companion:
 * consumer/reset/rebuild_probe.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "consumer/reset/rebuild_probe.h"

struct server {
	int listener, client;
};

/* A listener on a free port, and a client connected to it, as a session is. */
static void server_open(struct server *s)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);

	s->listener = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(s->listener, (struct sockaddr *)&a, len), 0);
	assert_int_equal(listen(s->listener, 5), 0);
	assert_int_equal(getsockname(s->listener, (struct sockaddr *)&a, &len), 0);
	s->client = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(s->client, (struct sockaddr *)&a, len), 0);
	close(accept(s->listener, NULL, NULL));
}

static void server_close(struct server *s)
{
	close(s->client);
	if (s->listener >= 0)
		close(s->listener);
}

static void test_alive(void **state)
{
	static const unsigned char ssl_request[] = { 0, 0, 0, 8, 4, 210, 22, 47 };
	struct mono now = { 1000000 };
	unsigned char got[64];
	struct probe p = { 0 };
	struct server s;
	(void)state;

	server_open(&s);
	probe_start(&p, s.client, now, 500);
	assert_true(p.asking);
	assert_int_equal(probe_turn(&p, now), PROBE_WAITING);
	int conn = accept(s.listener, NULL, NULL);
	assert_int_equal(probe_turn(&p, now), PROBE_WAITING);
	assert_int_equal(recv(conn, got, sizeof(got), 0), sizeof(ssl_request));
	assert_memory_equal(got, ssl_request, sizeof(ssl_request));
	assert_int_equal(send(conn, "N", 1, 0), 1);
	/* Also after its time, if nobody looked before: an answer is an answer. */
	assert_int_equal(probe_turn(&p, mono_add_ms(now, 9999)), PROBE_ALIVE);
	assert_false(p.asking);
	close(conn);
	server_close(&s);
}

static void test_silent(void **state)
{
	struct mono now = { 1000000 };
	struct probe p = { 0 };
	struct server s;
	(void)state;

	/* As a stopped process: the kernel takes the connection and the question. */
	server_open(&s);
	probe_start(&p, s.client, now, 500);
	assert_int_equal(probe_turn(&p, mono_add_ms(now, 499)), PROBE_WAITING);
	assert_int_equal(probe_turn(&p, mono_add_ms(now, 500)), PROBE_SILENT);
	assert_false(p.asking);
	/* Nobody there at all. */
	close(s.listener);
	s.listener = -1;
	probe_start(&p, s.client, now, 500);
	assert_int_equal(probe_turn(&p, now), PROBE_WAITING);
	assert_int_equal(probe_turn(&p, mono_add_ms(now, 500)), PROBE_SILENT);
	/* No session that could tell the address. */
	probe_start(&p, -1, now, 500);
	assert_int_equal(probe_turn(&p, now), PROBE_WAITING);
	assert_int_equal(probe_turn(&p, mono_add_ms(now, 500)), PROBE_SILENT);
	probe_stop(&p);
	server_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alive),
		cmocka_unit_test(test_silent),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
