/*
 * verify_repair.c: repairs rows that differ: the primary records each of them once more, as it is, under a
 * new version, and it reaches all replicas like any other change. Where a replica was right already only the
 * version changes. One that may be too large for a message goes directly to the replicas where it is wrong:
 * verify_bring.c.
 *
 * Why versions stay in order: pgfanout.install() of the primary's migrations. Why a row does not go
 * backwards on a replica: verify_sql.c. Each row is a transaction of its own: after a crash of this
 * process, what was recorded is repaired, the rest is not. It holds no other lock while it waits, so it
 * cannot be part of a deadlock.
 */
#include <string.h>

#include "common/base/log.h"
#include "common/pg/pgarray.h"
#include "common/base/stop.h"
#include "consumer/verify/verify_bring.h"

#define PASSES	     3 /* somebody may write to the replica meanwhile */
#define TRIES	     5 /* a row may come and go just now */
#define STATEMENT_MS 30000
/* A row with a longer text goes directly. As JSON a character may take six bytes of it: less than 1 MB with the
 * names, which any broker takes. */
#define LARGE	     ((int64_t)128 << 10)

static enum db_outcome publish(const struct verify *v, const char *key, struct err *err)
{
	enum db_outcome outcome = DB_RETRY;
	AUTO_STRBUF sql = STRBUF_INIT;
	struct db_param param = DB_TEXT(key);

	strbuf_addf(&sql, "SELECT pgfanout.publish_%d($1::text[])", v->table->shape->id);
	for (int i = 0; i < TRIES && outcome == DB_RETRY; i++)
		outcome = db_query(v->writer.conn, strbuf_str(&sql), 1, &param, false,
				   mono_add_ms(mono_now(), STATEMENT_MS), NULL, err);
	return outcome;
}

/* The suspects, n of them, are of one row. */
static enum db_outcome mend(const struct verify *v, const struct verify_suspect *suspects, size_t n,
			    struct err *err)
{
	enum db_outcome outcome = DB_RETRY;
	bool there = true;

	if (suspects->original.bytes <= LARGE)
		return publish(v, suspects->key, err);
	for (int i = 0; i < TRIES && outcome == DB_RETRY; i++)
		outcome = verify_bring(v, suspects, n, &there, err);
	/* What is left to be said is its delete. */
	return outcome == DB_OK && !there ? publish(v, suspects->key, err) : outcome;
}

/* Each row once, however many replicas need it: the list is sorted by key. */
static bool mend_all(struct verify *v)
{
	for (size_t i = 0, n; i < v->nsuspects; i += n) {
		const char *key = v->suspects[i].key;
		enum db_outcome outcome;
		struct err err;

		for (n = 1; i + n < v->nsuspects && strcmp(key, v->suspects[i + n].key) == 0;)
			n++;
		if (stop_requested())
			return false;
		outcome = mend(v, &v->suspects[i], n, &err);
		if (outcome == DB_OK)
			continue;
		err_prefix(&err, "repairing %s %s", v->table->shape->full, key);
		/* A failure of this row alone does not stop the others. */
		if (outcome != DB_RETRY && outcome != DB_REFUSED && outcome != DB_BROKEN)
			return verify_server_fail(&v->primary, db_exit_code(outcome), err.text);
		log_error("not repaired", KV_S("error", err.text));
	}
	return true;
}

/* ---- versions that the primary has never given out ---- */

static void take_nothing(void *arg, const struct pg_result *r)
{
	(void)arg;
	(void)r;
}

static bool lower_versions(struct verify *v, size_t replica)
{
	struct pgarray keys = { 0 }, versions = { 0 }, buried = { 0 }, dead = { 0 };
	int64_t given = 0;
	char newest[8];

	pgarray_begin(&keys, PGARRAY_TEXT);
	pgarray_begin(&versions, PGARRAY_INT8);
	pgarray_begin(&buried, PGARRAY_INT8);
	pgarray_begin(&dead, PGARRAY_INT8);
	for (size_t i = 0; i < v->nsuspects; i++) {
		const struct verify_suspect *s = &v->suspects[i];
		const struct verify_copy *c = &s->copy;

		if (s->replica != replica ||
		    (c->version <= s->original.given && c->buried <= s->original.given &&
		     c->dead <= s->original.given))
			continue;
		if (given < s->original.given)
			given = s->original.given;
		pgarray_add_text(&keys, s->key, strlen(s->key));
		pgarray_add_int8(&versions, c->version);
		pgarray_add_int8(&buried, c->buried);
		pgarray_add_int8(&dead, c->dead);
	}
	pg_put_int8(newest, given);
	const struct db_param params[] = { pgarray_finish(&keys), pgarray_finish(&versions),
					   pgarray_finish(&buried),
					   DB_BINARY(newest, sizeof(newest)),
					   pgarray_finish(&dead) };
	bool ok = true;

	if (keys.n > 0) {
		verify_ask(&v->replicas[replica].server, VERIFY_LOWER, params, take_nothing, NULL);
		ok = verify_gather(v);
	}
	pgarray_clear(&keys);
	pgarray_clear(&versions);
	pgarray_clear(&buried);
	pgarray_clear(&dead);
	return ok;
}

/* ---- passes ---- */

static void keep_drifted(struct verify *v)
{
	size_t n = 0;

	for (size_t i = 0; i < v->nsuspects; i++) {
		if (v->suspects[i].state == VERIFY_DRIFT)
			v->suspects[n++] = v->suspects[i];
		else
			verify_suspect_clear(&v->suspects[i]);
	}
	v->nsuspects = n;
}

static bool pass(struct verify *v)
{
	for (size_t i = 0; i < v->n; i++) {
		if (!lower_versions(v, i))
			return false;
	}
	if (!mend_all(v))
		return false;
	for (size_t i = 0; i < v->nsuspects; i++)
		verify_suspect_again(&v->suspects[i]);
	/* Rule 3 waits until what was just recorded has arrived: a drift that is gone was
	 * repaired. */
	if (!verify_settle(v))
		return false;
	for (size_t i = 0; i < v->nsuspects; i++) {
		struct verify_replica *r = &v->replicas[v->suspects[i].replica];

		r->repaired += v->suspects[i].state == VERIFY_EQUAL;
		r->unsure += v->suspects[i].state == VERIFY_UNSURE;
	}
	return true;
}

bool verify_mend(struct verify *v)
{
	keep_drifted(v);
	for (int i = 0; i < PASSES && v->nsuspects > 0; i++) {
		if (!pass(v))
			return false;
		keep_drifted(v);
	}
	return true;
}
