/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_logs: recorded output of sessions.
 *
 * To a file or a pipe the bytes go as they were recorded; on a terminal they would act, so they are
 * made plain first, unless --raw asks for them.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/cli_internal.h"

enum { LOG_BLOCK = 16384, LOG_RECENT = 65536 };

struct log_request {
	struct sandbox *box;
	uint32_t id;
};

static int write_logs(struct cli *c, int fd, void *arg, struct err *e)
{
	struct log_request *q = arg;

	return c->ops->logs(&c->engine, q->box, q->id, c->v.follow, fd, e);
}

static int plain_logs(struct cli *c, struct log_request *q, struct err *e)
{
	struct plain plain = { 0 };
	struct stream s;
	auto_buf out = BUF_INIT;
	struct err problem = ERR_INIT;
	int r = stream_start(c, true, write_logs, q, &s, e);
	int ended;

	while (r == 0) {
		char block[LOG_BLOCK];
		ssize_t n = read(s.fd, block, sizeof(block));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		plain_feed(&plain, block, (size_t)n, &out);
		r = term_out(&out, e);
		buf_reset(&out);
	}
	if (r < 0)
		return r; /* the child ends at its next write, or with us */
	plain_finish(&plain, &out);
	r = term_out(&out, e);
	ended = stream_finish(&s, &problem);
	if (r == 0 && ended < 0) {
		*e = problem;
		return ended;
	}
	return r;
}

static void add_plain(struct buf *out, const char *bytes, size_t n)
{
	struct plain plain = { 0 };

	plain_feed(&plain, bytes, n, out);
	plain_finish(&plain, out);
}

int cli_print_recent(struct cli *c, struct sandbox *box, uint32_t id, struct err *e)
{
	struct log_request q = { .box = box, .id = id };
	auto_buf kept = BUF_INIT, out = BUF_INIT;
	struct stream s;
	size_t skip = 0;
	int r = stream_start(c, true, write_logs, &q, &s, e);

	if (r < 0)
		return r;
	for (;;) {
		char block[LOG_BLOCK];
		ssize_t n = read(s.fd, block, sizeof(block));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		buf_add(&kept, block, (size_t)n);
		if (kept.len > 2 * LOG_RECENT)
			buf_consume(&kept, kept.len - LOG_RECENT);
	}
	r = stream_finish(&s, e);
	if (r < 0)
		return r;
	if (kept.len > LOG_RECENT) { /* from the beginning of a line */
		const char *line = memchr(kept.data + kept.len - LOG_RECENT, '\n', LOG_RECENT);

		skip = line ? (size_t)(line + 1 - kept.data) : kept.len - LOG_RECENT;
	}
	if (!isatty(STDOUT_FILENO) || c->v.raw_tty)
		buf_add(&out, kept.data + skip, kept.len - skip);
	else
		add_plain(&out, kept.data + skip, kept.len - skip);
	return term_out(&out, e);
}

int cmd_logs(struct cli *c, struct err *e)
{
	struct log_request q = { 0 };
	int r = 0;

	if (c->operands.v.n > 1)
		r = cli_session_id(c->operands.v.v[1], &q.id, e);
	if (r == 0)
		r = cli_find(c, c->operands.v.v[0], &q.box, e);
	if (r == 0 && isatty(STDOUT_FILENO) && !c->v.raw)
		r = plain_logs(c, &q, e);
	else if (r == 0)
		r = write_logs(c, STDOUT_FILENO, &q, e);
	sandbox_free(q.box);
	return r;
}
