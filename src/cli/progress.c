/* SPDX-License-Identifier: Apache-2.0 */
/*
 * progress: what a transfer of an image looks like on standard error.
 *
 * On a terminal one line is drawn over and over, never wider than that is, and is gone at the end;
 * elsewhere each blob that is done is a line.  The events come from a helper that reads strangers'
 * bytes: they are checked and escaped.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/cli_internal.h"
#include "image/image.h"

enum {
	BAR_WIDTH = 24,
	BAR_MIN = 8,
	TEXT_WIDTH =
		22, /* of most texts beside a bar, so that its width does not change with them */
	SIZE_MIN = 64 << 10, /* less than this is over before it is seen */
	SHORT_DIGEST = 12,
	BLOBS_MAX = 512,
	COLUMNS_MIN = 20,
};

struct progress_blob {
	char *digest;
	uint64_t size;
	uint64_t have;
	bool ended;
};

void cli_human_size(uint64_t bytes, char out[static 16])
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB" };
	double n = (double)bytes;
	size_t unit = 0;

	while (n >= 999.5 && unit + 1 < ARRAY_SIZE(units)) {
		n /= 1000;
		unit++;
	}
	(void)snprintf(out, 16, unit == 0 || n >= 99.95 ? "%.0f%s" : "%.1f%s", n, units[unit]);
}

/* Of the terminal, which may become another one at any moment; 0: there is none. */
static size_t columns(void)
{
	struct winsize w;

	return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 ? w.ws_col : 0;
}

void progress_begin(struct progress *p, bool quiet)
{
	const char *term = getenv("TERM");

	*p = (struct progress){ .quiet = quiet };
	p->bar = !quiet && isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0 &&
		 columns() >= COLUMNS_MIN;
}

/* Take the line away, so that a message can stand in its place. */
static void wipe(struct progress *p)
{
	if (p->drawn)
		(void)fputs("\r\033[K", stderr);
	p->drawn = false;
}

/* One column stays free: a line that is full may have gone on to the next one. */
static void show(struct progress *p, const struct buf *line)
{
	size_t room = columns();

	if (room < 2)
		return;
	(void)fprintf(stderr, "\r\033[K%.*s", (int)(room - 1), buf_str(line));
	(void)fflush(stderr);
	p->drawn = true;
}

/* "[====    ] ", where there is room for it besides `rest` characters. */
static void add_bar(struct buf *line, double part, size_t rest)
{
	size_t room = columns();
	size_t cells, filled;

	rest = rest < TEXT_WIDTH ? TEXT_WIDTH : rest;
	if (room < rest + BAR_MIN + 4)
		return;
	cells = room - rest - 4 < BAR_WIDTH ? room - rest - 4 : BAR_WIDTH;
	filled = (size_t)(part * (double)cells);
	buf_putc(line, '[');
	for (size_t i = 0; i < cells; i++)
		buf_putc(line, i < filled ? '=' : ' ');
	buf_puts(line, "] ");
}

static void draw(struct progress *p)
{
	uint64_t size = 0, have = 0;
	size_t ended = 0;
	char is[16], all[16];
	auto_buf line = BUF_INIT;
	auto_buf text = BUF_INIT;

	for (size_t i = 0; i < p->n; i++) {
		size += p->v[i].size;
		have += p->v[i].have;
		ended += p->v[i].ended;
	}
	/* A configuration is no news, and when all is done, what comes next is not known yet. */
	if (ended == p->n || size < SIZE_MIN) {
		wipe(p);
		return;
	}
	cli_human_size(have, is);
	cli_human_size(size, all);
	buf_printf(&text, "%s/%s, %zu of %zu", is, all, ended, p->n);
	add_bar(&line, size ? (double)have / (double)size : 0, text.len);
	buf_add(&line, text.data, text.len);
	show(p, &line);
}

static void draw_unpacking(struct progress *p)
{
	auto_buf line = BUF_INIT;

	buf_puts(&line, "unpacking");
	show(p, &line);
}

static struct progress_blob *find(struct progress *p, const char *digest, uint64_t size)
{
	for (size_t i = 0; i < p->n; i++) {
		if (strcmp(p->v[i].digest, digest) == 0)
			return &p->v[i];
	}
	if (p->n == BLOBS_MAX)
		return NULL;
	p->v = xrealloc(p->v, p->n + 1, sizeof(*p->v));
	p->v[p->n] = (struct progress_blob){ .digest = xstrdup(digest), .size = size };
	return &p->v[p->n++];
}

static const struct {
	const char *state;
	bool ended;
	const char *line; /* NULL: none */
} states[] = {
	{ "queued", false, NULL },	{ "waiting", false, "another command is at it" },
	{ "downloading", false, NULL }, { "uploading", false, NULL },
	{ "done", true, "done" },	{ "exists", true, "already there" },
};

static int blob_event(struct progress *p, const struct json *j, struct err *e)
{
	const char *digest, *state;
	struct progress_blob *b;
	uint64_t size, have;
	char human[16];

	if (json_get_string(j, "digest", &digest) < 0 || json_get_string(j, "state", &state) < 0 ||
	    json_get_uint(j, "size", &size) < 0 || json_get_uint(j, "have", &have) < 0 ||
	    !image_digest_ok(digest) || size > IMAGE_BLOB_MAX || have > size)
		return err_set(e, ERR_SYSTEM, -EBADMSG, "image helper: a malformed event");
	b = find(p, digest, size);
	for (size_t i = 0; b && i < ARRAY_SIZE(states); i++) {
		if (strcmp(states[i].state, state) != 0)
			continue;
		b->have = states[i].ended ? b->size : have;
		b->ended = states[i].ended;
		if (p->bar) {
			draw(p);
		} else if (!p->quiet && states[i].line) {
			cli_human_size(size, human);
			(void)fprintf(stderr, "%.*s: %s (%s)\n", SHORT_DIGEST,
				      image_digest_hex(digest), states[i].line, human);
		}
	}
	return 0;
}

int progress_event(const char *event, const struct json *j, void *arg, struct err *e)
{
	struct progress *p = arg;
	const char *text;

	if (strcmp(event, "blob") == 0)
		return blob_event(p, j, e);
	if (strcmp(event, "unpacking") == 0 && p->bar)
		draw_unpacking(p);
	if (strcmp(event, "note") == 0 && json_get_string(j, "text", &text) == 0 && !p->quiet) {
		wipe(p);
		term_warn("%s", text);
	}
	return 0;
}

void progress_end(struct progress *p)
{
	wipe(p);
	for (size_t i = 0; i < p->n; i++)
		free(p->v[i].digest);
	free(p->v);
	*p = (struct progress){ 0 };
}
