/*
 * feed.c: see feed.h. Chunks form a ring: numbers head and pos only grow, chunk k lives in slot k
 * mod n. Chunk `head` is the one being filled; a reader at pos may read the chunks pos … head-1.
 */
#include "consumer/reset/feed.h"

#include <stdlib.h>

#include "common/base/strbuf.h"

struct slot {
	struct strbuf buf;
	int64_t rows, bytes; /* totals up to the end of this chunk */
	bool ends_part;
	int64_t part_rows;
};

struct reader {
	uint64_t pos;
	bool gone;
};

struct feed {
	struct slot *slots;
	size_t nslots;
	size_t chunk_bytes;
	struct reader *readers;
	size_t nreaders;
	uint64_t head;
	int64_t rows, bytes;
	int64_t closed_bytes; /* in closed chunks: what is more is in the one being filled */
	bool ended;
};

struct feed *feed_new(size_t chunks, size_t chunk_bytes, size_t readers)
{
	struct feed *f = xcalloc(1, sizeof(*f));

	f->slots = xcalloc(chunks, sizeof(*f->slots));
	f->nslots = chunks;
	f->chunk_bytes = chunk_bytes;
	f->readers = xcalloc(readers, sizeof(*f->readers));
	f->nreaders = readers;
	return f;
}

void feed_free(struct feed *f)
{
	if (f == NULL)
		return;
	for (size_t i = 0; i < f->nslots; i++)
		strbuf_clear(&f->slots[i].buf);
	free(f->slots);
	free(f->readers);
	free(f);
}

bool feed_has_room(const struct feed *f)
{
	uint64_t slowest = f->head;

	for (size_t i = 0; i < f->nreaders; i++) {
		if (!f->readers[i].gone && f->readers[i].pos < slowest)
			slowest = f->readers[i].pos;
	}
	return f->head - slowest < f->nslots;
}

static void close_chunk(struct feed *f)
{
	struct slot *s = &f->slots[f->head % f->nslots];

	s->rows = f->rows;
	s->bytes = f->bytes;
	f->closed_bytes = f->bytes;
	f->head++;
}

static void begin_chunk(struct feed *f)
{
	struct slot *s = &f->slots[f->head % f->nslots];

	strbuf_reset(&s->buf);
	s->ends_part = false;
}

void feed_add(struct feed *f, const char *row, size_t len)
{
	struct strbuf *buf = &f->slots[f->head % f->nslots].buf;

	if (f->ended || !feed_has_room(f))
		fatal("feed: a row was added without room for it");
	if (f->bytes == f->closed_bytes)
		begin_chunk(f); /* the slot still holds the chunk of a lap ago */
	strbuf_add(buf, row, len);
	f->rows++;
	f->bytes += (int64_t)len;
	if (buf->len >= f->chunk_bytes)
		close_chunk(f);
}

void feed_end_part(struct feed *f, int64_t rows)
{
	struct slot *s = &f->slots[f->head % f->nslots];

	if (f->ended || !feed_has_room(f))
		fatal("feed: a part was ended without room for it");
	if (f->bytes == f->closed_bytes)
		begin_chunk(f);
	s->ends_part = true;
	s->part_rows = rows;
	close_chunk(f);
}

void feed_end(struct feed *f)
{
	f->ended = true;
}

int64_t feed_rows(const struct feed *f)
{
	return f->rows;
}

int64_t feed_bytes(const struct feed *f)
{
	return f->bytes;
}

bool feed_peek(const struct feed *f, size_t reader, struct feed_chunk *ret)
{
	const struct reader *r = &f->readers[reader];

	if (r->gone || r->pos == f->head)
		return false;
	const struct slot *s = &f->slots[r->pos % f->nslots];
	*ret = (struct feed_chunk){
		.data = strbuf_str(&s->buf),
		.len = s->buf.len,
		.rows = s->rows,
		.bytes = s->bytes,
		.ends_part = s->ends_part,
		.part_rows = s->part_rows,
	};
	return true;
}

void feed_next(struct feed *f, size_t reader)
{
	struct reader *r = &f->readers[reader];

	if (r->gone || r->pos == f->head)
		fatal("feed: reader %zu went past the end", reader);
	r->pos++;
}

bool feed_at_end(const struct feed *f, size_t reader)
{
	return f->ended && f->readers[reader].pos == f->head;
}

void feed_leave(struct feed *f, size_t reader)
{
	f->readers[reader].gone = true;
}
