/*
 * catalog.c: see catalog.h. All but the last section runs in the catalog's thread.
 *
 * A look is catalog.sql on a connection of the thread's own, with a deadline. It says nothing new while nothing in
 * the catalog has changed. A look that fails costs the connection: the next one connects anew, after a back-off.
 * Whether the primary is there the connector tells; here the log has what resources came, and which are missing,
 * when that changes.
 *
 * SIGTERM does not end this thread, only catalog_stop() does: requests that were accepted may need a newer model.
 */
#include "api/resources/catalog.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "api/pool/connector.h"
#include "api/resources/sql/catalog.sql.h"
#include "common/base/backoff.h"
#include "common/base/clip.h"
#include "common/base/log.h"
#include "common/pg/db.h"

#define LOOK_EVERY_MS	 500
#define ASKED_EVERY_MS	 20 /* a replica that is behind makes many ask, and they change nothing */
#define ANSWER_MS	 5000
#define BACKOFF_FIRST_MS 100
#define BACKOFF_MOST_MS	 3000

static const struct db_statement statement = { "catalog", sql_catalog, 2, NULL };

struct catalog {
	struct primary *primary; /* these: immutable after the start */
	char *list;
	struct catalog_place *place;
	pthread_t thread;
	int stop_fd; /* an eventfd, readable once stopping */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool stopping, asked; /* these: under lock */

	/* the thread's */
	unsigned heard; /* primary_moved() */
	struct db *db;	/* NULL: none */
	struct backoff backoff;
	struct mono next_look, not_before;
	bool away;	   /* the last look failed */
	char *fingerprint; /* of the last answer; "": there is none */
	char *text;	   /* what the model was made of; NULL: there is none */
	char error[256];   /* the last one, which is in the log; "": there was none */
};

/* ---- what has changed ---- */

static const char *reason_in(const struct model *m, const char *name)
{
	for (size_t i = 0; m != NULL && i < m->nmissing; i++)
		if (strcmp(m->missing[i].name, name) == 0)
			return m->missing[i].reason;
	return NULL;
}

/* was: NULL: there was none. */
static void log_changes(const struct model *was, const struct model *now)
{
	for (size_t i = 0; i < now->nmissing; i++) {
		const struct model_missing *x = &now->missing[i];
		const char *before = reason_in(was, x->name);

		if (before == NULL || strcmp(before, x->reason) != 0)
			log_warn("a resource is missing; looking again", KV_S("resource", x->name),
				 KV_S("reason", x->reason));
	}
	for (size_t i = 0; i < now->nresources; i++) {
		const struct model_resource *r = &now->resources[i];

		if (was == NULL || model_find(was, r->name, strlen(r->name)) == NULL)
			log_info("a resource is there", KV_S("resource", r->name),
				 KV_S("schema", r->schema), KV_S("table", r->relation));
	}
}

static void take_model(struct catalog *c, const char *text, size_t len, struct err *err)
{
	struct model *m;

	if (c->text != NULL && strcmp(c->text, text) == 0)
		return;
	m = model_read(text, len, err);
	if (m == NULL)
		return;
	/* Nobody else replaces what is there. */
	log_changes(c->place->model, m);
	catalog_place_put(c->place, m);
	free(c->text);
	c->text = xstrdup(text);
}

/* ---- a look ---- */

struct look {
	struct catalog *catalog;
	bool good;
	struct err err;
};

static void on_answer(void *arg, enum db_outcome outcome, const struct pg_result *r,
		      const struct err *err)
{
	struct look *look = arg;
	struct catalog *c = look->catalog;

	if (outcome != DB_OK) {
		look->err = *err;
		/* Whether it is there the connector tells. */
		if (outcome == DB_LOST)
			look->err.text[0] = '\0';
		return;
	}
	if (db_rows(r) == 1 && !db_is_null(r, 0, 1))
		take_model(c, db_value(r, 0, 1), (size_t)db_length(r, 0, 1), &look->err);
	look->good = db_rows(r) == 1 && look->err.text[0] == '\0';
	if (!look->good)
		return;
	free(c->fingerprint);
	c->fingerprint = xstrdup(db_value(r, 0, 0));
}

/* Until the answer is there, or the connection lost, or this is to stop. */
static void wait_for_answer(struct catalog *c)
{
	bool stopping = false;

	while (!stopping && db_alive(c->db) && db_in_flight(c->db) > 0) {
		struct pollfd fds[2] = {
			{ .fd = db_fd(c->db),
			  .events = (short)(POLLIN | (db_wants_write(c->db) ? POLLOUT : 0)) },
			{ .fd = c->stop_fd, .events = POLLIN },
		};
		int wait_ms = mono_until_ms(db_next_deadline(c->db), mono_now(), ANSWER_MS);

		if (poll(fds, ARRAY_SIZE(fds), wait_ms) < 0 && errno != EINTR)
			fatal("poll: %s", strerror(errno));
		stopping = fds[1].revents != 0;
		db_io(c->db);
		if (db_alive(c->db))
			db_tick(c->db, mono_now());
	}
}

static bool open_connection(struct catalog *c, struct err *err)
{
	const struct db_options opt = {
		.application_name = "pgfanout-api catalog",
		.statement_timeout_ms = ANSWER_MS,
		/* The catalog's tables have no statistics worth the name. */
		.guc = CONNECTOR_INDEX_ONLY,
		.stop_fd = c->stop_fd
	};

	if (primary_moved(c->primary, &c->heard)) {
		db_close(c->db);
		c->db = NULL;
	}
	if (c->db == NULL)
		c->db = primary_open(c->primary, &opt, &statement, 1, err);
	return c->db != NULL;
}

static void note_failure(struct catalog *c, const struct err *err)
{
	char text[sizeof(c->error)];

	clip_text(text, sizeof(text), err->text);
	if (text[0] != '\0' && strcmp(c->error, text) != 0)
		log_warn("the resources' tables could not be looked at; trying again",
			 KV_S("error", err->text));
	memcpy(c->error, text, sizeof(text));
}

static void look(struct catalog *c)
{
	struct look look = { .catalog = c };
	const struct db_param params[] = { DB_TEXT(c->list), DB_TEXT(c->fingerprint) };
	struct err err = { 0 };

	if (!open_connection(c, &err)) {
		/* There it is, but it will not run the statement. */
		if (err.sqlstate[0] != '\0')
			look.err = err;
	} else if (db_send(c->db, 0, params, false, mono_add_ms(mono_now(), ANSWER_MS), on_answer,
			   &look, &err)) {
		wait_for_answer(c);
	}

	struct mono now = mono_now();

	c->away = !look.good;
	c->not_before = mono_add_ms(now, ASKED_EVERY_MS);
	if (look.good) {
		backoff_reset(&c->backoff);
		c->next_look = mono_add_ms(now, LOOK_EVERY_MS);
		c->error[0] = '\0';
		return;
	}
	/* Before db_close(), which answers what is in flight. */
	note_failure(c, &look.err);
	db_close(c->db);
	c->db = NULL;
	c->next_look = mono_add_ms(now, backoff_next_ms(&c->backoff));
}

/* When the next look is due: who asks hastens it, but not that of a primary that does not answer. */
static struct mono due(const struct catalog *c)
{
	return c->asked && !c->away ? mono_earlier(c->not_before, c->next_look) : c->next_look;
}

static void *catalog_main(void *arg)
{
	struct catalog *c = arg;

	log_thread("catalog");
	pthread_mutex_lock(&c->lock);
	while (!c->stopping) {
		struct mono t = due(c);

		if (mono_reached(t, mono_now())) {
			c->asked = false;
			pthread_mutex_unlock(&c->lock);
			look(c);
			pthread_mutex_lock(&c->lock);
		} else {
			mono_cond_wait(&c->changed, &c->lock, t);
		}
	}
	pthread_mutex_unlock(&c->lock);
	db_close(c->db);
	c->db = NULL;
	return NULL;
}

/* ---- from outside ---- */

static struct catalog *catalog_new(struct primary *primary, const struct listed *listed,
				   struct catalog_place *place)
{
	struct catalog *c = xcalloc(1, sizeof(*c));
	AUTO_STRBUF list = STRBUF_INIT;

	listed_json(&list, listed);
	c->primary = primary;
	c->list = strbuf_detach(&list, NULL);
	c->place = place;
	c->fingerprint = xstrdup("");
	c->next_look = mono_now();
	backoff_init(&c->backoff, BACKOFF_FIRST_MS, BACKOFF_MOST_MS);
	pthread_mutex_init(&c->lock, NULL);
	mono_cond_init(&c->changed);
	c->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->stop_fd < 0)
		fatal("no eventfd could be made: %s", strerror(errno));
	return c;
}

static void catalog_free(struct catalog *c)
{
	close(c->stop_fd);
	pthread_cond_destroy(&c->changed);
	pthread_mutex_destroy(&c->lock);
	free(c->list);
	free(c->fingerprint);
	free(c->text);
	free(c);
}

bool catalog_start(struct primary *primary, const struct listed *listed,
		   struct catalog_place *place, struct catalog **ret, struct err *err)
{
	if (listed->n == 0) {
		*ret = NULL;
		return true;
	}

	struct catalog *c = catalog_new(primary, listed, place);
	int rc = pthread_create(&c->thread, NULL, catalog_main, c);

	if (rc != 0) {
		catalog_free(c);
		return err_set(err, "cannot start the thread that looks at the catalog: %s",
			       strerror(rc));
	}
	*ret = c;
	return true;
}

void catalog_refresh(struct catalog *c, uint64_t after_number)
{
	if (c == NULL || atomic_load(&c->place->number) > after_number)
		return;
	pthread_mutex_lock(&c->lock);
	c->asked = true;
	pthread_cond_signal(&c->changed);
	pthread_mutex_unlock(&c->lock);
}

void catalog_stop(struct catalog *c)
{
	uint64_t one = 1;

	if (c == NULL)
		return;
	pthread_mutex_lock(&c->lock);
	c->stopping = true;
	if (write(c->stop_fd, &one, sizeof(one)) < 0)
		log_warn("cannot wake the catalog's thread", KV_S("error", strerror(errno)));
	pthread_cond_signal(&c->changed);
	pthread_mutex_unlock(&c->lock);
	pthread_join(c->thread, NULL);
	catalog_free(c);
}

/* ---- places and views ---- */

void catalog_place_init(struct catalog_place *p)
{
	atomic_init(&p->number, 0);
	p->model = NULL;
	pthread_mutex_init(&p->lock, NULL);
}

void catalog_place_clear(struct catalog_place *p)
{
	model_unref(p->model);
	p->model = NULL;
	pthread_mutex_destroy(&p->lock);
}

void catalog_place_put(struct catalog_place *p, struct model *m)
{
	pthread_mutex_lock(&p->lock);
	struct model *old = p->model;

	m->number = m->members = atomic_load(&p->number) + 1;
	p->model = m;
	atomic_store(&p->number, m->number);
	pthread_mutex_unlock(&p->lock);
	model_unref(old);
}

void catalog_view_renew(struct catalog_view *v, struct catalog_place *p)
{
	struct model *old = v->model;

	pthread_mutex_lock(&p->lock);
	v->number = atomic_load(&p->number);
	v->model = p->model != NULL ? model_ref(p->model) : NULL;
	pthread_mutex_unlock(&p->lock);
	model_unref(old);
}

void catalog_view_clear(struct catalog_view *v)
{
	model_unref(v->model);
	*v = (struct catalog_view){ 0 };
}
