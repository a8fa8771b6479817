/*
 * model_follow.c and query_follow(): a query that was read against tables as they were, asked of them as they are
 * now. What is checked is the statement: the members' names of then, the columns and tables of now.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/resources/model_follow.h"
#include "api/resources/query_sql.h"

#define COLUMN(name, number, kind, type)                                     \
	"{\"name\": \"" name "\", \"number\": " number ", \"kind\": \"" kind \
	"\", \"type\": \"" type "\"}"
#define TABLE(name, table, relation, key, columns)                                        \
	"{\"name\": \"" name "\", \"table\": " table ", \"shape\": 1" table               \
	", \"schema\": \"public\","                                                       \
	" \"relation\": \"" relation "\", \"key\": [\"" key "\"], \"columns\": [" columns \
	"], \"indexes\": []}"
#define MODEL(users, posts, user)                                          \
	"{\"resources\": [" users "," posts                                \
	"], \"references\": [{\"child\": \"posts\", \"columns\": [\"" user \
	"\"], \"parent\": \"users\", \"keys\": [\"id\"]}], \"missing\": []}"
#define ID    COLUMN("id", "1", "integer", "integer")
#define POSTS TABLE("posts", "12", "Post", "id", ID "," COLUMN("user", "2", "integer", "integer"))

static const char was[] =
	MODEL(TABLE("users", "11", "User", "id",
		    ID "," COLUMN("name", "2", "text", "text") "," COLUMN(
			    "born", "3", "time", "date") "," COLUMN("gone", "4", "text", "text")),
	      POSTS, "user");
/* Renamed: the table, and name, whose old name another column has; born is a text; gone was dropped. */
static const char now[] =
	MODEL(TABLE("users", "11", "People", "id",
		    ID "," COLUMN("full", "2", "text", "character varying(40)") "," COLUMN(
			    "name", "5", "text", "text") "," COLUMN("born", "3", "text", "text")),
	      TABLE("posts", "12", "Post", "id", ID "," COLUMN("author", "2", "integer", "bigint")),
	      "author");

static struct model *model_of(const char *text, uint64_t number)
{
	struct err err;
	struct model *m = model_read(text, strlen(text), &err);

	if (m == NULL)
		fail_msg("%s", err.text);
	m->number = m->members = number;
	return m;
}

/* The statement of what a request with these parameters has asked; "" if it cannot go on. */
static void follow(struct strbuf *ret, const char *resource, const char *key, const char *value,
		   const char *before, const char *after)
{
	struct model *old = model_of(before, 1), *new = model_of(after, 2);
	struct http_param param = { key, strlen(key), value, strlen(value) };
	struct query_rules rules = { .scans = true };
	struct query_fault fault;
	struct query q = { .model = NULL };

	if (!query_read(&q, old, model_find(old, resource, strlen(resource)), &rules, &param, 1,
			false, &fault))
		fail_msg("%s", fault.err.text);
	strbuf_reset(ret);
	if (query_follow(&q, model_follow(q.model, new)))
		query_sql_page(ret, &q, false, false);
	assert_int_equal(q.model->number, 2);
	assert_int_equal(q.model->members, 1);
	query_clear(&q);
	model_unref(old);
	model_unref(new);
}

static void test_renamed(void **state)
{
	AUTO_STRBUF sql = STRBUF_INIT;
	(void)state;

	follow(&sql, "users", "select", "name,id", was, now);
	assert_non_null(strstr(sql.data, "{\"name\":'"));
	assert_non_null(strstr(sql.data, "to_json(p.\"full\")"));
	assert_non_null(strstr(sql.data, "FROM \"public\".\"People\" AS p"));
	assert_null(strstr(sql.data, "p.\"name\""));
	follow(&sql, "posts", "user", "eq.1", was, now);
	assert_non_null(strstr(sql.data, "\"user\":"));
	assert_non_null(strstr(sql.data, "coalesce(p.\"author\"::text"));
	assert_non_null(strstr(sql.data, "p.\"author\" = $1::bigint"));
}

static void test_what_is_gone(void **state)
{
	static const char *const params[][2] = {
		{ "limit", "5" },    { "select", "id,gone" }, { "select", "born" },
		{ "order", "gone" }, { "gone", "eq.x" },
	};
	AUTO_STRBUF sql = STRBUF_INIT;
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(params); i++) {
		follow(&sql, "users", params[i][0], params[i][1], was, now);
		assert_int_equal(sql.len, 0);
		follow(&sql, "users", params[i][0], params[i][1], was, was);
		assert_int_not_equal(sql.len, 0);
	}
	/* An embed shows all columns. */
	follow(&sql, "posts", "embed", "users", was, now);
	assert_int_equal(sql.len, 0);
	follow(&sql, "posts", "embed", "users", was, was);
	assert_int_not_equal(sql.len, 0);
}

static void test_another_table(void **state)
{
	static const char *const others[] = {
		MODEL(TABLE("users", "13", "User", "id", ID), POSTS,
		      "user"), /* the name is another table's */
		MODEL(TABLE("people", "11", "User", "id", ID), POSTS,
		      "user"), /* it is none any more */
		MODEL(TABLE("users", "11", "User", "code",
			    ID "," COLUMN("code", "2", "text", "text")),
		      POSTS, "user"),
	};
	AUTO_STRBUF sql = STRBUF_INIT;
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		const char *text = others[i];
		AUTO_STRBUF other = STRBUF_INIT;

		strbuf_addstr(&other, text);
		char *parent = strstr(other.data, "\"parent\": \"users\"");
		if (i == 1)
			memcpy(parent, "\"parent\": \"posts\"", strlen("\"parent\": \"posts\""));
		follow(&sql, "users", "select", "id", was, other.data);
		assert_int_equal(sql.len, 0);
	}
}

/* What is gone stays gone, and what was renamed twice is found. */
static void test_twice(void **state)
{
	struct model *first = model_of(was, 1), *second = model_of(now, 2),
		     *third = model_of(was, 3);
	struct model *by = model_follow(first, second), *again = model_follow(by, third);
	const struct model_resource *r = &again->resources[0];
	(void)state;

	assert_int_equal(again->number, 3);
	assert_int_equal(again->members, 1);
	assert_string_equal(r->relation, "User");
	assert_string_equal(r->columns[1].in_sql, "name");
	assert_false(r->columns[1].gone);
	assert_string_equal(by->resources[0].columns[1].in_sql, "full");
	assert_true(r->columns[2].gone && r->columns[3].gone);
	model_unref(first);
	model_unref(second);
	model_unref(third);
	model_unref(by);
	model_unref(again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_renamed),
		cmocka_unit_test(test_what_is_gone),
		cmocka_unit_test(test_another_table),
		cmocka_unit_test(test_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
