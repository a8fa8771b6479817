/*
 * relay_queues.c: the replicas' queues as the leading relay keeps them: declared, none missing
 * unnoticed, none longer than the operator allows (MAX_BACKLOG_MESSAGES). The relay's thread.
 *
 * What is lost in a queue only a reset brings back: its snapshot has everything that left the
 * outbox before. So whoever loses changes of a replica marks the replica, and the mark stays until
 * a reset whose snapshot was taken later. The mark is a time, reset_due_at in products_queues on
 * the primary, where the relay can write it also when the replica is down. Every API reads it there
 * and notes it on the replica before that replica serves reads (connector.c). A reset reads the
 * mark in its own snapshot and stores it with the new table (reset_record.sql): a newer mark means
 * that another reset is due. The rules:
 *
 *   1. A queue is missing, and the replica's queues were declared before (it has a row in
 *      products_queues): mark, commit, and only then recreate the queue. A crash in between leaves
 *      a mark too much, never one too few. If a reset's snapshot falls between the two, the reset
 *      has created the queue itself before it.
 *   2. A queue is missing, and the replica has no row: the replica is new. Create the queue, then
 *      the row. Nothing is published before all replicas have both, so a crash in between loses
 *      nothing.
 *   3. The queues are too long: mark, drop what is in both, mark again. The first mark is for a
 *      crash in between. The second one is for a snapshot that falls between the first mark and the
 *      drop: changes published after that snapshot are dropped with the rest, and the second mark
 *      is newer than the snapshot.
 *
 * The queues stay bound meanwhile and are looked at every few seconds. So what is published until
 * the reset is kept, or dropped again, and the bound is exceeded for a few seconds at most. What
 * the reset's snapshot does not have is published after it: it is in the queues, or was dropped
 * there, and then rule 3 has marked the replica again.
 *
 * This blocks: on the broker for some questions, on the primary where something is to be written.
 */
#include <stdio.h>

#include "api/measures.h"
#include "api/relay/relay_private.h"
#include "api/relay/sql/queues_declared.sql.h"
#include "api/relay/sql/queues_lost.sql.h"
#include "common/pg/db.h"
#include "common/base/log.h"
#include "common/wire/topology.h"

#define STATEMENT_MS 3000
#define LOOK_MS	     5000 /* all queues are looked at, if there is a bound */

void relay_queues_forget(struct relay *r)
{
	db_conn_close(r->notes);
	r->notes = NULL;
}

/* One statement on the primary; *ret_rows: how many it gave back. */
static bool note(struct relay *r, const char *sql, const char *replica, const char *reason,
		 int *ret_rows, struct err *err)
{
	static const struct db_options options = { .application_name = "pgfanout-api queues",
						   .statement_timeout_ms = STATEMENT_MS };
	const struct db_param params[] = { DB_TEXT(replica), DB_TEXT(reason) };
	struct pg_result *rows;

	if (!r->notes)
		r->notes = db_connect_raw(r->opt.database_url, &options, err);
	if (!r->notes)
		return false;
	if (db_query(r->notes, sql, reason ? 2 : 1, params, false,
		     mono_add_ms(mono_now(), STATEMENT_MS), &rows, err) != DB_OK) {
		err_prefix(err, "writing to products_queues");
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

	if (!note(r, sql_queues_lost, r->opt.replicas[i], reason, &rows, err))
		return false;
	*ret_known = rows > 0;
	return true;
}

static enum relay_queues drop(struct relay *r, size_t i, uint64_t ready, struct err *err)
{
	static const enum change_kind kinds[] = { CHANGE_SYNC, CHANGE_DELETE };
	const char *replica = r->opt.replicas[i];
	uint64_t dropped = 0;
	char reason[160];
	bool known;

	snprintf(reason, sizeof(reason),
		 "its backlog of %llu messages was dropped: more than MAX_BACKLOG_MESSAGES (%llu)",
		 (unsigned long long)ready, (unsigned long long)r->opt.max_backlog);
	if (!mark(r, i, reason, &known, err))
		return RELAY_QUEUES_DATABASE;
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		char queue[TOPOLOGY_NAME_MAX];
		uint32_t n;

		topology_queue(queue, kinds[k], replica);
		if (!amqp_purge_queue(r->link, queue, &n, err)) {
			struct err ignored;

			/* It may have happened. */
			(void)!mark(r, i, reason, &known, &ignored);
			return RELAY_QUEUES_BROKER;
		}
		dropped += n;
	}
	metric_add(M_BACKLOG_DROPPED, i, (int64_t)dropped);
	log_warn("the backlog of a replica was dropped: it needs a reset", KV_S("replica", replica),
		 KV_I("messages", (int64_t)dropped),
		 KV_I("max_backlog_messages", (int64_t)r->opt.max_backlog));
	return mark(r, i, reason, &known, err) ? RELAY_QUEUES_OK : RELAY_QUEUES_DATABASE;
}

/* One replica's. */
static enum relay_queues look(struct relay *r, size_t i, bool declare, struct err *err)
{
	const char *replica = r->opt.replicas[i];
	bool missing, known = false;
	uint64_t ready;
	int rows;

	if (!topology_look(r->link, replica, &missing, &ready, err))
		return RELAY_QUEUES_BROKER;
	if (missing) {
		if (!mark(r, i, "a queue of it was deleted, with the changes in it", &known, err))
			return RELAY_QUEUES_DATABASE;
		if (known)
			log_error("a queue of a replica was deleted, and is recreated: the replica "
				  "needs a reset",
				  KV_S("replica", replica));
	}
	if ((missing || declare) && !topology_declare(r->link, replica, r->opt.max_attempts, err))
		return RELAY_QUEUES_BROKER;
	if (!r->declared[i]) {
		if (!note(r, sql_queues_declared, replica, NULL, &rows, err))
			return RELAY_QUEUES_DATABASE;
		r->declared[i] = true;
	}
	if (r->opt.max_backlog > 0 && ready > r->opt.max_backlog)
		return drop(r, i, ready, err);
	return RELAY_QUEUES_OK;
}

enum relay_queues relay_queues_declare(struct relay *r, struct err *err)
{
	enum relay_queues outcome = RELAY_QUEUES_OK;

	/* Asked again by each new leader: the primary may be another one, or restored from a
	 * backup. */
	for (size_t i = 0; i < r->opt.nreplicas; i++)
		r->declared[i] = false;
	for (size_t i = 0; i < r->opt.nreplicas && outcome == RELAY_QUEUES_OK; i++)
		outcome = look(r, i, true, err);
	relay_queues_forget(r);
	r->look_next = 0;
	r->look_at = r->declare_at = mono_now();
	return outcome;
}

enum relay_queues relay_queues_look(struct relay *r, struct mono now, struct err *err)
{
	int64_t round_ms = r->opt.max_backlog > 0 ? LOOK_MS : RELAY_DECLARE_ROUND_MS;

	if (r->opt.nreplicas == 0 || amqp_blocked(r->link) ||
	    !mono_reached(mono_add_ms(r->look_at, round_ms / (int64_t)r->opt.nreplicas), now))
		return RELAY_QUEUES_OK;
	if (r->look_next >= r->opt.nreplicas) {
		r->look_next = 0;
		r->declaring = mono_reached(mono_add_ms(r->declare_at, RELAY_DECLARE_ROUND_MS),
					    now);
		if (r->declaring)
			r->declare_at = now;
	}
	enum relay_queues outcome = look(r, r->look_next++, r->declaring || r->opt.max_backlog == 0,
					 err);
	relay_queues_forget(r);
	r->look_at = mono_now();
	return outcome;
}
