/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of base/spawn.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/spawn.h"

static int sh(const char *script, struct spawn s, struct buf *out, struct buf *errors, int *status)
{
	char shell[] = "/bin/sh", flag[] = "-c";
	auto_free char *copy = xstrdup(script);
	char *argv[] = { shell, flag, copy, NULL };

	s.path = s.path != NULL ? s.path : shell;
	s.argv = argv;
	return spawn_run(&s, out, errors, status, NULL);
}

static void test_run(void **state)
{
	auto_buf out = BUF_INIT, errors = BUF_INIT;
	int status = -1;
	char one[] = "X=1";
	char *env[] = { one, NULL };

	(void)state;
	assert_int_equal(sh("cat; echo $X; pwd; echo oops >&2; exit 3",
			    (struct spawn){ .input = "in\n",
					    .input_len = 3,
					    .env = env,
					    .cwd = "/usr",
					    .output_max = 100 },
			    &out, &errors, &status),
			 0);
	assert_string_equal(buf_str(&out), "in\n1\n/usr\n");
	assert_string_equal(buf_str(&errors), "oops\n");
	assert_int_equal(WEXITSTATUS(status), 3);
}

static void test_clean(void **state)
{
	auto_buf out = BUF_INIT;
	int leak = dup(0), status;

	(void)state;
	signal(SIGUSR1, SIG_IGN);
	/* A shell that is not quiet about its own: descriptors above 2 are those of ls. */
	assert_int_equal(sh("[ -e /proc/self/fd/3 ] && echo leak; kill -USR1 $$; echo alive",
			    (struct spawn){ .output_max = 100 }, &out, NULL, &status),
			 0);
	assert_string_equal(buf_str(&out), "");
	assert_int_equal(WTERMSIG(status), SIGUSR1);
	signal(SIGUSR1, SIG_DFL);
	close(leak);
}

static void test_limits(void **state)
{
	auto_buf out = BUF_INIT;
	int status = 77;

	(void)state;
	assert_int_equal(sh("i=0; while [ $i -lt 20000 ]; do echo 0123456789; i=$((i+1)); done",
			    (struct spawn){ .output_max = 15, .timeout_ms = 60000 }, &out, NULL,
			    &status),
			 0);
	assert_int_equal(out.len, 15);
	assert_int_equal(status, 0);
	assert_int_equal(
		sh("exec sleep 1000", (struct spawn){ .timeout_ms = 50 }, NULL, NULL, &status),
		-ETIMEDOUT);
	assert_int_equal(sh("", (struct spawn){ .path = "/nonexistent" }, NULL, NULL, &status),
			 -ENOENT);
	/* A grandchild that keeps the pipe open does not keep us. */
	buf_reset(&out);
	assert_int_equal(sh("sleep 5 & echo done",
			    (struct spawn){ .output_max = 15, .timeout_ms = 4000 }, &out, NULL,
			    &status),
			 0);
	assert_string_equal(buf_str(&out), "done\n");
}

static void test_find(void **state)
{
	const char *const paths[] = { "/nonexistent", "/usr", "/etc/passwd", "/bin/sh", NULL };
	const char *const none[] = { NULL };

	(void)state;
	assert_string_equal(spawn_find(paths), "/bin/sh");
	assert_null(spawn_find(none));
}

/*
 * A parent that has started a child ends: before the child asks to die with it (early), or after.
 * Either way the child is gone soon, which the end of its pipe tells.
 */
static void dies_with_parent(bool early)
{
	int held[2], reports[2], go[2];
	struct pollfd p;
	pid_t parent;
	char byte;

	assert_int_equal(pipe2(held, O_CLOEXEC) | pipe2(reports, O_CLOEXEC) | pipe2(go, O_CLOEXEC),
			 0);
	parent = fork();
	if (parent == 0) {
		if (fork() != 0) {
			/* Late: the child says when it has asked. */
			_exit(!early && read(reports[0], &byte, 1) != 1);
		}
		close(held[0]);
		close(reports[0]);
		close(go[1]);
		if (early && read(go[0], &byte, 1) != 0)
			_exit(1);
		spawn_die_with_parent(reports[1]);
		/* Whom nobody hears does not write: that would end it, too. */
		if (early || write(reports[1], "", 1) == 1)
			pause();
		_exit(1);
	}
	close(held[1]);
	close(reports[0]);
	close(reports[1]);
	close(go[0]);
	assert_int_equal(waitpid(parent, NULL, 0), parent);
	close(go[1]);
	p = (struct pollfd){ .fd = held[0] };
	assert_int_equal(poll(&p, 1, 10000), 1);
	assert_int_equal(p.revents, POLLHUP);
	close(held[0]);
}

static void test_dies_with_parent(void **state)
{
	(void)state;
	dies_with_parent(true);
	dies_with_parent(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_run),
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_dies_with_parent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
