/*
 * product_reads.c: see product_reads.h.
 */
#include "api/products/product_reads.h"

#include <string.h>

#include "api/batch/scratch.h"
#include "api/products/row.h"
#include "api/products/sql/products_after.sql.h"
#include "api/products/sql/products_first.sql.h"
#include "api/products/sql/products_read.sql.h"
#include "common/base/base64.h"
#include "common/wire/stream.h"

#define OID_INT4       23
#define OID_UUID       2950
#define OID_UUID_ARRAY 2951

static const unsigned by_id_types[] = { OID_UUID_ARRAY };
static const unsigned first_types[] = { OID_INT4 };
static const unsigned after_types[] = { OID_UUID, OID_INT4 };

enum { READ_BY_ID, READ_FIRST, READ_AFTER, READS };
_Static_assert(2 * READS == PRODUCT_MARKS, "as product_reads.h says");

/* With what the database tells of itself in the first row, which is of no product: its head, and the column of that. */
enum { BY_ID_PLACE = 2, BY_ID_VERSION = 7, PAGE_PLACE = 1 };
#define PAGE_HEAD \
	"NULL::uuid, {place}, NULL::text, NULL::integer, NULL::timestamptz, NULL::timestamptz"
static const struct {
	struct db_statement plain;
	const char *placed; /* its name */
	const char *head;
} statements[READS] = {
	[READ_BY_ID] = { { "points", sql_products_read, 1, by_id_types },
			 "points_placed",
			 "SELECT 0::bigint, " PAGE_HEAD ", NULL::bigint" },
	[READ_FIRST] = { { "first", sql_products_first, 1, first_types },
			 "first_placed",
			 "SELECT " PAGE_HEAD },
	[READ_AFTER] = { { "after", sql_products_after, 2, after_types },
			 "after_placed",
			 "SELECT " PAGE_HEAD },
};

/* Adds a text with what is put in the place of {place} and {version}. */
static void add_text(struct strbuf *out, const char *sql, bool primary, const char *version)
{
	static const int streams[] = { STREAM_PRODUCTS };
	const char *brace;

	for (; (brace = strchr(sql, '{')) != NULL; sql = strchr(brace, '}') + 1) {
		strbuf_add(out, sql, (size_t)(brace - sql));
		if (brace[1] == 'p')
			place_sql(out, streams, ARRAY_SIZE(streams), primary);
		else
			strbuf_addstr(out, version);
	}
	strbuf_addstr(out, sql);
}

static struct db_statement make_statement(size_t number, bool primary, bool placed)
{
	struct db_statement s = statements[number].plain;
	struct strbuf text = STRBUF_INIT;

	if (placed) {
		s.name = statements[number].placed;
		add_text(&text, statements[number].head, primary, "");
		strbuf_addstr(&text, "\nUNION ALL (\n");
	}
	add_text(&text, s.sql, primary, !placed ? "" : primary ? ", NULL::bigint" : ", p.version");
	strbuf_addstr(&text, placed ? ")" : "");
	s.sql = strbuf_detach(&text, NULL);
	return s;
}

struct connector_kind product_read_kind(bool primary)
{
	static struct db_statement made[2][PRODUCT_MARKS + 1]; /* the texts are kept for ever */

	for (size_t i = 0; i < PRODUCT_MARKS && made[primary][i].name == NULL; i++)
		made[primary][i] = make_statement(i % READS, primary, i >= READS);
	made[primary][PRODUCT_MARKS] = connector_marks[primary];
	return (struct connector_kind){ made[primary], PRODUCT_MARKS + 1, false };
}

/* ---- by id ---- */

static void by_id_params(struct request *const *rows, size_t n, struct db_param *ret)
{
	struct pgarray *ids = scratch_arrays(store_of(rows[0])->scratch, 1);

	pgarray_begin(ids, PGARRAY_UUID);
	for (size_t i = 0; i < n; i++)
		pgarray_add_uuid(ids, &rows[i]->id);
	ret[0] = pgarray_finish(ids);
}

static bool by_id_row(struct request *r, const struct pg_result *res, int row,
		      const struct upstream *up)
{
	struct product_row p = row_read(res, row, 1);

	request_served_by(r, up);
	row_reply(r, 200, &p, "Product retrieved successfully");
	return true;
}

static void by_id_missing(struct request *r, const struct upstream *up)
{
	request_served_by(r, up);
	request_fail(r, 404, NULL, "there is no product with this id");
}

static void by_id_none(struct request *r)
{
	read_unavailable(r);
}

/* ---- pages and lists ---- */

static void page_params(struct request *const *rows, size_t n, struct db_param *ret)
{
	struct request *r = rows[0];
	char *limit = store_of(r)->scratch->number;

	(void)n; /* one */
	pg_put_int4(limit, r->limit);
	if (r->has_after)
		*ret++ = DB_BINARY((const char *)r->after.b, sizeof(r->after.b));
	*ret = DB_BINARY(limit, sizeof(int32_t));
}

static void list_open(struct request *r, struct strbuf *out)
{
	(void)r;
	strbuf_addstr(out, "{\"success\":true,\"data\":[");
}

static void list_row(struct request *r, struct strbuf *out, const struct pg_result *rows, int row)
{
	struct product_row p = row_read(rows, row, 0);

	(void)r;
	row_write(out, &p);
}

static void list_close(struct request *r, struct strbuf *out)
{
	(void)r;
	strbuf_addstr(out, "],\"message\":\"Products retrieved successfully\"}");
}

static void list_close_page(struct request *r, struct strbuf *out, const struct pg_result *rows,
			    int last, bool more)
{
	(void)r;
	strbuf_addstr(out, "],\"next\":");
	if (more) {
		struct product_row p = row_read(rows, last, 0);

		strbuf_addch(out, '"');
		base64_add(out, BASE64_URL, p.id.b, sizeof(p.id.b)); /* products.h: a cursor */
		strbuf_addch(out, '"');
	} else {
		strbuf_addstr(out, "null");
	}
	strbuf_addstr(out, ",\"message\":\"Products retrieved successfully\"}");
}

static bool list_behind(struct request *r, const struct pg_result *rows, int row)
{
	r->after = row_read(rows, row, 0).id;
	r->has_after = true;
	r->statement = &product_after[request_is_placed(r)];
	return true;
}

/* ---- the tables ---- */

static const struct read_calls by_id_calls = {
	.params = by_id_params,
	.row = by_id_row,
	.missing = by_id_missing,
	.none = by_id_none,
};
static const struct read_calls page_calls = {
	.params = page_params,
	.rows = list_rows,
	.none = list_none,
};
const struct read_statement product_by_id[] = {
	{ &by_id_calls, .joins = true, .number = READ_BY_ID, .place = NO_PLACE },
	{ &by_id_calls, .joins = true, .number = READS + READ_BY_ID, .place = BY_ID_PLACE,
	  .version = BY_ID_VERSION },
};
const struct read_statement product_first[] = {
	{ &page_calls, .number = READ_FIRST, .place = NO_PLACE },
	{ &page_calls, .number = READS + READ_FIRST, .place = PAGE_PLACE },
};
const struct read_statement product_after[] = {
	{ &page_calls, .number = READ_AFTER, .place = NO_PLACE },
	{ &page_calls, .number = READS + READ_AFTER, .place = PAGE_PLACE },
};
const struct list_calls product_listing = {
	.open = list_open,
	.row = list_row,
	.close = list_close,
	.close_page = list_close_page,
	.behind = list_behind,
};
