/*
 * product_parse.c: a product as a client sends it: one JSON object, read in one walk over its
 * members.
 *
 * The promise: bad input gets a status, a sentence and, where one is to blame, a field; good input
 * is completely checked. Time and memory stay in proportion to the text, also for an object of a
 * hundred thousand unknown keys. Nothing but the name is allocated for a good one. Pure: any
 * thread.
 */
#include "common/wire/product.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(PRODUCT_ID == 1 << PRODUCT_MEMBER_ID && PRODUCT_NAME == 1 << PRODUCT_MEMBER_NAME &&
		       PRODUCT_PRICE == 1 << PRODUCT_MEMBER_PRICE &&
		       PRODUCT_STOCK == 1 << PRODUCT_MEMBER_STOCK,
	       "a field's bit is its member's place");

#define INPUT_MEMBERS (PRODUCT_MEMBER_STOCK + 1)
/* The server's: a client that sends back what it was given is no mistake. */
#define IGNORED	      (1U << PRODUCT_MEMBER_CREATED | 1U << PRODUCT_MEMBER_UPDATED)

/* Puts the key into fault->field, cut at a whole character if it is too long. */
static void blame(struct product_fault *fault, int status, const struct jscan_value *key)
{
	size_t len = 0;

	fault->status = status;
	if (key != NULL)
		(void)jscan_string_copy(key, fault->field, sizeof(fault->field) - 1, &len);
	fault->field[len] = '\0';
}

static bool refuse_duplicate(struct product_fault *fault, const struct jscan_value *key)
{
	blame(fault, 400, key);
	return err_set(&fault->err, "duplicate key \"%s\"", fault->field);
}

static bool refuse_key(struct product_fault *fault, const struct jscan_value *key)
{
	int member = jscan_string_find(key, product_members, PRODUCT_MEMBERS);

	blame(fault, 422, key);
	if (member < 0)
		return err_set(&fault->err, "unknown field \"%s\"", fault->field);
	if (member < INPUT_MEMBERS)
		return err_set(&fault->err, "%s cannot be given here", fault->field);
	return err_set(&fault->err, "%s is set by the server", fault->field);
}

static bool refuse_member(struct product_fault *fault, int member)
{
	fault->status = 422;
	strcpy(fault->field, product_members[member]);
	return false;
}

struct key {
	const char *s;
	size_t len;
	size_t at; /* s, as long as the text of all keys still moves */
	struct jscan_value value;
};

static int key_cmp(const void *a, const void *b)
{
	const struct key *x = a, *y = b;

	if (x->len != y->len)
		return x->len < y->len ? -1 : 1;
	return memcmp(x->s, y->s, x->len);
}

/* Whether two of the n keys that are no members of a product are the same; a rare case, so it may
 * allocate. */
static bool duplicate_unknown(const struct jscan_value *object, size_t n,
			      struct jscan_value *ret_key)
{
	AUTO_STRBUF text = STRBUF_INIT;
	struct key *keys = xcalloc(n, sizeof(*keys));
	struct jscan_value key, value;
	struct jscan_iter it;
	size_t i = 0;
	bool found = false;

	jscan_iter_init(&it, object);
	while (jscan_iter_next(&it, &key, &value)) {
		if (jscan_string_find(&key, product_members, PRODUCT_MEMBERS) >= 0)
			continue;
		keys[i].value = key;
		keys[i].at = text.len;
		jscan_string(&key, &text, NULL);
		keys[i].len = text.len - keys[i].at;
		i++;
	}
	for (i = 0; i < n; i++)
		keys[i].s = strbuf_str(&text) + keys[i].at;
	qsort(keys, n, sizeof(*keys), key_cmp);
	for (i = 1; i < n && !found; i++) {
		found = key_cmp(&keys[i - 1], &keys[i]) == 0;
		if (found)
			*ret_key = keys[i].value;
	}
	free(keys);
	return found;
}

static bool read_field(struct product_input *in, int member, const struct jscan_value *v,
		       struct err *err)
{
	switch (member) {
	case PRODUCT_MEMBER_ID:
		return product_id_from_json(v, &in->id, err);
	case PRODUCT_MEMBER_NAME:
		return product_name_from_json(v, &in->name, err);
	case PRODUCT_MEMBER_PRICE:
		return product_price_from_json(v, in->price, err);
	default:
		return product_stock_from_json(v, &in->stock, err);
	}
}

/*
 * Of several faults one is told, in this order:
 *   1. 400: not JSON, not an object, a key that comes twice.
 *   2. 422: the first key that does not belong here.
 *   3. 422: in the order id, name, price, stock: missing, or breaks its rule.
 */
bool product_parse(const char *text, size_t len, unsigned required, unsigned allowed,
		   struct product_input *in, struct product_fault *fault)
{
	struct jscan_value document, key, value, misfit = { .text = NULL };
	struct jscan_value values[INPUT_MEMBERS];
	unsigned seen = 0;
	size_t unknown = 0;
	struct jscan_iter it;

	in->given = 0;
	in->id = (struct uuid){ { 0 } };
	strbuf_reset(&in->name);
	in->price[0] = '\0';
	in->stock = 0;
	allowed |= required;

	/* 1 */
	if (len == 0) {
		blame(fault, 400, NULL);
		return err_set(&fault->err, "expected a JSON object, but there is no text");
	}
	if (!jscan_document(text, len, &document, &fault->err)) {
		blame(fault, 400, NULL);
		return err_prefix(&fault->err, "invalid JSON");
	}
	if (document.type != JSCAN_OBJECT) {
		blame(fault, 400, NULL);
		return err_set(&fault->err, "expected a JSON object, not %s",
			       jscan_type_name(document.type));
	}
	jscan_iter_init(&it, &document);
	while (jscan_iter_next(&it, &key, &value)) {
		int member = jscan_string_find(&key, product_members, PRODUCT_MEMBERS);
		if (member >= 0) {
			if (seen & 1U << member)
				return refuse_duplicate(fault, &key);
			seen |= 1U << member;
			if (member < INPUT_MEMBERS)
				values[member] = value;
		} else {
			unknown++;
		}
		if ((member < 0 || !((allowed | IGNORED) & 1U << member)) && misfit.text == NULL)
			misfit = key;
	}
	if (unknown > 1 && duplicate_unknown(&document, unknown, &key))
		return refuse_duplicate(fault, &key);

	/* 2 */
	if (misfit.text != NULL)
		return refuse_key(fault, &misfit);

	/* 3 */
	for (int member = 0; member < INPUT_MEMBERS; member++) {
		if (!(seen & 1U << member)) {
			if (!(required & 1U << member))
				continue;
			err_set(&fault->err, "%s is required", product_members[member]);
			return refuse_member(fault, member);
		}
		if (!read_field(in, member, &values[member], &fault->err))
			return refuse_member(fault, member);
	}
	in->given = seen & allowed;
	return true;
}

void product_input_clear(struct product_input *in)
{
	strbuf_clear(&in->name);
}
