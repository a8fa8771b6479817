/*
 * amqp_private.h: what the files of the amqp module share: amqp.c (connection), amqp_publish.c
 * (publishes and their confirms), amqp_service.c (what the broker sends), amqp_ask.c (questions
 * asked together), amqp_declare.c (questions that wait for an answer). Nobody else includes it.
 *
 * The library's headers are included here and nowhere else; the topics share one struct, which is
 * why four files see them.
 */
#ifndef PGFANOUT_COMMON_AMQP_AMQP_PRIVATE_H
#define PGFANOUT_COMMON_AMQP_AMQP_PRIVATE_H

/* Debian 12 has them at the old place; where the new one exists, the old one warns. */
#if __has_include(<rabbitmq-c/amqp.h>)
#include <rabbitmq-c/amqp.h>
#include <rabbitmq-c/framing.h>
#include <rabbitmq-c/ssl_socket.h>
#include <rabbitmq-c/tcp_socket.h>
#else
#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#endif

#include "common/amqp/amqp.h"
#include "common/base/strbuf.h"

/* Messages go over channel 1 alone: librabbitmq loses frames when several channels carry messages.
 * Channel 2, or a later one, carries questions, because a refusal costs the channel that asked. */
#define AMQP_CHANNEL	   1
#define AMQP_PROBE_CHANNEL 2

/* One publish that the broker has not answered, or has answered while an older one still waits. */
struct amqp_slot {
	/* Of message id, exchange and routing key: a basic.return names nothing else. */
	uint64_t hash;
	uint8_t state; /* enum amqp_slot_state */
};
enum amqp_slot_state { SLOT_OPEN, SLOT_RETURNED /* its ack will follow */, SLOT_SETTLED };

/* A message that is coming in: a method frame, then a header frame, then body frames until the size
 * is reached. */
enum amqp_incoming_state { INCOMING_NONE, INCOMING_HEADER, INCOMING_BODY };
struct amqp_incoming {
	enum amqp_incoming_state state;
	bool returned;	     /* basic.return, else basic.deliver */
	uint64_t missing;    /* bytes of the body still to come */
	struct strbuf body;  /* only if it comes in more than one frame */
	amqp_pool_t strings; /* all strings of d; recycled with each message */
	struct amqp_header *headers;
	size_t nheaders, headers_cap;
	struct amqp_delivery d;
};

struct amqp_link {
	amqp_connection_state_t conn;
	int fd;
	int sndbuf;  /* bytes, as the kernel counts */
	bool broken; /* nothing goes any more: only amqp_close() */
	bool blocked;
	bool probe_open;	/* the channel of questions is, or opening it was asked */
	uint16_t ask_channel;	/* its number */
	struct amqp_asks *asks; /* under way; borrowed; NULL: none */
	bool enough;		/* amqp_enough() was called */
	struct mono beat;	/* when a heartbeat was last sent while messages were left unread */
	struct mono serviced;	/* when the socket was last read until it was empty */
	char peer[264];
	char boot[17]; /* random; the first part of the message ids */

	/* Publishes first … next-1 are in the ring, at their number modulo its capacity. */
	uint64_t first, next;
	struct amqp_slot *ring;
	size_t cap; /* a power of two */
	size_t unsettled;

	struct amqp_incoming in;
};

/* Marks the link broken and says why. Always false. */
bool amqp_link_broken(struct amqp_link *l, struct err *err, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Whether the answer of a synchronous method was good; otherwise the link is broken and err says
 * "what: why". */
bool amqp_rpc_ok(struct amqp_link *l, amqp_rpc_reply_t r, const char *what, struct err *err);
/* The broker's words in a failed answer: "404: NOT_FOUND - no queue …", or the library's. Returns
 * the broker's code, or 0. */
int amqp_rpc_reason(amqp_rpc_reply_t r, char *buf, size_t size);
/* Whether there is something to read. */
bool amqp_readable(const struct amqp_link *l);
/* Whether a third of the socket's send buffer or more is free. */
bool amqp_writable(const struct amqp_link *l);

uint64_t amqp_hash(const char *message_id, const char *exchange, const char *routing_key);
/* acked: basic.ack, else basic.nack. False: the broker named a publish that never was. */
bool amqp_settle(struct amqp_link *l, const struct amqp_handler *h, uint64_t tag, bool multiple,
		 bool acked);
/* Marks the publish that a basic.return belongs to; false if there is none. */
bool amqp_mark_returned(struct amqp_link *l, uint64_t hash);

/* A method on the channel of questions. False: the link is broken. */
bool amqp_take_answer(struct amqp_link *l, const amqp_method_t *m, struct err *err);
/* Asks what has room now, gives up what is not answered. False: the link is broken. */
bool amqp_ask_tick(struct amqp_link *l, struct err *err);

void amqp_incoming_init(struct amqp_incoming *in);
void amqp_incoming_clear(struct amqp_incoming *in);

#endif
