/*
 * amqp_ask.c: questions that are asked all at once, and answered one after another: declaring,
 * binding, counting, purging. See amqp.h.
 *
 * They go over a channel of their own, in a window of WINDOW, and never wait. The broker answers
 * in their order, so the oldest open question is the one that is answered:
 *   1. An answer that fits: yes.
 *   2. channel.close: the oldest one was refused, and the broker has thrown away all behind it. The
 *      rest of its group is skipped, the channel is opened again, and what belongs to later groups
 *      is asked once more. So a group is carried out up to its first refusal and not further:
 *      "is it there" followed by "declare it" never creates what was not there.
 *   3. No answer for ANSWER_MS: refused; the channel is left to itself and the next number is used.
 *      Twice in a row: it is the broker that does not answer, and the link is broken.
 *
 * While the broker pauses publishers it may not read from this connection: time stands still then.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/amqp/amqp_private.h"

#define WINDOW	     64
#define ANSWER_MS    7000
#define POLL_MS	     200
/* Far below what brokers allow. */
#define CHANNELS_MAX 1000

enum question_kind { ASK_EXCHANGE, ASK_QUEUE, ASK_OWN_QUEUE, ASK_BIND, ASK_COUNT, ASK_PURGE };

struct question {
	enum question_kind kind;
	unsigned group;
	amqp_bytes_t name; /* these and the entries: in the pool */
	amqp_bytes_t exchange, key;
	amqp_table_entry_t *entries;
	size_t nentries;
	enum amqp_answer answer;
	uint32_t messages; /* counted, or purged */
	char why[320];	   /* unless yes */
};

struct amqp_asks {
	amqp_pool_t pool;
	struct question *list;
	size_t n, cap;
	unsigned groups;
	size_t answered, sent; /* all before are */
	struct mono since;     /* the oldest open one is the oldest since then */
	bool unanswered;       /* the one before it was not answered at all */
};

struct amqp_asks *amqp_asks_new(void)
{
	struct amqp_asks *q = xcalloc(1, sizeof(*q));

	init_amqp_pool(&q->pool, 4096);
	return q;
}

struct amqp_asks *amqp_asks_free(struct amqp_asks *q)
{
	if (!q)
		return NULL;
	empty_amqp_pool(&q->pool);
	free(q->list);
	free(q);
	return NULL;
}

void amqp_asks_reset(struct amqp_asks *q)
{
	recycle_amqp_pool(&q->pool);
	q->n = q->answered = q->sent = 0;
	q->groups = 0;
	q->unanswered = false;
}

unsigned amqp_asks_group(struct amqp_asks *q)
{
	return q->groups++;
}

/* ---- what is asked ---- */

static void *pooled(struct amqp_asks *q, size_t size)
{
	void *p = amqp_pool_alloc(&q->pool, size);

	if (!p)
		fatal("out of memory");
	return p;
}

static amqp_bytes_t keep(struct amqp_asks *q, const char *text)
{
	size_t len = strlen(text);
	char *copy = pooled(q, len + 1);

	memcpy(copy, text, len + 1);
	return (amqp_bytes_t){ .len = len, .bytes = copy };
}

static struct question *add(struct amqp_asks *q, enum question_kind kind, const char *name)
{
	if (q->groups == 0)
		fatal("a question to the broker without a group");
	if (q->n == q->cap) {
		q->cap = q->cap ? q->cap * 2 : 32;
		q->list = xreallocarray(q->list, q->cap, sizeof(*q->list));
	}
	struct question *one = &q->list[q->n++];
	*one = (struct question){ .kind = kind, .group = q->groups - 1, .name = keep(q, name) };
	return one;
}

static void add_args(struct amqp_asks *q, struct question *one, const struct amqp_arg *args,
		     size_t nargs)
{
	one->entries = pooled(q, nargs * sizeof(*one->entries));
	one->nentries = nargs;
	for (size_t i = 0; i < nargs; i++) {
		amqp_table_entry_t *e = &one->entries[i];

		e->key = keep(q, args[i].key);
		if (args[i].str) {
			e->value.kind = AMQP_FIELD_KIND_UTF8;
			e->value.value.bytes = keep(q, args[i].str);
		} else {
			e->value.kind = AMQP_FIELD_KIND_I64;
			e->value.value.i64 = args[i].num;
		}
	}
}

void amqp_asks_exchange(struct amqp_asks *q, const char *name, const char *type)
{
	add(q, ASK_EXCHANGE, name)->key = keep(q, type);
}

void amqp_asks_queue(struct amqp_asks *q, const char *name, const struct amqp_arg *args,
		     size_t nargs)
{
	add_args(q, add(q, ASK_QUEUE, name), args, nargs);
}

void amqp_asks_own_queue(struct amqp_asks *q, const char *name)
{
	/* The type: a virtual host may have another default, which cannot be exclusive. */
	static const struct amqp_arg args[] = { { .key = "x-queue-type", .str = "classic" } };

	add_args(q, add(q, ASK_OWN_QUEUE, name), args, ARRAY_SIZE(args));
}

void amqp_asks_bind(struct amqp_asks *q, const char *queue, const char *exchange, const char *key)
{
	struct question *one = add(q, ASK_BIND, queue);

	one->exchange = keep(q, exchange);
	one->key = keep(q, key);
}

void amqp_asks_count(struct amqp_asks *q, const char *queue)
{
	add(q, ASK_COUNT, queue);
}

void amqp_asks_purge(struct amqp_asks *q, const char *queue)
{
	add(q, ASK_PURGE, queue);
}

/* ---- sending ---- */

static int send_question(struct amqp_link *l, const struct question *one)
{
	switch (one->kind) {
	case ASK_EXCHANGE: {
		amqp_exchange_declare_t m = { .exchange = one->name,
					      .type = one->key,
					      .durable = 1 };
		return amqp_send_method(l->conn, l->ask_channel, AMQP_EXCHANGE_DECLARE_METHOD, &m);
	}
	case ASK_QUEUE:
	case ASK_OWN_QUEUE:
	case ASK_COUNT: {
		amqp_queue_declare_t m = {
			.queue = one->name,
			.passive = one->kind == ASK_COUNT,
			.durable = one->kind == ASK_QUEUE,
			.exclusive = one->kind == ASK_OWN_QUEUE,
			.auto_delete = one->kind == ASK_OWN_QUEUE,
			.arguments = { .num_entries = (int)one->nentries, .entries = one->entries },
		};
		return amqp_send_method(l->conn, l->ask_channel, AMQP_QUEUE_DECLARE_METHOD, &m);
	}
	case ASK_BIND: {
		amqp_queue_bind_t m = { .queue = one->name,
					.exchange = one->exchange,
					.routing_key = one->key };
		return amqp_send_method(l->conn, l->ask_channel, AMQP_QUEUE_BIND_METHOD, &m);
	}
	case ASK_PURGE: {
		amqp_queue_purge_t m = { .queue = one->name };
		return amqp_send_method(l->conn, l->ask_channel, AMQP_QUEUE_PURGE_METHOD, &m);
	}
	default:
		fatal("a question of kind %d", (int)one->kind);
	}
}

static bool send_more(struct amqp_link *l, struct err *err)
{
	struct amqp_asks *q = l->asks;

	while (q->sent < q->n && q->sent - q->answered < WINDOW) {
		int rc = AMQP_STATUS_OK;

		if (q->list[q->sent].answer != AMQP_ANSWER_NONE) {
			q->sent++;
			continue;
		}
		if (l->blocked || !amqp_writable(l))
			return true;
		if (!l->probe_open) {
			amqp_channel_open_t m = { .out_of_band = amqp_empty_bytes };
			rc = amqp_send_method(l->conn, l->ask_channel, AMQP_CHANNEL_OPEN_METHOD,
					      &m);
			l->probe_open = true;
		}
		if (rc == AMQP_STATUS_OK)
			rc = send_question(l, &q->list[q->sent]);
		if (rc != AMQP_STATUS_OK)
			return amqp_link_broken(l, err, "asking: %s", amqp_error_string2(rc));
		q->sent++;
	}
	return true;
}

/* ---- answers ---- */

static void advance(struct amqp_link *l)
{
	struct amqp_asks *q = l->asks;

	while (q->answered < q->n && q->list[q->answered].answer != AMQP_ANSWER_NONE)
		q->answered++;
	if (q->sent < q->answered)
		q->sent = q->answered;
	q->since = mono_now();
	if (q->answered == q->n)
		l->asks = NULL;
}

/* The oldest open question is not answered with yes. */
static void refuse(struct amqp_link *l, enum amqp_answer answer, const char *why)
{
	struct amqp_asks *q = l->asks;
	struct question *one = &q->list[q->answered];
	size_t next = q->answered + 1;

	one->answer = answer;
	snprintf(one->why, sizeof(one->why), "%s", why);
	for (; next < q->n && q->list[next].group == one->group; next++)
		q->list[next].answer = AMQP_ANSWER_SKIPPED;
	q->sent = next;
	advance(l);
}

static enum amqp_answer meaning(int code, const char *reason)
{
	/* A queue whose node is down or that has just failed is 404 as well, in other words. */
	if (code == AMQP_NOT_FOUND)
		return strstr(reason, "no queue") ? AMQP_ANSWER_MISSING : AMQP_ANSWER_REFUSED;
	return code == AMQP_PRECONDITION_FAILED || code == AMQP_RESOURCE_LOCKED
		       ? AMQP_ANSWER_UNFIT
		       : AMQP_ANSWER_REFUSED;
}

static bool channel_closed(struct amqp_link *l, const amqp_channel_close_t *m, struct err *err)
{
	amqp_channel_close_ok_t ok = { 0 };
	char reason[300];

	l->probe_open = false;
	int rc = amqp_send_method(l->conn, l->ask_channel, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok);
	if (rc != AMQP_STATUS_OK)
		return amqp_link_broken(l, err, "closing a channel: %s", amqp_error_string2(rc));
	if (!l->asks)
		return true;
	snprintf(reason, sizeof(reason), "%d: %.*s", m->reply_code, (int)m->reply_text.len,
		 (const char *)m->reply_text.bytes);
	l->asks->unanswered = false;
	refuse(l, meaning(m->reply_code, reason), reason);
	return l->asks ? send_more(l, err) : true;
}

bool amqp_take_answer(struct amqp_link *l, const amqp_method_t *m, struct err *err)
{
	if (m->id == AMQP_CHANNEL_CLOSE_METHOD)
		return channel_closed(l, m->decoded, err);
	if (m->id == AMQP_CHANNEL_OPEN_OK_METHOD || !l->asks)
		return true;

	struct amqp_asks *q = l->asks;
	struct question *one = &q->list[q->answered];
	if (q->answered >= q->sent)
		return amqp_link_broken(l, err, "an answer to no question");
	if (m->id == AMQP_QUEUE_DECLARE_OK_METHOD)
		one->messages = ((const amqp_queue_declare_ok_t *)m->decoded)->message_count;
	else if (m->id == AMQP_QUEUE_PURGE_OK_METHOD)
		one->messages = ((const amqp_queue_purge_ok_t *)m->decoded)->message_count;
	one->answer = AMQP_ANSWER_YES;
	q->unanswered = false;
	advance(l);
	return l->asks ? send_more(l, err) : true;
}

bool amqp_ask_tick(struct amqp_link *l, struct err *err)
{
	struct amqp_asks *q = l->asks;
	struct mono now = mono_now();

	if (!q)
		return true;
	if (l->blocked || q->sent == q->answered)
		q->since = now;
	if (mono_reached(mono_add_ms(q->since, ANSWER_MS), now)) {
		if (q->unanswered || l->ask_channel >= CHANNELS_MAX)
			return amqp_link_broken(l, err, "no answer for %d s", ANSWER_MS / 1000);
		refuse(l, AMQP_ANSWER_REFUSED, "the broker does not answer");
		q->unanswered = true;
		l->ask_channel++;
		l->probe_open = false;
	}
	return l->asks ? send_more(l, err) : true;
}

/* ---- for the caller ---- */

bool amqp_ask(struct amqp_link *l, struct amqp_asks *q, struct err *err)
{
	if (l->broken)
		return err_set(err, "%s: the connection is broken", l->peer);
	if (l->asks)
		fatal("two sets of questions at once");
	l->asks = q;
	advance(l);
	return l->asks ? send_more(l, err) : true;
}

bool amqp_asks_done(const struct amqp_asks *q)
{
	return q->answered == q->n;
}

bool amqp_ask_wait(struct amqp_link *l, struct amqp_asks *q, struct err *err)
{
	static const struct amqp_handler nothing = { 0 };
	struct mono blocked_by = MONO_NEVER;

	if (!amqp_ask(l, q, err))
		return false;
	while (!amqp_asks_done(q)) {
		if (!amqp_service(l, &nothing, err))
			return false;
		if (!l->blocked)
			blocked_by = mono_add_ms(mono_now(), ANSWER_MS);
		else if (mono_reached(blocked_by, mono_now()))
			return amqp_link_broken(l, err, "the broker pauses (memory or disk alarm)");
		struct pollfd p = { .fd = l->fd, .events = POLLIN };
		if (!amqp_asks_done(q) && !amqp_pending(l))
			(void)poll(&p, 1, POLL_MS);
	}
	return true;
}

static void say_why(const struct question *one, struct err *ret_why)
{
	static const char *const what[] = {
		[ASK_EXCHANGE] = "declaring exchange", [ASK_QUEUE] = "declaring queue",
		[ASK_OWN_QUEUE] = "declaring queue",   [ASK_BIND] = "binding queue",
		[ASK_COUNT] = "counting queue",	       [ASK_PURGE] = "purging queue",
	};
	const char *name = one->name.bytes;

	if (one->answer == AMQP_ANSWER_UNFIT && one->kind != ASK_OWN_QUEUE)
		err_set(ret_why,
			"%s %s exists with other settings: delete it, pgfanout recreates it; or "
			"undo the change of settings (%s)",
			one->kind == ASK_EXCHANGE ? "exchange" : "queue", name, one->why);
	else
		err_set(ret_why, "%s %s: %s", what[one->kind], name, one->why);
}

enum amqp_answer amqp_asks_answer(const struct amqp_asks *q, unsigned group, struct err *ret_why)
{
	for (size_t i = 0; i < q->n; i++) {
		const struct question *one = &q->list[i];

		if (one->group != group || one->answer == AMQP_ANSWER_YES)
			continue;
		if (one->answer != AMQP_ANSWER_NONE)
			say_why(one, ret_why);
		return one->answer;
	}
	return AMQP_ANSWER_YES;
}

uint64_t amqp_asks_messages(const struct amqp_asks *q, unsigned group)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < q->n; i++)
		if (q->list[i].group == group &&
		    (q->list[i].kind == ASK_COUNT || q->list[i].kind == ASK_PURGE))
			sum += q->list[i].messages;
	return sum;
}
