/*
 * status.h: the handlers of the operations routes. They only read what is in memory, so they answer
 * at once whatever state the databases are in. A worker's thread.
 */
#ifndef PGFANOUT_API_SERVE_STATUS_H
#define PGFANOUT_API_SERVE_STATUS_H

struct request;

void status_get_index(struct request *r);
void status_get_health(struct request *r);
void status_get_ready(struct request *r);
void status_get_status(struct request *r);
void status_get_stats(struct request *r);
void status_get_metrics(struct request *r);
void status_get_openapi(struct request *r);

#endif
