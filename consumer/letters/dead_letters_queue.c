/*
 * dead_letters_queue.c: see dead_letters_queue.h.
 *
 * A consumer's prefetch says how many letters it may hold unacknowledged, and cannot be raised
 * later. So there are several consumers on one channel: when all that was asked for is here and
 * more is wanted, another one is started with a prefetch of its own. Some broker versions cap what
 * one consumer may hold; so another one is also started when nothing comes although letters are
 * ready.
 */
#include "consumer/letters/dead_letters_queue.h"

#include <stdio.h>

#include "common/base/stop.h"

#define CONNECTION_NAME "pgfanout-consumer dead-letters"
#define OPEN_TIMEOUT_MS 5000
#define FIRST_LETTERS	16
#define WINDOW_BYTES	(UINT64_C(32) << 20)
#define WINDOW_LETTERS	2000 /* quorum queues hand out no more to one consumer on some versions */
#define LETTER_OVERHEAD 512  /* bytes: headers and frames */
#define QUIET_MS	300
#define SILENCE_MS	15000
#define CONSUMERS_MAX	10000
#define GIVEN_BACK_MS	3000

bool dead_queue_open(struct dead_queue *q, const char *urls, const struct stream *stream,
		     const char *replica, struct err *err)
{
	bool exists;

	*q = (struct dead_queue){ 0 };
	topology_dead_queue(q->name, stream, replica);
	q->link = amqp_open(urls, CONNECTION_NAME, OPEN_TIMEOUT_MS, err);
	if (q->link == NULL)
		return false;
	if (!amqp_queue_count(q->link, q->name, &q->ready, &exists, err) && exists) {
		amqp_close(q->link);
		q->link = NULL;
		return false;
	}
	q->heard = q->serviced = mono_now();
	return true;
}

bool dead_queue_done(const struct dead_queue *q)
{
	return q->seen >= q->ready;
}

static bool ask_for_more(struct dead_queue *q, struct err *err)
{
	uint64_t n = FIRST_LETTERS;
	char tag[24];

	if (q->consumers == CONSUMERS_MAX)
		return err_set(err, "queue %s: too many letters to look at at once", q->name);
	if (q->seen > 0)
		n = WINDOW_BYTES / (q->bytes / q->seen + LETTER_OVERHEAD);
	n = n < 1 ? 1 : n > WINDOW_LETTERS ? WINDOW_LETTERS : n;
	snprintf(tag, sizeof(tag), "look-%u", ++q->consumers);
	q->credit += n;
	q->heard = mono_now();
	return amqp_qos(q->link, (unsigned)n, err) && amqp_consume(q->link, q->name, tag, err);
}

/* Nothing has come for a while. */
static bool find_out(struct dead_queue *q, struct err *err)
{
	uint32_t ready = 0;
	bool exists;

	if (!amqp_queue_count(q->link, q->name, &ready, &exists, err) && exists)
		return false;
	if (ready == 0) {
		/* Another process holds the rest, or took it. */
		q->ready = q->seen;
		return true;
	}
	return ask_for_more(q, err);
}

struct reading {
	struct dead_queue *q;
	dead_queue_letter letter;
	void *arg;
	bool deleted;
};

static void on_delivery(void *arg, const struct amqp_delivery *d)
{
	struct reading *r = arg;

	r->q->heard = mono_now();
	if (dead_queue_done(r->q)) { /* parked after the beginning */
		amqp_enough(r->q->link);
		return;
	}
	r->q->seen++;
	r->q->bytes += d->len;
	if (!r->letter(r->arg, d) || dead_queue_done(r->q))
		amqp_enough(r->q->link);
	r->q->heard = mono_now(); /* a large one takes its time here */
}

static void on_cancelled(void *arg, const char *consumer_tag)
{
	struct reading *r = arg;

	(void)consumer_tag;
	r->deleted = true;
}

bool dead_queue_read(struct dead_queue *q, bool more, dead_queue_letter letter, void *arg,
		     struct err *err)
{
	struct reading reading = { .q = q, .letter = letter, .arg = arg };
	const struct amqp_handler handler = { .arg = &reading,
					      .delivery = on_delivery,
					      .cancelled = on_cancelled };
	struct mono now = mono_now();

	if (!more || dead_queue_done(q)) {
		q->heard = now;
		if (!mono_reached(mono_add_ms(q->serviced, amqp_service_ms(q->link)), now))
			return true;
	}
	q->serviced = now;
	if (more && !dead_queue_done(q) && q->seen - q->acked >= q->credit && !ask_for_more(q, err))
		return false;
	if (!amqp_service(q->link, &handler, err))
		return false;
	if (reading.deleted)
		return err_set(err, "queue %s was deleted", q->name);
	if (!more || dead_queue_done(q))
		return true;
	if (mono_reached(mono_add_ms(q->heard, QUIET_MS), now) && !amqp_pending(q->link))
		return find_out(q, err);
	return true;
}

int dead_queue_wait_ms(const struct dead_queue *q, int max_ms)
{
	if (amqp_pending(q->link))
		return 0;
	int ms = dead_queue_done(q) ? amqp_service_ms(q->link) : QUIET_MS;
	return ms < max_ms ? ms : max_ms;
}

bool dead_queue_ack(struct dead_queue *q, uint64_t tag, struct err *err)
{
	if (!amqp_ack(q->link, tag, false, err))
		return false;
	q->acked++;
	return true;
}

/* Any request with an answer: the broker has then read everything that was sent before it. */
bool dead_queue_flush(struct dead_queue *q, struct err *err)
{
	return q->acked == 0 || amqp_qos(q->link, FIRST_LETTERS, err);
}

void dead_queue_close(struct dead_queue *q, const char *urls)
{
	struct mono until = mono_add_ms(mono_now(), GIVEN_BACK_MS);
	uint32_t expected = q->seen - q->acked, ready = 0;
	struct err err;
	bool exists;

	amqp_close(q->link);
	q->link = NULL;
	if (expected == 0)
		return;
	struct amqp_link *link = amqp_open(urls, CONNECTION_NAME, OPEN_TIMEOUT_MS, &err);
	/* Another process may take letters meanwhile: then this waits GIVEN_BACK_MS, no more. */
	while (link != NULL && amqp_queue_count(link, q->name, &ready, &exists, &err) &&
	       ready < expected && !mono_reached(until, mono_now()) && !stop_sleep_ms(10))
		;
	amqp_close(link);
}
