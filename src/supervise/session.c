/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session: one program in the box, as the supervisor sees it.
 *
 * The supervisor holds the master of a pty of the box's own devpts, or pipes; init gets the other
 * ends.  session_output.c and session_input.c move the bytes.
 *
 * States: STARTING until init answers, RUNNING, DRAINING when the leader is gone, SWEEPING while an
 * agent's workspaces are put in order, ENDED when the exit code was sent.  A few ended sessions are
 * kept, so that their last output can be looked at.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "supervise/supervise_internal.h"

enum { DRAIN_MAX = 262144, HOLD_MS = 2000, START_MS = 30000 };

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
	int peer_stream = op == START_EXEC ? -1 : op == START_TAR_OUT ? 1 : 0;
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

/*
 * No answer: root inside stopped the program before it was executed, or init could not read the
 * request.  Nobody waits for ever, and what may still come of it is not wanted any more.
 */
static void on_start_timeout(void *arg)
{
	struct session *s = arg;
	int32_t signo = SIGKILL;
	struct err why = ERR_INIT;

	s->hold = NULL;
	(void)supervisor_tell_init(s->sup, INIT_WIRE_SIGNAL, s->id, &signo, sizeof(signo), NULL, 0);
	err_set(&why, ERR_SYSTEM, -ETIMEDOUT, "the program did not start within %d seconds",
		START_MS / 1000);
	session_failed(s, &why); /* it is freed */
}

int session_start(struct supervisor *sup, struct spec_session *spec, enum start_op op,
		  int *ret_peer, struct session **ret, struct err *e)
{
	int inside[3] = { -1, -1, -1 };
	struct session *s;
	int r;

	trim_ended(sup);
	if (sup->nsessions >= SESSIONS_MAX || sup->stop != STOP_NO) {
		bool stopping = sup->stop != STOP_NO;

		spec_session_clear(spec);
		return err_set(e, ERR_REFUSED, stopping ? -ESHUTDOWN : -EAGAIN,
			       stopping ? "the sandbox is stopping"
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
	s->hold = loop_after(sup->loop, START_MS, on_start_timeout, s);
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

/* --- what init says -------------------------------------------------------------------------- */

struct json *session_to_json(const struct session *s)
{
	struct json *j = json_object();
	char when[32];

	json_set_uint(j, "id", s->id);
	json_set_string(j, "kind", spec_session_kind_name(s->spec.kind));
	json_set_strv(j, "argv", &s->spec.argv);
	json_set_bool(j, "tty", s->spec.tty);
	text_rfc3339(s->started_at, when);
	json_set_string(j, "started_at", when);
	json_set_uint(j, "pid", s->pid);
	json_set_uint(j, "attached", s->attached);
	json_set_bool(j, "detached", s->detached);
	json_set_bool(j, "running", alive(s));
	if (s->state == SESSION_ENDED) {
		text_rfc3339(s->ended_at, when);
		json_set_string(j, "ended_at", when);
		json_set_int(j, "exit_code", s->exit_code);
	} else {
		json_set(j, "ended_at", NULL);
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
	loop_remove(s->sup->loop, s->hold);
	s->hold = NULL;
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
	if (!s->owner && !s->copy) {
		session_eof(s, NULL);
		session_hang_up(s, false); /* its client did not wait for the start */
	}
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

void session_end(struct session *s)
{
	bool unseen;

	if (s->state == SESSION_ENDED)
		return;
	loop_remove(s->sup->loop, s->hold);
	s->hold = NULL;
	s->state = SESSION_ENDED;
	/* The text that a copy wrote to its standard error explains its exit code. */
	if (s->copy)
		session_broadcast(s, CONTROL_EXITED, (uint32_t)s->exit_code, s->ring,
				  s->ring_len < ERR_MESSAGE_MAX / 2 ? s->ring_len
								    : ERR_MESSAGE_MAX / 2);
	else
		session_broadcast(s, CONTROL_EXITED, (uint32_t)s->exit_code, NULL, 0);
	for (struct client *c = s->sup->clients; c; c = c->next) {
		if (c->session == s)
			c->session = NULL;
	}
	unseen = s->detached && s->attached == 0 && s->spec.kind == SPEC_SESSION_AGENT &&
		 s->sup->stop == STOP_NO;
	s->attached = 0;
	s->owner = NULL;
	if (!s->copy)
		describe(s);
	if (unseen)
		recorder_mark_unseen(&s->rec);
	session_resume(s); /* the background's output goes to the log */
	supervisor_check_idle(s->sup);
}

static void on_hold(void *arg)
{
	struct session *s = arg;

	s->hold = NULL;
	session_end(s);
}

void session_finish(struct session *s)
{
	s->ended_at = now();
	session_input_close(s);
	/* When `ward run` returns, the workspace is as it will stay: the sweep comes first. */
	if (s->spec.kind == SPEC_SESSION_AGENT && supervisor_sweep_now(s->sup, s)) {
		s->state = SESSION_SWEEPING;
		session_pause(s);
		s->hold = loop_after(s->sup->loop, HOLD_MS, on_hold, s);
		return;
	}
	session_end(s);
}

void session_exited(struct session *s, int wait_status)
{
	if (s->state != SESSION_RUNNING)
		return;
	loop_remove(s->sup->loop, s->hangup);
	s->hangup = NULL;
	s->exit_code =
		WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
	s->state = SESSION_DRAINING;
	for (int i = 0; i < 2; i++)
		s->out[i].drain_left = DRAIN_MAX;
	if (s->attached && session_blocked(s))
		return;
	session_drain(s);
}

void session_free(struct session *s)
{
	if (!s)
		return;
	loop_remove(s->sup->loop, s->redraw);
	loop_remove(s->sup->loop, s->hold);
	loop_remove(s->sup->loop, s->hangup);
	session_input_close(s);
	for (int i = 0; i < 2; i++)
		session_stream_close(&s->out[i]);
	recorder_close(&s->rec);
	spec_session_clear(&s->spec);
	free(s->ring);
	free(s);
}
