/*
 * query.c: what requests mean, and which are refused with which field and words. Each row is a request and its
 * outcome: "field: the beginning of the words", or what was understood, as tell() writes it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/base64.h"
#include "common/base/utf8.h"
#include "tests/unit/models_for_tests.h"

#define U1  "00000000-0000-0000-0000-0000000000ab"
#define A16 "aaaaaaaaaaaaaaaa"
#define A64 A16 A16 A16 A16

struct row {
	const char *resource, *params, *outcome;
};

static const char *const op_names[] = { "eq", "neq",  "lt",   "lte",	 "gt",	 "gte",
					"in", "like", "null", "notnull", "true", "false" };

/* ---- what was understood ---- */

static void tell_filter(struct strbuf *out, const struct query *q, const struct query_filter *f)
{
	strbuf_addf(out, " %s %s", q->resource->columns[f->column].name, op_names[f->op]);
	for (size_t i = 0; i < f->nvalues; i++)
		strbuf_addf(out, " '%s'", q->text.data + q->values[f->first_value + i].at);
	strbuf_addch(out, ';');
}

static void tell_embed(struct strbuf *out, const struct query *q, int i)
{
	const struct query_embed *e = &q->embeds[i];

	if (e->of >= 0) {
		tell_embed(out, q, e->of);
		strbuf_addch(out, '.');
	}
	strbuf_addf(out, "%s%s", e->member, e->up ? "^" : e->reference->unique ? "?" : "[]");
}

static void tell_cursor(struct strbuf *out, const struct query *q)
{
	size_t value = q->cursor;

	for (size_t i = 0; i < q->ncursor; i++)
		if ((q->cursor_nulls >> i & 1) != 0)
			strbuf_addstr(out, " behind NULL");
		else
			strbuf_addf(out, " behind '%s'", q->text.data + q->values[value++].at);
}

/* "limit 5 select id,name; name eq 'Ada'; by -createdAt,-id with posts[],posts[].users^ behind 'x' count exact",
 * without what is as it is by itself. */
static void tell(struct strbuf *out, const struct query *q)
{
	static const char *const counts[] = { "", " count exact", " count estimated" };

	strbuf_addstr(out, "ok");
	if (q->paged)
		strbuf_addf(out, " limit %d", q->limit);
	for (size_t i = 0; i < q->nselect; i++)
		strbuf_addf(out, "%s%s", i > 0 ? "," : " select ",
			    q->resource->columns[q->select[i]].name);
	strbuf_addstr(out, q->selects ? ";" : "");
	for (size_t i = 0; i < q->nfilters; i++)
		tell_filter(out, q, &q->filters[i]);
	for (size_t i = 0; i < q->norders; i++)
		strbuf_addf(out, "%s%s%s", i > 0 ? "," : " by ", q->orders[i].desc ? "-" : "",
			    q->resource->columns[q->orders[i].column].name);
	for (size_t i = 0; i < q->nembeds; i++) {
		strbuf_addstr(out, i > 0 ? "," : " with ");
		tell_embed(out, q, (int)i);
	}
	tell_cursor(out, q);
	strbuf_addstr(out, counts[q->count]);
}

static void read_row(const struct model *m, const struct query_rules *rules, const struct row *r,
		     size_t len, bool key, struct strbuf *out)
{
	struct query q = { .model = NULL };
	struct http_param params[40];
	struct query_fault fault;
	size_t n = params_for_tests(r->params, len, params, ARRAY_SIZE(params));

	if (query_read(&q, m, model_find(m, r->resource, strlen(r->resource)), rules, params, n,
		       key, &fault)) {
		tell(out, &q);
	} else {
		strbuf_addf(out, "%s: %s", fault.field, fault.err.text);
		assert_true(utf8_valid(fault.field, strlen(fault.field), NULL));
		assert_true(utf8_valid(fault.err.text, strlen(fault.err.text), NULL));
	}
	query_clear(&q);
}

static void check_rows(const struct row *rows, size_t n, const struct query_rules *rules, bool key)
{
	struct model *m = model_for_tests();
	size_t wrong = 0;

	for (size_t i = 0; i < n; i++) {
		AUTO_STRBUF got = STRBUF_INIT;

		read_row(m, rules, &rows[i], strlen(rows[i].params), key, &got);
		if (strncmp(got.data, "ok", 2) == 0
			    ? strcmp(got.data, rows[i].outcome) != 0
			    : strncmp(got.data, rows[i].outcome, strlen(rows[i].outcome)) != 0) {
			print_error("%s?%.200s\n  is   %s\n  want %s\n", rows[i].resource,
				    rows[i].params, got.data, rows[i].outcome);
			wrong++;
		}
	}
	model_for_tests_free(m);
	assert_int_equal(wrong, 0);
}

static const struct query_rules strict = { .scans = false }, loose = { .scans = true };

/* ---- parameters ---- */

static const struct row parameters[] = {
	{ "users", "", "ok by id" },
	{ "users", "limit=1", "ok limit 1 by id" },
	{ "users", "limit=1000", "ok limit 1000 by id" },
	{ "users", "limit=1001", "limit: limit must be a number from 1 to 1000" },
	{ "users", "limit=0", "limit: limit must be a number from 1 to 1000" },
	{ "users", "limit=01", "limit: limit must be a number" },
	{ "users", "limit=-1", "limit: limit must be a number" },
	{ "users", "limit=%2B5", "limit: limit must be a number" },
	{ "users", "limit=5.0", "limit: limit must be a number" },
	{ "users", "limit=1e2", "limit: limit must be a number" },
	{ "users", "limit=+5", "limit: limit must be a number" },
	{ "users", "limit=5;drop", "limit: limit must be a number" },
	{ "users", "limit=99999999999999999999", "limit: limit must be a number" },
	{ "users", "limit=%35", "ok limit 5 by id" },
	{ "users", "limit=", "limit: limit has no value" },
	{ "users", "limit", "limit: limit has no value" },
	{ "users", "limit=5&limit=5", "limit: limit is given more than once" },
	{ "users", "l%69mit=5&limit=5", "limit: limit is given more than once" },
	{ "users", "LIMIT=5", "LIMIT: LIMIT is no column of users" },
	{ "users", "=5", ": a parameter has no name" },
	{ "users", "page=2", "page: page is no column of users" },
	{ "users", "%00=1", "%00: the name of a parameter is not UTF-8, or has a NUL" },
	{ "users", "%ff=1", "%ff: the name of a parameter is not UTF-8" },
	{ "users", "%=1", "%: the name of a parameter has a % without two hexadecimal digits" },
	{ "users", "na%0Ame=eq.1", "na me: na me is no column" },
	{ "users", "name%E2%80%AE=eq.1", "name : name  is no column" },
	{ "users", A64 A64 "=eq.1",
	  A16 A16 A16 "aaaaaaaaaaaaaaa: " A64 "aaaaaaaaaaaa… is no column" },
	{ "users", "count=exact", "ok by id count exact" },
	{ "users", "count=estimated", "ok by id count estimated" },
	{ "users", "count=planned", "count: count must be exact or estimated" },
	{ "users", "count=EXACT", "count: count must be" },
	{ "users", "count=exact&count=exact", "count: count is given more than once" },
	{ "users", "select=id", "ok select id; by id" },
	{ "users", "select=name,id", "ok select name,id; by id" },
	{ "users", "select=id,id", "select: select has id twice" },
	{ "users", "select=*", "select: select: users has no column *" },
	{ "users", "select=id,", "select: select must be names of columns" },
	{ "users", "select=,", "select: select must be names of columns" },
	{ "users", "select=", "select: select has no value" },
	{ "users", "select=id%00", "select: select is not UTF-8, or has a NUL" },
	{ "users", "select=id)%20FROM%20pg_shadow--",
	  "select: select: users has no column id) FROM pg_shadow--" },
	{ "users", "select=\"id\"", "ok select id; by id" },
	{ "users", "select=\"id", "select: select has quotes that do not end" },
	{ "users", "select=\"id\"x", "select: select has quotes that do not end" },
	{ "users", "select= id", "select: select: users has no column  id" },
	{ "users", "select=id&select=name", "select: select is given more than once" },
	{ "odd", "select=a\"b'c\\d,\"a,b\",limit", "ok select a\"b'c\\d,a,b,limit; by limit" },
	{ "odd", "select=\"a\\\"b'c\\\\d\"", "ok select a\"b'c\\d; by limit" },
};

static void test_parameters(void **state)
{
	(void)state;
	check_rows(parameters, ARRAY_SIZE(parameters), &strict, false);
}

/* ---- filters ---- */

static const struct row filters[] = {
	{ "users", "id=eq.5", "ok id eq '5'; by id" },
	{ "users", "id=eq.007", "ok id eq '7'; by id" },
	{ "users", "id=eq.-0", "ok id eq '0'; by id" },
	{ "users", "id=eq.2147483648",
	  "id: id must be a whole number from -2147483648 to 2147483647" },
	{ "comments", "id=eq.2147483648", "ok id eq '2147483648'; by id" },
	{ "comments", "id=eq.9223372036854775808", "id: id must be a whole number" },
	{ "categories", "id=eq.32768", "id: id must be a whole number from -32768 to 32767" },
	{ "users", "id=eq.5.0", "id: id must be a whole number" },
	{ "users", "id=eq.", "id: id must be a whole number" },
	{ "users", "id=eq. 5", "id: id must be a whole number" },
	{ "users", "id=eq.5%00", "id: id is not UTF-8, or has a NUL" },
	{ "users", "id=eq.1;DROP TABLE \"User\"", "id: id must be a whole number" },
	{ "users", "id=eq.1 OR 1=1", "id: id must be a whole number" },
	{ "users", "id=5", "id: id must have one of the operators eq." },
	{ "users", "id=eq", "id: id must have one of the operators" },
	{ "users", "id=EQ.5", "id: id must have one of the operators" },
	{ "users", "id=equal.5", "id: id must have one of the operators" },
	{ "users", "id=not.eq.5", "id: id must have one of the operators" },
	{ "users", "id=", "id: id has no value" },
	{ "users", "id=is.nil", "id: id must have one of the operators" },
	{ "users", "id=is.null.x", "id: id must have one of the operators" },
	{ "users", "id=like.5%25", "id: id is no text: like does not work on it" },
	{ "users", "id=is.true", "id: id is no boolean" },
	{ "users", "active=is.true&id=gt.1", "ok active true; id gt '1'; by id" },
	{ "users", "active=eq.TRUE&id=gt.1", "active: active must be true or false" },
	{ "users", "active=eq.t&id=gt.1", "active: active must be true or false" },
	{ "users", "email=eq.a%40b+c%2Bd", "ok email eq 'a@b c+d'; by id" },
	{ "users", "email=eq.", "ok email eq ''; by id" },
	{ "users", "email=eq.'; DROP TABLE \"User\"; --",
	  "ok email eq ''; DROP TABLE \"User\"; --'; by id" },
	{ "users", "email=eq.$1", "ok email eq '$1'; by id" },
	{ "users", "email=eq.%ff", "email: email is not UTF-8, or has a NUL" },
	{ "users", "email=eq.%ed%a0%80", "email: email is not UTF-8" },
	{ "users", "email=eq.%c0%80", "email: email is not UTF-8" },
	{ "users", "email=eq.%", "email: email has a % without two" },
	{ "users", "email=eq.%4", "email: email has a % without two" },
	{ "users", "email=eq.%4g", "email: email has a % without two" },
	{ "users", "email=in.(a)", "ok email in 'a'; by id" },
	{ "users", "id=in.(1,2,3)", "ok id in '1' '2' '3'; by id" },
	{ "users", "email=in.(\"a,b\",\"c\\\"\\\\\",\"\",d\"e)",
	  "ok email in 'a,b' 'c\"\\' '' 'd\"e'; by id" },
	{ "users", "email=in.(a(b),c)", "ok email in 'a(b)' 'c'; by id" },
	{ "users", "id=in.()", "id: id=in. needs values in brackets" },
	{ "users", "id=in.1,2", "id: id=in. needs values in brackets" },
	{ "users", "id=in.(1,2", "id: id=in. needs values in brackets" },
	{ "users", "id=in.(1,,2)", "id: id=in. has an empty value" },
	{ "users", "id=in.(1,2,)", "id: id=in. has an empty value" },
	{ "users", "id=in.(1,x)", "id: id must be a whole number" },
	{ "users", "id=in.(1) OR (1=1)", "id: id must be a whole number" },
	{ "users", "email=in.(\"a)", "email: email=in. has quotes that do not end" },
	{ "users", "email=in.(\"a\"b)", "email: email=in. has quotes that do not end" },
	{ "users", "name=like.Ad%25", "ok name like 'Ad%' 'Ad' 'Ae'; by id" },
	{ "users", "name=like.A_a*", "ok name like 'A_a*' 'A' 'B'; by id" },
	{ "users", "name=like.a\\%25%25", "ok name like 'a\\%%' 'a%' 'a&'; by id" },
	{ "users", "name=like.Ada", "ok name like 'Ada' 'Ada' 'Adb'; by id" },
	{ "users", "name=like.a%f4%8f%bf%bf%25",
	  "ok name like 'a\xf4\x8f\xbf\xbf%' 'a\xf4\x8f\xbf\xbf' 'b'; by id" },
	{ "users", "name=like.%ed%9f%bf%25",
	  "ok name like '\xed\x9f\xbf%' '\xed\x9f\xbf' '\xee\x80\x80'; by id" },
	{ "users", "name=like.a\\", "name: name=like. ends with a \\ that escapes nothing" },
	{ "users", "name=like.%25a",
	  "name: a filter of name that no index can serve needs another one beside it" },
	{ "posts", "title=like.a%25",
	  "title: a filter of title needs an index: CREATE INDEX ON \"Post\" (\"title\" "
	  "text_pattern_ops)" },
	{ "lines", "code=like.a%25",
	  "code: a filter of code needs an index: CREATE INDEX ON \"lines\" (\"code\" bpchar_pattern_ops)" },
	{ "lines", "id=eq." U1, "ok id eq '" U1 "'; by tenant,code,day" },
	{ "lines", "id=eq.00000000-0000-0000-0000-0000000000AB",
	  "ok id eq '" U1 "'; by tenant,code,day" },
	{ "lines", "id=eq.{" U1 "}", "id: id must be a UUID" },
	{ "lines", "id=eq.x", "id: id must be a UUID" },
	{ "lines", "id=like.0%25", "id: id is no text" },
	{ "lines", "amount=eq.&tenant=eq.1", "amount: amount must be a value that is not empty" },
	{ "lines", "amount=eq.1e5&tenant=eq.1",
	  "ok amount eq '1e5'; tenant eq '1'; by tenant,code,day" },
	{ "kinds", "data=eq.1&id=eq.1",
	  "data: data is of type json, which cannot be compared by eq" },
	{ "kinds", "more=in.(1)&id=eq.1",
	  "more: more is of type jsonb, which cannot be compared by in" },
	{ "kinds", "data=is.null&id=eq.1", "ok data null; id eq '1'; by id" },
	{ "kinds", "nums=gt.{1}&id=eq.1",
	  "nums: nums is of type integer[], which cannot be compared by gt" },
	{ "kinds", "nums=eq.{1}&id=eq.1", "ok nums eq '{1}'; id eq '1'; by id" },
	{ "kinds", "ip=lt.1&id=eq.1", "ip: ip is of type inet, which cannot be compared by lt" },
	{ "kinds", "ip=eq.10.0.0.1&id=eq.1", "ok ip eq '10.0.0.1'; id eq '1'; by id" },
	{ "kinds", "pt=eq.(1,2)&id=eq.1",
	  "pt: pt is of type point, which cannot be compared by eq" },
	{ "kinds", "mood=eq.ok", "ok mood eq 'ok'; by id" },
	{ "kinds", "mood=like.o%25", "mood: mood is no text" },
	{ "users", "id=gt.1&id=lt.9", "ok id gt '1'; id lt '9'; by id" },
	{ "users",
	  "id=eq.1&id=eq.1&id=eq.1&id=eq.1&id=eq.1&id=eq.1&id=eq.1&id=eq.1&id=eq.1&id=eq.1&id=eq.1&id=eq.1"
	  "&id=eq.1&id=eq.1&id=eq.1&id=eq.1&id=eq.1",
	  "id: there are more than 16 filters" },
	{ "odd", "limit=eq.1", "limit: limit must be a number" },
	{ "odd", "column.limit=eq.1", "ok limit eq '1'; by limit" },
	{ "odd", "column.column.limit=is.null&column.limit=gt.0",
	  "ok column.limit null; limit gt '0'; by limit" },
	{ "odd", "a\"b'c%5Cd=eq.x&column.limit=eq.1",
	  "ok a\"b'c\\d eq 'x'; limit eq '1'; by limit" },
	{ "odd", "-x=eq.1&column.limit=eq.1", "ok -x eq '1'; limit eq '1'; by limit" },
	{ "users", "column.=eq.1", "column.: column. is no column" },
	{ "users", "column.order=eq.1", "column.order: column.order is no column" },
};

static void test_filters(void **state)
{
	(void)state;
	check_rows(filters, ARRAY_SIZE(filters), &strict, false);
}

/* ---- orders and indexes ---- */

static const struct row orders[] = {
	{ "users", "order=-createdAt", "ok by -createdAt,-id" },
	{ "users", "order=createdAt", "ok by createdAt,id" },
	{ "users", "order=-createdAt,id", "ok by -createdAt,id" },
	{ "users", "order=+createdAt", "ok by createdAt,id" },
	{ "users", "order=%2BcreatedAt", "ok by createdAt,id" },
	{ "users", "order=-id", "ok by -id" },
	{ "users", "order=id,name", "ok by id" },
	{ "users", "order=id,-id", "order: order has id twice" },
	{ "users", "order=", "order: order has no value" },
	{ "users", "order=-", "order: order must be names of columns" },
	{ "users", "order=--id", "order: order: users has no column -id" },
	{ "users", "order=id,", "order: order must be names" },
	{ "users", "order=id desc", "order: order: users has no column id desc" },
	{ "users", "order=id.desc", "order: order: users has no column id.desc" },
	{ "users", "order=1", "order: order: users has no column 1" },
	{ "users", "order=(select 1)", "order: order: users has no column (select 1)" },
	{ "users", "order=id;drop", "order: order: users has no column id;drop" },
	{ "users", "order=name",
	  "order: this order needs an index: CREATE INDEX ON \"User\" (\"name\", \"id\")" },
	{ "users", "order=-name,id",
	  "order: this order needs an index: CREATE INDEX ON \"User\" (\"name\" DESC, \"id\")" },
	{ "users", "order=createdAt,name", "order: this order needs an index" },
	{ "kinds", "order=data", "order: order: data is of type json, which has no order here" },
	{ "kinds", "order=nums", "order: order: nums is of type integer[]" },
	{ "kinds", "order=ip", "order: order: ip is of type inet" },
	{ "kinds", "order=mood,-id", "ok by mood,-id" },
	{ "lines", "order=tenant,code", "ok by tenant,code,day" },
	{ "lines", "order=-tenant,-code,-day", "ok by -tenant,-code,-day" },
	{ "lines", "order=-tenant,code", "ok by -tenant,code,day" },
	{ "lines", "order=big,tenant", "ok by big,tenant,code,day" },
	{ "lines", "order=amount",
	  "order: this order needs an index: CREATE INDEX ON \"lines\" (\"amount\", \"tenant\", "
	  "\"code\", \"day\")" },
	{ "posts", "order=-createdAt", "ok by -createdAt,-id" },
	{ "posts", "order=-createdAt,id", "ok by -createdAt,id" },
	{ "posts", "categoryId=eq.1&order=-createdAt", "ok categoryId eq '1'; by -createdAt,-id" },
	{ "posts", "published=is.true&order=-rating", "ok published true; by -rating,-id" },
	{ "posts", "userId=eq.1&order=title",
	  "order: this order needs an index: CREATE INDEX ON \"Post\" (\"userId\", \"title\", \"id\")" },
	{ "posts", "userId=eq.1&order=userId,-id", "ok userId eq '1'; by userId,-id" },
	{ "posts", "editorId=eq.1",
	  "editorId: a filter of editorId needs an index: CREATE INDEX ON \"Post\" "
	  "(\"editorId\", \"id\")" },
	{ "posts", "editorId=eq.1&order=-createdAt",
	  "editorId: a filter of editorId needs an index: CREATE INDEX ON "
	  "\"Post\" (\"editorId\", \"createdAt\", \"id\")" },
	{ "posts", "editorId=gt.1",
	  "editorId: a filter of editorId needs an index: CREATE INDEX ON \"Post\" "
	  "(\"editorId\")" },
	{ "posts", "editorId=eq.1&userId=eq.2", "ok editorId eq '1'; userId eq '2'; by id" },
	{ "posts", "rating=neq.1", "rating: a filter of rating that no index can serve" },
	{ "posts", "rating=is.notnull", "rating: a filter of rating that no index can serve" },
	{ "posts", "rating=is.null", "ok rating null; by id" },
	{ "posts", "published=is.false", "ok published false; by id" },
	{ "users", "active=is.true",
	  "active: a filter of active needs an index: CREATE INDEX ON \"User\" "
	  "(\"active\", \"id\")" },
	{ "lines", "id=gt." U1, "id: a filter of id needs an index" },
	{ "lines", "id=in.(" U1 ")", "ok id in '" U1 "'; by tenant,code,day" },
	{ "lines", "id=is.null", "id: a filter of id needs an index" },
	{ "lines", "code=eq.a", "code: a filter of code needs an index" },
	{ "users", "name=gt.a", "name: a filter of name needs an index" },
	{ "users", "name=eq.a", "ok name eq 'a'; by id" },
	{ "categories", "name=gte.a", "ok name gte 'a'; by id" },
	{ "odd", "order=-x", "order: order: odd has no column x" },
	{ "odd", "order=\"-x\"",
	  "order: this order needs an index: CREATE INDEX ON \"Sales \"\"x\"\"\".\"Odd 'one' \\ $1\" (\"-x\", "
	  "\"limit\")" },
	{ "wide", "order=c2,c3,c4,c5,c6,c7,c8,c9,c10", "order: order has more than 8 columns" },
};

static void test_orders(void **state)
{
	(void)state;
	check_rows(orders, ARRAY_SIZE(orders), &strict, false);
}

static void test_scans(void **state)
{
	static const struct row rows[] = {
		{ "users", "order=name", "ok by name,id" },
		{ "posts", "rating=neq.1", "ok rating neq '1'; by id" },
		{ "posts", "title=like.%25x", "ok title like '%x'; by id" },
		{ "users", "embed=comments", "ok by id with comments[]" },
		{ "wide", "order=c2,c3,c4,c5,c6,c7,c8,c9", "ok by c2,c3,c4,c5,c6,c7,c8,c9,c1" },
	};
	(void)state;

	check_rows(rows, ARRAY_SIZE(rows), &loose, false);
}

/* ---- embeds ---- */

static const struct row embeds[] = {
	{ "posts", "embed=comments", "ok by id with comments[]" },
	{ "posts", "embed=categories,comments", "ok by id with categories^,comments[]" },
	{ "posts", "embed=users",
	  "embed: embed: users is ambiguous in posts: it may be users!userId, users!editorId" },
	{ "posts", "embed=users!userId", "ok by id with users^" },
	{ "posts", "embed=users!userId.posts!userId.comments",
	  "ok by id with users^,users^.posts[],users^.posts[].comments[]" },
	{ "posts", "embed=comments.posts.comments.posts", "embed: embed: a path is deeper than 3" },
	{ "posts", "embed=categories.categories.categories,categories",
	  "ok by id with categories^,categories^.categories[],categories^.categories[].categories[]" },
	{ "posts", "embed=comments,comments,comments", "ok by id with comments[]" },
	{ "posts", "embed=users!userId,users!editorId",
	  "ok by id with users!userId^,users!editorId^" },
	{ "posts", "embed=users!editorId.profiles,users!userId.posts!userId,users!editorId",
	  "ok by id with users!editorId^,users!editorId^.profiles?,users!userId^,users!userId^.posts[]" },
	{ "comments", "embed=posts.users!userId,posts.users!editorId,users",
	  "ok by id with posts^,posts^.users!userId^,posts^.users!editorId^,users^" },
	{ "users", "embed=posts!editorId,comments,posts!userId",
	  "ok by id with posts!editorId[],comments[],posts!userId[]" },
	{ "posts", "embed=users!nope",
	  "embed: embed: no foreign key leads from posts to users!nope; there is users!userId" },
	{ "posts", "embed=users!", "embed: embed must be names" },
	{ "posts", "embed=!userId", "embed: embed must be names" },
	{ "posts", "embed=", "embed: embed has no value" },
	{ "posts", "embed=comments,", "embed: embed must be names" },
	{ "posts", "embed=.comments", "embed: embed must be names" },
	{ "posts", "embed=comments.", "embed: embed must be names" },
	{ "posts", "embed=nope",
	  "embed: embed: no foreign key leads from posts to nope; there is users!userId, users!editorId, categories" },
	{ "posts", "embed=profiles", "embed: embed: no foreign key leads from posts to profiles" },
	{ "wide", "embed=users", "embed: embed: no foreign key leads from wide to users" },
	{ "posts", "embed=pg_shadow",
	  "embed: embed: no foreign key leads from posts to pg_shadow" },
	{ "posts", "embed=comments\") FROM x--",
	  "embed: embed: no foreign key leads from posts to comments\") FROM x--" },
	{ "posts", "embed=comments%00", "embed: embed is not UTF-8, or has a NUL" },
	{ "posts", "embed=comments&embed=comments", "embed: embed is given more than once" },
	{ "posts", "embed= comments",
	  "embed: embed: no foreign key leads from posts to  comments" },
	{ "users", "embed=users", "ok by id with users[]" },
	{ "users", "embed=users!managerId", "ok by id with users^" },
	{ "users", "embed=users,users!managerId", "ok by id with users[],users!managerId^" },
	{ "users", "embed=users!managerId.users!managerId,users.users",
	  "ok by id with users!managerId^,users!managerId^.users^,users[],users[].users[]" },
	{ "users", "embed=users!managerId.users!managerId.users!managerId",
	  "ok by id with users^,users^.users^,users^.users^.users^" },
	{ "users", "embed=profiles", "ok by id with profiles?" },
	{ "users", "embed=comments", "ok by id with comments[]" },
	{ "users", "embed=posts!editorId", "ok by id with posts[]" },
	{ "comments", "embed=users", "ok by id with users^" },
	{ "comments", "embed=posts.users!userId,posts.categories",
	  "ok by id with posts^,posts^.users^,posts^.categories^" },
};

static void test_embeds(void **state)
{
	(void)state;
	check_rows(embeds, ARRAY_SIZE(embeds), &strict, false);
}

static void test_embeds_of_the_setting(void **state)
{
	static const struct query_rules rules = { .embeds = "comments,users!userId" };
	static const struct row rows[] = {
		{ "posts", "", "ok by id with comments[],users^" },
		{ "posts", "embed=comments,comments.users",
		  "ok by id with comments[],users^,comments[].users^" },
		{ "posts", "embed=users!editorId",
		  "ok by id with comments[],users!userId^,users!editorId^" },
		{ "posts", "embed=users!userId.profiles",
		  "ok by id with comments[],users^,users^.profiles?" },
	};
	(void)state;

	check_rows(rows, ARRAY_SIZE(rows), &rules, false);
	check_rows(rows, ARRAY_SIZE(rows), &rules, true);
}

static void test_too_many_embeds(void **state)
{
	static const struct row row = {
		"users",
		"embed=posts!userId.comments,posts!userId.categories.categories,"
		"posts!userId.tags,users!managerId.posts!userId.comments,"
		"users!managerId.profiles,users!managerId.users.profiles,"
		"users!managerId.users.posts!userId,profiles,"
		"users!managerId.posts!userId.tags,"
		"users!managerId.posts!userId.users!userId,posts!userId.users!userId,"
		"users!managerId.posts!userId.categories,posts!userId.comments.posts",
		"embed: embed: there are more than 16 of them"
	};
	(void)state;

	check_rows(&row, 1, &strict, false);
}

/* A member that a column has: only while the column is selected. */
static void test_members_and_columns(void **state)
{
	struct model *m = model_for_tests();
	const struct model_resource *r = model_find(m, "posts", 5);
	static const struct {
		const char *column;
		struct row row;
	} rows[] = {
		{ "comments",
		  { "posts", "embed=comments",
		    "embed: embed: posts has a column that is called as" } },
		{ "comments",
		  { "posts", "embed=comments&select=id", "ok select id; by id with comments[]" } },
		{ "commentsTruncated",
		  { "posts", "embed=comments", "embed: embed: posts has a column" } },
		{ "categoriesTruncated",
		  { "posts", "embed=categories", "ok by id with categories^" } },
		{ "comments",
		  { "comments", "embed=posts.comments", "embed: embed: posts has a column" } },
		{ "users!userId",
		  { "posts", "embed=users!editorId,users!userId",
		    "embed: embed: posts has a column that is called as the member users!userId" } },
		{ "users!userId", { "posts", "embed=users!userId", "ok by id with users^" } },
		{ "users!userId",
		  { "posts", "embed=users!editorId,users!userId&select=id",
		    "ok select id; by id with users!editorId^,users!userId^" } },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct model_column *title = &r->columns[1];
		AUTO_STRBUF got = STRBUF_INIT;

		free(title->name);
		title->name = xstrdup(rows[i].column);
		read_row(m, &strict, &rows[i].row, strlen(rows[i].row.params), false, &got);
		if (strncmp(got.data, rows[i].row.outcome, strlen(rows[i].row.outcome)) != 0)
			fail_msg("%s with %s: %s", rows[i].row.params, rows[i].column, got.data);
	}
	model_for_tests_free(m);
}

/* A resource that is called as the member which says that an array was cut. */
static void test_members_of_two_embeds(void **state)
{
	struct model *m = model_for_tests();
	static const struct row rows[] = {
		{ "posts", "embed=comments,commentsTruncated",
		  "embed: embed: posts would have two members that are called commentsTruncated" },
		{ "posts", "embed=commentsTruncated", "ok by id with commentsTruncated^" },
		{ "posts", "embed=commentsTruncated.posts,comments.posts.commentsTruncated",
		  "embed: embed: posts would have two members that are called commentsTruncated" },
		{ "posts", "embed=commentsTruncated.posts.comments",
		  "ok by id with commentsTruncated^,commentsTruncated^.posts[],"
		  "commentsTruncated^.posts[].comments[]" },
	};
	(void)state;

	for (size_t i = 0; i < m->nresources; i++) {
		if (strcmp(m->resources[i].name, "categories") != 0)
			continue;
		free(m->resources[i].name);
		m->resources[i].name = xstrdup("commentsTruncated");
	}
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO_STRBUF got = STRBUF_INIT;

		read_row(m, &strict, &rows[i], strlen(rows[i].params), false, &got);
		assert_string_equal(got.data, rows[i].outcome);
	}
	model_for_tests_free(m);
}

/* ---- children of a row ---- */

static void test_children(void **state)
{
	static const struct {
		const char *child, *parent, *column,
			*found; /* the foreign key's column; NULL: none */
	} rows[] = {
		{ "posts", "users", "userId", "userId" },
		{ "posts", "users", "%75ser%49d", "userId" },
		{ "posts", "users", "editor%49%64", "editorId" },
		{ "posts", "users", NULL, NULL },
		{ "posts", "users", "", NULL },
		{ "posts", "users", "userId%00", NULL },
		{ "posts", "users", "userId%", NULL },
		{ "posts", "users", "user%4", NULL },
		{ "posts", "users", "user%4gd", NULL },
		{ "posts", "users", "user%2549d", NULL },
		{ "posts", "users", "id", NULL },
		{ "comments", "users", NULL, "userId" },
		{ "comments", "users", "user%49d", "userId" },
		{ "users", "comments", NULL, NULL },
	};
	struct model *m = model_for_tests();
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct model_resource *child = model_find(m, rows[i].child,
								strlen(rows[i].child));
		const struct model_resource *parent = model_find(m, rows[i].parent,
								 strlen(rows[i].parent));
		const char *column = rows[i].column;
		const struct model_reference *f = query_children(m, child, parent, column,
								 column ? strlen(column) : 0);

		if (strcmp(f ? child->columns[f->columns[0]].name : "none",
			   rows[i].found ? rows[i].found : "none") != 0)
			fail_msg("%s of %s by %s", rows[i].child, rows[i].parent,
				 column ? column : "no column");
	}
	model_for_tests_free(m);
}

/* ---- cursors ---- */

static const struct row cursors[] = {
	{ "users", "[\"5\"]", "ok limit 50 by id behind '5'" },
	{ "users", " [ \"5\" ] ", "ok limit 50 by id behind '5'" },
	{ "users", "[\"5\",\"6\"]",
	  "cursor: cursor is not one that an earlier page gave as \"next\"" },
	{ "users", "[]", "cursor: cursor is not one" },
	{ "users", "[5]", "cursor: cursor is not one" },
	{ "users", "[null]", "cursor: cursor is not one" },
	{ "users", "[\"x\"]", "cursor: cursor is not one" },
	{ "users", "[\"1 OR 1=1\"]", "cursor: cursor is not one" },
	{ "users", "[[\"5\"]]", "cursor: cursor is not one" },
	{ "users", "{\"a\":\"5\"}", "cursor: cursor is not one" },
	{ "users", "\"5\"", "cursor: cursor is not one" },
	{ "users", "[\"5\"", "cursor: cursor is not one" },
	{ "users", "[\"5\"]x", "cursor: cursor is not one" },
	{ "users", "[\"\\u0000\"]", "cursor: cursor is not one" },
	{ "users", "[\"\xff\"]", "cursor: cursor is not one" },
	{ "tags", "[\"'; DROP TABLE tags; --\"]",
	  "ok limit 50 by tag behind ''; DROP TABLE tags; --'" },
	{ "lines", "[\"1\",\"a\",\"2026-01-01\"]",
	  "ok limit 50 by tenant,code,day behind '1' behind 'a' behind '2026-01-01'" },
	{ "lines", "[\"1\",\"a\",\"\"]", "cursor: cursor is not one" },
};

static void test_cursors(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cursors); i++) {
		AUTO_STRBUF params = STRBUF_INIT;
		struct row row = cursors[i];

		strbuf_addstr(&params, "cursor=");
		base64_add(&params, BASE64_URL, row.params, strlen(row.params));
		row.params = params.data;
		check_rows(&row, 1, &strict, false);
	}
}

static void test_cursors_with_nulls(void **state)
{
	static const struct row rows[] = {
		{ "posts", "order=rating&cursor=W251bGwsIjUiXQ",
		  "ok limit 50 by rating,id behind NULL behind '5'" },
		{ "posts", "order=title&cursor=W251bGwsIjUiXQ", "cursor: cursor is not one" },
	};
	(void)state;

	check_rows(rows, ARRAY_SIZE(rows), &loose, false);
}

static void test_cursors_that_are_none(void **state)
{
	static const struct row rows[] = {
		{ "users", "cursor=", "cursor: cursor has no value" },
		{ "users", "cursor=!", "cursor: cursor is not one" },
		{ "users", "cursor=A", "cursor: cursor is not one" },
		{ "users", "cursor=WyI1Il0=", "cursor: cursor is not one" },
		{ "users", "cursor=WyI1Il1", "cursor: cursor is not one" },
		{ "users", "cursor=WyI1Il0&cursor=WyI1Il0",
		  "cursor: cursor is given more than once" },
		{ "users", "cursor=%00", "cursor: cursor is not UTF-8, or has a NUL" },
	};
	(void)state;

	check_rows(rows, ARRAY_SIZE(rows), &strict, false);
}

/* ---- lengths ---- */

static void check_long(const char *before, const char *piece, size_t times, const char *after,
		       const char *outcome)
{
	AUTO_STRBUF params = STRBUF_INIT;

	strbuf_addstr(&params, before);
	for (size_t i = 0; i < times; i++)
		strbuf_addstr(&params, piece);
	strbuf_addstr(&params, after);
	struct row row = { "users", params.data, outcome };
	check_rows(&row, 1, &strict, false);
}

static void test_lengths(void **state)
{
	(void)state;
	check_long("email=eq.", A64, 64, "", "email: email is longer than 4096 bytes");
	check_long("email=eq.", "%41", 4096, "", "email: email is longer than 4096 bytes");
	check_long("", A64, 65, "=1",
		   A16 A16 A16 "aaaaaaaaaaaaaaa: the name of a parameter is longer");
	check_long("cursor=", A64, 65, "", "cursor: cursor is longer than 4096 bytes");
	check_long("cursor=", A64, 64, "", "cursor: cursor is not one");
	check_long("id=in.(1", ",2", 100, ")", "id: id=in. has more than 100 values");
	check_long("embed=users", ".users", 500, "", "embed: embed: a path is deeper than 3");
	check_long("embed=", "users,", 600, "users", "ok by id with users[]");
	check_long("select=id", ",\xc3\xa4", 1, "", "select: select: users has no column \xc3\xa4");
	check_long("select=", "\xc3\xa4", 400, "", "select: select: users has no column \xc3\xa4");
	check_long("order=", "-", 4000, "", "order: order: users has no column -----");
}

/* ---- one row ---- */

static void test_for_a_key(void **state)
{
	static const struct row rows[] = {
		{ "posts", "", "ok by id" },
		{ "posts", "select=id&embed=comments", "ok select id; by id with comments[]" },
		{ "posts", "limit=5",
		  "limit: limit is not for one row by its key: only select and embed are" },
		{ "posts", "id=eq.5", "id: id is not for one row by its key" },
		{ "posts", "x=5", "x: x is not for one row" },
	};
	(void)state;

	check_rows(rows, ARRAY_SIZE(rows), &strict, true);
}

static const struct row keys[] = {
	{ "users", "5", "ok '5'" },
	{ "users", "%35", "ok '5'" },
	{ "users", "005", "ok '5'" },
	{ "users", "-5", "ok '-5'" },
	{ "users", "+5", "id: id must be a whole number" },
	{ "users", "", "id: id must be a whole number" },
	{ "users", "5,6", "id: id must be a whole number" },
	{ "users", "5%00", "id: id is not UTF-8, or has a NUL" },
	{ "users", "5%20OR%201=1", "id: id must be a whole number" },
	{ "users", "2147483648", "id: id must be a whole number from" },
	{ "users", "%", "id: id has a % without" },
	{ "tags", "a+b,c%2Cd", "ok 'a+b,c,d'" },
	{ "tags", "%e4", "tag: tag is not UTF-8" },
	{ "tags", "", "ok ''" },
	{ "profiles", "00000000-0000-0000-0000-0000000000AB", "ok '" U1 "'" },
	{ "profiles", "x", "id: id must be a UUID" },
	{ "lines", "1,a%2C,2026-01-01", "ok '1' 'a,' '2026-01-01'" },
	{ "lines", "1,,2026-01-01", "ok '1' '' '2026-01-01'" },
	{ "lines", "1,a",
	  ": the key of lines is 3 values with commas between them; a comma in one is %2C" },
	{ "lines", "1,a,2026-01-01,x", ": the key of lines is 3 values" },
	{ "lines", "1,a,", "day: day must be a value that is not empty" },
	{ "lines", "x,a,2026-01-01", "tenant: tenant must be a whole number" },
};

static void test_keys(void **state)
{
	struct model *m = model_for_tests();
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		struct query q = { .model = NULL };
		AUTO_STRBUF got = STRBUF_INIT;
		struct query_fault fault;

		if (!query_read(&q, m, model_find(m, keys[i].resource, strlen(keys[i].resource)),
				&strict, NULL, 0, true, &fault))
			fail_msg("%s", fault.err.text);
		if (query_read_key(&q, keys[i].params, strlen(keys[i].params), &fault)) {
			strbuf_addstr(&got, "ok");
			for (size_t k = 0; k < q.nvalues; k++)
				strbuf_addf(&got, " '%s'", q.text.data + q.values[k].at);
			assert_int_equal(q.nvalues, q.resource->nkey);
		} else {
			strbuf_addf(&got, "%s: %s", fault.field, fault.err.text);
		}
		if (strncmp(got.data, keys[i].outcome, strlen(keys[i].outcome)) != 0)
			fail_msg("%s/%s is %s", keys[i].resource, keys[i].params, got.data);
		query_clear(&q);
	}
	model_for_tests_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parameters),
		cmocka_unit_test(test_filters),
		cmocka_unit_test(test_orders),
		cmocka_unit_test(test_scans),
		cmocka_unit_test(test_embeds),
		cmocka_unit_test(test_embeds_of_the_setting),
		cmocka_unit_test(test_too_many_embeds),
		cmocka_unit_test(test_members_and_columns),
		cmocka_unit_test(test_members_of_two_embeds),
		cmocka_unit_test(test_children),
		cmocka_unit_test(test_cursors),
		cmocka_unit_test(test_cursors_with_nulls),
		cmocka_unit_test(test_cursors_that_are_none),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_for_a_key),
		cmocka_unit_test(test_keys),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
