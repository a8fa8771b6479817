/*
 * fuzz_product.c: any bytes as a JSON text and as a client's product.
 *
 * Beside memory errors it looks for broken promises:
 *   1. jscan accepts exactly the texts that jansson accepts, but for what jansson gets wrong or
 *      cannot hold: large numbers, another depth, a NUL behind a number.
 *   2. A walk over the members gives slices that are valid values themselves.
 *   3. A product that was accepted keeps the rules, and is accepted again, with the same content,
 *      as we write it.
 *   4. A fault has a status, a text, and a field in valid UTF-8.
 */
#include "common/base/utf8.h"
#include "common/wire/product.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PROMISE(condition) ((condition) ? (void)0 : fatal("line %d: not %s", __LINE__, #condition))

static void walk(const struct jscan_value *container)
{
	struct jscan_value key, value, again;
	struct jscan_iter it;
	struct err err;

	jscan_iter_init(&it, container);
	while (jscan_iter_next(&it, &key, &value)) {
		if (container->type == JSCAN_OBJECT) {
			PROMISE(key.type == JSCAN_STRING);
			PROMISE(jscan_document(key.text, key.len, &again, &err) &&
				again.len == key.len);
		}
		PROMISE(value.text + value.len <= container->text + container->len);
		PROMISE(jscan_document(value.text, value.len, &again, &err));
		PROMISE(again.len == value.len && again.type == value.type);
		if (value.type == JSCAN_STRING) {
			AUTO_STRBUF s = STRBUF_INIT, json = STRBUF_INIT, back = STRBUF_INIT;
			size_t chars, counted;
			jscan_string(&value, &s, &chars);
			PROMISE(utf8_valid(s.data, s.len, &counted) && counted == chars);
			jscan_write_string(&json, s.data, s.len);
			PROMISE(jscan_document(json.data, json.len, &again, &err));
			jscan_string(&again, &back, NULL);
			PROMISE(back.len == s.len && memcmp(back.data, s.data, s.len) == 0);
		}
		walk(&value);
	}
}

static void compare_with_jansson(const char *text, size_t len)
{
	struct jscan_value v;
	struct err err;
	json_error_t error;
	bool ok = jscan_document(text, len, &v, &err);
	json_t *json = json_loadb(text, len, JSON_DECODE_ANY, &error);

	if (ok) {
		PROMISE(json != NULL || json_error_code(&error) == json_error_numeric_overflow);
		walk(&v);
	} else {
		/* jansson 2.14 overlooks a NUL behind a number. */
		PROMISE(json == NULL || strstr(err.text, "nested more than") != NULL ||
			memchr(text, '\0', len) != NULL);
		PROMISE(err.text[0] != '\0');
	}
	json_decref(json);
}

static void check_rules(const struct product_input *in)
{
	size_t chars, len = strlen(in->price), digits = strspn(in->price, "0123456789");

	if (in->given & PRODUCT_NAME) {
		PROMISE(utf8_valid(in->name.data, in->name.len, &chars));
		PROMISE(chars >= 1 && chars <= PRODUCT_NAME_MAX);
	}
	if (in->given & PRODUCT_PRICE) {
		PROMISE(digits >= 1 && (digits == 1 || in->price[0] != '0'));
		if (in->price[digits] == '.')
			PROMISE(len - digits >= 2 && len - digits <= 5 &&
				strspn(in->price + digits + 1, "0123456789") == len - digits - 1);
		else
			PROMISE(digits == len);
		PROMISE(len - (digits < len) - (in->price[0] == '0') <= 15);
	}
	PROMISE(in->stock >= 0);
}

static void write_and_read_again(const struct product_input *in)
{
	AUTO_STRBUF out = STRBUF_INIT;
	struct product_input again = { .given = 0 };
	struct product_fault fault;
	struct jscan_value v;

	product_write_open(&out, &in->id, in->name.data, in->name.len, in->price, strlen(in->price),
			   in->stock, 0, 0);
	strbuf_addch(&out, '}');
	PROMISE(jscan_document(out.data, out.len, &v, &fault.err));
	PROMISE(product_parse(out.data, out.len, in->given, in->given, &again, &fault));
	PROMISE(uuid_cmp(&in->id, &again.id) == 0 && in->stock == again.stock);
	PROMISE(strcmp(in->price, again.price) == 0);
	PROMISE(in->name.len == again.name.len &&
		memcmp(in->name.data, again.name.data, in->name.len) == 0);
	product_input_clear(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned all = PRODUCT_ID | PRODUCT_NAME | PRODUCT_PRICE | PRODUCT_STOCK;
	struct product_input in = { .given = 0 };
	struct product_fault fault;

	if (size == 0)
		return 0;
	/* The first byte says what is required and allowed; the text is a block of its own, to
	 * catch reads behind it. */
	unsigned required = data[0] & all, allowed = data[0] >> 4 & all;
	char *text = malloc(size);
	memcpy(text, data + 1, size - 1);
	text = realloc(text, size - 1 > 0 ? size - 1 : 1);

	compare_with_jansson(text, size - 1);
	if (product_parse(text, size - 1, required, allowed, &in, &fault)) {
		PROMISE((in.given & required) == required &&
			(in.given & ~(required | allowed)) == 0);
		check_rules(&in);
		if (in.given == all)
			write_and_read_again(&in);
	} else {
		PROMISE(fault.status == 400 || fault.status == 422);
		PROMISE(fault.err.text[0] != '\0');
		PROMISE(utf8_valid(fault.field, strlen(fault.field), NULL));
		PROMISE(utf8_valid(fault.err.text, strlen(fault.err.text), NULL));
	}
	product_input_clear(&in);
	free(text);
	return 0;
}
