/* SPDX-License-Identifier: Apache-2.0 */
/*
 * processes: other processes: PID 1, those of the host, and what a process inherits.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>

#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attack.h"

static pid_t number(const char *s)
{
	char *end;
	long n = strtol(s, &end, 10);

	return *s != '\0' && *end == '\0' ? (pid_t)n : -1;
}

/* --- init PID: everything that another process can be done to -------------------------------- */

struct target {
	pid_t pid;
	const char *name;
	int flags;
};

static long open_file(const void *arg)
{
	const struct target *t = arg;
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)t->pid, t->name);
	return open(path, t->flags | O_CLOEXEC);
}

static long read_link(const void *arg)
{
	const struct target *t = arg;
	char path[64], link[256];

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)t->pid, t->name);
	return readlink(path, link, sizeof(link));
}

static long seize(const void *arg)
{
	return ptrace(PTRACE_SEIZE, ((const struct target *)arg)->pid, 0, 0);
}

/* Let go again: an attached process is stopped, and stays so when its tracer ends too early. */
static long attach(const void *arg)
{
	pid_t pid = ((const struct target *)arg)->pid;
	long r = ptrace(PTRACE_ATTACH, pid, 0, 0);

	if (r == 0 && waitpid(pid, NULL, __WALL) == pid)
		(void)ptrace(PTRACE_DETACH, pid, 0, 0);
	return r;
}

static long vm_read(const void *arg)
{
	static char byte;
	struct iovec here = { &byte, 1 };
	struct iovec there = { (void *)(uintptr_t)vm_read, 1 };

	return process_vm_readv(((const struct target *)arg)->pid, &here, 1, &there, 1, 0);
}

/* The process lives on; the test looks at it afterwards. */
static int init_attack(int argc, char **argv)
{
	static const struct {
		const char *name;
		int flags;
	} files[] = {
		{ "root/", O_RDONLY }, { "cwd/", O_RDONLY },   { "exe", O_RDONLY },
		{ "exe", O_WRONLY },   { "mem", O_RDWR },      { "environ", O_RDONLY },
		{ "maps", O_RDONLY },  { "fd/0", O_RDONLY },   { "fd/3", O_RDWR },
		{ "auxv", O_RDONLY },  { "ns/mnt", O_RDONLY },
	};
	static const char *const links[] = { "root", "cwd", "exe", "fd/0", "fd/3", "ns/user" };
	struct target t = { .pid = argc > 1 ? number(argv[1]) : 1 };
	int worked = 0;
	char what[64];

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		t.name = files[i].name;
		t.flags = files[i].flags;
		(void)snprintf(what, sizeof(what), "open %s%s", t.name,
			       t.flags == O_RDONLY ? "" : " to write");
		worked += report(what, in_child(open_file, &t));
	}
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		t.name = links[i];
		(void)snprintf(what, sizeof(what), "readlink %s", t.name);
		worked += report(what, in_child(read_link, &t));
	}
	worked += report("ptrace seize", in_child(seize, &t));
	worked += report("ptrace attach", in_child(attach, &t));
	worked += report("process_vm_readv", in_child(vm_read, &t));
	return worked > 0 ? 0 : 1;
}

/* --- walk: every process's root, directory and descriptors --------------------------------------
 */

static void try_path(pid_t pid, const char *via, const char *path)
{
	char full[4096];
	struct stat st;

	(void)snprintf(full, sizeof(full), "/proc/%d/%s%s", (int)pid, via, path);
	if (stat(full, &st) == 0)
		printf("found %s\n", full);
}

static void walk_fds(pid_t pid, const char *path)
{
	char dir[64], via[320];
	DIR *d;
	struct dirent *e;

	(void)snprintf(dir, sizeof(dir), "/proc/%d/fd", (int)pid);
	d = opendir(dir);
	while (d != NULL && (e = readdir(d)) != NULL) {
		if (number(e->d_name) < 0)
			continue;
		(void)snprintf(via, sizeof(via), "fd/%s/..", e->d_name);
		try_path(pid, via, path);
		(void)snprintf(via, sizeof(via), "fd/%s", e->d_name);
		try_path(pid, via, path);
	}
	if (d != NULL)
		closedir(d);
}

static int walk(int argc, char **argv)
{
	static const char *const vias[] = { "root", "cwd", "root/..", "cwd/../../../../../../.." };
	struct dirent *e;
	int seen = 0;
	DIR *d = opendir("/proc");

	if (argc < 2 || d == NULL)
		return 2;
	while ((e = readdir(d)) != NULL) {
		pid_t pid = number(e->d_name);

		if (pid <= 0)
			continue;
		seen++;
		for (size_t i = 0; i < sizeof(vias) / sizeof(vias[0]); i++)
			try_path(pid, vias[i], argv[1]);
		walk_fds(pid, argv[1]);
	}
	closedir(d);
	printf("processes: %d\n", seen);
	return 0;
}

/* --- exes: overwrite the program that some other process runs -----------------------------------
 */

/* Until the file STOP exists.  Programs of the image below /usr are the image's own business. */
static int exes(int argc, char **argv)
{
	unsigned long looked = 0;
	struct dirent *e;

	if (argc < 2)
		return 2;
	while (access(argv[1], F_OK) != 0) {
		DIR *d = opendir("/proc");

		while (d != NULL && (e = readdir(d)) != NULL) {
			char path[300], link[256] = "";
			int fd;

			if (number(e->d_name) <= 0 || number(e->d_name) == getpid())
				continue;
			(void)snprintf(path, sizeof(path), "/proc/%s/exe", e->d_name);
			looked++;
			fd = open(path, O_WRONLY | O_CLOEXEC);
			if (fd < 0)
				continue;
			if (readlink(path, link, sizeof(link) - 1) < 0 ||
			    strncmp(link, "/usr/", 5) != 0)
				printf("opened %s -> %s\n", path, link);
			close(fd);
		}
		if (d != NULL)
			closedir(d);
	}
	printf("looked: %lu\n", looked);
	return 0;
}

/* --- pounce: catch a process between fork and execve, while it is PID 1's copy -------------------
 */

static int pounce_on(const char *pid, unsigned long *caught)
{
	char path[300], exe[256];
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%s/exe", pid);
	n = readlink(path, exe, sizeof(exe) - 1);
	if (n < 0)
		return 0;
	exe[n] = '\0';
	(*caught)++;
	/* What runs by now is the program that was asked for; before, it is a sealed memfd. */
	if (strstr(exe, "memfd") != NULL || strstr(exe, "ward-init") != NULL)
		printf("opened exe of %s: %s\n", pid, exe);
	for (int i = 3; i < 64; i++) {
		(void)snprintf(path, sizeof(path), "/proc/%s/fd/%d", pid, i);
		n = readlink(path, exe, sizeof(exe) - 1);
		if (n < 0)
			continue;
		exe[n] = '\0';
		if (strncmp(exe, "socket:", 7) == 0 || strstr(exe, "memfd") != NULL)
			printf("opened fd %d of %s: %s\n", i, pid, exe);
	}
	(void)snprintf(path, sizeof(path), "/proc/%s/mem", pid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static int pounce(int argc, char **argv)
{
	unsigned long caught = 0, memory = 0;
	pid_t next = getpid() + 1;
	char pid[16];

	if (argc < 2)
		return 2;
	while (access(argv[1], F_OK) != 0) {
		/* New processes have the numbers that come next. */
		for (pid_t p = next; p < next + 16; p++) {
			(void)snprintf(pid, sizeof(pid), "%d", (int)p);
			if (kill(p, 0) != 0 && errno == ESRCH)
				continue;
			memory += (unsigned long)pounce_on(pid, &caught);
			if (p > next + 8)
				next = p - 8;
		}
	}
	printf("caught: %lu, memory of %lu\n", caught, memory);
	return 0;
}

/* --- caps, limits, fds: what this process has ----------------------------------------------------
 */

static int caps(int argc, char **argv)
{
	char line[256];
	FILE *f = fopen("/proc/self/status", "re");

	(void)argc;
	(void)argv;
	printf("uid %d euid %d\n", (int)getuid(), (int)geteuid());
	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, "Cap", 3) == 0 || strncmp(line, "NoNewPrivs", 10) == 0 ||
		    strncmp(line, "Seccomp", 7) == 0)
			fputs(line, stdout);
	}
	if (f != NULL)
		fclose(f);
	printf("securebits %d\n", prctl(PR_GET_SECUREBITS, 0, 0, 0, 0));
	report("raise ambient CHOWN", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0));
	return 0;
}

static int core(int argc, char **argv)
{
	struct rlimit now, more = { RLIM_INFINITY, RLIM_INFINITY };

	(void)argc;
	(void)argv;
	if (getrlimit(RLIMIT_CORE, &now) != 0)
		return 1;
	printf("core limit %llu\n", (unsigned long long)now.rlim_max);
	report("raise the core limit", setrlimit(RLIMIT_CORE, &more));
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	fflush(stdout);
	raise(SIGSEGV);
	return 0;
}

static int fds(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	for (int fd = 0; fd < 4096; fd++) {
		char path[64], link[512];
		struct stat st;
		ssize_t n;

		if (fstat(fd, &st) != 0)
			continue;
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = readlink(path, link, sizeof(link) - 1);
		link[n < 0 ? 0 : n] = '\0';
		printf("fd %d %lu:%lu %o %s\n", fd, (unsigned long)st.st_dev,
		       (unsigned long)st.st_ino, st.st_mode & S_IFMT, link);
	}
	return 0;
}

/* Through every descriptor, and its directory: write, truncate, change the mode. */
static int reopen(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	for (int fd = 0; fd < 64; fd++) {
		char path[64];
		struct stat st;
		int w;

		/* A terminal or pipe has nothing to keep. */
		if (fstat(fd, &st) != 0)
			continue;
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if (S_ISREG(st.st_mode)) {
			w = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
			if (w >= 0) {
				report("write", write(w, "overwritten\n", 12));
				close(w);
			}
		}
		if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) {
			report("chmod", chmod(path, 0777));
			printf("host inode at %d\n", fd);
		}
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/../secret", fd);
		if (access(path, F_OK) == 0)
			printf("host file at %s\n", path);
	}
	return 0;
}

/* --- signals -----------------------------------------------------------------------------------
 */

static int signal_host(int argc, char **argv)
{
	int worked = 0;

	for (int i = 1; i < argc; i++) {
		pid_t pid = number(argv[i]);

		worked += report("kill", kill(pid, SIGKILL));
		worked += report("kill group", kill(-pid, SIGKILL));
		worked += report("pidfd", syscall(434, pid, 0));
	}
	worked += report("kill -STOP 1", kill(1, SIGSTOP));
	worked += report("kill -KILL 1", kill(1, SIGKILL));
	worked += report("kill -TERM 1", kill(1, SIGTERM));
	return worked > 0 ? 0 : 1;
}

static int kill_all(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	report("kill -9 -1", kill(-1, SIGKILL));
	return 0;
}

/* --- starve: what one may do to a process of the same ids without tracing it
 * ---------------------- */

static int starve(int argc, char **argv)
{
	static const struct {
		const char *name;
		int resource;
		rlim_t value;
	} limits[] = {
		{ "NOFILE", RLIMIT_NOFILE, 0 }, { "NPROC", RLIMIT_NPROC, 0 },
		{ "FSIZE", RLIMIT_FSIZE, 0 },	{ "STACK", RLIMIT_STACK, 4096 },
		{ "AS", RLIMIT_AS, 4096 },	{ "CPU", RLIMIT_CPU, 1 },
	};
	pid_t pid = argc > 1 ? number(argv[1]) : 1;
	int fd = open("/proc/1/oom_score_adj", O_WRONLY | O_CLOEXEC);
	cpu_set_t one;

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct rlimit l = { limits[i].value, limits[i].value };

		report(limits[i].name,
		       prlimit(pid, (__rlimit_resource_t)limits[i].resource, &l, NULL));
	}
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	report("affinity", sched_setaffinity(pid, sizeof(one), &one));
	report("priority", setpriority(PRIO_PROCESS, (id_t)pid, 19));
	report("oom score", fd < 0 ? -1 : write(fd, "1000", 4));
	return 0;
}

/* --- orphans: children that nobody waits for, deaf to signals -----------------------------------
 */

static _Noreturn void stay(int stopped)
{
	setsid();
	for (int s = 1; s < 32; s++)
		(void)signal(s, SIG_IGN);
	if (stopped)
		(void)raise(SIGSTOP);
	for (;;)
		pause();
}

/* Makes the file READY once all of them exist. */
static int orphans(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	for (int i = 0; i < 6; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			if (fork() == 0)
				stay(i % 2);
			_exit(0);
		}
		if (pid > 0)
			waitpid(pid, NULL, 0);
	}
	return creat(argv[1], 0644) < 0 ? 1 : 0;
}

const struct attack process_attacks[] = {
	{ "init", "init [PID]                   read, trace and look into PID (1)", init_attack },
	{ "walk", "walk PATH                    reach PATH through every /proc/PID", walk },
	{ "exes", "exes STOP                    open every program that runs, for writing", exes },
	{ "pounce", "pounce STOP                  catch processes before they are confined",
	  pounce },
	{ "caps", "caps                         capabilities of this process", caps },
	{ "core", "core                         crash", core },
	{ "fds", "fds                          descriptors of this process", fds },
	{ "reopen", "reopen                       write through every descriptor", reopen },
	{ "signal", "signal PID...                kill PIDs of the host and PID 1", signal_host },
	{ "killall", "killall                      kill everything", kill_all },
	{ "starve", "starve [PID]                 take a process's limits away", starve },
	{ "orphans", "orphans READY                leave deaf children behind", orphans },
	{ NULL, NULL, NULL },
};
