/*
 * Heartbeats against a broker that is an array: none goes before what was claimed ahead of it is confirmed, and its record
 * is given back once, when all queues have answered.
 *
 * What api/relay/heartbeats.c and api/relay/publisher.c ask of common/amqp/amqp.h and common/wire/topology.h is played here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "api/relay/heartbeats.h"
#include "tests/unit/tables_for_tests.h"
#include "tests/unit/products_stream_for_tests.h"

static struct {
	char key[64];
	bool beat;
} sent[64];
static size_t nsent, room;
static struct publisher *pub;
static struct heartbeats *beats;
static uint64_t xid; /* these two: of the heartbeat to be sent next */
static int64_t lsn;

static const struct outbox_term terms[] = { { 8, { 0, 0 } }, { 5, { 20, 30 } } };
static struct outbox_facts facts = { "s", INT64_MAX, 4711, terms, 2 };

bool amqp_can_publish(const struct amqp_link *l, size_t bytes)
{
	(void)l;
	(void)bytes;
	return room > 0;
}

bool amqp_send(struct amqp_link *l, const struct amqp_publish *p, uint64_t *ret_no, struct err *err)
{
	(void)l;
	(void)err;
	assert_true(nsent < ARRAY_SIZE(sent));
	room--;
	sent[nsent].beat = strcmp(p->type, "products.heartbeat") == 0;
	if (sent[nsent].beat) {
		char body[256];
		snprintf(
			body, sizeof(body),
			"{\"at\":\"2000-01-01T00:00:09.000000Z\",\"version\":4711,\"terms\":["
			"{\"term\":8,\"sync\":0,\"delete\":%d},{\"term\":5,\"sync\":20,\"delete\":30}]}",
			(int)publisher_confirmed_messages(pub)[CHANGE_DELETE]);
		assert_string_equal(p->exchange, "");
		assert_int_equal(p->len, strlen(body));
		assert_memory_equal(p->body, body, p->len);
		assert_string_equal(p->headers[0].key, "x-xid");
		snprintf(body, sizeof(body), "%d", (int)xid);
		assert_string_equal(p->headers[0].str, body);
		assert_int_equal(p->nheaders, lsn ? 4 : 2);
		if (lsn) {
			assert_string_equal(p->headers[2].key, "x-lsn");
			assert_int_equal(p->headers[2].num, lsn);
			assert_string_equal(p->headers[3].key, "x-every");
			assert_int_equal(p->headers[3].num, 1000);
		}
	}
	snprintf(sent[nsent].key, sizeof(sent[nsent].key), "%s", p->routing_key);
	*ret_no = ++nsent;
	return true;
}

static const char *const replicas[] = { "r1", "r2" };

static int setup(void **state)
{
	(void)state;
	nsent = 0;
	room = 1000;
	lsn = 0;
	pub = publisher_new(&stream, 4, 10);
	beats = heartbeats_new(&stream, replicas, 2, 1000);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	heartbeats_free(beats);
	publisher_free(pub);
	return 0;
}

static struct shape_route *route;

/* A chunk with n changes, and a heartbeat recorded by transaction beat unless that is 0. True: an older one was replaced. */
static bool claim(size_t n, uint64_t beat, struct outbox_key *ret_old)
{
	struct outbox_chunk *c = publisher_chunk(pub);

	assert_non_null(c);
	if (c->cap < n) {
		c->rows = xreallocarray(c->rows, n, sizeof(*c->rows));
		c->cap = n;
	}
	for (c->n = 0; c->n < n; c->n++)
		c->rows[c->n] = (struct outbox_row){
			.route = route, .kind = CHANGE_DELETE, .version = 1, .xid = 1, .source = "s"
		};
	c->sweep_begins = c->sweep_ends = true;
	c->has_beat = beat != 0;
	c->beat = (struct outbox_key){ beat, 1 };
	c->beat_us = 9000000;
	c->beat_lsn = lsn;
	if (beat != 0 && nsent == 0)
		xid = beat;
	publisher_add(pub, c, true);
	return heartbeats_take(beats, c, pub, ret_old);
}

static enum publisher_run run(void)
{
	struct err err;

	(void)!publisher_run(pub, NULL, 8, 0, &err);
	return heartbeats_run(beats, pub, NULL, &facts, &err);
}

static void settle(uint64_t no, enum amqp_settled how)
{
	assert_int_equal(heartbeats_settled(beats, no, how), sent[no - 1].beat);
	if (!sent[no - 1].beat)
		publisher_settled(pub, no, how);
}

static void test_waits_for_what_was_claimed_before(void **state)
{
	struct outbox_key key;

	(void)state;
	assert_false(claim(2, 0, &key)); /* messages 1, 2; one at a time until one is confirmed */
	assert_false(claim(0, 50, &key));
	assert_true(heartbeats_busy(beats));
	run();
	assert_int_equal(nsent, 1);
	settle(1, AMQP_CONFIRMED);
	run();
	assert_int_equal(nsent, 2);
	assert_false(claim(1, 0, &key)); /* message 3: after it, so it does not matter */
	run();
	settle(3, AMQP_CONFIRMED);
	run();
	assert_int_equal(nsent, 3);
	settle(2, AMQP_CONFIRMED);
	assert_int_equal(run(), PUBLISHER_WAITS);
	assert_int_equal(nsent, 7);
	assert_string_equal(sent[3].key, "sync.r1");
	assert_string_equal(sent[4].key, "delete.r1");
	assert_string_equal(sent[5].key, "sync.r2");
	assert_string_equal(sent[6].key, "delete.r2");
	assert_int_equal(heartbeats_unanswered(beats), 4);
	assert_false(claim(1, 0, &key)); /* message 8: numbers of both share a sequence */
	run();
	settle(5, AMQP_CONFIRMED);
	settle(4, AMQP_CONFIRMED);
	settle(8, AMQP_CONFIRMED);
	settle(7, AMQP_CONFIRMED);
	assert_false(heartbeats_done(beats, &key));
	settle(6, AMQP_CONFIRMED);
	assert_true(heartbeats_done(beats, &key));
	assert_int_equal(key.xid, 50);
	assert_false(heartbeats_done(beats, &key));
	assert_false(heartbeats_busy(beats));
	assert_int_equal(publisher_confirmed_count(pub), 4);
}

static void test_not_after_a_refused_change(void **state)
{
	struct outbox_key key;

	(void)state;
	assert_false(claim(1, 50, &key));
	run();
	settle(1, AMQP_NACKED);
	run();
	assert_int_equal(nsent, 1);
	assert_true(heartbeats_busy(beats));
	publisher_drop(pub, false);
	heartbeats_drop(beats);
	assert_false(heartbeats_busy(beats));
	run();
	assert_int_equal(nsent, 1);
}

static void test_missing_and_refusing_queues_hold_up_nobody(void **state)
{
	struct outbox_key key;
	const char *replica;

	(void)state;
	assert_false(claim(0, 50, &key));
	room = 3;
	assert_int_equal(run(), PUBLISHER_FULL);
	assert_int_equal(nsent, 3);
	settle(1, AMQP_CONFIRMED);
	settle(2, AMQP_NACKED);
	settle(3, AMQP_RETURNED);
	assert_true(heartbeats_missing(beats, &replica));
	assert_string_equal(replica, "r2");
	assert_false(heartbeats_missing(beats, &replica));
	assert_false(heartbeats_done(beats, &key));
	room = 10;
	run();
	settle(4, AMQP_CONFIRMED);
	assert_true(heartbeats_done(beats, &key));
	enum amqp_settled how;
	assert_false(publisher_refused(pub, &how));
}

static void test_a_newer_one_replaces_one_that_waits(void **state)
{
	struct outbox_key key;

	(void)state;
	assert_false(claim(1, 50, &key));
	assert_true(claim(1, 51, &key));
	assert_int_equal(key.xid, 50);
	run();
	settle(1, AMQP_CONFIRMED);
	run();
	assert_int_equal(nsent, 2);
	settle(2, AMQP_CONFIRMED);
	run();
	assert_int_equal(nsent, 6);
	/* One that is on its way is left alone. */
	assert_false(claim(0, 52, &key));
	run();
	assert_int_equal(nsent, 6);
	for (uint64_t no = 3; no <= 6; no++)
		settle(no, AMQP_CONFIRMED);
	assert_true(heartbeats_done(beats, &key));
	assert_int_equal(key.xid, 51);
	xid = 52;
	run();
	assert_int_equal(nsent, 10);
}

/* The record of a version before has none. */
static void test_its_place_goes_with_it(void **state)
{
	struct outbox_key key;

	(void)state;
	lsn = INT64_C(0x100000020);
	assert_false(claim(0, 50, &key));
	run();
	assert_int_equal(nsent, 4);
	/* That of the one that waits is not that of the one on its way. */
	lsn = 0;
	assert_false(claim(0, 51, &key));
	for (uint64_t no = 1; no <= 4; no++)
		settle(no, AMQP_CONFIRMED);
	assert_true(heartbeats_done(beats, &key));
	xid = 51;
	run();
	assert_int_equal(nsent, 8);
}

int main(void)
{
	struct err err;

	route = shape_route_new(1);
	if (!shape_route_set(route, PRODUCTS_DESCRIPTION, &err))
		fatal("%s", err.text);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_waits_for_what_was_claimed_before, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_not_after_a_refused_change, setup, teardown),
		cmocka_unit_test_setup_teardown(test_missing_and_refusing_queues_hold_up_nobody,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_newer_one_replaces_one_that_waits, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_its_place_goes_with_it, setup, teardown),
	};

	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	shape_route_free(route);
	return failed;
}
