/*
 * clip.h: text from others, made fit to be shown: valid UTF-8, one line, not longer than it may be.
 * Pure.
 */
#ifndef PGFANOUT_COMMON_BASE_CLIP_H
#define PGFANOUT_COMMON_BASE_CLIP_H

#include "common/base/base.h"

/* Copies s, cut at a character's end so that size bytes (the NUL included) are enough; bytes that
 * are no UTF-8 become '?', what steers a terminal (utf8_steers()) a blank. */
void clip_text(char *out, size_t size, const char *s);

#endif
