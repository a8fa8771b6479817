/*
 * progress_screen.h: shows progress on standard output: bars that are drawn over on a terminal, a
 * line a replica now and then elsewhere, nothing if it is to be quiet. Other output goes between
 * progress_screen_clear() and the next show. Main thread.
 */
#ifndef PGFANOUT_COMMON_BASE_PROGRESS_SCREEN_H
#define PGFANOUT_COMMON_BASE_PROGRESS_SCREEN_H

#include "common/base/progress.h"

struct progress_screen;

/* Looks at standard output itself: bars if it is a terminal that can move its cursor. */
struct progress_screen *progress_screen_new(bool quiet);
void progress_screen_free(struct progress_screen *s); /* clears the bars; NULL is fine */

/* Whether show() would draw: cheap, so that nobody makes rows that nobody sees. */
bool progress_screen_due(const struct progress_screen *s, struct mono now);
void progress_screen_show(struct progress_screen *s, const struct progress_row *rows, size_t n,
			  struct mono now);
void progress_screen_clear(struct progress_screen *s);

#endif
