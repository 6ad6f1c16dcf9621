/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mapped: user namespaces that are made for the sake of their maps.
 *
 * The kernel lets an unprivileged process write one line with its own id; longer maps need
 * newuidmap and newgidmap, which check /etc/subuid and /etc/subgid.  They are run by absolute path
 * with an empty environment.  Real root writes the files itself.
 *
 * Files that ids of a box own can be touched only from a namespace with the same maps;
 * box_run_mapped makes one for the time of a call.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/compat.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "box/box_internal.h"

static int write_proc(pid_t pid, const char *name, const char *text, struct err *e)
{
	char path[64];
	auto_close int fd = -1;
	int r;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "id maps: open %s", path);
	r = fs_write_all(fd, text, strlen(text));
	if (r < 0) {
		errno = -r;
		return err_sys(e, "id maps: write %s", path);
	}
	return 0;
}

static int run_helper(const char *path, pid_t pid, const struct box_extent *x, uint32_t n,
		      struct err *e)
{
	auto_strv argv = STRV_INIT;
	auto_buf out = BUF_INIT;
	struct spawn s = { .path = path, .output_max = 1024, .timeout_ms = 10000 };
	int status;
	int r;

	strv_add(&argv, path);
	strv_addf(&argv, "%d", (int)pid);
	for (uint32_t i = 0; i < n; i++) {
		strv_addf(&argv, "%" PRIu32, x[i].inside);
		strv_addf(&argv, "%" PRIu32, x[i].outside);
		strv_addf(&argv, "%" PRIu32, x[i].count);
	}
	s.argv = strv_argv(&argv);
	r = spawn_run(&s, NULL, &out, &status, e);
	if (r < 0)
		return err_prefix(e, "id maps");
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	while (out.len > 0 && out.data[out.len - 1] == '\n')
		out.data[--out.len] = '\0';
	err_set(e, ERR_HOST, EPERM, "id maps: %s failed: %s", path, buf_str(&out));
	return err_hint(e, "check this user's lines in /etc/subuid and /etc/subgid");
}

static int write_direct(pid_t pid, const struct box_extent *u, uint32_t nu,
			const struct box_extent *g, uint32_t ng, struct err *e)
{
	auto_buf uid_text = BUF_INIT;
	auto_buf gid_text = BUF_INIT;
	int r;

	idmap_text(u, nu, &uid_text);
	idmap_text(g, ng, &gid_text);
	r = write_proc(pid, "uid_map", buf_str(&uid_text), e);
	return r < 0 ? r : write_proc(pid, "gid_map", buf_str(&gid_text), e);
}

/* Reap a child that reports a failure as one struct err in a pipe. */
static int finish_child(pid_t pid, int err_fd, struct err *e)
{
	struct err got;
	ssize_t n;
	int status = 0;

	do {
		n = read(err_fd, &got, sizeof(got));
	} while (n < 0 && errno == EINTR);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (n == (ssize_t)sizeof(got)) {
		*e = got;
		return got.code < 0 ? got.code : -EIO;
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return err_set(e, ERR_SYSTEM, EIO, "helper process ended unexpectedly");
	return 0;
}

/*
 * Both helpers at once: each takes milliseconds, nearly all of a box's start, and neither needs the
 * other's result. The second one is run by a child for the time being.
 */
static int write_range(pid_t pid, const struct box_ids *ids, struct err *e)
{
	struct err gid_err = ERR_INIT;
	int report[2];
	pid_t child;
	int r;
	int rg;

	if (pipe2(report, O_CLOEXEC) < 0)
		return err_sys(e, "pipe");
	child = fork();
	if (child == 0) {
		if (run_helper("/usr/bin/newgidmap", pid, ids->gid, ids->ngid, &gid_err) < 0) {
			fs_write_all(report[1], &gid_err, sizeof(gid_err));
			_exit(1);
		}
		_exit(0);
	}
	r = child < 0 ? err_sys(e, "fork") : 0;
	close(report[1]);
	if (r == 0)
		r = run_helper("/usr/bin/newuidmap", pid, ids->uid, ids->nuid, e);
	rg = child < 0 ? 0 : finish_child(child, report[0], &gid_err);
	close(report[0]);
	if (r == 0 && rg < 0 && e)
		*e = gid_err;
	return r < 0 ? r : rg;
}

int mapped_write(pid_t pid, const struct box_ids *ids, struct err *e)
{
	int r;

	switch ((enum box_id_mode)ids->mode) {
	case BOX_ID_RANGE:
		return write_range(pid, ids, e);
	case BOX_ID_SINGLE:
		/* Without this the kernel refuses a gid map that is written without privilege. */
		r = write_proc(pid, "setgroups", "deny", e);
		if (r < 0)
			return r;
		break;
	case BOX_ID_ROOT:
		break;
	case BOX_ID_MODE_MAX:
		return err_set(e, ERR_INPUT, EINVAL, "id maps: unknown mode");
	}
	return write_direct(pid, ids->uid, ids->nuid, ids->gid, ids->ngid, e);
}

/* --- a namespace for its map alone ------------------------------------------------------------ */

/* Like fork, into a new user namespace and those of `flags`. */
static pid_t clone_userns(uint64_t flags)
{
	struct clone_args a = { .flags = CLONE_NEWUSER | flags, .exit_signal = SIGCHLD };

	return (pid_t)syscall(SYS_clone3, &a, sizeof(a));
}

static void reap(pid_t pid)
{
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* A child in a new user namespace that waits until the pipe is closed or written. */
static int start_holder(pid_t *ret_pid, int *ret_pipe, struct err *e)
{
	int p[2];
	char go;
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) < 0)
		return err_sys(e, "pipe");
	pid = clone_userns(0);
	if (pid < 0) {
		int code = errno;

		close(p[0]);
		close(p[1]);
		return probe_explain_userns(code, e);
	}
	if (pid == 0) {
		close(p[1]);
		_exit(read(p[0], &go, 1) == 1 ? 0 : 1);
	}
	close(p[0]);
	*ret_pid = pid;
	*ret_pipe = p[1];
	return 0;
}

/*
 * On disk (first column) -> as the box sees it, in ids of the parent namespace. A file that an id
 * of the box made keeps it.
 */
static uint32_t owner_map(struct box_extent *x, uint32_t base, uint32_t owner)
{
	if (owner >= base && owner - base < BOX_IDS) {
		x[0] = (struct box_extent){ base, base, BOX_IDS };
		return 1;
	}
	x[0] = (struct box_extent){ owner, base + BOX_AGENT_ID, 1 };
	x[1] = (struct box_extent){ base, base, BOX_AGENT_ID };
	x[2] = (struct box_extent){ base + BOX_AGENT_ID + 1, base + BOX_AGENT_ID + 1,
				    BOX_IDS - BOX_AGENT_ID - 1 };
	return 3;
}

int mapped_owner_userns(const struct box_ids *ids, uint32_t uid, uint32_t gid, int *ret_fd,
			struct err *e)
{
	struct box_extent u[3];
	struct box_extent g[3];
	uint32_t nu = owner_map(u, ids->uid[0].outside, uid);
	uint32_t ng = owner_map(g, ids->gid[0].outside, gid);
	auto_close int pipe_fd = -1;
	char path[64];
	pid_t pid = -1;
	int fd = -1;
	int r = start_holder(&pid, &pipe_fd, e);

	if (r < 0)
		return r;
	r = write_direct(pid, u, nu, g, ng, e);
	if (r == 0) {
		snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			r = err_sys(e, "id maps: open %s", path);
	}
	fd_closep(&pipe_fd);
	pipe_fd = -1;
	reap(pid);
	if (r == 0)
		*ret_fd = fd;
	return r;
}

/* --- run a function as root of the box's ids ---------------------------------------------------
 */

static _Noreturn void run_child(const struct box_ids *ids, int go_fd, int err_fd,
				const struct mapped_job *j)
{
	struct err e = ERR_INIT;
	char go;
	int r;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (read(go_fd, &go, 1) != 1)
		_exit(1);
	r = j->as_user ? j->as_user(j->arg, &e) : 0;
	if (r == 0 && (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0 ||
		       (ids->mode != BOX_ID_SINGLE && setgroups(0, NULL) < 0)))
		r = err_sys(&e, "id maps: become root of the namespace");
	if (r == 0) {
		/* A change of ids has undone it. */
		spawn_die_with_parent(err_fd);
		r = j->as_root(j->arg, &e);
	}
	if (r < 0) {
		if (e.code == 0)
			err_set(&e, ERR_SYSTEM, r, "failed");
		fs_write_all(err_fd, &e, sizeof(e));
		_exit(1);
	}
	_exit(0);
}

int mapped_run(const struct box_ids *ids, const struct mapped_job *j, struct err *e)
{
	struct err local = ERR_INIT;
	int go[2];
	int report[2];
	pid_t pid;
	int dumpable = prctl(PR_GET_DUMPABLE);
	int r;

	if (pipe2(go, O_CLOEXEC) < 0)
		return err_sys(e, "pipe");
	if (pipe2(report, O_CLOEXEC) < 0) {
		r = err_sys(e, "pipe");
		close(go[0]);
		close(go[1]);
		return r;
	}
	/* The map files of a process that is not dumpable belong to real root. */
	prctl(PR_SET_DUMPABLE, 1);
	pid = clone_userns(j->namespaces);
	if (pid == 0) {
		close(go[1]);
		close(report[0]);
		run_child(ids, go[0], report[1], j);
	}
	r = pid < 0 ? -errno : 0;
	prctl(PR_SET_DUMPABLE, dumpable == 1);
	close(go[0]);
	close(report[1]);
	if (r < 0)
		probe_explain_userns(-r, &local);
	else
		r = mapped_write(pid, ids, &local);
	if (r == 0 && fs_write_all(go[1], "g", 1) < 0)
		r = err_set(&local, ERR_SYSTEM, EPIPE, "helper process ended unexpectedly");
	close(go[1]);
	if (pid > 0 && r < 0)
		reap(pid);
	else if (pid > 0)
		r = finish_child(pid, report[0], &local);
	close(report[0]);
	if (r < 0 && e)
		*e = local;
	return r;
}

int box_run_mapped(const struct box_ids *ids, int (*f)(void *arg, struct err *e), void *arg,
		   struct err *e)
{
	return mapped_run(ids, &(struct mapped_job){ .as_root = f, .arg = arg }, e);
}

struct removal {
	int dirfd;
	const char *const *names;
	size_t n;
};

static int remove_trees(void *arg, struct err *e)
{
	const struct removal *rm = arg;

	for (size_t i = 0; i < rm->n; i++) {
		int r = fs_remove_tree_at(rm->dirfd, rm->names[i], e);

		if (r < 0)
			return r;
	}
	return 0;
}

/* Real root reaches every id as it is, and with one id all files are the user's own. */
static int remove_mapped(const struct box_ids *ids, struct removal *rm, struct err *e)
{
	return ids->mode == BOX_ID_RANGE ? box_run_mapped(ids, remove_trees, rm, e)
					 : remove_trees(rm, e);
}

int box_remove_files(const struct box_ids *ids, int sandbox_dirfd, struct err *e)
{
	static const char *const names[] = { "upper", "work", "home" };
	struct removal rm = { sandbox_dirfd, names, ARRAY_SIZE(names) };

	return remove_mapped(ids, &rm, e);
}

int box_remove_tree(const struct box_ids *ids, int dirfd, const char *name, struct err *e)
{
	struct removal rm = { dirfd, &name, 1 };

	if (faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
		return 0;
	return remove_mapped(ids, &rm, e);
}
