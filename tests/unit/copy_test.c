/* SPDX-License-Identifier: Apache-2.0 */
/*
 * copy_test: the unpacking end of a copy into a sandbox, here in a directory of the test's own:
 * replacing, adding only what is missing, and streams that end too early.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/tar.h"
#include "supervise/supervise_internal.h"

static char dir[64];

static int set_up(void **state)
{
	(void)state;
	memcpy(dir, "/tmp/ward-copy.XXXXXX", sizeof("/tmp/ward-copy.XXXXXX"));
	return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
	auto_close int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	return fs_remove_tree_at(tmp, dir + sizeof("/tmp"), NULL);
}

static void put(const char *name, const char *text)
{
	auto_free char *path = fs_join(dir, name);
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(fs_write_all(fd, text, strlen(text)), 0);
}

static void holds(const char *name, const char *text)
{
	auto_free char *path = fs_join(dir, name);
	auto_buf b = BUF_INIT;

	if (!text) {
		assert_int_equal(faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW), -1);
		return;
	}
	assert_int_equal(fs_read_at(AT_FDCWD, path, 4096, &b, NULL), 0);
	assert_string_equal(buf_str(&b), text);
}

static void add(struct buf *out, enum tar_type type, const char *path, const char *text)
{
	struct tar_entry entry = { .type = type, .path = path, .size = strlen(text), .mode = 0644 };

	if (type == TAR_DIR)
		entry.mode = 0755;
	assert_int_equal(tar_write_header(out, &entry, NULL), 0);
	buf_puts(out, text);
	tar_write_padding(out, entry.size);
}

static int unpack(const struct buf *archive, size_t n, bool missing)
{
	auto_close int fd = memfd_create("copy", MFD_CLOEXEC);
	struct err e = ERR_INIT;

	assert_int_equal(fs_write_all(fd, archive->data, n), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return copy_unpack(dir, missing, fd, &e);
}

static void missing_only(void **state)
{
	auto_free char *link = fs_join(dir, "link");
	auto_free char *real = fs_join(dir, "real");
	auto_free char *nowhere = fs_join(dir, "nowhere");
	auto_buf b = BUF_INIT;

	(void)state;
	put("file", "mine");
	put("flat", "mine");
	assert_int_equal(mkdir(real, 0755), 0);
	assert_int_equal(symlink("real", link), 0);
	assert_int_equal(symlink("absent", nowhere), 0);
	add(&b, TAR_DIR, ".", "");
	add(&b, TAR_FILE, "file", "new");
	add(&b, TAR_FILE, "flat/below", "new");
	add(&b, TAR_DIR, "link", "");
	add(&b, TAR_FILE, "link/inside", "new");
	add(&b, TAR_FILE, "nowhere", "new");
	add(&b, TAR_FILE, "deep/er/one", "new");
	tar_write_end(&b);
	assert_int_equal(unpack(&b, b.len, true), 0);
	holds("file", "mine");
	holds("flat", "mine");
	holds("real/inside", NULL);
	holds("absent", NULL);
	holds("deep/er/one", "new");
	/* Else what is there is replaced, and a link in the way is refused. */
	assert_true(unpack(&b, b.len, false) < 0);
	holds("file", "new");
	holds("real/inside", NULL);
}

/* What was cut off must not look like the user's own the next time. */
static void cut_off(void **state)
{
	auto_buf b = BUF_INIT;

	(void)state;
	add(&b, TAR_FILE, "first", "whole");
	add(&b, TAR_FILE, "second", "not whole");
	assert_true(unpack(&b, (size_t)3 * TAR_BLOCK + 3, true) < 0);
	holds("first", "whole");
	holds("second", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(missing_only, set_up, tear_down),
		cmocka_unit_test_setup_teardown(cut_off, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
