/*
 * The pace of big transactions against replicas that answer as each test likes: who is waited for, for how long, and when
 * marks are sent. What api/relay/pace.c asks of common/amqp/amqp.h and common/wire/topology.h is played here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "api/relay/pace.h"
#include "common/wire/topology.h"

#define CHUNK 1000

static struct {
	char key[64], body[128];
} sent[4096];
static size_t nsent, room, listened;

static const struct stream stream = {
	.number = 1, .text = "1", .name = "products", .exchange = "products"
};

void topology_type(char *buf, const struct stream *s, const char *kind)
{
	snprintf(buf, TOPOLOGY_NAME_MAX, "%s.%s", s->name, kind);
}

void topology_queue(char *buf, const struct stream *s, enum change_kind kind, const char *replica)
{
	assert_ptr_equal(s, &stream);
	snprintf(buf, TOPOLOGY_NAME_MAX, "%s.%s", change_kind_name(kind), replica);
}

bool amqp_can_publish(const struct amqp_link *l, size_t bytes)
{
	(void)l;
	(void)bytes;
	return room > 0;
}

bool amqp_consume_replies(struct amqp_link *l, struct err *err)
{
	(void)l;
	(void)err;
	assert_int_equal(nsent, 0); /* before the first mark */
	listened++;
	return true;
}

bool amqp_send(struct amqp_link *l, const struct amqp_publish *p, uint64_t *ret_no, struct err *err)
{
	(void)l;
	(void)err;
	assert_true(nsent < ARRAY_SIZE(sent));
	assert_string_equal(p->type, "products.mark");
	assert_string_equal(p->exchange, "");
	assert_string_equal(p->reply_to, "amq.rabbitmq.reply-to");
	snprintf(sent[nsent].key, sizeof(sent[nsent].key), "%s", p->routing_key);
	snprintf(sent[nsent].body, sizeof(sent[nsent].body), "%.*s", (int)p->len, p->body);
	room--;
	*ret_no = ++nsent;
	return true;
}

static const char *const replicas[] = { "r1", "r2" };
static struct pace *pace;
static struct mono now;
static struct outbox_row rows[CHUNK];

static int setup(void **state)
{
	(void)state;
	nsent = listened = 0;
	room = SIZE_MAX;
	now.us = 1000000;
	pace = pace_new(&stream, replicas, 2);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	pace_free(pace);
	return 0;
}

static enum publisher_run run(void)
{
	struct err err;

	return pace_run(pace, NULL, "s", now, &err);
}

static void add(enum change_kind kind)
{
	struct outbox_chunk c = { .rows = rows, .n = CHUNK };

	for (size_t i = 0; i < CHUNK; i++)
		rows[i].kind = kind;
	pace_add(pace, &c);
	run();
}

static bool open_now(void)
{
	struct mono until;

	return pace_open(pace, now, &until);
}

/* Chunks until it holds; how many. */
static size_t fill(enum change_kind kind, size_t most)
{
	size_t n = 0;

	for (; n < most && open_now(); n++)
		add(kind);
	return n;
}

static void answer(const char *body)
{
	const struct amqp_delivery d = { .body = body, .len = strlen(body) };

	pace_answer(pace, &d, now);
}

/* The newest mark in the queue. */
static const char *mark_of(const char *queue)
{
	for (size_t i = nsent; i > 0; i--)
		if (strcmp(sent[i - 1].key, queue) == 0)
			return sent[i - 1].body;
	fail_msg("no mark in %s", queue);
	return NULL;
}

static size_t marks_of(const char *queue)
{
	size_t n = 0;

	for (size_t i = 0; i < nsent; i++)
		n += strcmp(sent[i].key, queue) == 0;
	return n;
}

static void test_holds_until_every_replica_has_answered(void **state)
{
	struct mono until;

	(void)state;
	assert_int_equal(fill(CHANGE_SYNC, 1000), 20);
	assert_int_equal(listened, 1);
	assert_int_equal(marks_of("sync.r1"), 10);
	assert_int_equal(marks_of("sync.r2"), 10);
	assert_int_equal(nsent, 20); /* none where there is nothing to measure */
	assert_false(pace_open(pace, now, &until));
	assert_int_equal(until.us, now.us + 1000000);
	now.us += 100000;
	answer(mark_of("sync.r1"));
	assert_false(open_now());
	answer(mark_of("sync.r2"));
	assert_int_equal(fill(CHANGE_DELETE, 1000), 25); /* it was quick: the window has grown */
	assert_true(marks_of("delete.r1") > 0);
}

static void test_the_window_follows_the_speed(void **state)
{
	size_t n = 20;

	(void)state;
	(void)fill(CHANGE_SYNC, 1000);
	now.us += 10000;
	answer(mark_of("sync.r1"));
	answer(mark_of("sync.r2"));
	/* From here on each round takes much longer than that one. */
	for (int round = 0; round < 20; round++) {
		n = fill(CHANGE_SYNC, 1000);
		now.us += 900000;
		answer(mark_of("sync.r1"));
		answer(mark_of("sync.r2"));
	}
	assert_in_range(n, 1, 5);
	/* And now quick again. */
	for (int round = 0; round < 40; round++) {
		n = fill(CHANGE_SYNC, 1000);
		now.us += 10000;
		answer(mark_of("sync.r1"));
		answer(mark_of("sync.r2"));
	}
	assert_in_range(n, 40, 65);
}

static void test_who_does_not_answer_is_left_out(void **state)
{
	size_t marks;

	(void)state;
	(void)fill(CHANGE_SYNC, 1000);
	now.us += 10000;
	answer(mark_of("sync.r1"));
	(void)fill(CHANGE_SYNC, 1000);
	now.us += 1000000;
	answer(mark_of("sync.r1"));
	assert_true(open_now()); /* r2 has been waited for long enough */
	marks = marks_of("sync.r2");
	for (int i = 0; i < 100; i++) {
		now.us += 1000;
		(void)fill(CHANGE_SYNC, 5);
		answer(mark_of("sync.r1"));
		assert_true(open_now());
	}
	assert_int_equal(marks_of("sync.r2"), marks);
	now.us += 10000000;
	add(CHANGE_SYNC);
	add(CHANGE_SYNC);
	assert_int_equal(marks_of("sync.r2"), marks + 1);
	answer(mark_of("sync.r1"));

	/* It is back, far behind: what waits for it grows no further, and nobody stops for it. */
	for (int i = 0; i < 200; i++) {
		(void)fill(CHANGE_SYNC, 1);
		answer(mark_of("sync.r1"));
	}
	answer(mark_of("sync.r2"));
	run();
	assert_int_equal(marks_of("sync.r2"), marks + 2);
	assert_false(open_now());
	now.us += 400000;
	answer(mark_of("sync.r2"));
	assert_true(open_now());
}

static void test_none_answers(void **state)
{
	(void)state;
	(void)fill(CHANGE_SYNC, 1000);
	assert_false(open_now());
	now.us += 1000000;
	assert_int_equal(fill(CHANGE_SYNC, 100), 100);
}

static void test_a_new_link(void **state)
{
	char old[128];

	(void)state;
	(void)fill(CHANGE_SYNC, 1000);
	snprintf(old, sizeof(old), "%s", mark_of("sync.r1"));
	pace_drop(pace);
	nsent = 0;
	assert_int_equal(fill(CHANGE_SYNC, 3), 3);
	assert_int_equal(listened, 2);
	answer(old); /* says of more than was sent: not counted */
	assert_int_equal(fill(CHANGE_SYNC, 1000), 17);
}

static void test_a_full_socket_and_strange_answers(void **state)
{
	static const char *const strange[] = {
		"",
		"{}",
		"[]",
		"{\"queue\":0,\"changes\":2000}",
		"{\"queue\":4,\"changes\":2000,\"sent\":1}",
		"{\"queue\":-1,\"changes\":2000,\"sent\":1}",
		"{\"queue\":0,\"changes\":2000000,\"sent\":1}",
		"{\"queue\":0,\"changes\":2000,\"sent\":99999999999}",
		"{\"queue\":0,\"changes\":2000,\"sent\":1,\"more\":1}",
		"{\"queue\":0,\"queue\":0,\"changes\":2000,\"sent\":1}",
	};

	(void)state;
	room = 0;
	add(CHANGE_SYNC);
	add(CHANGE_SYNC);
	assert_int_equal(run(), PUBLISHER_FULL);
	assert_int_equal(listened, 0);
	room = SIZE_MAX;
	assert_int_equal(run(), PUBLISHER_IDLE);
	assert_int_equal(nsent, 2);
	(void)fill(CHANGE_SYNC, 1000);
	answer(mark_of("sync.r2"));
	for (size_t i = 0; i < ARRAY_SIZE(strange); i++) {
		answer(strange[i]);
		if (open_now())
			print_error("row: %s\n", strange[i]);
		assert_false(open_now());
	}
	answer(mark_of("sync.r1"));
	assert_true(open_now());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_holds_until_every_replica_has_answered, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_the_window_follows_the_speed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_who_does_not_answer_is_left_out, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_none_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_new_link, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_full_socket_and_strange_answers, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
