/*
 * load.c: see load.h. What is checked of an answer:
 *
 *   1. it has a position, of a length that headers are promised to have
 *   2. a row that it shows, alone, in a page or list or embedded, is right (rows.h)
 *   3. rows that are in its scope and are not shown are absent, and that is right. The scope of a page
 *      is from where it was to begin to its last row; of a list, the table; of an author, his posts
 *   4. a page or list is in order, so none is in it twice
 *   5. writes are answered with what the rows' states make of them: 201 where there was none, else 200
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/positions/load.h"

#define UUID	       "00000000-0000-4000-8000-"
#define MAX_COMPLAINTS 40

static const char *const names[TABLES] = { "products", "authors", "posts" };
static const char *const kinds[KINDS] = { "write", "row", "embed", "children", "page", "list" };

static const char *const wrongs[ROW_WRONGS] = { "right", "older", "deleted, and back", "missing",
						"never written" };

static uint64_t draw(struct client *c, uint64_t below)
{
	c->random ^= c->random << 13;
	c->random ^= c->random >> 7;
	c->random ^= c->random << 17;
	return (c->random >> 11) % below;
}

static bool chance(struct client *c, double p)
{
	return (double)draw(c, 1000000) < p * 1e6;
}

/* One line with all that there is to know. */
PRINTF_LIKE(5, 6)
static void complain(struct load *l, const struct client *c, const struct answer *a,
		     const char *what, const char *fmt, ...)
{
	const struct op *op = &c->op;
	va_list args;

	if (l->complaints++ >= MAX_COMPLAINTS)
		return;
	fprintf(stderr, "%s: client=%u kind=%s %s %s api=%u position=%s", what, c->number,
		kinds[op->kind], op->method, op->path, op->api,
		c->position[0] ? c->position : "none");
	if (a)
		fprintf(stderr, " status=%d served_by=%s answered=%s", a->status,
			a->served_by[0] ? a->served_by : "none",
			a->has_position ? a->position : "none");
	fprintf(stderr, " after_ms=%" PRId64 ": ", (mono_now().us - op->sent.us) / 1000);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
}

/* ---- writes ---------------------------------------------------------------------------------- */

/* What is locked of a row: the product or the author. */
static unsigned char *lock_of(struct load *l, enum table table, unsigned row)
{
	return table == PRODUCTS ? &l->locked[PRODUCTS][row]
				 : &l->locked[AUTHORS][table == POSTS ? row / l->posts : row];
}

/* An own row nine times of ten. */
static unsigned some_row(struct load *l, struct client *c, enum table table)
{
	if (chance(c, 0.1))
		return (unsigned)draw(c, l->rows_n[table]);
	return c->number * l->own[table] + (unsigned)draw(c, l->own[table]);
}

/* /api/products/00000000-…, /api/posts/17 */
static void add_path(struct op *op, enum table table, unsigned row)
{
	if (table == PRODUCTS)
		snprintf(op->path, sizeof(op->path), "/api/products/" UUID "%012x", row);
	else
		snprintf(op->path, sizeof(op->path), "/api/%s/%u", names[table], row);
}

PRINTF_LIKE(2, 3)
static void extend_path(struct op *op, const char *fmt, ...)
{
	size_t len = strlen(op->path);
	va_list args;

	va_start(args, fmt);
	vsnprintf(op->path + len, sizeof(op->path) - len, fmt, args);
	va_end(args);
}

/* The write makes this state of the row. Its begin; its end, when the client has the answer. */
static void write_row(struct load *l, enum table table, unsigned row, uint32_t state,
		      struct client *answered)
{
	struct row *r = &l->rows[table][row];

	row_begin(r, state);
	if (answered) {
		r->now = state;
		answered->seen[table][row] = state;
	}
}

/* All that the write makes: with an author go his posts. */
static void write_rows(struct load *l, const struct op *op, struct client *answered)
{
	unsigned first = op->row * l->posts;

	if (op->table == AUTHORS && strcmp(op->method, "DELETE") == 0)
		for (unsigned post = first; post < first + l->posts; post++) {
			const struct row *r = &l->rows[POSTS][post];

			if (row_is_there(r))
				write_row(l, POSTS, post, row_deleted(r), answered);
		}
	write_row(l, op->table, op->row, op->state, answered);
}

static const char *method_of(struct client *c, const struct row *r, double deletes)
{
	if (!row_is_there(r))
		return chance(c, 0.5) ? "PUT" : "POST";
	if (chance(c, deletes) || row_changed(r) == row_deleted(r))
		return "DELETE";
	return chance(c, 0.6) ? "PATCH" : "PUT";
}

/* False: what was drawn is being written by others, or never is again. */
static bool choose_write(struct load *l, struct client *c, struct op *op)
{
	static const double deletes[TABLES] = { 0.2, 0.05, 0.2 };
	static const enum table drawn[] = { PRODUCTS, PRODUCTS, AUTHORS, POSTS, POSTS };
	const struct row *r;

	op->kind = WRITE;
	op->table = drawn[draw(c, ARRAY_SIZE(drawn))];
	op->row = some_row(l, c, op->table);
	if (*lock_of(l, op->table, op->row))
		return false;
	if (op->table == POSTS && !row_is_there(&l->rows[AUTHORS][op->row / l->posts])) {
		op->table = AUTHORS; /* he comes first */
		op->row /= l->posts;
	}
	r = &l->rows[op->table][op->row];
	op->method = method_of(c, r, deletes[op->table]);
	op->state = strcmp(op->method, "DELETE") == 0 ? row_deleted(r)
		    : row_is_there(r)		      ? row_changed(r)
						      : row_created(r);
	if (strcmp(op->method, "DELETE") != 0 && chance(c, 0.15)) {
		op->method = "POST";
		op->imports = true;
	}
	*lock_of(l, op->table, op->row) = 1;
	write_rows(l, op, NULL);
	add_path(op, op->table, op->row);
	if (strcmp(op->method, "POST") == 0)
		snprintf(op->path, sizeof(op->path), "/api/%s%s", names[op->table],
			 op->imports ? "/import" : "");
	return true;
}

/* The key is in it where the path has none, and nothing but the state where the method is PATCH. */
static void add_body(const struct load *l, const struct op *op, struct strbuf *out)
{
	bool keyed = strcmp(op->method, "POST") == 0, whole = strcmp(op->method, "PATCH") != 0;

	strbuf_addch(out, '{');
	if (keyed && op->table == PRODUCTS)
		strbuf_addf(out, "\"id\":\"" UUID "%012x\",", op->row);
	else if (keyed)
		strbuf_addf(out, "\"id\":%u,", op->row);
	if (whole && op->table == PRODUCTS)
		strbuf_addstr(out, "\"name\":\"a product\",\"price\":1.25,");
	else if (whole)
		strbuf_addstr(out, "\"name\":\"a row\",");
	if (whole && op->table == POSTS)
		strbuf_addf(out, "\"author_id\":%u,", op->row / l->posts);
	strbuf_addf(out, "\"%s\":%u}", op->table == PRODUCTS ? "stock" : "n", op->state);
}

/* ---- reads ----------------------------------------------------------------------------------- */

static enum kind choose_kind(struct client *c, bool measured)
{
	static const unsigned weights[2][KINDS] = {
		{ [ROW] = 50, [EMBED] = 14, [CHILDREN] = 8, [PAGE] = 27, [LIST] = 1 },
		{ [ROW] = 50, [PAGE] = 45, [LIST] = 5 }, /* single rows make half of it */
	};
	unsigned n = (unsigned)draw(c, 100), kind = WRITE;

	while (n >= weights[measured][kind])
		n -= weights[measured][kind++];
	return kind;
}

/* A page with the client's own rows, or one of a walk through the table. */
static void choose_page(const struct load *l, struct client *c, struct op *op)
{
	static const unsigned limits[] = { 20, 50, 100 };
	unsigned own = l->own[op->table], first = c->number * own;

	op->from = c->own[op->table].from;
	op->limit = first + own - op->from;
	op->walks = op->row / own != c->number || (!op->measured && chance(c, 0.3));
	if (!op->walks && op->table != PRODUCTS) { /* resources have filters */
		op->from = first;
		op->limit = own;
		extend_path(op, "&id=gte.%u&limit=%u", first, own);
	} else if (!op->walks && op->limit <= 100) {
		extend_path(op, "&limit=%u", op->limit);
		if (op->from)
			extend_path(op, "&cursor=%s", c->own[op->table].cursor);
	} else {
		op->walks = true; /* also where the beginning of the own rows is yet to be found */
		op->from = c->walk[op->table].from;
		extend_path(op, "&limit=%u", limits[draw(c, ARRAY_SIZE(limits))]);
		if (op->from)
			extend_path(op, "&cursor=%s", c->walk[op->table].cursor);
	}
}

/* After a write its row, or what it is in. */
static void choose_read(struct load *l, struct client *c, struct op *op)
{
	static const char *const embeds[TABLES] = { "", "posts", "authors" };
	bool wrote = c->after.method != NULL;

	op->method = "GET";
	op->measured = wrote && l->pace == MEASURING;
	op->table = wrote ? c->after.table : (enum table)draw(c, TABLES);
	op->row = wrote ? c->after.row : some_row(l, c, op->table);
	op->kind = choose_kind(c, op->measured);
	if (op->table == PRODUCTS && (op->kind == EMBED || op->kind == CHILDREN))
		op->kind = ROW;
	if (op->table == POSTS && op->kind == CHILDREN) {
		op->table = AUTHORS;
		op->row /= l->posts;
	}
	c->after.method = NULL;
	if (op->kind == ROW || op->kind == EMBED || op->kind == CHILDREN) {
		add_path(op, op->table, op->row);
		op->embeds = op->kind == EMBED;
		extend_path(op, "%s", op->kind == CHILDREN ? "/posts" : "");
	} else {
		snprintf(op->path, sizeof(op->path), "/api/%s", names[op->table]);
		op->embeds = op->table != PRODUCTS && chance(c, 0.4);
		if (op->kind == PAGE)
			choose_page(l, c, op);
	}
	if (op->embeds)
		extend_path(op, "&embed=%s", embeds[op->table]);
	if (strchr(op->path, '&'))
		*strchr(op->path, '&') = '?';
}

static void add_request(const struct load *l, const struct client *c, struct strbuf *out)
{
	const struct op *op = &c->op;
	AUTO_STRBUF body = STRBUF_INIT;

	strbuf_reset(out);
	strbuf_addf(out, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\n", op->method, op->path);
	/* The promise is about reads. Half of the clients send it with everything, as a library would. */
	if (!l->forget && c->position[0] && (op->kind != WRITE || c->number % 2))
		strbuf_addf(out, "X-Position: %s\r\n", c->position);
	if (op->kind == WRITE && strcmp(op->method, "DELETE") != 0) {
		add_body(l, op, &body);
		strbuf_addf(out, "Content-Type: application/%s\r\nContent-Length: %zu\r\n",
			    op->imports ? "x-ndjson" : "json", body.len);
	}
	strbuf_addf(out, "\r\n%s", strbuf_str(&body));
}

bool load_next(struct load *l, struct client *c, struct strbuf *ret_request)
{
	bool writes = l->pace == MEASURING ? c->after.method == NULL : chance(c, l->writes);
	unsigned api = (c->op.api + 1) % l->apis_n; /* in turn */

	/* What is being restarted gets reads alone: a write without an answer costs a row. */
	writes = writes && !l->down[api];
	if (l->pace == MEASURING && !writes && c->after.method == NULL)
		return false;
	c->op = (struct op){ .api = api, .sent = mono_now() };
	if (!writes)
		choose_read(l, c, &c->op);
	else if (!choose_write(l, c, &c->op))
		return false;
	add_request(l, c, ret_request);
	return true;
}

/* ---- answers --------------------------------------------------------------------------------- */

/* What is being looked at; counted once, whatever is wrong with it. */
struct look {
	struct load *load;
	struct client *client;
	const struct answer *answer;
	bool stale, failed;
};

/* The answer shows that row in that state, 0: does not show it. */
static void look_at(struct look *k, enum table table, unsigned row, uint32_t shown)
{
	const struct row *r = &k->load->rows[table][row];
	uint32_t *seen = &k->client->seen[table][row];
	enum row_wrong wrong = row_wrong(r, *seen, shown);

	if (wrong == ROW_RIGHT) {
		*seen = row_seen(*seen, shown);
		return;
	}
	if (!k->stale)
		complain(
			k->load, k->client, k->answer, "STALE",
			"%s/%u is %s: expected %u or newer, got %u (acknowledged %u, begun %u, deleted %u)",
			names[table], row, wrongs[wrong], *seen, shown, r->now, r->begun, r->gone);
	k->load->wrong_n[wrong]++;
	k->stale = true;
}

static void look_failed(struct look *k, const char *why)
{
	if (!k->failed)
		complain(k->load, k->client, k->answer, "FAILED", "%s: %.*s", why,
			 (int)min_size(k->answer->len, 300), k->answer->body);
	k->failed = true;
}

/* A row's number and state. False: it is none of ours. */
static bool row_of(struct look *k, enum table table, const json_t *item, unsigned *ret_row,
		   uint32_t *ret_state)
{
	json_t *key = json_object_get(item, "id");
	const char *text = json_string_value(key);
	json_int_t id = json_integer_value(key);

	if (table == PRODUCTS && text && strncmp(text, UUID, strlen(UUID)) == 0)
		id = strtol(text + strlen(UUID), NULL, 16);
	if (key == NULL || id < 0 || id >= k->load->rows_n[table]) {
		look_failed(k, "an unknown row");
		return false;
	}
	*ret_row = (unsigned)id;
	*ret_state = (uint32_t)json_integer_value(
		json_object_get(item, table == PRODUCTS ? "stock" : "n"));
	return true;
}

static void look_at_absent(struct look *k, enum table table, unsigned from, unsigned to)
{
	for (unsigned row = from; row < to; row++)
		look_at(k, table, row, 0);
}

static void look_at_embedded(struct look *k, enum table table, unsigned row, const json_t *item);

/* Rows in their order. complete: to the end of those before `to`, else up to the last one that is shown.
 * Returns the number behind the last row of the scope. */
static unsigned look_at_rows(struct look *k, enum table table, const json_t *rows, unsigned from,
			     unsigned to, bool complete, bool embeds)
{
	unsigned next = from, row;
	uint32_t state;

	if (!json_is_array(rows))
		look_failed(k, "not an array");
	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *item = json_array_get(rows, i);

		if (!row_of(k, table, item, &row, &state))
			return next;
		if (row < next || row >= to) {
			look_failed(k, "not in order, or out of its scope");
			return next;
		}
		look_at_absent(k, table, next, row);
		look_at(k, table, row, state);
		if (embeds)
			look_at_embedded(k, table, row, item);
		next = row + 1;
	}
	if (complete)
		look_at_absent(k, table, next, to);
	return complete ? to : next;
}

static void look_at_embedded(struct look *k, enum table table, unsigned row, const json_t *item)
{
	unsigned posts = k->load->posts, author = row / posts, found;
	uint32_t state;

	if (table == AUTHORS) {
		look_at_rows(k, POSTS, json_object_get(item, "posts"), row * posts,
			     (row + 1) * posts, true, false);
	} else if (row_of(k, AUTHORS, json_object_get(item, "authors"), &found, &state)) {
		if (found != author)
			look_failed(k, "another author");
		look_at(k, AUTHORS, author, state);
	}
}

/* Where the client's next page of the table begins, and whether that is nearer to its own rows. */
static void note_cursor(struct look *k, const char *cursor, unsigned next)
{
	struct client *c = k->client;
	enum table table = c->op.table;
	unsigned own = c->number * k->load->own[table];

	if (c->op.walks) {
		c->walk[table].from = cursor ? next : 0;
		snprintf(c->walk[table].cursor, sizeof(c->walk[table].cursor), "%s",
			 cursor ? cursor : "");
		if (cursor && next > c->own[table].from && next <= own)
			memcpy(&c->own[table], &c->walk[table], sizeof(c->own[table]));
	}
}

static void look_at_read(struct look *k, const json_t *body)
{
	const struct op *op = &k->client->op;
	const json_t *data = json_object_get(body, "data");
	const char *cursor = json_string_value(json_object_get(body, "next"));
	unsigned first = op->row * k->load->posts, row, next;
	uint32_t state;

	if (k->answer->status == 404 && op->kind != PAGE && op->kind != LIST) {
		look_at(k, op->table, op->row, 0);
	} else if (k->answer->status != 200) {
		look_failed(k, "a read failed");
	} else if (op->kind == CHILDREN) {
		look_at_rows(k, POSTS, data, first, first + k->load->posts, true, false);
	} else if (op->kind == PAGE || op->kind == LIST) {
		next = look_at_rows(k, op->table, data, op->from, k->load->rows_n[op->table],
				    op->kind == LIST || cursor == NULL, op->embeds);
		note_cursor(k, cursor, next);
	} else if (row_of(k, op->table, data, &row, &state)) {
		if (row != op->row)
			look_failed(k, "another row");
		look_at(k, op->table, op->row, state);
		if (op->embeds)
			look_at_embedded(k, op->table, op->row, data);
	}
}

/* Checks what the primary made of it, too: a write that is lost shows here or at the next read. */
static void look_at_write(struct look *k, const json_t *body)
{
	const struct op *op = &k->client->op;
	bool creates = op->state % ROW_LIFE == 0;
	const json_t *data = json_object_get(body, "data");

	if (k->answer->status != (creates && !op->imports ? 201 : 200))
		look_failed(k, "not what the write should make");
	else if (op->imports &&
		 json_integer_value(json_object_get(data, creates ? "created" : "replaced")) != 1)
		look_failed(k, "not what the import should make");
}

static void count_server(struct load *l, const char *name)
{
	unsigned i = 0;

	while (i < MAX_SERVERS - 1 && l->servers[i].reads && strcmp(l->servers[i].name, name) != 0)
		i++;
	snprintf(l->servers[i].name, sizeof(l->servers[i].name), "%s", name);
	l->servers[i].reads++;
}

static void check_position(struct look *k)
{
	const char *position = k->answer->position;
	size_t len = strlen(position);

	if (k->answer->has_position && len > 0 && len <= POSITION_LENGTH) {
		memcpy(k->client->position, position, len + 1);
		return;
	}
	look_failed(k, k->answer->has_position ? "an empty X-Position, or one longer than 64 bytes"
					       : "an answer has no X-Position");
	k->load->without_position++;
}

/* The write is over: its rows are free, or nobody will ever know what they are. */
static void end_write(struct load *l, struct client *c, bool acknowledged)
{
	struct op *op = &c->op;

	if (acknowledged) {
		write_rows(l, op, c);
		*lock_of(l, op->table, op->row) = 0;
		c->after = *op;
		l->writes_n++;
	} else {
		l->retired++;
	}
}

void load_answered(struct load *l, struct client *c, const struct answer *a)
{
	struct look k = { .load = l, .client = c, .answer = a };
	const struct op *op = &c->op;
	json_t *body = json_loadb(a->body, a->len, 0, NULL);

	if (a->status >= 500) {
		json_decref(body);
		load_unanswered(l, c, "no database answered");
		return;
	}
	if (body == NULL) {
		look_failed(&k, "not JSON");
	} else if (op->kind == WRITE) {
		look_at_write(&k, body);
		end_write(l, c, !k.failed);
	} else {
		look_at_read(&k, body);
		count_server(l, a->served_by);
		l->reads_n[op->kind]++;
		if (op->measured) {
			l->measured[op->kind].all++;
			l->measured[op->kind].replicas += strcmp(a->served_by, "primary") != 0;
		}
	}
	if (!l->forget)
		check_position(&k);
	l->stale_n[op->kind] += k.stale;
	l->failed += k.failed;
	json_decref(body);
}

void load_unanswered(struct load *l, struct client *c, const char *why)
{
	const struct op *op = &c->op;

	if (op->kind == WRITE)
		end_write(l, c, false);
	if (l->down[op->api] || op->sent.us <= l->up[op->api].us) {
		l->interrupted++;
	} else {
		l->failed++;
		complain(l, c, NULL, "FAILED", "%s", why);
	}
}
