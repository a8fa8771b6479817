/*
 * config_replicas.c: collects REPLICA_n_URL and REPLICA_n_NAME, however many there are.
 *
 * Promise: the replicas come in the order of their numbers, with names that can be queue names,
 * metric labels and HTTP header values as they are, and that differ. No URL appears in an error
 * line. Main thread, before others start.
 */
#include "common/settings/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_MAX_BYTES	  48
#define NUMBER_MAX_DIGITS 6

static const char prefix[] = "REPLICA_";

enum variable { VARIABLE_OTHER, VARIABLE_URL, VARIABLE_NAME };

/* Takes "REPLICA_12_URL=…" apart. What only looks like one of ours is an error rather than a
 * replica that is missing without a word. */
static bool read_variable(const char *entry, enum variable *ret, unsigned *ret_number,
			  struct err *err)
{
	*ret = VARIABLE_OTHER;
	if (strncmp(entry, prefix, strlen(prefix)) != 0)
		return true;

	const char *digits = entry + strlen(prefix);
	size_t n = strspn(digits, "0123456789");
	const char *rest = digits + n;
	enum variable kind = strncmp(rest, "_URL=", 5) == 0    ? VARIABLE_URL
			     : strncmp(rest, "_NAME=", 6) == 0 ? VARIABLE_NAME
							       : VARIABLE_OTHER;

	if (n == 0 || kind == VARIABLE_OTHER)
		return true;
	if (!strchr(rest, '=')[1])
		return true; /* set to nothing: not set */
	if (digits[0] == '0' || n > NUMBER_MAX_DIGITS)
		return err_set(
			err,
			"%.*s: the number must be 1 or more, without leading zeros and with at "
			"most %d digits",
			(int)min_size(strcspn(entry, "="), 60), entry, NUMBER_MAX_DIGITS);
	*ret_number = (unsigned)strtoul(digits, NULL, 10);
	*ret = kind;
	return true;
}

static const char *value_of(unsigned number, const char *what)
{
	char name[40];

	snprintf(name, sizeof(name), "%s%u_%s", prefix, number, what);
	const char *value = getenv(name);
	return value && *value ? value : NULL;
}

static bool check_name(unsigned number, const char *name, struct err *err)
{
	size_t len = strlen(name);
	bool good = len <= NAME_MAX_BYTES && name[0] != '_' && name[0] != '-' &&
		    strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == len;

	if (!good)
		return err_set(
			err,
			"REPLICA_%u_NAME is \"%.80s\": it must be 1 to %d characters from a-z, "
			"0-9, \"_\" and \"-\", and begin with a letter or digit",
			number, name, NAME_MAX_BYTES);
	if (strcmp(name, "primary") == 0)
		return err_set(
			err,
			"REPLICA_%u_NAME is \"primary\": that word means the primary itself; "
			"take another, such as replica-%u",
			number, number);
	return true;
}

static bool add(struct replica_settings *r, unsigned number, const char *url, struct err *err)
{
	char setting[40];
	char fallback[40];
	const char *name = value_of(number, "NAME");

	snprintf(setting, sizeof(setting), "%s%u_URL", prefix, number);
	snprintf(fallback, sizeof(fallback), "replica-%u", number);
	if (!name)
		name = fallback;

	if (r->n == REPLICAS_MAX)
		return err_set(err,
			       "%s: there are more than %d replicas, the most that one "
			       "process serves",
			       setting, REPLICAS_MAX);
	if (!config_check_pg_url(setting, url, err) || !check_name(number, name, err))
		return false;

	/* By number: the environment has no order. */
	size_t at = r->n;
	while (at > 0 && r->replica[at - 1].number > number) {
		r->replica[at] = r->replica[at - 1];
		at--;
	}
	r->replica[at] = (struct replica_setting){
		.name = xstrdup(name),
		.url = xstrdup(url),
		.number = number,
	};
	r->n++;
	return true;
}

static bool collect(struct replica_settings *r, struct err *err)
{
	for (char **entry = environ; entry && *entry; entry++) {
		enum variable kind;
		unsigned number = 0;

		if (!read_variable(*entry, &kind, &number, err))
			return false;
		if (kind == VARIABLE_NAME && !value_of(number, "URL"))
			return err_set(
				err,
				"REPLICA_%u_NAME is set but REPLICA_%u_URL is not: set it, or "
				"remove the name",
				number, number);
		if (kind == VARIABLE_URL && !add(r, number, strchr(*entry, '=') + 1, err))
			return false;
	}
	return true;
}

static bool names_differ(const struct replica_settings *r, struct err *err)
{
	for (size_t i = 1; i < r->n; i++)
		for (size_t j = 0; j < i; j++)
			if (strcmp(r->replica[i].name, r->replica[j].name) == 0)
				return err_set(
					err,
					"REPLICA_%u_NAME and REPLICA_%u_NAME are both \"%s\" (a "
					"name that is not set is replica-n): names must differ",
					r->replica[j].number, r->replica[i].number,
					r->replica[i].name);
	return true;
}

bool config_load_replicas(struct replica_settings *ret, size_t at_least, struct err *err)
{
	struct replica_settings r = { .n = 0 };
	bool good = collect(&r, err) && names_differ(&r, err);

	if (good && r.n < at_least) {
		unsigned number = 1;
		while (value_of(number, "URL"))
			number++;
		good = err_set(
			err,
			"REPLICA_%u_URL is not set: %zu replica%s needed and %zu %s there; set "
			"it to "
			"a URI such as postgresql://user:password@host:5432/products",
			number, at_least, at_least == 1 ? " is" : "s are", r.n,
			r.n == 1 ? "is" : "are");
	}
	if (!good) {
		config_free_replicas(&r);
		return false;
	}
	*ret = r;
	return true;
}

void config_free_replicas(struct replica_settings *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->replica[i].url);
		free(r->replica[i].name);
	}
	*r = (struct replica_settings){ .n = 0 };
}
