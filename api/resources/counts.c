/*
 * counts.c: see counts.h. All but the last section runs in the thread of counts.
 *
 *   1. It counts one resource after the other, in read-only transactions, each with a deadline, and none that begins
 *      late. What fails, and what is not counted, has the planner's estimate.
 *   2. When the connection is lost, what was counted before stays for KEEP_MS.
 *   3. When nobody has asked for IDLE_MS the connection is closed.
 * Whether the primary is there the connector tells: nothing is logged here.
 */
#include "api/resources/counts.h"

#include <stdlib.h>
#include <string.h>

#include "api/resources/query_sql.h"
#include "common/base/log.h"
#include "common/pg/db.h"

#define COUNT_EVERY_MS 1000
#define ONE_MS	       500  /* for one resource; the server ends it, we give up after twice that */
#define BEGIN_MS       1500 /* after which none is counted any more */
#define LOCK_MS	       100
#define KEEP_MS	       10000
#define IDLE_MS	       30000

struct counts {
	struct primary *primary; /* these: immutable after the start */
	const struct listed *listed;
	struct catalog_place *models;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;

	/* These: under lock. */
	bool stopping, asked;
	struct mono begun, not_before; /* of the last count that came to an end; of the next one */
	bool counted;		       /* whether there was one */
	struct counts_row *rows;

	/* the thread's */
	unsigned heard;	      /* primary_moved() */
	struct pg_conn *conn; /* NULL: none */
	struct catalog_view view;
};

/* ---- counting ---- */

static bool connected(struct counts *c)
{
	const struct db_options opt = {
		.application_name = "pgfanout-api counts",
		.statement_timeout_ms = ONE_MS,
		.lock_timeout_ms = LOCK_MS,
		.guc = "-c default_transaction_read_only=on",
	};
	struct err ignored;

	if (primary_moved(c->primary, &c->heard)) {
		db_conn_close(c->conn);
		c->conn = NULL;
	}
	if (c->conn == NULL)
		c->conn = primary_connect(c->primary, &opt, &ignored);
	return c->conn != NULL;
}

static struct counts_row estimate(const struct model_resource *r, int64_t at_least)
{
	int64_t rows = r->rows < at_least ? at_least : r->rows;

	return (struct counts_row){ .rows = rows, .estimated = rows >= 0 };
}

/* False: the connection is lost. */
static bool count(struct counts *c, const struct model_resource *r, struct counts_row *ret)
{
	struct mono deadline = mono_add_ms(mono_now(), 2 * ONE_MS);
	AUTO_STRBUF sql = STRBUF_INIT;
	struct pg_result *res = NULL;
	struct err ignored;

	query_sql_count(&sql, r, COUNTS_EXACT + 1);

	enum db_outcome outcome = db_query(c->conn, sql.data, 0, NULL, false, deadline, &res,
					   &ignored);

	if (outcome == DB_LOST)
		return false;
	*ret = estimate(r, -1);
	if (outcome != DB_OK)
		return true;

	int64_t rows = strtoll(db_value(res, 0, 0), NULL, 10);

	*ret = rows > COUNTS_EXACT ? estimate(r, rows) : (struct counts_row){ .rows = rows };
	db_result_clear(res);
	return true;
}

/* False: the connection is lost, or there is none. */
static bool count_all(struct counts *c, struct counts_row *ret)
{
	const struct model *m = catalog_view(&c->view, c->models);
	struct mono end = mono_add_ms(mono_now(), BEGIN_MS);
	bool ok = m != NULL && connected(c);

	for (size_t i = 0; ok && i < c->listed->n; i++) {
		const char *name = c->listed->resources[i].name;
		const struct model_resource *r = model_find(m, name, strlen(name));

		ret[i] = (struct counts_row){ .rows = -1 };
		if (r == NULL)
			continue;
		if (mono_reached(end, mono_now()))
			ret[i] = estimate(r, -1);
		else
			ok = count(c, r, &ret[i]);
	}
	if (!ok) {
		db_conn_close(c->conn);
		c->conn = NULL;
	}
	return ok;
}

/* Called and left with the lock. */
static void renew(struct counts *c)
{
	struct counts_row *rows = xcalloc(c->listed->n, sizeof(*rows));
	struct mono begun = mono_now();

	c->asked = false;
	pthread_mutex_unlock(&c->lock);
	bool ok = count_all(c, rows);
	pthread_mutex_lock(&c->lock);
	c->not_before = mono_add_ms(begun, COUNT_EVERY_MS);
	if (ok) {
		memcpy(c->rows, rows, c->listed->n * sizeof(*rows));
		c->begun = begun;
		c->counted = true;
	}
	free(rows);
}

static void *counts_main(void *arg)
{
	struct counts *c = arg;
	struct mono idle = MONO_NEVER;

	log_thread("counts");
	pthread_mutex_lock(&c->lock);
	while (!c->stopping) {
		struct mono due = c->asked ? c->not_before : idle;

		if (!mono_reached(due, mono_now())) {
			mono_cond_wait(&c->changed, &c->lock, due);
		} else if (c->asked) {
			renew(c);
			idle = mono_add_ms(mono_now(), IDLE_MS);
		} else {
			idle = MONO_NEVER;
			db_conn_close(c->conn);
			c->conn = NULL;
		}
	}
	pthread_mutex_unlock(&c->lock);
	db_conn_close(c->conn);
	catalog_view_clear(&c->view);
	return NULL;
}

/* ---- from outside ---- */

static void counts_free(struct counts *c)
{
	pthread_cond_destroy(&c->changed);
	pthread_mutex_destroy(&c->lock);
	free(c->rows);
	free(c);
}

bool counts_start(struct primary *primary, const struct listed *listed,
		  struct catalog_place *models, struct counts **ret, struct err *err)
{
	*ret = NULL;
	if (listed->n == 0)
		return true;

	struct counts *c = xcalloc(1, sizeof(*c));

	c->primary = primary;
	c->listed = listed;
	c->models = models;
	c->rows = xcalloc(listed->n, sizeof(*c->rows));
	c->not_before = mono_now();
	pthread_mutex_init(&c->lock, NULL);
	mono_cond_init(&c->changed);

	int rc = pthread_create(&c->thread, NULL, counts_main, c);

	if (rc != 0) {
		counts_free(c);
		return err_set(err, "cannot start the thread that counts rows: %s", strerror(rc));
	}
	*ret = c;
	return true;
}

void counts_ask(struct counts *c)
{
	pthread_mutex_lock(&c->lock);
	c->asked = true;
	pthread_cond_signal(&c->changed);
	pthread_mutex_unlock(&c->lock);
}

bool counts_get(struct counts *c, struct mono now, struct counts_row *ret)
{
	pthread_mutex_lock(&c->lock);
	bool kept = c->counted && !mono_reached(mono_add_ms(c->begun, KEEP_MS), now);
	bool fresh = c->counted && !mono_reached(mono_add_ms(c->begun, COUNT_EVERY_MS), now);

	for (size_t i = 0; i < c->listed->n; i++)
		ret[i] = kept ? c->rows[i] : (struct counts_row){ .rows = -1 };
	pthread_mutex_unlock(&c->lock);
	return fresh;
}

void counts_stop(struct counts *c)
{
	if (c == NULL)
		return;
	pthread_mutex_lock(&c->lock);
	c->stopping = true;
	pthread_cond_signal(&c->changed);
	pthread_mutex_unlock(&c->lock);
	pthread_join(c->thread, NULL);
	counts_free(c);
}
