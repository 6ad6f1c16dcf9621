/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fill: what the template has in the agent's home, copied into the home of a new sandbox.
 *
 * The home is a directory of its own, mounted on top of the template's.  Before it is, at the first
 * start, the template's files are copied below it.  What is there already (a login that was put
 * there meanwhile) stays; a file gets its name when it is complete, so a start that was killed is
 * made up for by the next one.
 *
 * The template is the image's choice: directories are opened beneath its home without following
 * links, a link is copied as a link, special files and set-id bits are left out.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/compat.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "box/box_internal.h"

/* Directories are kept by their paths until their turn comes. */
enum { DIRS_MAX = 200000, PATHS_MAX = 24 << 20, COPY_MAX = 1 << 30 };
#define TEMPORARY ".ward-fill"

struct fill {
	int from, to; /* the two homes */
	struct strv dirs;
	size_t paths; /* bytes of them */
};

static int fail_at(const char *dir, const char *name, struct err *e)
{
	auto_free char *path = fs_join(dir, name);
	auto_free char *shown = text_escaped(path);

	return err_sys(e, "%.200s", shown);
}

static int copy_bytes(int from, int to, uint64_t size)
{
	while (size > 0) {
		size_t want = size < COPY_MAX ? (size_t)size : COPY_MAX;
		ssize_t n = copy_file_range(from, NULL, to, NULL, want, 0);

		/* Not between these two file systems. */
		if (n < 0 && (errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP))
			n = sendfile(to, from, NULL, want);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		size -= (uint64_t)n;
	}
	return 0;
}

static int settle(int fd, const struct stat *st)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, st->st_mtim };

	if (fchown(fd, st->st_uid, st->st_gid) < 0 || fchmod(fd, st->st_mode & 0777) < 0)
		return -errno;
	(void)futimens(fd, times);
	return 0;
}

static int copy_file(int from_dir, int to_dir, const char *name)
{
	auto_close int from =
		openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	auto_close int to = -1;
	struct stat st;
	int r;

	if (from < 0 || fstat(from, &st) < 0)
		return -errno;
	(void)unlinkat(to_dir, TEMPORARY, 0);
	to = openat(to_dir, TEMPORARY, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (to < 0)
		return -errno;
	r = copy_bytes(from, to, (uint64_t)st.st_size);
	if (r == 0)
		r = settle(to, &st);
	if (r == 0 && renameat2(to_dir, TEMPORARY, to_dir, name, RENAME_NOREPLACE) == 0)
		return 0;
	r = r < 0 ? r : -errno;
	(void)unlinkat(to_dir, TEMPORARY, 0);
	return r == -EEXIST ? 0 : r;
}

static int copy_link(int from_dir, int to_dir, const char *name, const struct stat *st)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(from_dir, name, target, sizeof(target));

	if (n < 0)
		return -errno;
	if ((size_t)n >= sizeof(target))
		return -ENAMETOOLONG;
	target[n] = '\0';
	if (symlinkat(target, to_dir, name) < 0)
		return errno == EEXIST ? 0 : -errno;
	return fchownat(to_dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int copy_dir(struct fill *f, const char *dir, int to_dir, const char *name,
		    const struct stat *st)
{
	auto_close int fd = -1;
	size_t n = strlen(dir) + strlen(name) + 2;

	if (f->dirs.n == DIRS_MAX || f->paths + n > PATHS_MAX)
		return -EFBIG;
	f->paths += n;
	strv_addf(&f->dirs, "%s/%s", dir, name);
	if (mkdirat(to_dir, name, 0700) < 0)
		return errno == EEXIST ? 0 : -errno;
	fd = openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : settle(fd, st);
}

static int copy_entry(struct fill *f, const char *dir, int from_dir, int to_dir, const char *name)
{
	struct stat st;

	if (fstatat(from_dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	switch (st.st_mode & S_IFMT) {
	case S_IFDIR:
		return copy_dir(f, dir, to_dir, name, &st);
	case S_IFREG:
		return copy_file(from_dir, to_dir, name);
	case S_IFLNK:
		return copy_link(from_dir, to_dir, name, &st);
	default:
		return 0;
	}
}

static int copy_entries(struct fill *f, const char *dir, struct err *e)
{
	int from = fs_open_beneath(f->from, dir, O_RDONLY | O_DIRECTORY, 0);
	auto_close int to = fs_open_beneath(f->to, dir, O_RDONLY | O_DIRECTORY, 0);
	DIR *d = from < 0 ? NULL : fdopendir(from);
	struct dirent *entry;
	int r = 0;

	/* What the box has put in the place of a directory stays. */
	if (to < 0 || !d) {
		if (d)
			closedir(d);
		else
			fd_closep(&from);
		return 0;
	}
	while (r == 0 && (entry = readdir(d))) {
		const char *name = entry->d_name;

		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
			continue;
		r = copy_entry(f, dir, from, to, name);
		if (r < 0) {
			errno = -r;
			r = fail_at(dir, name, e);
		}
	}
	closedir(d);
	return r;
}

/* The directory that will be mounted at the home. */
static int find_home(const struct box_build *b)
{
	for (size_t i = 0; i < b->p->nops; i++) {
		const struct box_op *op = &b->p->ops[i];

		if (op->type == BOX_OP_BIND && strcmp(op->target, b->c->home) == 0)
			return b->sources[i];
	}
	return -1;
}

int fill_apply(struct box_build *b, size_t i, struct err *e)
{
	const char *home = b->p->ops[i].target;
	struct fill f = { .to = find_home(b) };
	auto_close int from = root_open(b->root_fd, home, O_PATH | O_DIRECTORY, 0);
	int r = 0;

	/* A template without a home for the agent. */
	if (from == -ENOENT || from == -ENOTDIR || from == -ELOOP)
		return 0;
	if (from < 0 || f.to < 0) {
		errno = from < 0 ? -from : ENOENT;
		return err_sys(e, "open");
	}
	f.from = from;
	strv_add(&f.dirs, ".");
	for (size_t k = 0; r == 0 && k < f.dirs.n; k++)
		r = copy_entries(&f, f.dirs.v[k], e);
	strv_free(&f.dirs);
	return r;
}
