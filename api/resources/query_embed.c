/*
 * query_embed.c: which rows of other resources a row has with it.
 *
 * Promise: an embed's member is no column that is selected and no other embed of the same row, nor is the
 * member that says that an array was cut. Pure; any thread.
 *
 *   1. embed=a.b,c!column: paths of names. Each leads by one foreign key from the resource before it (the
 *      first one from the request's) to the one that it names: to the parent, or to the children.
 *   2. name!column is the foreign key that has this column, on the side of the children.
 *   3. A resource that refers to itself: the name alone is the children, name!column the parent.
 *   4. What fits no foreign key, or more than one, is refused, and the names that fit are listed.
 *   5. Paths may begin alike: users,users.posts are two embeds. The setting's come first; what is named
 *      twice is there once, as it was named first.
 *   6. A member is called as the resource. Where several of one resource stand in a row, each is called as it was
 *      asked for: users!author_id.
 */
#include <string.h>

#include "api/resources/query_private.h"

/* A name of a path. */
struct step {
	const char *name;   /* NUL-terminated */
	const char *column; /* NULL: none */
};

struct found {
	const struct model_reference *reference;
	bool up;
	size_t n; /* how many fit */
};

static const struct model_resource *other(const struct model *m, const struct model_reference *f,
					  bool up)
{
	return &m->resources[up ? f->parent : f->child];
}

const struct model_resource *query_embedded(const struct query *q, size_t embed)
{
	return other(q->model, q->embeds[embed].reference, q->embeds[embed].up);
}

bool query_embed_is_array(const struct query_embed *e)
{
	return !e->up && !e->reference->unique;
}

bool query_has_embeds(const struct query *q, int of)
{
	for (size_t i = 0; i < q->nembeds; i++)
		if (q->embeds[i].of == of)
			return true;
	return false;
}

bool query_has_parents(const struct query *q, int of)
{
	for (size_t i = 0; i < q->nembeds; i++)
		if (q->embeds[i].of == of && (q->embeds[i].up || query_has_parents(q, (int)i)))
			return true;
	return false;
}

/* The resource that an embed, or -1, reads. */
static const struct model_resource *resource_of(const struct query *q, int embed)
{
	return embed < 0 ? q->resource : query_embedded(q, (size_t)embed);
}

/* The place of the child's column that is called so; -1: the foreign key does not have it, or none is asked for. */
static int column_of(const struct model *m, const struct model_reference *f, const char *column)
{
	for (size_t i = 0; column != NULL && i < f->n; i++)
		if (strcmp(m->resources[f->child].columns[f->columns[i]].name, column) == 0)
			return (int)f->columns[i];
	return -1;
}

static bool leads(const struct model *m, const struct model_reference *f, bool up,
		  const struct model_resource *from, const struct step *s)
{
	if (&m->resources[up ? f->child : f->parent] != from ||
	    strcmp(other(m, f, up)->name, s->name) != 0)
		return false;
	if (f->child == f->parent && up != (s->column != NULL))
		return false;
	return s->column == NULL || column_of(m, f, s->column) >= 0;
}

static struct found find_reference(const struct model *m, const struct model_resource *from,
				   const struct step *s)
{
	struct found found = { .n = 0 };

	for (size_t i = 0; i < m->nreferences; i++) {
		for (int up = 0; up <= 1; up++) {
			if (!leads(m, &m->references[i], up, from, s))
				continue;
			found.reference = &m->references[i];
			found.up = up;
			found.n++;
		}
	}
	return found;
}

/* "users!author_id, users!editor_id": all that lead to a resource of this name, or with NULL to any, as they
 * are to be named. */
static void list_choices(struct strbuf *out, const struct model *m,
			 const struct model_resource *from, const char *name)
{
	for (size_t i = 0; i < m->nreferences && out->len < 300; i++) {
		for (int up = 0; up <= 1; up++) {
			const struct model_reference *f = &m->references[i];
			struct step s = { other(m, f, up)->name, NULL };
			struct found found = find_reference(m, from, &s);
			bool alone = found.n == 1 && found.reference == f && found.up == up;

			if (&m->resources[up ? f->child : f->parent] != from ||
			    (name != NULL && strcmp(name, s.name) != 0) ||
			    (f->child == f->parent && !up && !alone))
				continue;
			strbuf_addf(out, "%s%s", out->len > 0 ? ", " : "", query_show(s.name).text);
			if (!alone)
				strbuf_addf(
					out, "!%s",
					query_show(
						m->resources[f->child].columns[f->columns[0]].name)
						.text);
		}
	}
}

static bool refuse_step(const struct model *m, const struct model_resource *from,
			const struct step *s, size_t fit, struct query_fault *fault)
{
	AUTO_STRBUF choices = STRBUF_INIT;

	list_choices(&choices, m, from, s->name);
	if (fit > 1)
		return query_refuse(fault, "embed", "embed: %s is ambiguous in %s: it may be %s",
				    query_show(s->name).text, from->name, strbuf_str(&choices));
	if (choices.len == 0)
		list_choices(&choices, m, from, NULL);
	return query_refuse(fault, "embed", "embed: no foreign key leads from %s to %s%s%s%s%s",
			    from->name, query_show(s->name).text, s->column != NULL ? "!" : "",
			    s->column != NULL ? query_show(s->column).text : "",
			    choices.len > 0 ? "; there is " : "", strbuf_str(&choices));
}

/* ---- members ---- */

static bool is_selected(const struct query *q, int of, const char *name)
{
	int column = model_column_find(resource_of(q, of), name, strlen(name));

	if (column < 0 || of >= 0 || !q->selects)
		return column >= 0;
	for (size_t i = 0; i < q->nselect; i++)
		if (q->select[i] == (size_t)column)
			return true;
	return false;
}

/* Whether the embed makes a member of this name. */
static bool makes(const struct query_embed *e, const char *name)
{
	size_t n = strlen(e->member);

	return strncmp(name, e->member, n) == 0 &&
	       (name[n] == '\0' || (query_embed_is_array(e) && strcmp(name + n, "Truncated") == 0));
}

static bool check_member(const struct query *q, const struct query_embed *e,
			 struct query_fault *fault)
{
	AUTO_STRBUF truncated = STRBUF_INIT;
	bool array = query_embed_is_array(e);

	strbuf_addf(&truncated, "%sTruncated", e->member);
	if (is_selected(q, e->of, e->member) || (array && is_selected(q, e->of, truncated.data)))
		return query_refuse(
			fault, "embed",
			"embed: %s has a column that is called as the member %s would be",
			resource_of(q, e->of)->name, e->member);
	for (size_t i = 0; i < q->nembeds; i++) {
		const struct query_embed *o = &q->embeds[i];

		if (o != e && o->of == e->of && makes(o, e->member))
			return query_refuse(fault, "embed",
					    "embed: %s would have two members that are called %s",
					    resource_of(q, e->of)->name, e->member);
	}
	return true;
}

/* 6. */
static bool is_alone(const struct query *q, size_t embed)
{
	for (size_t i = 0; i < q->nembeds; i++)
		if (i != embed && q->embeds[i].of == q->embeds[embed].of &&
		    query_embedded(q, i) == query_embedded(q, embed))
			return false;
	return true;
}

static char *member_of(const struct query *q, size_t embed)
{
	const struct query_embed *e = &q->embeds[embed];
	AUTO_STRBUF name = STRBUF_INIT;

	strbuf_addstr(&name, query_embedded(q, embed)->name);
	if (e->column >= 0)
		strbuf_addf(&name, "!%s",
			    q->model->resources[e->reference->child].columns[e->column].name);
	return strbuf_detach(&name, NULL);
}

bool query_name_embeds(struct query *q, struct query_fault *fault)
{
	for (size_t i = 0; i < q->nembeds; i++) {
		if (is_alone(q, i))
			q->embeds[i].column = -1;
		q->embeds[i].member = member_of(q, i);
	}
	for (size_t i = 0; i < q->nembeds; i++)
		if (!check_member(q, &q->embeds[i], fault))
			return false;
	return true;
}

/* ---- paths ---- */

static bool add_step(struct query *q, const struct step *s, int *of, struct query_fault *fault)
{
	const struct model_resource *from = resource_of(q, *of);
	struct found found = find_reference(q->model, from, s);

	if (found.n != 1)
		return refuse_step(q->model, from, s, found.n, fault);
	for (size_t i = 0; i < q->nembeds; i++) {
		const struct query_embed *e = &q->embeds[i];

		if (e->of == *of && e->reference == found.reference && e->up == found.up) {
			*of = (int)i;
			return true;
		}
	}
	if (q->nembeds == QUERY_EMBEDS_MAX)
		return query_refuse(fault, "embed", "embed: there are more than %d of them",
				    QUERY_EMBEDS_MAX);

	q->embeds[q->nembeds] = (struct query_embed){
		.column = column_of(q->model, found.reference, s->column),
		.reference = found.reference,
		.up = found.up,
		.of = *of,
	};
	*of = (int)q->nembeds++;
	return true;
}

static bool add_path(struct query *q, char *path, struct query_fault *fault)
{
	int of = -1;
	char *next;

	for (int depth = 0; path != NULL; path = next, depth++) {
		next = strchr(path, '.');
		if (next != NULL)
			*next++ = '\0';
		char *column = strchr(path, '!');
		if (column != NULL)
			*column++ = '\0';
		if (*path == '\0' || (column != NULL && *column == '\0'))
			return query_refuse(
				fault, "embed",
				"embed must be names of resources, as in users,comments.users");
		if (depth == QUERY_DEPTH_MAX)
			return query_refuse(fault, "embed", "embed: a path is deeper than %d",
					    QUERY_DEPTH_MAX);
		struct step s = { path, column };
		if (!add_step(q, &s, &of, fault))
			return false;
	}
	return true;
}

bool query_read_embeds(struct query *q, const char *value, size_t len, struct query_fault *fault)
{
	AUTO_STRBUF text = STRBUF_INIT;
	char *next;

	strbuf_add(&text, value, len);
	for (char *path = text.data; path != NULL; path = next) {
		next = strchr(path, ',');
		if (next != NULL)
			*next++ = '\0';
		if (!add_path(q, path, fault))
			return false;
	}
	return true;
}
