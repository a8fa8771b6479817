/*
 * fuzz_http_reader.c: any bytes as what a client sends.
 *
 * Beside memory errors it looks for broken promises:
 *   1. In whatever pieces the bytes come, the same heads are passed, with the same verdict.
 *   2. Of a line with a fault, its end does not pass; without a fault everything passes.
 *   3. What passed of the heads and chunk lines has no NUL, and no CR or LF but as CR LF.
 */
#include "common/http/http_reader.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PROMISE(condition) ((condition) ? (void)0 : fatal("line %d: not %s", __LINE__, #condition))

/* Byte by byte: then it is known what each byte belongs to. */
static size_t take_slowly(struct http_reader *r, const char *s, size_t len)
{
	size_t passed = 0;
	char before = '\0';

	for (size_t i = 0; i < len && r->state != READING_FAULT; i++) {
		enum http_reading was = r->state;
		bool in_line = was != READING_BODY && was != READING_CHUNK &&
			       was != READING_NO_MORE;

		if (http_reader_take(r, s + i, 1) == 0) {
			PROMISE(r->state == READING_FAULT);
			break;
		}
		passed++;
		if (in_line) {
			PROMISE(s[i] != '\0');
			PROMISE(s[i] != '\n' || before == '\r');
			PROMISE(before != '\r' || s[i] == '\n');
		}
		before = in_line ? s[i] : '\0';
	}
	return passed;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_reader whole, slow, halves;
	char *text = malloc(size + 1);
	size_t half = size > 0 ? data[0] % (size + 1) : 0, passed;

	memcpy(text, data, size);
	text = realloc(text, size > 0 ? size : 1);
	http_reader_init(&whole);
	http_reader_init(&slow);
	http_reader_init(&halves);
	passed = http_reader_take(&whole, text, size);
	PROMISE(passed <= size);
	PROMISE((passed == size) == (whole.state != READING_FAULT) || size == 0);
	PROMISE(take_slowly(&slow, text, size) >= passed);
	http_reader_take(&halves, text, half);
	http_reader_take(&halves, text + half, size - half);

	PROMISE(slow.heads == whole.heads && halves.heads == whole.heads);
	PROMISE((slow.state == READING_FAULT) == (whole.state == READING_FAULT));
	PROMISE((halves.state == READING_FAULT) == (whole.state == READING_FAULT));
	if (whole.state == READING_FAULT) {
		PROMISE(whole.status >= 400 && whole.fault);
		PROMISE(slow.fault_in_head == whole.fault_in_head);
	} else {
		PROMISE(slow.state == whole.state && slow.left == whole.left);
		PROMISE(halves.state == whole.state && halves.left == whole.left);
	}
	http_reader_clear(&whole);
	http_reader_clear(&slow);
	http_reader_clear(&halves);
	free(text);
	return 0;
}
