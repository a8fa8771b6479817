/*
 * dead_letters_streams.c: see dead_letters_streams.h.
 */
#include "consumer/letters/dead_letters_streams.h"

#include <stdlib.h>
#include <string.h>

#include "common/pg/db.h"
#include "common/pg/schema.h"
#include "common/wire/topology.h"

#include "consumer/apply/sql/replica_streams.sql.h"

#define READ_MS 5000

static const struct db_options options = { .application_name = "pgfanout-consumer dead-letters",
					   .statement_timeout_ms = READ_MS };

static enum db_outcome read_all(struct dead_streams *s, struct pg_conn *c, const char *replica,
				struct err *err)
{
	struct pg_result *r = NULL;
	enum db_outcome outcome = db_check_schema(c, replica, SCHEMA_REPLICA, err);

	if (outcome == DB_OK)
		outcome = db_query(c, sql_replica_streams, 0, NULL, false,
				   mono_add_ms(mono_now(), READ_MS), &r, err);
	if (outcome != DB_OK)
		return outcome;
	s->n = 0;
	for (int i = 0; i < db_rows(r) && s->n < STREAMS_MAX; i++) {
		s->tables[s->n].stream = &s->list[s->n];
		topology_stream(&s->list[s->n++], (int)strtol(db_value(r, i, 0), NULL, 10),
				db_value(r, i, 1));
	}
	db_result_clear(r);
	for (size_t i = 0; i < s->n && outcome == DB_OK; i++)
		outcome = tables_read(&s->tables[i], c, &s->list[i], err);
	return outcome;
}

bool dead_streams_read(struct dead_streams *ret, const char *replica, const char *url,
		       struct err *err)
{
	memset(ret, 0, sizeof(*ret));
	ret->list[0] = *topology_products();
	ret->tables[0].stream = &ret->list[0];
	ret->n = 1;
	struct pg_conn *c = db_connect_raw(url, &options, err);
	if (c == NULL)
		return false;
	bool ok = read_all(ret, c, replica, err) == DB_OK;
	db_conn_close(c);
	return ok;
}

void dead_streams_clear(struct dead_streams *s)
{
	for (size_t i = 0; i < s->n; i++)
		tables_clear(&s->tables[i]);
	s->n = 0;
}
