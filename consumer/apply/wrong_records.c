/*
 * wrong_records.c: see wrong_records.h.
 */
#include "consumer/apply/wrong_records.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/pg/pgarray.h"
#include "consumer/apply/replica.h"

#define RECORDS_MAX 1000 /* in one statement */
/* A batch may be in front of it on the connection, and take its own whole timeout. */
#define GRACE_MS    8000

struct wrong_records {
	const struct consumer_settings *settings;
	const char *replica;
	struct retry *retry;
	bool in_flight;
	bool recorded; /* since wrong_records_step() was last called */
	struct pgarray tables, keys, versions, xids, sources, queues, errors;
};

struct wrong_records *wrong_records_new(const struct consumer_settings *settings,
					const char *replica, struct retry *retry)
{
	struct wrong_records *w = xcalloc(1, sizeof(*w));

	w->settings = settings;
	w->replica = replica;
	w->retry = retry;
	return w;
}

struct wrong_records *wrong_records_free(struct wrong_records *w)
{
	if (w == NULL)
		return NULL;
	pgarray_clear(&w->tables);
	pgarray_clear(&w->keys);
	pgarray_clear(&w->versions);
	pgarray_clear(&w->xids);
	pgarray_clear(&w->sources);
	pgarray_clear(&w->queues);
	pgarray_clear(&w->errors);
	free(w);
	return NULL;
}

void wrong_records_start(struct wrong_records *w)
{
	w->in_flight = w->recorded = false;
}

static void add(void *arg, const struct retry_record *r)
{
	struct wrong_records *w = arg;

	pgarray_add_int4(&w->tables, r->table);
	pgarray_add_text(&w->keys, r->key, strlen(r->key));
	pgarray_add_int8(&w->versions, r->version);
	pgarray_add_int8(&w->xids, (int64_t)r->xid);
	pgarray_add_text(&w->sources, r->source, strlen(r->source));
	pgarray_add_text(&w->queues, r->queue, strlen(r->queue));
	pgarray_add_text(&w->errors, r->error, strlen(r->error));
}

/* A lost connection ends the stretch, and the messages come again. */
static void on_answer(void *arg, enum db_outcome outcome, const struct pg_result *r,
		      const struct err *err)
{
	struct wrong_records *w = arg;

	(void)r;
	w->in_flight = false;
	if (outcome == DB_LOST)
		return;
	if (outcome == DB_OK)
		w->recorded = true;
	else
		log_warn("the replica does not take the record of rows that are wrong on it; "
			 "reads will go on using them, the changes are parked all the same",
			 KV_S("replica", w->replica), KV_S("error", err->text));
	retry_recorded(w->retry);
}

static void send_records(struct wrong_records *w, struct db *db, struct mono now)
{
	struct err err = { .text = "" };

	pgarray_begin(&w->tables, PGARRAY_INT4);
	pgarray_begin(&w->keys, PGARRAY_TEXT);
	pgarray_begin(&w->versions, PGARRAY_INT8);
	pgarray_begin(&w->xids, PGARRAY_XID8);
	pgarray_begin(&w->sources, PGARRAY_TEXT);
	pgarray_begin(&w->queues, PGARRAY_TEXT);
	pgarray_begin(&w->errors, PGARRAY_TEXT);
	if (retry_take_records(w->retry, RECORDS_MAX, add, w) == 0)
		return;
	const struct db_param params[] = {
		pgarray_finish(&w->tables),   pgarray_finish(&w->keys),
		pgarray_finish(&w->versions), pgarray_finish(&w->xids),
		pgarray_finish(&w->sources),  pgarray_finish(&w->queues),
		pgarray_finish(&w->errors),
	};
	/* If it cannot be sent the connection is dead, which ends the stretch. */
	w->in_flight = db_send(db, REPLICA_RECORD_WRONG, params, false,
			       mono_add_ms(now, 2 * w->settings->apply_timeout_ms + GRACE_MS),
			       on_answer, w, &err);
}

bool wrong_records_step(struct wrong_records *w, struct db *db, struct mono now)
{
	bool recorded = w->recorded;

	w->recorded = false;
	if (!w->in_flight && retry_pending(w->retry) > 0 && db_alive(db))
		send_records(w, db, now);
	return recorded;
}
