/*
 * inbox.c: see inbox.h. Pure.
 */
#include "consumer/apply/inbox.h"

#include <stdlib.h>
#include <string.h>

#include "common/wire/topology.h"
#include "consumer/apply/message.h"

#define BYTES_MAX ((size_t)4 << 20) /* raw messages in a batch; a larger one is a batch alone */

void inbox_init(struct inbox *in, const struct tables *tables, size_t max_changes)
{
	*in = (struct inbox){ .tables = tables, .max_changes = max_changes };
}

void inbox_drop(struct inbox *in)
{
	while (in->first != NULL)
		inbox_done(in);
}

void inbox_clear(struct inbox *in)
{
	inbox_drop(in);
	while (in->spare != NULL) {
		struct inbox_batch *b = in->spare;
		in->spare = b->next;
		batch_clear(&b->batch);
		free(b);
	}
}

/* The batch that deliveries go to; NULL if there is none yet. */
static struct inbox_batch *collecting(const struct inbox *in)
{
	if (in->last != NULL && in->last->batch.shape != 0)
		return NULL; /* what comes behind a shape may need it */
	return in->busy && in->first == in->last ? NULL : in->last;
}

static bool is_full(const struct inbox *in, const struct batch *b)
{
	/* What could not be read counts too: a body like "[1,1,1]" is small, its failures are
	 * not. */
	return b->nchanges + b->nfailures >= in->max_changes || b->bodies.len >= BYTES_MAX;
}

bool inbox_full(const struct inbox *in)
{
	const struct inbox_batch *b = collecting(in);

	return in->nbatches >= INBOX_BATCHES_MAX || in->nshapes >= INBOX_SHAPES_MAX ||
	       in->shape_bytes >= BYTES_MAX || (b != NULL && is_full(in, &b->batch));
}

/* A new batch behind this one; NULL: the first. */
static struct inbox_batch *insert(struct inbox *in, struct inbox_batch *after)
{
	struct inbox_batch **place = after ? &after->next : &in->first;
	struct inbox_batch *b = in->spare;

	if (b != NULL) {
		in->spare = b->next;
	} else {
		b = xcalloc(1, sizeof(*b));
		batch_init(&b->batch);
	}
	b->next = *place;
	*place = b;
	if (in->last == after)
		in->last = b;
	in->nbatches++;
	return b;
}

void inbox_take(struct inbox *in, const struct amqp_delivery *d, enum change_kind kind)
{
	struct inbox_batch *b = collecting(in);

	if (b == NULL || is_full(in, &b->batch) ||
	    (b->batch.nmessages > 0 &&
	     (message_brings_shape(d, in->tables) || tables_lacks(in->tables, message_shape(d)))) ||
	    !batch_takes_source(&b->batch, message_source(d)))
		b = insert(in, in->last);
	message_take(&b->batch, d, kind, in->tables);
	if (!batch_brings_shape(&b->batch))
		return;
	in->nbatches--;
	in->nshapes++;
	in->shape_bytes += b->batch.bodies.len;
}

size_t inbox_messages(const struct inbox *in, enum change_kind kind)
{
	size_t n = 0;

	for (const struct inbox_batch *b = in->first; b != NULL; b = b->next)
		for (size_t i = 0; i < b->batch.nmessages; i++)
			n += b->batch.messages[i].kind == kind;
	return n;
}

const struct batch *inbox_first(const struct inbox *in)
{
	return in->first ? &in->first->batch : NULL;
}

struct batch *inbox_begin(struct inbox *in)
{
	if (in->first == NULL)
		return NULL;
	in->busy = true;
	return &in->first->batch;
}

void inbox_done(struct inbox *in)
{
	struct inbox_batch *b = in->first;

	in->first = b->next;
	if (in->first == NULL)
		in->last = NULL;
	in->busy = false;
	if (batch_brings_shape(&b->batch)) { /* not kept: so many would hold much after other use */
		in->nshapes--;
		in->shape_bytes -= b->batch.bodies.len;
		batch_clear(&b->batch);
		free(b);
		return;
	}
	in->nbatches--;
	batch_reset(&b->batch);
	b->next = in->spare;
	in->spare = b;
}

void inbox_done_but_numbers(struct inbox *in, bool apart)
{
	struct inbox_batch *done = in->first, *next = done->next;
	const char *source = batch_text(&done->batch, done->batch.source_at);

	if (apart || next == NULL || !batch_takes_source(&next->batch, source))
		next = insert(in, done);
	batch_take_numbers(&next->batch, &done->batch);
	inbox_done(in);
}
