/*
 * promotion.h: a promotion: what migrations/promote*.c know of it. One at a time, in the main thread.
 */
#ifndef PGFANOUT_MIGRATIONS_PROMOTION_H
#define PGFANOUT_MIGRATIONS_PROMOTION_H

#include "common/settings/config.h"
#include "migrations/promote_server.h"

#define HOSTS_MAX 64

struct promotion {
	/* What was asked for: */
	const char *name; /* of the standby */
	bool old_is_dead;
	const char *database_url;
	const struct replica_settings *all_standbys, *all_replicas;
	/* What there is: */
	struct server standby;
	struct target replicas[REPLICAS_MAX]; /* whom conn is NULL of, does not answer */
	/* Everybody else that answers: hosts of DATABASE_URL, then standbys. */
	struct server others[HOSTS_MAX + REPLICAS_MAX];
	size_t n;
	struct server *old; /* of others; NULL: none answers */
	bool silent;	    /* some standby does not answer */
	bool is_named;	    /* DATABASE_URL leads to the standby, too */
	char why[512];	    /* no primary answers */
	bool changed;	    /* anything, by us or by a run before */
	bool fenced;	    /* the old one, and no other has been promoted yet */
	char source[SOURCE_MAX],
		source_before[SOURCE_MAX]; /* of the new epoch, of the one before */
	/* Bytes of what the old one had committed that are missing: */
	enum { LOST_UNSAID, LOST_UNKNOWN, LOST_KNOWN } loss;
	int64_t lost;
	int code;
};

/* err says why; what the program ends with. */
bool promotion_refuse(struct promotion *p, int code);
/* A step on a server failed: err says why, s->t.code is the code. */
bool promotion_failed(struct promotion *p, const struct server *s, struct err *err);

/* Step 1: opens all servers, locks them, and fills in who is who; changes nothing. */
MUST_CHECK bool promotion_look(struct promotion *p, struct err *err);
void promotion_close(struct promotion *p);

/* Whether the replicas follow a primary that the standby is one of: only those that answer are asked. */
MUST_CHECK bool promotion_has_followers(struct promotion *p, struct err *err);
/* Step 8; who is not told is said. */
void promotion_tell_replicas(struct promotion *p);

#endif
