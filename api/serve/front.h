/*
 * front.h: where requests enter: finds the route and checks what all routes have in common. A
 * worker's thread.
 */
#ifndef PGFANOUT_API_SERVE_FRONT_H
#define PGFANOUT_API_SERVE_FRONT_H

#include "common/http/http.h"

extern const struct http_callbacks front_callbacks; /* arg: struct requests */

#endif
