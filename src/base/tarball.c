/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tarball: see tarball.h.
 *
 * The tree may be a workspace, in which an agent is working at this moment: every path is opened
 * beneath the top without following links, and what is read is what fstat said about the open file.
 * Directories wait on a list, not on the stack, so that depth costs nothing.
 */
#include "base/tarball.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/tar.h"
#include "base/text.h"

enum { TARBALL_BLOCK = 64 * 1024 };

struct tarball {
	int out;
	int top; /* the tree's root, when it is a directory */
	const char *root;
	const struct tarball_limits *limits; /* NULL: none */
	uint64_t entries;
	uint64_t bytes;
	struct strv dirs; /* paths below the root that are still to be listed */
	size_t skipped;
};

static int fail(struct err *e, int code, const char *path)
{
	auto_free char *shown = text_escaped(path);

	return err_set(e, ERR_SYSTEM, code, "%s: %s", *shown ? shown : ".", strerror(-code));
}

static int flush(struct tarball *t, struct buf *b, struct err *e)
{
	int r = fs_write_all(t->out, buf_str(b), b->len);

	buf_reset(b);
	return r < 0 ? err_set(e, ERR_SYSTEM, r, "archive: %s", strerror(-r)) : 0;
}

static char *entry_name(const struct tarball *t, const char *relative)
{
	return *relative ? fs_join(t->root, relative) : xstrdup(t->root);
}

static int count(struct tarball *t, enum tar_type type, const struct stat *st, struct err *e)
{
	t->entries++;
	t->bytes += type == TAR_FILE ? (uint64_t)st->st_size : 0;
	if (!t->limits || (t->entries <= t->limits->entries && t->bytes <= t->limits->bytes))
		return 0;
	return err_set(e, ERR_INPUT, -EFBIG,
		       "more than %" PRIu64 " files or %" PRIu64 " bytes in it", t->limits->entries,
		       t->limits->bytes);
}

static int header(struct tarball *t, enum tar_type type, const char *relative, const char *link,
		  const struct stat *st, struct err *e)
{
	auto_free char *name = entry_name(t, relative);
	auto_buf b = BUF_INIT;
	struct tar_entry entry = { .type = type,
				   .path = name,
				   .link = link,
				   .size = type == TAR_FILE ? (uint64_t)st->st_size : 0,
				   .mode = st->st_mode & 0777,
				   .mtime = st->st_mtim.tv_sec,
				   .mtime_ns = (uint32_t)st->st_mtim.tv_nsec };
	int r = count(t, type, st, e);

	if (r == 0)
		r = tar_write_header(&b, &entry, e);

	return r < 0 ? r : flush(t, &b, e);
}

/* Exactly `size` bytes: a file that shrinks meanwhile is filled up with zeros. */
static int contents(struct tarball *t, int fd, uint64_t size, const char *relative, struct err *e)
{
	auto_buf b = BUF_INIT;
	char block[TARBALL_BLOCK];
	uint64_t left = size;
	int r = 0;

	while (r == 0 && left > 0) {
		size_t want = left < sizeof(block) ? (size_t)left : sizeof(block);
		ssize_t n = read(fd, block, want);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(e, -errno, relative);
		if (n == 0) {
			memset(block, 0, want);
			n = (ssize_t)want;
		}
		r = fs_write_all(t->out, block, (size_t)n);
		if (r < 0)
			return err_set(e, ERR_SYSTEM, r, "archive: %s", strerror(-r));
		left -= (uint64_t)n;
	}
	tar_write_padding(&b, size);
	return flush(t, &b, e);
}

/* A file whose size is known only when it has been changed: in memory. */
static int add_changed(struct tarball *t, int fd, const char *relative, const struct stat *st,
		       struct err *e)
{
	struct stat as = *st;
	auto_buf bytes = BUF_INIT;
	auto_buf out = BUF_INIT;
	int r = fs_read_fd(fd, t->limits->bytes, &bytes, e);

	if (r == 0)
		r = t->limits->change(t->limits->arg, relative, &bytes, &out, e);
	as.st_size = (off_t)out.len;
	if (r == 0)
		r = header(t, TAR_FILE, relative, NULL, &as, e);
	tar_write_padding(&out, (uint64_t)as.st_size);
	return r < 0 ? r : flush(t, &out, e);
}

static int add_file(struct tarball *t, int dir, const char *last, const char *relative,
		    struct err *e)
{
	struct stat st;
	/* O_NONBLOCK: it may have become a FIFO since it was looked at. */
	auto_close int fd =
		openat(dir, last, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail(e, -errno, relative);
	if (!S_ISREG(st.st_mode)) {
		t->skipped++;
		return 0;
	}
	if (t->limits && t->limits->change)
		return add_changed(t, fd, relative, &st, e);
	r = header(t, TAR_FILE, relative, NULL, &st, e);
	return r < 0 ? r : contents(t, fd, (uint64_t)st.st_size, relative, e);
}

static int add_link(struct tarball *t, int dir, const char *last, const char *relative,
		    const struct stat *st, struct err *e)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(dir, last, target, sizeof(target) - 1);

	if (n < 0)
		return fail(e, -errno, relative);
	target[n] = '\0';
	return header(t, TAR_SYMLINK, relative, target, st, e);
}

static int add(struct tarball *t, int dir, const char *last, const char *relative, struct err *e)
{
	struct stat st;

	if (fstatat(dir, last, &st, AT_SYMLINK_NOFOLLOW) < 0)
		/* Gone since it was listed: as if it had never been there. */
		return errno == ENOENT ? 0 : fail(e, -errno, relative);
	if (S_ISREG(st.st_mode))
		return add_file(t, dir, last, relative, e);
	if (S_ISLNK(st.st_mode) && !(t->limits && t->limits->no_links))
		return add_link(t, dir, last, relative, &st, e);
	if (S_ISDIR(st.st_mode)) {
		strv_add(&t->dirs, relative);
		return header(t, TAR_DIR, relative, NULL, &st, e);
	}
	t->skipped++;
	return 0;
}

static int list_dir(struct tarball *t, const char *relative, struct err *e)
{
	int fd = fs_open_beneath(t->top, *relative ? relative : ".", O_RDONLY | O_DIRECTORY, 0);
	DIR *dh;
	struct dirent *d;
	int r = 0;

	if (fd < 0)
		return fail(e, fd, relative);
	dh = fdopendir(fd);
	if (!dh) {
		r = fail(e, -errno, relative);
		close(fd);
		return r;
	}
	while (r == 0 && (d = readdir(dh))) {
		auto_free char *path = NULL;

		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		path = *relative ? fs_join(relative, d->d_name) : xstrdup(d->d_name);
		r = add(t, dirfd(dh), d->d_name, path, e);
	}
	closedir(dh);
	return r;
}

static int write_tree(struct tarball *t, const struct stat *st, struct err *e)
{
	int r = header(t, TAR_DIR, "", NULL, st, e);

	strv_add(&t->dirs, "");
	while (r == 0 && t->dirs.n > 0) {
		auto_free char *dir = t->dirs.v[--t->dirs.n];

		t->dirs.v[t->dirs.n] = NULL;
		r = list_dir(t, dir, e);
	}
	return r;
}

/*
 * The directory that `path` lies in, and its name there.  Who wants no links has judged the path as
 * it is: a link on the way was put there since.
 */
static int open_parent(const char *path, bool no_links, int *ret_fd, const char **ret_name,
		       struct err *e)
{
	const char *slash = strrchr(path, '/');
	auto_free char *dir = slash ? xstrndup(path, (size_t)(slash + 1 - path)) : xstrdup(".");
	int fd = fs_openat2(AT_FDCWD, dir, O_PATH | O_DIRECTORY, 0,
			    no_links ? RESOLVE_NO_SYMLINKS : 0);

	if (fd < 0)
		return fail(e, fd, path);
	*ret_fd = fd;
	*ret_name = slash ? slash + 1 : path;
	return 0;
}

int tarball_write(const char *path, const char *root, const struct tarball_limits *limits, int fd,
		  size_t *ret_skipped, struct err *e)
{
	struct tarball t = { .out = fd, .top = -1, .root = root, .limits = limits };
	auto_buf end = BUF_INIT;
	auto_close int parent = -1;
	const char *name = path;
	struct stat st;
	int r = open_parent(path, limits && limits->no_links, &parent, &name, e);

	if (r < 0)
		return r;
	if (!*name) /* "/", or a slash at the end */
		name = ".";
	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(e, -errno, path);
	if (S_ISDIR(st.st_mode)) {
		t.top = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (t.top < 0 || fstat(t.top, &st) < 0)
			r = fail(e, -errno, path);
		if (r == 0)
			r = write_tree(&t, &st, e);
	} else {
		r = add(&t, parent, name, "", e);
		if (r == 0 && t.skipped)
			r = err_set(e, ERR_INPUT, -ENOTSUP, "%s: neither a file nor a directory",
				    path);
	}
	if (r == 0) {
		tar_write_end(&end);
		r = flush(&t, &end, e);
	}
	if (r == 0)
		*ret_skipped = t.skipped;
	if (t.top >= 0)
		close(t.top);
	strv_free(&t.dirs);
	return r;
}
