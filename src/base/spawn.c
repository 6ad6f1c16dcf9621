/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spawn: run a helper and collect what it writes.
 *
 * posix_spawn shares our memory until execve, so a large supervisor starts a helper as fast as a
 * small one.  The helper gets descriptors 0, 1 and 2 and no other, default signal actions and an
 * empty signal mask.  Its input is a sealed memory file: there is no pipe to fill, so a helper that
 * does not read cannot block or signal us.  It is over when the helper itself ended; a process that
 * it left behind with our pipe open is not waited for.
 */
#include "base/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"

const char *spawn_find(const char *const *paths)
{
	for (; *paths != NULL; paths++) {
		struct stat st;

		if (stat(*paths, &st) == 0 && S_ISREG(st.st_mode) && access(*paths, X_OK) == 0)
			return *paths;
	}
	return NULL;
}

/* One output of the helper: our end of the pipe, and where its bytes go. */
struct stream {
	int fd; /* -1: closed or not wanted */
	size_t left;
	struct buf *out;
};

struct run {
	pid_t pid;
	int pidfd;
	int child[3];
	struct stream streams[2];
};

static uint64_t clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Move a descriptor away from 0..2, where the child's own are put; 0 or -errno. */
static int above_stdio(int *fd)
{
	int moved;

	if (*fd > STDERR_FILENO)
		return 0;
	moved = fcntl(*fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (moved < 0)
		return -errno;
	close(*fd);
	*fd = moved;
	return 0;
}

static int open_input(const struct spawn *s, int *ret, struct err *e)
{
	int r;

	if (s->input == NULL) {
		*ret = open("/dev/null", O_RDONLY | O_CLOEXEC);
		return *ret < 0 ? err_sys(e, "cannot open /dev/null") : 0;
	}
	r = fs_sealed_memfd("ward-input", s->input, s->input_len, ret, e);
	if (r == 0 && lseek(*ret, 0, SEEK_SET) < 0)
		r = err_sys(e, "cannot rewind a memory file");
	return r;
}

static int open_output(struct buf *out, size_t max, struct stream *ours, int *theirs, struct err *e)
{
	int ends[2];

	if (out == NULL) {
		*theirs = open("/dev/null", O_WRONLY | O_CLOEXEC);
		return *theirs < 0 ? err_sys(e, "cannot open /dev/null") : 0;
	}
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(e, "cannot make a pipe");
	*ours = (struct stream){ .fd = ends[0], .left = max, .out = out };
	*theirs = ends[1];
	/* Only our end: the helper's must block as it expects. */
	if (fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0)
		return err_sys(e, "cannot set up a pipe");
	return 0;
}

static int start(const struct spawn *s, struct run *run)
{
	static char *const empty[] = { NULL };
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t set;
	int r;

	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&attr);
	sigemptyset(&set);
	posix_spawnattr_setsigmask(&attr, &set);
	sigfillset(&set);
	posix_spawnattr_setsigdefault(&attr, &set);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	r = posix_spawn_file_actions_addchdir_np(&files, s->cwd != NULL ? s->cwd : "/");
	for (int i = 0; i < 3 && r == 0; i++)
		r = posix_spawn_file_actions_adddup2(&files, run->child[i], i);
	if (r == 0)
		r = posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
	if (r == 0)
		r = posix_spawn(&run->pid, s->path, &files, &attr, s->argv,
				s->env != NULL ? s->env : empty);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return -r;
}

/* Take what is there; what is over the limit is dropped, so that the helper never blocks on it. */
static void drain(struct stream *st)
{
	char chunk[8192];

	while (st->fd >= 0) {
		ssize_t n = read(st->fd, chunk, sizeof(chunk));
		size_t keep;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			close(st->fd);
			st->fd = -1;
			return;
		}
		keep = (size_t)n < st->left ? (size_t)n : st->left;
		buf_add(st->out, chunk, keep);
		st->left -= keep;
	}
}

/* Until the helper has ended; -ETIMEDOUT at the deadline (0: none). */
static int collect(struct run *run, uint64_t deadline)
{
	for (;;) {
		struct pollfd fds[] = {
			{ .fd = run->pidfd, .events = POLLIN },
			{ .fd = run->streams[0].fd, .events = POLLIN },
			{ .fd = run->streams[1].fd, .events = POLLIN },
		};
		uint64_t now = deadline != 0 ? clock_ms() : 0;
		int wait = -1;
		bool ended;

		if (deadline != 0 && now >= deadline)
			return -ETIMEDOUT;
		if (deadline != 0)
			wait = deadline - now > INT_MAX ? INT_MAX : (int)(deadline - now);
		if (poll(fds, ARRAY_SIZE(fds), wait) < 0 && errno != EINTR)
			return -errno;
		/* Looked at before the pipes: what it wrote last is still found in them. */
		ended = (fds[0].revents & POLLIN) != 0;
		drain(&run->streams[0]);
		drain(&run->streams[1]);
		if (ended)
			return 0;
	}
}

static int reap(pid_t pid, int *ret_status)
{
	pid_t got;

	do {
		got = waitpid(pid, ret_status, 0);
	} while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : 0;
}

static int open_all(const struct spawn *s, struct run *run, struct buf *out, struct buf *err_out,
		    struct err *e)
{
	int r = open_input(s, &run->child[0], e);

	if (r == 0)
		r = open_output(out, s->output_max, &run->streams[0], &run->child[1], e);
	if (r == 0)
		r = open_output(err_out, s->output_max, &run->streams[1], &run->child[2], e);
	for (int i = 0; i < 3 && r == 0; i++) {
		r = above_stdio(&run->child[i]);
		if (r < 0)
			err_set(e, ERR_SYSTEM, r, "cannot move a descriptor");
	}
	return r;
}

static int start_and_wait(const struct spawn *s, struct run *run, int *ret_status, struct err *e)
{
	auto_free char *shown = text_escaped(s->path);
	int status = 0;
	int r = start(s, run);

	for (int i = 0; i < 3; i++) {
		close(run->child[i]);
		run->child[i] = -1;
	}
	if (r < 0) {
		errno = -r;
		return err_sys(e, "cannot run '%s'", shown);
	}
	run->pidfd = (int)syscall(SYS_pidfd_open, run->pid, 0);
	r = run->pidfd < 0 ? -errno
			   : collect(run, s->timeout_ms != 0 ? clock_ms() + s->timeout_ms : 0);
	if (r < 0)
		kill(run->pid, SIGKILL);
	if (r == 0) {
		r = reap(run->pid, &status);
	} else {
		int ignored;

		reap(run->pid, &ignored);
	}
	if (r == -ETIMEDOUT)
		return err_set(e, ERR_SYSTEM, r, "program '%s': no answer within %u ms", shown,
			       s->timeout_ms);
	if (r < 0) {
		errno = -r;
		return err_sys(e, "cannot wait for '%s'", shown);
	}
	*ret_status = status;
	return 0;
}

int spawn_run(const struct spawn *s, struct buf *out, struct buf *err_out, int *ret_status,
	      struct err *e)
{
	struct run run = {
		.pidfd = -1,
		.child = { -1, -1, -1 },
		.streams = { { .fd = -1 }, { .fd = -1 } },
	};
	int r = open_all(s, &run, out, err_out, e);

	if (r == 0)
		r = start_and_wait(s, &run, ret_status, e);
	fd_closep(&run.pidfd);
	for (int i = 0; i < 3; i++)
		fd_closep(&run.child[i]);
	fd_closep(&run.streams[0].fd);
	fd_closep(&run.streams[1].fd);
	return r;
}

void spawn_die_with_parent(int pipe_fd)
{
	struct pollfd reader = { .fd = pipe_fd };

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 ||
	    (poll(&reader, 1, 0) == 1 && (reader.revents & POLLERR)))
		_exit(1);
}
