/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry_confine_test: what ward-registry can still do when it is confined, and what not any
 * more.  Each attempt is made in a child, once without confinement: there it must succeed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "image/registry_internal.h"

enum { NO_LANDLOCK = 200 }; /* above every errno that is expected */

static int store = -1; /* a directory */

/* --- attempts: 0, or errno ---------------------------------------------------------------------
 */

static int result_of(long r)
{
	return r < 0 ? errno : 0;
}

static int run_program(void)
{
	char name[] = "true";
	char *argv[] = { name, NULL };
	char *none[] = { NULL };

	/* Its exit status is 0. */
	return result_of(execve("/bin/true", argv, none));
}

static int run_from_descriptor(void)
{
	char name[] = "true";
	char *argv[] = { name, NULL };
	char *none[] = { NULL };

	return result_of(syscall(SYS_execveat, AT_FDCWD, "/bin/true", argv, none, 0));
}

static int be_traced(void)
{
	return result_of(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static int read_memory(void)
{
	char from = 1, to = 0;
	struct iovec a = { &to, 1 }, b = { &from, 1 };

	return result_of(syscall(SYS_process_vm_readv, getpid(), &a, 1UL, &b, 1UL, 0UL));
}

static int leave_namespace(void)
{
	return result_of(unshare(CLONE_FS));
}

static int make_process(void)
{
	long r = syscall(SYS_clone, (unsigned long)SIGCHLD, NULL, NULL, NULL, NULL);

	if (r == 0)
		_exit(0);
	return result_of(r);
}

static int signal_parent(void)
{
	return result_of(kill(getppid(), 0));
}

static int make_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? errno : 0;
}

static int turn_into_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? errno : result_of(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}

static int unix_socket(void)
{
	return result_of(socket(AF_UNIX, SOCK_STREAM, 0));
}

static int netlink_socket(void)
{
	return result_of(socket(AF_NETLINK, SOCK_RAW, 0));
}

static int be_a_server(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr = { .s_addr = htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return fd < 0 ? EBADF : result_of(bind(fd, (struct sockaddr *)&sa, sizeof(sa)));
}

static int write_elsewhere(void)
{
	return result_of(open("/tmp", O_TMPFILE | O_WRONLY, 0600));
}

static int read_elsewhere(void)
{
	return result_of(open("/etc/passwd", O_RDONLY));
}

static int write_in_store(void)
{
	int fd = openat(store, "blob", O_RDWR | O_CREAT, 0600);

	if (fd < 0 || write(fd, "x", 1) != 1 || fdatasync(fd) < 0)
		return errno;
	return result_of(renameat(store, "blob", store, "done"));
}

static int internet_socket(void)
{
	int a = socket(AF_INET, SOCK_STREAM, 0);
	int b = socket(AF_INET6, SOCK_DGRAM, 0);

	/* Without IPv6 there is none to be had. */
	return a < 0 || (b < 0 && errno != EAFNOSUPPORT) ? errno : 0;
}

static void *look_up(void *arg)
{
	struct addrinfo *found = NULL;
	int *ret = arg;

	*ret = getaddrinfo("localhost", "80", NULL, &found);
	if (*ret == 0)
		freeaddrinfo(found);
	return NULL;
}

static int look_up_in_a_thread(void)
{
	int found = EINVAL;
	pthread_t thread;
	int r = pthread_create(&thread, NULL, look_up, &found);

	if (r == 0)
		r = pthread_join(thread, NULL);
	return r ? r : found ? ENOENT : 0;
}

enum { DIES = -1 };

static const struct attempt {
	const char *name;
	int (*try)(void);
	int confined; /* errno, or DIES: by SIGSYS */
} attempts[] = {
	{ "run a program", run_program, DIES },
	{ "run a program by descriptor", run_from_descriptor, DIES },
	{ "be traced", be_traced, DIES },
	{ "read a process' memory", read_memory, DIES },
	{ "leave a namespace", leave_namespace, DIES },
	{ "make a process", make_process, EPERM },
	{ "signal the parent", signal_parent, EPERM },
	{ "make code", make_code, EPERM },
	{ "turn memory into code", turn_into_code, EPERM },
	{ "a Unix socket", unix_socket, EPERM },
	{ "a netlink socket", netlink_socket, EPERM },
	{ "be a server", be_a_server, EPERM },
	{ "write elsewhere", write_elsewhere, EACCES },
	{ "read elsewhere", read_elsewhere, EACCES },
	{ "write in the store", write_in_store, 0 },
	{ "sockets of the internet", internet_socket, 0 },
	{ "look a name up in a thread", look_up_in_a_thread, 0 },
};

/* Exit status, or DIES. */
static int outcome(const struct attempt *a, bool confine, bool writes)
{
	const struct registry_store s = { .blobs = store };
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct err e = ERR_INIT;

		if (confine && registry_confine(&s, writes, &e) < 0)
			_exit(e.kind == ERR_HOST ? NO_LANDLOCK : NO_LANDLOCK + 1);
		_exit(a->try());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status)) {
		assert_int_equal(WTERMSIG(status), SIGSYS);
		return DIES;
	}
	return WEXITSTATUS(status);
}

static void test_attempts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++) {
		const struct attempt *a = &attempts[i];
		int with;

		print_message("%s\n", a->name);
		assert_int_equal(outcome(a, false, true), 0);
		with = outcome(a, true, true);
		if (with == NO_LANDLOCK)
			skip();
		assert_int_equal(with, a->confined);
	}
}

/* A push reads the store only. */
static void test_read_only(void **state)
{
	const struct attempt a = { "write in the store", write_in_store, EACCES };
	int with = outcome(&a, true, false);

	(void)state;
	if (with == NO_LANDLOCK)
		skip();
	assert_int_equal(with, a.confined);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_attempts),
		cmocka_unit_test(test_read_only),
	};
	char dir[] = "/tmp/ward-registry-confine.XXXXXX";
	int r;

	if (!mkdtemp(dir))
		return 1;
	store = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	(void)unlinkat(store, "done", 0);
	(void)rmdir(dir);
	return r;
}
