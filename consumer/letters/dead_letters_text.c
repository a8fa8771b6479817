/*
 * dead_letters_text.c: see dead_letters_text.h.
 */
#include "consumer/letters/dead_letters_text.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/utf8.h"
#include "common/json/jscan.h"
#include "common/base/base64.h"
#include "common/base/clip.h"
#include "consumer/apply/message.h"

static const char *find_text(const struct amqp_delivery *d, const char *key)
{
	return amqp_header_text(d->headers, d->nheaders, key);
}

/* ---- reading ---- */

/* x-died-at as we write it; 0 if it is anything else. */
static int64_t read_died_at(const char *text)
{
	int64_t pg_us;

	return clock_parse_pg(text, strlen(text), &pg_us) ? clock_pg_to_wall(pg_us) : 0;
}

/*
 * Where a letter came from, the first of these that names a queue of this replica:
 *   1. x-queue, which the consumer writes when it parks a change
 *   2. x-first-death-queue, which the broker writes when it does so by itself
 *   3. the message's type
 */
static void read_origin(struct dead_letter *l, const struct amqp_delivery *d)
{
	static const struct {
		enum change_kind kind;
		const char *type;
	} kinds[] = { { CHANGE_SYNC, "sync" },
		      { CHANGE_DELETE, "delete" },
		      { CHANGE_DELETE, CHANGE_TRUNCATE_KIND } };
	const char *named[] = { find_text(d, "x-queue"), find_text(d, "x-first-death-queue") };
	char queue[TOPOLOGY_NAME_MAX];

	for (size_t n = 0; n <= ARRAY_SIZE(named); n++) {
		/* x-queue that says otherwise is not overruled by a guess. */
		if (n == ARRAY_SIZE(named) && (*named[0] != '\0' || *named[1] != '\0'))
			return;
		for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
			topology_queue(queue, l->stream, kinds[i].kind, l->replica);
			if (n < ARRAY_SIZE(named)
				    ? strcmp(named[n], queue) != 0
				    : !topology_is_type(l->stream, d->type, kinds[i].type))
				continue;
			memcpy(l->queue, queue, sizeof(queue));
			l->kind = change_kind_name(kinds[i].kind);
			return;
		}
	}
}

/* What of a row of a letter is asked for; true: no more of them. */
typedef bool (*each_row)(void *arg, const struct table *t, const char *key, int64_t version);

/* The rows of a letter, as far as they can be read. */
struct rows {
	const struct tables *tables;
	const struct table *probably;
	const char *base; /* the body */
	bool truncate;
	struct change_arena arena;
	struct strbuf key;
	each_row each;
	void *arg;
};

static bool take_row(struct rows *rows, const struct jscan_value *object)
{
	const struct table *t;
	struct change c;
	struct err ignored;

	t = message_table(rows->tables, object, rows->probably, &ignored);
	strbuf_reset(&rows->key);
	if (t == NULL)
		return false;
	if (rows->truncate && !t->flat) {
		if (!change_read_truncate(t, object, &rows->arena, &c, &ignored))
			return false;
	} else {
		if (!change_identify(t, object, rows->base, &rows->arena, &c))
			return false;
		change_key_text(&c, rows->base, &rows->arena, &rows->key);
	}
	return rows->each(rows->arg, t, strbuf_str(&rows->key), c.version);
}

static bool find_row(const struct amqp_delivery *d, const struct tables *tables, each_row each,
		     void *arg)
{
	const struct amqp_header *shape = amqp_find_header(d->headers, d->nheaders,
							   CHANGE_SHAPE_HEADER);
	struct rows rows = { .tables = tables, .base = d->body, .each = each, .arg = arg };
	struct jscan_value document, element;
	struct jscan_iter it;
	struct err err;
	bool found = false;

	if (!jscan_document(d->body, d->len, &document, &err))
		return false;
	rows.truncate = topology_is_type(tables->stream, d->type, CHANGE_TRUNCATE_KIND);
	if (shape != NULL && shape->str == NULL)
		rows.probably = tables_shape(tables, shape->num);
	if (document.type == JSCAN_OBJECT)
		found = take_row(&rows, &document);
	if (document.type == JSCAN_ARRAY)
		for (jscan_iter_init(&it, &document);
		     !found && jscan_iter_next(&it, NULL, &element);)
			found = take_row(&rows, &element);
	change_arena_clear(&rows.arena);
	strbuf_clear(&rows.key);
	return found;
}

static bool note_row(void *arg, const struct table *t, const char *key, int64_t version)
{
	struct dead_letter *l = arg;
	AUTO_STRBUF row = STRBUF_INIT;

	if (l->rows++ > 0)
		return false;
	table_name_row(&row, t, key);
	clip_text(l->row, sizeof(l->row), strbuf_str(&row));
	clip_text(l->table, sizeof(l->table), t->full);
	clip_text(l->key, sizeof(l->key), key);
	l->flat = t->flat;
	l->version = version;
	return false;
}

void dead_letter_read(struct dead_letter *l, const char *replica, const struct tables *tables,
		      const struct amqp_delivery *d)
{
	const struct amqp_header *attempt = amqp_find_header(d->headers, d->nheaders, "x-attempt");

	*l = (struct dead_letter){ .replica = replica, .stream = tables->stream, .kind = "" };
	clip_text(l->message_id, sizeof(l->message_id), d->message_id);
	clip_text(l->error, sizeof(l->error), find_text(d, "x-error"));
	l->attempts = attempt != NULL && attempt->str == NULL ? attempt->num : 0;
	l->died_us = read_died_at(find_text(d, "x-died-at"));
	read_origin(l, d);
	(void)find_row(d, tables, note_row, l);
}

/* A UUID may be written in capitals. */
static bool is_row(void *arg, const struct table *t, const char *key, int64_t version)
{
	const struct dead_id *wanted = arg;
	bool uuid = t->nkey == 1 && t->columns[t->key[0]].form == TABLE_UUID;
	AUTO_STRBUF row = STRBUF_INIT;

	(void)version;
	table_name_row(&row, t, key);
	return uuid ? strcasecmp(strbuf_str(&row), wanted->text) == 0
		    : strcmp(strbuf_str(&row), wanted->text) == 0;
}

bool dead_letter_has(const struct amqp_delivery *d, const struct tables *tables,
		     const struct dead_id *id)
{
	struct dead_id copy = *id;

	return strcmp(d->message_id, id->text) == 0 || find_row(d, tables, is_row, &copy);
}

/* ---- writing ---- */

void dead_text_age(int64_t us, char *buf, size_t size)
{
	static const struct {
		int64_t seconds;
		const char *unit;
	} units[] = { { 86400, "d" }, { 3600, "h" }, { 60, "m" }, { 1, "s" } };
	size_t i = 0;

	if (us < 0) {
		snprintf(buf, size, "-");
		return;
	}
	/* From twice a unit on: 90 s says more than 1 m. */
	while (i + 1 < ARRAY_SIZE(units) && us / 1000000 < 2 * units[i].seconds)
		i++;
	snprintf(buf, size, "%lld%s", (long long)(us / 1000000 / units[i].seconds), units[i].unit);
}

struct words {
	char row[sizeof(((struct dead_letter *)NULL)->row) + 24];
	char version[24], age[24], died_at[CLOCK_TIMESTAMP_MAX];
};

static void say(const struct dead_letter *l, int64_t now_us, struct words *w)
{
	*w = (struct words){ .row = "-", .version = "-", .died_at = "-" };
	if (l->rows > 0) {
		int len = snprintf(w->row, sizeof(l->row), "%s", l->row);
		if (l->rows > 1)
			snprintf(w->row + len, 24, "+%zu", l->rows - 1);
		snprintf(w->version, sizeof(w->version), "%lld", (long long)l->version);
	}
	if (l->died_us != 0)
		clock_format_wall(l->died_us, w->died_at);
	int64_t age_us = now_us > l->died_us ? now_us - l->died_us : 0;
	dead_text_age(l->died_us != 0 ? age_us : -1, w->age, sizeof(w->age));
}

static const char *or_dash(const char *s)
{
	return *s != '\0' ? s : "-";
}

#define LINE "%-12s  %-24s  %-36s  %-6s  %10s  %8s  %5s  %-27s  %s\n"

void dead_text_head(struct strbuf *out)
{
	strbuf_addf(out, LINE, "REPLICA", "MESSAGE", "ROW", "KIND", "VERSION", "ATTEMPTS", "AGE",
		    "DIED AT", "ERROR");
}

void dead_text_line(struct strbuf *out, const struct dead_letter *l, int64_t now_us)
{
	struct words w;
	char attempts[24];

	say(l, now_us, &w);
	snprintf(attempts, sizeof(attempts), "%lld", (long long)l->attempts);
	strbuf_addf(out, LINE, l->replica, or_dash(l->message_id), w.row, or_dash(l->kind),
		    w.version, attempts, w.age, w.died_at, or_dash(l->error));
}

void dead_text_short(struct strbuf *out, const struct dead_letter *l)
{
	struct words w;

	say(l, 0, &w);
	strbuf_addf(out, "%s %s", l->replica, or_dash(l->message_id));
	if (l->rows > 0)
		strbuf_addf(out, " (%s of %s%s, version %s)", or_dash(l->kind),
			    l->flat ? "product " : "", w.row, w.version);
}

/* Text for a terminal, of any length: what is neither printable nor UTF-8 as \xNN; line ends and
 * tabs stay. */
static void add_shown(struct strbuf *out, const char *s, size_t len)
{
	for (size_t i = 0; i < len;) {
		unsigned char c = (unsigned char)s[i];
		size_t take = utf8_step(s + i, s + len);
		bool good = take > 0 && (!utf8_steers(s + i, take) || c == '\n' || c == '\t');

		if (good) {
			strbuf_add(out, s + i, take);
			i += take;
		} else {
			strbuf_addf(out, "\\x%02x", c);
			i++;
		}
	}
}

static void add_field(struct strbuf *out, const char *name, const char *value)
{
	strbuf_addf(out, "%-14s ", name);
	if (*value == '\0')
		strbuf_addch(out, '-');
	for (const char *line = value; *line != '\0';) { /* one line */
		size_t len = strcspn(line, "\n");
		add_shown(out, line, len);
		line += len;
		if (*line == '\n') {
			strbuf_addch(out, ' ');
			line++;
		}
	}
	strbuf_addch(out, '\n');
}

static void add_seconds(struct strbuf *out, const char *name, int64_t unix_s)
{
	char text[CLOCK_TIMESTAMP_MAX] = "";

	if (unix_s > 0 && unix_s < INT64_C(253402300800)) /* the year 10000 */
		clock_format_wall(unix_s * 1000000, text);
	add_field(out, name, text);
}

void dead_text_full(struct strbuf *out, const struct dead_letter *l, const struct amqp_delivery *d,
		    int64_t now_us)
{
	static const char *const told[] = { "x-attempt", "x-error", "x-queue", "x-died-at" };
	struct words w;
	char died[CLOCK_TIMESTAMP_MAX + 32], attempts[24];

	say(l, now_us, &w);
	snprintf(died, sizeof(died), "%s (%s ago)", w.died_at, w.age);
	snprintf(attempts, sizeof(attempts), "%lld", (long long)l->attempts);
	add_field(out, "replica", l->replica);
	add_field(out, "message", l->message_id);
	add_field(out, l->flat ? "product" : "row", w.row);
	add_field(out, "kind", l->kind);
	add_field(out, "version", w.version);
	add_field(out, "attempts", attempts);
	add_field(out, "died at", l->died_us != 0 ? died : "");
	add_field(out, "error", find_text(d, "x-error"));
	add_field(out, "queue", l->queue);
	add_seconds(out, "published", d->timestamp_s);
	add_field(out, "type", d->type);
	add_field(out, "content type", d->content_type);
	for (size_t i = 0; i < d->nheaders; i++) {
		const struct amqp_header *h = &d->headers[i];
		bool is_told = false;
		char number[24];

		for (size_t k = 0; k < ARRAY_SIZE(told); k++)
			is_told = is_told || strcmp(h->key, told[k]) == 0;
		if (is_told)
			continue;
		snprintf(number, sizeof(number), "%lld", (long long)h->num);
		strbuf_addstr(out, "header         ");
		add_shown(out, h->key, strlen(h->key));
		strbuf_addstr(out, ": ");
		add_shown(out, h->str != NULL ? h->str : number,
			  strlen(h->str != NULL ? h->str : number));
		strbuf_addch(out, '\n');
	}
	strbuf_addf(out, "body           %zu bytes\n", d->len);
	add_shown(out, d->body, d->len);
	strbuf_addstr(out, d->len > 0 && d->body[d->len - 1] == '\n' ? "\n" : "\n\n");
}

/* ---- JSON ---- */

/* A JSON string, that may well be printed on a terminal: what steers one is escaped too. */
static void add_json_string(struct strbuf *out, const char *s, size_t len)
{
	AUTO_STRBUF plain = STRBUF_INIT;

	jscan_write_string(&plain, s, len);
	const char *p = strbuf_str(&plain), *end = p + plain.len;
	strbuf_reserve(out, (size_t)(end - p));
	for (size_t n; p < end; p += n) {
		n = utf8_step(p, end);
		if (n == 1 && *p != 0x7f) {
			strbuf_addch(out, *p);
		} else if (n > 0 && !utf8_steers(p, n)) {
			strbuf_add(out, p, n);
		} else {
			strbuf_addf(out, "\\u%04x", (unsigned)utf8_code(p, n));
		}
	}
}

/* JSON holds UTF-8 only: text that is none is clipped into some. */
static void add_json_text(struct strbuf *out, const char *s)
{
	size_t len = strlen(s);

	if (utf8_valid(s, len, NULL)) {
		add_json_string(out, s, len);
		return;
	}
	AUTO_FREE char *clipped = xmalloc(len + 1);
	clip_text(clipped, len + 1, s);
	add_json_string(out, clipped, strlen(clipped));
}

static void add_member(struct strbuf *out, const char *key, const char *value)
{
	strbuf_addf(out, ",\"%s\":", key);
	if (*value == '\0')
		strbuf_addstr(out, "null");
	else
		add_json_text(out, value);
}

static void add_json_body(struct strbuf *out, const struct amqp_delivery *d)
{
	if (d->len == 0 || utf8_valid(d->body, d->len, NULL)) {
		strbuf_addstr(out, ",\"body\":");
		add_json_string(out, d->body, d->len);
		return;
	}
	strbuf_addstr(out, ",\"bodyBase64\":\"");
	base64_add(out, BASE64_STANDARD, d->body, d->len);
	strbuf_addch(out, '"');
}

static void add_json_rest(struct strbuf *out, const struct dead_letter *l,
			  const struct amqp_delivery *d)
{
	add_member(out, "queue", l->queue);
	add_member(out, "type", d->type);
	add_member(out, "contentType", d->content_type);
	strbuf_addstr(out, ",\"publishedAt\":");
	char text[CLOCK_TIMESTAMP_MAX];
	if (d->timestamp_s > 0 && d->timestamp_s < INT64_C(253402300800)) {
		clock_format_wall(d->timestamp_s * 1000000, text);
		strbuf_addf(out, "\"%s\"", text);
	} else {
		strbuf_addstr(out, "null");
	}
	strbuf_addstr(out, ",\"headers\":{");
	for (size_t i = 0; i < d->nheaders; i++) {
		const struct amqp_header *h = &d->headers[i];
		if (i > 0)
			strbuf_addch(out, ',');
		add_json_text(out, h->key);
		strbuf_addch(out, ':');
		if (h->str != NULL)
			add_json_text(out, h->str);
		else
			strbuf_addint(out, h->num);
	}
	strbuf_addf(out, "},\"bytes\":%zu", d->len);
	add_json_body(out, d);
}

void dead_text_json(struct strbuf *out, const struct dead_letter *l, const struct amqp_delivery *d,
		    int64_t now_us, const char *extra)
{
	struct words w;

	say(l, now_us, &w);
	strbuf_addstr(out, "{\"replica\":");
	add_json_text(out, l->replica);
	add_member(out, "messageId", l->message_id);
	add_member(out, "productId", l->flat ? l->row : "");
	strbuf_addf(out, ",\"products\":%zu", l->flat ? l->rows : 0);
	add_member(out, "stream", l->stream->name);
	add_member(out, "table", l->table);
	add_member(out, "key", l->key);
	strbuf_addf(out, ",\"rows\":%zu", l->rows);
	add_member(out, "kind", l->kind);
	strbuf_addf(out, ",\"version\":%s,\"attempts\":%lld", l->rows > 0 ? w.version : "null",
		    (long long)l->attempts);
	if (l->died_us != 0) {
		int64_t age_us = now_us > l->died_us ? now_us - l->died_us : 0;
		strbuf_addf(out, ",\"ageSeconds\":%lld,\"diedAt\":\"%s\"",
			    (long long)(age_us / 1000000), w.died_at);
	} else {
		strbuf_addstr(out, ",\"ageSeconds\":null,\"diedAt\":null");
	}
	add_member(out, "error", l->error);
	if (d != NULL)
		add_json_rest(out, l, d);
	strbuf_addstr(out, extra != NULL ? extra : "");
	strbuf_addstr(out, "}\n");
}
