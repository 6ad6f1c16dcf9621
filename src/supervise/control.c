/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control: the supervisor's end of the control socket.
 *
 * Who may connect: the same user (SO_PEERCRED), through a socket of mode 0600 in a directory of
 * mode 0700.  What such a process sends is checked all the same: type, length and number of
 * descriptors against one table, numbers against what exists, JSON by its own reader.  A packet
 * that breaks the table ends the connection.
 *
 * A client has at most one unacknowledged input packet and one queue of packets that it has not
 * taken; while the queue is not empty, its session's output is not read.
 *
 * Invariant: a client is freed only by its own event or at the end, never by what a session does.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "supervise/supervise_internal.h"

enum { PENDING_MAX = 1 << 20, LAST_WORDS_MAX = 64 };

struct frame { /* a queued packet */
	uint32_t len;
	uint16_t type;
	uint16_t unused;
	uint32_t arg;
};

/* --- sending --------------------------------------------------------------------------------- */

static void want(struct client *c)
{
	loop_modify(c->sup->loop, c->source, c->pending.len ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

bool client_blocked(const struct client *c)
{
	return !c->dead && c->pending.len > 0;
}

void client_send(struct client *c, uint16_t type, uint32_t arg, const void *payload, size_t n)
{
	struct frame f = { .len = (uint32_t)n, .type = type, .arg = arg };
	int r = -EAGAIN;

	if (c->dead)
		return;
	if (c->pending.len == 0)
		r = wire_send(c->fd, type, arg, payload, n, NULL, 0);
	if (r == 0)
		return;
	if (r != -EAGAIN || c->pending.len + n > PENDING_MAX) {
		c->dead = true;
		shutdown(c->fd, SHUT_RDWR); /* its event takes it away */
		return;
	}
	buf_add(&c->pending, &f, sizeof(f));
	buf_add(&c->pending, payload, n);
	want(c);
}

void client_error(struct client *c, const struct err *e)
{
	client_send(c, CONTROL_ERROR, 0, e, sizeof(*e));
}

static void flush(struct client *c)
{
	while (c->pending.len) {
		struct frame f;
		int r;

		memcpy(&f, c->pending.data, sizeof(f));
		r = wire_send(c->fd, f.type, f.arg, c->pending.data + sizeof(f), f.len, NULL, 0);
		if (r == -EAGAIN)
			return;
		if (r < 0) {
			c->dead = true;
			return;
		}
		buf_consume(&c->pending, sizeof(f) + f.len);
	}
	buf_free(&c->pending);
	want(c);
	if (c->session)
		session_resume(c->session);
}

static void send_document(struct client *c, struct json *j)
{
	auto_buf text = BUF_INIT;
	auto_close int fd = -1;
	struct err e = ERR_INIT;

	json_write(j, false, &text);
	json_unref(j);
	if (fs_sealed_memfd("ward-document", text.data, text.len, &fd, &e) < 0)
		client_error(c, &e);
	else if (wire_send(c->fd, CONTROL_DOCUMENT, 0, NULL, 0, &fd, 1) < 0)
		c->dead = true;
}

/* --- requests -------------------------------------------------------------------------------- */

static void drop_session(struct client *c)
{
	struct session *s = c->session;

	c->session = NULL;
	c->starting = NULL;
	c->input_pending = false;
	if (s)
		session_detached(s, c);
}

static int refuse(struct client *c, int code, const char *why)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_CONFLICT, code, "%s", why);
	client_error(c, &e);
	return 0;
}

static int read_session(const struct wire_msg *m, struct spec_session *ret, struct err *e)
{
	auto_buf text = BUF_INIT;
	auto_json j = NULL;
	int r = fs_read_sealed(m->fds[0], CONTROL_SESSION_BYTES_MAX, &text, e);

	if (r == 0)
		r = json_parse(buf_str(&text), text.len, &j, e);
	if (r == 0)
		r = spec_session_from_json(j, ret, e);
	if (r == 0 && ((ret->argv.n == 0) != ret->login || !ret->cwd || ret->cwd[0] != '/')) {
		spec_session_clear(ret);
		r = err_set(e, ERR_INPUT, -EINVAL, "a session needs a program and a directory");
	}
	return r;
}

static int on_start(struct client *c, struct wire_msg *m)
{
	struct spec_session spec = { 0 };
	struct err e = ERR_INIT;
	struct session *s;
	int r;

	if (c->session || c->starting)
		return refuse(c, -EBUSY, "this connection has a session already");
	r = read_session(m, &spec, &e);
	if (r == 0)
		r = session_start(c->sup, &spec, START_EXEC, NULL, &s, &e);
	if (r < 0) {
		client_error(c, &e);
		return 0;
	}
	c->starting = s;
	c->start_detached = m->h.arg & CONTROL_DETACH;
	s->detached = c->start_detached;
	supervisor_check_idle(c->sup);
	return 0;
}

void client_started(struct client *c, struct session *s)
{
	uint32_t tty = s->spec.tty;

	c->starting = NULL;
	if (s->copy) {
		c->session = s;
		s->attached++;
	} else if (c->start_detached) {
		client_send(c, CONTROL_STARTED, s->id, &tty, sizeof(tty));
	} else {
		session_attached(s, c);
		c->fresh = false; /* it has drawn nothing yet */
	}
}

static int on_attach(struct client *c, struct wire_msg *m)
{
	struct session *s = session_pick(c->sup, m->h.arg);
	struct err e = ERR_INIT;

	if (c->session || c->starting)
		return refuse(c, -EBUSY, "this connection has a session already");
	if (s) {
		session_attached(s, c);
		return 0;
	}
	if (m->h.arg)
		err_set(&e, ERR_NOT_FOUND, -ENOENT, "no running session %u in this sandbox",
			m->h.arg);
	else
		err_set(&e, ERR_NOT_FOUND, -ENOENT, "no session runs in this sandbox");
	client_error(c, &e);
	return 0;
}

static int on_input(struct client *c, struct wire_msg *m)
{
	if (c->input_pending)
		return -EBADMSG; /* it had to wait */
	if (c->session)
		session_input(c->session, c, m->data, m->len);
	else
		client_send(c, CONTROL_ACK, 0, NULL, 0); /* ended meanwhile */
	return 0;
}

static int on_eof(struct client *c, struct wire_msg *m)
{
	(void)m;
	if (c->session)
		session_eof(c->session, c);
	return 0;
}

static int on_resize(struct client *c, struct wire_msg *m)
{
	uint16_t size[2];

	memcpy(size, m->data, sizeof(size));
	if (c->session)
		session_resize(c->session, size[0], size[1], c->fresh);
	c->fresh = false;
	return 0;
}

static int on_signal(struct client *c, struct wire_msg *m)
{
	struct session *s = m->h.arg ? session_find(c->sup, m->h.arg) : c->session;
	int32_t signo;

	memcpy(&signo, m->data, sizeof(signo));
	if (signo < 1 || signo > SIGRTMAX)
		return refuse(c, -EINVAL, "no such signal");
	if (!s || s->state != SESSION_RUNNING) {
		/* A relay's signal may cross with the end of its program. */
		return m->h.arg ? refuse(c, -ESRCH, "no such session runs") : 0;
	}
	if (supervisor_tell_init(c->sup, INIT_WIRE_SIGNAL, s->id, &signo, sizeof(signo), NULL, 0) <
	    0)
		return refuse(c, -EAGAIN, "init does not answer");
	if (m->h.arg)
		client_send(c, CONTROL_OK, 0, NULL, 0);
	return 0;
}

static int on_leave(struct client *c, struct wire_msg *m)
{
	if (m->h.arg >= CONTROL_LEAVE_MAX)
		return -EBADMSG;
	c->hangs_up = m->h.arg == CONTROL_LEAVE_HANG_UP;
	if (c->session && !c->hangs_up)
		c->session->detached = true;
	return 0;
}

static int on_close_out(struct client *c, struct wire_msg *m)
{
	if (c->session)
		session_close_out(c->session, c, m->h.arg);
	return 0;
}

static int on_sessions(struct client *c, struct wire_msg *m)
{
	struct json *list = json_array();
	struct session *order[SESSIONS_MAX];
	size_t n = 0;

	(void)m;
	for (struct session *s = c->sup->sessions; s && n < SESSIONS_MAX; s = s->next) {
		if (!s->copy && s->state != SESSION_STARTING)
			order[n++] = s;
	}
	while (n)
		json_append(list, session_to_json(order[--n]));
	send_document(c, list);
	return 0;
}

static int on_info(struct client *c, struct wire_msg *m)
{
	(void)m;
	send_document(c, supervisor_info(c->sup));
	return 0;
}

static int on_stop(struct client *c, struct wire_msg *m)
{
	if ((m->h.arg & CONTROL_STOP_IDLE) && c->sup->stop == STOP_NO &&
	    (c->sup->starts == 0 || !supervisor_is_idle(c->sup))) /* its first program is coming */
		return refuse(c, -EBUSY, "something runs in the sandbox");
	client_send(c, CONTROL_OK, 0, NULL, 0);
	supervisor_stop(c->sup, m->h.arg & ~CONTROL_STOP_IDLE);
	return 0;
}

void control_notice(struct supervisor *sup, const char *text)
{
	for (struct client *c = sup->clients; c; c = c->next) {
		if (c->session && !c->session->copy)
			client_send(c, CONTROL_NOTICE, 0, text, strlen(text));
	}
}

void control_refused(struct supervisor *sup, uint32_t count, const char *payload, size_t n)
{
	count = count < UINT16_MAX ? count : UINT16_MAX;
	for (struct client *c = sup->clients; c && refusal_check(payload, n); c = c->next) {
		struct session *s = c->session;
		bool keys = s && session_reads_keys(s);

		if (!s || s->copy)
			continue;
		s->told_keys = s->told_keys || keys;
		client_send(c, CONTROL_REFUSED, count | (keys ? CONTROL_KEYS : 0), payload, n);
	}
}

static int on_policy(struct client *c, struct wire_msg *m)
{
	struct err e = ERR_INIT;

	(void)m;
	if (policy_files_reload(c->sup, &e) < 0)
		client_error(c, &e);
	else if (c->sup->proxy.untaken > 0)
		c->waits_rules = true;
	else
		client_send(c, CONTROL_OK, 0, NULL, 0);
	return 0;
}

void control_rules_taken(struct supervisor *sup, const struct err *why)
{
	for (struct client *c = sup->clients; c; c = c->next) {
		if (!c->waits_rules)
			continue;
		c->waits_rules = false;
		if (why)
			client_error(c, why);
		else
			client_send(c, CONTROL_OK, 0, NULL, 0);
	}
}

/* The one port that a request is about. */
static int read_port(const struct wire_msg *m, struct spec_port *ret, struct err *e)
{
	struct spec_ports one = { 0 };
	auto_json j = NULL;
	int r = json_parse(m->data, m->len, &j, e);

	if (r == 0)
		r = spec_ports_from_json(j, &one, e);
	if (r == 0 && one.n != 1)
		r = err_set(e, ERR_INPUT, -EINVAL, "not one port");
	if (r == 0) {
		*ret = one.v[0];
		one.n = 0;
	}
	spec_ports_clear(&one);
	return r;
}

static int on_ports(struct client *c, struct wire_msg *m)
{
	struct spec_port p = { 0 };
	struct err e = ERR_INIT;
	int r = m->h.arg == CONTROL_PORTS_LIST ? 0 : read_port(m, &p, &e);

	if (r == 0 && m->h.arg == CONTROL_PORTS_PUBLISH)
		r = ports_publish(c->sup, &p, &e);
	else if (r == 0 && m->h.arg == CONTROL_PORTS_UNPUBLISH)
		r = ports_unpublish(c->sup, &p, &e);
	spec_port_clear(&p);
	if (r < 0)
		client_error(c, &e);
	else
		send_document(c, spec_ports_to_json(&c->sup->ports.list));
	return 0;
}

static int copy(struct client *c, struct wire_msg *m, enum start_op op)
{
	struct spec_session spec = { .kind = SPEC_SESSION_EXEC };
	auto_close int peer = -1;
	struct err e = ERR_INIT;
	struct session *s;
	uint32_t tty = 0;

	if (c->session || c->starting)
		return refuse(c, -EBUSY, "this connection has a session already");
	if (m->len == 0 || m->data[0] != '/' || memchr(m->data, '\0', m->len))
		return refuse(c, -EINVAL, "the path in the sandbox is not absolute");
	strv_take(&spec.argv, xstrndup(m->data, m->len));
	spec.cwd = xstrdup("/");
	spec.user = m->h.arg & COPY_AS_ROOT ? xstrdup("0:0") : NULL;
	if (session_start(c->sup, &spec, op, &peer, &s, &e) < 0) {
		client_error(c, &e);
		return 0;
	}
	c->starting = s;
	c->start_detached = false;
	supervisor_check_idle(c->sup);
	if (wire_send(c->fd, CONTROL_STARTED, s->id, &tty, sizeof(tty), &peer, 1) < 0)
		return -EPIPE;
	return 0;
}

static int on_copy_out(struct client *c, struct wire_msg *m)
{
	return copy(c, m, START_TAR_OUT);
}

static int on_copy_in(struct client *c, struct wire_msg *m)
{
	return copy(c, m, m->h.arg & COPY_MISSING ? START_TAR_MISSING : START_TAR_IN);
}

/* --- the table ------------------------------------------------------------------------------- */

static const struct request {
	int (*run)(struct client *c, struct wire_msg *m); /* < 0: the connection ends */
	uint32_t min;
	uint32_t max;
	uint32_t nfds;
} requests[CONTROL_REQUEST_MAX] = {
	[CONTROL_START] = { on_start, 0, 0, 1 },
	[CONTROL_ATTACH] = { on_attach, 0, 0, 0 },
	[CONTROL_INPUT] = { on_input, 1, WIRE_PAYLOAD_MAX, 0 },
	[CONTROL_EOF] = { on_eof, 0, 0, 0 },
	[CONTROL_RESIZE] = { on_resize, 4, 4, 0 },
	[CONTROL_SIGNAL] = { on_signal, 4, 4, 0 },
	[CONTROL_CLOSE_OUT] = { on_close_out, 0, 0, 0 },
	[CONTROL_SESSIONS] = { on_sessions, 0, 0, 0 },
	[CONTROL_INFO] = { on_info, 0, 0, 0 },
	[CONTROL_STOP] = { on_stop, 0, 0, 0 },
	[CONTROL_COPY_OUT] = { on_copy_out, 1, 4096, 0 },
	[CONTROL_COPY_IN] = { on_copy_in, 1, 4096, 0 },
	[CONTROL_LEAVE] = { on_leave, 0, 0, 0 },
	[CONTROL_POLICY] = { on_policy, 0, 0, 0 },
	[CONTROL_PORTS] = { on_ports, 0, 4096, 0 },
};

int control_check(uint16_t type, size_t len, size_t nfds)
{
	const struct request *r;

	if (type >= CONTROL_REQUEST_MAX)
		return -EBADMSG;
	r = &requests[type];
	return r->run && len >= r->min && len <= r->max && nfds == r->nfds ? 0 : -EBADMSG;
}

/* --- connections ----------------------------------------------------------------------------- */

static void client_free(struct client *c)
{
	for (struct client **at = &c->sup->clients; *at; at = &(*at)->next) {
		if (*at == c) {
			*at = c->next;
			c->sup->nclients--;
			break;
		}
	}
	c->dead = true;
	loop_remove(c->sup->loop, c->source);
	drop_session(c);
	close(c->fd);
	buf_free(&c->pending);
	free(c);
}

/*
 * A client that goes while there is output for it breaks the connection: sending fails, and the
 * next read once as well, but what it said before is still there.  Whether it left on purpose
 * decides about its session.
 */
static void hear_leave(struct client *c, struct wire_msg *m)
{
	int failures = 0;

	for (int i = 0; i < LAST_WORDS_MAX && failures < 2; i++) {
		int r = wire_recv(c->fd, m);

		if (r == 0)
			return;
		if (r != 1) {
			failures++;
			continue;
		}
		if (m->h.type == CONTROL_LEAVE && control_check(m->h.type, m->len, m->nfds) == 0)
			(void)on_leave(c, m);
		wire_msg_clear(m);
	}
}

static void on_client(int fd, uint32_t events, void *arg)
{
	struct client *c = arg;
	struct wire_msg *m;
	int r;

	if (events & EPOLLOUT)
		flush(c);
	if (!c->dead && !(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	m = xcalloc(1, sizeof(*m));
	r = c->dead ? 0 : wire_recv(fd, m);
	if (r == 1) {
		if (control_check(m->h.type, m->len, m->nfds) < 0 ||
		    requests[m->h.type].run(c, m) < 0)
			c->dead = true;
		wire_msg_clear(m);
	} else if (r != -EAGAIN && r != -EINTR) {
		c->dead = true;
	}
	if (c->dead) {
		hear_leave(c, m);
		client_free(c);
	}
	free(m);
}

static void on_accept(int fd, uint32_t events, void *arg)
{
	struct supervisor *sup = arg;
	struct ucred peer = { 0 };
	socklen_t len = sizeof(peer);
	struct err e = ERR_INIT;
	struct client *c;
	int conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (conn < 0)
		return;
	if (getsockopt(conn, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 ||
	    (peer.uid != geteuid() && peer.uid != 0) || sup->nclients >= CONTROL_CLIENTS_MAX) {
		close(conn);
		return;
	}
	c = xcalloc(1, sizeof(*c));
	c->sup = sup;
	c->fd = conn;
	if (loop_add(sup->loop, conn, EPOLLIN, on_client, c, &c->source, &e) < 0) {
		close(conn);
		free(c);
		return;
	}
	c->next = sup->clients;
	sup->clients = c;
	sup->nclients++;
}

int control_listen(struct supervisor *sup, struct err *e)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	auto_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r;

	if (fd < 0)
		return err_sys(e, "control socket");
	/* By descriptor: the directory's path may be longer than a socket address. */
	snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/%s", sup->run_fd,
		 CONTROL_SOCKET);
	unlinkat(sup->run_fd, CONTROL_SOCKET, 0);
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    fchmodat(sup->run_fd, CONTROL_SOCKET, 0600, 0) < 0 || listen(fd, 16) < 0)
		return err_sys(e, "control socket");
	r = loop_add(sup->loop, fd, EPOLLIN, on_accept, sup, &sup->listen_source, e);
	if (r == 0)
		sup->listen_fd = steal_fd(&fd);
	return r;
}

void control_close(struct supervisor *sup)
{
	while (sup->clients) {
		struct client *c = sup->clients;

		/* The last words, as far as they can be said without waiting. */
		flush(c);
		sup->clients = c->next;
		close(c->fd);
		buf_free(&c->pending);
		free(c);
	}
	if (sup->listen_fd >= 0)
		close(sup->listen_fd);
	sup->listen_fd = -1;
}
