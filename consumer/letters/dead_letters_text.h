/*
 * dead_letters_text.h: one dead letter: what is known of it, and how it is written: as a line of a
 * table, in full, or as JSON.
 *
 * A letter may come from any publisher: its texts are clipped and made harmless to a terminal
 * before they are shown. JSON has them exactly as they are. Pure.
 */
#ifndef PGFANOUT_CONSUMER_LETTERS_DEAD_LETTERS_TEXT_H
#define PGFANOUT_CONSUMER_LETTERS_DEAD_LETTERS_TEXT_H

#include "common/amqp/amqp.h"
#include "common/base/clock.h"
#include "common/base/strbuf.h"
#include "common/wire/topology.h"
#include "consumer/apply/tables.h"

#define DEAD_KEY_MAX 2048 /* with the NUL; what is longer is clipped */

struct dead_letter {
	const char *replica; /* borrowed, as the stream */
	const struct stream *stream;
	char message_id[256];
	const char *kind; /* "sync", "delete"; "" if not known */
	/* Where it came from; "" if that is not known, or not a queue of this replica. */
	char queue[TOPOLOGY_NAME_MAX];
	size_t rows; /* in the body, as far as they can be read */
	/* These of the first: */
	bool flat;		      /* it is named by its key alone */
	char table[160];	      /* "public.users" */
	char key[DEAD_KEY_MAX];	      /* as SQL writes a text[]; "" of a TRUNCATE: all rows */
	char row[160 + DEAD_KEY_MAX]; /* as table_name_row() has it */
	int64_t version;	      /* 0: not known */
	int64_t attempts;
	int64_t died_us; /* wall clock; 0: not known */
	char error[501];
};

/* A message's id, or what a row is called: both are looked for. */
struct dead_id {
	const char *text;
	bool found; /* a letter had it */
};

/* Copies; d is borrowed for the call. tables: of the stream, which they name. */
void dead_letter_read(struct dead_letter *l, const char *replica, const struct tables *tables,
		      const struct amqp_delivery *d);
/* Whether this is the id of the message, or of a row in it. */
bool dead_letter_has(const struct amqp_delivery *d, const struct tables *tables,
		     const struct dead_id *id);

void dead_text_head(struct strbuf *out);
void dead_text_line(struct strbuf *out, const struct dead_letter *l, int64_t now_us);
/* The letter and everything about it. */
void dead_text_full(struct strbuf *out, const struct dead_letter *l, const struct amqp_delivery *d,
		    int64_t now_us);
/* "replica-1 1f-7 (sync of product …, version 5)", "… (sync of public.users {7}, version 6)" */
void dead_text_short(struct strbuf *out, const struct dead_letter *l);
/* One line. d NULL: without body, headers and so on. extra: more members, as `,"key":value`; may be
 * NULL. */
void dead_text_json(struct strbuf *out, const struct dead_letter *l, const struct amqp_delivery *d,
		    int64_t now_us, const char *extra);

/* "7s", "12m", "3h", "41d"; "-" if us is negative. */
void dead_text_age(int64_t us, char *buf, size_t size);

#endif
