/*
 * status.h: the handlers of the operations routes, and what the rooms above need to add to some of them. They only
 * read what is in memory, so they answer at once whatever state the databases are in. A worker's thread.
 */
#ifndef PGFANOUT_API_SERVE_STATUS_H
#define PGFANOUT_API_SERVE_STATUS_H

#include <jansson.h>

struct request;
struct service;

void status_get_index(struct request *r);
void status_get_health(struct request *r);
void status_get_ready(struct request *r);
void status_get_metrics(struct request *r);

/* The data of /status and /stats. */
json_t *status_data(struct service *s);
json_t *status_stats_data(const struct service *s);
#define STATUS_STATS_MESSAGE "Counters since the start retrieved successfully"
/* Answers with 200. Takes data over. */
void status_reply(struct request *r, json_t *data, const char *message);

#endif
