/*
 * log.h: one line an event on stderr, as key=value text or as JSON, with stable keys.
 *
 * text: 2026-01-31T12:00:00.123Z info api relay connected broker=127.0.0.1:5672 attempts=3
 * json: {"time":"…","level":"info","program":"api","thread":"relay","message":"connected",
 *        "broker":"127.0.0.1:5672","attempts":3}
 *
 * A line is written with one write(2), so lines of threads do not mix. Secrets never reach this
 * module: connection strings are logged through uri_scrub() only. Any thread.
 */
#ifndef PGFANOUT_COMMON_BASE_LOG_H
#define PGFANOUT_COMMON_BASE_LOG_H

#include "common/base/base.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

struct log_kv {
	const char *key;
	const char *str; /* NULL: num is meant */
	int64_t num;
};
#define KV_S(k, v) ((struct log_kv){ .key = (k), .str = (v) })
#define KV_I(k, v) ((struct log_kv){ .key = (k), .num = (v) })

/* Before any thread starts. program: "api", "consumer", … (borrowed for ever). level and format as
 * in LOG_LEVEL, LOG_FORMAT; false if a word is unknown. */
bool log_init(const char *program, const char *level, const char *format);

/* Names the calling thread in its lines ("relay", "worker-1", "replica-2"); copied, 31 bytes at
 * most. */
void log_thread(const char *name);

bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *message, const struct log_kv *kv, size_t n);

#define LOG_AT(level, message, ...)                                                        \
	do {                                                                               \
		if (log_enabled(level)) {                                                  \
			const struct log_kv log_kvs_[] = { KV_I(NULL, 0), ##__VA_ARGS__ }; \
			log_write(level, message, log_kvs_ + 1, ARRAY_SIZE(log_kvs_) - 1); \
		}                                                                          \
	} while (0)
#define log_error(message, ...) LOG_AT(LOG_ERROR, message, ##__VA_ARGS__)
#define log_warn(message, ...)	LOG_AT(LOG_WARN, message, ##__VA_ARGS__)
#define log_info(message, ...)	LOG_AT(LOG_INFO, message, ##__VA_ARGS__)
#define log_debug(message, ...) LOG_AT(LOG_DEBUG, message, ##__VA_ARGS__)

#endif
