/*
 * model_follow.h: a model whose tables were altered while somebody still reads by it. Pure.
 */
#ifndef PGFANOUT_API_RESOURCES_MODEL_FOLLOW_H
#define PGFANOUT_API_RESOURCES_MODEL_FOLLOW_H

#include "api/resources/model.h"

/* The resources, columns and references of `was`, in the same places and with the same members, as they are to be
 * asked for now: tables and columns that were renamed have their new names in statements. A column that was
 * dropped, or whose values are another kind of JSON now, is gone; so are all of a table that is not there any more,
 * or that has another key. Its number is that of `now`, members that of the model whose members it has. It has what
 * reading takes: no indexes and constraints. One reference, the caller's. */
struct model *model_follow(const struct model *was, const struct model *now);

#endif
