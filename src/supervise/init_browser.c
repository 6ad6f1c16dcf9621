/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init_browser: how programs inside ask for a browser, and who listens inside.
 *
 * The stand-ins for xdg-open and its like write a line into a named pipe, the only thing that a
 * shell script can write to without a program of its own.  Init passes whole lines on, one in
 * BROWSER_PAUSE_MS; who writes more than that waits.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/fs.h"
#include "base/mem.h"
#include "supervise/supervise_internal.h"

enum { BROWSER_PAUSE_MS = 200, TABLE_MAX = 8 << 20 };

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void init_browser_open(struct init_browser *b)
{
	b->fd = -1;
	/* No program runs yet: nobody can have put something else there. */
	if (mkfifo(BROWSER_PIPE, 0622) < 0 || chmod(BROWSER_PIPE, 0622) < 0)
		return;
	/* For both: so there is always a reader, and never an end. */
	b->fd = open(BROWSER_PIPE, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
}

int init_browser_wait(const struct init_browser *b)
{
	uint64_t now = now_ms();

	if (b->fd < 0 || now >= b->next)
		return -1;
	return (int)(b->next - now);
}

bool init_browser_read(struct init_browser *b, size_t *ret_n)
{
	char *end;
	ssize_t n;

	end = memchr(b->line, '\n', b->len);
	if (!end) {
		if (b->len == sizeof(b->line))
			b->len = 0; /* no line of ours is that long */
		n = read(b->fd, b->line + b->len, sizeof(b->line) - b->len);
		if (n <= 0)
			return false;
		b->len += (size_t)n;
		end = memchr(b->line, '\n', b->len);
	}
	if (!end)
		return false;
	*ret_n = (size_t)(end - b->line);
	return true;
}

void init_browser_done(struct init_browser *b, size_t n)
{
	b->len -= n + 1;
	memmove(b->line, b->line + n + 1, b->len);
	b->next = now_ms() + BROWSER_PAUSE_MS;
}

/* A line of /proc/net/tcp, "   0: 0100007F:0BB8 00000000:0000 0A ...", about a listener on port? */
static bool line_matches(const char *line, const char *port)
{
	const char *p = strchr(line, ':');

	p = p ? strchr(p + 1, ':') : NULL;
	if (!p || strncmp(p + 1, port, 4) != 0)
		return false;
	p = strchr(p + 1, ':');
	return p && strnlen(p, 8) == 8 && memcmp(p + 5, " 0A", 3) == 0;
}

bool init_listens(uint16_t port)
{
	static const char *const tables[] = { "/proc/self/net/tcp", "/proc/self/net/tcp6" };
	char hex[8];

	snprintf(hex, sizeof(hex), "%04X", (unsigned)port);
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		auto_buf text = BUF_INIT;

		if (fs_read_at(AT_FDCWD, tables[i], TABLE_MAX, &text, NULL) < 0)
			continue;
		for (const char *line = buf_str(&text); line; line = strchr(line, '\n')) {
			line += *line == '\n';
			if (line_matches(line, hex))
				return true;
		}
	}
	return false;
}
