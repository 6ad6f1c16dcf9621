/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supervisor: the host-side process of one running box.
 *
 * It is started by launch.c as this program again, from a sealed memfd, with nothing of the user's
 * environment or terminal.  Order: read the parameters, build the box, configure init, read the
 * policy files, start the proxy, open the control socket, confine itself, write state.json, say
 * that it runs.  From then on it is one event loop.
 *
 * The end: a stop request or SIGTERM asks every program to end, waits for the grace period, then
 * lets init kill what is left and sweep the workspaces; if init does not finish in time it is
 * killed.  However the end comes about, the box ends with init, and init and the proxy end with
 * this process (parent death signal, and end of file on their sockets).
 *
 * Invariants: the life lock is held from before the box exists until after it is gone; the ready
 * pipe gets exactly one struct err.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "box/init_wire.h"
#include "supervise/supervise_internal.h"

enum { TERM_GRACE_MS = 5000, SWEEP_WAIT_MS = 13000, SWEEP_DELAY_MS = 2000, CONFIG_WAIT_MS = 10000 };
enum { NOTES_MAX = 1 << 20, STATUS_TEXT_MAX = 16384, SYNC_DELAY_MS = 1000 };

/* --- small things -------------------------------------------------------------------------------
 */

void supervisor_note(struct supervisor *sup, const char *fmt, ...)
{
	auto_buf line = BUF_INIT;
	auto_close int fd = -1;
	struct stat st;
	char when[32];
	va_list ap;

	if (sup->log_fd < 0)
		return;
	text_rfc3339((int64_t)time(NULL), when);
	buf_printf(&line, "%s ", when);
	va_start(ap, fmt);
	buf_vprintf(&line, fmt, ap);
	va_end(ap);
	buf_putc(&line, '\n');
	fd = openat(sup->log_fd, "supervisor.log",
		    O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size < NOTES_MAX)
		(void)fs_write_all(fd, line.data, line.len);
}

int supervisor_tell_init(struct supervisor *sup, uint16_t type, uint32_t arg, const void *payload,
			 size_t n, const int *fds, size_t nfds)
{
	return wire_send(sup->box.init_fd, type, arg, payload, n, fds, nfds);
}

static bool sessions_alive(const struct supervisor *sup)
{
	for (const struct session *s = sup->sessions; s; s = s->next) {
		if (s->state != SESSION_ENDED)
			return true;
	}
	return false;
}

bool supervisor_is_idle(const struct supervisor *sup)
{
	return sup->idle && !sessions_alive(sup);
}

/* --- sweep and grace ------------------------------------------------------------------------- */

static int ask_sweep(struct supervisor *sup, uint32_t final)
{
	sup->dirty = false;
	return supervisor_tell_init(sup, INIT_WIRE_SWEEP, final, NULL, 0, NULL, 0);
}

bool supervisor_sweep_now(struct supervisor *sup, const struct session *s)
{
	for (const struct session *o = sup->sessions; o; o = o->next) {
		if (o != s && o->state != SESSION_ENDED)
			return false;
	}
	return sup->stop == STOP_NO && sup->dirty && ask_sweep(sup, 0) == 0;
}

static void on_sweep_timer(void *arg)
{
	struct supervisor *sup = arg;

	sup->sweep_timer = NULL;
	if (sup->dirty && sup->stop == STOP_NO && !sessions_alive(sup))
		(void)ask_sweep(sup, 0);
}

static void on_grace(void *arg)
{
	struct supervisor *sup = arg;

	sup->grace = NULL;
	if (supervisor_is_idle(sup))
		supervisor_stop(sup, 0);
}

void supervisor_check_idle(struct supervisor *sup)
{
	bool empty = supervisor_is_idle(sup);

	if (sup->stop != STOP_NO || !sup->loop)
		return;
	/* Not at once: one sweep for a row of short programs. */
	if (sup->dirty && !sessions_alive(sup) && !sup->sweep_timer)
		sup->sweep_timer = loop_after(sup->loop, SWEEP_DELAY_MS, on_sweep_timer, sup);
	if (!empty && sup->grace) {
		loop_remove(sup->loop, sup->grace);
		sup->grace = NULL;
	}
	if (empty && !sup->grace && sup->params.grace_seconds)
		sup->grace = loop_after(sup->loop, sup->params.grace_seconds * 1000, on_grace, sup);
}

static void write_report(struct supervisor *sup, const char *text, size_t n)
{
	auto_close int fd = -1;
	auto_json j = NULL;
	auto_buf line = BUF_INIT;
	char when[32];
	struct stat st;

	if (n == 0)
		return;
	text_rfc3339((int64_t)time(NULL), when);
	j = json_object();
	json_set_string(j, "time", when);
	json_set(j, "report", json_string_n(text, n));
	json_write(j, false, &line);
	buf_putc(&line, '\n');
	fd = openat(sup->log_fd, "exit-report.jsonl",
		    O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size < NOTES_MAX)
		(void)fs_write_all(fd, line.data, line.len);
}

/* --- the stop -------------------------------------------------------------------------------- */

static void kill_init(struct supervisor *sup)
{
	sup->stop = STOP_KILL;
	if (sup->box.pidfd >= 0)
		syscall(SYS_pidfd_send_signal, sup->box.pidfd, SIGKILL, NULL, 0);
}

static void on_stop_timer(void *arg)
{
	struct supervisor *sup = arg;

	sup->stop_timer = NULL;
	if (sup->stop == STOP_TERM && ask_sweep(sup, 1) == 0) {
		sup->stop = STOP_SWEEP;
		sup->stop_timer = loop_after(sup->loop, SWEEP_WAIT_MS, on_stop_timer, sup);
		return;
	}
	kill_init(sup);
}

static void stop_next_phase(struct supervisor *sup)
{
	loop_remove(sup->loop, sup->stop_timer);
	on_stop_timer(sup);
}

void supervisor_stop(struct supervisor *sup, uint32_t grace_ms)
{
	if (sup->stop != STOP_NO)
		return;
	sup->stop = STOP_TERM;
	if (!sup->idle)
		(void)supervisor_tell_init(sup, INIT_WIRE_TERM, 0, NULL, 0, NULL, 0);
	sup->stop_timer =
		loop_after(sup->loop, sup->idle || !grace_ms ? 0 : grace_ms, on_stop_timer, sup);
}

/* --- what init says -------------------------------------------------------------------------- */

static void on_started(struct supervisor *sup, struct session *s, const struct wire_msg *m)
{
	uint32_t pid;

	if (m->len < sizeof(pid))
		return;
	memcpy(&pid, m->data, sizeof(pid));
	if (!s->copy && m->len - sizeof(pid) < STATUS_TEXT_MAX) {
		free(sup->status);
		sup->status = xstrndup(m->data + sizeof(pid), m->len - sizeof(pid));
		sup->status_of = s->id;
	}
	session_started(s, pid);
}

static void on_failed(struct session *s, const struct wire_msg *m)
{
	struct err why;

	if (m->len != sizeof(why))
		return;
	memcpy(&why, m->data, sizeof(why));
	why.message[ERR_MESSAGE_MAX - 1] = '\0';
	why.hint[ERR_HINT_MAX - 1] = '\0';
	if (why.code >= 0 || why.kind <= ERR_NONE || why.kind >= ERR_KIND_MAX)
		err_set(&why, ERR_SYSTEM, -EPROTO, "init gave no reason");
	session_failed(s, &why); /* it is freed */
}

static void on_idle(struct supervisor *sup, uint32_t starts)
{
	if (starts != sup->starts)
		return; /* a START is on its way */
	sup->idle = true;
	if (sup->stop == STOP_TERM)
		stop_next_phase(sup);
	else
		supervisor_check_idle(sup);
}

static void on_init_message(struct supervisor *sup, const struct wire_msg *m)
{
	struct session *s = session_find(sup, m->h.arg);
	int32_t status;

	switch (m->h.type) {
	case INIT_WIRE_STARTED:
		if (s)
			on_started(sup, s, m);
		break;
	case INIT_WIRE_FAILED:
		if (s && s->state == SESSION_STARTING)
			on_failed(s, m);
		supervisor_check_idle(sup);
		break;
	case INIT_WIRE_EXITED:
		if (!s || m->len != sizeof(status))
			break;
		memcpy(&status, m->data, sizeof(status));
		session_exited(s, status);
		break;
	case INIT_WIRE_IDLE:
		on_idle(sup, m->h.arg);
		break;
	case INIT_WIRE_SWEPT:
		write_report(sup, m->data, m->len);
		for (s = sup->sessions; s; s = s->next) {
			if (s->state == SESSION_SWEEPING)
				session_end(s);
		}
		break;
	case INIT_WIRE_BROWSER:
		browser_asked(sup, m->data, m->len);
		break;
	case INIT_WIRE_LISTENING:
		browser_listening(sup, (uint16_t)m->h.arg, m->h.arg & INIT_LISTENS);
		break;
	default:
		supervisor_note(sup, "init sent an unknown message %u", m->h.type);
		break;
	}
}

static void on_init(int fd, uint32_t events, void *arg)
{
	struct supervisor *sup = arg;
	struct wire_msg *m = xcalloc(1, sizeof(*m));
	int r = wire_recv(fd, m);

	(void)events;
	if (r == 1) {
		on_init_message(sup, m);
		wire_msg_clear(m);
	} else if (r != -EAGAIN && r != -EINTR && r != -EBADMSG) {
		/* It has closed its end: it is ending, or it will be made to. */
		loop_remove(sup->loop, sup->init_source);
		sup->init_source = NULL;
		kill_init(sup);
	}
	free(m);
}

static void on_init_exit(int fd, uint32_t events, void *arg)
{
	struct supervisor *sup = arg;
	struct wire_msg *m = xcalloc(1, sizeof(*m));

	(void)fd;
	(void)events;
	/* What it said before it ended. */
	while (sup->init_source && wire_recv(sup->box.init_fd, m) == 1) {
		on_init_message(sup, m);
		wire_msg_clear(m);
	}
	free(m);
	waitpid(sup->box.init_pid, NULL, 0);
	sup->init_gone = true;
	loop_stop(sup->loop, 0);
}

static void on_signal(int fd, uint32_t events, void *arg)
{
	struct signalfd_siginfo si;

	(void)events;
	while (read(fd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		if (si.ssi_signo == SIGTERM || si.ssi_signo == SIGINT)
			supervisor_stop(arg, TERM_GRACE_MS);
	}
}

/* --- the start ------------------------------------------------------------------------------- */

static int open_init(const char *path, int *ret, struct err *e)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return err_sys(e, "%s", path);
	return fs_seal_copy(fd, "ward-init", ret, e);
}

/* What init sweeps. */
static void add_swept(const struct box_config *c, const struct box_plan *p, struct buf *out)
{
	for (size_t i = 0; i < p->nops; i++) {
		const struct box_op *op = &p->ops[i];
		bool bind = op->type == BOX_OP_BIND && strcmp(op->target, c->home) != 0 &&
			    !(op->flags & (BOX_F_RO | BOX_F_IS_FILE | BOX_F_ANY_TYPE));

		/* A sweep does not cross mounts, so each is named. */
		if ((bind || op->type == BOX_OP_PIN) &&
		    out->len + strlen(op->target) + 1 < WIRE_PAYLOAD_MAX)
			buf_add(out, op->target, strlen(op->target) + 1);
	}
}

/* Give init the ids and directories; it makes the inner namespace and answers. */
static int configure_init(struct supervisor *sup, const struct box_plan *plan, struct err *e)
{
	struct wire_msg *m = xcalloc(1, sizeof(*m));
	const struct box_ids *ids = &sup->params.config->ids;
	struct pollfd p = { .fd = sup->box.init_fd, .events = POLLIN };
	auto_buf config = BUF_INIT;
	int r;

	buf_add(&config, ids, sizeof(*ids));
	add_swept(sup->params.config, plan, &config);
	r = supervisor_tell_init(sup, INIT_WIRE_CONFIG, 0, config.data, config.len, NULL, 0);
	if (r < 0) {
		free(m);
		return err_set(e, ERR_SYSTEM, r, "init: %s", strerror(-r));
	}
	r = poll(&p, 1, CONFIG_WAIT_MS) == 1 ? wire_recv(sup->box.init_fd, m) : -ETIMEDOUT;
	if (r == 1 && m->h.type == INIT_WIRE_READY)
		r = 0;
	else if (r == 1 && m->h.type == INIT_WIRE_FAILED && m->len == sizeof(*e)) {
		memcpy(e, m->data, sizeof(*e));
		e->message[ERR_MESSAGE_MAX - 1] = '\0';
		e->hint[ERR_HINT_MAX - 1] = '\0';
		r = e->code < 0 ? e->code : err_set(e, ERR_SYSTEM, -EPROTO, "init failed");
	} else {
		r = err_set(e, ERR_SYSTEM, r < 0 ? r : -EPROTO, "init did not start");
	}
	wire_msg_clear(m);
	free(m);
	return r;
}

static int start_box(struct supervisor *sup, struct err *e)
{
	struct box_plan plan = { 0 };
	auto_close int init_exe = -1;
	int r = open_init(sup->params.init_path, &init_exe, e);

	if (r < 0)
		return r;
	r = box_plan_make(sup->params.config, &plan, e);
	if (r == 0)
		r = box_start(sup->params.config, &plan, init_exe, &sup->box, e);
	if (r == 0)
		r = configure_init(sup, &plan, e);
	box_plan_clear(&plan);
	return r;
}

static uint64_t start_time(pid_t pid)
{
	auto_free char *path = xasprintf("/proc/%d/stat", pid);
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[1024];
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;
	char *p;
	uint64_t ticks = 0;

	text[n > 0 ? n : 0] = '\0';
	p = strrchr(text, ')'); /* the name before it may hold anything */
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	if (!p)
		return 0;
	p++;
	p[strcspn(p, " \n")] = '\0';
	return text_u64(p, UINT64_MAX, &ticks) == 0 ? ticks : 0;
}

static const char *const ns_names[] = {
	[BOX_NS_USER] = "user",	    [BOX_NS_PID] = "pid", [BOX_NS_MNT] = "mnt",
	[BOX_NS_NET] = "net",	    [BOX_NS_IPC] = "ipc", [BOX_NS_UTS] = "uts",
	[BOX_NS_CGROUP] = "cgroup",
};
_Static_assert(ARRAY_SIZE(ns_names) == BOX_NS_MAX, "a name for every namespace");

struct json *supervisor_namespaces(const struct supervisor *sup)
{
	struct json *j = json_object();

	for (int i = 0; i < BOX_NS_MAX; i++)
		json_set_uint(j, ns_names[i], sup->box.ns_ino[i]);
	return j;
}

/* For people and for `inspect`: nothing is ever killed or joined by these numbers. */
static int write_state(struct supervisor *sup, struct err *e)
{
	auto_json j = json_object();
	auto_close int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	char id[64];
	ssize_t n = fd >= 0 ? read(fd, id, sizeof(id)) : 0;

	while (n > 0 && id[n - 1] == '\n')
		n--;
	json_set_int(j, "schema", 1);
	json_set(j, "boot_id", json_string_n(id, n > 0 ? (size_t)n : 0));
	json_set_int(j, "pid", getpid());
	json_set_uint(j, "starttime", start_time(getpid()));
	json_set_int(j, "init_pid", sup->box.init_pid);
	json_set_uint(j, "init_starttime", start_time(sup->box.init_pid));
	json_set(j, "namespaces", supervisor_namespaces(sup));
	json_set_int(j, "started_at", sup->started_at);
	return state_write(&sup->params.sandbox, j, e);
}

static int watch(struct supervisor *sup, struct err *e)
{
	sigset_t set;
	int r;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return err_sys(e, "signal mask");
	sup->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (sup->signal_fd < 0)
		return err_sys(e, "signalfd");
	r = loop_add(sup->loop, sup->signal_fd, EPOLLIN, on_signal, sup, &sup->signal_source, e);
	fcntl(sup->box.init_fd, F_SETFL, O_NONBLOCK);
	if (r == 0)
		r = loop_add(sup->loop, sup->box.init_fd, EPOLLIN, on_init, sup, &sup->init_source,
			     e);
	if (r == 0)
		r = loop_add(sup->loop, sup->box.pidfd, EPOLLIN, on_init_exit, sup,
			     &sup->init_pid_source, e);
	return r;
}

static int set_up(struct supervisor *sup, struct err *e)
{
	int dir;
	int r = params_read(SUPERVISOR_FD_PARAMS, &sup->params, e);

	close(SUPERVISOR_FD_PARAMS);
	if (r < 0)
		return r;
	r = fs_mkdirs_at(SUPERVISOR_FD_DIR, "log", 0700, &dir, e);
	if (r < 0)
		return err_prefix(e, "log directory");
	sup->log_fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	close(dir);
	if (sup->log_fd < 0)
		return err_sys(e, "log directory");
	sup->next_id = recorder_next_id(sup->log_fd);
	r = loop_new(&sup->loop, e);
	/* A port that is taken is told before anything is built. */
	if (r == 0)
		r = ports_open(sup, e);
	if (r == 0)
		r = start_box(sup, e);
	/* From here on nobody else of this user needs to look in; the id maps are written. */
	if (r == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		r = err_sys(e, "dumpable");
	if (r == 0)
		r = watch(sup, e);
	if (r == 0 && sup->box.net.reason[0])
		supervisor_note(sup, "capture of connections: %s", sup->box.net.reason);
	if (r == 0)
		r = policy_files_open(sup, e);
	if (r == 0)
		r = proxy_child_start(sup, e);
	if (r == 0)
		r = ports_child_open(sup, e);
	if (r == 0)
		r = ports_child_start(sup, e);
	if (r == 0)
		r = engine_relay_start(sup, e);
	if (r == 0)
		r = control_listen(sup, e);
	if (r == 0)
		r = write_state(sup, e);
	if (r == 0)
		r = credentials_open(sup, e);
	if (r == 0)
		r = supervisor_harden(sup, e);
	if (r == 0)
		r = proxy_child_watch(sup, e);
	if (r == 0)
		credentials_start(sup);
	return r;
}

/* Everything that is left says how it ended, then goes. */
static void tear_down(struct supervisor *sup)
{
	if (sup->box.pidfd >= 0 && !sup->init_gone) {
		kill_init(sup);
		waitpid(sup->box.init_pid, NULL, 0);
	}
	proxy_child_stop(sup);
	ports_child_stop(sup);
	ports_close(sup);
	engine_relay_stop(sup);
	credentials_finish(sup);
	for (struct session *s = sup->sessions; s; s = s->next) {
		session_exited(s, SIGKILL);
		if (s->state != SESSION_STARTING)
			session_end(s);
	}
	unlinkat(sup->run_fd, CONTROL_SOCKET, 0);
	/* The lock goes before the connections: who waits for their end may start it again. */
	if (sup->lock_fd >= 0)
		close(sup->lock_fd);
	control_close(sup);
}

/* Not before the first program has started: waiting for the disk would make every start slower. */
static void on_sync_timer(void *arg)
{
	struct supervisor *sup = arg;

	state_sync(&sup->params.sandbox, NULL);
}

int supervisor_main(int argc, char **argv)
{
	struct supervisor *sup = xcalloc(1, sizeof(*sup));
	struct err e = ERR_INIT;
	int r;

	(void)argc;
	(void)argv;
	prctl(PR_SET_NAME, SUPERVISE_ARGV0, 0, 0, 0);
	*sup = (struct supervisor){ .box = BOX_INIT,
				    .lock_fd = SUPERVISOR_FD_LOCK,
				    .run_fd = SUPERVISOR_FD_RUN,
				    .ready_fd = SUPERVISOR_FD_READY,
				    .log_fd = -1,
				    .listen_fd = -1,
				    .signal_fd = -1,
				    .idle = true,
				    .started_at = (int64_t)time(NULL),
				    .policy = { .watch_fd = -1, .config_fd = -1, .target_fd = -1 },
				    .ports = { .exe_fd = -1, .wire_fd = -1 },
				    .proxy = { .sup = sup, .exe_fd = -1, .wire_fd = -1 } };
	for (int fd = SUPERVISOR_FD_LOCK; fd < SUPERVISOR_FD_END; fd++)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	r = set_up(sup, &e);
	if (write(sup->ready_fd, &e, sizeof(e)) < 0)
		r = -EPIPE; /* nobody waits for the box */
	close(sup->ready_fd);
	if (r == 0) {
		supervisor_check_idle(sup);
		loop_after(sup->loop, SYNC_DELAY_MS, on_sync_timer, sup);
		r = loop_run(sup->loop);
	}
	tear_down(sup);
	_exit(r == 0 ? 0 : 1);
}
