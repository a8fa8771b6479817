/*
 * clock.h: time. A moment on the monotonic clock has its own type so that it cannot meet a duration
 * or wall time by accident. Durations are int64_t milliseconds in names ending _ms, microseconds in
 * names ending _us. Any thread.
 */
#ifndef PGFANOUT_COMMON_BASE_CLOCK_H
#define PGFANOUT_COMMON_BASE_CLOCK_H

#include <pthread.h>

#include "common/base/base.h"

struct mono {
	int64_t us; /* CLOCK_MONOTONIC; 0, as zeroed memory has it, is long past */
};
/* Later than any moment: it is never reached, and who waits for it waits for ever. */
#define MONO_NEVER ((struct mono){ INT64_MAX })

static inline bool mono_is_never(struct mono t)
{
	return t.us == INT64_MAX;
}
/* Never plus anything is never. */
struct mono mono_now(void);
static inline struct mono mono_add_ms(struct mono t, int64_t ms)
{
	return mono_is_never(t) ? t : (struct mono){ t.us + ms * 1000 };
}
static inline struct mono mono_add_us(struct mono t, int64_t us)
{
	return mono_is_never(t) ? t : (struct mono){ t.us + us };
}
static inline struct mono mono_earlier(struct mono a, struct mono b)
{
	return a.us <= b.us ? a : b;
}
static inline bool mono_reached(struct mono t, struct mono now)
{
	return t.us <= now.us;
}
/* Milliseconds from now until t, rounded up, never negative, at most max_ms: what poll() wants. */
int mono_until_ms(struct mono t, struct mono now, int max_ms);
/* A condition that is waited for until a moment; never: until it is signalled. */
void mono_cond_init(pthread_cond_t *c);
void mono_cond_wait(pthread_cond_t *c, pthread_mutex_t *lock, struct mono until);
static inline int64_t mono_diff_us(struct mono later, struct mono earlier)
{
	return later.us - earlier.us;
}

/* Wall clock, microseconds since 1970-01-01T00:00:00Z, and PostgreSQL's binary timestamptz,
 * microseconds since 2000-01-01T00:00:00Z: names end in wall_us and pg_us. */
#define CLOCK_PG_EPOCH_US INT64_C(946684800000000)
int64_t wall_now_us(void);
static inline int64_t clock_wall_to_pg(int64_t wall_us)
{
	return wall_us - CLOCK_PG_EPOCH_US;
}
static inline int64_t clock_pg_to_wall(int64_t pg_us)
{
	return pg_us + CLOCK_PG_EPOCH_US;
}

/* Writes "2026-01-31T12:00:00.123456Z" and returns its length: exactly 27 bytes plus NUL for the
 * years 0001 to 9999; other years get more digits or a sign (as in ISO 8601, the year before 0001
 * is 0000), infinities are "infinity" and "-infinity". buf has CLOCK_TIMESTAMP_MAX bytes. */
#define CLOCK_TIMESTAMP_MAX 40
size_t clock_format_pg(int64_t pg_us, char *buf);
size_t clock_format_wall(int64_t wall_us, char *buf);
/* Reads len bytes such as "2026-01-31T12:00:00.123456Z": 0 to 6 decimals, Z only, years 0001-9999;
 * anything else is refused. */
MUST_CHECK bool clock_parse_pg(const char *s, size_t len, int64_t *ret_pg_us);
/* The rest of PostgreSQL's timestamptz: "0044-03-15T00:00:00.000000Z BC", "12026-01-31T12:00:00Z AD",
 * "infinity", "-infinity"; what it does not have, is refused. */
MUST_CHECK bool clock_parse_pg_any(const char *s, size_t len, int64_t *ret_pg_us);
/* As clock_format_pg(), but so that one of these two reads it, and PostgreSQL, whatever the year. */
size_t clock_format_pg_any(int64_t pg_us, char *buf);

#endif
