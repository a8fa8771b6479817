/*
 * dead_letters_args.c: see dead_letters_args.h.
 */
#include "consumer/letters/dead_letters_args.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

enum { OPT_REPLICA = 256 };

static bool parse_action(const char *word, enum dead_action *ret, struct err *err)
{
	static const char *const words[] = { "list", "show", "replay", "discard" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strcmp(word, words[i]) == 0) {
			*ret = (enum dead_action)i;
			return true;
		}
	return err_set(err, "\"%.60s\" is none of list, show, replay and discard", word);
}

static bool parse_options(int argc, char **argv, struct dead_args *a, struct err *err)
{
	const struct option options[] = {
		{ "replica", required_argument, NULL, OPT_REPLICA },
		{ "all", no_argument, &a->all, true },
		{ "yes", no_argument, NULL, 'y' },
		{ "json", no_argument, &a->json, true },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	optind = 0; /* glibc: reset getopt */
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":yh", options, NULL)) != -1) {
		switch (c) {
		case OPT_REPLICA:
			if (a->nreplicas == REPLICAS_MAX)
				return err_set(err, "too many --replica");
			a->replica[a->nreplicas++] = optarg;
			break;
		case 'y':
			a->yes = true;
			break;
		case 0: /* --all, --json: getopt has set them */
			break;
		case 'h':
			a->help = true;
			break;
		case ':':
			return err_set(err, "%.60s needs a value", argv[optind - 1]);
		default:
			return err_set(err, "unknown option %.60s", argv[optind - 1]);
		}
	}
	return true;
}

/* The rules: list takes ids or none; the others take ids or --all, never both and never neither. */
static bool check(const struct dead_args *a, struct err *err)
{
	if (a->all && a->nids > 0)
		return err_set(err, "give either --all or ids");
	if (a->action != DEAD_LIST && !a->all && a->nids == 0)
		return err_set(err, "say which: ids as `dead-letters list` shows them, or --all");
	if (a->yes && a->action != DEAD_DISCARD)
		return err_set(err, "--yes is for discard alone");
	return true;
}

bool dead_args_parse(int argc, char **argv, struct dead_args *ret, struct err *err)
{
	*ret = (struct dead_args){ 0 };
	if (!parse_options(argc, argv, ret, err))
		return false;
	if (ret->help)
		return true;
	if (optind >= argc)
		return err_set(err, "say what to do: list, show, replay or discard");
	if (!parse_action(argv[optind], &ret->action, err))
		return false;
	ret->nids = (size_t)(argc - optind - 1);
	ret->ids = xcalloc(ret->nids + 1, sizeof(*ret->ids));
	for (size_t i = 0; i < ret->nids; i++) {
		struct dead_id *id = &ret->ids[i];

		id->text = argv[(size_t)optind + 1 + i];
		if (*id->text == '\0')
			return err_set(err, "an id is empty");
		id->is_product = uuid_from_text(id->text, strlen(id->text), &id->product);
	}
	return check(ret, err);
}

void dead_args_clear(struct dead_args *a)
{
	free(a->ids);
	*a = (struct dead_args){ 0 };
}
