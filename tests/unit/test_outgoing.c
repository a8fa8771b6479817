/*
 * Copies on their way to a queue, against a broker that is a few numbers: each is sent until its
 * owner lets it go, in order, also after the link was lost. What common/amqp/outgoing.c asks of
 * common/amqp/amqp.h is played here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/amqp/outgoing.h"

static struct {
	char body[8];
	uint64_t last_no;
	size_t sent, room;
	bool broken, blocked;
} broker;

bool amqp_blocked(const struct amqp_link *l)
{
	(void)l;
	return broker.blocked;
}

size_t amqp_unsettled(const struct amqp_link *l)
{
	(void)l;
	return broker.sent;
}

bool amqp_can_publish(const struct amqp_link *l, size_t bytes)
{
	(void)l;
	return bytes <= broker.room;
}

bool amqp_send(struct amqp_link *l, const struct amqp_publish *p, uint64_t *ret_no, struct err *err)
{
	(void)l;
	if (broker.broken)
		return err_set(err, "broken");
	strncat(broker.body, p->body, p->len);
	broker.room -= p->len < broker.room ? p->len : broker.room;
	broker.sent++;
	*ret_no = ++broker.last_no;
	return true;
}

struct item {
	struct outgoing_copy copy;
	int answers;
};

static struct outgoing out;
static char gone[8];

/* Only what is confirmed is let go. */
static bool on_settled(void *arg, struct outgoing_copy *c, enum amqp_settled how)
{
	struct item *i = (struct item *)c;

	assert_ptr_equal(arg, &out);
	i->answers++;
	broker.sent--;
	if (how == AMQP_CONFIRMED)
		strncat(gone, c->message.body, c->message.len);
	return how == AMQP_CONFIRMED;
}

static struct item *add(const char *body)
{
	char key[] = "queue", text[] = "text", value[] = "";
	const struct amqp_header headers[] = { { .key = key, .str = value }, { text, NULL, 7 } };
	const struct amqp_publish p = { .exchange = "",
					.routing_key = key,
					.type = text,
					.headers = headers,
					.nheaders = ARRAY_SIZE(headers),
					.body = body,
					.len = strlen(body) };
	struct outgoing_copy *c = outgoing_add(&out, &p, sizeof(struct item));

	memset(key, '!', strlen(key));
	memset(text, '!', strlen(text));
	assert_string_equal(c->message.exchange, "");
	assert_string_equal(c->message.routing_key, "queue");
	assert_string_equal(c->message.type, "text");
	assert_null(c->message.message_id);
	assert_string_equal(c->message.headers[0].key, "queue");
	assert_string_equal(c->message.headers[0].str, "");
	assert_null(c->message.headers[1].str);
	assert_int_equal(c->message.headers[1].num, 7);
	return (struct item *)c;
}

static void send_all(const char *expected)
{
	struct err err;

	broker.body[0] = '\0';
	assert_true(outgoing_send(&out, NULL, &err));
	assert_string_equal(broker.body, expected);
}

static int setup(void **state)
{
	(void)state;
	memset(&broker, 0, sizeof(broker));
	broker.room = 100;
	gone[0] = '\0';
	outgoing_init(&out, 4, 1000000, on_settled, &out);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	outgoing_clear(&out);
	assert_int_equal(out.n, 0);
	assert_int_equal(out.bytes, 0);
	return 0;
}

static void confirmed_in_any_order(void **state)
{
	(void)state;
	add("a");
	add("b");
	add("c");
	send_all("abc");
	send_all("");
	outgoing_settled(&out, 3, AMQP_CONFIRMED);
	outgoing_settled(&out, 3, AMQP_CONFIRMED); /* gone: no news */
	outgoing_settled(&out, 1, AMQP_CONFIRMED);
	add("d"); /* behind b, although the last one has gone */
	outgoing_settled(&out, 2, AMQP_CONFIRMED);
	assert_string_equal(gone, "cab");
	send_all("d");
	outgoing_settled(&out, 4, AMQP_CONFIRMED);
	assert_int_equal(out.n, 0);
	assert_int_equal(out.bytes, 0);
}

static void refused_is_sent_again(void **state)
{
	static const enum amqp_settled refused[] = { AMQP_RETURNED, AMQP_NACKED };
	struct item *a = add("a");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		send_all("a");
		outgoing_settled(&out, i + 1, refused[i]);
		assert_int_equal(a->answers, i + 1);
		assert_int_equal(out.n, 1);
	}
	send_all("a");
	outgoing_settled(&out, 1, AMQP_CONFIRMED); /* an answer to the first time: not to this */
	assert_int_equal(out.n, 1);
	outgoing_settled(&out, 3, AMQP_CONFIRMED);
	assert_string_equal(gone, "a");
}

static void a_lost_link_loses_nothing(void **state)
{
	struct err err;

	(void)state;
	add("a");
	add("b");
	send_all("ab");
	outgoing_settled(&out, 2, AMQP_CONFIRMED);
	broker.broken = true;
	add("c");
	assert_false(outgoing_send(&out, NULL, &err));
	outgoing_unsend(&out);
	broker.broken = false;
	broker.sent = 0;
	send_all("ac");
}

static void held_is_passed_over(void **state)
{
	struct item *a = add("a");

	(void)state;
	a->copy.state = OUTGOING_HELD;
	add("b");
	send_all("b");
	a->copy.state = OUTGOING_TO_SEND;
	send_all("a");
}

static void the_link_says_how_much(void **state)
{
	(void)state;
	broker.room = 1;
	add("aa"); /* larger than the room: alone */
	add("b");
	send_all("aa");
	send_all("");
	outgoing_settled(&out, 1, AMQP_CONFIRMED);
	broker.blocked = true;
	send_all("");
	broker.blocked = false;
	send_all("b");
}

static void the_bound(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		assert_false(outgoing_full(&out));
		add("a");
	}
	assert_true(outgoing_full(&out));
	outgoing_clear(&out);
	out.most_bytes = 1;
	add("a");
	assert_true(outgoing_full(&out));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(confirmed_in_any_order),	 TEST(refused_is_sent_again),
		TEST(a_lost_link_loses_nothing), TEST(held_is_passed_over),
		TEST(the_link_says_how_much),	 TEST(the_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
