/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session: one program in the box, as the supervisor sees it.
 *
 * The supervisor holds the master of a pty of the box's own devpts, or pipes; init gets the other
 * ends.  Output goes to the ring of recent output, to the log and to every attached client; when a
 * client has not taken what it was sent, reading stops, so that the program waits.  Without a
 * client nothing stops it.
 *
 * States: STARTING until init answers, RUNNING, DRAINING when the leader is gone, ENDED when the
 * exit code was sent.  What was written before the leader ended is delivered before the exit code;
 * processes that keep the pipe or terminal open do not delay it, and what they write later goes to
 * the log only.
 *
 * Invariant: a stream has a loop source exactly when it is open, the program runs or ran, and no
 * attached client is blocked.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "supervise/supervise_internal.h"

enum { DRAIN_MAX = 262144, REDRAW_MS = 60 };

static void drain(struct session *s);
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
		client_send(c, CONTROL_OUTPUT, 1, s->ring + at, n);
		done += n;
	}
}

/* --- start ----------------------------------------------------------------------------------- */

static int64_t now(void)
{
	return (int64_t)time(NULL);
}

/* In root mode our own ids mean nothing in the box: its root gets the object, and gives it on. */
static void lend(const struct supervisor *sup, int fd)
{
	const struct box_ids *ids = &sup->params.config->ids;

	if (ids->mode == BOX_ID_ROOT && ids->nuid && ids->ngid &&
	    fchown(fd, ids->uid[0].outside, ids->gid[0].outside) < 0)
		supervisor_note((struct supervisor *)(uintptr_t)sup, "stdio owner: %s",
				strerror(errno));
}

static int open_pty(struct session *s, int inside[3], struct err *e)
{
	auto_close int master =
		openat(s->sup->box.devpts_fd, "ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	int unlock = 0;
	int slave;
	struct termios t;

	if (master < 0) {
		err_sys(e, "terminal");
		return e->code == -ENOSPC ? err_set(e, ERR_REFUSED, -ENOSPC,
						    "too many terminals in this sandbox")
					  : e->code;
	}
	if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
		return err_sys(e, "terminal: unlock");
	/* By the master's descriptor: a path in the box could be replaced by it. */
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return err_sys(e, "terminal: peer");
	inside[0] = slave;
	if (tcgetattr(slave, &t) == 0) {
		t.c_iflag |= IUTF8;
		tcsetattr(slave, TCSANOW, &t);
	}
	if (s->size.ws_row || s->size.ws_col)
		ioctl(master, TIOCSWINSZ, &s->size);
	lend(s->sup, slave);
	s->in_fd = fcntl(master, F_DUPFD_CLOEXEC, 3);
	if (s->in_fd < 0)
		return err_sys(e, "terminal");
	s->out[0].fd = steal_fd(&master);
	return 0;
}

/* One pipe; ours is 0 for the read end, 1 for the write end. */
static int open_pipe(struct session *s, int ours, bool nonblock, int *ret_ours, int *ret_inside,
		     struct err *e)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return err_sys(e, "pipe");
	if (nonblock)
		fcntl(p[ours], F_SETFL, O_NONBLOCK);
	lend(s->sup, p[0]);
	*ret_ours = p[ours];
	*ret_inside = p[!ours];
	return 0;
}

static int open_stdio(struct session *s, enum start_op op, int inside[3], int *ret_peer,
		      struct err *e)
{
	int peer_stream = op == START_TAR_IN ? 0 : op == START_TAR_OUT ? 1 : -1;
	int r;

	if (s->spec.tty)
		return open_pty(s, inside, e);
	r = open_pipe(s, 1, peer_stream != 0, &s->in_fd, &inside[0], e);
	if (r == 0)
		r = open_pipe(s, 0, peer_stream != 1, &s->out[0].fd, &inside[1], e);
	if (r == 0)
		r = open_pipe(s, 0, true, &s->out[1].fd, &inside[2], e);
	if (r < 0)
		return r;
	if (peer_stream == 0)
		*ret_peer = steal_fd(&s->in_fd);
	if (peer_stream == 1)
		*ret_peer = steal_fd(&s->out[0].fd);
	if (!s->spec.interactive && s->in_fd >= 0)
		close(steal_fd(&s->in_fd));
	return 0;
}

static int send_start(struct session *s, enum start_op op, const int inside[3], struct err *e)
{
	auto_buf request = BUF_INIT;
	auto_close int memfd = -1;
	int fds[4];
	int r;

	start_request_write(&s->spec, op, &request);
	if (request.len > START_BYTES_MAX)
		return err_set(e, ERR_INPUT, -E2BIG, "arguments and environment are too long");
	r = fs_sealed_memfd("ward-start", request.data, request.len, &memfd, e);
	if (r < 0)
		return r;
	fds[0] = memfd;
	for (int i = 0; i < 3; i++)
		fds[i + 1] = inside[i] >= 0 ? inside[i] : inside[0];
	r = supervisor_tell_init(s->sup, INIT_WIRE_START, s->id, NULL, 0, fds, 4);
	if (r < 0)
		return err_set(e, ERR_SYSTEM, r, "init does not answer: %s", strerror(-r));
	s->sup->starts++;
	s->sup->idle = false;
	s->sup->dirty = true;
	return 0;
}

static void trim_ended(struct supervisor *sup)
{
	unsigned kept = 0;
	struct session **at = &sup->sessions;

	while (*at) {
		struct session *s = *at;

		if (s->state == SESSION_ENDED && s->attached == 0 &&
		    (s->copy || ++kept > SESSIONS_KEPT)) {
			*at = s->next;
			sup->nsessions--;
			session_free(s);
		} else {
			at = &s->next;
		}
	}
}

int session_start(struct supervisor *sup, struct spec_session *spec, enum start_op op,
		  int *ret_peer, struct session **ret, struct err *e)
{
	int inside[3] = { -1, -1, -1 };
	struct session *s;
	int r;

	trim_ended(sup);
	if (sup->nsessions >= SESSIONS_MAX || sup->stop != STOP_NO) {
		spec_session_clear(spec);
		return err_set(e, ERR_REFUSED, -EAGAIN,
			       sup->stop != STOP_NO ? "the sandbox is stopping"
						    : "too many sessions in this sandbox");
	}
	s = xcalloc(1, sizeof(*s));
	s->sup = sup;
	s->spec = *spec;
	*spec = (struct spec_session){ 0 };
	s->copy = op != START_EXEC;
	s->in_fd = -1;
	s->rec.fd = -1;
	s->started_at = now();
	s->size = (struct winsize){ .ws_row = s->spec.rows, .ws_col = s->spec.cols };
	for (uint32_t i = 0; i < 2; i++)
		s->out[i] = (struct session_stream){ .session = s, .number = i + 1, .fd = -1 };
	s->id = sup->next_id++;
	r = open_stdio(s, op, inside, ret_peer, e);
	if (r == 0)
		r = send_start(s, op, inside, e);
	for (int i = 0; i < 3; i++) {
		if (inside[i] >= 0)
			close(inside[i]);
	}
	if (r < 0) {
		session_free(s);
		return r;
	}
	s->next = sup->sessions;
	sup->sessions = s;
	sup->nsessions++;
	*ret = s;
	return 0;
}

struct session *session_find(struct supervisor *sup, uint32_t id)
{
	for (struct session *s = sup->sessions; s; s = s->next) {
		if (s->id == id)
			return s;
	}
	return NULL;
}

static bool alive(const struct session *s)
{
	return s->state == SESSION_RUNNING || s->state == SESSION_DRAINING;
}

struct session *session_pick(struct supervisor *sup, uint32_t id)
{
	struct session *newest = NULL;
	struct session *running = NULL;

	if (id) {
		struct session *s = session_find(sup, id);

		return s && !s->copy && s->state != SESSION_STARTING ? s : NULL;
	}
	for (struct session *s = sup->sessions; s; s = s->next) {
		if (s->copy || s->state == SESSION_STARTING)
			continue;
		if (alive(s) && s->spec.kind == SPEC_SESSION_AGENT)
			return s;
		if (alive(s) && !running)
			running = s;
		if (!newest)
			newest = s;
	}
	return running ? running : newest;
}

/* --- output ---------------------------------------------------------------------------------- */

static bool blocked(const struct session *s)
{
	for (const struct client *c = s->sup->clients; c; c = c->next) {
		if (c->session == s && client_blocked(c))
			return true;
	}
	return false;
}

static void broadcast(struct session *s, uint16_t type, uint32_t arg, const void *p, size_t n)
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

static void stream_close(struct session_stream *o)
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

enum taken { TAKEN_SOME, TAKEN_NOTHING, TAKEN_END };

static enum taken take(struct session_stream *o)
{
	struct session *s = o->session;
	char bytes[SESSION_READ];
	ssize_t n = read(o->fd, bytes, sizeof(bytes));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return TAKEN_NOTHING;
	if (n <= 0) { /* EIO: nobody has the terminal open */
		stream_close(o);
		return TAKEN_END;
	}
	ring_add(s, bytes, (size_t)n);
	recorder_write(&s->rec, bytes, (size_t)n);
	o->drain_left -= o->drain_left < (size_t)n ? o->drain_left : (size_t)n;
	if (!s->copy && s->attached)
		broadcast(s, CONTROL_OUTPUT, o->number, bytes, (size_t)n);
	return TAKEN_SOME;
}

static void pause_all(struct session *s)
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
	if (s->attached && blocked(s))
		pause_all(s);
	if (s->state == SESSION_DRAINING)
		drain(s);
}

void session_resume(struct session *s)
{
	if (s->state == SESSION_STARTING || blocked(s))
		return;
	for (int i = 0; i < 2; i++)
		stream_resume(&s->out[i]);
	if (s->state == SESSION_DRAINING)
		drain(s);
}

/* --- input ----------------------------------------------------------------------------------- */

static void input_closed(struct session *s)
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
		input_closed(s);
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
			input_closed(s); /* the program does not read any more */
		else
			buf_consume(&s->in, (size_t)n);
	}
	if (s->in_fd >= 0 && s->in.len) {
		if (!s->in_source &&
		    loop_add(s->sup->loop, s->in_fd, EPOLLOUT, on_input, s, &s->in_source, &e) < 0)
			input_closed(s);
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
		input_closed(s);
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

void session_close_out(struct session *s, struct client *c, uint32_t stream)
{
	(void)c;
	if (s->spec.tty || s->attached != 1 || stream < 1 || stream > 2)
		return;
	stream_close(&s->out[stream - 1]);
	if (s->state == SESSION_DRAINING)
		drain(s);
}

void session_detached(struct session *s, struct client *c)
{
	if (s->owner == c) {
		session_eof(s, c);
		s->owner = NULL;
	}
	if (s->attached)
		s->attached--;
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
	} else if (blocked(s)) {
		pause_all(s);
	}
}

/* --- what init says -------------------------------------------------------------------------- */

struct json *session_to_json(const struct session *s)
{
	struct json *j = json_object();
	char when[32];

	json_set_uint(j, "id", s->id);
	json_set_string(j, "kind", s->spec.kind == SPEC_SESSION_AGENT ? "agent" : "exec");
	json_set_strv(j, "argv", &s->spec.argv);
	json_set_bool(j, "tty", s->spec.tty);
	text_rfc3339(s->started_at, when);
	json_set_string(j, "started_at", when);
	json_set_uint(j, "pid", s->pid);
	json_set_uint(j, "attached", s->attached);
	json_set_bool(j, "running", alive(s));
	if (s->state == SESSION_ENDED) {
		text_rfc3339(s->ended_at, when);
		json_set_string(j, "ended_at", when);
		json_set_int(j, "exit_code", s->exit_code);
	} else {
		json_set(j, "exit_code", NULL);
	}
	return j;
}

static void describe(const struct session *s)
{
	auto_json j = session_to_json(s);

	recorder_describe(&s->rec, j);
}

static struct client *starter(struct session *s)
{
	for (struct client *c = s->sup->clients; c; c = c->next) {
		if (c->starting == s)
			return c;
	}
	return NULL;
}

void session_started(struct session *s, uint32_t pid)
{
	struct client *c = starter(s);
	struct err e = ERR_INIT;

	if (s->state != SESSION_STARTING)
		return;
	s->state = SESSION_RUNNING;
	s->pid = pid;
	if (!s->copy && recorder_open(&s->rec, s->sup->log_fd, s->id, &e) < 0)
		supervisor_note(s->sup, "%s", e.message);
	if (!s->copy)
		describe(s);
	if (c) {
		s->owner = c->start_detached ? NULL : c;
		client_started(c, s);
	}
	if (!s->owner && !s->copy)
		session_eof(s, NULL);
	session_resume(s);
}

static void remove_session(struct session *s)
{
	for (struct session **at = &s->sup->sessions; *at; at = &(*at)->next) {
		if (*at == s) {
			*at = s->next;
			s->sup->nsessions--;
			break;
		}
	}
	session_free(s);
}

void session_failed(struct session *s, const struct err *why)
{
	struct client *c = starter(s);

	if (s->state != SESSION_STARTING)
		return;
	if (c) {
		c->starting = NULL;
		client_error(c, why);
	}
	remove_session(s);
}

static void finish(struct session *s)
{
	s->state = SESSION_ENDED;
	s->ended_at = now();
	input_closed(s);
	if (!s->copy)
		describe(s);
	/* The text that a copy wrote to its standard error explains its exit code. */
	if (s->copy)
		broadcast(s, CONTROL_EXITED, (uint32_t)s->exit_code, s->ring,
			  s->ring_len < ERR_MESSAGE_MAX / 2 ? s->ring_len : ERR_MESSAGE_MAX / 2);
	else
		broadcast(s, CONTROL_EXITED, (uint32_t)s->exit_code, NULL, 0);
	for (struct client *c = s->sup->clients; c; c = c->next) {
		if (c->session == s)
			c->session = NULL;
	}
	s->attached = 0;
	s->owner = NULL;
	session_resume(s); /* the background's output goes to the log */
	supervisor_check_idle(s->sup);
}

/* Read what was written before the leader ended; then it is over. */
static void drain(struct session *s)
{
	for (int i = 0; i < 2; i++) {
		struct session_stream *o = &s->out[i];

		while (o->fd >= 0 && o->drain_left) {
			if (s->attached && blocked(s)) {
				pause_all(s);
				return; /* session_resume goes on */
			}
			if (take(o) != TAKEN_SOME)
				break;
		}
	}
	if (s->state == SESSION_DRAINING)
		finish(s);
}

void session_exited(struct session *s, int wait_status)
{
	if (s->state != SESSION_RUNNING)
		return;
	s->exit_code =
		WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
	s->state = SESSION_DRAINING;
	for (int i = 0; i < 2; i++)
		s->out[i].drain_left = DRAIN_MAX;
	if (s->attached && blocked(s))
		return;
	drain(s);
}

void session_free(struct session *s)
{
	if (!s)
		return;
	loop_remove(s->sup->loop, s->redraw);
	input_closed(s);
	for (int i = 0; i < 2; i++)
		stream_close(&s->out[i]);
	recorder_close(&s->rec);
	spec_session_clear(&s->spec);
	free(s->ring);
	free(s);
}
