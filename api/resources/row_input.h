/*
 * row_input.h: a row as a client sends it: a JSON object whose members are columns. Pure.
 *
 * What is taken, by kind (model.h); null is SQL's NULL, but of JSON columns JSON's:
 *   boolean            true, false
 *   whole number       a number without fraction and exponent, in the type's range
 *   number             a number; "NaN", "Infinity", "-Infinity"
 *   JSON               anything
 *   time, text, other  a string; the database reads it. An enum's label, and the length of a varchar, are
 *                      checked here
 *   array              an array, nested or not, of what the element takes; or a string as PostgreSQL writes it
 */
#ifndef PGFANOUT_API_RESOURCES_ROW_INPUT_H
#define PGFANOUT_API_RESOURCES_ROW_INPUT_H

#include "api/resources/model.h"
#include "common/base/uuid.h"

struct row_value {
	size_t column;
	bool null;
	size_t at, len; /* of row_input.text, as the database reads it */
};

/* The columns in the order of the table. */
struct row_input {
	struct strbuf text;
	struct row_value *values;
	size_t n, cap;
};

struct row_fault {
	int status;	/* 400 or 422 */
	char field[64]; /* "": none */
	struct err err;
};

/* Zeroed, or cleared. Every column that can be written may be there. False: fault says why. */
MUST_CHECK bool row_input_read(struct row_input *in, const struct model_resource *r,
			       const char *text, size_t len, struct row_fault *fault);
void row_input_clear(struct row_input *in);
/* What stands for a row among others: a hash of its table and the texts of its key; of a row without a whole key
 * something of its own, and false. */
bool row_name(struct uuid *ret, const struct model_resource *r, const struct row_input *in);
/* The same, of one text of the key after the other. */
void row_name_begin(struct uuid *id, const struct model_resource *r);
void row_name_add(struct uuid *id, const char *text, size_t len);
/* NULL: the column is not among them. */
const struct row_value *row_input_find(const struct row_input *in, size_t column);

#endif
