/*
 * amqp_declare.c: what is asked of the broker by itself and waited for: consuming, counting; and
 * the ack.
 *
 * Frames that arrive meanwhile (confirms, deliveries) stay queued in the library and come out of
 * the next amqp_service(), in their order. Every answer is awaited for at most the link's RPC
 * timeout; any failure breaks the link, but for a queue that amqp_queue_count() does not find.
 */
#include <stdio.h>
#include <string.h>

#include "common/amqp/amqp_private.h"

static bool usable(struct amqp_link *l, struct err *err)
{
	return l->broken ? err_set(err, "%s: the connection is broken", l->peer) : true;
}

static bool answered(struct amqp_link *l, const char *what, const char *name, struct err *err)
{
	char text[300];

	snprintf(text, sizeof(text), "%s %s", what, name);
	return amqp_rpc_ok(l, amqp_get_rpc_reply(l->conn), text, err);
}

bool amqp_qos(struct amqp_link *l, unsigned prefetch, struct err *err)
{
	if (!usable(l, err))
		return false;
	/* Per consumer: quorum queues refuse a prefetch for the whole channel. */
	amqp_basic_qos(l->conn, AMQP_CHANNEL, 0,
		       (uint16_t)(prefetch > UINT16_MAX ? UINT16_MAX : prefetch), 0);
	return answered(l, "setting the prefetch", "", err);
}

bool amqp_consume(struct amqp_link *l, const char *queue, const char *consumer_tag, struct err *err)
{
	if (!usable(l, err))
		return false;
	amqp_basic_consume(l->conn, AMQP_CHANNEL, amqp_cstring_bytes(queue),
			   amqp_cstring_bytes(consumer_tag), 0, 0, 0, amqp_empty_table);
	return answered(l, "consuming from", queue, err);
}

bool amqp_consume_replies(struct amqp_link *l, struct err *err)
{
	if (!usable(l, err))
		return false;
	amqp_basic_consume(l->conn, AMQP_CHANNEL, amqp_cstring_bytes(AMQP_REPLIES),
			   amqp_empty_bytes, 0, 1, 0, amqp_empty_table);
	return answered(l, "consuming from", AMQP_REPLIES, err);
}

bool amqp_ack(struct amqp_link *l, uint64_t tag, bool multiple, struct err *err)
{
	if (!usable(l, err))
		return false;
	int rc = amqp_basic_ack(l->conn, AMQP_CHANNEL, tag, multiple);
	if (rc != AMQP_STATUS_OK)
		return amqp_link_broken(l, err, "acknowledging: %s", amqp_error_string2(rc));
	return true;
}

bool amqp_queue_count(struct amqp_link *l, const char *queue, uint32_t *ret_messages,
		      bool *ret_exists, struct err *err)
{
	*ret_exists = true; /* unless the broker says no */
	if (!usable(l, err))
		return false;
	if (!l->probe_open) {
		amqp_channel_open(l->conn, l->ask_channel);
		if (!answered(l, "opening a channel", "", err))
			return false;
		l->probe_open = true;
	}
	const amqp_queue_declare_ok_t *ok = amqp_queue_declare(
		l->conn, l->ask_channel, amqp_cstring_bytes(queue), 1, 0, 0, 0, amqp_empty_table);
	amqp_rpc_reply_t r = amqp_get_rpc_reply(l->conn);
	if (r.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION &&
	    r.reply.id == AMQP_CHANNEL_CLOSE_METHOD) {
		char reason[320];
		amqp_channel_close_ok_t close_ok = { 0 };
		int code = amqp_rpc_reason(r, reason, sizeof(reason));
		l->probe_open = false;
		int rc = amqp_send_method(l->conn, l->ask_channel, AMQP_CHANNEL_CLOSE_OK_METHOD,
					  &close_ok);
		if (rc != AMQP_STATUS_OK)
			return amqp_link_broken(l, err, "closing a channel: %s",
						amqp_error_string2(rc));
		/* A queue whose node is down or that has just failed is 404 as well, in other
		 * words. */
		*ret_exists = code != AMQP_NOT_FOUND || !strstr(reason, "no queue");
		return err_set(err, "queue %s: %s", queue, reason);
	}
	if (!answered(l, "counting queue", queue, err))
		return false;
	*ret_messages = ok->message_count;
	return true;
}
