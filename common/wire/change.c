/*
 * change.c: the message's body, written by the relay and read by the workers, once for each change
 * there is.
 *
 * The promise: what change_write() wrote, change_read() reads back to the last digit and
 * microsecond; whatever else came into a queue is refused with the member at fault, so that it can
 * be parked with a reason. Pure: any thread.
 */
#include "common/wire/change.h"
#include "common/wire/product.h"

#include <string.h>

_Static_assert(sizeof(((struct change *)NULL)->price) >= PRODUCT_PRICE_MAX, "a price fits");

#define BIT(member) (1U << (member))

const char *change_kind_name(enum change_kind kind)
{
	return kind == CHANGE_SYNC ? "sync" : "delete";
}

void change_write(struct strbuf *out, const struct change *c, const char *name)
{
	if (c->kind == CHANGE_SYNC) {
		product_write_open(out, &c->id, name, c->name_len, c->price, strlen(c->price),
				   c->stock, c->created_us, c->updated_us);
	} else {
		char id[7 + UUID_TEXT_LEN + 1] = "{\"id\":\"";
		uuid_to_text(&c->id, id + 7);
		id[7 + UUID_TEXT_LEN] = '"';
		strbuf_add(out, id, sizeof(id));
	}
	strbuf_add(out, ",\"version\":", 11);
	strbuf_addint(out, c->version);
	strbuf_addch(out, '}');
}

static bool read_version(const struct jscan_value *v, int64_t *ret, struct err *err)
{
	int64_t version;

	if (!jscan_int64(v, &version) || version <= 0)
		return err_set(err, "version must be an integer of at least 1, and below 2^63");
	*ret = version;
	return true;
}

static bool read_time(const struct jscan_value *v, const char *field, int64_t *ret, struct err *err)
{
	if (!jscan_time(v, ret, err))
		return err_prefix(err, "%s", field);
	return true;
}

/* What the primary's table may hold: what the API takes, or a longer decimal that SQL made (19.99 /
 * 3). */
static bool read_price(const struct jscan_value *v, char *ret, struct err *err)
{
	const size_t most = sizeof(((struct change *)NULL)->price) - 1;

	if (v->type == JSCAN_NUMBER && v->len <= most && v->text[0] != '-' &&
	    memchr(v->text, 'e', v->len) == NULL && memchr(v->text, 'E', v->len) == NULL) {
		memcpy(ret, v->text, v->len);
		ret[v->len] = '\0';
		return true;
	}
	return product_price_from_json(v, ret, err);
}

static bool read_member(struct change *c, int member, const struct jscan_value *v,
			struct strbuf *arena, struct err *err)
{
	switch ((enum product_member)member) {
	case PRODUCT_MEMBER_ID:
		return product_id_from_json(v, &c->id, err);
	case PRODUCT_MEMBER_NAME:
		if (!product_name_from_json(v, arena, err))
			return false;
		c->name_len = arena->len - c->name_at;
		return true;
	case PRODUCT_MEMBER_PRICE:
		return read_price(v, c->price, err);
	case PRODUCT_MEMBER_STOCK:
		return product_stock_from_json(v, &c->stock, err);
	case PRODUCT_MEMBER_CREATED:
		return read_time(v, product_members[member], &c->created_us, err);
	case PRODUCT_MEMBER_UPDATED:
		return read_time(v, product_members[member], &c->updated_us, err);
	case PRODUCT_MEMBER_VERSION:
		return read_version(v, &c->version, err);
	case PRODUCT_MEMBERS:
		break;
	}
	fatal("change_read: no member %d", member);
}

static bool refuse_key(const struct jscan_value *key, const char *what, struct err *err)
{
	char text[64];
	size_t len;

	(void)jscan_string_copy(key, text, sizeof(text) - 1, &len);
	text[len] = '\0';
	return err_set(err, "%s \"%s\"", what, text);
}

static bool read_object(const struct jscan_value *object, struct strbuf *arena, struct change *c,
			struct err *err)
{
	const unsigned wanted = c->kind == CHANGE_SYNC
					? BIT(PRODUCT_MEMBERS) - 1
					: BIT(PRODUCT_MEMBER_ID) | BIT(PRODUCT_MEMBER_VERSION);
	unsigned seen = 0;
	struct jscan_value key, value;
	struct jscan_iter it;

	if (object->type != JSCAN_OBJECT)
		return err_set(err, "a change must be an object, not %s",
			       jscan_type_name(object->type));
	jscan_iter_init(&it, object);
	while (jscan_iter_next(&it, &key, &value)) {
		int member = jscan_string_find(&key, product_members, PRODUCT_MEMBERS);
		if (member < 0 || !(wanted & BIT(member)))
			return refuse_key(&key, "unknown field", err);
		if (seen & BIT(member))
			return refuse_key(&key, "duplicate key", err);
		seen |= BIT(member);
		if (!read_member(c, member, &value, arena, err))
			return false;
	}
	if (seen != wanted)
		return err_set(err, "%s is missing",
			       product_members[__builtin_ctz(wanted & ~seen)]);
	return true;
}

bool change_read(const struct jscan_value *object, enum change_kind kind, struct strbuf *arena,
		 struct change *ret, struct err *err)
{
	struct change c = { .kind = kind, .name_at = arena->len };

	if (!read_object(object, arena, &c, err)) {
		if (arena->len > c.name_at) { /* a name that was read before the fault */
			arena->len = c.name_at;
			arena->data[arena->len] = '\0';
		}
		return false;
	}
	*ret = c;
	return true;
}

/* ---- x-xid: the transactions of a message's changes ---- */

/*
 * Items with one blank between them, each NUMBER or NUMBER*COUNT, in decimal without signs. What
 * was added comes back exactly. A text that does not hold exactly as many numbers as the message
 * has changes is of no use and gives zeros ("not known"): the versions then decide alone.
 */

/* strbuf_addint() is for signed numbers: what does not fit there is written in two halves. */
static void add_unsigned(struct strbuf *out, uint64_t v)
{
	if (v > INT64_MAX) {
		strbuf_addint(out, (int64_t)(v / 10));
		v %= 10;
	}
	strbuf_addint(out, (int64_t)v);
}

static void end_run(struct change_xids *x)
{
	if (x->run == 0)
		return;
	if (x->text.len > 0)
		strbuf_addch(&x->text, ' ');
	add_unsigned(&x->text, x->last);
	if (x->run > 1) {
		strbuf_addch(&x->text, '*');
		add_unsigned(&x->text, x->run);
	}
	x->run = 0;
}

void change_xids_add(struct change_xids *x, uint64_t xid)
{
	if (x->run > 0 && x->last != xid)
		end_run(x);
	x->last = xid;
	x->run++;
}

const char *change_xids_finish(struct change_xids *x)
{
	end_run(x);
	return strbuf_str(&x->text);
}

void change_xids_reset(struct change_xids *x)
{
	strbuf_reset(&x->text);
	x->last = 0;
	x->run = 0;
}

void change_xids_clear(struct change_xids *x)
{
	strbuf_clear(&x->text);
	x->last = 0;
	x->run = 0;
}

/* *p: moved behind the digits. */
static bool read_number(const char **p, uint64_t *ret)
{
	const char *at = *p;
	uint64_t v = 0;

	for (; *at >= '0' && *at <= '9'; at++)
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*at - '0'), &v))
			return false;
	if (at == *p)
		return false;
	*p = at;
	*ret = v;
	return true;
}

static bool read_list(const char *p, uint64_t *ret, size_t n)
{
	size_t done = 0;

	while (*p != '\0') {
		uint64_t xid, count = 1;
		if (done > 0 && *p++ != ' ')
			return false;
		if (!read_number(&p, &xid))
			return false;
		if (*p == '*') {
			p++;
			if (!read_number(&p, &count))
				return false;
		}
		if (count == 0 || count > n - done)
			return false;
		while (count-- > 0)
			ret[done++] = xid;
	}
	return done == n;
}

bool change_xids_read(const char *text, uint64_t *ret, size_t n)
{
	if (text != NULL && read_list(text, ret, n))
		return true;
	if (n > 0)
		memset(ret, 0, n * sizeof(*ret));
	return false;
}
