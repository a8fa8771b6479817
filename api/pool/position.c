/*
 * position.c: see position.h. Any thread.
 *
 * A position as text: base64 of its format's number, and its members in network order; the last two only if
 * there is a replica. Clients keep it for a moment, and take none apart: another format needs no more than
 * another number.
 */
#include "api/pool/position.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/base64.h"
#include "common/pg/pgarray.h"
#include "common/wire/source.h"

#define FORMAT 1
#define SHORT  (1 + 4 + 8 + 8)
#define LONG   (SHORT + 4 + 8)

/* ---- text ---- */

bool position_read(const char *text, size_t len, struct position *ret)
{
	char bytes[LONG];
	bool is_long = base64_decode(BASE64_URL, text, len, bytes, LONG);

	if (!is_long && !base64_decode(BASE64_URL, text, len, bytes, SHORT))
		return false;
	*ret = (struct position){ .source = (uint32_t)pg_get_int4(bytes + 1),
				  .lsn = (uint64_t)pg_get_int8(bytes + 5),
				  .version = pg_get_int8(bytes + 13) };
	if (is_long) {
		ret->replica = (uint32_t)pg_get_int4(bytes + SHORT);
		ret->seen = (uint64_t)pg_get_int8(bytes + SHORT + 4);
	}
	return bytes[0] == FORMAT && ret->source != 0 && ret->version >= 0 &&
	       is_long == (ret->replica != 0);
}

void position_write(const struct position *p, char ret[POSITION_TEXT_MAX + 1])
{
	char bytes[LONG] = { FORMAT };

	pg_put_int4(bytes + 1, (int32_t)p->source);
	pg_put_int8(bytes + 5, (int64_t)p->lsn);
	pg_put_int8(bytes + 13, p->version);
	if (p->replica != 0) {
		pg_put_int4(bytes + SHORT, (int32_t)p->replica);
		pg_put_int8(bytes + SHORT + 4, (int64_t)p->seen);
	}
	ret[base64_write(BASE64_URL, bytes, p->replica != 0 ? LONG : SHORT, ret)] = '\0';
}

/* ---- what was seen ---- */

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

uint64_t position_needs(const struct position *p, uint32_t replica)
{
	return p->replica == replica ? p->lsn : later(p->lsn, p->seen);
}

uint64_t position_needs_replayed(const struct position *p, uint32_t standby)
{
	/* It told the place behind the one that it had replayed. */
	bool told = p->replica == standby && p->seen != POSITION_UNKNOWN && p->seen > 0;

	return later(p->lsn, told ? p->seen - 1 : p->seen);
}

void position_join(struct position *p, const struct position *other)
{
	if (p->source == 0) {
		*p = *other;
		return;
	}
	if (other->source == 0)
		return;
	uint32_t replica = p->replica == other->replica ? p->replica : 0;

	p->lsn = p->source != other->source
			 ? POSITION_UNKNOWN
			 : later(position_needs(p, replica), position_needs(other, replica));
	p->seen = replica != 0 ? later(p->seen, other->seen) : 0;
	p->replica = replica;
	p->version = p->version > 0 && other->version > p->version ? other->version
		     : other->version > 0			   ? p->version
								   : 0;
}

void position_at_replica(struct position *p, uint32_t replica, const struct place *place,
			 int64_t version)
{
	bool first = p->source == 0;

	p->lsn = position_needs(p, replica);
	p->source = place->source;
	p->replica = replica;
	p->seen = place->seen;
	if (version == 0 || first || (p->version > 0 && p->version < version))
		p->version = version;
}

void position_at_primary(struct position *p, uint32_t source, uint64_t lsn, int64_t version)
{
	*p = (struct position){ .source = source,
				.lsn = lsn != 0 ? lsn : POSITION_UNKNOWN,
				.version = version };
}

/* ---- what a database tells ---- */

/* The newest mark of a stream. */
static void add_mark(struct strbuf *out, int stream)
{
	strbuf_addf(out,
		    " LEFT JOIN (SELECT * FROM pgfanout.positions WHERE stream = %d "
		    "ORDER BY stream DESC, lsn DESC LIMIT 1) AS p%d ON true",
		    stream, stream);
}

/* While that is not known, it is said to be more than any place. */
static void add_seen(struct strbuf *out, int stream)
{
	strbuf_addf(out, "coalesce(pg_sequence_last_value('pgfanout.seen_%d'), %" PRId64 ")",
		    stream, INT64_MAX);
}

/* Of several streams it is where all of them are. */
static void add_several(struct strbuf *out, const int *streams, size_t n)
{
	strbuf_addstr(out, "(SELECT concat_ws(' ', greatest(");
	for (size_t i = 0; i < n; i++) {
		strbuf_addstr(out, i > 0 ? ", " : "");
		add_seen(out, streams[i]);
	}
	strbuf_addstr(out, "), w.n, CASE WHEN ");
	for (size_t i = 1; i < n; i++)
		strbuf_addf(out, "%sp%d.source = p%d.source", i > 1 ? " AND " : "", streams[0],
			    streams[i]);
	strbuf_addstr(out, " THEN concat_ws(' ', least(");
	for (size_t i = 0; i < n; i++)
		strbuf_addf(out, "%sp%d.lsn", i > 0 ? ", " : "", streams[i]);
	strbuf_addf(out, "), p%d.source) END) FROM pgfanout.wrong_changes AS w", streams[0]);
	for (size_t i = 0; i < n; i++)
		add_mark(out, streams[i]);
	strbuf_addch(out, ')');
}

void place_sql(struct strbuf *out, const int *streams, size_t n, bool primary)
{
	bool known = true;

	for (size_t i = 0; i < n; i++)
		known = known && streams[i] > 0;
	if (primary) {
		strbuf_addstr(
			out,
			"CASE WHEN pg_is_in_recovery() THEN concat_ws(' ', "
			"(pg_last_wal_replay_lsn() + 1 - '0/0')::bigint, 0, 0, pgfanout.source()) "
			"ELSE (pg_current_wal_insert_lsn() - '0/0')::bigint::text END");
	} else if (!known) {
		strbuf_addf(out, "'%" PRIu64 "'", POSITION_UNKNOWN);
	} else if (n > 1) {
		add_several(out, streams, n);
	} else {
		strbuf_addstr(out, "(SELECT concat_ws(' ', ");
		add_seen(out, streams[0]);
		strbuf_addstr(out, ", ");
		strbuf_addf(out, "w.n, p%d.lsn, p%d.source) FROM pgfanout.wrong_changes AS w",
			    streams[0], streams[0]);
		add_mark(out, streams[0]);
		strbuf_addch(out, ')');
	}
}

bool place_read(const char *text, struct place *ret)
{
	char *end;

	*ret = (struct place){ .seen = strtoull(text, &end, 10) };
	if (end == text)
		return false;
	if (ret->seen >= INT64_MAX)
		ret->seen = POSITION_UNKNOWN;
	if (*end == '\0')
		return true;
	ret->wrong = strtoll(end, &end, 10);
	if (*end == '\0')
		return true;
	ret->mark = strtoull(end, &end, 10);
	if (*end != ' ')
		return false;
	ret->source = source_hash(end + 1);
	return true;
}
