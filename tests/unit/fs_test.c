/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of base/fs.c and base/fs_tree.c, with hostile trees. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/mem.h"

static char top_path[64];
static int top = -1;

static int setup(void **state)
{
	(void)state;
	snprintf(top_path, sizeof(top_path), "/tmp/ward-fs-test-XXXXXX");
	if (mkdtemp(top_path) == NULL)
		return -1;
	top = open(top_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return top < 0;
}

static int teardown(void **state)
{
	(void)state;
	close(top);
	if (chdir("/tmp") < 0)
		return -1;
	return fs_remove_tree_at(AT_FDCWD, top_path + strlen("/tmp/"), NULL);
}

static void put(const char *name, const char *text)
{
	assert_int_equal(fs_replace_at(top, name, text, strlen(text), 0644, false, NULL), 0);
}

static bool exists(const char *name)
{
	return faccessat(top, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void test_paths(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = { { "/", "/" },	  { "//a///b/", "/a/b" },
		      { "/./a/.", "/a" }, { "/a/...", "/a/..." },
		      { "/..", NULL },	  { "/a/../b", NULL },
		      { "a", NULL },	  { "", NULL } };
	auto_free char *j1 = fs_join("/a/", "/b"), *j2 = fs_join("/", "b"),
		       *j3 = fs_join("a", "b/c");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_free char *out = NULL;
		int r = fs_normalise(cases[i].in, &out, NULL);

		assert_int_equal(r, cases[i].out != NULL ? 0 : -EINVAL);
		if (r == 0)
			assert_string_equal(out, cases[i].out);
	}
	assert_string_equal(j1, "/a/b");
	assert_string_equal(j2, "/b");
	assert_string_equal(j3, "a/b/c");
	assert_true(fs_path_within("/a/b", "/a") && fs_path_within("/a", "/a"));
	assert_true(fs_path_within("/a", "/"));
	assert_false(fs_path_within("/ab", "/a"));
	assert_false(fs_path_within("/", "/a"));
}

static void test_open_beneath(void **state)
{
	(void)state;
	assert_int_equal(mkdirat(top, "d", 0700), 0);
	put("f", "x");
	assert_int_equal(symlinkat("/etc", top, "out"), 0);
	assert_int_equal(symlinkat("d", top, "in"), 0);
	assert_int_equal(symlinkat("/f", top, "rooted"), 0);
	assert_int_equal(fs_open_beneath(top, "out/passwd", O_RDONLY, 0), -ELOOP);
	assert_int_equal(fs_open_beneath(top, "in", O_RDONLY, 0), -ELOOP);
	assert_int_equal(fs_open_beneath(top, "d/../..", O_RDONLY, 0), -EXDEV);
	assert_int_equal(fs_open_beneath(top, "/etc/passwd", O_RDONLY, 0), -EXDEV);

	auto_close int inside = fs_open_in_root(top, "rooted", O_RDONLY, 0);
	auto_close int up = fs_open_in_root(top, "../../../f", O_RDONLY, 0);

	assert_true(inside >= 0 && up >= 0);
	assert_int_equal(fs_open_in_root(top, "out/passwd", O_RDONLY, 0), -ENOENT);
	assert_int_equal(fcntl(inside, F_GETFD), FD_CLOEXEC);
}

/* Another process swaps a directory with a symlink to /etc all the time: nothing of /etc opens. */
static void test_symlink_swap(void **state)
{
	struct stat etc, st;
	int opened = 0;
	pid_t child;

	(void)state;
	assert_int_equal(mkdirat(top, "swap", 0700), 0);
	assert_int_equal(mkdirat(top, "swap/sub", 0700), 0);
	assert_int_equal(symlinkat("/etc", top, "swap2"), 0);
	assert_int_equal(stat("/etc", &etc), 0);
	child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			renameat2(top, "swap", top, "swap2", RENAME_EXCHANGE);
	}
	for (int i = 0; i < 20000; i++) {
		auto_close int fd = fs_open_beneath(top, "swap", O_RDONLY | O_DIRECTORY, 0);
		auto_close int made = -1;

		if (fd >= 0) {
			assert_int_equal(fstat(fd, &st), 0);
			assert_true(st.st_ino != etc.st_ino || st.st_dev != etc.st_dev);
			opened++;
		}
		if (i % 20 == 0 && fs_mkdirs_at(top, "swap/made-by-test", 0700, &made, NULL) == 0)
			opened++;
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	assert_true(opened > 0);
	assert_int_equal(access("/etc/made-by-test", F_OK), -1);
}

/* The same attack against removal: the victim outside of the tree stays whole. */
static void test_remove_swap(void **state)
{
	pid_t child;

	(void)state;
	assert_int_equal(fs_mkdirs_at(top, "victim/keep", 0700, NULL, NULL), 0);
	put("precious", "x");
	child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;) {
			mkdirat(top, "tree", 0700);
			mkdirat(top, "tree/a", 0700);
			mkdirat(top, "tree/a/keep", 0700);
			if (symlinkat("../victim", top, "tree/b") < 0 && errno == EIO)
				_exit(1);
			renameat2(top, "tree/a", top, "tree/b", RENAME_EXCHANGE);
		}
	}
	for (int i = 0; i < 2000; i++)
		fs_remove_tree_at(top, "tree", NULL);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	assert_true(exists("victim/keep"));
	assert_true(exists("precious"));
	assert_int_equal(fs_remove_tree_at(top, "tree", NULL), 0);
	assert_false(exists("tree"));
}

static void test_read(void **state)
{
	auto_buf out = BUF_INIT;
	struct err e = ERR_INIT;

	(void)state;
	buf_puts(&out, "before ");
	put("r", "12345");
	assert_int_equal(fs_read_at(top, "r", 5, &out, &e), 0);
	assert_string_equal(buf_str(&out), "before 12345");
	assert_int_equal(fs_read_at(top, "r", 4, &out, &e), -EFBIG);
	assert_int_equal(fs_read_at(top, "missing", 4, &out, &e), -ENOENT);
	assert_int_equal(symlinkat("r", top, "rl"), 0);
	assert_int_equal(fs_read_at(top, "rl", 9, &out, &e), -ELOOP);
	assert_int_equal(mkfifoat(top, "fifo", 0600), 0);
	assert_int_equal(fs_read_at(top, "fifo", 9, &out, &e), -EINVAL);
	assert_int_equal(fs_read_at(top, ".", 9, &out, &e), -EISDIR);
	assert_string_equal(buf_str(&out), "before 12345");
	buf_reset(&out);
	assert_int_equal(fs_read_at(AT_FDCWD, "/proc/self/status", 65536, &out, &e), 0);
	assert_true(out.len > 100);
	buf_reset(&out);
	/* No size is known in advance, so the bound must hold while reading. */
	assert_int_equal(fs_read_at(AT_FDCWD, "/proc/self/status", 10, &out, &e), -EFBIG);
	assert_int_equal(out.len, 0);
}

static void test_replace(void **state)
{
	struct stat st;
	mode_t old = umask(077);
	auto_close int path_fd = open(top_path, O_PATH | O_CLOEXEC);

	(void)state;
	assert_int_equal(fs_replace_at(top, "new", "a", 1, 0644, true, NULL), 0);
	umask(old);
	assert_int_equal(fstatat(top, "new", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(fs_replace_at(path_fd, "new", "", 0, 0600, true, NULL), 0);
	/* A symlink at the name is replaced, not written through. */
	put("target", "old");
	assert_int_equal(symlinkat("target", top, "ln"), 0);
	assert_int_equal(fs_replace_at(top, "ln", "new", 3, 0600, false, NULL), 0);
	assert_int_equal(fstatat(top, "ln", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(fstatat(top, "target", &st, 0), 0);
	assert_int_equal(fs_replace_at(top, "a/b", "x", 1, 0600, false, NULL), -EINVAL);
	assert_int_equal(fs_replace_at(top, "..", "x", 1, 0600, false, NULL), -EINVAL);
	assert_int_equal(mkdirat(top, "isdir", 0700), 0);
	assert_int_equal(fs_replace_at(top, "isdir", "x", 1, 0600, false, NULL), -EISDIR);
}

static void test_mkdirs(void **state)
{
	auto_close int fd = -1;
	auto_free char *deep = fs_join(top_path, "p/q/r/");
	struct stat st;

	(void)state;
	assert_int_equal(fs_mkdirs_at(top, "/m/./n//o/", 0755, &fd, NULL), 0);
	assert_true(exists("m/n/o"));
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(fs_mkdirs_at(top, "m/../x", 0755, NULL, NULL), -EINVAL);
	assert_int_equal(symlinkat("/tmp", top, "m/ln"), 0);
	assert_int_equal(fs_mkdirs_at(top, "m/ln/x", 0755, NULL, NULL), -ENOTDIR);
	put("file", "");
	assert_int_equal(fs_mkdirs_at(top, "file/x", 0755, NULL, NULL), -ENOTDIR);
	assert_int_equal(fs_mkdirs(deep, 0755, NULL), 0);
	assert_int_equal(fs_mkdirs(deep, 0755, NULL), 0);
	assert_int_equal(fstatat(top, "p/q", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(fs_mkdirs("relative", 0755, NULL), -EINVAL);
}

/* Much deeper than any path or descriptor limit. */
static void make_deep(const char *name, int depth)
{
	auto_close int at = dup(top);

	for (int i = 0; i < depth; i++) {
		const char *n = i == 0 ? name : "d";
		int next;

		assert_int_equal(mkdirat(at, n, 0700), 0);
		next = openat(at, n, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		close(at);
		at = next;
		assert_int_equal(mkdirat(at, "other", i % 3 == 0 ? 0 : 0700), 0);
	}
}

static void test_remove(void **state)
{
	(void)state;
	assert_int_equal(fs_remove_tree_at(top, "never-was", NULL), 0);
	put("plain", "x");
	assert_int_equal(fs_remove_tree_at(top, "plain", NULL), 0);
	make_deep("deep", 3000);
	assert_int_equal(fs_remove_tree_at(top, "deep", NULL), 0);
	assert_false(exists("deep"));
	assert_int_equal(fs_remove_tree_at(top, "a/b", NULL), -EINVAL);
	assert_int_equal(fs_remove_tree_at(top, "..", NULL), -EINVAL);
}

static void test_usage(void **state)
{
	uint64_t bytes = 0, inodes = 0, more = 0;
	auto_close int fd = -1;

	(void)state;
	make_deep("du", 200);
	fd = openat(top, "du", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(fs_disk_usage(fd, &bytes, &inodes, NULL), 0);
	assert_int_equal(inodes, 400);
	put("big", "0123456789");
	for (int i = 0; i < 600; i++) {
		char name[32];

		snprintf(name, sizeof(name), "du/link%d", i);
		assert_int_equal(linkat(top, "big", top, name, 0), 0);
	}
	assert_int_equal(fs_disk_usage(fd, &more, &inodes, NULL), 0);
	assert_int_equal(inodes, 401);
	assert_int_equal(fs_remove_tree_at(top, "du", NULL), 0);
}

static void test_private_dir(void **state)
{
	struct err e = ERR_INIT;
	auto_free char *dir = fs_join(top_path, "private"), *ln = fs_join(top_path, "private-ln");
	int fd = -1;

	(void)state;
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(fs_open_private_dir(dir, getuid(), &fd, &e), 0);
	close(fd);
	assert_int_equal(fs_open_private_dir(dir, getuid() + 1, &fd, &e), -EPERM);
	assert_int_equal(chmod(dir, 0720), 0);
	assert_int_equal(fs_open_private_dir(dir, getuid(), &fd, &e), -EPERM);
	assert_non_null(strstr(e.hint, "chmod go-w"));
	assert_int_equal(symlink(dir, ln), 0);
	assert_true(fs_open_private_dir(ln, getuid(), &fd, &e) < 0);
}

static void test_memfd(void **state)
{
	auto_close int fd = -1, copy = -1, self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	auto_close int loose = memfd_create("loose", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	auto_buf out = BUF_INIT;
	struct stat a, b;

	(void)state;
	assert_int_equal(fs_sealed_memfd("t", "hello", 5, &fd, NULL), 0);
	assert_int_equal(write(fd, "x", 1), -1);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(fs_read_sealed(fd, 5, &out, NULL), 0);
	assert_string_equal(buf_str(&out), "hello");
	assert_int_equal(fs_read_sealed(fd, 4, &out, NULL), -EFBIG);
	assert_int_equal(fs_read_sealed(loose, 4, &out, NULL), -EBADMSG);
	assert_int_equal(fs_read_sealed(top, 4, &out, NULL), -EBADMSG);
	assert_int_equal(fs_seal_copy(self, "t", &copy, NULL), 0);
	assert_int_equal(fstat(self, &a), 0);
	assert_int_equal(fstat(copy, &b), 0);
	assert_int_equal(a.st_size, b.st_size);
	assert_int_equal(write(copy, "x", 1), -1);
}

static void test_fd_path(void **state)
{
	auto_free char *path = NULL, *none = NULL;
	int ends[2];

	(void)state;
	assert_int_equal(fs_fd_path(top, &path, NULL), 0);
	assert_string_equal(path, top_path);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(fs_fd_path(ends[0], &none, NULL), -ENOENT);
	close(ends[0]);
	close(ends[1]);
	assert_int_equal(fs_canonical("/nonexistent/x", &none, NULL), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),	     cmocka_unit_test(test_open_beneath),
		cmocka_unit_test(test_symlink_swap), cmocka_unit_test(test_remove_swap),
		cmocka_unit_test(test_read),	     cmocka_unit_test(test_replace),
		cmocka_unit_test(test_mkdirs),	     cmocka_unit_test(test_remove),
		cmocka_unit_test(test_usage),	     cmocka_unit_test(test_private_dir),
		cmocka_unit_test(test_memfd),	     cmocka_unit_test(test_fd_path),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
