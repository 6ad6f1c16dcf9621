/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init: PID 1 of a box.
 *
 * It lives in the outer user namespace, where programs of the box cannot touch it, and has one
 * descriptor that matters: the seqpacket socket to the supervisor.  It starts programs on request,
 * reports how session leaders ended, reaps everybody else, and says when nothing but itself is
 * left.  End of file on the socket means that the supervisor is gone: init ends, and the kernel
 * kills everything in its pid namespace.
 *
 * Invariants: all signals are blocked (what programs inside send has no effect anyway, PID 1 has no
 * handlers); it is not dumpable; it never waits for a program, except in the final sweep, when
 * everything was killed; STARTED or FAILED is sent before EXITED; the table of sessions is bounded.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "box/init_wire.h"
#include "supervise/supervise_internal.h"

enum { INIT_SESSIONS_MAX = 256, STATUS_MAX = 8192, KILL_WAIT_MS = 3000 };

struct init_session {
	uint32_t id;
	pid_t pid;
	int report_fd; /* -1 once it has started */
};

struct init {
	struct confine confine; /* ids and nested */
	int inner_fd;
	int signal_fd;
	int ports_fd; /* to ward-ports; -1: none */
	struct init_programs programs;
	struct init_browser browser;
	struct init_session *sessions;
	size_t nsessions;
	pid_t sweeper;
	struct sweep_dir *dirs;
	size_t ndirs;
	uint32_t starts;
	bool busy;
};

static void tell(uint16_t type, uint32_t arg, const void *payload, size_t n)
{
	/* Only a supervisor that is gone makes this fail; its end of file comes next. */
	(void)wire_send(INIT_WIRE_FD, type, arg, payload, n, NULL, 0);
}

static void tell_failed(uint32_t id, const struct err *e)
{
	tell(INIT_WIRE_FAILED, id, e, sizeof(*e));
}

static struct init_session *find(struct init *in, uint32_t id)
{
	for (size_t i = 0; i < in->nsessions; i++) {
		if (in->sessions[i].id == id)
			return &in->sessions[i];
	}
	return NULL;
}

static void forget(struct init *in, struct init_session *s)
{
	if (s->report_fd >= 0)
		close(s->report_fd);
	*s = in->sessions[--in->nsessions];
}

static void add_file(struct buf *out, pid_t pid, const char *name)
{
	auto_free char *path = xasprintf("/proc/%d/%s", pid, name);
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char bytes[4096];
	ssize_t n;

	while (fd >= 0 && out->len < STATUS_MAX && (n = read(fd, bytes, sizeof(bytes))) > 0)
		buf_add(out, bytes, (size_t)n);
}

/* What the kernel says about a program, for control_info: measured, not assumed. */
static void describe(pid_t pid, struct buf *out)
{
	auto_free char *ns = xasprintf("/proc/%d/ns/user", pid);
	struct stat st;

	add_file(out, pid, "status");
	add_file(out, pid, "limits");
	if (stat(ns, &st) == 0)
		buf_printf(out, "UserNamespace:\t%llu\n", (unsigned long long)st.st_ino);
}

/* The report pipe ended or has an error in it. */
static void start_finished(struct init_session *s)
{
	auto_buf text = BUF_INIT;
	struct err e = ERR_INIT;
	uint32_t pid = (uint32_t)s->pid;
	ssize_t n = read(s->report_fd, &e, sizeof(e));

	close(s->report_fd);
	s->report_fd = -1;
	if (n == (ssize_t)sizeof(e) && e.code < 0) {
		e.message[ERR_MESSAGE_MAX - 1] = '\0';
		e.hint[ERR_HINT_MAX - 1] = '\0';
		tell_failed(s->id, &e);
		s->id = 0; /* its end is of no interest */
		return;
	}
	buf_add(&text, &pid, sizeof(pid));
	describe(s->pid, &text);
	tell(INIT_WIRE_STARTED, s->id, text.data, text.len);
}

static void reaped(struct init *in, pid_t pid, int status)
{
	if (pid == in->sweeper) {
		static const char broken[] = "sweep was interrupted\n";

		in->sweeper = 0;
		if (status != 0)
			tell(INIT_WIRE_SWEPT, 0, broken, sizeof(broken) - 1);
		return;
	}
	for (size_t i = 0; i < in->nsessions; i++) {
		struct init_session *s = &in->sessions[i];
		int32_t code = status;

		if (s->pid != pid)
			continue;
		if (s->report_fd >= 0)
			start_finished(s);
		if (s->id)
			tell(INIT_WIRE_EXITED, s->id, &code, sizeof(code));
		forget(in, s);
		return;
	}
}

static void reap(struct init *in)
{
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		reaped(in, pid, status);
	if (pid < 0 && errno == ECHILD && in->busy) {
		in->busy = false;
		tell(INIT_WIRE_IDLE, in->starts, NULL, 0);
	}
}

static int read_request(struct wire_msg *m, struct start_request *ret, struct err *e)
{
	auto_buf bytes = BUF_INIT;
	int r;

	if (m->nfds != 4)
		return err_set(e, ERR_INPUT, -EBADMSG, "start request: bad descriptors");
	r = fs_read_sealed(m->fds[0], START_BYTES_MAX, &bytes, e);
	return r < 0 ? r : start_request_parse(bytes.data, bytes.len, ret, e);
}

static int start(struct init *in, struct wire_msg *m, struct start_request *r, struct err *e)
{
	struct init_session *s;
	int report[2];
	pid_t pid;

	if (in->nsessions == INIT_SESSIONS_MAX)
		return err_set(e, ERR_REFUSED, -EAGAIN, "too many sessions in this sandbox");
	if (pipe2(report, O_CLOEXEC) < 0)
		return err_sys(e, "pipe");
	pid = fork();
	if (pid == 0) {
		struct init_child c = { .request = r,
					.confine = &in->confine,
					.inner_fd = in->inner_fd,
					.stdio = { m->fds[1], m->fds[2], m->fds[3] },
					.report_fd = report[1] };

		init_child_run(&c);
	}
	if (pid < 0)
		err_sys(e, "fork");
	close(report[1]);
	if (pid < 0) {
		close(report[0]);
		return e->code;
	}
	in->sessions = xrealloc(in->sessions, in->nsessions + 1, sizeof(*in->sessions));
	s = &in->sessions[in->nsessions++];
	*s = (struct init_session){ .id = m->h.arg, .pid = pid, .report_fd = report[0] };
	return 0;
}

static void on_start(struct init *in, struct wire_msg *m)
{
	struct start_request r = { 0 };
	struct err e = ERR_INIT;

	in->starts++;
	in->busy = true;
	if (read_request(m, &r, &e) < 0 || start(in, m, &r, &e) < 0)
		tell_failed(m->h.arg, &e);
	start_request_clear(&r);
}

static void on_signal(struct init *in, const struct wire_msg *m)
{
	struct init_session *s = find(in, m->h.arg);
	int32_t signo;

	if (m->len != sizeof(signo) || !s || s->pid <= 1 || s->id == 0)
		return;
	memcpy(&signo, m->data, sizeof(signo));
	if (signo < 1 || signo > SIGRTMAX)
		return;
	/* The leader's group; before its setsid there is none yet. */
	if (kill(-s->pid, signo) < 0 && errno == ESRCH)
		kill(s->pid, signo);
}

static void nap(long ms)
{
	nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000L }, NULL);
}

/* Nobody is left to race with: kill, reap, sweep, end. */
static _Noreturn void final_sweep(struct init *in)
{
	auto_buf report = BUF_INIT;

	for (int waited = 0; waited < KILL_WAIT_MS; waited += 5) {
		kill(-1, SIGKILL);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD)
			break;
		nap(5);
	}
	init_sweep(in->dirs, in->ndirs, &in->confine.ids, true, &report);
	tell(INIT_WIRE_SWEPT, 1, report.data,
	     report.len < WIRE_PAYLOAD_MAX ? report.len : WIRE_PAYLOAD_MAX);
	exit(0);
}

static void on_sweep(struct init *in, const struct wire_msg *m)
{
	bool give;
	pid_t pid;

	if (m->h.arg == 1)
		final_sweep(in);
	if (in->sweeper)
		return;
	/* While programs run, files may belong to whom they belong for a reason. */
	give = !in->busy;
	in->busy = true;
	pid = fork();
	if (pid == 0) {
		struct buf report = BUF_INIT;

		init_sweep(in->dirs, in->ndirs, &in->confine.ids, give, &report);
		tell(INIT_WIRE_SWEPT, 0, report.data,
		     report.len < WIRE_PAYLOAD_MAX ? report.len : WIRE_PAYLOAD_MAX);
		_exit(0);
	}
	in->sweeper = pid > 0 ? pid : 0;
}

static void on_message(struct init *in, struct wire_msg *m)
{
	switch (m->h.type) {
	case INIT_WIRE_START:
		on_start(in, m);
		break;
	case INIT_WIRE_SIGNAL:
		on_signal(in, m);
		break;
	case INIT_WIRE_TERM:
		kill(-1, SIGTERM);
		kill(-1, SIGCONT);
		break;
	case INIT_WIRE_SWEEP:
		on_sweep(in, m);
		break;
	case INIT_WIRE_LISTENS:
		tell(INIT_WIRE_LISTENING,
		     (m->h.arg & 0xffff) | (init_listens((uint16_t)m->h.arg) ? INIT_LISTENS : 0),
		     NULL, 0);
		break;
	case INIT_WIRE_PORTS:
		init_ports_adopt(&in->ports_fd, m);
		break;
	case INIT_WIRE_PROXY:
		init_programs_adopt(&in->programs, m);
		break;
	default:
		break;
	}
}

static void on_browser(struct init *in)
{
	size_t n;

	if (!init_browser_read(&in->browser, &n))
		return;
	tell(INIT_WIRE_BROWSER, 0, in->browser.line, n);
	init_browser_done(&in->browser, n);
}

enum { FIXED = 5 /* descriptors in front of the sessions' */ };

static int serve(struct init *in)
{
	struct wire_msg *m = xcalloc(1, sizeof(*m));

	for (;;) {
		size_t n = in->nsessions;
		int pause = init_browser_wait(&in->browser);
		struct pollfd *p = xcalloc(n + FIXED, sizeof(*p));
		struct signalfd_siginfo si;

		p[0] = (struct pollfd){ .fd = INIT_WIRE_FD, .events = POLLIN };
		p[1] = (struct pollfd){ .fd = in->signal_fd, .events = POLLIN };
		p[2] = (struct pollfd){ .fd = in->ports_fd, .events = POLLIN };
		p[3] = (struct pollfd){ .fd = pause < 0 ? in->browser.fd : -1, .events = POLLIN };
		p[4] = (struct pollfd){ .fd = in->programs.fd, .events = POLLIN };
		for (size_t i = 0; i < n; i++)
			p[i + FIXED] = (struct pollfd){ .fd = in->sessions[i].report_fd,
							.events = POLLIN };
		if (poll(p, n + FIXED, pause) < 0 && errno != EINTR)
			return -errno;
		/* Reports first: they are about sessions by their place in the table. */
		for (size_t i = 0; i < n; i++) {
			if (p[i + FIXED].revents && in->sessions[i].report_fd >= 0)
				start_finished(&in->sessions[i]);
		}
		if (p[1].revents) {
			while (read(in->signal_fd, &si, sizeof(si)) > 0)
				;
			reap(in);
		}
		if (p[3].revents || pause >= 0)
			on_browser(in);
		if (p[2].revents)
			init_ports_answer(&in->ports_fd, m);
		if (p[4].revents)
			init_programs_answer(&in->programs, m);
		if (p[0].revents) {
			int r = wire_recv(INIT_WIRE_FD, m);

			if (r == 0 || (r < 0 && r != -EAGAIN && r != -EINTR && r != -EBADMSG)) {
				free(p);
				return r;
			}
			if (r == 1) {
				on_message(in, m);
				wire_msg_clear(m);
			}
		}
		free(p);
	}
}

static int open_workspaces(struct init *in, const char *p, const char *end, struct err *e)
{
	while (p < end) {
		const char *nul = memchr(p, '\0', (size_t)(end - p));
		int fd;

		if (!nul)
			return err_set(e, ERR_SYSTEM, -EBADMSG, "init: bad configuration");
		/* The way there is the one that the mount took; no program runs yet. */
		fd = fs_openat2(AT_FDCWD, p, O_PATH | O_DIRECTORY, 0, RESOLVE_NO_MAGICLINKS);
		if (fd == -ENOENT) { /* a pin that was not needed */
			p = nul + 1;
			continue;
		}
		if (fd < 0)
			return err_set(e, ERR_SYSTEM, fd, "directory %s: %s", p, strerror(-fd));
		in->dirs = xrealloc(in->dirs, in->ndirs + 1, sizeof(*in->dirs));
		in->dirs[in->ndirs++] = (struct sweep_dir){ .fd = fd, .path = xstrdup(p) };
		p = nul + 1;
	}
	return 0;
}

/* Wait for the ids, then make the namespace that programs live in. */
static int configure(struct init *in, struct err *e)
{
	struct wire_msg *m = xcalloc(1, sizeof(*m));
	int r = wire_recv(INIT_WIRE_FD, m);

	if (r == 1 && m->h.type == INIT_WIRE_CONFIG && m->len >= sizeof(in->confine.ids)) {
		memcpy(&in->confine.ids, m->data, sizeof(in->confine.ids));
		r = open_workspaces(in, m->data + sizeof(in->confine.ids), m->data + m->len, e);
		if (r == 0)
			r = confine_make_inner(&in->confine.ids, &in->inner_fd, e);
	} else {
		r = err_set(e, ERR_SYSTEM, r < 0 ? r : -EBADMSG, "init: no configuration");
	}
	wire_msg_clear(m);
	free(m);
	return r;
}

static int set_up(struct init *in, struct err *e)
{
	sigset_t all;

	prctl(PR_SET_NAME, "ward-init", 0, 0, 0);
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return err_sys(e, "prctl");
	sigfillset(&all);
	if (sigprocmask(SIG_SETMASK, &all, NULL) < 0)
		return err_sys(e, "signal mask");
	in->signal_fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	if (in->signal_fd < 0)
		return err_sys(e, "signalfd");
	return 0;
}

int init_main(int argc, char **argv)
{
	struct init in = {
		.inner_fd = -1, .signal_fd = -1, .ports_fd = -1, .programs = { .fd = -1 }
	};
	struct err e = ERR_INIT;

	(void)argc;
	(void)argv;
	if (getpid() != 1)
		return 125;
	if (set_up(&in, &e) == 0) {
		tell(INIT_WIRE_HELLO, 0, NULL, 0);
		if (configure(&in, &e) == 0) {
			init_browser_open(&in.browser);
			tell(INIT_WIRE_READY, 0, NULL, 0);
			return serve(&in) < 0 ? 1 : 0;
		}
	}
	tell_failed(0, &e);
	return 1;
}
