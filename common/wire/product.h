/*
 * product.h: what a product is, in one place: the rules of its fields, and reading one from JSON.
 *
 * name: 1…200 characters. price: a JSON number, 0 or more, in plain notation at most 4 decimals and
 * at most 15 digits (leading zeros do not count, trailing ones do: the digits that came in are the
 * digits kept). An exponent is resolved (1.5e2 is 150, 15e-1 is 1.5). -0 is 0. stock: a JSON
 * integer, 0 … 2147483647 (1.0 is refused). Pure.
 */
#ifndef PGFANOUT_COMMON_WIRE_PRODUCT_H
#define PGFANOUT_COMMON_WIRE_PRODUCT_H

#include "common/base/err.h"
#include "common/json/jscan.h"
#include "common/base/strbuf.h"
#include "common/base/uuid.h"

#define PRODUCT_NAME_MAX  200
#define PRODUCT_PRICE_MAX 20 /* bytes of a price in plain notation, NUL included */

/* The members of a product's JSON object, in the order in which we write them. */
enum product_member {
	PRODUCT_MEMBER_ID,
	PRODUCT_MEMBER_NAME,
	PRODUCT_MEMBER_PRICE,
	PRODUCT_MEMBER_STOCK,
	PRODUCT_MEMBER_CREATED,
	PRODUCT_MEMBER_UPDATED,
	PRODUCT_MEMBER_VERSION, /* in messages only */
	PRODUCT_MEMBERS
};
extern const char *const product_members[PRODUCT_MEMBERS];

/* Those that a client may send: 1 << enum product_member. */
enum product_field {
	PRODUCT_ID = 1,
	PRODUCT_NAME = 2,
	PRODUCT_PRICE = 4,
	PRODUCT_STOCK = 8,
};

/* A product as a client sends it. */
struct product_input {
	unsigned given; /* enum product_field bits */
	struct uuid id;
	struct strbuf name; /* owned: product_input_clear() */
	char price[PRODUCT_PRICE_MAX];
	int32_t stock;
};

/* What is wrong with an input, and in which field ("" if in none). status is the HTTP status it
 * deserves: 400 for text that is not a JSON object (syntax, duplicate keys, trailing bytes), 422
 * for fields (unknown, missing, wrong type, out of range). */
struct product_fault {
	int status;
	char field[64];
	struct err err;
};

/* required, allowed: enum product_field bits. in is reset first; on failure its content is
 * undefined but clearable. createdAt and updatedAt, whatever their values, are ignored, so that what
 * product_write_open() wrote can be sent back; version is refused with a message of its own ("is set
 * by the server"). */
MUST_CHECK bool product_parse(const char *text, size_t len, unsigned required, unsigned allowed,
			      struct product_input *in, struct product_fault *fault);
void product_input_clear(struct product_input *in);

/* The rules of single fields, shared with the messages (common/wire/change.c). What an error says
 * starts with the field's name. */
MUST_CHECK bool product_id_from_json(const struct jscan_value *v, struct uuid *ret,
				     struct err *err);
MUST_CHECK bool product_price_from_json(const struct jscan_value *v, char *ret, struct err *err);
MUST_CHECK bool product_stock_from_json(const struct jscan_value *v, int32_t *ret, struct err *err);
MUST_CHECK bool product_name_from_json(const struct jscan_value *v, struct strbuf *append_to,
				       struct err *err);

/* Appends the product as the API shows it:
 * {"id":…,"name":…,"price":…,"stock":…,"createdAt":…,"updatedAt":…} without the closing brace, so
 * that a message can go on with ,"version":…; name is valid UTF-8, price plain numeric text. */
void product_write_open(struct strbuf *out, const struct uuid *id, const char *name,
			size_t name_len, const char *price, size_t price_len, int32_t stock,
			int64_t created_pg_us, int64_t updated_pg_us);

#endif
