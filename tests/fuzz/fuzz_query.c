/*
 * fuzz_query.c: any bytes as the query string of a GET, and as a key, against the model of the tests.
 *
 * Beside memory errors it looks for broken promises:
 *   1. A query that is accepted keeps the bounds of query.h, and its values are UTF-8 without NUL.
 *   2. Written anew from what was understood, with other values, it is accepted again, and has the very same
 *      statements: so nothing of a request is in them but what the model has.
 *   3. A statement has as many quotes as it needs, and is made of the characters that we use outside of them.
 *   4. A key that is accepted has a value for each column, and is accepted again as it is written then.
 *   5. A fault has words, and a field, in valid UTF-8.
 *   6. Queries of one form have one statement.
 */
#include "api/resources/query_sql.h"
#include "common/base/base64.h"
#include "common/base/utf8.h"
#include "common/json/jscan.h"
#include "tests/unit/models_for_tests.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PROMISE(condition) ((condition) ? (void)0 : fatal("line %d: not %s", __LINE__, #condition))

static const struct model *model;

/* ---- a query written anew ---- */

static void add_escaped(struct strbuf *out, const char *s)
{
	for (; *s != '\0'; s++)
		strbuf_addf(out, "%%%02X", (unsigned char)*s);
}

static void add_quoted(struct strbuf *out, const char *name)
{
	AUTO_STRBUF quoted = STRBUF_INIT;

	strbuf_addch(&quoted, '"');
	for (; *name != '\0'; name++) {
		if (*name == '"' || *name == '\\')
			strbuf_addch(&quoted, '\\');
		strbuf_addch(&quoted, *name);
	}
	strbuf_addch(&quoted, '"');
	add_escaped(out, quoted.data);
}

static const char *another_value(const struct model_column *c)
{
	if (c->kind == MODEL_INTEGER)
		return "1";
	if (c->kind == MODEL_BOOLEAN)
		return "true";
	return strcmp(c->type, "uuid") == 0 ? "00000000-0000-0000-0000-000000000000" : "x";
}

static void add_filter(struct strbuf *out, const struct query *q, const struct query_filter *f)
{
	static const char *const ops[] = { "eq.",     "neq.",	    "lt.",     "lte.",
					   "gt.",     "gte.",	    "in.(",    "like.",
					   "is.null", "is.notnull", "is.true", "is.false" };
	const struct model_column *c = &q->resource->columns[f->column];

	strbuf_addstr(out, "&column.");
	add_escaped(out, c->name);
	strbuf_addf(out, "=%s", ops[f->op]);
	if (f->op == QUERY_LIKE) {
		strbuf_addstr(out, f->nvalues == 3 ? "x%25" : "%25");
		return;
	}
	for (size_t i = 0; i < f->nvalues; i++)
		strbuf_addf(out, "%s%s", i > 0 ? "," : "", another_value(c));
	strbuf_addstr(out, f->op == QUERY_IN ? ")" : "");
}

static void add_path(struct strbuf *out, const struct query *q, int i)
{
	const struct query_embed *e = &q->embeds[i];
	const struct model_reference *f = e->reference;

	if (e->of >= 0) {
		add_path(out, q, e->of);
		strbuf_addch(out, '.');
	}
	strbuf_addstr(out, query_embedded(q, (size_t)i)->name);
	if (f->child != f->parent || e->up) {
		size_t column = e->column >= 0 ? (size_t)e->column : f->columns[0];

		strbuf_addf(out, "!%s", model->resources[f->child].columns[column].name);
	}
}

static void add_cursor(struct strbuf *out, const struct query *q)
{
	AUTO_STRBUF json = STRBUF_INIT;

	for (size_t i = 0; i < q->ncursor; i++) {
		const char *value = another_value(&q->resource->columns[q->orders[i].column]);

		strbuf_addch(&json, i > 0 ? ',' : '[');
		if ((q->cursor_nulls >> i & 1) != 0)
			strbuf_addstr(&json, "null");
		else
			jscan_write_string(&json, value, strlen(value));
	}
	strbuf_addstr(&json, "]");
	strbuf_addstr(out, "&cursor=");
	base64_add(out, BASE64_URL, json.data, json.len);
}

static void write_anew(struct strbuf *out, const struct query *q, bool key)
{
	strbuf_addstr(out, "select=");
	for (size_t i = 0; i < (q->selects ? q->nselect : q->resource->ncolumns); i++) {
		strbuf_addstr(out, i > 0 ? "," : "");
		add_quoted(out, q->resource->columns[q->selects ? q->select[i] : i].name);
	}
	for (size_t i = 0; i < q->nembeds; i++) {
		strbuf_addstr(out, i > 0 ? "," : "&embed=");
		add_path(out, q, (int)i);
	}
	if (key)
		return;
	for (size_t i = 0; i < q->nfilters; i++)
		add_filter(out, q, &q->filters[i]);
	for (size_t i = 0; i < q->norders && i < QUERY_ORDERS_MAX; i++) {
		strbuf_addf(out, "%s%s", i > 0 ? "," : "&order=", q->orders[i].desc ? "-" : "");
		add_quoted(out, q->resource->columns[q->orders[i].column].name);
	}
	if (q->ncursor > 0)
		add_cursor(out, q);
	if (q->count != QUERY_NO_COUNT)
		strbuf_addf(out, "&count=%s", q->count == QUERY_EXACT ? "exact" : "estimated");
}

/* ---- promises ---- */

static bool ask(struct query *q, const struct model_resource *r, const struct query_rules *rules,
		const char *text, size_t len, bool key)
{
	struct http_param params[48];
	struct query_fault fault;
	size_t n = params_for_tests(text, len, params, ARRAY_SIZE(params));

	if (query_read(q, model, r, rules, params, n, key, &fault))
		return true;
	PROMISE(fault.err.text[0] != '\0');
	PROMISE(utf8_valid(fault.field, strlen(fault.field), NULL));
	PROMISE(utf8_valid(fault.err.text, strlen(fault.err.text), NULL));
	return false;
}

static void check_bounds(const struct query *q)
{
	PROMISE(q->limit >= 1 && q->limit <= QUERY_LIMIT_MAX);
	PROMISE(q->nfilters <= QUERY_FILTERS_MAX && q->nembeds <= QUERY_EMBEDS_MAX);
	PROMISE(q->norders >= 1 && q->norders <= QUERY_ORDERS_MAX + q->resource->nkey);
	PROMISE(q->ncursor == 0 || q->ncursor == q->norders);
	PROMISE(!q->selects || (q->nselect >= 1 && q->nselect <= q->resource->ncolumns));
	for (size_t i = 0; i < q->nembeds; i++)
		PROMISE(q->embeds[i].of < (int)i);
	for (size_t i = 0; i < q->nvalues; i++) {
		const struct query_value *v = &q->values[i];

		PROMISE(v->column < q->resource->ncolumns);
		PROMISE(v->at + v->len < q->text.len && q->text.data[v->at + v->len] == '\0');
		PROMISE(utf8_valid(q->text.data + v->at, v->len, NULL));
	}
}

static void check_statement(const struct strbuf *sql)
{
	char within = 0;

	for (size_t i = 0; i < sql->len; i++) {
		char c = sql->data[i];

		if (within != 0)
			within = c == within ? 0 : within;
		else if (c == '"' || c == '\'')
			within = c;
		else
			PROMISE(c == '\n' || c == '\t' ||
				(c >= ' ' && c <= '~' && strchr(";\\@#!%^&{}`?/-", c) == NULL));
	}
	PROMISE(within == 0);
}

static void check_same(const struct query *a, const struct query *b, bool key)
{
	for (int which = 0; which < 4; which++) {
		bool primary = which & 1, placed = which & 2;
		AUTO_STRBUF one = STRBUF_INIT, two = STRBUF_INIT;

		if (key) {
			query_sql_keys(&one, a, primary, placed);
			query_sql_keys(&two, b, primary, placed);
		} else {
			query_sql_page(&one, a, primary, placed);
			query_sql_page(&two, b, primary, placed);
		}
		PROMISE(one.len == two.len && memcmp(one.data, two.data, one.len) == 0);
		check_statement(&one);
	}
}

static void check_form(const struct query *q, bool key)
{
	static struct {
		char *form, *sql;
		size_t len;
	} seen[4096];
	AUTO_STRBUF form = STRBUF_INIT, sql = STRBUF_INIT;
	size_t at = key;

	strbuf_addch(&form, key ? 'k' : 'p');
	query_sql_form(&form, q);
	if (key)
		query_sql_keys(&sql, q, true, false);
	else
		query_sql_page(&sql, q, true, false);
	for (size_t i = 0; i < form.len; i++)
		at = at * 31 + (unsigned char)form.data[i];
	at %= ARRAY_SIZE(seen);
	if (seen[at].form && seen[at].len == form.len &&
	    memcmp(seen[at].form, form.data, form.len) == 0)
		PROMISE(strcmp(seen[at].sql, sql.data) == 0);
	free(seen[at].form);
	free(seen[at].sql);
	seen[at].len = form.len;
	seen[at].form = strbuf_detach(&form, NULL);
	seen[at].sql = strbuf_detach(&sql, NULL);
}

static void check_again(const struct query *q, const struct query_rules *rules, bool key)
{
	struct query_rules without = { .scans = rules->scans, .embeds = NULL };
	struct query again = { .model = NULL };
	AUTO_STRBUF text = STRBUF_INIT;

	/* A wide table's columns do not fit into one parameter. */
	write_anew(&text, q, key);
	if (q->resource->ncolumns > 100)
		return;
	PROMISE(ask(&again, q->resource, &without, text.data, text.len, key));
	check_bounds(&again);
	check_same(q, &again, key);
	query_clear(&again);
}

static void check_key(struct query *q, const char *path, size_t len)
{
	AUTO_STRBUF written = STRBUF_INIT;
	struct query_fault fault;
	size_t first = q->nvalues, n = q->resource->nkey;

	if (!query_read_key(q, path, len, &fault)) {
		PROMISE(fault.err.text[0] != '\0' &&
			utf8_valid(fault.err.text, strlen(fault.err.text), NULL));
		PROMISE(utf8_valid(fault.field, strlen(fault.field), NULL));
		return;
	}
	PROMISE(q->nvalues == first + n);
	for (size_t i = 0; i < n; i++) {
		strbuf_addstr(&written, i > 0 ? "," : "");
		add_escaped(&written, q->text.data + q->values[first + i].at);
	}
	PROMISE(query_read_key(q, strbuf_str(&written), written.len, &fault));
	for (size_t i = 0; i < n; i++)
		PROMISE(strcmp(q->text.data + q->values[first + i].at,
			       q->text.data + q->values[first + n + i].at) == 0);
	check_bounds(q);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const embeds[] = { NULL, "", "posts!userId", "comments" };
	struct query q = { .model = NULL };

	if (model == NULL)
		model = model_for_tests();
	if (size < 2)
		return 0;

	const struct model_resource *r = &model->resources[data[0] % model->nresources];
	struct query_rules rules = { .scans = (data[1] & 1) != 0,
				     .embeds = embeds[data[1] >> 1 & 3] };
	bool key = (data[1] & 8) != 0;
	/* A block of its own, to catch reads behind it. */
	char *text = malloc(size - 2 > 0 ? size - 2 : 1);
	memcpy(text, data + 2, size - 2);

	if (ask(&q, r, &rules, text, size - 2, key)) {
		check_bounds(&q);
		check_again(&q, &rules, key);
		check_form(&q, key);
	}
	query_clear(&q);

	PROMISE(ask(&q, r, &(struct query_rules){ .scans = true }, "", 0, true));
	check_key(&q, text, size - 2);
	query_clear(&q);
	free(text);
	return 0;
}
