/* SPDX-License-Identifier: Apache-2.0 */
/*
 * floor: what the kernel itself costs for a box, with nothing around it.
 *
 * floor ROOTFS STATE COMMAND [ARG...]: one clone3 with all namespaces, a single-id map, an overlay
 * of ROOTFS with STATE/upper and STATE/work, pivot_root, a small seccomp filter, execve, wait.  It
 * keeps no promise of isolation and checks little: it exists to be measured against.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void die(const char *what)
{
	fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
	_exit(125);
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		die(path);
	close(fd);
}

/* Loads a filter that allows everything but reboot(2): its cost, not its effect, is wanted. */
static void load_filter(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_reboot, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
		die("seccomp");
}

static void child(char **argv, uid_t uid, gid_t gid)
{
	char text[8192];

	put("/proc/self/setgroups", "deny");
	snprintf(text, sizeof(text), "0 %u 1\n", (unsigned)uid);
	put("/proc/self/uid_map", text);
	snprintf(text, sizeof(text), "0 %u 1\n", (unsigned)gid);
	put("/proc/self/gid_map", text);
	if (mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		die("private");
	snprintf(text, sizeof(text), "lowerdir=%s,upperdir=%s/upper,workdir=%s/work,userxattr",
		 argv[1], argv[2], argv[2]);
	if (mount("overlay", argv[2], "overlay", 0, text) < 0)
		die("overlay");
	if (chdir(argv[2]) < 0 ||
	    mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		die("proc");
	if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0)
		die("pivot_root");
	load_filter();
	execv(argv[3], argv + 3);
	die(argv[3]);
}

int main(int argc, char **argv)
{
	struct clone_args args = { .flags = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS |
					    CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
					    CLONE_NEWCGROUP,
				   .exit_signal = SIGCHLD };
	uid_t uid = getuid();
	gid_t gid = getgid();
	int status;
	long pid;

	if (argc < 4) {
		fprintf(stderr, "usage: floor ROOTFS STATE COMMAND [ARG...]\n");
		return 2;
	}
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid < 0)
		die("clone3");
	if (pid == 0)
		child(argv, uid, gid);
	if (waitpid((pid_t)pid, &status, 0) < 0)
		die("waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
