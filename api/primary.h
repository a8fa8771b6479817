/*
 * primary.h: the server that leads, as this process knows it: how it is connected to, and its newest epoch. Any thread.
 *
 * When a standby is promoted an epoch begins (migrations/primary/0006_epochs.up.sql). A server of an earlier epoch that
 * comes back takes writes as ever, and must get none: all connections to the primary are made here, none to a server
 * whose epoch is past by what this process has heard, and what is open to it is closed. It hears of epochs from the
 * primary, from replicas, which follow one, from standbys, and from relays of other processes.
 */
#ifndef PGFANOUT_API_PRIMARY_H
#define PGFANOUT_API_PRIMARY_H

#include <pthread.h>
#include <stdatomic.h>

#include "common/pg/db.h"
#include "common/wire/source.h"

struct primary {
	const char *url; /* may name several hosts */
	pthread_mutex_t lock;
	char newest[SOURCE_MAX]; /* under lock; "": none is known yet */
	_Atomic uint32_t source; /* source_hash() of it; 0: likewise */
	atomic_uint changes;	 /* how often it has changed */
	atomic_uint turn;	 /* db_options.host_turn of the next connection */
};

/* url: borrowed. */
void primary_init(struct primary *p, const char *url);
void primary_clear(struct primary *p);

/* Of somebody who follows this source, or leads under it. False: another server leads by now. */
bool primary_hear(struct primary *p, const char *source);

/* Whether another server has taken the lead since *heard was taken down, which is done anew: what was opened before is to
 * be closed. */
bool primary_moved(struct primary *p, unsigned *heard);

/* As db_open() and db_connect_raw(), with the same options. An epoch that is to begin on the server has begun. */
MUST_CHECK struct db *primary_open(struct primary *p, const struct db_options *opt,
				   const struct db_statement *statements, size_t n,
				   struct err *err);
struct pg_conn *primary_connect(struct primary *p, const struct db_options *opt, struct err *err);

#endif
