/*
 * verify_settle.c: judges suspects by the rule of verify_rule.h: reads and waits for all suspects
 * of all replicas at once.
 *
 * A round is steps 2 to 8 of the rule for every open suspect, so it takes as long as the slowest
 * replica needs to catch up. A replica whose heartbeats do not move for VERIFY_TIMEOUT_MS takes no
 * further part: drift cannot be told from delay there.
 */
#include <string.h>

#include "common/amqp/amqp.h"
#include "common/base/log.h"
#include "common/pg/pgarray.h"
#include "common/base/stop.h"
#include "common/wire/topology.h"
#include "consumer/verify/verify_private.h"

#define POLL_MS	  100
#define BROKER_MS 5000

struct beats {
	int64_t sync, delete;
};

struct round {
	struct verify *v;
	int64_t now; /* t of rule 2 */
	struct mono now_at;
	bool judging; /* what is read of the replicas is R1 */
	bool settled[REPLICAS_MAX];
	bool waits[REPLICAS_MAX]; /* a change of a suspect, for another row */
	struct mono unsettled_until[REPLICAS_MAX];
	/* Parameters, for one server after another. */
	struct pgarray keys, places;
};

static void leave_open(struct verify *v, size_t replica)
{
	for (size_t i = 0; i < v->nsuspects; i++) {
		struct verify_suspect *s = &v->suspects[i];

		if (s->replica == replica && s->state == VERIFY_OPEN)
			s->state = VERIFY_UNSURE;
	}
}

static size_t count_open(const struct verify *v, size_t replica)
{
	size_t n = 0;

	for (size_t i = 0; i < v->nsuspects; i++)
		n += v->suspects[i].replica == replica && v->suspects[i].state == VERIFY_OPEN;
	return n;
}

static bool any_open(struct verify *v)
{
	bool any = false;

	for (size_t i = 0; i < v->n; i++) {
		if (!verify_taking_part(&v->replicas[i]))
			leave_open(v, i);
		any = any || count_open(v, i) > 0;
	}
	return any;
}

void verify_leave_behind(struct verify *v, size_t i, const struct err *why)
{
	v->replicas[i].part = VERIFY_BEHIND;
	v->replicas[i].undetermined = true;
	v->replicas[i].why = *why;
	leave_open(v, i);
}

/* ---- retry queues ---- */

/* Whether no change of the replica waits for another attempt. */
static bool retries_are_done(struct amqp_link *link, const struct stream *stream,
			     const char *replica, unsigned max_attempts)
{
	for (unsigned attempt = 1; attempt < max_attempts; attempt++) {
		char queue[TOPOLOGY_NAME_MAX];
		uint32_t messages = 0;
		bool exists = false;
		struct err err;

		topology_retry_queue(queue, stream, replica, attempt);
		if (!amqp_queue_count(link, queue, &messages, &exists, &err)) {
			if (exists)
				return false;
			continue; /* never declared, so nothing is in it */
		}
		if (messages > 0)
			return false;
	}
	return true;
}

/* settled stays true only for replicas whose retry queues are empty now: for none, if the broker
 * cannot be asked. */
static void look_at_retries(struct round *round)
{
	struct verify *v = round->v;
	struct err err;
	struct amqp_link *link = amqp_open(v->settings->rabbitmq_url, "reset-replicas", BROKER_MS,
					   &err);

	for (size_t i = 0; i < v->n; i++) {
		if (round->settled[i] && count_open(v, i) > 0)
			round->settled[i] = link != NULL &&
					    retries_are_done(link, &v->table->stream,
							     v->replicas[i].server.name,
							     (unsigned)v->settings->max_attempts);
	}
	amqp_close(link);
}

/* ---- looks ---- */

static struct verify_content get_content(const struct pg_result *r, int row, int col)
{
	return (struct verify_content){ db_is_null(r, row, col) ? NULL
								: xstrdup(db_value(r, row, col)) };
}

static void take_originals(void *arg, const struct pg_result *r)
{
	struct round *round = arg;

	for (int i = 0; i < db_rows(r); i++) {
		struct verify_original p;

		round->now = pg_get_int8(db_value(r, i, 1));
		p.given = pg_get_int8(db_value(r, i, 2));
		p.content = get_content(r, i, 3);
		p.bytes = db_is_null(r, i, 4) ? 0 : pg_get_int4(db_value(r, i, 4));
		verify_suspect_original(&round->v->suspects[pg_get_int4(db_value(r, i, 0))], &p);
	}
}

static void take_copies(void *arg, const struct pg_result *r)
{
	struct round *round = arg;

	for (int i = 0; i < db_rows(r); i++) {
		struct verify_suspect *s = &round->v->suspects[pg_get_int4(db_value(r, i, 0))];
		struct verify_copy c = {
			.written = db_is_null(r, i, 1) ? 0
						       : (uint32_t)pg_get_int4(db_value(r, i, 1)),
			.version = pg_get_int8(db_value(r, i, 2)),
			.buried = pg_get_int8(db_value(r, i, 3)),
			.dead = pg_get_int8(db_value(r, i, 4)),
			.load = pg_get_int8(db_value(r, i, 5)),
			.content = get_content(r, i, 6),
		};

		bool waits = pg_get_int4(db_value(r, i, 7)) != 0;
		if (round->judging)
			verify_judge(s, &c, round->settled[s->replica] && !waits);
		else
			verify_suspect_copy(s, &c);
		round->waits[s->replica] = round->waits[s->replica] || waits;
	}
}

/* The open suspects of one replica, or of all. */
static void parameters(struct round *round, size_t replica, struct db_param *ret)
{
	const struct verify *v = round->v;

	pgarray_begin(&round->keys, PGARRAY_TEXT);
	pgarray_begin(&round->places, PGARRAY_INT4);
	for (size_t i = 0; i < v->nsuspects; i++) {
		const struct verify_suspect *s = &v->suspects[i];

		if (s->state == VERIFY_OPEN && (replica == v->n || s->replica == replica)) {
			pgarray_add_text(&round->keys, s->key, strlen(s->key));
			pgarray_add_int4(&round->places, (int32_t)i);
		}
	}
	ret[0] = pgarray_finish(&round->keys);
	ret[1] = pgarray_finish(&round->places);
}

static bool look_at_primary(struct round *round)
{
	struct verify *v = round->v;
	struct db_param params[2];

	parameters(round, v->n, params);
	verify_ask(&v->primary, VERIFY_LOOK_AT_PRIMARY, params, take_originals, round);
	if (!verify_gather(v))
		return false;
	round->now_at = mono_now();
	return true;
}

static bool look_at_replicas(struct round *round)
{
	struct verify *v = round->v;

	for (size_t i = 0; i < v->n; i++) {
		struct db_param params[2];

		if (!verify_taking_part(&v->replicas[i]) || count_open(v, i) == 0)
			continue;
		parameters(round, i, params);
		verify_ask(&v->replicas[i].server, VERIFY_LOOK_AT_COPY, params, take_copies, round);
	}
	return verify_gather(v);
}

/* ---- waiting ---- */

static void take_beats(void *arg, const struct pg_result *r)
{
	struct beats *b = arg;

	*b = (struct beats){ 0 };
	if (db_rows(r) == 1) {
		b->sync = pg_get_int8(db_value(r, 0, 0));
		b->delete = pg_get_int8(db_value(r, 0, 1));
	}
}

static int64_t slower(const struct beats *b)
{
	return b->sync < b->delete ? b->sync : b->delete;
}

static void give_up(struct round *round, size_t i, const struct beats *b)
{
	struct verify *v = round->v;
	int64_t late_us = round->now - slower(b);
	struct err why;

	if (slower(b) == 0)
		err_set(&why,
			"%zu %s look different, but no heartbeat of the primary has ever arrived there: "
			"pgfanout-api and pgfanout-consumer must be running",
			count_open(v, i), verify_rows_word(v));
	else if (late_us > 0)
		err_set(&why,
			"%zu %s look different, but it is %lld s behind and has not moved for %lld s: "
			"see /status of pgfanout-consumer and pgfanout-api",
			count_open(v, i), verify_rows_word(v), (long long)(late_us / 1000000),
			(long long)(v->settings->verify_timeout_ms / 1000));
	else
		err_set(&why,
			"%zu %s look different, but its heartbeats are ahead of the primary's clock",
			count_open(v, i), verify_rows_word(v));
	verify_leave_behind(v, i, &why);
}

/* What one replica has of what it is waited for. */
struct catching_up {
	struct beats beats, moved;
	struct mono moved_at;
	bool arrived;
};

static bool awaited(const struct verify *v, size_t i, const struct catching_up *c)
{
	return !c->arrived && verify_taking_part(&v->replicas[i]) && count_open(v, i) > 0;
}

/* Whether to go on waiting for it. */
static bool look_at_beats(struct round *round, size_t i, struct catching_up *c)
{
	struct verify *v = round->v;
	struct mono now = mono_now();

	if (!awaited(v, i, c))
		return false;
	c->arrived = verify_arrived(c->beats.sync, c->beats.delete, round->now,
				    mono_diff_us(now, round->now_at));
	v->replicas[i].part = c->arrived ? VERIFY_COMPARED : VERIFY_AWAITED;
	if (c->arrived)
		return false;
	if (slower(&c->beats) > slower(&c->moved)) {
		c->moved = c->beats;
		c->moved_at = now;
	}
	if (mono_diff_us(now, c->moved_at) <= v->settings->verify_timeout_ms * 1000)
		return true;
	give_up(round, i, &c->beats);
	return false;
}

/* Rule 3, for all replicas at once. A replica that moves on is waited for, however far behind. */
static bool wait_for_replicas(struct round *round)
{
	struct verify *v = round->v;
	struct catching_up of[REPLICAS_MAX] = { 0 };
	const struct db_param stream = DB_TEXT(v->table->stream.text);
	bool any;

	for (size_t i = 0; i < v->n; i++)
		of[i].moved_at = round->now_at;
	do {
		for (size_t i = 0; i < v->n; i++) {
			if (awaited(v, i, &of[i]))
				verify_ask(&v->replicas[i].server, VERIFY_BEATS, &stream,
					   take_beats, &of[i].beats);
		}
		if (!verify_gather(v))
			return false;
		any = false;
		for (size_t i = 0; i < v->n; i++)
			any = look_at_beats(round, i, &of[i]) || any;
		v->tick(v);
	} while (any && !stop_sleep_ms(POLL_MS));
	return !stop_requested();
}

/* For replicas where changes have waited for VERIFY_TIMEOUT_MS. */
static void give_up_unsettled(struct round *round)
{
	struct verify *v = round->v;

	for (size_t i = 0; i < v->n; i++) {
		struct mono now = mono_now();
		struct err why;

		if (round->settled[i] && !round->waits[i])
			round->unsettled_until[i] = mono_add_ms(now,
								v->settings->verify_timeout_ms);
		else if (mono_reached(round->unsettled_until[i], now) && count_open(v, i) > 0) {
			err_set(&why,
				"%zu %s look different, but changes wait in its retry queues or for other rows, or the broker cannot be asked",
				count_open(v, i), verify_rows_word(v));
			verify_leave_behind(v, i, &why);
		}
	}
}

/* ---- rounds; the numbers are those of the rule ---- */

static bool run_round(struct round *round)
{
	struct verify *v = round->v;

	for (size_t i = 0; i < v->n; i++) {
		round->settled[i] = true;
		round->waits[i] = false;
	}
	look_at_retries(round);
	if (!look_at_primary(round) /* 2 */ || !wait_for_replicas(round) /* 3 */)
		return false;
	look_at_retries(round);
	round->judging = true;
	if (!look_at_replicas(round)) /* 4, and 5 to 8 as the answers come */
		return false;
	give_up_unsettled(round);
	return true;
}

bool verify_settle(struct verify *v)
{
	struct round round = { .v = v };
	bool ok = true;

	if (!any_open(v))
		return true;
	for (size_t i = 0; i < v->n; i++)
		round.unsettled_until[i] = mono_add_ms(mono_now(), v->settings->verify_timeout_ms);
	ok = look_at_replicas(&round); /* 1 */
	while (ok && any_open(v))
		ok = run_round(&round);
	pgarray_clear(&round.keys);
	pgarray_clear(&round.places);
	return ok;
}
