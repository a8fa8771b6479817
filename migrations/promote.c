/*
 * promote.c: see promote.h. Main thread only.
 *
 * Nothing is noted anywhere: what has been done is read from the servers, each time anew. So it may be killed
 * between any two lines, and run again:
 *
 *   the old primary    the standby           is left by a run that ended       and this one goes on with
 *   ----------------   -------------------   -------------------------------   ----------------------------------------
 *   takes writes       in recovery           before step 4                     1: nothing had been changed
 *   fenced, or partly  in recovery           in step 4 or 5                    1, and 4 again: a fence twice is one. Until
 *                                                                              then no registered table takes writes; how
 *                                                                              to undo that is said where we end so
 *   fenced             in recovery, told to  in step 6: the server goes on     1, then 3 or 6: who has promoted it does not
 *                      promote               by itself                         matter
 *   fenced             takes writes, no      behind step 6, or it was          7
 *                      epoch has begun       promoted by others
 *   fenced             leads its epoch       in step 7 or 8, or done           8: replicas that follow it are left alone
 *   takes writes, on   takes writes, on a    with --old-is-dead, and it was    4, then 7: what it has written meanwhile is
 *   an older timeline  newer one             not; or promoted by others        lost, which is said
 *   takes writes, on   takes writes          two servers were promoted         refuses: people decide
 *   the same one, or
 *   a newer one
 *   does not answer    in recovery           -                                 refuses; with --old-is-dead 6
 *   does not answer    takes writes          -                                 7
 *
 * The steps:
 *
 *   1. Look: at the standby, at each host of DATABASE_URL, at all other standbys, with a lock on each of them, so that
 *      nobody else is at it. The old primary is who takes writes on the newest timeline, unless the standby has been on
 *      a newer one.
 *   2. May we? Superuser on the old primary, and no prepared transactions there: a fence does not hold those, whose
 *      changes are made already. pg_promote() on the standby.
 *   3. The standby catches up with the old primary while that takes writes, so that step 5 is short.
 *   4. The old primary is fenced, its sessions ended.
 *   5. The standby has replayed all that was committed there.
 *   6. It is promoted.
 *   7. Its epoch begins: whoever captures a change, or connects, would begin it otherwise.
 *   8. The replicas are told. Whom we do not reach, learns it from the first message of the new epoch.
 *
 * If the old primary does not answer: --old-is-dead says that it never will. Then 2 to 5 are left out, and no other
 * standby that answers may have received more; neither if it answers, but the standby does not receive from it.
 */
#include "migrations/promote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/stop.h"
#include "migrations/promotion.h"

#define POLL_MS		100
#define STREAM_MAX_MS	10000 /* a receiver that has lost its connection tries again after 5 s */
#define CATCH_UP_MAX_MS 60000
#define SAY_EVERY_MS	5000

/* In a session of a superuser; each statement by itself. */
#define UNDO                                                                      \
	"SET default_transaction_read_only = off; SELECT pgfanout.fence(false); " \
	"ALTER SYSTEM RESET default_transaction_read_only; SELECT pg_reload_conf()"

bool promote_parse(int argc, char **argv, struct promote_request *ret)
{
	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--old-is-dead") == 0 && !ret->old_is_dead)
			ret->old_is_dead = true;
		else if (argv[i][0] != '-' && ret->standby == NULL)
			ret->standby = argv[i];
		else
			return false;
	}
	return ret->standby != NULL;
}

/* ---- 3 and 5. the standby comes after ---- */

/* Then the primary was promoted itself, and the standby knows nothing of it: it would begin the same timeline. */
static bool is_left_behind(const struct promotion *p)
{
	return p->old->timeline > p->standby.timeline;
}

static bool refuse_not_streaming(struct promotion *p, struct err *err)
{
	const struct server *old = p->old;
	const char *name = p->standby.t.name;

	if (is_left_behind(p))
		err_set(err,
			"another server leads, %s, on timeline %lld, which %s does not follow: make it a standby of "
			"that one",
			old->address, (long long)old->timeline, name);
	else
		err_set(err,
			"%s receives nothing from %s, which is the primary, on timeline %lld. If what it has is to "
			"do, give --old-is-dead",
			name, old->address, (long long)old->timeline);
	return promotion_refuse(p, EXIT_RUNTIME);
}

/* It may be promoted meanwhile, which ends every wait. */
static bool wait_streaming(struct promotion *p, struct err *err)
{
	struct server *s = &p->standby;
	const struct mono end = mono_add_ms(mono_now(), STREAM_MAX_MS);

	for (;;) {
		if (!server_look(s, err))
			return promotion_failed(p, s, err);
		if (!s->recovery || s->streams == p->old->timeline)
			return true;
		if (stop_sleep_ms(POLL_MS)) {
			err_set(err, "interrupted");
			return promotion_refuse(p, EXIT_INTERRUPTED);
		}
		if (mono_reached(end, mono_now()))
			return refuse_not_streaming(p, err);
	}
}

static bool is_paused(struct server *s)
{
	struct pg_result *r = NULL;
	struct err ignored;

	if (!target_query(&s->t, "SELECT pg_is_wal_replay_paused()", 0, NULL, &r, &ignored))
		return false;
	bool paused = *db_value(r, 0, 0) == 't';
	db_result_clear(r);
	return paused;
}

/* False, with the code EXIT_BUSY: not in time. */
static bool wait_replayed(struct promotion *p, int64_t lsn, struct err *err)
{
	struct server *s = &p->standby;
	const struct mono end = mono_add_ms(mono_now(), CATCH_UP_MAX_MS);
	struct mono say = mono_now();
	char has[LSN_MAX], wants[LSN_MAX];

	lsn_text(lsn, wants);
	for (;;) {
		if (!server_look(s, err))
			return promotion_failed(p, s, err);
		if (!s->recovery || s->replayed >= lsn)
			return true;
		lsn_text(s->replayed, has);
		if (mono_reached(end, mono_now())) {
			err_set(err, "%s has replayed %s of %s after %d s%s", s->t.name, has, wants,
				CATCH_UP_MAX_MS / 1000,
				is_paused(s) ? ": its replay is paused" : "");
			return promotion_refuse(p, EXIT_BUSY);
		}
		if (mono_reached(say, mono_now())) {
			server_say(s, "has replayed %s of %s%s", has, wants,
				   is_paused(s)
					   ? ": its replay is paused, SELECT pg_wal_replay_resume()"
					   : "");
			say = mono_add_ms(mono_now(), SAY_EVERY_MS);
		}
		if (stop_sleep_ms(POLL_MS)) {
			err_set(err, "interrupted");
			return promotion_refuse(p, EXIT_INTERRUPTED);
		}
	}
}

/* ---- the old primary answers ---- */

/* Nobody who answers has received more. */
static bool has_most(struct promotion *p, struct err *err)
{
	char ours[LSN_MAX], theirs[LSN_MAX];

	if (!server_look(&p->standby, err))
		return promotion_failed(p, &p->standby, err);
	for (size_t i = 0; i < p->n; i++) {
		const struct server *s = &p->others[i];

		if (!s->recovery || s->timeline < p->standby.timeline ||
		    (s->timeline == p->standby.timeline && s->received <= p->standby.received))
			continue;
		lsn_text(p->standby.received, ours);
		lsn_text(s->received, theirs);
		err_set(err,
			"another standby, %s, has received more: %s on timeline %lld, %s has %s on timeline "
			"%lld. Promote that one",
			s->t.name, theirs, (long long)s->timeline, p->standby.t.name, ours,
			(long long)p->standby.timeline);
		return promotion_refuse(p, EXIT_RUNTIME);
	}
	return true;
}

static bool catch_up(struct promotion *p, struct err *err)
{
	int64_t lsn = 0;

	if (!server_flushed(p->old, &lsn, err))
		return promotion_failed(p, p->old, err);
	return wait_replayed(p, lsn, err);
}

static bool fence(struct promotion *p, struct server *s, int64_t *ret_lsn, struct err *err)
{
	char text[LSN_MAX];

	server_say(s, "fencing %s, timeline %lld", s->address, (long long)s->timeline);
	if (!server_fence(s, ret_lsn, err))
		return promotion_failed(p, s, err);
	lsn_text(*ret_lsn, text);
	server_say(s, "fenced, its sessions are ended; all it has committed is before %s", text);
	return true;
}

/* With --old-is-dead the standby need not get all of it; but what answers is fenced, or we end here. */
static bool hand_over(struct promotion *p, struct err *err)
{
	struct server *s = &p->standby;
	const bool dead = p->old_is_dead;
	int64_t lsn = 0;

	server_say(s, "takes the place of %s, timeline %lld", p->old->address,
		   (long long)p->old->timeline);
	if (!server_may_fence(p->old, err) || !server_none_prepared(p->old, err)) /* 2 */
		return promotion_failed(p, p->old, err);
	bool streams = wait_streaming(p, err);
	if (!streams &&
	    !(dead && p->code == EXIT_RUNTIME && !is_left_behind(p) && has_most(p, err)))
		return false;
	if (!dead && !catch_up(p, err)) /* 3 */
		return false;
	p->fenced = p->changed = true;
	p->loss = LOST_UNKNOWN;
	if (!fence(p, p->old, &lsn, err)) { /* 4 */
		if (!dead || p->code != EXIT_UNREACHABLE)
			return false;
		server_say(p->old, "answers no more (%s)", err->text);
		p->code = EXIT_OK;
		return true;
	}
	if (streams && !wait_replayed(p, lsn, err) && !(dead && p->code == EXIT_BUSY)) /* 5 */
		return false;
	p->code = EXIT_OK;
	p->loss = LOST_KNOWN;
	p->lost = lsn > s->received ? lsn - s->received : 0;
	return true;
}

/* ---- it does not ---- */

static bool leave_behind(struct promotion *p, struct err *err)
{
	const char *why = p->why[0] != '\0' ? p->why
					    : "none of the hosts of DATABASE_URL takes writes";

	if (!p->old_is_dead) {
		err_set(err,
			"no primary answers: %s. If it is dead, and stays so, give --old-is-dead: what it has "
			"committed and %s has not received is lost then",
			why, p->standby.t.name);
		return promotion_refuse(p, EXIT_UNREACHABLE);
	}
	if (!promotion_has_followers(p, err) || !has_most(p, err))
		return false;
	printf("primary: does not answer (%s), and is said to be dead\n", why);
	if (p->silent)
		server_say(&p->standby, "whether others have received more, cannot be told of all");
	p->loss = LOST_UNKNOWN;
	return true;
}

/* ---- 6. promote ---- */

static bool take_over(struct promotion *p, struct err *err)
{
	char received[LSN_MAX];

	if (!server_may_promote(&p->standby, err))
		return promotion_failed(p, &p->standby, err);
	if (!(p->old ? hand_over(p, err) : leave_behind(p, err)))
		return false;
	lsn_text(p->standby.received, received);
	p->changed = true;
	if (!server_promote(&p->standby, err))
		return promotion_failed(p, &p->standby, err);
	p->fenced = false;
	server_say(&p->standby, "promoted, timeline %lld; it had received the WAL up to %s",
		   (long long)p->standby.timeline, received);
	return true;
}

/* It takes writes already: by an earlier run, by a manager, or by hand. */
static bool come_late(struct promotion *p, struct err *err)
{
	struct server *s = &p->standby;

	if (s->epoch_timeline == s->timeline && s->epoch_number == 0) {
		err_set(err,
			"%s is no standby, and never was one: it takes writes itself; name one in "
			"STANDBY_n_URL",
			s->t.name);
		return promotion_refuse(p, EXIT_USAGE);
	}
	if (p->old && p->old->timeline >= s->timeline) {
		err_set(err,
			"%s takes writes on timeline %lld, and so does %s on timeline %lld: stop the one that is not to "
			"lead",
			s->t.name, (long long)s->timeline, p->old->address,
			(long long)p->old->timeline);
		return promotion_refuse(p, EXIT_RUNTIME);
	}
	p->changed = true;
	server_say(s, "takes writes already, timeline %lld", (long long)s->timeline);
	p->loss = p->old_is_dead ? LOST_UNKNOWN : LOST_UNSAID;
	for (size_t i = 0; i < p->n; i++) {
		struct server *other = &p->others[i];
		int64_t lsn;

		if (other->recovery || (other->fenced && other->read_only))
			continue;
		p->loss = LOST_UNKNOWN;
		if (!server_may_fence(other, err)) {
			(void)promotion_failed(p, other, err);
			log_error("an earlier primary takes writes: stop it",
				  KV_S("error", err->text));
		} else if (!fence(p, other, &lsn, err)) {
			log_error("an earlier primary is not fenced", KV_S("error", err->text));
		}
	}
	return true;
}

/* ---- all of it ---- */

static void say_rest(const struct promotion *p)
{
	const char *name = p->standby.t.name;
	bool loses = p->loss == LOST_UNKNOWN || (p->loss == LOST_KNOWN && p->lost > 0);

	if (!p->is_named)
		printf("%s: DATABASE_URL does not name its host, as in %s: name it there, for all programs\n",
		       name, p->standby.address);
	if (p->loss == LOST_KNOWN && p->lost == 0)
		printf("%s: has all that the old primary had committed\n", name);
	if (p->loss == LOST_KNOWN && p->lost > 0)
		printf("%s: the last %lld bytes of the old primary's WAL are lost\n", name,
		       (long long)p->lost);
	if (p->loss == LOST_UNKNOWN)
		printf("%s: what the old primary had committed, and it had not received, is lost; how much, cannot be "
		       "told\n",
		       name);
	if (loses)
		printf("%s: replicas may have some of what is lost. The consumer names these rows, and repairs them; "
		       "without AUTO_RESET: reset-replicas --repair\n",
		       name);
	fflush(stdout);
}

static bool run(struct promotion *p, struct err *err)
{
	if (!(p->standby.recovery ? take_over(p, err) : come_late(p, err)))
		return false;
	if (!server_lead(&p->standby, p->source, p->source_before, err)) /* 7 */
		return promotion_failed(p, &p->standby, err);
	server_say(&p->standby, "leads: %s", p->source);
	promotion_tell_replicas(p); /* 8 */
	return true;
}

int promote(const struct promote_request *request)
{
	static struct promotion p;
	struct err err;

	p.name = request->standby;
	p.old_is_dead = request->old_is_dead;
	p.database_url = request->database_url;
	p.all_standbys = request->standbys;
	p.all_replicas = request->replicas;
	bool done = promotion_look(&p, &err) && run(&p, &err);

	if (done) {
		say_rest(&p);
		server_say_waits(&p.standby);
	} else {
		log_error(p.changed ? "not done" : "not done, and nothing was changed",
			  KV_S("standby", request->standby), KV_S("error", err.text));
	}
	if (!done && p.fenced)
		log_error("the old primary is fenced: run this again, or undo it there",
			  KV_S("sql", UNDO));
	promotion_close(&p);
	return p.code;
}
