/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_input: from clients to the program, and the size of its terminal.
 *
 * Each client has at most one packet on its way; it is acknowledged when the program has taken all
 * that is queued.  A program that does not read therefore never makes the supervisor stop
 * listening.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/mem.h"
#include "supervise/supervise_internal.h"

enum { REDRAW_MS = 60 };

void session_input_close(struct session *s)
{
	loop_remove(s->sup->loop, s->in_source);
	s->in_source = NULL;
	if (s->in_fd >= 0)
		close(s->in_fd);
	s->in_fd = -1;
	buf_free(&s->in);
}

static void input_done(struct session *s)
{
	for (struct client *c = s->sup->clients; c; c = c->next) {
		if (c->session == s && c->input_pending) {
			c->input_pending = false;
			client_send(c, CONTROL_ACK, 0, NULL, 0);
		}
	}
	if (s->in_eof && !s->spec.tty)
		session_input_close(s);
}

static void on_input(int fd, uint32_t events, void *arg);

static void input_flush(struct session *s)
{
	struct err e = ERR_INIT;

	while (s->in_fd >= 0 && s->in.len) {
		ssize_t n = write(s->in_fd, s->in.data, s->in.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			session_input_close(s); /* the program does not read any more */
		else
			buf_consume(&s->in, (size_t)n);
	}
	if (s->in_fd >= 0 && s->in.len) {
		if (!s->in_source &&
		    loop_add(s->sup->loop, s->in_fd, EPOLLOUT, on_input, s, &s->in_source, &e) < 0)
			session_input_close(s);
		else
			return;
	}
	loop_remove(s->sup->loop, s->in_source);
	s->in_source = NULL;
	buf_free(&s->in);
	input_done(s);
}

static void on_input(int fd, uint32_t events, void *arg)
{
	(void)fd;
	(void)events;
	input_flush(arg);
}

void session_input(struct session *s, struct client *c, const char *bytes, size_t n)
{
	c->input_pending = true;
	if (s->in_fd >= 0 && !s->in_eof)
		buf_add(&s->in, bytes, n);
	if (!s->in_source)
		input_flush(s);
}

void session_eof(struct session *s, struct client *c)
{
	/* One of several viewers that has no more to say does not end the input. */
	if (s->spec.tty || (s->owner && s->owner != c))
		return;
	s->in_eof = true;
	if (s->in.len == 0)
		session_input_close(s);
}

static void set_size(struct session *s, uint16_t rows, uint16_t cols)
{
	struct winsize w = { .ws_row = rows, .ws_col = cols };

	if (s->out[0].fd >= 0)
		ioctl(s->out[0].fd, TIOCSWINSZ, &w);
}

static void on_redraw(void *arg)
{
	struct session *s = arg;

	s->redraw = NULL;
	set_size(s, s->size.ws_row, s->size.ws_col);
}

void session_resize(struct session *s, uint16_t rows, uint16_t cols, bool redraw)
{
	bool same = s->size.ws_row == rows && s->size.ws_col == cols;

	if (!s->spec.tty || rows == 0 || cols == 0)
		return;
	s->size = (struct winsize){ .ws_row = rows, .ws_col = cols };
	if (s->redraw)
		return; /* the timer sets it */
	if (redraw && same) {
		/* Programs compare sizes before they draw: it has to differ for a moment. */
		set_size(s, rows > 1 ? (uint16_t)(rows - 1) : (uint16_t)(rows + 1), cols);
		s->redraw = loop_after(s->sup->loop, REDRAW_MS, on_redraw, s);
		return;
	}
	set_size(s, rows, cols);
}
