/* SPDX-License-Identifier: Apache-2.0 */
/*
 * helper_child: start ward-proxy or ward-ports.
 *
 * The program is executed by descriptor, opened before the supervisor confined itself, with one end
 * of a socket as descriptor 3 and nothing else; the parent death signal ends it with the
 * supervisor.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "supervise/supervise_internal.h"

static _Noreturn void child(char *name, int exe_fd, int wire_fd, pid_t parent)
{
	char *argv[] = { name, NULL };
	char *env[] = { NULL };
	sigset_t none;
	int exe = fcntl(exe_fd, F_DUPFD_CLOEXEC, 10);
	int wire = fcntl(wire_fd, F_DUPFD_CLOEXEC, 10);

	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent)
		_exit(126);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (exe < 0 || wire < 0 || dup2(wire, 3) < 0)
		_exit(126);
	/* Everything else closes on exec; 0, 1 and 2 are /dev/null already. */
	syscall(SYS_close_range, 4U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */);
	syscall(SYS_execveat, exe, "", argv, env, AT_EMPTY_PATH);
	_exit(127);
}

int helper_child_start(const char *name, int exe_fd, pid_t *ret_pid, int *ret_wire, struct err *e)
{
	auto_free char *argv0 = xstrdup(name);
	pid_t parent = getpid();
	int pair[2];
	int r = wire_pair(pair, e);
	pid_t pid;

	if (r < 0)
		return r;
	pid = fork();
	if (pid == 0)
		child(argv0, exe_fd, pair[1], parent);
	if (pid < 0)
		r = err_sys(e, "%s: fork", name);
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return r;
	}
	*ret_pid = pid;
	*ret_wire = pair[0];
	return 0;
}

void helper_child_end(pid_t *pid, int *wire)
{
	if (*wire >= 0)
		close(*wire);
	*wire = -1;
	if (*pid <= 0)
		return;
	kill(*pid, SIGKILL);
	waitpid(*pid, NULL, 0);
	*pid = 0;
}

int helper_child_failed(const struct wire_msg *m, const char *name, struct err *e)
{
	struct err why;

	if (m->len != sizeof(why))
		return err_set(e, ERR_SYSTEM, -EPROTO, "%s: unexpected answer", name);
	memcpy(&why, m->data, sizeof(why));
	why.message[ERR_MESSAGE_MAX - 1] = '\0';
	why.hint[ERR_HINT_MAX - 1] = '\0';
	if (why.code >= 0)
		return err_set(e, ERR_SYSTEM, -EPROTO, "%s: unexpected answer", name);
	*e = why;
	return err_prefix(e, "%s", name);
}
