/*
 * metrics_process.c: reads /proc/self for the process_* metrics.
 *
 * Promise: never fails and never waits for anything but the kernel; a number that cannot be read is left out rather
 * than shown as 0. Any thread; no state.
 */
#include "common/http/metrics_process.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void add_head(struct strbuf *out, const char *name, const char *type, const char *help)
{
	strbuf_addf(out, "# HELP %s %s\n# TYPE %s %s\n%s ", name, help, name, type, name);
}

/* The first bytes of a file; false if there are none. */
static bool read_start(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;

	ssize_t n = read(fd, buf, size - 1);
	close(fd);
	if (n <= 0)
		return false;
	buf[n] = '\0';
	return true;
}

static void add_memory(struct strbuf *out)
{
	char text[256];
	long long pages;

	if (!read_start("/proc/self/statm", text, sizeof(text)) ||
	    sscanf(text, "%*s %lld", &pages) != 1)
		return;
	add_head(out, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.");
	strbuf_addint(out, pages * sysconf(_SC_PAGESIZE));
	strbuf_addch(out, '\n');
}

/* Clock ticks as seconds with two decimals. */
static void add_ticks(struct strbuf *out, unsigned long long ticks)
{
	unsigned long long rate = (unsigned long long)sysconf(_SC_CLK_TCK);

	strbuf_addf(out, "%llu.%02llu\n", ticks / rate, ticks % rate * 100 / rate);
}

/* When the machine started, in seconds since 1970. */
static bool read_boot_time(unsigned long long *ret)
{
	FILE *f = fopen("/proc/stat", "re");
	char line[256];
	bool found = false;

	if (!f)
		return false;
	/* Some lines are longer than the buffer; their pieces do not begin with the word. */
	while (!found && fgets(line, sizeof(line), f))
		found = sscanf(line, "btime %llu", ret) == 1;
	fclose(f);
	return found;
}

static void add_times(struct strbuf *out)
{
	char text[2048];
	unsigned long long user, system, start, boot;

	if (!read_start("/proc/self/stat", text, sizeof(text)))
		return;

	/* The second field is the program's name in parentheses, which may hold blanks and parentheses itself. */
	const char *rest = strrchr(text, ')');
	if (!rest || sscanf(rest + 1,
			    " %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu %llu" /* 14, 15 */
			    " %*s %*s %*s %*s %*s %*s %llu",			     /* 22 */
			    &user, &system, &start) != 3)
		return;
	add_head(out, "process_cpu_seconds_total", "counter",
		 "User and system CPU time spent in seconds.");
	add_ticks(out, user + system);

	if (!read_boot_time(&boot))
		return;
	add_head(out, "process_start_time_seconds", "gauge",
		 "Start time of the process in seconds since 1970.");
	add_ticks(out, boot * (unsigned long long)sysconf(_SC_CLK_TCK) + start);
}

static void add_open_fds(struct strbuf *out)
{
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *entry;
	int64_t n = -1; /* the directory's own */

	if (!dir)
		return;
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			n++;
	closedir(dir);
	add_head(out, "process_open_fds", "gauge", "Number of open file descriptors.");
	strbuf_addint(out, n);
	strbuf_addch(out, '\n');
}

void metrics_write_process(struct strbuf *out)
{
	add_memory(out);
	add_times(out);
	add_open_fds(out);
}
