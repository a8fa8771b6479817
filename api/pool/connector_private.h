/*
 * connector_private.h: what connector.c (the thread, its states, opening) and connector_look.c (what it sees of its
 * database) share. Nobody else includes it.
 */
#ifndef PGFANOUT_API_POOL_CONNECTOR_PRIVATE_H
#define PGFANOUT_API_POOL_CONNECTOR_PRIVATE_H

#include "api/pool/altered.h"
#include "api/pool/connector.h"
#include "common/base/backoff.h"

enum connector_state { WAITING, AWAY, PRESENT, UNOPENED, STATES };
enum connector_event { LOOK_GOOD, LOOK_FAILED, OPENED, NOT_OPENED };

struct connector {
	struct upstream *up; /* these: immutable after the start */
	struct upstreams *all;
	const struct api_settings *settings;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int stop_fd;   /* an eventfd, readable once stopping */
	bool stopping; /* these: under lock */
	bool look_asked;
	struct connector_order *wanted; /* first come first served */
	struct connector_order **wanted_end;

	/* the thread's */
	enum connector_state state;
	struct db *watch;
	struct altered *altered; /* the primary's; else NULL */
	struct backoff look_backoff, open_backoff;
	struct mono next_look, next_open;
	struct mono started;
	struct mono count_at; /* the primary's outbox; not before */
};

/* ---- connector.c ---- */
void connector_step(struct connector *c, enum connector_event event);
/* To the primary that comes back: whether another server leads since it does not know, but who follows that one does.
 * So all others are looked at first. Takes a second at most. */
void connector_hear_others(struct connector *c);
/* The sessions that hang are asked for; and these are they, NULL: none. Orders that wait for another one wait no
 * longer. */
void connector_asks(struct connector *c);
void connector_hung(struct connector *c, const struct pg_result *pids);

/* ---- connector_look.c ---- */
/* One look, with its event. */
void connector_look_now(struct connector *c);
void connector_set_failed(struct connector *c, const struct err *err);
bool connector_has_links(const struct upstream *up);

#endif
