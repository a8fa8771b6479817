/*
 * auto_reset.c: see auto_reset.h.
 *
 * The rule:
 *   1. It resets only a replica that is marked because changes were lost in its queues. One that
 *      was never loaded, or was marked by hand, waits for reset-replicas.
 *   2. The first time at once. After each try, also a good one, the next one waits 5 s to 10 min:
 *      when MAX_BACKLOG_MESSAGES is too small for the time a reset takes, each reset makes the next
 *      one necessary. A load of tables that went well makes nothing wait: it was asked for. While another
 *      reset runs, or a table is being altered, it looks again soon.
 *   3. While a primary, replica or broker does not answer, it waits. After
 *      TRIES other failures in a row it gives up: a person has to look. A start of the consumer, or
 *      QUIET_MS without a try, resets the count.
 */
#include "consumer/apply/auto_reset.h"

#include "common/base/log.h"
#include "common/base/stop.h"
#include "consumer/reset/reset.h"

#define TRIES	  10
#define BUSY_MS	  1000
#define FIRST_MS  5000
#define MOST_MS	  600000
#define QUIET_MS  (2 * MOST_MS)
#define VERIFY_MS 30000 /* a replica whose heartbeats stand still for so long is given up */

void auto_reset_init(struct auto_reset *a, const struct consumer_settings *settings, size_t index,
		     const struct stream *stream)
{
	*a = (struct auto_reset){ .settings = settings, .index = index, .stream = stream };
	backoff_init(&a->backoff, FIRST_MS, MOST_MS);
}

bool auto_reset_possible(const struct auto_reset *a)
{
	return a->settings->auto_reset && a->settings->database_url[0] != '\0' && !a->given_up;
}

bool auto_reset_due(const struct auto_reset *a, struct mono now)
{
	return auto_reset_possible(a) && mono_reached(a->at, now);
}

struct reset_settings auto_reset_settings(const struct consumer_settings *s)
{
	return (struct reset_settings){
		.database_url = s->database_url,
		.rabbitmq_url = s->rabbitmq_url,
		.max_attempts = s->max_attempts,
		.stall_timeout_ms = s->reset_stall_timeout_ms,
		.swap_timeout_ms = s->reset_swap_timeout_ms,
		.verify_timeout_ms = VERIFY_MS,
		.log_level = s->log_level,
		.log_format = s->log_format,
		.replicas = s->replicas,
	};
}

static enum exit_code reset(const struct auto_reset *a, const char *tables)
{
	const struct reset_settings settings = auto_reset_settings(a->settings);
	struct reset_request request = {
		.settings = &settings, .stream = a->stream, .tables = tables, .quiet = true
	};

	request.chosen[a->index] = true;
	return reset_run(&request);
}

void auto_reset_run(struct auto_reset *a, const char *reason, const char *tables)
{
	const char *replica = a->settings->replicas.replica[a->index].name;
	struct mono start = mono_now();

	if (mono_reached(mono_add_ms(a->ran_at, QUIET_MS), start)) {
		backoff_reset(&a->backoff);
		a->failures = 0;
	}
	log_info("the replica resets itself", KV_S("replica", replica), KV_S("reason", reason));
	enum exit_code code = reset(a, tables);
	int64_t wait_ms = code == EXIT_OK && tables != NULL ? 0
			  : code == EXIT_BUSY		    ? BUSY_MS
							    : backoff_next_ms(&a->backoff);

	a->ran_at = mono_now();
	a->at = mono_add_ms(a->ran_at, wait_ms);
	if (code == EXIT_OK) {
		if (tables != NULL)
			backoff_reset(&a->backoff);
		a->failures = 0;
		log_info("the replica has been reset", KV_S("replica", replica),
			 KV_I("ms", mono_diff_us(a->ran_at, start) / 1000));
		return;
	}
	if (stop_requested())
		return;
	if (code != EXIT_UNREACHABLE && code != EXIT_BUSY && ++a->failures >= TRIES) {
		a->given_up = true;
		log_error(
			"the replica could not reset itself, and does not try again: fix the cause "
			"logged above, then run reset-replicas --replica with its name",
			KV_S("replica", replica), KV_I("tries", TRIES));
		return;
	}
	log_warn("the replica could not reset itself; trying again", KV_S("replica", replica),
		 KV_I("in_ms", wait_ms));
}
