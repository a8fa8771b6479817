/*
 * tables.h: which tables are replicated: the setting TABLES, and the command `tables`.
 */
#ifndef PGFANOUT_MIGRATIONS_TABLES_H
#define PGFANOUT_MIGRATIONS_TABLES_H

#include "migrations/migrate.h"

/* Registers on a primary that has all migrations what the list (the setting) names and is not registered yet,
 * each in a transaction of its own; says what it did, and what is registered and not listed. One that is
 * refused keeps no other from being registered: it is logged, and t->code is why. */
void tables_register(struct target *primary, const char *list);

/* Prints a line for each table, and for each replica how far it is with it; as JSON: an object a line. Databases
 * that cannot be asked: t->code is why. */
void tables_print(struct target *primary, struct target *replicas, size_t n, bool json);

#endif
