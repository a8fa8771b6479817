/*
 * jscan.h: strict JSON read without loss: a number stays the digits that came in, a value stays a
 * slice of the text.
 *
 * jansson keeps numbers as doubles, so 19.99 and 151.90 would not survive it; this scanner
 * validates a whole document (RFC 8259, valid UTF-8, no lone surrogates, no NUL, depth at most 32)
 * and then hands out slices. Pure; slices borrow the caller's text.
 */
#ifndef PGFANOUT_COMMON_JSON_JSCAN_H
#define PGFANOUT_COMMON_JSON_JSCAN_H

#include "common/base/base.h"
#include "common/base/err.h"
#include "common/base/strbuf.h"

enum jscan_type { JSCAN_NULL, JSCAN_BOOL, JSCAN_NUMBER, JSCAN_STRING, JSCAN_ARRAY, JSCAN_OBJECT };

struct jscan_value {
	enum jscan_type type;
	const char *text; /* the raw text, quotes and brackets included */
	size_t len;
};

/* "null", "a boolean", "a number" …: for messages. */
const char *jscan_type_name(enum jscan_type type);

/* Exactly one value with nothing but blanks around it. The error says what is wrong and at which
 * byte. */
MUST_CHECK bool jscan_document(const char *text, size_t len, struct jscan_value *ret,
			       struct err *err);

/* Walks an object's members or an array's elements (of a value from jscan_document, so nothing can
 * fail). */
struct jscan_iter {
	const char *at, *end;
	bool object;
};
void jscan_iter_init(struct jscan_iter *it, const struct jscan_value *container);
/* False at the end. key is set for objects (a string value with quotes, maybe with escapes), may be
 * NULL for arrays. */
bool jscan_iter_next(struct jscan_iter *it, struct jscan_value *ret_key,
		     struct jscan_value *ret_value);

/* Appends a string value's characters, escapes resolved. ret_chars (may be NULL): how many code
 * points. */
void jscan_string(const struct jscan_value *string, struct strbuf *out, size_t *ret_chars);
/* The same into a buffer, without NUL: as many whole characters as fit in cap bytes. False if some
 * did not fit. */
bool jscan_string_copy(const struct jscan_value *string, char *buf, size_t cap, size_t *ret_len);
/* Whether a string value is exactly this ASCII word (without quote and backslash). */
bool jscan_string_is(const struct jscan_value *string, const char *word);
/* Which of n such words it is, counted from 0; -1 if it is none of them. */
int jscan_string_find(const struct jscan_value *string, const char *const *words, size_t n);
/* The first member of an object that is called so, an ASCII word as above. False: there is none, or null. */
bool jscan_member(const struct jscan_value *object, const char *name, struct jscan_value *ret);
/* A number that is an integer without fraction and exponent and fits; false otherwise (1.0 and 1e2
 * are not integers). */
bool jscan_int64(const struct jscan_value *number, int64_t *ret);
/* A string value that is a UTC time, as clock_parse_pg() reads it. The error does not name the
 * member: err_prefix() does. */
MUST_CHECK bool jscan_time(const struct jscan_value *v, int64_t *ret_pg_us, struct err *err);

/* Writes a JSON string with quotes from valid UTF-8: escapes ", \ and control characters only. */
void jscan_write_string(struct strbuf *out, const char *s, size_t len);

#endif
