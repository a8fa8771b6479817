/*
 * product.c: the rules of a product's fields, and a product written as JSON.
 *
 * The promise: what passes here, the primary and every replica can store and give back to the last
 * digit; a number is never read into a double. The database has the same rules for other writers:
 * migrations/primary/0001_products.up.sql. Reading a whole request is in product_parse.c. Pure: any
 * thread.
 */
#include "common/wire/product.h"
#include "common/base/clock.h"

#include <string.h>

#define PRICE_DIGITS_MAX   15
#define PRICE_DECIMALS_MAX 4
/* More than the digits of any text in memory: an exponent is not counted further. */
#define EXPONENT_ENOUGH	   INT64_C(1000000000000000)

const char *const product_members[PRODUCT_MEMBERS] = {
	[PRODUCT_MEMBER_ID] = "id",
	[PRODUCT_MEMBER_NAME] = "name",
	[PRODUCT_MEMBER_PRICE] = "price",
	[PRODUCT_MEMBER_STOCK] = "stock",
	[PRODUCT_MEMBER_CREATED] = "createdAt",
	[PRODUCT_MEMBER_UPDATED] = "updatedAt",
	[PRODUCT_MEMBER_VERSION] = "version",
};

/* The rule as a sentence; where the type is wrong already, what came instead. */
static bool broken(struct err *err, const char *rule, enum jscan_type wanted,
		   const struct jscan_value *v)
{
	if (v->type != wanted)
		return err_set(err, "%s, not %s", rule, jscan_type_name(v->type));
	return err_set(err, "%s", rule);
}

bool product_id_from_json(const struct jscan_value *v, struct uuid *ret, struct err *err)
{
	char text[UUID_TEXT_LEN];
	size_t len;

	if (v->type != JSCAN_STRING || !jscan_string_copy(v, text, sizeof(text), &len) ||
	    !uuid_from_text(text, len, ret))
		return broken(err, "id must be a UUID of 36 characters", JSCAN_STRING, v);
	return true;
}

bool product_name_from_json(const struct jscan_value *v, struct strbuf *append_to, struct err *err)
{
	static const char rule[] = "name must be 1 to 200 characters";
	size_t before = append_to->len, chars;

	_Static_assert(PRODUCT_NAME_MAX == 200, "the rule's number");
	/* A character has at most 12 bytes (a pair of \u escapes): far too long a name is not even
	 * decoded. */
	if (v->type != JSCAN_STRING || v->len > 2 + 12 * PRODUCT_NAME_MAX)
		return broken(err, rule, JSCAN_STRING, v);
	jscan_string(v, append_to, &chars);
	if (chars >= 1 && chars <= PRODUCT_NAME_MAX)
		return true;
	append_to->len = before;
	append_to->data[before] = '\0';
	return broken(err, rule, JSCAN_STRING, v);
}

/*
 * The rule, on the number as digits × 10^-decimals:
 *   1. Leading zeros do not count, all other digits that came in do.
 *   2. An exponent moves the point; where the point is then behind the last digit, zeros fill
 *      up to it.
 *   3. At most 4 decimals, at most 15 digits, not below zero; zero has no sign.
 */
bool product_price_from_json(const struct jscan_value *v, char *ret, struct err *err)
{
	static const char rule[] =
		"price must be a number of at least 0 with at most 4 decimals and 15 digits";
	const char *p = v->text, *end = p + v->len;
	char digits[PRICE_DIGITS_MAX];
	size_t n = 0;
	int64_t decimals = 0;
	bool point = false;

	if (v->type != JSCAN_NUMBER)
		return broken(err, rule, JSCAN_NUMBER, v);
	bool negative = *p == '-';
	for (p += negative; p < end && *p != 'e' && *p != 'E'; p++) {
		if (*p == '.') {
			point = true;
			continue;
		}
		decimals += point;
		if (n == 0 && *p == '0')
			continue; /* 1 */
		if (n == PRICE_DIGITS_MAX)
			return err_set(err, "%s", rule);
		digits[n++] = *p;
	}

	if (p < end) { /* 2 */
		int64_t exponent = 0;
		bool down = *++p == '-';
		for (p += *p == '-' || *p == '+'; p < end; p++)
			if (exponent < EXPONENT_ENOUGH)
				exponent = exponent * 10 + (*p - '0');
		decimals += down ? exponent : -exponent;
	}
	int64_t fill = n > 0 && decimals < 0 ? -decimals : 0;

	if (decimals > PRICE_DECIMALS_MAX || (int64_t)n + fill > PRICE_DIGITS_MAX ||
	    (negative && n > 0))
		return err_set(err, "%s", rule); /* 3 */

	/* width digits in all: zeros in front, the digits, zeros behind; the point after the first
	 * `whole` of them. */
	size_t scale = decimals > 0 ? (size_t)decimals : 0;
	size_t width = n + (size_t)fill > scale ? n + (size_t)fill : scale + 1;
	size_t lead = width - n - (size_t)fill, whole = width - scale;
	char *out = ret;
	for (size_t i = 0; i < width; i++) {
		if (i == whole)
			*out++ = '.';
		*out++ = i >= lead && i - lead < n ? digits[i - lead] : '0';
	}
	*out = '\0';
	return true;
}

bool product_stock_from_json(const struct jscan_value *v, int32_t *ret, struct err *err)
{
	int64_t stock;

	if (v->type != JSCAN_NUMBER || !jscan_int64(v, &stock) || stock < 0 || stock > INT32_MAX)
		return broken(err, "stock must be an integer from 0 to 2147483647", JSCAN_NUMBER,
			      v);
	*ret = (int32_t)stock;
	return true;
}

/* ---- writing --------------------------------------------------------------------------------- */

static inline char *put(char *to, const char *s, size_t len)
{
	memcpy(to, s, len);
	return to + len;
}
#define PUT(to, literal) put(to, literal, sizeof(literal) - 1)

void product_write_open(struct strbuf *out, const struct uuid *id, const char *name,
			size_t name_len, const char *price, size_t price_len, int32_t stock,
			int64_t created_pg_us, int64_t updated_pg_us)
{
	char *begin = strbuf_reserve(out, 64), *to = begin;
	to = PUT(to, "{\"id\":\"");
	uuid_to_text(id, to);
	to += UUID_TEXT_LEN;
	to = PUT(to, "\",\"name\":");
	strbuf_commit(out, (size_t)(to - begin));

	jscan_write_string(out, name, name_len);

	strbuf_add(out, ",\"price\":", 9);
	strbuf_add(out, price, price_len);
	strbuf_add(out, ",\"stock\":", 9);
	strbuf_addint(out, stock);

	begin = to = strbuf_reserve(out, 64 + 2 * CLOCK_TIMESTAMP_MAX);
	to = PUT(to, ",\"createdAt\":\"");
	to += clock_format_pg(created_pg_us, to);
	to = PUT(to, "\",\"updatedAt\":\"");
	to += clock_format_pg(updated_pg_us, to);
	*to++ = '"';
	strbuf_commit(out, (size_t)(to - begin));
}
