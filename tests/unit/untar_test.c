/* SPDX-License-Identifier: Apache-2.0 */
/*
 * untar_test: hostile tar streams are placed beneath the destination or refused, and a tree
 * survives the way through tarball and untar.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/tarball.h"
#include "cli/untar.h"

static char top[] = "/tmp/untar-test.XXXXXX";
static struct err e;

static int set_up(void **state)
{
	(void)state;
	memcpy(top + sizeof(top) - 7, "XXXXXX", 7);
	e = ERR_INIT;
	umask(022);
	return mkdtemp(top) ? 0 : -1;
}

static int remove_in(const char *dir, const char *name)
{
	auto_close int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fs_remove_tree_at(fd, name, NULL);
}

static int tear_down(void **state)
{
	(void)state;
	return remove_in("/tmp", top + sizeof("/tmp/") - 1);
}

static char *at(const char *name)
{
	return fs_join(top, name);
}

static char *read_file(const char *name)
{
	auto_free char *path = at(name);
	auto_buf b = BUF_INIT;

	assert_int_equal(fs_read_at(AT_FDCWD, path, 1 << 20, &b, NULL), 0);
	return xstrdup(buf_str(&b));
}

static void write_file(const char *name, const char *text)
{
	auto_free char *path = at(name);
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(fs_write_all(fd, text, strlen(text)), 0);
}

static void add(struct buf *b, enum tar_type type, const char *path, uint32_t mode,
		const char *text)
{
	struct tar_entry entry = { .type = type, .path = path, .mode = mode, .mtime = 1000 };

	if (type == TAR_FILE)
		entry.size = strlen(text);
	else if (type != TAR_DIR)
		entry.link = text;
	assert_int_equal(tar_write_header(b, &entry, NULL), 0);
	if (type == TAR_FILE) {
		buf_puts(b, text);
		tar_write_padding(b, entry.size);
	}
}

/* arg is the name that the root gets; "" for the destination itself. */
static int place(enum tar_type root, void *arg, int *ret_dirfd, char **ret_name, struct err *error)
{
	(void)root;
	(void)error;
	*ret_dirfd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*ret_name = xstrdup(arg);
	return 0;
}

static int unpack_n(const struct buf *b, const char *name, size_t step, size_t *ret_skipped)
{
	struct untar *u = untar_new(place, (void *)(uintptr_t)name);
	int r = 0;

	for (size_t i = 0; r == 0 && i < b->len; i += step)
		r = untar_feed(u, b->data + i, b->len - i < step ? b->len - i : step, &e);
	if (r == 0)
		r = untar_finish(u, &e);
	if (ret_skipped)
		*ret_skipped = untar_skipped(u);
	untar_free(u);
	return r;
}

static int unpack(struct buf *b, const char *name)
{
	tar_write_end(b);
	return unpack_n(b, name, 4096, NULL);
}

static void names(void **state)
{
	(void)state;
	assert_string_equal(untar_relative("a", "a"), "");
	assert_string_equal(untar_relative("a", "a/b/c"), "b/c");
	assert_string_equal(untar_relative(".", "."), "");
	assert_string_equal(untar_relative(".", "./x/y"), "x/y");
	assert_string_equal(untar_relative(".", "x"), "x");
	assert_string_equal(untar_relative("a", "a/..."), "...");
	assert_null(untar_relative("a", "b"));
	assert_null(untar_relative("a", "ab"));
	assert_null(untar_relative("a", "a/"));
	assert_null(untar_relative("a", "/a/b"));
	assert_null(untar_relative("a", "a/../b"));
	assert_null(untar_relative("a", "a/b/.."));
	assert_null(untar_relative("a", "a//b"));
	assert_null(untar_relative("a", "a/./b"));
	assert_null(untar_relative(".", "/etc"));
	assert_null(untar_relative(".", "../x"));
}

static void links(void **state)
{
	(void)state;
	assert_true(untar_link_stays("l", "x"));
	assert_true(untar_link_stays("l", "./x/y"));
	assert_true(untar_link_stays("d/l", "../x"));
	assert_true(untar_link_stays("d/e/l", "../../x"));
	assert_true(untar_link_stays("d/l", ".."));
	assert_false(untar_link_stays("", "x"));
	assert_false(untar_link_stays("l", "/etc/passwd"));
	assert_false(untar_link_stays("l", ".."));
	assert_false(untar_link_stays("l", "../x"));
	assert_false(untar_link_stays("d/l", "../../x"));
	/* s may be a link that leads up: what follows it must not go up again. */
	assert_false(untar_link_stays("a/b/l", "s/../../x"));
	assert_false(untar_link_stays("a/l", "x/.."));
}

static void a_tree(void **state)
{
	auto_buf b = BUF_INIT;
	auto_free char *text = NULL, *deep = NULL, *path = at("new/run");
	struct stat st;

	(void)state;
	add(&b, TAR_DIR, "tree", 0755, NULL);
	add(&b, TAR_FILE, "tree/a", 0644, "hello\n");
	add(&b, TAR_DIR, "tree/d", 0555, NULL);
	add(&b, TAR_FILE, "tree/d/b", 0600, "deep");
	add(&b, TAR_FILE, "tree/run", 06777, "x");
	add(&b, TAR_SYMLINK, "tree/d/l", 0777, "../a");
	add(&b, TAR_HARDLINK, "tree/h", 0644, "tree/a");
	tar_write_end(&b);
	for (size_t step = 1; step < 3000; step += 499) {
		assert_int_equal(unpack_n(&b, "new", step, NULL), 0);
		text = read_file("new/h");
		assert_string_equal(text, "hello\n");
		free(steal(&text));
	}
	deep = read_file("new/d/b");
	assert_string_equal(deep, "deep");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(st.st_mtime, 1000);
}

static void names_that_lead_out(void **state)
{
	static const char *const bad[] = { "/etc/x", "tree/../../x", "../x", "other", "tree//x" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		auto_buf b = BUF_INIT;

		add(&b, TAR_DIR, "tree", 0755, NULL);
		add(&b, TAR_FILE, bad[i], 0644, "x");
		assert_true(unpack(&b, "new") < 0);
	}
	for (size_t i = 0; i < 3; i++) {
		auto_buf b = BUF_INIT;

		add(&b, TAR_FILE, bad[i], 0644, "x");
		assert_true(unpack(&b, "new") < 0);
	}
}

/* A link in the stream, or one that was there before, is never walked through or written through.
 */
static void links_are_not_followed(void **state)
{
	auto_free char *outside = at("outside"), *way = at("new/way"), *old = at("new/old");
	auto_free char *dir = at("new");
	struct stat st;

	(void)state;
	assert_int_equal(mkdir(outside, 0755), 0);
	write_file("outside/file", "mine");
	assert_int_equal(mkdir(dir, 0755), 0);
	assert_int_equal(symlink("../outside", way), 0);
	assert_int_equal(symlink("../outside/file", old), 0);
	for (int i = 0; i < 2; i++) {
		auto_buf b = BUF_INIT;

		add(&b, TAR_DIR, "tree", 0755, NULL);
		if (i)
			add(&b, TAR_DIR, "tree/way", 0755, NULL);
		add(&b, TAR_FILE, "tree/way/file", 0644, "evil");
		assert_true(unpack(&b, "new") < 0);
	}
	{
		auto_buf b = BUF_INIT;

		add(&b, TAR_DIR, "tree", 0755, NULL);
		add(&b, TAR_FILE, "tree/old", 0644, "replaced");
		assert_int_equal(unpack(&b, "new"), 0);
		assert_int_equal(lstat(old, &st), 0);
		assert_true(S_ISREG(st.st_mode));
	}
	{
		auto_buf b = BUF_INIT;

		add(&b, TAR_DIR, "tree", 0755, NULL);
		add(&b, TAR_DIR, "tree/d", 0755, NULL);
		add(&b, TAR_SYMLINK, "tree/d/up", 0777, "..");
		add(&b, TAR_FILE, "tree/d/up/x", 0644, "evil");
		assert_true(unpack(&b, "new") < 0);
	}
	auto_free char *text = read_file("outside/file");

	assert_string_equal(text, "mine");
}

static void links_that_lead_out_are_left_out(void **state)
{
	auto_free char *one = at("new/one"), *two = at("new/two");
	auto_buf b = BUF_INIT;
	struct stat st;
	size_t skipped = 0;

	(void)state;
	add(&b, TAR_DIR, "tree", 0755, NULL);
	add(&b, TAR_SYMLINK, "tree/one", 0777, "/etc/passwd");
	add(&b, TAR_SYMLINK, "tree/two", 0777, "../../x");
	tar_write_end(&b);
	assert_int_equal(unpack_n(&b, "new", 512, &skipped), 0);
	assert_int_equal(skipped, 2);
	assert_int_equal(lstat(one, &st), -1);
	assert_int_equal(lstat(two, &st), -1);
	buf_reset(&b);
	add(&b, TAR_SYMLINK, "link", 0777, "target");
	assert_int_equal(unpack(&b, "new2"), -ELOOP);
	assert_non_null(strstr(e.hint, "target"));
}

static void hard_links_stay_within(void **state)
{
	static const char *const bad[] = { "/etc/passwd", "tree/../../secret", "secret",
					   "tree/d",	  "tree/link",	       "tree/missing" };
	auto_free char *made = at("new/h");
	struct stat st;

	(void)state;
	write_file("secret", "mine");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		auto_buf b = BUF_INIT;

		add(&b, TAR_DIR, "tree", 0755, NULL);
		add(&b, TAR_DIR, "tree/d", 0755, NULL);
		add(&b, TAR_SYMLINK, "tree/link", 0777, "d");
		add(&b, TAR_HARDLINK, "tree/h", 0644, bad[i]);
		assert_true(unpack(&b, "new") < 0);
		assert_int_equal(lstat(made, &st), -1);
	}
}

static void what_is_in_the_way(void **state)
{
	auto_free char *dir = at("new"), *sub = at("new/x");
	auto_buf b = BUF_INIT, c = BUF_INIT;

	(void)state;
	assert_int_equal(mkdir(dir, 0755), 0);
	assert_int_equal(mkdir(sub, 0755), 0);
	add(&b, TAR_DIR, "tree", 0755, NULL);
	add(&b, TAR_FILE, "tree/x", 0644, "file over directory");
	assert_true(unpack(&b, "new") < 0);
	write_file("new/f", "a file");
	add(&c, TAR_DIR, "tree", 0755, NULL);
	add(&c, TAR_DIR, "tree/f", 0755, NULL);
	assert_int_equal(unpack(&c, "new"), -ENOTDIR);
	/* No temporary file is left behind. */
	assert_int_equal(rmdir(sub), 0);
	auto_free char *text = read_file("new/f");

	assert_string_equal(text, "a file");
	auto_free char *file = at("new/f");

	assert_int_equal(unlink(file), 0);
	assert_int_equal(rmdir(dir), 0);
}

static void cut_off_and_empty(void **state)
{
	auto_buf b = BUF_INIT, empty = BUF_INIT;
	auto_free char *dir = at("new");

	(void)state;
	add(&b, TAR_DIR, "tree", 0755, NULL);
	add(&b, TAR_FILE, "tree/x", 0644, "0123456789");
	assert_true(unpack_n(&b, "new", 512, NULL) < 0);
	b.len = 1024 + 5; /* in the middle of the file: it does not appear */
	assert_int_equal(remove_in(top, "new"), 0);
	assert_true(unpack_n(&b, "new", 512, NULL) < 0);
	assert_int_equal(rmdir(dir), 0);
	assert_true(unpack_n(&empty, "new", 512, NULL) < 0);
}

static int shout(void *arg, const char *path, const struct buf *bytes, struct buf *out,
		 struct err *err)
{
	(void)arg;
	(void)err;
	buf_printf(out, "%s: %.*s!", path, (int)bytes->len, bytes->data);
	return 0;
}

/* tarball writes into a file; untar reads it back. */
static void there_and_back(void **state)
{
	auto_free char *dir = at("src"), *sub = at("src/sub"), *link = at("src/link"),
		       *fifo = at("src/fifo"), *archive = at("archive"), *loose = at("src/f");
	auto_close int fd = -1;
	auto_buf b = BUF_INIT;
	auto_free char *text = NULL, *inner = NULL;
	char target[16] = "";
	size_t skipped = 0;

	(void)state;
	assert_int_equal(mkdir(dir, 0755), 0);
	assert_int_equal(mkdir(sub, 0700), 0);
	assert_int_equal(symlink("sub", link), 0);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	write_file("src/f", "one");
	write_file("src/sub/g", "two");
	fd = open(archive, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(tarball_write(dir, "named", NULL, fd, &skipped, &e), 0);
	assert_int_equal(skipped, 1);
	assert_int_equal(fs_read_at(AT_FDCWD, archive, 1 << 20, &b, NULL), 0);
	assert_int_equal(unpack_n(&b, "back", 777, NULL), 0);
	text = read_file("back/f");
	inner = read_file("back/sub/g");
	assert_string_equal(text, "one");
	assert_string_equal(inner, "two");
	auto_free char *copied = at("back/link");

	assert_int_equal(readlink(copied, target, sizeof(target)), 3);
	/* Within limits: four entries without the FIFO, six bytes. */
	struct tarball_limits most = { .entries = 5, .bytes = 6 };

	assert_int_equal(tarball_write(dir, "named", &most, fd, &skipped, &e), 0);
	most.no_links = true;
	most.entries = 4;
	assert_int_equal(tarball_write(dir, "named", &most, fd, &skipped, &e), 0);
	assert_int_equal(skipped, 2);
	most.entries = 3;
	assert_int_equal(tarball_write(dir, "named", &most, fd, &skipped, &e), -EFBIG);
	most = (struct tarball_limits){ .entries = 5, .bytes = 5 };
	assert_int_equal(tarball_write(dir, "named", &most, fd, &skipped, &e), -EFBIG);
	/* Changed on the way. */
	most = (struct tarball_limits){ .entries = 5, .bytes = 100, .change = shout };
	buf_reset(&b);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(tarball_write(dir, "named", &most, fd, &skipped, &e), 0);
	assert_int_equal(fs_read_at(AT_FDCWD, archive, 1 << 20, &b, NULL), 0);
	assert_int_equal(unpack_n(&b, "changed", 777, NULL), 0);
	free(steal(&inner));
	inner = read_file("changed/sub/g");
	assert_string_equal(inner, "sub/g: two!");
	/* One file alone, and what is neither. */
	buf_reset(&b);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(tarball_write(loose, "renamed", NULL, fd, &skipped, &e), 0);
	assert_int_equal(fs_read_at(AT_FDCWD, archive, 1 << 20, &b, NULL), 0);
	assert_int_equal(unpack_n(&b, "single", 777, NULL), 0);
	free(steal(&text));
	text = read_file("single");
	assert_string_equal(text, "one");
	/* A link on the way to it is followed only for who allows links. */
	auto_free char *by_link = at("src/link/g");

	assert_int_equal(tarball_write(by_link, "g", NULL, fd, &skipped, &e), 0);
	most = (struct tarball_limits){ .entries = 5, .bytes = 5, .no_links = true };
	assert_int_equal(tarball_write(by_link, "g", &most, fd, &skipped, &e), -ELOOP);
	assert_int_equal(tarball_write(fifo, "x", NULL, fd, &skipped, &e), -ENOTSUP);
	assert_int_equal(tarball_write("/nonexistent/x", "x", NULL, fd, &skipped, &e), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(links),
		cmocka_unit_test_setup_teardown(a_tree, set_up, tear_down),
		cmocka_unit_test_setup_teardown(names_that_lead_out, set_up, tear_down),
		cmocka_unit_test_setup_teardown(links_are_not_followed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(links_that_lead_out_are_left_out, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(hard_links_stay_within, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_in_the_way, set_up, tear_down),
		cmocka_unit_test_setup_teardown(cut_off_and_empty, set_up, tear_down),
		cmocka_unit_test_setup_teardown(there_and_back, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
