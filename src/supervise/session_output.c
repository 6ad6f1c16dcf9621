/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_output: from the program to its ring, its log and its clients.
 *
 * When a client has not taken what it was sent, reading stops, so that the program waits.  Without
 * a client nothing stops it.  What was written before the leader ended is delivered before the exit
 * code; processes that keep the pipe or terminal open do not delay it, and what they write later
 * goes to the log only.
 *
 * Invariant: a stream has a loop source exactly when it is open, the program runs or ran, and no
 * attached client is blocked.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/mem.h"
#include "supervise/supervise_internal.h"

static void on_output(int fd, uint32_t events, void *arg);

/* --- the ring of recent output --------------------------------------------------------------- */

static void ring_add(struct session *s, const char *bytes, size_t n)
{
	if (n > SESSION_RING) {
		bytes += n - SESSION_RING;
		n = SESSION_RING;
	}
	/* It grows to its full size only for programs that write that much. */
	while (s->ring_cap < SESSION_RING && s->ring_len + n > s->ring_cap) {
		s->ring_cap = s->ring_cap ? s->ring_cap * 2 : 4096;
		s->ring = xrealloc(s->ring, s->ring_cap, 1);
	}
	for (size_t i = 0; i < n; i++) {
		s->ring[(s->ring_start + s->ring_len) % s->ring_cap] = bytes[i];
		if (s->ring_len < s->ring_cap)
			s->ring_len++;
		else
			s->ring_start = (s->ring_start + 1) % s->ring_cap;
	}
}

static void ring_replay(struct session *s, struct client *c)
{
	size_t done = 0;

	while (done < s->ring_len) {
		size_t at = (s->ring_start + done) % s->ring_cap;
		size_t n = s->ring_len - done;

		if (n > s->ring_cap - at)
			n = s->ring_cap - at;
		if (n > SESSION_READ)
			n = SESSION_READ;
		client_send(c, CONTROL_OUTPUT, 1 | CONTROL_REPLAYED, s->ring + at, n);
		done += n;
	}
}

/* --- output ---------------------------------------------------------------------------------- */

bool session_blocked(const struct session *s)
{
	for (const struct client *c = s->sup->clients; c; c = c->next) {
		if (c->session == s && client_blocked(c))
			return true;
	}
	return false;
}

void session_broadcast(struct session *s, uint16_t type, uint32_t arg, const void *p, size_t n)
{
	for (struct client *c = s->sup->clients; c; c = c->next) {
		if (c->session == s)
			client_send(c, type, arg, p, n);
	}
}

static void stream_pause(struct session_stream *o)
{
	loop_remove(o->session->sup->loop, o->source);
	o->source = NULL;
}

void session_stream_close(struct session_stream *o)
{
	stream_pause(o);
	if (o->fd >= 0)
		close(o->fd);
	o->fd = -1;
}

static void stream_resume(struct session_stream *o)
{
	struct err e = ERR_INIT;

	/* Removed, not masked, while paused: a hang-up cannot be masked. */
	if (o->fd >= 0 && !o->source &&
	    loop_add(o->session->sup->loop, o->fd, EPOLLIN, on_output, o, &o->source, &e) < 0)
		supervisor_note(o->session->sup, "session %u: %s", o->session->id, e.message);
}

bool session_reads_keys(const struct session *s)
{
	struct termios t;

	return s->spec.tty && s->out[0].fd >= 0 && tcgetattr(s->out[0].fd, &t) == 0 &&
	       !(t.c_lflag & ICANON);
}

enum taken { TAKEN_SOME, TAKEN_NOTHING, TAKEN_END };

static enum taken take(struct session_stream *o)
{
	struct session *s = o->session;
	char bytes[SESSION_READ];
	ssize_t n = read(o->fd, bytes, sizeof(bytes));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return TAKEN_NOTHING;
	if (n <= 0) { /* EIO: nobody has the terminal open */
		session_stream_close(o);
		return TAKEN_END;
	}
	ring_add(s, bytes, (size_t)n);
	recorder_write(&s->rec, bytes, (size_t)n);
	o->drain_left -= o->drain_left < (size_t)n ? o->drain_left : (size_t)n;
	if (!s->copy && s->attached)
		session_broadcast(s, CONTROL_OUTPUT, o->number, bytes, (size_t)n);
	if (s->told_keys && !session_reads_keys(s)) {
		s->told_keys = false;
		session_broadcast(s, CONTROL_NO_KEYS, 0, NULL, 0);
	}
	return TAKEN_SOME;
}

void session_pause(struct session *s)
{
	for (int i = 0; i < 2; i++)
		stream_pause(&s->out[i]);
}

static void on_output(int fd, uint32_t events, void *arg)
{
	struct session_stream *o = arg;
	struct session *s = o->session;

	(void)events;
	if (fd != o->fd || !o->source)
		return;
	take(o);
	if (s->attached && session_blocked(s))
		session_pause(s);
	if (s->state == SESSION_DRAINING)
		session_drain(s);
}

void session_resume(struct session *s)
{
	if (s->state == SESSION_STARTING || s->state == SESSION_SWEEPING || session_blocked(s))
		return;
	for (int i = 0; i < 2; i++)
		stream_resume(&s->out[i]);
	if (s->state == SESSION_DRAINING)
		session_drain(s);
}

/* --- the end of the leader ------------------------------------------------------------------- */

/* Read what was written before the leader ended; then it is over. */
void session_drain(struct session *s)
{
	for (int i = 0; i < 2; i++) {
		struct session_stream *o = &s->out[i];

		while (o->fd >= 0 && o->drain_left) {
			if (s->attached && session_blocked(s)) {
				session_pause(s);
				return; /* session_resume goes on */
			}
			if (take(o) != TAKEN_SOME)
				break;
		}
	}
	if (s->state == SESSION_DRAINING)
		session_finish(s);
}

/* --- clients come and go --------------------------------------------------------------------- */

void session_close_out(struct session *s, struct client *c, uint32_t stream)
{
	(void)c;
	if (s->spec.tty || s->attached != 1 || stream < 1 || stream > 2)
		return;
	session_stream_close(&s->out[stream - 1]);
	if (s->state == SESSION_DRAINING)
		session_drain(s);
}

void session_detached(struct session *s, struct client *c)
{
	if (s->owner == c) {
		session_eof(s, c);
		s->owner = NULL;
	}
	if (s->attached)
		s->attached--;
	if (s->attached == 0)
		session_hang_up(s, c->hangs_up);
	session_resume(s);
}

void session_attached(struct session *s, struct client *c)
{
	uint32_t tty = s->spec.tty;

	c->session = s;
	c->fresh = true;
	s->attached++;
	client_send(c, CONTROL_STARTED, s->id, &tty, sizeof(tty));
	ring_replay(s, c);
	if (s->state == SESSION_ENDED) {
		client_send(c, CONTROL_EXITED, (uint32_t)s->exit_code, NULL, 0);
		c->session = NULL;
		s->attached--;
	} else if (session_blocked(s)) {
		session_pause(s);
	}
}
