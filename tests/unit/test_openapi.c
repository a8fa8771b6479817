/*
 * test_openapi.c: the description of resources, of tables and columns with odd names: it is JSON, names what it should,
 * and refers to nothing that is not there. Under the address sanitizer: nothing is left behind. That real answers
 * fit it is in tests/integration/test_resource_openapi.py. Companions: api/resources/openapi*.c, model.c, listed.c,
 * query*.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "api/resources/openapi.h"
#include "api/serve/static/openapi.json.h"

static const char text[] =
	"{\"resources\": ["
	"{\"name\": \"users\", \"table\": 1, \"shape\": 1, \"schema\": \"public\", \"relation\": \"User\","
	" \"comment\": \"people, \\\"quoted\\\" \\u00e9\","
	" \"columns\": ["
	"{\"name\": \"id\", \"type\": \"integer\", \"kind\": \"integer\", \"notnull\": true, \"identity\": \"always\","
	" \"default\": true, \"plain\": true},"
	"{\"name\": \"n\\\"a/m~e {\\u00e9}\", \"type\": \"character varying(40)\", \"kind\": \"text\", \"max\": 40,"
	" \"notnull\": true, \"comment\": \"50 % \\\\ of \\ud83d\\ude00\"},"
	"{\"name\": \"limit\", \"type\": \"numeric\", \"kind\": \"number\"},"
	"{\"name\": \"column.a\", \"type\": \"public.mood\", \"kind\": \"text\", \"labels\": [\"a\\\"b\", \"\"]},"
	"{\"name\": \"sum\", \"type\": \"bigint[]\", \"kind\": \"array\", \"element\": \"integer\", \"generated\": true}],"
	" \"key\": [\"id\"], \"indexes\": ["
	"{\"method\": \"btree\", \"columns\": [{\"name\": \"n\\\"a/m~e {\\u00e9}\", \"pattern\": true,"
	" \"unordered\": true, \"unequal\": true}]},"
	"{\"method\": \"hash\", \"columns\": [{\"name\": \"column.a\"}]}]},"
	"{\"name\": \"a.b-c\", \"table\": 2, \"shape\": 2, \"schema\": \"odd \\\"schema\", \"relation\": \"t/x\","
	" \"columns\": ["
	"{\"name\": \"a/b\", \"type\": \"text\", \"kind\": \"text\", \"notnull\": true},"
	"{\"name\": \"\\u00e9\", \"type\": \"uuid\", \"kind\": \"text\", \"notnull\": true},"
	"{\"name\": \"author\", \"type\": \"integer\", \"kind\": \"integer\", \"notnull\": true},"
	"{\"name\": \"second\\\"\", \"type\": \"integer\", \"kind\": \"integer\"},"
	"{\"name\": \"doc\", \"type\": \"jsonb\", \"kind\": \"json\"}],"
	" \"key\": [\"a/b\", \"\\u00e9\"]},"
	"{\"name\": \"x\", \"table\": 3, \"shape\": 3, \"schema\": \"public\", \"relation\": \"x\","
	" \"columns\": [{\"name\": \"a b\", \"type\": \"date\", \"kind\": \"time\", \"notnull\": true}],"
	" \"key\": [\"a b\"]}],"
	"\"references\": ["
	"{\"child\": \"a.b-c\", \"columns\": [\"author\"], \"parent\": \"users\", \"keys\": [\"id\"]},"
	"{\"child\": \"a.b-c\", \"columns\": [\"second\\\"\"], \"parent\": \"users\", \"keys\": [\"id\"]}]}";

static const char setting[] = "users=User, a.b-c=t/x+users!author, x";

/* The caller frees it. */
static json_t *document(const char *resources, const struct openapi_options *options)
{
	struct err err;
	struct model *m = model_read(text, strlen(text), &err);
	struct listed listed = { 0 };
	AUTO_STRBUF out = STRBUF_INIT;
	json_error_t error;

	if (m == NULL || !listed_read(&listed, resources, NULL, 0, &err))
		fail_msg("%s", err.text);
	openapi_write(&out, static_openapi_json, m, &listed, options);
	json_t *d = json_loads(strbuf_str(&out), JSON_REJECT_DUPLICATES, &error);

	if (d == NULL)
		fail_msg("%s at line %d: %s", error.text, error.line, out.data);
	model_unref(m);
	listed_clear(&listed);
	return d;
}

static const struct openapi_options usual = { .prefix = "/api", .envelope = true };
static const struct openapi_options other = { .prefix = "", .scans = true };

/* "components/schemas/row.users": what stands there; a part may have no slash. */
static json_t *find(json_t *d, const char *path)
{
	char part[128];

	while (d != NULL && *path != '\0') {
		size_t n = strcspn(path, "|");

		assert_true(n < sizeof(part));
		memcpy(part, path, n);
		part[n] = '\0';
		d = json_object_get(d, part);
		path += n + (path[n] == '|');
	}
	return d;
}

/* Every $ref leads to something. */
static void check_refs(json_t *d, json_t *node)
{
	const char *key;
	json_t *value;
	size_t i;

	json_array_foreach(node, i, value) check_refs(d, value);
	json_object_foreach(node, key, value)
	{
		if (strcmp(key, "$ref") == 0) {
			char path[256];

			snprintf(path, sizeof(path), "%s", json_string_value(value) + 2);
			for (char *p = path; *p != '\0'; p++)
				*p = *p == '/' ? '|' : *p;
			if (find(d, path) == NULL)
				fail_msg("%s leads nowhere", json_string_value(value));
		}
		check_refs(d, value);
	}
}

static void test_names(void **state)
{
	json_t *d = document(setting, &usual);
	(void)state;

	check_refs(d, d);
	assert_non_null(find(d, "paths|/api/products|get"));
	assert_non_null(find(d, "paths|/api/users/{id}|patch"));
	assert_non_null(find(d, "paths|/api/a.b-c/{key}|put"));
	assert_non_null(find(d, "paths|/api/x/{key}|get"));
	/* Two lead there: by a column each, if its name can stand in a path. */
	assert_non_null(find(d, "paths|/api/users/{id}/a.b-c!author|get"));
	assert_null(find(d, "paths|/api/users/{id}/a.b-c"));
	assert_string_equal(json_string_value(find(d, "components|schemas|row.users|description")),
			    "people, \"quoted\" \xc3\xa9");
	json_t *name = find(d, "components|schemas|row.users|properties|n\"a/m~e {\xc3\xa9}");

	assert_string_equal(json_string_value(json_object_get(name, "description")),
			    "50 % \\ of \xf0\x9f\x98\x80");
	assert_int_equal(json_integer_value(json_object_get(name, "maxLength")), 40);
	json_decref(d);
}

static bool holds(json_t *array, const char *s)
{
	json_t *value;
	size_t i;

	json_array_foreach(array, i,
			   value) if (strcmp(json_string_value(value), s) == 0) return true;
	return false;
}

static void test_bodies(void **state)
{
	json_t *d = document(setting, &usual);
	json_t *new = find(d, "components|schemas|new.users");
	(void)state;

	assert_null(find(new, "properties|id"));
	assert_null(find(new, "properties|sum"));
	assert_int_equal(json_array_size(find(new, "required")), 1);
	assert_true(holds(find(new, "required"), "n\"a/m~e {\xc3\xa9}"));
	/* Keys that only the database makes: PUT changes. */
	assert_null(find(d, "components|schemas|replace.users"));
	assert_non_null(find(d, "paths|/api/users/{id}|put|responses|404"));
	assert_non_null(find(d, "components|schemas|change.users|properties|id"));
	assert_null(find(d, "components|schemas|change.users|required"));
	assert_true(holds(find(d, "components|schemas|new.a.b-c|required"), "a/b"));
	assert_false(holds(find(d, "components|schemas|replace.a.b-c|required"), "a/b"));
	assert_true(holds(find(d, "components|schemas|row.users|required"), "sum"));
	assert_false(holds(find(d, "components|schemas|row.a.b-c|required"), "doc"));
	json_decref(d);
}

/* Its places among the parameters; -1: it is not there. */
static int parameter(json_t *list, const char *name)
{
	json_t *value;
	size_t i;

	json_array_foreach(list, i, value)
	{
		const char *s = json_string_value(json_object_get(value, "name"));

		if (s != NULL && strcmp(s, name) == 0)
			return (int)i;
	}
	return -1;
}

static const char *words_of(json_t *list, const char *name)
{
	int i = parameter(list, name);

	if (i < 0)
		fail_msg("there is no parameter %s", name);
	return json_string_value(json_object_get(json_array_get(list, (size_t)i), "description"));
}

static void test_parameters(void **state)
{
	static const struct {
		const char *name, *operators, *served;
	} rows[] = {
		{ "id", "eq. neq. lt. lte. gt. gte. in.(\xe2\x80\xa6) is.null is.notnull",
		  "eq. lt. lte. gt. gte. in.(\xe2\x80\xa6) is.null" },
		{ "column.limit", "eq. neq. lt. lte. gt. gte. in.(\xe2\x80\xa6) is.null is.notnull",
		  "none of them" },
		{ "column.column.a",
		  "eq. neq. lt. lte. gt. gte. in.(\xe2\x80\xa6) is.null is.notnull",
		  "eq. in.(\xe2\x80\xa6)" },
		/* Of another collation. */
		{ "n\"a/m~e {\xc3\xa9}",
		  "eq. neq. lt. lte. gt. gte. in.(\xe2\x80\xa6) like. is.null is.notnull",
		  "like." },
	};
	json_t *d = document(setting, &usual), *loose = document(setting, &other);
	json_t *list = find(d, "paths|/api/users|get|parameters");
	json_t *scans = find(loose, "paths|/users|get|parameters");
	(void)state;

	assert_int_equal(parameter(list, "limit"), -1); /* in components */
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO_STRBUF all = STRBUF_INIT, served = STRBUF_INIT;
		const char *words = words_of(list, rows[i].name);

		strbuf_addf(&all, ": %s; a value", rows[i].operators);
		strbuf_addf(&served, ". An index serves %s; the others", rows[i].served);
		if (!strstr(words, all.data) || !strstr(words, served.data))
			fail_msg("%s: %s", rows[i].name, words);
		assert_null(strstr(words_of(scans, rows[i].name), "index"));
	}
	json_decref(d);
	json_decref(loose);
}

static void test_embeds(void **state)
{
	json_t *d = document(setting, &usual);
	(void)state;

	assert_null(find(d, "components|schemas|read.users"));
	json_t *read = json_array_get(find(d, "components|schemas|read.a.b-c|allOf"), 1);

	assert_true(holds(find(read, "required"), "users"));
	/* Its foreign key cannot be null, and all parents are there. */
	assert_string_equal(json_string_value(find(read, "properties|users|$ref")),
			    "#/components/schemas/row.users");
	json_decref(d);
	/* Two of one resource. */
	d = document("users, a.b-c=t/x+users!author+users!second\"", &usual);
	read = json_array_get(find(d, "components|schemas|read.a.b-c|allOf"), 1);
	assert_int_equal(json_array_size(find(read, "required")), 2);
	assert_true(holds(find(read, "required"), "users!author"));
	assert_string_equal(json_string_value(find(read, "properties|users!author|$ref")),
			    "#/components/schemas/row.users");
	assert_non_null(find(read, "properties|users!second\"|anyOf"));
	assert_null(find(read, "properties|users"));
	json_decref(d);
	/* An embed that fits no foreign key now is left out. */
	d = document("users+x+nowhere, a.b-c, x, nowhere", &usual);
	assert_null(find(d, "components|schemas|read.users"));
	check_refs(d, d);
	json_decref(d);
}

static void test_bare(void **state)
{
	json_t *d = document(setting, &other);
	const char ok[] = "content|application/json|schema|type";
	(void)state;

	check_refs(d, d);
	assert_non_null(find(d, "paths|/health|get"));
	assert_string_equal(json_string_value(find(find(d, "paths|/users|get|responses|200"), ok)),
			    "array");
	assert_non_null(find(d, "paths|/users|get|responses|200|headers|X-Next-Cursor"));
	assert_non_null(find(d, "paths|/users/{id}|delete|responses|204"));
	assert_null(find(d, "paths|/users/{id}|delete|responses|200"));
	json_decref(d);
}

/* What is static is what it was, to the order of its members. */
static void test_static(void **state)
{
	json_t *was = json_loads(static_openapi_json, 0, NULL), *now = document(setting, &usual);
	const char *const kept[] = { "openapi",
				     "info",
				     "paths|/api/products",
				     "paths|/health",
				     "components|schemas|Price",
				     "components|responses|NotFound" };
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		AUTO_FREE char *a = json_dumps(find(was, kept[i]),
					       JSON_ENCODE_ANY | JSON_REAL_PRECISION(15)),
			       *b = json_dumps(find(now, kept[i]),
					       JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));

		assert_string_equal(a, b);
	}
	assert_string_equal(json_object_iter_key(json_object_iter(now)), "openapi");
	json_decref(was);
	json_decref(now);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),	   cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_parameters), cmocka_unit_test(test_embeds),
		cmocka_unit_test(test_bare),	   cmocka_unit_test(test_static),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
