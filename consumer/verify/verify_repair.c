/*
 * verify_repair.c: repairs products that differ: the primary records each of them once more, as it
 * is, under a new version, and it reaches all replicas like any other change. Where a replica was
 * right already only the version changes.
 *
 * Why versions stay in order: pgfanout.install() of the primary's migrations. Why a product does not
 * go backwards on a replica: repair_lower.sql. Each product is a transaction of its own: after a crash
 * of this process, what was recorded is repaired, the rest is not.
 */
#include <string.h>

#include "common/base/log.h"
#include "common/pg/pgarray.h"
#include "common/base/stop.h"
#include "consumer/verify/verify_private.h"

#include "consumer/verify/sql/repair_publish.sql.h"

#define PASSES	     3 /* somebody may write to the replica meanwhile */
#define TRIES	     5 /* a product may come and go just now */
#define STATEMENT_MS 30000

static enum db_outcome publish(struct verify *v, const struct uuid *id, struct err *err)
{
	enum db_outcome outcome = DB_RETRY;
	struct db_param param = VERIFY_ID(id);

	for (int i = 0; i < TRIES && outcome == DB_RETRY; i++)
		outcome = db_query(v->writer.conn, sql_repair_publish, 1, &param, true,
				   mono_add_ms(mono_now(), STATEMENT_MS), NULL, err);
	return outcome;
}

/* Each product once, however many replicas need it: the list is sorted by id. */
static bool publish_all(struct verify *v)
{
	for (size_t i = 0; i < v->nsuspects; i++) {
		const struct uuid *id = &v->suspects[i].id;
		char text[UUID_TEXT_LEN + 1] = "";
		enum db_outcome outcome;
		struct err err;

		if (i > 0 && uuid_cmp(id, &v->suspects[i - 1].id) == 0)
			continue;
		if (stop_requested())
			return false;
		outcome = publish(v, id, &err);
		if (outcome == DB_OK)
			continue;
		uuid_to_text(id, text);
		err_prefix(&err, "recording product %s once more", text);
		/* A failure of this product alone does not stop the others. */
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
	struct pgarray ids = { 0 }, versions = { 0 }, buried = { 0 }, dead = { 0 };
	int64_t given = 0;
	char newest[8];

	pgarray_begin(&ids, PGARRAY_UUID);
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
		pgarray_add_uuid(&ids, &s->id);
		pgarray_add_int8(&versions, c->version);
		pgarray_add_int8(&buried, c->buried);
		pgarray_add_int8(&dead, c->dead);
	}
	pg_put_int8(newest, given);
	const struct db_param params[] = { pgarray_finish(&ids), pgarray_finish(&versions),
					   pgarray_finish(&buried),
					   DB_BINARY(newest, sizeof(newest)),
					   pgarray_finish(&dead) };
	bool ok = true;

	if (ids.n > 0) {
		verify_ask(&v->replicas[replica].server, VERIFY_LOWER, params, take_nothing, NULL);
		ok = verify_gather(v);
	}
	pgarray_clear(&ids);
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
	}
	v->nsuspects = n;
}

static bool pass(struct verify *v)
{
	for (size_t i = 0; i < v->n; i++) {
		if (!lower_versions(v, i))
			return false;
	}
	if (!publish_all(v))
		return false;
	for (size_t i = 0; i < v->nsuspects; i++) {
		struct uuid id = v->suspects[i].id;

		verify_suspect_init(&v->suspects[i], &id, v->suspects[i].replica);
	}
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
