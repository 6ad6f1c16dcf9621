/* SPDX-License-Identifier: Apache-2.0 */
/*
 * confine_test: put a child through the whole confinement and look at what it has left.
 *
 * The test plays PID 1: a process that is root of a user namespace of its own, with the one id that
 * any user may map.  Where the machine refuses user namespaces the tests skip.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "box/box.h"

enum { NO_NAMESPACE = 77 };

/* In the child: the line that failed is the exit status' meaning, printed for the log. */
#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			(void)fprintf(stderr, "line %d: %s (errno %d)\n", __LINE__, #x, errno);    \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

static bool put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		(void)close(fd);
	return ok;
}

static void become_pid1(struct confine *c)
{
	char map[64];
	uid_t uid = geteuid();
	gid_t gid = getegid();

	if (unshare(CLONE_NEWUSER) != 0)
		_exit(NO_NAMESPACE);
	if (!put("/proc/self/setgroups", "deny"))
		_exit(NO_NAMESPACE);
	(void)snprintf(map, sizeof(map), "0 %u 1", uid);
	if (!put("/proc/self/uid_map", map))
		_exit(NO_NAMESPACE);
	(void)snprintf(map, sizeof(map), "0 %u 1", gid);
	CHECK(put("/proc/self/gid_map", map));
	*c = (struct confine){ .uid = 0, .gid = 0 };
	c->ids.mode = BOX_ID_SINGLE;
	c->ids.nuid = 1;
	c->ids.ngid = 1;
	c->ids.uid[0] = (struct box_extent){ .inside = 0, .outside = uid, .count = 1 };
	c->ids.gid[0] = (struct box_extent){ .inside = 0, .outside = gid, .count = 1 };
}

/* f runs in a child of the process that plays PID 1; it ends with _exit(0) or a failed CHECK. */
static void run_child(void (*f)(const struct confine *c, int inner), bool domain)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		struct confine c;
		struct err e = ERR_INIT;
		int inner = -1;
		pid_t child;

		become_pid1(&c);
		if (domain && confine_make_inner(&c.ids, &inner, &e) != 0) {
			(void)fprintf(stderr, "%s\n", e.message);
			_exit(e.kind == ERR_HOST ? NO_NAMESPACE : 1);
		}
		child = fork();
		if (child == 0) {
			f(&c, inner);
			_exit(0);
		}
		CHECK(waitpid(child, &status, 0) == child);
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 2);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == NO_NAMESPACE)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

static uint64_t status_mask(const char *name)
{
	char line[256];
	unsigned long long mask = UINT64_MAX;
	FILE *f = fopen("/proc/self/status", "re");

	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, name, strlen(name)) == 0)
			(void)sscanf(line + strlen(name), ":%llx", &mask);
	}
	if (f != NULL)
		(void)fclose(f);
	return mask;
}

static int oom_score(void)
{
	int score = -1;
	FILE *f = fopen("/proc/self/oom_score_adj", "re");

	if (f == NULL || fscanf(f, "%d", &score) != 1)
		score = -1;
	if (f != NULL)
		(void)fclose(f);
	return score;
}

static void confined(const struct confine *c, int inner)
{
	struct err e = ERR_INIT;
	struct rlimit core;
	struct sigaction sa;
	sigset_t mask;

	/* What a careless parent might leave. */
	CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR && signal(SIGHUP, SIG_IGN) != SIG_ERR);
	CHECK(sigfillset(&mask) == 0 && sigprocmask(SIG_SETMASK, &mask, NULL) == 0);
	(void)umask(0);
	if (confine_enter(c, inner, &e) != 0) {
		(void)fprintf(stderr, "%s\n", e.message);
		_exit(1);
	}
	/* Non-dumpable: /proc/self/status stays readable, it is not behind ptrace. */
	CHECK(status_mask("CapBnd") == confine_bounding_set());
	CHECK(status_mask("CapEff") == confine_bounding_set());
	CHECK(status_mask("CapInh") == 0 && status_mask("CapAmb") == 0);
	CHECK(status_mask("SigIgn") == 0 && status_mask("SigBlk") == 0);
	CHECK(sigaction(SIGPIPE, NULL, &sa) == 0 && sa.sa_handler == SIG_DFL);
	CHECK(prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == SECCOMP_MODE_FILTER);
	CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0 || status_mask("NoNewPrivs") == 1);
	CHECK(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
	CHECK(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max <= 1);
	CHECK(oom_score() == 500);
	CHECK(umask(0) == 022);
	CHECK(unshare(CLONE_NEWUSER) == -1 && errno == EPERM);
	CHECK(syscall(SYS_keyctl, 0, -3, 0) == -1 && errno == EPERM);
	CHECK(setresuid(1234, 1234, 1234) == 0 && getuid() == 0); /* pretended */
	CHECK(chown("/proc/self/status", 1234, 1234) == 0);
}

static void test_everything_is_in_force(void **state)
{
	(void)state;
	run_child(confined, true);
}

static void without_domain(const struct confine *c, int inner)
{
	struct err e = ERR_INIT;

	CHECK(confine_enter(c, inner, &e) < 0);
	CHECK(strstr(e.message, "landlock") != NULL);
	CHECK(prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == SECCOMP_MODE_DISABLED);
}

static void test_no_domain_no_program(void **state)
{
	(void)state;
	run_child(without_domain, false);
}

static void wrong_namespace(const struct confine *c, int inner)
{
	struct err e = ERR_INIT;

	CHECK(confine_enter(c, -1, &e) == -EBADF);
	CHECK(strstr(e.message, "inner user namespace") != NULL);
	e = ERR_INIT;
	CHECK(inner >= 0);
	/* The one that it is in already. */
	CHECK(confine_enter(c, open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC), &e) == -EINVAL);
}

static void test_wrong_namespace(void **state)
{
	(void)state;
	run_child(wrong_namespace, true);
}

static void bad_ids(const struct confine *c, int inner)
{
	struct confine bad = *c;
	struct err e = ERR_INIT;

	bad.ngroups = ARRAY_SIZE(bad.groups) + 1;
	CHECK(confine_enter(&bad, inner, &e) == -EINVAL);
	CHECK(strstr(e.message, "groups") != NULL);
}

static void test_too_many_groups(void **state)
{
	(void)state;
	run_child(bad_ids, true);
}

/* The filter pretends that other ids were taken; the program must not start as somebody else. */
static void pretended_id(const struct confine *c, int inner)
{
	struct confine other = *c;
	struct err e = ERR_INIT;

	other.uid = 1000;
	CHECK(confine_enter(&other, inner, &e) == -EPROTO);
}

static void test_an_id_that_is_not_there(void **state)
{
	(void)state;
	run_child(pretended_id, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything_is_in_force),
		cmocka_unit_test(test_no_domain_no_program),
		cmocka_unit_test(test_wrong_namespace),
		cmocka_unit_test(test_too_many_groups),
		cmocka_unit_test(test_an_id_that_is_not_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
