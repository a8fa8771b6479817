/*
 * query_sql.c: the statements of requests, as text (golden_for_tests.h). Above each stands the request and its
 * values, so that a file can be tried in psql.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/resources/query_sql.h"
#include "common/base/base64.h"
#include "tests/unit/golden_for_tests.h"
#include "tests/unit/models_for_tests.h"

struct request {
	const char *resource, *params;
	const char *cursor; /* JSON; NULL: none */
	const char *embeds; /* of the setting */
	bool scans, primary, placed;
};

#define GET(name, query) .resource = (name), .params = (query)

static void ask(struct query *q, const struct model *m, const struct request *r, bool key)
{
	struct query_rules rules = { .scans = r->scans, .embeds = r->embeds };
	AUTO_STRBUF text = STRBUF_INIT;
	struct http_param params[20];
	struct query_fault fault;

	strbuf_addstr(&text, r->params);
	if (r->cursor != NULL) {
		strbuf_addf(&text, "%scursor=", text.len > 0 ? "&" : "");
		base64_add(&text, BASE64_URL, r->cursor, strlen(r->cursor));
	}
	size_t n = params_for_tests(strbuf_str(&text), text.len, params, ARRAY_SIZE(params));
	if (!query_read(q, m, model_find(m, r->resource, strlen(r->resource)), &rules, params, n,
			key, &fault))
		fail_msg("%s?%s: %s: %s", r->resource, r->params, fault.field, fault.err.text);
}

static void add_request(struct strbuf *out, const struct request *r, const struct query *q)
{
	strbuf_addf(out, "-- %s?%s%s%s%s%s%s%s\n", r->resource, r->params,
		    r->cursor ? " cursor " : "", r->cursor ? r->cursor : "",
		    r->embeds ? " setting " : "", r->embeds ? r->embeds : "",
		    r->primary ? " primary" : "", r->placed ? " placed" : "");
	strbuf_addstr(out, "-- values:");
	for (size_t i = 0; i < q->nvalues; i++)
		strbuf_addf(out, " \"%s\"", q->text.data + q->values[i].at);
	strbuf_addch(out, '\n');
}

/* No two of these requests have one statement, so none of them has the form of another one. */
static void add_form(struct strbuf *forms, size_t i, const struct query *q)
{
	query_sql_form(&forms[i], q);
	for (size_t other = 0; other < i; other++)
		assert_false(forms[i].len == forms[other].len &&
			     memcmp(forms[i].data, forms[other].data, forms[i].len) == 0);
}

static void check(const char *golden, const struct request *requests, size_t n, bool key)
{
	struct model *m = model_for_tests();
	AUTO_STRBUF out = STRBUF_INIT;
	struct strbuf forms[20] = { STRBUF_INIT };

	assert_true(n <= ARRAY_SIZE(forms));
	for (size_t i = 0; i < n; i++) {
		struct query q = { .model = NULL };

		ask(&q, m, &requests[i], key);
		add_form(forms, i, &q);
		add_request(&out, &requests[i], &q);
		if (key)
			query_sql_keys(&out, &q, requests[i].primary, requests[i].placed);
		else
			query_sql_page(&out, &q, requests[i].primary, requests[i].placed);
		strbuf_addstr(&out, ";\n\n");
		query_clear(&q);
	}
	check_golden(golden, &out);
	for (size_t i = 0; i < n; i++)
		strbuf_clear(&forms[i]);
	model_for_tests_free(m);
}

static void test_pages(void **state)
{
	static const struct request requests[] = {
		{ GET("users", "") },
		{ GET("users", "limit=5&select=name,id") },
		{ GET("posts", "userId=eq.1&order=-id") },
		{ GET("posts", "categoryId=in.(1,2)&rating=gte.3.5&published=is.true") },
		{ GET("users", "name=like.Ad%25&active=is.false") },
		{ GET("categories", "name=like.a%25&parentId=is.null") },
		{ GET("users", "name=neq.Ada&managerId=is.notnull&active=eq.true"), .scans = true },
		{ GET("lines", "id=eq.00000000-0000-0000-0000-00000000000A&code=eq.ab") },
		{ GET("comments", "postId=eq.1"), .primary = true },
		{ GET("tags", "tag=gt.a&line=eq.101") },
		{ GET("odd", "column.limit=gt.0&a%22b'c%5Cd=eq.x'%22%5C"), .scans = true },
	};
	(void)state;

	check("query_pages", requests, ARRAY_SIZE(requests), false);
}

static void test_cursors(void **state)
{
	static const struct request requests[] = {
		{ GET("users", "limit=2"), .cursor = "[\"1\"]" },
		{ GET("users", "order=-createdAt"), .cursor = "[\"2026-01-03 00:00:00\",\"3\"]" },
		{ GET("lines", ""), .cursor = "[\"1\",\"a\",\"2026-01-01\"]" },
		{ GET("users", "order=-createdAt,id"),
		  .cursor = "[\"2026-01-03 00:00:00\",\"3\"]" },
		{ GET("posts", "order=rating"), .cursor = "[\"2.00\",\"3\"]" },
		{ GET("posts", "order=rating"), .cursor = "[null,\"3\"]" },
		{ GET("posts", "order=-rating"), .cursor = "[\"2.00\",\"3\"]" },
		{ GET("posts", "order=-rating"), .cursor = "[null,\"3\"]" },
		{ GET("posts", "order=published,-rating&count=exact"),
		  .cursor = "[\"true\",null,\"3\"]", .scans = true },
		{ GET("posts", "order=rating&embed=users!userId"), .cursor = "[\"2.00\",\"3\"]" },
		{ GET("categories", "order=id,-name"), .cursor = "[\"1\"]" },
	};
	(void)state;

	check("query_cursors", requests, ARRAY_SIZE(requests), false);
}

static void test_embeds(void **state)
{
	static const struct request requests[] = {
		{ GET("posts", "limit=50&embed=comments"), .embeds = "users!userId,categories" },
		{ GET("users",
		      "embed=posts!userId.comments,users!managerId,profiles,users!managerId.profiles"),
		  .primary = true },
		{ GET("posts", "embed=users!editorId,comments.users&select=meta,id"),
		  .scans = true },
		{ GET("categories", "embed=categories.categories") },
		{ GET("posts", "select=meta&embed=tags") },
		{ GET("posts", "select=id&embed=users!editorId"), .embeds = "users!userId" },
		{ GET("users", "select=id&embed=posts!userId,posts!editorId.comments.users") },
		{ GET("users", "select=id&embed=users,users!managerId") },
	};
	(void)state;

	check("query_embeds", requests, ARRAY_SIZE(requests), false);
}

/* What the database tells of itself comes first, of all streams that the tables have. */
static void test_places(void **state)
{
	static const struct request pages[] = {
		{ GET("users", "limit=5&select=name,id"), .placed = true },
		{ GET("posts", "limit=50&count=exact&embed=comments"), .embeds = "users!userId",
		  .placed = true },
		{ GET("comments", "postId=eq.1"), .primary = true, .placed = true },
	};
	static const struct request keys[] = {
		{ GET("users", "select=name"), .placed = true },
		{ GET("tags", ""), .primary = true, .placed = true },
		{ GET("posts", "embed=users!userId,comments"), .placed = true },
		{ GET("users", "embed=posts!userId"), .placed = true },
	};
	(void)state;

	check("query_placed_pages", pages, ARRAY_SIZE(pages), false);
	check("query_placed_keys", keys, ARRAY_SIZE(keys), true);
}

static void form_and_text(const struct model *m, const char *params, struct strbuf *form,
			  struct strbuf *text)
{
	struct request r = { GET("posts", params) };
	struct query q = { .model = NULL };

	ask(&q, m, &r, false);
	query_sql_form(form, &q);
	query_sql_page(text, &q, false, false);
	query_clear(&q);
}

/* A foreign key of two columns is asked for by either. What a member is called by is in the form where it is in the
 * text, and nowhere else. */
static void test_names_of_embeds(void **state)
{
	static const struct {
		const char *one, *other;
		bool same;
	} rows[] = {
		{ "embed=users!editorId", "embed=users!categoryId", true },
		{ "embed=users!userId,users!editorId", "embed=users!userId,users!categoryId",
		  false },
	};
	struct model *m = model_for_tests();
	struct model_reference *f = &m->references[1]; /* of posts, by editorId */
	(void)state;

	f->n = 2;
	f->columns[1] = (size_t)model_column_find(&m->resources[f->child], "categoryId", 10);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO_STRBUF form = STRBUF_INIT, text = STRBUF_INIT;
		AUTO_STRBUF other_form = STRBUF_INIT, other_text = STRBUF_INIT;

		form_and_text(m, rows[i].one, &form, &text);
		form_and_text(m, rows[i].other, &other_form, &other_text);
		assert_int_equal(strcmp(text.data, other_text.data) == 0, rows[i].same);
		assert_int_equal(form.len, other_form.len);
		assert_int_equal(memcmp(form.data, other_form.data, form.len) == 0, rows[i].same);
	}
	model_for_tests_free(m);
}

static void test_counts(void **state)
{
	static const struct request requests[] = {
		{ GET("posts", "count=exact&userId=eq.1") },
		{ GET("posts", "count=estimated") },
		{ GET("posts", "count=estimated&userId=eq.1&embed=comments") },
		{ GET("comments", "count=estimated"), .primary = true },
	};
	(void)state;

	check("query_counts", requests, ARRAY_SIZE(requests), false);
}

static void test_keys(void **state)
{
	static const struct request requests[] = {
		{ GET("users", "") },
		{ GET("lines", "") },
		{ GET("tags", "select=tag") },
		{ GET("posts", "embed=users!userId,comments"), .primary = true },
		{ GET("kinds", "") },
		{ GET("kinds", "select=data,more") },
	};
	(void)state;

	check("query_keys", requests, ARRAY_SIZE(requests), true);
}

/* Nothing nests deep, however many columns there are, and every column is there once. */
static void test_wide(void **state)
{
	static const struct request wide = { .resource = "wide", .params = "" };
	struct model *m = model_for_tests();
	struct query q = { .model = NULL };
	AUTO_STRBUF out = STRBUF_INIT;
	size_t depth = 0, columns = 0;
	bool quoted = false;
	(void)state;

	ask(&q, m, &wide, false);
	query_sql_row(&out, &q, "p");
	for (const char *p = out.data; *p != '\0'; p++) {
		quoted = quoted != (*p == '\'');
		columns += !quoted && strncmp(p, "p.\"", 3) == 0;
		depth += !quoted && *p == '(';
		depth -= !quoted && *p == ')';
		assert_true(depth <= 16);
	}
	assert_int_equal(depth, 0);
	assert_int_equal(columns, MODEL_WIDE);
	query_clear(&q);
	model_for_tests_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pages),  cmocka_unit_test(test_cursors),
		cmocka_unit_test(test_embeds), cmocka_unit_test(test_names_of_embeds),
		cmocka_unit_test(test_counts), cmocka_unit_test(test_keys),
		cmocka_unit_test(test_places), cmocka_unit_test(test_wide),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
