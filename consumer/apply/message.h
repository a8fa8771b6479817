/*
 * message.h: reads one delivery into a batch: its changes, and what of it could not be read.
 *
 * Strict: whatever is not exactly what common/wire/change.h describes is a failure with a reason,
 * never a guess. A message that cannot be read at all fails as a whole; of an array only the bad
 * elements fail. Messages of type products.heartbeat and products.mark are no changes: the batch
 * takes along what they are for.
 * Pure.
 */
#ifndef PGFANOUT_CONSUMER_APPLY_MESSAGE_H
#define PGFANOUT_CONSUMER_APPLY_MESSAGE_H

#include "common/amqp/amqp.h"
#include "consumer/apply/batch.h"
#include "consumer/apply/tables.h"

#define MESSAGE_BYTES_MAX   ((size_t)128 << 20) /* what RabbitMQ 3 takes; 4 takes 16 MiB unless set */
#define MESSAGE_CHANGES_MAX 10000

/* The delivery's x-source as batches know it: "" if it has none or one that no primary would send.
 * Borrowed from d. */
const char *message_source(const struct amqp_delivery *d);

/* The shape that its changes have, or that it describes; 0: it names none. */
int64_t message_shape(const struct amqp_delivery *d);
/* Whether it describes one that is not known yet. One that is known is no news. */
bool message_brings_shape(const struct amqp_delivery *d, const struct tables *tables);

/* Everything needed is copied out of d. kind is the queue's. The batch must take the message's
 * source; its changes point into the tables. */
void message_take(struct batch *b, const struct amqp_delivery *d, enum change_kind kind,
		  const struct tables *tables);

/* The table that a change is of, one JSON object of a message whose shape is `probably` (NULL: not known);
 * NULL, with the reason. */
const struct table *message_table(const struct tables *tables, const struct jscan_value *object,
				  const struct table *probably, struct err *err);

/* Whether a header goes with a message that is moved: another publisher's that is not large; not
 * ours, not the broker's. */
bool message_header_travels(const struct amqp_header *h);

#endif
