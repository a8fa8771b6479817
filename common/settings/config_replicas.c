/*
 * config_replicas.c: collects REPLICA_n_URL and REPLICA_n_NAME, however many there are; and STANDBY_n_URL and
 * STANDBY_n_NAME likewise.
 *
 * Promise: they come in the order of their numbers, with names that can be queue names,
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

struct family {
	const char *prefix;   /* of the variables */
	const char *fallback; /* of the names, before the number */
	const char *many;
};
static const struct family replicas = { "REPLICA_", "replica-", "replicas" };
static const struct family standbys = { "STANDBY_", "standby-", "standbys" };

enum variable { VARIABLE_OTHER, VARIABLE_URL, VARIABLE_NAME };

/* Takes "REPLICA_12_URL=…" apart. What only looks like one of ours is an error rather than a
 * replica that is missing without a word. */
static bool read_variable(const struct family *f, const char *entry, enum variable *ret,
			  unsigned *ret_number, struct err *err)
{
	*ret = VARIABLE_OTHER;
	if (strncmp(entry, f->prefix, strlen(f->prefix)) != 0)
		return true;

	const char *digits = entry + strlen(f->prefix);
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

static const char *value_of(const struct family *f, unsigned number, const char *what)
{
	char name[40];

	snprintf(name, sizeof(name), "%s%u_%s", f->prefix, number, what);
	const char *value = getenv(name);
	return value && *value ? value : NULL;
}

static bool check_name(const struct family *f, unsigned number, const char *name, struct err *err)
{
	size_t len = strlen(name);
	bool good = len <= NAME_MAX_BYTES && name[0] != '_' && name[0] != '-' &&
		    strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == len;

	if (!good)
		return err_set(err,
			       "%s%u_NAME is \"%.80s\": it must be 1 to %d characters from a-z, "
			       "0-9, \"_\" and \"-\", and begin with a letter or digit",
			       f->prefix, number, name, NAME_MAX_BYTES);
	if (strcmp(name, "primary") == 0)
		return err_set(err,
			       "%s%u_NAME is \"primary\": that word means the primary itself; "
			       "take another, such as %s%u",
			       f->prefix, number, f->fallback, number);
	return true;
}

static bool add(const struct family *f, struct replica_settings *r, unsigned number,
		const char *url, struct err *err)
{
	char setting[40];
	char fallback[40];
	const char *name = value_of(f, number, "NAME");

	snprintf(setting, sizeof(setting), "%s%u_URL", f->prefix, number);
	snprintf(fallback, sizeof(fallback), "%s%u", f->fallback, number);
	if (!name)
		name = fallback;

	if (r->n == REPLICAS_MAX)
		return err_set(err,
			       "%s: there are more than %d %s, the most that one "
			       "process serves",
			       setting, REPLICAS_MAX, f->many);
	if (!config_check_pg_url(setting, url, err) || !check_name(f, number, name, err))
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

static bool collect(const struct family *f, struct replica_settings *r, struct err *err)
{
	for (char **entry = environ; entry && *entry; entry++) {
		enum variable kind;
		unsigned number = 0;

		if (!read_variable(f, *entry, &kind, &number, err))
			return false;
		if (kind == VARIABLE_NAME && !value_of(f, number, "URL"))
			return err_set(err,
				       "%s%u_NAME is set but %s%u_URL is not: set it, or "
				       "remove the name",
				       f->prefix, number, f->prefix, number);
		if (kind == VARIABLE_URL && !add(f, r, number, strchr(*entry, '=') + 1, err))
			return false;
	}
	return true;
}

static bool same_name(const struct family *f, const struct replica_setting *r,
		      const struct family *g, const struct replica_setting *other, struct err *err)
{
	if (strcmp(r->name, other->name) != 0)
		return false;
	err_set(err,
		"%s%u_NAME and %s%u_NAME are both \"%s\" (a "
		"name that is not set is %sn): names must differ",
		f->prefix, r->number, g->prefix, other->number, r->name, g->fallback);
	return true;
}

static bool names_differ(const struct replica_settings *r, const struct replica_settings *s,
			 struct err *err)
{
	for (size_t i = 0; i < r->n; i++) {
		for (size_t j = 0; j < i; j++)
			if (same_name(&replicas, &r->replica[j], &replicas, &r->replica[i], err))
				return false;
		for (size_t j = 0; s && j < s->n; j++)
			if (same_name(&replicas, &r->replica[i], &standbys, &s->replica[j], err))
				return false;
	}
	for (size_t i = 0; s && i < s->n; i++)
		for (size_t j = 0; j < i; j++)
			if (same_name(&standbys, &s->replica[j], &standbys, &s->replica[i], err))
				return false;
	return true;
}

static bool enough(const struct replica_settings *r, size_t at_least, struct err *err)
{
	unsigned number = 1;

	if (r->n >= at_least)
		return true;
	while (value_of(&replicas, number, "URL"))
		number++;
	return err_set(err,
		       "REPLICA_%u_URL is not set: %zu replica%s needed and %zu %s there; set "
		       "it to "
		       "a URI such as postgresql://user:password@host:5432/products",
		       number, at_least, at_least == 1 ? " is" : "s are", r->n,
		       r->n == 1 ? "is" : "are");
}

bool config_load_replicas(struct replica_settings *ret, size_t at_least,
			  struct replica_settings *ret_standbys, struct err *err)
{
	struct replica_settings r = { .n = 0 }, s = { .n = 0 };

	if (collect(&replicas, &r, err) && (!ret_standbys || collect(&standbys, &s, err)) &&
	    names_differ(&r, ret_standbys ? &s : NULL, err) && enough(&r, at_least, err)) {
		*ret = r;
		if (ret_standbys)
			*ret_standbys = s;
		return true;
	}
	config_free_replicas(&r);
	config_free_replicas(&s);
	return false;
}

void config_free_replicas(struct replica_settings *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->replica[i].url);
		free(r->replica[i].name);
	}
	*r = (struct replica_settings){ .n = 0 };
}
