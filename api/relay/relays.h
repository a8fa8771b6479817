/*
 * relays.h: a relay for each stream. The one of products is there from the start, others come with their
 * streams.
 */
#ifndef PGFANOUT_API_RELAY_RELAYS_H
#define PGFANOUT_API_RELAY_RELAYS_H

#include "api/relay/relay.h"

#define RELAYS_MAX ((size_t)64)

struct relays;

/* options.stream is set here. NULL and err if the first one cannot be started. */
struct relays *relays_start(const struct relay_options *options, struct err *err);
/* Ends all of them, and frees. NULL is fine. */
void relays_stop(struct relays *rs);

/* A stream that the primary has: its relay is started if it is new. Any thread. */
void relays_note(struct relays *rs, int number, const char *name);
struct relay *relays_products(const struct relays *rs);
/* Any thread. Their number only grows. */
size_t relays_count(const struct relays *rs);
struct relay *relays_get(const struct relays *rs, size_t i, const char **ret_stream);
/* Of its metrics. */
size_t relays_label(const struct relays *rs, size_t i);

#endif
