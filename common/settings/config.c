/*
 * config.c: fills a settings struct from the environment by a table, and shows it.
 *
 * Promise: a value is taken as it was meant or refused with a line that names the setting, what is
 * wrong and what would be right; the value of a secret setting appears in no line. Main thread,
 * before others start. The .env file is config_env.c, the replicas are config_replicas.c.
 */
#include "common/settings/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/strbuf.h"
#include "common/base/uri.h"
#include "common/base/utf8.h"
#include "common/pg/db.h"

static bool is_string(const struct setting *s)
{
	return s->type != SETTING_INT && s->type != SETTING_BOOL;
}

static bool is_secret(const struct setting *s)
{
	size_t len = strlen(s->name);

	return s->secret || s->type == SETTING_PG_URL || s->type == SETTING_AMQP_URL ||
	       (len > 4 && strcmp(s->name + len - 4, "_URL") == 0);
}

static char **string_member(const struct setting *s, void *settings)
{
	return (char **)(void *)((char *)settings + s->offset);
}

/* ---- checks ---- */

/* 'NAME is "value": it', or 'NAME' alone for a secret, as the beginning of a refusal; size is room
 * for both. */
static void describe(const struct setting *s, const char *value, char *out, size_t size)
{
	if (is_secret(s))
		snprintf(out, size, "%s", s->name);
	else
		snprintf(out, size, "%s is \"%.80s%s\": it", s->name, value,
			 strlen(value) > 80 ? "..." : "");
}

static bool parse_int(const struct setting *s, const char *value, int64_t *ret, struct err *err)
{
	char what[256];
	int64_t v;

	if (!int64_from_text(value, strlen(value), &v) || v < s->min || v > s->max) {
		describe(s, value, what, sizeof(what));
		return err_set(err, "%s must be a whole number from %lld to %lld", what,
			       (long long)s->min, (long long)s->max);
	}
	*ret = v;
	return true;
}

static bool parse_bool(const struct setting *s, const char *value, bool *ret, struct err *err)
{
	static const char *const words[] = { "false", "true", "0", "1", "off", "on", "no", "yes" };
	char what[256];

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcasecmp(value, words[i]) == 0) {
			*ret = i % 2 == 1;
			return true;
		}
	}
	describe(s, value, what, sizeof(what));
	return err_set(err, "%s must be true or false (1, 0, on, off, yes and no are fine too)",
		       what);
}

/* "text|json" as "text or json", "a|b|c" as "a, b or c". */
static void choices_for_people(const char *choices, struct strbuf *out)
{
	const char *last = strrchr(choices, '|');

	for (const char *p = choices; *p; p++) {
		if (*p != '|')
			strbuf_addch(out, *p);
		else
			strbuf_addstr(out, p == last ? " or " : ", ");
	}
}

static bool check_choice(const struct setting *s, const char *value, struct err *err)
{
	AUTO_STRBUF list = STRBUF_INIT;
	size_t len = strlen(value);
	char what[256];

	for (const char *p = s->choices; *p;) {
		size_t n = strcspn(p, "|");

		if (n == len && memcmp(p, value, n) == 0)
			return true;
		p += n + (p[n] == '|');
	}
	choices_for_people(s->choices, &list);
	describe(s, value, what, sizeof(what));
	return err_set(err, "%s must be %s", what, strbuf_str(&list));
}

/* Control characters end up in values by a slip of the editor or of a shell quote. */
static bool has_control(const char *s)
{
	const char *end = s + strlen(s);

	for (size_t n; s < end; s += n ? n : 1) {
		n = utf8_step(s, end);
		if (n > 0 && utf8_steers(s, n))
			return true;
	}
	return false;
}

bool config_check_pg_url(const char *name, const char *value, struct err *err)
{
	if (has_control(value))
		return err_set(err, "%s must not contain line breaks or other control characters",
			       name);
	bool uri = strncmp(value, "postgresql://", 13) == 0 ||
		   strncmp(value, "postgres://", 11) == 0;

	/* libpq takes them until 17 and refuses them from 18 on. */
	if (uri && strchr(value, ' '))
		return err_set(err, "%s must not contain blanks; inside a password write %%20",
			       name);
	return db_check_uri(value, err) || err_set(err, "%s %s", name, err->text);
}

static bool check_amqp_url(const char *name, const char *value, struct err *err)
{
	for (unsigned entry = 1;; entry++) {
		value += strspn(value, " ");
		size_t len = strcspn(value, ",");
		size_t scheme = strncmp(value, "amqps://", 8) == 0  ? 8
				: strncmp(value, "amqp://", 7) == 0 ? 7
								    : 0;

		if (!scheme || len <= scheme)
			return err_set(
				err,
				"%s: entry %u of the list must begin with amqp:// or amqps://, "
				"such as "
				"amqp://user:password@host:5672/ (a comma inside a password is "
				"written %%2C)",
				name, entry);
		if (!value[len])
			return true;
		value += len + 1;
	}
}

static bool check_string(const struct setting *s, const char *value, struct err *err)
{
	size_t len = strlen(value);

	if (has_control(value))
		return err_set(err, "%s must not contain line breaks or other control characters",
			       s->name);
	if ((int64_t)len < s->min || (s->max > 0 && (int64_t)len > s->max)) {
		if (s->max > 0)
			return err_set(err, "%s has %zu bytes: %lld to %lld are allowed", s->name,
				       len, (long long)s->min, (long long)s->max);
		return err_set(err, "%s has %zu bytes: at least %lld are needed", s->name, len,
			       (long long)s->min);
	}
	return true;
}

/* ---- loading ---- */

static bool load_one(const struct setting *s, void *settings, struct err *err)
{
	char *member = (char *)settings + s->offset;
	const char *value = getenv(s->name);

	if (!value || !*value) {
		if (!s->fallback)
			return err_set(err, "%s is not set; it is needed: %s", s->name, s->help);
		value = s->fallback;
	}

	if (s->type == SETTING_INT)
		return parse_int(s, value, (int64_t *)(void *)member, err);
	if (s->type == SETTING_BOOL)
		return parse_bool(s, value, (bool *)(void *)member, err);

	bool good = true;
	if (s->type == SETTING_CHOICE)
		good = check_choice(s, value, err);
	else if (*value) /* else: not set, and needs not be */
		good = check_string(s, value, err);
	if (good && *value && s->type == SETTING_PG_URL)
		good = config_check_pg_url(s->name, value, err);
	if (good && *value && s->type == SETTING_AMQP_URL)
		good = check_amqp_url(s->name, value, err);
	if (good)
		*string_member(s, settings) = xstrdup(value);
	return good;
}

bool config_load(const struct setting *table, size_t n, void *settings, struct err *err)
{
	for (size_t i = 0; i < n; i++)
		if (is_string(&table[i]))
			*string_member(&table[i], settings) = NULL;
	for (size_t i = 0; i < n; i++) {
		if (!load_one(&table[i], settings, err)) {
			config_free(table, n, settings);
			return false;
		}
	}
	return true;
}

void config_free(const struct setting *table, size_t n, void *settings)
{
	for (size_t i = 0; i < n; i++) {
		if (!is_string(&table[i]))
			continue;

		char **member = string_member(&table[i], settings);
		free(*member);
		*member = NULL;
	}
}

/* ---- showing ---- */

static void help_line(const char *name, const char *help, const char *remark)
{
	/* Two blanks, the name, a blank: the documentation check looks for exactly that. */
	printf("  %-24s %s (%s)\n", name, help, remark);
}

void config_help(const struct setting *table, size_t n, bool standbys)
{
	for (size_t i = 0; i < n; i++) {
		const struct setting *s = &table[i];
		AUTO_STRBUF remark = STRBUF_INIT;
		char scrubbed[512];

		if (s->type == SETTING_INT)
			strbuf_addf(&remark, "%lld to %lld, ", (long long)s->min,
				    (long long)s->max);
		if (s->type == SETTING_CHOICE) {
			choices_for_people(s->choices, &remark);
			strbuf_addstr(&remark, ", ");
		}
		if (!s->fallback) {
			strbuf_addstr(&remark, "required");
		} else if (!*s->fallback) {
			strbuf_addstr(&remark, "default: not set");
		} else if (is_secret(s)) {
			uri_scrub(s->fallback, scrubbed, sizeof(scrubbed));
			strbuf_addf(&remark, "default %s", scrubbed);
		} else {
			strbuf_addf(&remark, "default %s", s->fallback);
		}
		help_line(s->name, s->help, strbuf_str(&remark));
	}
	help_line("REPLICA_n_URL", "replica n, any libpq URI; n = 1, 2, ..., gaps are fine",
		  "at least one");
	help_line("REPLICA_n_NAME", "its name in queues, logs and answers: a-z, 0-9, _ and -",
		  "default replica-n");
	if (!standbys)
		return;
	help_line("STANDBY_n_URL",
		  "streaming standby n of the primary: it serves reads too, and may be promoted",
		  "default: not set");
	help_line("STANDBY_n_NAME", "its name in logs and answers", "default standby-n");
}

static void print_secret(const char *name, const char *value)
{
	/* A list of many brokers or hosts may be long; what does not fit is cut. */
	char scrubbed[2048];

	uri_scrub(value, scrubbed, sizeof(scrubbed));
	printf("%s=%s\n", name, scrubbed);
}

static void print_servers(const char *prefix, const struct replica_settings *servers)
{
	for (size_t i = 0; servers && i < servers->n; i++) {
		const struct replica_setting *r = &servers->replica[i];
		char name[32];

		snprintf(name, sizeof(name), "%s%u_URL", prefix, r->number);
		print_secret(name, r->url);
		printf("%s%u_NAME=%s\n", prefix, r->number, r->name);
	}
}

void config_print(const struct setting *table, size_t n, const void *settings,
		  const struct replica_settings *replicas, const struct replica_settings *standbys)
{
	for (size_t i = 0; i < n; i++) {
		const struct setting *s = &table[i];
		const char *member = (const char *)settings + s->offset;

		if (s->type == SETTING_INT) {
			printf("%s=%lld\n", s->name,
			       (long long)*(const int64_t *)(const void *)member);
		} else if (s->type == SETTING_BOOL) {
			printf("%s=%s\n", s->name,
			       *(const bool *)(const void *)member ? "true" : "false");
		} else {
			const char *value = *(char *const *)(const void *)member;

			if (is_secret(s))
				print_secret(s->name, value);
			else
				printf("%s=%s\n", s->name, value);
		}
	}
	print_servers("REPLICA_", replicas);
	print_servers("STANDBY_", standbys);
}
