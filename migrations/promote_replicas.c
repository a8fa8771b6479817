/*
 * promote_replicas.c: whom the replicas follow, before a promotion and after it. Main thread only.
 */
#include "migrations/promotion.h"

#include <stdio.h>

#include "migrations/sql/promote_tell.sql.h"

/* Of another system no replica takes anything: then the standby is one of somebody else's. */
bool promotion_has_followers(struct promotion *p, struct err *err)
{
	static const char sql[] =
		"SELECT count(*) FILTER (WHERE split_part(follows, '@', 1) = $1), count(*), max(follows)"
		" FROM pgfanout.streams WHERE follows IS NOT NULL";
	const struct db_param params[] = { DB_TEXT(p->standby.base) };
	char stranger[SOURCE_MAX] = "";

	for (size_t i = 0; i < p->all_replicas->n; i++) {
		struct pg_result *r = NULL;
		struct err ignored;

		if (p->replicas[i].conn == NULL ||
		    !target_query(&p->replicas[i], sql, 1, params, &r, &ignored))
			continue;
		bool ours = *db_value(r, 0, 0) != '0', any = *db_value(r, 0, 1) != '0';
		if (any && !ours)
			snprintf(stranger, sizeof(stranger), "%s", db_value(r, 0, 2));
		db_result_clear(r);
		if (ours)
			return true;
	}
	if (stranger[0] == '\0')
		return true; /* nobody follows anybody, or none answers */
	err_set(err,
		"%s is no standby of the primary that the replicas follow: its source is %s, not %s",
		p->standby.t.name, p->standby.base, stranger);
	return promotion_refuse(p, EXIT_USAGE);
}

/* As a batch does it (common/wire/table_sql.c), and only if no reset is under way, which tells it itself. */
static bool tell_stream(const struct promotion *p, struct target *t, const char *stream,
			struct err *err)
{
	static const char locks[] = "SELECT pg_advisory_xact_lock_shared(1885824610, $1::integer)";
	static const char lock[] = "SELECT pg_advisory_xact_lock(1885824611, $1::integer)";
	const bool nothing_lost = p->loss == LOST_KNOWN && p->lost == 0;
	const struct db_param params[] = { DB_TEXT(stream), DB_TEXT(p->source),
					   DB_TEXT(nothing_lost ? "true" : "false"),
					   DB_TEXT(p->source_before) };
	struct err ignored;

	if (target_query(t, "BEGIN", 0, NULL, NULL, err) &&
	    target_query(t, locks, 1, params, NULL, err) &&
	    target_query(t, lock, 1, params, NULL, err) &&
	    target_query(t, sql_promote_tell, 4, params, NULL, err) &&
	    target_query(t, "COMMIT", 0, NULL, NULL, err))
		return true;
	if (t->conn)
		(void)!target_query(t, "ROLLBACK", 0, NULL, NULL, &ignored);
	return false;
}

static bool tell(const struct promotion *p, struct target *t, struct err *err)
{
	static const char sql[] =
		"SELECT stream, pgfanout.succeeds($1, follows) FROM pgfanout.streams ORDER BY stream";
	static const char strangers[] =
		"SELECT count(*), count(*) FILTER (WHERE follows <> $1) FROM pgfanout.streams"
		" WHERE follows IS NOT NULL";
	const struct db_param params[] = { DB_TEXT(p->source) };
	struct pg_result *r = NULL;
	int told = 0;

	if (t->conn == NULL)
		return err_set(err, "it does not answer");
	if (!target_migrated(t, err) || !target_query(t, sql, 1, params, &r, err))
		return false;
	for (int i = 0; i < db_rows(r); i++) {
		if (*db_value(r, i, 1) != 't')
			continue;
		if (!tell_stream(p, t, db_value(r, i, 0), err)) {
			db_result_clear(r);
			return false;
		}
		told++;
	}
	db_result_clear(r);
	if (!target_query(t, strangers, 1, params, &r, err))
		return false;
	bool others = *db_value(r, 0, 1) != '0', any = *db_value(r, 0, 0) != '0';
	db_result_clear(r);
	if (others)
		printf("%s: follows another primary: it needs a reset, reset-replicas --replica %s\n",
		       t->name, t->name);
	else
		printf("%s: %s\n", t->name,
		       told > 0 ? "follows it"
		       : any	? "follows it already"
				: "has followed nobody yet");
	return true;
}

void promotion_tell_replicas(struct promotion *p)
{
	for (size_t i = 0; i < p->all_replicas->n; i++) {
		struct err err;

		if (!tell(p, &p->replicas[i], &err))
			printf("%s: not told (%s): it follows the new primary from its first message on\n",
			       p->replicas[i].name, err.text);
		fflush(stdout);
	}
}
