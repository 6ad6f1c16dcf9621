/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_client: the client's end of the control socket.
 *
 * Calls block.  What comes back was written by our own supervisor, in which nothing of the box
 * runs, but texts in it may have been chosen inside: they are escaped by who prints them.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "supervise/supervise_internal.h"

enum { DOCUMENT_MAX = 16 << 20, COPY_BLOCK = 65536, POLICY_WAIT_MS = 5000 };

static int not_running(struct err *e)
{
	return err_set(e, ERR_CONFLICT, -ENOTCONN, "the sandbox is not running");
}

int control_connect(const struct sandbox *s, int *ret_fd, struct err *e)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	auto_close int dir = -1;
	auto_close int fd = -1;
	struct ucred peer = { 0 };
	socklen_t len = sizeof(peer);
	int r = fs_open_private_dir(s->run_dir, geteuid(), &dir, e);

	if (r == -ENOENT)
		return not_running(e);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(e, "control socket");
	snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/%s", dir, CONTROL_SOCKET);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		r = -errno;
		return r == -ENOENT || r == -ECONNREFUSED
			       ? not_running(e)
			       : err_set(e, ERR_SYSTEM, r, "control socket: %s", strerror(-r));
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || peer.uid != geteuid())
		return err_set(e, ERR_REFUSED, -EPERM,
			       "control socket: it belongs to another user");
	*ret_fd = steal_fd(&fd);
	return 0;
}

static int lost(struct err *e)
{
	return err_set(e, ERR_CONFLICT, -EPIPE, "the sandbox stopped");
}

static int send_request(int fd, uint16_t type, uint32_t arg, const void *p, size_t n,
			const int *fds, size_t nfds, struct err *e)
{
	int r = wire_send(fd, type, arg, p, n, fds, nfds);

	if (r == -EPIPE || r == -ECONNRESET)
		return lost(e);
	return r < 0 ? err_set(e, ERR_SYSTEM, r, "control socket: %s", strerror(-r)) : 0;
}

/* The next packet that is `want` or an error; others (output, acknowledgements) are passed over. */
static int await(int fd, uint16_t want, struct wire_msg *m, struct err *e)
{
	for (;;) {
		int r;

		do {
			r = wire_recv(fd, m);
		} while (r == -EINTR || r == -ECONNRESET);
		if (r == 0)
			return lost(e);
		if (r < 0)
			return err_set(e, ERR_SYSTEM, r, "control socket: %s", strerror(-r));
		if (m->h.type == want)
			return 0;
		if (m->h.type == CONTROL_ERROR && m->len == sizeof(struct err)) {
			struct err why;

			memcpy(&why, m->data, sizeof(why));
			wire_msg_clear(m);
			why.message[ERR_MESSAGE_MAX - 1] = '\0';
			why.hint[ERR_HINT_MAX - 1] = '\0';
			if (e)
				*e = why;
			return why.code < 0 ? why.code : -EPROTO;
		}
		wire_msg_clear(m);
	}
}

int control_start(int fd, const struct spec_session *s, bool detach, uint32_t *ret_id,
		  struct err *e)
{
	auto_json j = spec_session_to_json(s);
	auto_free struct wire_msg *m = xcalloc(1, sizeof(*m));
	auto_buf text = BUF_INIT;
	auto_close int memfd = -1;
	int r;

	json_write(j, false, &text);
	if (text.len > CONTROL_SESSION_BYTES_MAX)
		return err_set(e, ERR_INPUT, -E2BIG, "arguments and environment are too long");
	r = fs_sealed_memfd("ward-session", text.data, text.len, &memfd, e);
	if (r == 0)
		r = send_request(fd, CONTROL_START, detach ? CONTROL_DETACH : 0, NULL, 0, &memfd, 1,
				 e);
	if (r == 0)
		r = await(fd, CONTROL_STARTED, m, e);
	/* The start was never acknowledged: a supervisor on its way out leaves requests unread.
	 * Only one that was killed in the middle of a start may have run the program for a moment.
	 */
	if (r == -EPIPE)
		r = err_set(e, ERR_CONFLICT, -ENOTCONN,
			    "the sandbox stopped before the program was started");
	if (r < 0)
		return r;
	*ret_id = m->h.arg;
	wire_msg_clear(m);
	return 0;
}

int control_attach(int fd, uint32_t id, uint32_t *ret_id, struct err *e)
{
	auto_free struct wire_msg *m = xcalloc(1, sizeof(*m));
	int r = send_request(fd, CONTROL_ATTACH, id, NULL, 0, NULL, 0, e);

	if (r == 0)
		r = await(fd, CONTROL_STARTED, m, e);
	if (r < 0)
		return r;
	*ret_id = m->h.arg;
	wire_msg_clear(m);
	return 0;
}

int control_signal(int fd, uint32_t id, int signo, struct err *e)
{
	auto_free struct wire_msg *m = xcalloc(1, sizeof(*m));
	int32_t n = signo;
	int r = send_request(fd, CONTROL_SIGNAL, id, &n, sizeof(n), NULL, 0, e);

	if (r == 0)
		r = await(fd, CONTROL_OK, m, e);
	if (r == 0)
		wire_msg_clear(m);
	return r;
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* 0 when something can be read before `end` (0: never ends). */
static int wait_readable(int fd, uint64_t end, struct err *e)
{
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		uint64_t now = end ? now_ms() : 0;
		uint64_t left = end > now ? end - now : 0;
		int n = poll(&p, 1, !end ? -1 : left > INT_MAX ? INT_MAX : (int)left);

		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return err_sys(e, "control socket");
		if (n == 0 && now_ms() >= end)
			return err_set(e, ERR_CONFLICT, -ETIMEDOUT, "it did not end in time");
	}
}

int control_wait(int fd, size_t max, uint64_t timeout_ms, struct buf *tail, int *ret_code,
		 struct err *e)
{
	auto_free struct wire_msg *m = xcalloc(1, sizeof(*m));
	uint64_t end = timeout_ms ? now_ms() + timeout_ms : 0;
	int r;

	for (;;) {
		r = wait_readable(fd, end, e);
		if (r < 0)
			return r;
		r = wire_recv(fd, m);
		if (r == -EINTR)
			continue;
		if (r <= 0)
			return not_running(e);
		if (m->h.type == CONTROL_OUTPUT) {
			buf_add(tail, m->data, m->len);
			if (tail->len > max)
				buf_consume(tail, tail->len - max);
		}
		if (m->h.type == CONTROL_EXITED) {
			*ret_code = (int)(m->h.arg & 0xff);
			wire_msg_clear(m);
			return 0;
		}
		wire_msg_clear(m);
	}
}

static int document(int fd, uint16_t type, uint32_t arg, const struct buf *payload,
		    struct json **ret, struct err *e)
{
	auto_free struct wire_msg *m = xcalloc(1, sizeof(*m));
	auto_buf text = BUF_INIT;
	auto_close int memfd = -1;
	int r = send_request(fd, type, arg, payload ? payload->data : NULL,
			     payload ? payload->len : 0, NULL, 0, e);

	if (r == 0)
		r = await(fd, CONTROL_DOCUMENT, m, e);
	if (r < 0)
		return r;
	memfd = wire_take_fd(m, 0);
	wire_msg_clear(m);
	if (memfd < 0)
		return err_set(e, ERR_SYSTEM, -EPROTO, "control socket: no document");
	r = fs_read_sealed(memfd, DOCUMENT_MAX, &text, e);
	return r < 0 ? r : json_parse(buf_str(&text), text.len, ret, e);
}

int control_sessions(int fd, struct json **ret, struct err *e)
{
	return document(fd, CONTROL_SESSIONS, 0, NULL, ret, e);
}

int control_info(int fd, struct json **ret, struct err *e)
{
	return document(fd, CONTROL_INFO, 0, NULL, ret, e);
}

int control_ports(int fd, const struct spec_port *publish, const struct spec_port *unpublish,
		  struct spec_ports *ret, struct err *e)
{
	const struct spec_port *one = publish ? publish : unpublish;
	uint32_t what = publish	    ? CONTROL_PORTS_PUBLISH
			: unpublish ? CONTROL_PORTS_UNPUBLISH
				    : CONTROL_PORTS_LIST;
	auto_buf payload = BUF_INIT;
	auto_json answer = NULL;
	int r;

	if (one) {
		struct spec_port copy = *one;
		auto_json j = spec_ports_to_json(&(struct spec_ports){ .v = &copy, .n = 1 });

		json_write(j, false, &payload);
	}
	r = document(fd, CONTROL_PORTS, what, &payload, &answer, e);
	return r < 0 ? r : spec_ports_from_json(answer, ret, e);
}

int control_policy_ask(int fd, struct err *e)
{
	return send_request(fd, CONTROL_POLICY, 0, NULL, 0, NULL, 0, e);
}

int control_policy_answer(int fd, struct err *e)
{
	auto_free struct wire_msg *m = xcalloc(1, sizeof(*m));
	int r = wait_readable(fd, now_ms() + POLICY_WAIT_MS, e);

	if (r == -ETIMEDOUT)
		return err_set(e, ERR_CONFLICT, r, "its supervisor does not answer");
	if (r == 0)
		r = await(fd, CONTROL_OK, m, e);
	if (r == 0)
		wire_msg_clear(m);
	return r;
}

int control_stop(int fd, unsigned grace_ms, bool only_idle, struct err *e)
{
	auto_free struct wire_msg *m = xcalloc(1, sizeof(*m));
	uint32_t arg = (grace_ms & ~CONTROL_STOP_IDLE) | (only_idle ? CONTROL_STOP_IDLE : 0);
	int r = send_request(fd, CONTROL_STOP, arg, NULL, 0, NULL, 0, e);

	if (r == 0)
		r = await(fd, CONTROL_OK, m, e);
	if (r == -EPIPE) {
		if (e)
			*e = ERR_INIT;
		return 0; /* it was ending anyway */
	}
	if (r < 0)
		return r;
	wire_msg_clear(m);
	for (;;) { /* the end of the connection is the end of the box */
		r = wire_recv(fd, m);
		if (r == -EINTR)
			continue;
		if (r <= 0)
			break;
		wire_msg_clear(m);
	}
	return 0;
}

/* --- copies ---------------------------------------------------------------------------------- */

/* From one descriptor to another until the end. A reader that went away is no error here: the
 * program's exit says why. */
static int pump(int from, int to, const char *from_name, const char *to_name, bool to_is_box,
		struct err *e)
{
	auto_free char *block = xmalloc(COPY_BLOCK);

	for (;;) {
		ssize_t n = read(from, block, COPY_BLOCK);
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "%s", from_name);
		if (n == 0)
			return 0;
		r = fs_write_all(to, block, (size_t)n);
		if (r == -EPIPE && to_is_box)
			return 0;
		if (r < 0)
			return err_set(e, ERR_SYSTEM, r, "%s: %s", to_name, strerror(-r));
	}
}

static int copy_result(const struct wire_msg *m, struct err *e)
{
	auto_buf text = BUF_INIT;
	size_t n = m->len;

	if (m->h.arg == 0)
		return 0;
	while (n && m->data[n - 1] == '\n')
		n--;
	text_escape(&text, m->data, n, ERR_MESSAGE_MAX / 2);
	return err_set(e, ERR_INPUT, -EIO, "%s", text.len ? buf_str(&text) : "copy failed");
}

static int copy(int fd, uint16_t type, const char *path, unsigned flags, int tar_fd, struct err *e)
{
	auto_free struct wire_msg *m = xcalloc(1, sizeof(*m));
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	struct sigaction before;
	struct err transfer = ERR_INIT;
	int stream;
	int r = send_request(fd, type, flags, path, strlen(path), NULL, 0, e);

	if (r == 0)
		r = await(fd, CONTROL_STARTED, m, e);
	if (r < 0)
		return r;
	stream = wire_take_fd(m, 0);
	wire_msg_clear(m);
	if (stream < 0)
		return err_set(e, ERR_SYSTEM, -EPROTO, "control socket: no stream");
	sigaction(SIGPIPE, &ignore, &before);
	if (type == CONTROL_COPY_OUT)
		pump(stream, tar_fd, "copy", "archive", false, &transfer);
	else
		pump(tar_fd, stream, "archive", "copy", true, &transfer);
	sigaction(SIGPIPE, &before, NULL);
	close(stream);
	r = await(fd, CONTROL_EXITED, m, e);
	if (r == 0)
		r = copy_result(m, e);
	wire_msg_clear(m);
	if (transfer.code < 0) {
		if (e)
			*e = transfer;
		return transfer.code;
	}
	return r;
}

int control_copy_out(int fd, const char *path, unsigned flags, int tar_fd, struct err *e)
{
	return copy(fd, CONTROL_COPY_OUT, path, flags, tar_fd, e);
}

int control_copy_in(int fd, const char *path, unsigned flags, int tar_fd, struct err *e)
{
	return copy(fd, CONTROL_COPY_IN, path, flags, tar_fd, e);
}
