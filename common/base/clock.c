/*
 * clock.c: reading the two clocks, and printing PostgreSQL's timestamps without a library call.
 *
 * Promise: no function here fails, and clock_format_pg prints every 64-bit value. Any thread.
 */
#include "common/base/clock.h"

#include <string.h>
#include <time.h>

#define US_PER_S   INT64_C(1000000)
#define US_PER_DAY (INT64_C(86400) * US_PER_S)

static int64_t now_us(clockid_t clock)
{
	struct timespec ts;

	if (clock_gettime(clock, &ts) != 0)
		fatal("clock_gettime does not know clock %d", (int)clock);
	return (int64_t)ts.tv_sec * US_PER_S + ts.tv_nsec / 1000;
}

struct mono mono_now(void)
{
	return (struct mono){ now_us(CLOCK_MONOTONIC) };
}

int64_t wall_now_us(void)
{
	return now_us(CLOCK_REALTIME);
}

int mono_until_ms(struct mono t, struct mono now, int max_ms)
{
	if (t.us <= now.us)
		return 0;

	/* Rounded up: a poll() that ended just before the moment would go round once more for nothing. */
	int64_t ms = (t.us - now.us - 1) / 1000 + 1;
	return ms < max_ms ? (int)ms : max_ms;
}

/* The day 2000-03-01 + days in the proleptic Gregorian calendar. The year is counted from March, so that the
 * leap day is its last one; 400 years have 146097 days. */
static void civil_from_days(int64_t days, int64_t *ret_year, unsigned *ret_month, unsigned *ret_day)
{
	int64_t era = (days >= 0 ? days : days - 146096) / 146097;
	unsigned of_era = (unsigned)(days - era * 146097);
	unsigned year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	unsigned of_year = of_era - (365 * year + year / 4 - year / 100);
	unsigned month = (5 * of_year + 2) / 153; /* 0 is March */

	*ret_day = of_year - (153 * month + 2) / 5 + 1;
	*ret_month = month < 10 ? month + 3 : month - 9;
	*ret_year = 2000 + era * 400 + year + (month >= 10);
}

static char *put_digits(char *p, uint64_t v, unsigned width)
{
	for (unsigned i = width; i-- > 0; v /= 10)
		p[i] = (char)('0' + v % 10);
	return p + width;
}

size_t clock_format_pg(int64_t pg_us, char *buf)
{
	if (pg_us == INT64_MAX) {
		memcpy(buf, "infinity", sizeof("infinity"));
		return strlen("infinity");
	}
	if (pg_us == INT64_MIN) {
		memcpy(buf, "-infinity", sizeof("-infinity"));
		return strlen("-infinity");
	}

	int64_t days = pg_us / US_PER_DAY;
	int64_t rest = pg_us % US_PER_DAY;
	if (rest < 0) {
		rest += US_PER_DAY;
		days--;
	}

	int64_t year;
	unsigned month, day;
	civil_from_days(days - 60, &year, &month,
			&day); /* 2000-01-01 is 60 days before 2000-03-01 */

	char *p = buf;
	uint64_t absolute = (uint64_t)(year < 0 ? -year : year);
	unsigned width = 4;
	for (uint64_t v = absolute / 10000; v; v /= 10)
		width++;
	if (year < 0)
		*p++ = '-';

	uint64_t second = (uint64_t)(rest / US_PER_S);
	p = put_digits(p, absolute, width);
	*p++ = '-';
	p = put_digits(p, month, 2);
	*p++ = '-';
	p = put_digits(p, day, 2);
	*p++ = 'T';
	p = put_digits(p, second / 3600, 2);
	*p++ = ':';
	p = put_digits(p, second / 60 % 60, 2);
	*p++ = ':';
	p = put_digits(p, second % 60, 2);
	*p++ = '.';
	p = put_digits(p, (uint64_t)(rest % US_PER_S), 6);
	*p++ = 'Z';
	*p = '\0';
	return (size_t)(p - buf);
}
