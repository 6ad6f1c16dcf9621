/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build: makes a box and executes its PID 1.
 *
 *   supervisor (host)                         child (all namespaces new)
 *   -----------------                         --------------------------
 *   clone3 ---------------------------------> waits for GO
 *   writes the id maps; real root also
 *   makes the id-mapped mounts
 *   MOUNT..., GO ---------------------------> opens sources as the user
 *                                             becomes root of the outer namespace
 *                                             applies the plan, checks the mount table
 *   takes devpts and listener <-------------- FDS
 *                                             closes everything, executes ward-init
 *   returns <-------------------------------- HELLO (sent by ward-init)
 *
 * One socket pair serves all of it.  A failure on the child's side is one FAILED packet with a
 * struct err.  The child dies with the supervisor (PR_SET_PDEATHSIG, and the closed socket before
 * that is set); when the supervisor gives up it kills the child, and with PID 1 everything in the
 * namespaces goes, mounts included.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <linux/keyctl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/compat.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/wire.h"
#include "box/box_internal.h"
#include "box/init_wire.h"

enum { PIDS_DEFAULT = 4096 }; /* processes and threads of one id in the box */

/* --- child -------------------------------------------------------------------------------------
 */

static _Noreturn void child_fail(int sock, const struct err *e)
{
	wire_send(sock, BOX_WIRE_FAILED, 0, e, sizeof(*e), NULL, 0);
	_exit(1);
}

static int child_check_parent(int sock, struct err *e)
{
	struct pollfd p = { .fd = sock };

	/* Between clone3 and prctl the supervisor may have died; then the signal never comes. */
	if (poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)))
		return err_set(e, ERR_SYSTEM, EPIPE, "the supervisor is gone");
	return 0;
}

static int child_wait_go(int sock, struct box_build *b, struct err *e)
{
	static struct wire_msg m;
	size_t nops = b->p->nops;

	for (;;) {
		int r = wire_recv(sock, &m);
		int fd;

		if (r <= 0)
			return err_set(e, ERR_SYSTEM, EPIPE, "the supervisor is gone");
		if (m.h.type == BOX_WIRE_GO)
			return 0;
		fd = wire_take_fd(&m, 0);
		if (m.h.type != BOX_WIRE_MOUNT || fd < 0 || m.h.arg >= nops + b->p->layers.n)
			return err_set(e, ERR_SYSTEM, EBADMSG, "unexpected message");
		if (m.h.arg < nops) {
			b->sources[m.h.arg] = fd;
			b->detached[m.h.arg] = true;
		} else {
			b->layers[m.h.arg - nops] = fd;
			b->layers_detached = true;
		}
	}
}

static const struct limit {
	int resource;
	rlim_t soft;
	rlim_t hard;
} limits[] = {
	/* 1, not 0: a core_pattern that names a program runs it as the host's root for 0 too. */
	{ RLIMIT_CORE, 1, 1 },
	{ RLIMIT_NOFILE, 65536, 524288 },
	{ RLIMIT_MEMLOCK, 8 << 20, 8 << 20 },
	{ RLIMIT_MSGQUEUE, 819200, 819200 },
	{ RLIMIT_RTPRIO, 0, 0 },
	{ RLIMIT_NICE, 0, 0 },
};

static int child_limit(const struct limit *l, struct err *e)
{
	__rlimit_resource_t resource = (__rlimit_resource_t)l->resource;
	struct rlimit now;
	struct rlimit new;

	if (getrlimit(resource, &now) < 0)
		return err_sys(e, "resource limits");
	new.rlim_max = l->hard < now.rlim_max ? l->hard : now.rlim_max;
	new.rlim_cur = l->soft < new.rlim_max ? l->soft : new.rlim_max;
	if (setrlimit(resource, &new) < 0)
		return err_sys(e, "resource limits");
	return 0;
}

static int child_limits(uint64_t pids, struct err *e)
{
	const struct limit processes = { RLIMIT_NPROC, pids, pids };
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(limits) && r == 0; i++)
		r = child_limit(&limits[i], e);
	return r < 0 ? r : child_limit(&processes, e);
}

/* The user's capabilities in the new namespace survive: effective follows uid 0. */
static int child_become_root(const struct box_ids *ids, struct err *e)
{
	/* With one id the kernel forbids setgroups; the map has no other group to drop to. */
	if (ids->mode != BOX_ID_SINGLE && setgroups(0, NULL) < 0)
		return err_sys(e, "drop groups");
	if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		return err_sys(e, "become root of the namespace");
	return 0;
}

static int child_stdio(struct err *e)
{
	auto_close int fd = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return err_sys(e, "/dev/null");
	for (int i = 0; i < 3; i++)
		if (dup2(fd, i) < 0)
			return err_sys(e, "standard descriptors");
	return 0;
}

/* Descriptors end as: 0-2 the box's null device, 3 the socket, 4 (closed by execve) the program. */
static int child_exec(int sock, int init_exe, struct err *e)
{
	char name[] = "ward-init";
	char *argv[] = { name, NULL };
	char *envp[] = { NULL };
	sigset_t none;
	int r = child_stdio(e);
	int high_sock;
	int high_exe;

	if (r < 0)
		return r;
	high_sock = fcntl(sock, F_DUPFD_CLOEXEC, 10);
	high_exe = fcntl(init_exe, F_DUPFD_CLOEXEC, 10);
	if (high_sock < 0 || high_exe < 0 || dup2(high_sock, INIT_WIRE_FD) < 0 ||
	    dup3(high_exe, INIT_WIRE_FD + 1, O_CLOEXEC) < 0)
		return err_sys(e, "descriptors of ward-init");
	if (syscall(SYS_close_range, INIT_WIRE_FD + 2, ~0U, 0) < 0)
		return err_sys(e, "close_range");
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	umask(022);
	syscall(SYS_execveat, INIT_WIRE_FD + 1, "", argv, envp, AT_EMPTY_PATH);
	r = err_sys(e, "execute ward-init");
	child_fail(INIT_WIRE_FD, e);
	return r;
}

/* The sockets of both families that there are; the reason as text. */
static int child_send_net(const struct box_build *b, int sock)
{
	int fds[2 * BOX_NET_SOCKETS];
	size_t n = 0;

	for (size_t i = 0; i < BOX_NET_SOCKETS && b->net.v4[i] >= 0; i++)
		fds[n++] = b->net.v4[i];
	for (size_t i = 0; i < BOX_NET_SOCKETS && b->net.v6[i] >= 0; i++)
		fds[n++] = b->net.v6[i];
	return wire_send(sock, BOX_WIRE_NET, 0, b->net.reason, strlen(b->net.reason), fds, n);
}

static int child_build(struct box_build *b, int sock, int init_exe, struct err *e)
{
	int fds[3];
	int r = child_wait_go(sock, b, e);

	if (r == 0)
		r = child_limits(b->c->spec->limits.pids ? b->c->spec->limits.pids : PIDS_DEFAULT,
				 e);
	if (r == 0 && syscall(SYS_mount, NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		r = err_sys(e, "private mounts");
	if (r == 0)
		r = apply_open_sources(b, e);
	if (r == 0)
		r = child_become_root(&b->c->ids, e);
	if (r < 0)
		return r;
	/* A change of ids clears it. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	r = child_check_parent(sock, e);
	if (r == 0)
		r = apply_plan(b, e);
	if (r == 0)
		r = apply_verify(b, e);
	if (r < 0)
		return r;
	fds[0] = b->devpts_fd;
	fds[1] = b->listen_fd;
	fds[2] = b->docker_fd;
	r = wire_send(sock, BOX_WIRE_FDS, 0, NULL, 0, fds, b->docker_fd < 0 ? 2 : 3);
	if (r == 0)
		r = child_send_net(b, sock);
	if (r < 0)
		return err_set(e, ERR_SYSTEM, r, "the supervisor is gone");
	return child_exec(sock, init_exe, e);
}

static _Noreturn void child_main(struct box_build *b, int sock, int init_exe)
{
	struct err e = ERR_INIT;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	umask(0);
	child_build(b, sock, init_exe, &e);
	child_fail(sock, &e);
}

/* --- supervisor: before the clone ---------------------------------------------------------------
 */

static void init_fds(int *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		v[i] = -1;
}

/* The agent's own directory; made once, it keeps whatever mode the agent gives it. */
static int make_volume(const struct box_config *c, const struct box_volume *v, int top,
		       struct err *e)
{
	auto_free char *name = plan_volume_name(v->path);
	auto_close int all = -1;
	auto_close int fd = -1;
	int r = fs_mkdirs_at(top, "volumes", 0700, &all, e);

	if (r < 0)
		return r;
	if (mkdirat(all, name, 0700) < 0)
		return errno == EEXIST ? 0 : err_sys(e, "volume %s", v->path);
	fd = fs_open_beneath(all, name, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return err_set(e, ERR_SYSTEM, fd, "volume %s: %s", v->path, strerror(-fd));
	if (c->ids.mode == BOX_ID_ROOT && fchown(fd, c->ids.uid[0].outside + BOX_AGENT_ID,
						 c->ids.gid[0].outside + BOX_AGENT_ID) < 0)
		return err_sys(e, "volume %s", v->path);
	return fchmod(fd, v->mode ? v->mode : 0755) < 0 ? err_sys(e, "volume %s", v->path) : 0;
}

int build_open_dirs(const struct box_config *c, struct box_build *b, struct err *e)
{
	static const struct {
		const char *name;
		mode_t mode;
	} dirs[] = { { "upper", 0755 }, { "work", 0700 }, { "home", 0700 } };
	int fds[ARRAY_SIZE(dirs)] = { -1, -1, -1 };
	auto_close int top =
		fs_openat2(AT_FDCWD, c->dir, O_PATH | O_DIRECTORY, 0, RESOLVE_NO_SYMLINKS);
	int r = 0;

	if (top < 0) {
		errno = -top;
		return err_sys(e, "sandbox directory %s", c->dir);
	}
	for (size_t i = 0; i < ARRAY_SIZE(dirs) && r == 0; i++) {
		if (mkdirat(top, dirs[i].name, dirs[i].mode) < 0 && errno != EEXIST) {
			r = err_sys(e, "sandbox directory %s: make %s", c->dir, dirs[i].name);
			break;
		}
		/* O_PATH: the box's root owns upper after the first start. */
		fds[i] = fs_open_beneath(top, dirs[i].name, O_PATH | O_DIRECTORY, 0);
		if (fds[i] < 0)
			r = err_set(e, ERR_CORRUPT, fds[i], "sandbox directory %s: open %s: %s",
				    c->dir, dirs[i].name, strerror(-fds[i]));
	}
	if (r == 0 && c->ids.mode == BOX_ID_ROOT) {
		uint32_t u = c->ids.uid[0].outside;
		uint32_t g = c->ids.gid[0].outside;

		/* Real root's own id does not exist in the box; these three belong to the box. */
		if (fchownat(fds[0], "", u, g, AT_EMPTY_PATH) < 0 ||
		    fchownat(fds[1], "", u, g, AT_EMPTY_PATH) < 0 ||
		    fchownat(fds[2], "", u + BOX_AGENT_ID, g + BOX_AGENT_ID, AT_EMPTY_PATH) < 0)
			r = err_sys(e, "sandbox directory %s: chown", c->dir);
	}
	for (size_t i = 0; r == 0 && i < c->nvolumes; i++) {
		if (!c->volumes[i].tmpfs && !plan_volume_in_home(c, &c->volumes[i]))
			r = make_volume(c, &c->volumes[i], top, e);
	}
	if (r == 0) {
		b->upper_fd = steal_fd(&fds[0]);
		b->work_fd = steal_fd(&fds[1]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return r;
}

void build_init(struct box_build *b, const struct box_config *c, const struct box_plan *p)
{
	*b = (struct box_build){ .c = c,
				 .p = p,
				 .upper_fd = -1,
				 .work_fd = -1,
				 .root_fd = -1,
				 .proc_fd = -1,
				 .null_fd = -1,
				 .empty_fd = -1,
				 .devpts_fd = -1,
				 .listen_fd = -1,
				 .docker_fd = -1,
				 .net = BOX_NET_INIT };
	b->sources = xcalloc(p->nops + 1, sizeof(*b->sources));
	b->detached = xcalloc(p->nops + 1, sizeof(*b->detached));
	b->layers = xcalloc(p->layers.n + 1, sizeof(*b->layers));
	init_fds(b->sources, p->nops);
	init_fds(b->layers, p->layers.n);
}

/* The supervisor's copy; only the child fills the rest. */
void build_clear(struct box_build *b)
{
	fd_closep(&b->upper_fd);
	fd_closep(&b->work_fd);
	free(b->sources);
	free(b->detached);
	free(b->layers);
	mount_list_free(&b->mounts);
}

/* The session keyring as keyctl_describe(3) tells it: "keyring;UID;GID;PERM;NAME". */
static bool keyring_is_mine(void)
{
	char text[128] = "";
	char want[32];

	if (syscall(SYS_keyctl, KEYCTL_DESCRIBE, KEY_SPEC_SESSION_KEYRING, text, sizeof(text)) < 0)
		return false;
	text[sizeof(text) - 1] = '\0';
	(void)snprintf(want, sizeof(want), "keyring;%u;", geteuid());
	return text_starts(text, want);
}

/*
 * A session keyring of Ward's own: what lies in the user's is out of reach.  By name, so that all
 * boxes of a user share one key of the quota; the permission to search is what lets the next
 * process find it.  Somebody else may have given that name to a keyring that everybody may join:
 * theirs is not taken.  A kernel without keys has nothing to hide.
 */
static int join_keyring(struct err *e)
{
	const unsigned long permissions = WARD_KEY_POS_ALL | WARD_KEY_USR_VIEW | WARD_KEY_USR_READ |
					  WARD_KEY_USR_SEARCH | WARD_KEY_USR_LINK;
	int r;

	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, "ward") >= 0) {
		if (!keyring_is_mine() &&
		    syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0)
			return err_sys(e, "session keyring");
		(void)syscall(SYS_keyctl, KEYCTL_SETPERM, KEY_SPEC_SESSION_KEYRING, permissions);
		return 0;
	}
	if (errno == ENOSYS)
		return 0;
	r = err_sys(e, "session keyring");
	if (r == -EDQUOT)
		(void)err_hint(e, "this user owns too many keys: see /proc/key-users");
	return r;
}

/* --- supervisor: the clone -----------------------------------------------------------------------
 */

/*
 * A user namespace remembers its creator's soft limit on processes and applies it to all ids of the
 * namespace together, with the creator's own processes counted in. So a limit that leaves room for
 * those is set around the clone; the box's own, which counts by id and inside only, is set by the
 * child. A user who has more processes than that keeps the limit there was.
 */
static pid_t clone_limited(struct clone_args *a, uint64_t pids)
{
	struct rlimit old;
	struct rlimit low;
	pid_t pid;
	int code;

	if (getrlimit(RLIMIT_NPROC, &old) < 0)
		return -1;
	low = old;
	pids = 4 * (pids > PIDS_DEFAULT ? pids : PIDS_DEFAULT);
	if (pids < low.rlim_cur)
		low.rlim_cur = pids;
	setrlimit(RLIMIT_NPROC, &low);
	pid = (pid_t)syscall(SYS_clone3, a, sizeof(*a));
	if (pid == 0)
		return 0;
	code = errno;
	setrlimit(RLIMIT_NPROC, &old);
	if (pid < 0 && code == EAGAIN && low.rlim_cur != old.rlim_cur) {
		pid = (pid_t)syscall(SYS_clone3, a, sizeof(*a));
		code = errno;
	}
	errno = code;
	return pid;
}

/* 0 in the child, 1 in the parent, -errno. */
static int clone_box(uint64_t pids, int *ret_pidfd, pid_t *ret_pid)
{
	struct clone_args a = { .flags = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET |
					 CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP |
					 CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
				.exit_signal = SIGCHLD };
	int dumpable = prctl(PR_GET_DUMPABLE);
	int pidfd = -1;
	pid_t pid;
	int code;

	a.pidfd = (uint64_t)(uintptr_t)&pidfd;
	/* The map files of a process that is not dumpable belong to real root. */
	prctl(PR_SET_DUMPABLE, 1);
	pid = clone_limited(&a, pids);
	if (pid == 0)
		return 0;
	code = errno;
	prctl(PR_SET_DUMPABLE, dumpable == 1);
	if (pid < 0)
		return -code;
	*ret_pidfd = pidfd;
	*ret_pid = pid;
	return 1;
}

/* --- supervisor: after the clone -----------------------------------------------------------------
 */

static int box_release(const struct box_config *c, const struct box_plan *p, int sock, pid_t pid,
		       struct err *e)
{
	int r = mapped_write(pid, &c->ids, e);

	if (r == 0 && c->ids.mode == BOX_ID_ROOT)
		r = idmapped_send(c, p, sock, pid, e);
	if (r < 0)
		return r;
	r = wire_send(sock, BOX_WIRE_GO, 0, NULL, 0, NULL, 0);
	return r < 0 ? err_set(e, ERR_SYSTEM, r, "the box ended early") : 0;
}

static int take_failure(const struct wire_msg *m, struct err *e)
{
	struct err got;

	if (m->len != sizeof(got))
		return err_set(e, ERR_SYSTEM, EBADMSG, "the box failed without a reason");
	memcpy(&got, m->data, sizeof(got));
	got.message[sizeof(got.message) - 1] = '\0';
	got.hint[sizeof(got.hint) - 1] = '\0';
	if (got.code >= 0)
		got.code = -EIO;
	if (e)
		*e = got;
	return got.code;
}

static void take_net(struct wire_msg *m, struct box_net *ret)
{
	for (size_t i = 0; i < BOX_NET_SOCKETS; i++) {
		ret->v4[i] = wire_take_fd(m, i);
		ret->v6[i] = wire_take_fd(m, BOX_NET_SOCKETS + i);
	}
	memcpy(ret->reason, m->data, strnlen(m->data, sizeof(ret->reason) - 1));
}

static int box_wait_hello(struct box *b, struct err *e)
{
	struct wire_msg *m = xmalloc(sizeof(*m));
	int r;

	for (;;) {
		r = wire_recv(b->init_fd, m);
		if (r <= 0) {
			r = err_set(e, ERR_SYSTEM, r < 0 ? r : EPIPE,
				    "the box ended before its init was ready");
			break;
		}
		if (m->h.type == INIT_WIRE_HELLO) {
			wire_msg_clear(m);
			r = b->devpts_fd < 0 || b->listen_fd < 0
				    ? err_set(e, ERR_SYSTEM, EBADMSG, "the box is incomplete")
				    : 0;
			break;
		}
		if (m->h.type == BOX_WIRE_FDS && b->devpts_fd < 0) {
			b->devpts_fd = wire_take_fd(m, 0);
			b->listen_fd = wire_take_fd(m, 1);
			b->docker_fd = wire_take_fd(m, 2);
			wire_msg_clear(m);
			continue;
		}
		if (m->h.type == BOX_WIRE_NET && b->net.v4[0] < 0) {
			take_net(m, &b->net);
			wire_msg_clear(m);
			continue;
		}
		r = m->h.type == BOX_WIRE_FAILED
			    ? take_failure(m, e)
			    : err_set(e, ERR_SYSTEM, EBADMSG, "unexpected message from the box");
		wire_msg_clear(m);
		break;
	}
	free(m);
	return r;
}

static int read_ns_inodes(struct box *b, struct err *e)
{
	static const char *const names[BOX_NS_MAX] = {
		[BOX_NS_USER] = "user",	    [BOX_NS_PID] = "pid", [BOX_NS_MNT] = "mnt",
		[BOX_NS_NET] = "net",	    [BOX_NS_IPC] = "ipc", [BOX_NS_UTS] = "uts",
		[BOX_NS_CGROUP] = "cgroup",
	};

	for (int i = 0; i < BOX_NS_MAX; i++) {
		char path[64];
		struct stat st;

		snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)b->init_pid, names[i]);
		if (stat(path, &st) < 0)
			return err_sys(e, "%s", path);
		b->ns_ino[i] = st.st_ino;
	}
	return 0;
}

static void kill_and_reap(struct box *b)
{
	siginfo_t info;

	syscall(SYS_pidfd_send_signal, b->pidfd, SIGKILL, NULL, 0);
	while (waitid(P_PIDFD, (id_t)b->pidfd, &info, WEXITED) < 0 && errno == EINTR)
		;
}

static int box_follow(const struct box_config *c, const struct box_plan *p, struct box *b,
		      struct err *e)
{
	int r = read_ns_inodes(b, e);

	if (r == 0)
		r = box_release(c, p, b->init_fd, b->init_pid, e);
	if (r == 0)
		r = box_wait_hello(b, e);
	if (r < 0)
		kill_and_reap(b);
	return r;
}

int box_start(const struct box_config *c, const struct box_plan *p, int init_exe, struct box *ret,
	      struct err *e)
{
	struct box box = BOX_INIT;
	struct box_build build;
	int pair[2] = { -1, -1 };
	int r = join_keyring(e);

	if (r < 0)
		return r;
	build_init(&build, c, p);
	r = build_open_dirs(c, &build, e);
	if (r == 0)
		r = wire_pair(pair, e);
	if (r == 0) {
		r = clone_box(c->spec->limits.pids, &box.pidfd, &box.init_pid);
		if (r == 0) {
			close(pair[0]);
			child_main(&build, pair[1], init_exe);
		}
		if (r < 0)
			r = probe_explain_userns(-r, e);
		fd_closep(&pair[1]);
		box.init_fd = pair[0];
	}
	build_clear(&build);
	if (r > 0)
		r = box_follow(c, p, &box, e);
	if (r < 0) {
		box_clear(&box);
		return r;
	}
	*ret = box;
	return 0;
}

void box_clear(struct box *b)
{
	fd_closep(&b->pidfd);
	fd_closep(&b->init_fd);
	fd_closep(&b->devpts_fd);
	fd_closep(&b->listen_fd);
	fd_closep(&b->docker_fd);
	for (size_t i = 0; i < BOX_NET_SOCKETS; i++) {
		fd_closep(&b->net.v4[i]);
		fd_closep(&b->net.v6[i]);
	}
	*b = BOX_INIT;
}
