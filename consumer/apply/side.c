/*
 * side.c: see side.h.
 *
 * Questions are asked all at once and answered while the worker goes on (common/amqp/amqp_ask.c):
 *
 *   asking       moves on when
 *   NOTHING      every COUNT_MS                                            -> COUNTS
 *                every DECLARE_MS, or a move was returned or refused       -> DECLARATIONS
 *   COUNTS, DECLARATIONS   all is answered                                 -> NOTHING
 *   any          the link is lost: opened again after a back-off           -> NOTHING
 *
 * Nothing here creates a main queue (TOPOLOGY_LOOK_FIRST): when one is missing, changes may be lost,
 * and the worker marks the replica before it creates it. If the process dies in between, the queue
 * is still missing for whoever comes next.
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
#define UNFIT_MS	5000 /* declared again so soon while a queue is not as it must be */
#define RETRIES_MAX	9    /* MAX_ATTEMPTS is at most 10 */

/* The queues that are counted, in this order. */
enum { COUNT_SYNC, COUNT_DELETE, COUNT_DEAD, COUNT_RETRY, COUNTED = COUNT_RETRY + RETRIES_MAX };

enum side_asking { ASKING_NOTHING, ASKING_COUNTS, ASKING_DECLARATIONS };

struct side {
	const struct consumer_settings *settings;
	const struct stream *stream;
	const char *replica;
	struct status *status;
	struct retry *retry;
	const struct inbox *inbox;

	struct amqp_link *link; /* NULL: not open */
	struct backoff backoff;
	struct mono open_at; /* not before */
	struct mono declare_at, count_at;
	enum side_asking asking;
	struct amqp_asks *asks;
	struct topology_asked asked;	 /* DECLARATIONS */
	unsigned counted[COUNTED];	 /* COUNTS: groups */
	char missing[TOPOLOGY_NAME_MAX]; /* a main queue; "": none */
};

struct side *side_new(const struct consumer_settings *settings, const struct stream *stream,
		      const char *replica, struct status *status, struct retry *retry,
		      const struct inbox *inbox)
{
	struct side *s = xcalloc(1, sizeof(*s));

	s->settings = settings;
	s->stream = stream;
	s->replica = replica;
	s->status = status;
	s->retry = retry;
	s->inbox = inbox;
	s->asks = amqp_asks_new();
	backoff_init(&s->backoff, 200, 5000);
	return s;
}

void side_close(struct side *s)
{
	amqp_close(s->link);
	s->link = NULL;
	s->asking = ASKING_NOTHING;
	s->missing[0] = '\0';
	retry_unsend(s->retry);
}

struct side *side_free(struct side *s)
{
	if (s == NULL)
		return NULL;
	side_close(s);
	(void)amqp_asks_free(s->asks);
	free(s);
	return NULL;
}

static void on_settled(void *arg, uint64_t publish_no, enum amqp_settled how)
{
	struct side *s = arg;

	retry_settled(s->retry, publish_no, how);
}

/* ---- counting ---- */

static size_t counted(const struct side *s)
{
	return COUNT_RETRY + (size_t)s->settings->max_attempts - 1;
}

static void queue_name(const struct side *s, size_t i, char *ret)
{
	if (i <= COUNT_DELETE)
		topology_queue(ret, s->stream, i == COUNT_SYNC ? CHANGE_SYNC : CHANGE_DELETE,
			       s->replica);
	else if (i == COUNT_DEAD)
		topology_dead_queue(ret, s->stream, s->replica);
	else
		topology_retry_queue(ret, s->stream, s->replica, (unsigned)(i - COUNT_RETRY) + 1);
}

static bool ask_counts(struct side *s, struct err *err)
{
	char name[TOPOLOGY_NAME_MAX];

	amqp_asks_reset(s->asks);
	for (size_t i = 0; i < counted(s); i++) {
		queue_name(s, i, name);
		s->counted[i] = amqp_asks_group(s->asks);
		amqp_asks_count(s->asks, name);
	}
	s->asking = ASKING_COUNTS;
	return amqp_ask(s->link, s->asks, err);
}

/* Delivered to us and not acknowledged. The broker does not tell, but it delivers as long as the
 * prefetch window has room: if messages are ready, the window is full. */
static uint32_t unacknowledged(const struct side *s, enum change_kind kind, uint32_t ready)
{
	return ready > 0 ? (uint32_t)s->settings->prefetch
			 : (uint32_t)inbox_messages(s->inbox, kind);
}

static void take_counts(struct side *s, struct mono now)
{
	uint32_t n[COUNTED] = { 0 }, retry = 0;
	bool known = true;
	struct err why;

	for (size_t i = 0; i < counted(s); i++) {
		enum amqp_answer answer = amqp_asks_answer(s->asks, s->counted[i], &why);

		n[i] = (uint32_t)amqp_asks_messages(s->asks, s->counted[i]);
		retry += i >= COUNT_RETRY ? n[i] : 0;
		if (answer == AMQP_ANSWER_YES)
			continue;
		s->declare_at = now;
		if (answer != AMQP_ANSWER_MISSING)
			known = false;
		else if (i <= COUNT_DELETE) /* somebody deleted it */
			queue_name(s, i, s->missing);
	}
	n[COUNT_SYNC] += unacknowledged(s, CHANGE_SYNC, n[COUNT_SYNC]);
	n[COUNT_DELETE] += unacknowledged(s, CHANGE_DELETE, n[COUNT_DELETE]);
	if (known)
		status_set_queues(s->status, n[COUNT_SYNC], n[COUNT_DELETE], retry, n[COUNT_DEAD]);
}

/* ---- declaring ---- */

static bool ask_declarations(struct side *s, struct err *err)
{
	amqp_asks_reset(s->asks);
	topology_ask_exchanges(s->asks, s->stream, &s->asked);
	topology_ask_replica(s->asks, s->stream, s->replica, (unsigned)s->settings->max_attempts,
			     TOPOLOGY_LOOK_FIRST, &s->asked);
	s->asking = ASKING_DECLARATIONS;
	return amqp_ask(s->link, s->asks, err);
}

static void complain(const struct side *s, const char *next, const struct err *why)
{
	if (status_set_error(s->status, why->text))
		log_warn("a queue cannot be declared", KV_S("replica", s->replica),
			 KV_S("error", why->text), KV_S("next", next));
}

void side_take_report(struct side *s, const struct topology_report *report)
{
	bool fit = report->retry == AMQP_ANSWER_YES && report->dead == AMQP_ANSWER_YES &&
		   report->main == AMQP_ANSWER_YES;

	if (report->retry != AMQP_ANSWER_YES)
		complain(s, "failed changes wait until the retry queues are as they must be",
			 &report->retry_why);
	else if (report->dead != AMQP_ANSWER_YES)
		complain(s, "changes that are given up go there as it is", &report->dead_why);
	else if (report->main != AMQP_ANSWER_YES && report->main != AMQP_ANSWER_MISSING)
		complain(s, "trying again", &report->main_why);
	retry_declared(s->retry, report->retry == AMQP_ANSWER_YES);
	s->declare_at = mono_add_ms(mono_now(), fit ? DECLARE_MS : UNFIT_MS);
}

static void take_declarations(struct side *s)
{
	struct topology_report report;

	topology_read(s->asks, &s->asked, &report);
	if (report.main == AMQP_ANSWER_MISSING) {
		topology_queue(s->missing, s->stream, CHANGE_DELETE, s->replica);
		if (strstr(report.main_why.text, s->missing) == NULL)
			topology_queue(s->missing, s->stream, CHANGE_SYNC, s->replica);
	}
	side_take_report(s, &report);
}

/* False: the link is broken. */
static bool do_duties(struct side *s, struct mono now, struct err *err)
{
	enum side_asking asked = s->asking;

	if (asked != ASKING_NOTHING) {
		if (!amqp_asks_done(s->asks))
			return true;
		s->asking = ASKING_NOTHING;
		if (asked == ASKING_COUNTS)
			take_counts(s, now);
		else
			take_declarations(s);
	}
	if (s->missing[0] != '\0')
		return true;
	if (mono_reached(s->declare_at, now) || retry_wants_queues(s->retry))
		return ask_declarations(s, err);
	if (!mono_reached(s->count_at, now))
		return true;
	s->count_at = mono_add_ms(now, COUNT_MS);
	return ask_counts(s, err);
}

static bool open_link(struct side *s, struct err *err)
{
	char name[TOPOLOGY_NAME_MAX];

	snprintf(name, sizeof(name), "pgfanout-consumer %s (moves, questions)", s->replica);
	s->link = amqp_open(s->settings->rabbitmq_url, name, OPEN_TIMEOUT_MS, err);
	s->count_at = mono_now();
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
	    ((duties || s->asking != ASKING_NOTHING || retry_wants_queues(s->retry)) &&
	     !do_duties(s, now, &err)))
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

const char *side_missing(const struct side *s)
{
	return s->missing[0] != '\0' ? s->missing : NULL;
}

void side_answer(struct side *s, const char *reply_to, const char *body)
{
	char type[TOPOLOGY_NAME_MAX];
	const struct amqp_publish m = {
		.exchange = "",
		.routing_key = reply_to,
		.type = type,
		.body = body,
		.len = strlen(body),
		.optional = true,
	};
	struct err ignored; /* a broken link is side_step()'s to see */
	uint64_t no;

	topology_type(type, s->stream, MARK_KIND);
	if (s->link != NULL && amqp_can_publish(s->link, m.len))
		(void)!amqp_send(s->link, &m, &no, &ignored);
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
	if (s->asking != ASKING_NOTHING)
		return retry_wait_ms(s->retry, now, wait_ms);
	if (!mono_reached(s->count_at, now))
		wait_ms = mono_until_ms(s->count_at, now, wait_ms);
	if (!mono_reached(s->declare_at, now))
		wait_ms = mono_until_ms(s->declare_at, now, wait_ms);
	return retry_wait_ms(s->retry, now, wait_ms);
}
