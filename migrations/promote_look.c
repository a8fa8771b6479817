/*
 * promote_look.c: who is who in a promotion: the standby, the primary that it follows, and all others. Main thread only.
 */
#include "migrations/promotion.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/stop.h"

bool promotion_refuse(struct promotion *p, int code)
{
	p->code = code;
	return false;
}

bool promotion_failed(struct promotion *p, const struct server *s, struct err *err)
{
	err_prefix(err, "%s", s->t.name);
	return promotion_refuse(p, s->t.code);
}

static bool open_standby(struct promotion *p, struct err *err)
{
	const struct replica_settings *all = p->all_standbys;
	char names[300] = "";

	for (size_t i = 0; i < all->n; i++) {
		const struct replica_setting *r = &all->replica[i];
		size_t used = strlen(names);

		if (strcmp(r->name, p->name) == 0)
			return server_open(&p->standby, r->name, r->url, 0, err) ||
			       promotion_failed(p, &p->standby, err);
		snprintf(names + used, sizeof(names) - used, "%s%s", used > 0 ? ", " : "", r->name);
	}
	if (all->n == 0)
		err_set(err, "there is no standby %s: no STANDBY_n_URL is set", p->name);
	else
		err_set(err, "there is no standby %s; the settings name %s", p->name, names);
	return promotion_refuse(p, EXIT_USAGE);
}

/* The server that was opened at the end of others stays there, if it is a new one. A standby that DATABASE_URL
 * leads to has a name in the settings, or none. */
static void keep(struct promotion *p)
{
	struct server *s = &p->others[p->n];
	const bool has_name = strcmp(s->t.name, "primary") != 0;
	bool known = strcmp(s->t.identity, p->standby.t.identity) == 0;

	for (size_t i = 0; i < p->n; i++) {
		if (strcmp(s->t.identity, p->others[i].t.identity) != 0)
			continue;
		known = true;
		if (has_name && p->others[i].recovery)
			p->others[i].t.name = s->t.name;
	}
	if (known) {
		server_close(s);
		return;
	}
	if (s->recovery && !has_name)
		s->t.name = s->address;
	p->n++;
}

static bool open_hosts(struct promotion *p, struct err *err)
{
	const char *url = p->database_url;
	unsigned hosts = db_host_count(url);

	for (unsigned turn = 0; turn < hosts && turn < HOSTS_MAX && !stop_requested(); turn++) {
		struct server *s = &p->others[p->n];

		if (!server_open(s, "primary", url, turn, err)) {
			server_close(s);
			if (s->t.code != EXIT_UNREACHABLE)
				return promotion_failed(p, s, err);
			snprintf(p->why, sizeof(p->why), "%s", err->text);
			continue;
		}
		if (strcmp(s->base, p->standby.base) != 0) {
			err_set(err,
				"%s is no standby of the database that DATABASE_URL has: its source is %s, "
				"not %s",
				p->standby.t.name, p->standby.base, s->base);
			server_close(s);
			return promotion_refuse(p, EXIT_USAGE);
		}
		p->is_named = p->is_named || strcmp(s->t.identity, p->standby.t.identity) == 0;
		keep(p);
	}
	return true;
}

static void open_other_standbys(struct promotion *p)
{
	const struct replica_settings *all = p->all_standbys;

	for (size_t i = 0; i < all->n && !stop_requested(); i++) {
		const struct replica_setting *r = &all->replica[i];
		struct server *s = &p->others[p->n];
		struct err err;

		if (strcmp(r->name, p->name) == 0)
			continue;
		if (!server_open(s, r->name, r->url, 0, &err)) {
			server_say(s, "cannot be asked (%s)", err.text);
			p->silent = true;
			server_close(s);
		} else if (strcmp(s->base, p->standby.base) != 0) {
			server_say(s, "is no standby of this database: not asked");
			server_close(s);
		} else {
			keep(p);
		}
	}
}

/* ---- nobody else is at it ---- */

/* Who answered, and does so no more, is left out; not the standby. */
static bool leave_out(struct promotion *p, const struct server *s, struct err *err)
{
	if (s == &p->standby || s->t.code != EXIT_UNREACHABLE || stop_requested())
		return promotion_failed(p, s, err);
	server_say(s, "answers no more (%s)", err->text);
	if (s->recovery)
		p->silent = true;
	else
		snprintf(p->why, sizeof(p->why), "%s", err->text);
	return true;
}

static int by_identity(const void *a, const void *b)
{
	const struct server *const *x = a, *const *y = b;

	return strcmp((*x)->t.identity, (*y)->t.identity);
}

/* All servers, since which of them is the primary may change until we have them. In an order that is the same for
 * everybody, or two might wait for each other; names are not, who leads has another one for who promotes it. */
static bool lock_all(struct promotion *p, struct err *err)
{
	struct server *all[1 + ARRAY_SIZE(p->others)] = { &p->standby };

	for (size_t i = 0; i < p->n; i++)
		all[1 + i] = &p->others[i];
	qsort(all, 1 + p->n, sizeof(struct server *), by_identity);
	for (size_t i = 0; i <= p->n; i++)
		if (!server_lock(all[i], err) && !leave_out(p, all[i], err))
			return false;
	return true;
}

/* Somebody else may have promoted one of them while we waited for the locks. */
static bool look_anew(struct promotion *p, struct err *err)
{
	const size_t n = p->n;

	if (!server_look(&p->standby, err))
		return promotion_failed(p, &p->standby, err);
	p->n = 0;
	for (size_t i = 0; i < n; i++) {
		struct server *s = &p->others[i];

		if (s->t.conn != NULL && !server_look(s, err) && !leave_out(p, s, err))
			return false;
		if (s->t.conn == NULL)
			server_close(s);
		else
			p->others[p->n++] = *s;
	}
	return true;
}

/* ---- who leads ---- */

static void find_old(struct promotion *p)
{
	p->old = NULL;
	for (size_t i = 0; i < p->n; i++) {
		struct server *s = &p->others[i];

		if (!s->recovery && (p->old == NULL || s->timeline > p->old->timeline))
			p->old = s;
	}
	/* One that came back from an earlier promotion is nobody's primary. */
	if (p->old == NULL || !p->standby.recovery || p->old->timeline >= p->standby.timeline)
		return;
	snprintf(p->why, sizeof(p->why), "%s is on timeline %lld, and %s has been on %lld",
		 p->old->address, (long long)p->old->timeline, p->standby.t.name,
		 (long long)p->standby.timeline);
	p->old = NULL;
}

static bool two_lead(struct promotion *p, struct err *err)
{
	for (size_t i = 0; i < p->n; i++) {
		struct server *s = &p->others[i];

		if (s->recovery || s == p->old || s->timeline != p->old->timeline)
			continue;
		err_set(err,
			"two servers take writes on timeline %lld, %s and %s: stop one of them",
			(long long)s->timeline, p->old->address, s->address);
		return promotion_refuse(p, EXIT_RUNTIME);
	}
	return true;
}

/* Before anything is changed: who hangs is not waited for while nobody may write. */
static void open_replicas(struct promotion *p)
{
	const struct replica_settings *all = p->all_replicas;
	struct err ignored;

	for (size_t i = 0; i < all->n && !stop_requested(); i++) {
		p->replicas[i] = (struct target){ .side = "replica",
						  .name = all->replica[i].name,
						  .url = all->replica[i].url,
						  .limit_ms = SERVER_ANSWER_MS };
		(void)!target_open(&p->replicas[i], &ignored);
	}
}

bool promotion_look(struct promotion *p, struct err *err)
{
	if (!open_standby(p, err) || !open_hosts(p, err))
		return false;
	open_other_standbys(p);
	open_replicas(p);
	if (stop_requested()) {
		err_set(err, "interrupted");
		return promotion_refuse(p, EXIT_INTERRUPTED);
	}
	if (!lock_all(p, err) || !look_anew(p, err))
		return false;
	find_old(p);
	p->fenced = p->changed = p->old && p->old->fenced && p->standby.recovery;
	return p->old == NULL || two_lead(p, err);
}

void promotion_close(struct promotion *p)
{
	for (size_t i = 0; i < p->all_replicas->n; i++)
		target_close(&p->replicas[i]);
	for (size_t i = 0; i < p->n; i++)
		server_close(&p->others[i]);
	server_close(&p->standby);
}
