/*
 * progress_screen.c: see progress_screen.h. Bars are written with one write(2) a frame, so that
 * they do not flicker. A terminal or pipe that takes nothing loses the frame: the reset never waits
 * for a screen.
 */
#include "common/base/progress_screen.h"

#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BARS_EVERY_MS  200
#define LINES_EVERY_MS 2000

enum screen_mode { SCREEN_QUIET, SCREEN_LINES, SCREEN_BARS };

struct progress_screen {
	enum screen_mode mode;
	size_t drawn; /* lines of bars that stand above the cursor */
	struct mono next;
};

static bool can_move_cursor(void)
{
	const char *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && term != NULL && *term != '\0' && strcmp(term, "dumb") != 0;
}

struct progress_screen *progress_screen_new(bool quiet)
{
	struct progress_screen *s = xcalloc(1, sizeof(*s));

	s->mode = quiet ? SCREEN_QUIET : can_move_cursor() ? SCREEN_BARS : SCREEN_LINES;
	/* Lines have nothing to say at the very beginning. */
	s->next = mono_add_ms(mono_now(), s->mode == SCREEN_LINES ? LINES_EVERY_MS : 0);
	return s;
}

void progress_screen_free(struct progress_screen *s)
{
	if (s == NULL)
		return;
	progress_screen_clear(s);
	free(s);
}

static void put(const struct strbuf *text)
{
	struct pollfd p = { .fd = STDOUT_FILENO, .events = POLLOUT };
	size_t done = 0;

	while (done < text->len && poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) != 0) {
		/* A pipe that is ready takes PIPE_BUF bytes at once, and might wait for more. */
		ssize_t n = write(STDOUT_FILENO, text->data + done,
				  min_size(text->len - done, PIPE_BUF));

		if (n <= 0)
			return;
		done += (size_t)n;
	}
}

bool progress_screen_due(const struct progress_screen *s, struct mono now)
{
	return s->mode != SCREEN_QUIET && mono_reached(s->next, now);
}

static void back_to_top(const struct progress_screen *s, struct strbuf *out)
{
	if (s->drawn > 0)
		strbuf_addf(out, "\033[%zuA", s->drawn);
	strbuf_addstr(out, "\r\033[J"); /* and erase from here to the end */
}

void progress_screen_clear(struct progress_screen *s)
{
	AUTO_STRBUF out = STRBUF_INIT;

	if (s->drawn == 0)
		return;
	back_to_top(s, &out);
	put(&out);
	s->drawn = 0;
	s->next = (struct mono){ 0 }; /* the next show draws at once */
}

static void terminal_size(size_t *ret_rows, size_t *ret_columns)
{
	struct winsize w;
	bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 && w.ws_row > 0;

	*ret_rows = known ? w.ws_row : 24;
	*ret_columns = known ? w.ws_col : 80;
}

void progress_screen_show(struct progress_screen *s, const struct progress_row *rows, size_t n,
			  struct mono now)
{
	AUTO_STRBUF out = STRBUF_INIT;
	size_t height, columns, name_width = 0;

	if (!progress_screen_due(s, now))
		return;
	if (s->mode == SCREEN_LINES) {
		s->next = mono_add_ms(now, LINES_EVERY_MS);
		for (size_t i = 0; i < n; i++) {
			progress_line(&out, &rows[i]);
			strbuf_addch(&out, '\n');
		}
		put(&out);
		return;
	}
	s->next = mono_add_ms(now, BARS_EVERY_MS);
	terminal_size(&height, &columns);
	back_to_top(s, &out);
	/* What has scrolled out at the top could not be drawn over. */
	s->drawn = min_size(n, height > 1 ? height - 1 : 1);
	for (size_t i = 0; i < n; i++)
		name_width = name_width < strlen(rows[i].name) ? strlen(rows[i].name) : name_width;
	for (size_t i = 0; i < s->drawn; i++) {
		progress_bar(&out, &rows[i], name_width, columns);
		strbuf_addch(&out, '\n');
	}
	put(&out);
}
