/*
 * side.c: see side.h.
 *
 * Questions wait for their answer, so they are asked only when nothing that was published is
 * unanswered and the broker has not asked for a pause: it might not read them.
 */
#include "consumer/apply/side.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/amqp/amqp.h"
#include "common/base/backoff.h"
#include "common/base/log.h"
#include "common/wire/mark.h"
#include "common/wire/topology.h"

#define OPEN_TIMEOUT_MS 5000
#define DECLARE_MS	30000
#define COUNT_MS	5000

struct side {
	const struct consumer_settings *settings;
	const char *replica;
	struct status *status;
	struct retry *retry;
	const struct inbox *inbox;

	struct amqp_link *link; /* NULL: not open */
	struct backoff backoff;
	struct mono open_at; /* not before */
	struct mono declare_at, count_at;
	bool missing; /* a main queue */
};

struct side *side_new(const struct consumer_settings *settings, const char *replica,
		      struct status *status, struct retry *retry, const struct inbox *inbox)
{
	struct side *s = xcalloc(1, sizeof(*s));

	s->settings = settings;
	s->replica = replica;
	s->status = status;
	s->retry = retry;
	s->inbox = inbox;
	backoff_init(&s->backoff, 200, 5000);
	return s;
}

void side_close(struct side *s)
{
	amqp_close(s->link);
	s->link = NULL;
	s->missing = false;
	retry_unsend(s->retry);
}

struct side *side_free(struct side *s)
{
	if (s == NULL)
		return NULL;
	side_close(s);
	free(s);
	return NULL;
}

static void on_settled(void *arg, uint64_t publish_no, enum amqp_settled how)
{
	struct side *s = arg;

	retry_settled(s->retry, publish_no, how);
}

/* Ready messages of a queue; of one that somebody deleted there are none. False: the link is
 * broken. */
static bool count(struct side *s, const char *queue, bool *missing, uint32_t *ret, struct err *err)
{
	bool exists;

	*ret = 0;
	if (amqp_queue_count(s->link, queue, ret, &exists, err))
		return true;
	if (exists)
		return false;
	if (missing)
		*missing = true;
	s->declare_at = mono_now();
	return true;
}

/* Delivered to us and not acknowledged. The broker does not tell, but it delivers as long as the
 * prefetch window has room: if messages are ready, the window is full. */
static uint32_t unacknowledged(const struct side *s, enum change_kind kind, uint32_t ready)
{
	return ready > 0 ? (uint32_t)s->settings->prefetch
			 : (uint32_t)inbox_messages(s->inbox, kind);
}

static bool count_queues(struct side *s, struct err *err)
{
	char name[TOPOLOGY_NAME_MAX];
	uint32_t n[2] = { 0 }, retry = 0, dead = 0, one;

	for (enum change_kind k = CHANGE_SYNC; k <= CHANGE_DELETE; k++) {
		topology_queue(name, k, s->replica);
		if (!count(s, name, &s->missing, &n[k], err))
			return false;
		n[k] += unacknowledged(s, k, n[k]);
	}
	for (int64_t attempt = 1; attempt < s->settings->max_attempts; attempt++) {
		topology_retry_queue(name, s->replica, (unsigned)attempt);
		if (!count(s, name, NULL, &one, err))
			return false;
		retry += one;
	}
	topology_dead_queue(name, s->replica);
	if (!count(s, name, NULL, &dead, err))
		return false;
	status_set_queues(s->status, n[CHANGE_SYNC], n[CHANGE_DELETE], retry, dead);
	return true;
}

/* False: the link is broken. */
static bool do_duties(struct side *s, struct mono now, struct err *err)
{
	if (amqp_blocked(s->link) || amqp_unsettled(s->link) > 0)
		return true;
	if (mono_reached(s->count_at, now)) {
		s->count_at = mono_add_ms(now, COUNT_MS);
		if (!count_queues(s, err))
			return false;
	}
	if (mono_reached(s->declare_at, now)) {
		if (!count_queues(s, err))
			return false;
		if (s->missing)
			return true;
		s->declare_at = mono_add_ms(now, DECLARE_MS);
		if (!topology_declare(s->link, s->replica, (unsigned)s->settings->max_attempts,
				      err))
			return false;
	}
	return true;
}

static bool open_link(struct side *s, struct err *err)
{
	char name[TOPOLOGY_NAME_MAX];

	snprintf(name, sizeof(name), "pgfanout-consumer %s (moves, questions)", s->replica);
	s->link = amqp_open(s->settings->rabbitmq_url, name, OPEN_TIMEOUT_MS, err);
	/* The worker has declared everything just before it began to consume. */
	s->count_at = mono_now();
	s->declare_at = mono_add_ms(s->count_at, DECLARE_MS);
	return s->link != NULL;
}

void side_step(struct side *s, struct mono now, bool duties)
{
	const struct amqp_handler handler = { .arg = s, .settled = on_settled };
	struct err err = { .text = "" };

	if (s->link == NULL) {
		if (!mono_reached(s->open_at, now))
			return;
		if (!open_link(s, &err))
			goto failed;
		now = mono_now();
	}
	if (!amqp_service(s->link, &handler, &err) || !retry_send(s->retry, s->link, now, &err) ||
	    (duties && !do_duties(s, now, &err)))
		goto failed;
	backoff_reset(&s->backoff);
	return;
failed:
	side_close(s);
	s->open_at = mono_add_ms(mono_now(), backoff_next_ms(&s->backoff));
	if (status_set_error(s->status, err.text))
		log_warn("the broker connection for failed changes and questions is lost; opening "
			 "it again",
			 KV_S("error", err.text));
}

void side_answer(struct side *s, const char *reply_to, const char *body)
{
	const struct amqp_publish m = {
		.exchange = "",
		.routing_key = reply_to,
		.type = MARK_TYPE,
		.body = body,
		.len = strlen(body),
		.optional = true,
	};
	struct err ignored; /* a broken link is side_step()'s to see */
	uint64_t no;

	if (s->link != NULL && amqp_can_publish(s->link, m.len))
		(void)!amqp_send(s->link, &m, &no, &ignored);
}

bool side_missing(const struct side *s)
{
	return s->missing;
}

int side_fd(const struct side *s)
{
	return s->link != NULL ? amqp_fd(s->link) : -1;
}

int side_wait_ms(const struct side *s, struct mono now, int max_ms)
{
	if (s->link == NULL)
		return mono_until_ms(s->open_at, now, max_ms);
	if (amqp_pending(s->link))
		return 0;
	int service_ms = amqp_service_ms(s->link);
	int wait_ms = service_ms < max_ms ? service_ms : max_ms;
	/* What is due and cannot be done yet waits for an answer of the broker, which wakes us. */
	if (!mono_reached(s->count_at, now))
		wait_ms = mono_until_ms(s->count_at, now, wait_ms);
	if (!mono_reached(s->declare_at, now))
		wait_ms = mono_until_ms(s->declare_at, now, wait_ms);
	return retry_wait_ms(s->retry, now, wait_ms);
}
