/*
 * clock.c: reading the two clocks, and printing PostgreSQL's timestamps without a library call.
 *
 * Promise: no function here fails, and clock_format_pg prints every 64-bit value. Any thread.
 */
#include "common/base/clock.h"

#include <stdio.h>
#include <stdlib.h>
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

	/* Rounded up: a poll() that ended just before the moment would go round once more for
	 * nothing. */
	int64_t ms = (t.us - now.us - 1) / 1000 + 1;
	return ms < max_ms ? (int)ms : max_ms;
}

void mono_cond_init(pthread_cond_t *c)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(c, &attr);
	pthread_condattr_destroy(&attr);
}

void mono_cond_wait(pthread_cond_t *c, pthread_mutex_t *lock, struct mono until)
{
	const struct timespec t = { .tv_sec = until.us / 1000000,
				    .tv_nsec = until.us % 1000000 * 1000 };

	if (mono_is_never(until))
		pthread_cond_wait(c, lock);
	else
		pthread_cond_timedwait(c, lock, &t);
}

/* The day 2000-03-01 + days in the proleptic Gregorian calendar. The year is counted from March, so
 * that the leap day is its last one; 400 years have 146097 days. */
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

static char *put_2_digits(char *p, unsigned v)
{
	p[0] = (char)('0' + v / 10);
	p[1] = (char)('0' + v % 10);
	return p + 2;
}

/* Four digits, or more if it needs them: the years of 64 bits end with 294247. */
static char *put_year(char *p, unsigned year)
{
	if (year >= 100000)
		p = put_2_digits(p, year / 10000);
	else if (year >= 10000)
		*p++ = (char)('0' + year / 10000);
	p = put_2_digits(p, year / 100 % 100);
	return put_2_digits(p, year % 100);
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
	unsigned second = (unsigned)(rest / US_PER_S), us = (unsigned)(rest % US_PER_S);
	if (year < 0)
		*p++ = '-';
	p = put_year(p, (unsigned)(year < 0 ? -year : year));
	*p++ = '-';
	p = put_2_digits(p, month);
	*p++ = '-';
	p = put_2_digits(p, day);
	*p++ = 'T';
	p = put_2_digits(p, second / 3600);
	*p++ = ':';
	p = put_2_digits(p, second / 60 % 60);
	*p++ = ':';
	p = put_2_digits(p, second % 60);
	*p++ = '.';
	p = put_2_digits(p, us / 10000);
	p = put_2_digits(p, us / 100 % 100);
	p = put_2_digits(p, us % 100);
	*p++ = 'Z';
	*p = '\0';
	return (size_t)(p - buf);
}

size_t clock_format_wall(int64_t wall_us, char *buf)
{
	return clock_format_pg(clock_wall_to_pg(wall_us), buf);
}

/* ---- reading ---- */

/* n digits at p; -1 if they are not. */
static int digits_at(const char *p, size_t n)
{
	int v = 0;

	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return -1;
		v = v * 10 + (p[i] - '0');
	}
	return v;
}

static bool is_leap(int year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Days from 2000-01-01 in the Gregorian calendar, for the years from 1 on. */
static int64_t days_from_2000(int year, int month, int day)
{
	static const int before_month[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };
	int64_t y = year - 1;
	int64_t days = y * 365 + y / 4 - y / 100 + y / 400; /* of the years before this one */

	days += before_month[month - 1] + (month > 2 && is_leap(year)) + day - 1;
	return days - 730119; /* 2000-01-01 counted alike */
}

bool clock_parse_pg(const char *s, size_t len, int64_t *ret_pg_us)
{
	static const int month_days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	if (len < 20 || len > 27 || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' ||
	    s[16] != ':' || s[len - 1] != 'Z')
		return false;
	int year = digits_at(s, 4), month = digits_at(s + 5, 2), day = digits_at(s + 8, 2);
	int hour = digits_at(s + 11, 2), minute = digits_at(s + 14, 2),
	    second = digits_at(s + 17, 2);
	if (year < 1 || month < 1 || month > 12 || day < 1 || hour < 0 || hour > 23 || minute < 0 ||
	    minute > 59 || second < 0 || second > 59)
		return false;
	if (day > month_days[month - 1] + (month == 2 && is_leap(year)))
		return false;

	int micros = 0;
	if (len > 20) {
		size_t n = len - 21; /* between the point and the Z */
		if (s[19] != '.' || n == 0)
			return false;
		micros = digits_at(s + 20, n);
		if (micros < 0)
			return false;
		for (; n < 6; n++)
			micros *= 10;
	}
	int64_t seconds = days_from_2000(year, month, day) * 86400 + hour * 3600 + minute * 60 +
			  second;
	*ret_pg_us = seconds * US_PER_S + micros;
	return true;
}

/* ---- any year ---- */

/* What PostgreSQL has: from 4714-11-24 BC to the end of 294276 AD; and what four digits hold of it. */
#define PG_FIRST_US   INT64_C(-211813488000000000)
#define PG_END_US     INT64_C(9223371331200000000)
#define YEAR_1_US     INT64_C(-63082281600000000)
#define YEAR_10000_US INT64_C(252455616000000000)
#define PG_FIRST_YEAR (-4713)
#define PG_LAST_YEAR  294276

static bool parse_any(const char *s, size_t len, int64_t *ret_pg_us)
{
	char text[CLOCK_TIMESTAMP_MAX];
	size_t digits = 0;
	bool before_christ = len > 3 && memcmp(s + len - 3, " BC", 3) == 0;

	if (!before_christ && (len <= 3 || memcmp(s + len - 3, " AD", 3) != 0))
		return false;
	len -= 3;
	while (digits < len && s[digits] >= '0' && s[digits] <= '9')
		digits++;
	if (digits < 4 || digits > 6 || len - digits + 4 >= sizeof(text))
		return false;
	int64_t year = 0, us;
	for (size_t i = 0; i < digits; i++)
		year = year * 10 + (s[i] - '0');
	if (year < 1)
		return false;
	year = before_christ ? 1 - year : year;
	if (year < PG_FIRST_YEAR || year > PG_LAST_YEAR) /* 64 bits would not hold them all */
		return false;
	/* The calendar repeats itself every 400 years of 146,097 days. */
	int64_t cycles = (year - 2000) / 400 - ((year - 2000) % 400 < 0);
	text[0] = (char)('0' + (year - 400 * cycles) / 1000);
	text[1] = (char)('0' + (year - 400 * cycles) / 100 % 10);
	text[2] = (char)('0' + (year - 400 * cycles) / 10 % 10);
	text[3] = (char)('0' + (year - 400 * cycles) % 10);
	memcpy(text + 4, s + digits, len - digits);
	if (!clock_parse_pg(text, len - digits + 4, &us))
		return false;
	us += cycles * 146097 * US_PER_DAY;
	if (us < PG_FIRST_US || us >= PG_END_US)
		return false;
	*ret_pg_us = us;
	return true;
}

bool clock_parse_pg_any(const char *s, size_t len, int64_t *ret_pg_us)
{
	static const char forever[] = "infinity";

	if (len == strlen(forever) && memcmp(s, forever, len) == 0)
		*ret_pg_us = INT64_MAX;
	else if (len == strlen(forever) + 1 && s[0] == '-' && memcmp(s + 1, forever, len - 1) == 0)
		*ret_pg_us = INT64_MIN;
	else
		return parse_any(s, len, ret_pg_us);
	return true;
}

size_t clock_format_pg_any(int64_t pg_us, char *buf)
{
	char text[CLOCK_TIMESTAMP_MAX], *rest;
	size_t len = clock_format_pg(pg_us, buf);

	if ((pg_us >= YEAR_1_US && pg_us < YEAR_10000_US) || pg_us == INT64_MAX ||
	    pg_us == INT64_MIN)
		return len;
	if (pg_us >= YEAR_10000_US) {
		memcpy(buf + len, " AD", sizeof(" AD"));
		return len + 3;
	}
	memcpy(text, buf, len + 1);
	long year = strtol(text, &rest, 10);
	/* 4714 BC is the first. */
	return (size_t)snprintf(buf, CLOCK_TIMESTAMP_MAX, "%04ld%s BC", 1 - year, rest);
}
