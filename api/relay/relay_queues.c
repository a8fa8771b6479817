/*
 * relay_queues.c: the replicas' queues as the leading relay keeps them: declared, none missing
 * unnoticed, none longer than the operator allows (MAX_BACKLOG_MESSAGES). The relay's thread.
 *
 * All questions of a round are asked at once, and answered while publishing goes on:
 *
 *   asking    moves on when
 *   NOTHING   a round is due, or wanted (relay_queues_want())              -> LOOK or DECLARE
 *   LOOK      all main queues are counted; what is too long                -> DROP, else NOTHING
 *   DECLARE   exchanges and queues are declared, but for missing main ones;
 *             replicas that miss one are marked                            -> CREATE, else as LOOK
 *   CREATE    those are created                                            -> DROP, else NOTHING
 *   DROP      what is in too long queues is thrown away, and that noted    -> NOTHING
 *   any       the link is lost                                             -> NOTHING
 *
 * One replica's trouble is its own: what cannot be declared concerns that replica alone, and is
 * tried again in the next round. Only without the exchange nothing can be published.
 *
 * What is lost in a queue only a reset brings back: its snapshot has everything that left the
 * outbox before. So whoever loses changes of a replica marks the replica, and the mark stays until
 * a reset whose snapshot was taken later. The mark is a time, reset_due_at in pgfanout.queues on
 * the primary, where the relay can write it also when the replica is down. Every API reads it there
 * and notes it on the replica before that replica serves reads (connector.c). A reset reads the
 * mark in its own snapshot and stores it with the new table (reset_record.sql): a newer mark means
 * that another reset is due. The rules:
 *
 *   1. A queue is missing, and the replica's queues were declared before (it has a row in
 *      pgfanout.queues): mark, commit, and only then recreate the queue. A crash in between leaves
 *      a mark too much, never one too few. If a reset's snapshot falls between the two, the reset
 *      has created the queue itself before it.
 *   2. A queue is missing, and the replica has no row: the replica is new. Create the queue, then
 *      the row. Nothing is published before all new replicas have both, or are marked (4), so a
 *      crash in between loses nothing.
 *   3. The queues are too long: mark, drop what is in both, mark again. The first mark is for a
 *      crash in between. The second one is for a snapshot that falls between the first mark and the
 *      drop: changes published after that snapshot are dropped with the rest, and the second mark
 *      is newer than the snapshot.
 *   4. A main queue exists with other arguments: what it does to messages is not known. Mark, in
 *      each round again, and go on without it. A reset fails while that is so, and when it does not
 *      the queue is as it must be before the reset's snapshot.
 *   5. A main queue cannot be declared for another reason (its node is down): what is in it may come
 *      back, so only a replica that never had queues is marked.
 *   6. A queue did not take a message while others did (relay_lead.c): mark, commit, and only then
 *      forget the change.
 *
 * The queues stay bound meanwhile and are looked at every few seconds. So what is published until
 * the reset is kept, or dropped again, and the bound is exceeded for a few seconds at most. What
 * the reset's snapshot does not have is published after it: it is in the queues, or was dropped
 * there, and then rule 3 has marked the replica again.
 *
 * This blocks only on the primary, where something is to be written.
 */
#include <stdio.h>
#include <string.h>

#include "api/measures.h"
#include "api/relay/relay_private.h"
#include "api/relay/sql/queues_declared.sql.h"
#include "api/relay/sql/queues_due.sql.h"
#include "api/relay/sql/queues_lost.sql.h"
#include "api/relay/sql/queues_new.sql.h"
#include "common/base/log.h"
#include "common/pg/db.h"
#include "common/pg/pgarray.h"
#include "common/wire/topology.h"

#define STATEMENT_MS 3000
#define LOOK_MS	     5000 /* all queues are looked at, if there is a bound */

void relay_queues_forget(struct relay *r)
{
	db_conn_close(r->notes);
	r->notes = NULL;
}

/* One statement on the primary; *ret_rows: how many it gave back. */
static bool note(struct relay *r, const char *sql, struct db_param first, const char *reason,
		 int *ret_rows, struct err *err)
{
	static const struct db_options options = { .application_name = "pgfanout-api queues",
						   .statement_timeout_ms = STATEMENT_MS };
	const struct db_param params[] = { first, DB_TEXT(r->opt.stream.text), DB_TEXT(reason) };
	struct pg_result *rows;

	if (!r->notes)
		r->notes = primary_connect(r->opt.primary, &options, err);
	if (!r->notes)
		return false;
	if (db_query(r->notes, sql, reason ? 3 : 2, params, false,
		     mono_add_ms(mono_now(), STATEMENT_MS), &rows, err) != DB_OK) {
		err_prefix(err, "writing to pgfanout.queues");
		relay_queues_forget(r);
		return false;
	}
	*ret_rows = db_rows(rows);
	db_result_clear(rows);
	return true;
}

/* *ret_known: whether the queues were declared before. If not, nothing was lost and nothing is
 * marked. */
static bool mark(struct relay *r, size_t i, const char *reason, bool *ret_known, struct err *err)
{
	int rows;

	if (!note(r, sql_queues_lost, DB_TEXT(r->opt.replicas[i]), reason, &rows, err))
		return false;
	*ret_known = rows > 0;
	return true;
}

bool relay_queues_mark(struct relay *r, size_t i, const char *reason, struct err *err)
{
	int rows;

	return note(r, sql_queues_due, DB_TEXT(r->opt.replicas[i]), reason, &rows, err);
}

/* ---- rounds ---- */

static bool begin(struct relay *r, enum relay_asking asking, struct err *err)
{
	bool all = asking == RELAY_ASKING_LOOK || asking == RELAY_ASKING_DECLARE;

	amqp_asks_reset(r->asks);
	r->asking = asking;
	if (asking == RELAY_ASKING_DECLARE || asking == RELAY_ASKING_CREATE)
		topology_ask_exchanges(r->asks, &r->opt.stream, &r->asked[0]);
	const struct topology_asked shared = r->asked[0];
	for (size_t i = 0; i < r->opt.nreplicas; i++) {
		const char *replica = r->opt.replicas[i];

		r->is_asked[i] = all || r->to_do[i];
		r->to_do[i] = false;
		if (!r->is_asked[i])
			continue;
		r->asked[i] = shared;
		if (asking == RELAY_ASKING_DROP)
			topology_ask_drop(r->asks, &r->opt.stream, replica, &r->asked[i]);
		else
			topology_ask_replica(r->asks, &r->opt.stream, replica, r->opt.max_attempts,
					     asking == RELAY_ASKING_LOOK     ? TOPOLOGY_LOOK
					     : asking == RELAY_ASKING_CREATE ? TOPOLOGY_CREATE
									     : TOPOLOGY_LOOK_FIRST,
					     &r->asked[i]);
	}
	r->exchange = shared.exchange;
	return amqp_ask(r->link, r->asks, err);
}

static bool any_to_do(const struct relay *r)
{
	for (size_t i = 0; i < r->opt.nreplicas; i++)
		if (r->to_do[i])
			return true;
	return false;
}

/* Says once, and in /status, that something of a replica is not as it must be. */
static void complain(struct relay *r, size_t i, enum relay_queue_part part, enum amqp_answer answer,
		     const struct err *why, const char *next)
{
	static const char *const what[] = { [RELAY_QUEUES_MAIN] = "a queue of a replica",
					    [RELAY_QUEUES_AROUND] = "a queue for failed changes" };

	if (answer != AMQP_ANSWER_YES) {
		relay_show_error(r, what[part], why->text);
		if (r->told[i][part] != answer)
			log_error("a queue cannot be declared", KV_S("replica", r->opt.replicas[i]),
				  KV_S("error", why->text), KV_S("next", next));
	} else if (r->told[i][part] != AMQP_ANSWER_YES && r->told[i][part] != AMQP_ANSWER_NONE) {
		log_info("a queue could be declared again", KV_S("replica", r->opt.replicas[i]));
	}
	r->told[i][part] = answer;
}

static void complain_around(struct relay *r, size_t i, const struct topology_report *t)
{
	static const char next[] = "changes are published; failed ones may have to wait";
	const bool retry = t->retry != AMQP_ANSWER_YES;

	complain(r, i, RELAY_QUEUES_AROUND, retry ? t->retry : t->dead,
		 retry ? &t->retry_why : &t->dead_why, next);
}

/* What became of one replica's queues. False: the primary was lost. */
static bool take_report(struct relay *r, size_t i, struct err *err)
{
	struct topology_report t;
	bool known = false;
	char reason[220];
	int rows;

	topology_read(r->asks, &r->asked[i], &t);
	switch (t.main) {
	case AMQP_ANSWER_YES:
		if (r->asking != RELAY_ASKING_CREATE && r->opt.max_backlog > 0 &&
		    t.ready > r->opt.max_backlog)
			r->too_long[i] = t.ready;
		break;
	case AMQP_ANSWER_MISSING:
		if (!mark(r, i, "a queue of it was deleted, with the changes in it", &known, err))
			return false;
		if (known)
			log_error("a queue of a replica was deleted, and is recreated: the replica "
				  "needs a reset",
				  KV_S("replica", r->opt.replicas[i]));
		r->to_do[i] = true;
		return true;
	case AMQP_ANSWER_UNFIT:
		snprintf(reason, sizeof(reason), "%.200s", t.main_why.text);
		if (!relay_queues_mark(r, i, reason, err))
			return false;
		complain(r, i, RELAY_QUEUES_MAIN, t.main, &t.main_why,
			 "the replica needs a reset; publishing to the others");
		break;
	default:
		if (!r->declared[i] && !note(r, sql_queues_new, DB_TEXT(r->opt.replicas[i]),
					     "its queues could not be declared", &rows, err))
			return false;
		complain(r, i, RELAY_QUEUES_MAIN, t.main, &t.main_why,
			 "trying again; publishing to the others");
		break;
	}
	if (r->asking == RELAY_ASKING_LOOK)
		return true;
	if (t.main == AMQP_ANSWER_YES) {
		complain(r, i, RELAY_QUEUES_MAIN, t.main, NULL, NULL);
		r->fresh[i] = !r->declared[i];
	}
	complain_around(r, i, &t);
	return true;
}

/* Those that were declared for the first time, as far as this leader knows. */
static bool note_declared(struct relay *r, struct err *err)
{
	struct pgarray names = { 0 };
	bool ok = true;
	size_t n = 0;
	int rows;

	pgarray_begin(&names, PGARRAY_TEXT);
	for (size_t i = 0; i < r->opt.nreplicas; i++)
		if (r->fresh[i] && ++n)
			pgarray_add_text(&names, r->opt.replicas[i], strlen(r->opt.replicas[i]));
	if (n > 0)
		ok = note(r, sql_queues_declared, pgarray_finish(&names), NULL, &rows, err);
	for (size_t i = 0; i < r->opt.nreplicas && ok; i++) {
		r->declared[i] = r->declared[i] || r->fresh[i];
		r->fresh[i] = false;
	}
	pgarray_clear(&names);
	return ok;
}

/* ---- too long ones ---- */

static void drop_reason(const struct relay *r, size_t i, char *ret, size_t size)
{
	snprintf(ret, size,
		 "its backlog of %llu messages was dropped: more than MAX_BACKLOG_MESSAGES (%llu)",
		 (unsigned long long)r->too_long[i], (unsigned long long)r->opt.max_backlog);
}

/* Before, or after. */
static bool mark_drops(struct relay *r, struct err *err)
{
	char reason[160];
	bool known;

	for (size_t i = 0; i < r->opt.nreplicas; i++) {
		if (!r->too_long[i])
			continue;
		drop_reason(r, i, reason, sizeof(reason));
		if (!mark(r, i, reason, &known, err))
			return false;
		r->to_do[i] = true;
	}
	return true;
}

static bool take_drops(struct relay *r, struct err *err)
{
	struct topology_report t;

	for (size_t i = 0; i < r->opt.nreplicas; i++) {
		if (!r->is_asked[i])
			continue;
		topology_read(r->asks, &r->asked[i], &t);
		uint64_t dropped = amqp_asks_messages(r->asks, r->asked[i].main);
		metric_add(M_BACKLOG_DROPPED, i, (int64_t)dropped);
		log_warn("the backlog of a replica was dropped: it needs a reset",
			 KV_S("replica", r->opt.replicas[i]), KV_I("messages", (int64_t)dropped),
			 KV_I("max_backlog_messages", (int64_t)r->opt.max_backlog));
	}
	bool ok = mark_drops(r, err);
	memset(r->too_long, 0, sizeof(r->too_long));
	memset(r->to_do, 0, sizeof(r->to_do));
	return ok;
}

void relay_queues_broken(struct relay *r)
{
	struct err ignored;

	/* It may have happened. */
	if (r->asking == RELAY_ASKING_DROP)
		(void)!mark_drops(r, &ignored);
	r->asking = RELAY_ASKING_NOTHING;
	amqp_asks_reset(r->asks);
	memset(r->too_long, 0, sizeof(r->too_long));
	memset(r->to_do, 0, sizeof(r->to_do));
	relay_queues_forget(r);
}

/* ---- a turn ---- */

/* Everything is answered: what is next. */
static enum relay_queues finish(struct relay *r, struct err *err)
{
	enum relay_asking was = r->asking;

	if (was == RELAY_ASKING_DROP) {
		if (!take_drops(r, err))
			return RELAY_QUEUES_DATABASE;
		r->asking = RELAY_ASKING_NOTHING;
		return RELAY_QUEUES_OK;
	}
	if (was != RELAY_ASKING_LOOK &&
	    amqp_asks_answer(r->asks, r->exchange, err) != AMQP_ANSWER_YES)
		return RELAY_QUEUES_BROKER;
	for (size_t i = 0; i < r->opt.nreplicas; i++)
		if (r->is_asked[i] && !take_report(r, i, err))
			return RELAY_QUEUES_DATABASE;
	if (!note_declared(r, err))
		return RELAY_QUEUES_DATABASE;
	r->asking = RELAY_ASKING_NOTHING;
	/* Was there a moment ago, in CREATE: then in the next round. */
	if (was != RELAY_ASKING_CREATE && any_to_do(r))
		return begin(r, RELAY_ASKING_CREATE, err) ? RELAY_QUEUES_OK : RELAY_QUEUES_BROKER;
	memset(r->to_do, 0, sizeof(r->to_do));
	if (!mark_drops(r, err))
		return RELAY_QUEUES_DATABASE;
	if (any_to_do(r))
		return begin(r, RELAY_ASKING_DROP, err) ? RELAY_QUEUES_OK : RELAY_QUEUES_BROKER;
	return RELAY_QUEUES_OK;
}

void relay_queues_want(struct relay *r)
{
	r->declare_wanted = true;
}

bool relay_queues_ready(const struct relay *r)
{
	return r->asking == RELAY_ASKING_NOTHING && !r->declare_wanted;
}

void relay_queues_lead(struct relay *r)
{
	/* Asked again by each new leader: the primary may be another one, or restored from a
	 * backup. */
	memset(r->declared, 0, sizeof(r->declared));
	relay_queues_want(r);
}

enum relay_queues relay_queues_turn(struct relay *r, struct mono now, struct err *err)
{
	bool bounded = r->opt.max_backlog > 0;
	enum relay_queues outcome = RELAY_QUEUES_OK;

	if (r->asking != RELAY_ASKING_NOTHING) {
		if (!amqp_asks_done(r->asks))
			return RELAY_QUEUES_OK;
		outcome = finish(r, err);
		if (outcome == RELAY_QUEUES_DATABASE) {
			r->asking = RELAY_ASKING_NOTHING;
			memset(r->too_long, 0, sizeof(r->too_long));
			memset(r->to_do, 0, sizeof(r->to_do));
		}
		if (!r->direct) /* else it is needed all the time */
			relay_queues_forget(r);
		return outcome;
	}
	/* It would not answer; or a question of an earlier lead is not answered yet. */
	if (amqp_blocked(r->link) || !amqp_asks_done(r->asks))
		return RELAY_QUEUES_OK;
	if (r->declare_wanted ||
	    mono_reached(mono_add_ms(r->declare_at, RELAY_DECLARE_ROUND_MS), now)) {
		r->declare_wanted = false;
		r->declare_at = r->look_at = now;
		return begin(r, RELAY_ASKING_DECLARE, err) ? outcome : RELAY_QUEUES_BROKER;
	}
	if (bounded && mono_reached(mono_add_ms(r->look_at, LOOK_MS), now)) {
		r->look_at = now;
		return begin(r, RELAY_ASKING_LOOK, err) ? outcome : RELAY_QUEUES_BROKER;
	}
	return RELAY_QUEUES_OK;
}

struct mono relay_queues_due(const struct relay *r)
{
	struct mono due = mono_add_ms(r->declare_at, RELAY_DECLARE_ROUND_MS);

	if (r->asking != RELAY_ASKING_NOTHING || amqp_blocked(r->link))
		return MONO_NEVER; /* an answer wakes us */
	return r->opt.max_backlog > 0 ? mono_earlier(due, mono_add_ms(r->look_at, LOOK_MS)) : due;
}
