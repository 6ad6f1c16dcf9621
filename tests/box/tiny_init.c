/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tiny_init: a stand-in for ward-init, static, for box_driver.
 *
 * It says hello, takes one packet "UID COMMAND" with three descriptors, runs the command with
 * /bin/sh in the OUTER user namespace and answers with the wait status.  Not installed.
 */
#include <grp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/wire.h"
#include "box/init_wire.h"

static void run(struct wire_msg *m)
{
	char *command = NULL;
	long uid = strtol(m->data, &command, 10);
	char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	char home[] = "HOME=/home/agent";
	char sh[] = "sh";
	char dash_c[] = "-c";
	char *argv[] = { sh, dash_c, command, NULL };
	char *envp[] = { path, home, NULL };

	for (size_t i = 0; i < 3 && i < m->nfds; i++)
		dup2(m->fds[i], (int)i);
	setsid();
	if (uid > 0 &&
	    (setgroups(0, NULL) < 0 || setresgid((gid_t)uid, (gid_t)uid, (gid_t)uid) < 0 ||
	     setresuid((uid_t)uid, (uid_t)uid, (uid_t)uid) < 0))
		_exit(125);
	execve("/bin/sh", argv, envp);
	_exit(127);
}

int main(void)
{
	static struct wire_msg m;
	int status = 0;
	pid_t pid;

	if (wire_send(INIT_WIRE_FD, INIT_WIRE_HELLO, 0, NULL, 0, NULL, 0) < 0)
		return 1;
	if (wire_recv(INIT_WIRE_FD, &m) <= 0)
		return 1;
	pid = fork();
	if (pid == 0)
		run(&m);
	while (waitpid(pid, &status, 0) < 0)
		;
	wire_send(INIT_WIRE_FD, INIT_WIRE_CONFIG, (uint32_t)status, NULL, 0, NULL, 0);
	return 0;
}
