/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream: an engine call whose bytes pass through this program.
 *
 * Engine calls block until a stream is done, so the call runs in a child and this process works on
 * the other end of a pipe.  The child reports with one write of its struct err and leaves by _exit:
 * no cleanup runs twice.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "cli/cli_internal.h"

static _Noreturn void child(struct cli *c, stream_fn *fn, void *arg, int data, int report)
{
	struct err e = ERR_INIT;
	int r = fn(c, data, arg, &e);

	if (r < 0)
		(void)fs_write_all(report, &e, sizeof(e));
	_exit(r < 0 ? 1 : 0);
}

int stream_start(struct cli *c, bool writes, stream_fn *fn, void *arg, struct stream *ret,
		 struct err *e)
{
	int data[2] = { -1, -1 }, report[2] = { -1, -1 };
	int theirs = writes ? 1 : 0;
	pid_t pid;

	if (pipe2(data, O_CLOEXEC) < 0)
		return err_sys(e, "pipe");
	if (pipe2(report, O_CLOEXEC) < 0) {
		err_sys(e, "pipe");
		close(data[0]);
		close(data[1]);
		return e->code;
	}
	pid = fork();
	if (pid == 0) {
		close(data[1 - theirs]);
		close(report[0]);
		child(c, fn, arg, data[theirs], report[1]);
	}
	close(data[theirs]);
	close(report[1]);
	if (pid < 0) {
		err_sys(e, "fork");
		close(data[1 - theirs]);
		close(report[0]);
		return e->code;
	}
	*ret = (struct stream){ .pid = pid, .fd = data[1 - theirs], .err_fd = report[0] };
	return 0;
}

int stream_finish(struct stream *s, struct err *e)
{
	struct err theirs;
	int status = 0;
	ssize_t n;

	if (s->fd >= 0)
		close(s->fd);
	do {
		n = read(s->err_fd, &theirs, sizeof(theirs));
	} while (n < 0 && errno == EINTR);
	close(s->err_fd);
	while (waitpid(s->pid, &status, 0) < 0 && errno == EINTR)
		continue;
	*s = (struct stream){ .fd = -1, .err_fd = -1 };
	if (n == (ssize_t)sizeof(theirs)) {
		*e = theirs;
		return e->code < 0 ? e->code : -EIO;
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return err_set(e, ERR_SYSTEM, -ECHILD, "a helper process ended unexpectedly");
	return 0;
}
