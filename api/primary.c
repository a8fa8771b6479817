/*
 * primary.c: see primary.h.
 *
 * Which of several hosts leads libpq finds out (target_session_attrs), but a server that was the primary looks to it as
 * good as the one that is. So each connection says its source before anything else, and if that is past, the next attempt
 * begins with the host behind.
 *
 * An old primary that is well would be found well for ever. So a standby that DATABASE_URL names too, and that takes
 * writes, leads (connector_look.c): who has named it so wants that if it is promoted. One that DATABASE_URL does not
 * name was promoted for something else.
 */
#include "api/primary.h"

#include <stdio.h>
#include <string.h>

#include "common/base/log.h"

void primary_init(struct primary *p, const char *url)
{
	memset(p, 0, sizeof(*p));
	p->url = url;
	pthread_mutex_init(&p->lock, NULL);
}

void primary_clear(struct primary *p)
{
	pthread_mutex_destroy(&p->lock);
}

/* leads: it is the primary's own, so one that is neither earlier nor later has taken its place: another database, or a
 * server that was promoted beside. */
static bool hear(struct primary *p, const char *source, bool leads)
{
	char before[SOURCE_MAX];

	pthread_mutex_lock(&p->lock);
	bool first = p->newest[0] == '\0';
	bool past = source_succeeds(p->newest, source);
	bool later = first || source_succeeds(source, p->newest) ||
		     (leads && !past && strcmp(source, p->newest) != 0);

	memcpy(before, p->newest, sizeof(before));
	if (later) {
		snprintf(p->newest, sizeof(p->newest), "%s", source);
		atomic_store(&p->source, source_hash(p->newest));
		atomic_fetch_add(&p->changes, !first);
	}
	pthread_mutex_unlock(&p->lock);
	if (later && !first)
		log_warn("another server has become the primary", KV_S("source", source),
			 KV_S("before", before));
	return !past;
}

bool primary_hear(struct primary *p, const char *source)
{
	return hear(p, source, false);
}

bool primary_moved(struct primary *p, unsigned *heard)
{
	unsigned before = *heard;

	*heard = atomic_load(&p->changes);
	return *heard != before;
}

struct attempt {
	struct primary *p;
	unsigned turn;
};

/* db_options.suits. Of several attempts that find the same host at fault one goes on to the next. */
static bool is_leading(const char *source, void *arg, struct err *err)
{
	struct attempt *a = arg;

	if (hear(a->p, source, true))
		return true;
	atomic_compare_exchange_strong(&a->p->turn, &a->turn, a->turn + 1);
	return err_set(err, "it is the primary no more: another server has been promoted");
}

static struct db_options with_epoch(struct attempt *a, const struct db_options *opt)
{
	struct db_options all = *opt;

	a->turn = atomic_load(&a->p->turn);
	all.suits_sql = "SELECT pgfanout.current_source()";
	all.suits = is_leading;
	all.suits_arg = a;
	all.host_turn = a->turn;
	return all;
}

struct db *primary_open(struct primary *p, const struct db_options *opt,
			const struct db_statement *statements, size_t n, struct err *err)
{
	struct attempt a = { .p = p };
	const struct db_options all = with_epoch(&a, opt);

	return db_open(p->url, &all, statements, n, err);
}

struct pg_conn *primary_connect(struct primary *p, const struct db_options *opt, struct err *err)
{
	struct attempt a = { .p = p };
	const struct db_options all = with_epoch(&a, opt);

	return db_connect_raw(p->url, &all, err);
}
