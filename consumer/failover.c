/*
 * failover.c: see failover.h. One thread, for all replicas of this process.
 *
 *   a replica is      moves on when
 *   VERIFIED          a stream of it follows a new primary (pgfanout.follow_successor()), which it
 *                     notes in that transaction (streams.unverified)                         -> UNVERIFIED
 *   UNVERIFIED        all its streams follow the same primary: it is compared with that one, and
 *                     rows that differ are repaired and named in the log, as reset-replicas
 *                     --repair does, which notes that it was (verify_done.sql)               -> VERIFIED
 *                     a reset                                                                -> VERIFIED
 *
 * The state is the replica's own. If this process dies the next one begins the comparison again; what is repaired
 * already is equal then. Several consumers may do it at once: a row that both repair is recorded twice.
 */
#include "consumer/failover.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/backoff.h"
#include "common/base/log.h"
#include "common/base/stop.h"
#include "common/pg/db.h"
#include "consumer/apply/auto_reset.h"
#include "consumer/verify/verify.h"

#include "consumer/verify/sql/failover_due.sql.h"

#define LOOK_MS	     500
#define STATEMENT_MS 5000
#define FIRST_MS     5000
#define MOST_MS	     600000

struct failover {
	pthread_t thread;
	const struct consumer_settings *settings;
	struct status *const *statuses;
	struct backoff backoff;
	struct mono at; /* not before */
	bool told;	/* that it is not done here */
};

static bool is_hinted(const struct failover *f, size_t i)
{
	for (struct status *s = f->statuses[i]; s != NULL; s = atomic_load(&s->next))
		if (atomic_load(&s->unverified))
			return true;
	return false;
}

/* Whether its streams all follow the new primary, and were not compared with it. */
static bool is_due(const struct failover *f, size_t i)
{
	const struct db_options options = { .application_name = "pgfanout-consumer failover",
					    .statement_timeout_ms = STATEMENT_MS };
	struct err err;
	struct pg_result *r = NULL;
	struct pg_conn *c = db_connect_raw(f->settings->replicas.replica[i].url, &options, &err);

	if (c == NULL) /* its worker says so */
		return false;
	bool due = db_query(c, sql_failover_due, 0, NULL, false,
			    mono_add_ms(mono_now(), STATEMENT_MS), &r, &err) == DB_OK &&
		   *db_value(r, 0, 0) == 't';
	db_result_clear(r);
	db_conn_close(c);
	return due;
}

static bool possible(struct failover *f)
{
	bool can = f->settings->auto_reset && f->settings->database_url[0] != '\0';

	if (!can && !f->told)
		log_warn(
			"another server has become the primary: rows may differ from it if it had not received "
			"all; run reset-replicas --repair (AUTO_RESET and DATABASE_URL would do it)");
	f->told = !can;
	return can;
}

static void compare(struct failover *f, const bool *chosen)
{
	const struct reset_settings settings = auto_reset_settings(f->settings);
	struct verify_request request = { .settings = &settings, .repair = true, .log = true };

	memcpy(request.chosen, chosen, sizeof(request.chosen));
	log_info(
		"another server has become the primary: comparing replicas with it, and repairing rows that "
		"it does not have so");
	enum exit_code code = verify_run(&request);

	if (stop_requested())
		return;
	if (code != EXIT_OK) {
		int64_t wait_ms = backoff_next_ms(&f->backoff);

		f->at = mono_add_ms(mono_now(), wait_ms);
		log_warn("replicas could not all be compared with the new primary; trying again",
			 KV_I("in_ms", wait_ms));
		return;
	}
	backoff_reset(&f->backoff);
	log_info("replicas have been compared with the new primary");
}

static void look(struct failover *f)
{
	bool chosen[REPLICAS_MAX] = { false }, any = false;

	if (!mono_reached(f->at, mono_now()))
		return;
	for (size_t i = 0; i < f->settings->replicas.n && !stop_requested(); i++) {
		if (!is_hinted(f, i) || !possible(f))
			continue;
		chosen[i] = is_due(f, i);
		any = any || chosen[i];
	}
	if (any && !stop_requested())
		compare(f, chosen);
}

static void *failover_main(void *arg)
{
	struct failover *f = arg;

	log_thread("failover");
	while (!stop_requested()) {
		look(f);
		stop_sleep_ms(LOOK_MS);
	}
	return NULL;
}

struct failover *failover_start(const struct consumer_settings *settings,
				struct status *const *statuses, struct err *err)
{
	struct failover *f = xcalloc(1, sizeof(*f));

	f->settings = settings;
	f->statuses = statuses;
	backoff_init(&f->backoff, FIRST_MS, MOST_MS);
	int rc = pthread_create(&f->thread, NULL, failover_main, f);

	if (rc == 0)
		return f;
	free(f);
	err_set(err, "cannot start the thread that compares replicas: %s", strerror(rc));
	return NULL;
}

void failover_stop(struct failover *f)
{
	if (f == NULL)
		return;
	pthread_join(f->thread, NULL);
	free(f);
}
