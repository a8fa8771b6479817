/*
 * test_model.c: what the text of catalog.sql says, and what is none; and that a model lives as long as somebody holds
 * it. Under the address sanitizer: nothing is left behind either way. Companions: api/resources/model.c, and catalog.c
 * for the views.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/resources/catalog.h"

static const char text[] =
	"{\"resources\": ["
	"{\"name\": \"users\", \"table\": 103, \"shape\": 7, \"schema\": \"public\", \"relation\": \"User\","
	" \"filter\": \"id > 0\", \"comment\": \"people\", \"rows\": 12, \"joined\": true, \"partitioned\": true, \"news\": [{}],"
	" \"columns\": ["
	"{\"name\": \"id\", \"type\": \"integer\", \"kind\": \"integer\", \"notnull\": true, \"default\": true,"
	" \"identity\": \"always\", \"plain\": true},"
	"{\"name\": \"n\\\"a\\u00e9me\", \"type\": \"character varying(40)\", \"kind\": \"text\", \"max\": 40,"
	" \"comment\": \"\", \"plain\": true},"
	"{\"name\": \"moods\", \"type\": \"public.mood[]\", \"kind\": \"array\", \"element\": \"text\","
	" \"labels\": [\"sad\", \"\"]},"
	"{\"name\": \"sum\", \"type\": \"numeric\", \"kind\": \"number\", \"generated\": true, \"comment\": null}],"
	" \"key\": [\"id\"],"
	" \"indexes\": [{\"method\": \"btree\", \"unique\": true, \"columns\": [{\"name\": \"id\"}]},"
	"{\"method\": \"btree\", \"columns\": [{\"name\": \"sum\", \"desc\": true},"
	" {\"name\": \"n\\\"a\\u00e9me\", \"pattern\": true, \"unordered\": true, \"unequal\": true}]},"
	"{\"method\": \"hash\", \"columns\": [{\"name\": \"sum\"}]}]},"
	"{\"name\": \"posts\", \"table\": 104, \"shape\": 9, \"schema\": \"blog\", \"relation\": \"posts\","
	" \"columns\": ["
	"{\"name\": \"a\", \"type\": \"numeric\", \"kind\": \"number\", \"notnull\": true},"
	"{\"name\": \"b\", \"type\": \"uuid\", \"kind\": \"text\", \"notnull\": true, \"plain\": true,"
	" \"identity\": \"by default\"},"
	"{\"name\": \"user\", \"type\": \"integer\", \"kind\": \"integer\", \"plain\": true}],"
	" \"key\": [\"b\", \"a\"]}],"
	"\"references\": [{\"child\": \"posts\", \"columns\": [\"user\"], \"parent\": \"users\", \"keys\": [\"id\"],"
	" \"unique\": true}],"
	"\"missing\": [{\"name\": \"accounts\", \"reason\": \"there is no table accounts\"}], \"more\": 1}";

static struct model *read_good(void)
{
	struct err err;
	struct model *m = model_read(text, strlen(text), &err);

	if (m == NULL)
		fail_msg("%s", err.text);
	return m;
}

static void test_a_resource(void **state)
{
	struct model *m = read_good();
	const struct model_resource *r = model_find(m, "users?", 5);
	(void)state;

	assert_int_equal(m->nresources, 2);
	assert_ptr_equal(r, &m->resources[0]);
	assert_null(model_find(m, "user", 4));
	assert_null(model_find(m, "users?", 6));
	assert_null(model_find(m, "", 0));
	assert_int_equal(r->table, 103);
	assert_int_equal(r->shape, 7);
	assert_string_equal(r->schema, "public");
	assert_string_equal(r->relation, "User");
	assert_string_equal(r->filter, "id > 0");
	assert_string_equal(r->comment, "people");
	assert_int_equal(r->rows, 12);
	assert_true(r->joined && r->plain && r->partitioned);
	assert_int_equal(r->nkey, 1);
	assert_int_equal(r->key[0], 0);
	assert_int_equal(r->ncolumns, 4);
	assert_int_equal(r->nindexes, 3);

	r = &m->resources[1];
	assert_null(r->filter);
	assert_null(r->comment);
	assert_int_equal(r->rows, -1);
	assert_false(r->joined || r->partitioned || r->plain); /* a key of numeric */
	assert_int_equal(r->nkey, 2);
	assert_int_equal(r->key[0], 1);
	assert_int_equal(r->key[1], 0);
	assert_int_equal(r->columns[0].key, 1);
	assert_int_equal(r->columns[1].key, 0);
	assert_int_equal(r->columns[2].key, -1);
	assert_true(r->columns[1].identity && !r->columns[1].identity_always);
	assert_int_equal(r->nindexes, 0);
	model_unref(m);
}

static void test_columns(void **state)
{
	struct model *m = read_good();
	const struct model_resource *r = &m->resources[0];
	const struct model_column *c = r->columns;
	(void)state;

	assert_string_equal(c[0].name, "id");
	assert_string_equal(c[0].type, "integer");
	assert_int_equal(c[0].kind, MODEL_INTEGER);
	assert_true(c[0].not_null && c[0].has_default && c[0].identity && c[0].identity_always &&
		    c[0].plain);
	assert_false(c[0].generated);
	assert_null(c[0].comment);
	assert_int_equal(c[0].max_length, 0);
	assert_int_equal(c[0].key, 0);
	assert_string_equal(c[1].name, "n\"a\xc3\xa9me");
	assert_int_equal(model_column_find(r, c[1].name, strlen(c[1].name)), 1);
	assert_int_equal(model_column_find(r, "i", 1), -1);
	assert_int_equal(c[1].max_length, 40);
	assert_string_equal(c[1].comment, "");
	assert_false(c[1].not_null || c[1].has_default || c[1].identity);
	assert_int_equal(c[1].key, -1);
	assert_int_equal(c[2].kind, MODEL_ARRAY);
	assert_int_equal(c[2].element, MODEL_TEXT);
	assert_int_equal(c[2].nlabels, 2);
	assert_string_equal(c[2].labels[0], "sad");
	assert_string_equal(c[2].labels[1], "");
	assert_false(c[2].plain);
	assert_true(c[3].generated);
	assert_null(c[3].comment);
	model_unref(m);
}

static void test_the_rest(void **state)
{
	struct model *m = read_good();
	const struct model_index *x = m->resources[0].indexes;
	(void)state;

	assert_true(x[0].ordered && x[0].unique && x[0].ncolumns == 1);
	assert_false(x[0].columns[0].desc || x[0].columns[0].pattern || x[0].columns[0].unordered ||
		     x[0].columns[0].unequal);
	assert_true(x[1].ordered && !x[1].unique && x[1].ncolumns == 2);
	assert_int_equal(x[1].columns[0].column, 3);
	assert_true(x[1].columns[0].desc && !x[1].columns[0].pattern);
	assert_int_equal(x[1].columns[1].column, 1);
	assert_true(x[1].columns[1].pattern && x[1].columns[1].unordered &&
		    x[1].columns[1].unequal);
	assert_false(x[2].ordered);
	assert_int_equal(m->nreferences, 1);
	assert_int_equal(m->references[0].child, 1);
	assert_int_equal(m->references[0].parent, 0);
	assert_int_equal(m->references[0].n, 1);
	assert_int_equal(m->references[0].columns[0], 2);
	assert_int_equal(m->references[0].keys[0], 0);
	assert_true(m->references[0].unique);
	assert_int_equal(m->nmissing, 1);
	assert_string_equal(m->missing[0].name, "accounts");
	assert_string_equal(m->missing[0].reason, "there is no table accounts");
	model_unref(m);
}

static void test_an_empty_one(void **state)
{
	struct err err;
	struct model *m = model_read("{}", 2, &err);
	(void)state;

	assert_non_null(m);
	assert_int_equal(m->nresources + m->nreferences + m->nmissing, 0);
	model_unref(m);
	model_unref(NULL);
}

/* The good text with one thing put in the place of another, each of which it has. */
static const struct {
	const char *from, *to, *error;
} bad[] = {
	{ "\"more\": 1}", "\"more\": 1", "no JSON" },
	{ "[{\"name\": \"users\"", "[7, {\"name\": \"users\"", "resources has an element" },
	{ "\"resources\": [", "\"resources\": true, \"x\": [", "resources is a boolean" },
	{ "\"name\": \"users\"", "\"name\": 7", "name is a number, not a string" },
	{ "\"name\": \"users\"", "\"name\": \"\"", "name is missing" },
	{ "\"name\": \"users\"", "\"name\": \"posts\"", "two resources posts" },
	{ "\"table\": 103", "\"table\": 0", "resource users: table is no whole number" },
	{ "\"table\": 103", "\"table\": 103.5", "table is no whole number" },
	{ "\"table\": 103", "\"table\": 3000000000", "table is no whole number" },
	{ "\"table\": 103, ", "", "table is missing" },
	{ "\"shape\": 7", "\"shape\": \"7\"", "shape is no whole number" },
	{ "\"schema\": \"public\"", "\"schema\": null", "schema is missing" },
	{ "\"relation\": \"User\"", "\"relations\": \"User\"", "relation is missing" },
	{ "\"filter\": \"id > 0\"", "\"filter\": 1", "filter is a number" },
	{ "\"rows\": 12", "\"rows\": -2", "rows is no whole number from -1" },
	{ "\"joined\": true", "\"joined\": 1", "joined is a number, not a boolean" },
	{ "\"name\": \"sum\", \"type\"", "\"name\": \"id\", \"type\"", "two columns id" },
	{ "\"type\": \"integer\", ", "", "column id: type is missing" },
	{ "\"kind\": \"integer\"", "\"kind\": \"integers\"", "kind is no kind: \"integers\"" },
	{ "\"kind\": \"integer\"", "\"kind\": 1", "kind is no kind: 1" },
	{ "\"kind\": \"integer\", ", "", "kind is missing" },
	{ "\"kind\": \"array\"", "\"kind\": \"text\"", "an array has an element" },
	{ "\"element\": \"text\",", "", "an array has an element" },
	{ "\"element\": \"text\"", "\"element\": \"array\"", "elements that are array" },
	{ "\"element\": \"text\"", "\"element\": \"json\"", "elements that are json" },
	{ "\"element\": \"text\"", "\"element\": \"other\"", "elements that are other" },
	{ "\"labels\": [\"sad\"", "\"labels\": [1", "labels has an element that is a number" },
	{ "\"identity\": \"always\"", "\"identity\": true", "identity is neither" },
	{ "\"identity\": \"always\"", "\"identity\": \"never\"", "identity is neither" },
	{ "\"max\": 40", "\"max\": 0", "max is no whole number" },
	{ "\"notnull\": true", "\"notnull\": \"t\"", "notnull is a string" },
	{ "\"key\": [\"id\"]", "\"key\": []", "key is missing" },
	{ "\"key\": [\"id\"]", "\"key\": [\"ids\"]", "key has a column that users has not: ids" },
	{ "\"key\": [\"id\"]", "\"key\": [\"id\", \"id\"]", "the column id twice" },
	{ "\"key\": [\"id\"]", "\"key\": \"id\"", "key is a string, not an array" },
	{ "\"method\": \"hash\"", "\"method\": \"gin\"", "its method is neither" },
	{ "\"method\": \"hash\", ", "", "its method is neither" },
	{ "[{\"name\": \"sum\"}]", "[]", "it has no columns" },
	{ "[{\"name\": \"sum\"}]", "[{\"name\": \"sums\"}]", "users has no column sums" },
	{ "\"desc\": true", "\"desc\": 0", "desc is a number" },
	{ "\"child\": \"posts\"", "\"child\": \"post\"", "child is no resource: post" },
	{ "\"parent\": \"users\"", "\"parent\": {}", "parent is an object" },
	{ "\"columns\": [\"user\"]", "\"columns\": [\"id\"]",
	  "columns has a column that posts has not" },
	{ "\"columns\": [\"user\"]", "\"columns\": [\"user\", \"a\"]", "2 columns and 1 keys" },
	{ "\"keys\": [\"id\"]", "\"keys\": [null]", "keys has an element that is null" },
	{ "\"reason\": \"there is no table accounts\"", "\"why\": 1", "reason is missing" },
};

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		AUTO_STRBUF b = STRBUF_INIT;
		const char *at = strstr(text, bad[i].from);
		struct err err;

		if (at == NULL)
			fail_msg("%s: the good text has it not", bad[i].from);
		strbuf_add(&b, text, (size_t)(at - text));
		strbuf_addstr(&b, bad[i].to);
		strbuf_addstr(&b, at + strlen(bad[i].from));
		if (model_read(strbuf_str(&b), b.len, &err) != NULL)
			fail_msg("%s -> %s is read", bad[i].from, bad[i].to);
		if (strstr(err.text, bad[i].error) == NULL)
			fail_msg("%s -> %s: %s, not %s", bad[i].from, bad[i].to, err.text,
				 bad[i].error);
	}
}

/* However the text is cut, it is none. */
static void test_cut(void **state)
{
	struct err err;

	(void)state;
	for (size_t n = 0; n < strlen(text); n++)
		assert_null(model_read(text, n, &err));
	assert_null(model_read("[]", 2, &err));
}

static void test_views(void **state)
{
	struct catalog_place place;
	struct catalog_view one = { 0 }, other = { 0 };
	struct model *first = read_good(), *second = read_good();
	(void)state;

	catalog_place_init(&place);
	assert_null(catalog_view(&one, &place));
	catalog_place_put(&place, first);
	assert_ptr_equal(catalog_view(&one, &place), first);
	assert_ptr_equal(catalog_view(&other, &place), first);
	assert_int_equal(first->number, 1);
	assert_int_equal(atomic_load(&first->refs), 3);
	assert_ptr_equal(catalog_view(&one, &place), first);
	assert_int_equal(atomic_load(&first->refs), 3);

	struct model *held = model_ref(catalog_view(&other, &place));

	catalog_place_put(&place, second);
	assert_int_equal(second->number, 2);
	assert_ptr_equal(catalog_view(&one, &place), second);
	assert_ptr_equal(other.model, first);
	catalog_view_clear(&other);
	assert_int_equal(atomic_load(&held->refs), 1);
	assert_string_equal(held->resources[0].name, "users");
	model_unref(held);
	catalog_view_clear(&one);
	catalog_place_clear(&place);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_resource), cmocka_unit_test(test_columns),
		cmocka_unit_test(test_the_rest),   cmocka_unit_test(test_an_empty_one),
		cmocka_unit_test(test_bad),	   cmocka_unit_test(test_cut),
		cmocka_unit_test(test_views),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
