/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build_put: files of a COPY or ADD in the tree of an image.
 *
 * The tree is an image's, and may hold any symbolic link.  Links on the way to a directory are
 * followed as if `root` were the root: of a COPY that is the tree, of an archive that is unpacked
 * the destination, out of which nothing of it leads.  What is made is made by its last component,
 * exclusively: a file or a link in its place is replaced, never written through.
 *
 * A directory that is there gets the owner, mode and times of the one that is copied, as with
 * Docker.  Device nodes are left out and counted, and so are attributes that cannot be set.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "image/build_internal.h"

static int fail(const char *path, int code, const char *why, struct err *e)
{
	auto_free char *shown = text_escaped(path);

	return err_set(e, ERR_INPUT, code, "'%.200s': %s", shown, why);
}

static int fail_errno(const char *path, struct err *e)
{
	auto_free char *shown = text_escaped(path);

	return err_sys(e, "'%.200s'", shown);
}

static int fail_code(const char *path, int r, struct err *e)
{
	errno = -r;
	return r < 0 ? fail_errno(path, e) : 0;
}

void build_put_clear(struct build_put *p)
{
	if (p->file >= 0)
		close(p->file);
	p->file = -1;
	buf_free(&p->times);
}

/* --- owners and modes ------------------------------------------------------------------------- */

static int take_meta(struct build_put *p, const struct tar_entry *t, const char *path,
		     struct err *e)
{
	struct tar_entry entry = *t;

	if (p->uid != BUILD_KEEP)
		entry.uid = (uint64_t)p->uid;
	if (p->gid != BUILD_KEEP)
		entry.gid = (uint64_t)p->gid;
	if (p->mode != BUILD_KEEP)
		entry.mode = (uint32_t)p->mode;
	if (layer_meta_of(&entry, p->ids, &p->meta) < 0)
		return fail(path, -EINVAL, "its owner is no user id", e);
	return 0;
}

static int settle(struct build_put *p, int fd, const char *path, struct err *e)
{
	return fail_code(path, layer_meta_settle(&p->meta, fd, p->ids > 1, &p->xattrs), e);
}

/* --- directories ------------------------------------------------------------------------------ */

static int open_dir(int root, const char *path)
{
	return fs_open_in_root(root, path, O_RDONLY | O_DIRECTORY, 0);
}

static int no_dir(const char *path, int code, struct err *e)
{
	if (code == -ENOTDIR || code == -ELOOP)
		return fail(path, code, "something that is no directory is in the way", e);
	return fail_code(path, code, e);
}

/* Go from dir, which is closed, to prefix, whose last component is `name`. */
static int need_dir(struct build_put *p, int dir, const char *prefix, const char *name,
		    struct err *e)
{
	const struct tar_entry fresh = { .type = TAR_DIR };
	int fd = open_dir(p->root, prefix);
	int r = 0;

	if (fd == -ENOENT && mkdirat(dir, name, 0755) == 0) {
		fd = fs_open_beneath(dir, name, O_RDONLY | O_DIRECTORY, 0);
		if (fd >= 0)
			r = take_meta(p, &fresh, prefix, e);
		p->meta.mode = 0755; /* --chmod is for what is copied */
		if (fd >= 0 && r == 0)
			r = settle(p, fd, prefix, e);
	} else if (fd == -ENOENT && errno == EEXIST) {
		fd = -ELOOP; /* a link that leads nowhere */
	}
	close(dir);
	if (fd < 0)
		return no_dir(prefix, fd, e);
	if (r < 0)
		close(fd);
	return r < 0 ? r : fd;
}

int build_put_dirs(struct build_put *p, const char *path, struct err *e)
{
	auto_free char *prefix = xstrdup(path);
	int fd = open_dir(p->root, "/");

	if (fd < 0)
		return no_dir("/", fd, e);
	for (char *at = prefix + 1; fd >= 0 && *at;) {
		char *slash = strchr(at, '/');

		if (slash)
			*slash = '\0';
		fd = need_dir(p, fd, prefix, at, e);
		if (!slash)
			break;
		*slash = '/';
		at = slash + 1;
	}
	return fd;
}

/* The directory and last component of a place in the tree. */
static int parent(struct build_put *p, const char *path, const char **ret_last, struct err *e)
{
	const char *slash = strrchr(path, '/');
	auto_free char *dir = slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));

	*ret_last = slash + 1;
	return build_put_dirs(p, dir, e);
}

static int clear(int dir, const char *last, const char *path, struct err *e)
{
	if (unlinkat(dir, last, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno == EISDIR || errno == EPERM)
		return fail(path, -EISDIR, "a directory is in the place of a file", e);
	return fail_errno(path, e);
}

static int put_dir(struct build_put *p, const struct tar_entry *t, const char *path, struct err *e)
{
	auto_close int fd = build_put_dirs(p, path, e);
	int r = fd < 0 ? fd : take_meta(p, t, path, e);

	if (r == 0)
		r = fail_code(path, layer_meta_xattrs(&p->meta, fd, t, &p->xattrs), e);
	if (r == 0)
		r = settle(p, fd, path, e);
	if (r == 0 && layer_times_add(&p->times, path, &p->meta) < 0)
		r = fail(path, -EFBIG, "too many directories", e);
	return r;
}

/* --- entries ---------------------------------------------------------------------------------- */

static int put_file(struct build_put *p, int dir, const char *last, const struct tar_entry *t,
		    const char *path, struct err *e)
{
	p->file = openat(dir, last, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (p->file < 0)
		return fail_errno(path, e);
	p->size = t->size;
	p->at = 0;
	return fail_code(path, layer_meta_xattrs(&p->meta, p->file, t, &p->xattrs), e);
}

/* A symbolic link or a FIFO. */
static int put_special(struct build_put *p, int dir, const char *last, const struct tar_entry *t,
		       const char *path, struct err *e)
{
	int r = t->type == TAR_SYMLINK ? symlinkat(t->link, dir, last)
				       : mknodat(dir, last, S_IFIFO | (p->meta.mode & 0777), 0);

	if (r < 0 ||
	    (p->ids > 1 && fchownat(dir, last, p->meta.uid, p->meta.gid, AT_SYMLINK_NOFOLLOW) < 0))
		return fail_errno(path, e);
	p->xattrs += t->nxattrs;
	layer_meta_time(&p->meta, dir, last);
	return 0;
}

/* Open the directory of a hard link's target, which is there. */
static int open_target(const struct build_put *p, const char *link, const char **ret_last)
{
	const char *slash = strrchr(link, '/');
	auto_free char *dir = slash == link ? xstrdup("/") : xstrndup(link, (size_t)(slash - link));

	*ret_last = slash + 1;
	return fs_open_in_root(p->root, dir, O_PATH | O_DIRECTORY, 0);
}

static int put_hardlink(struct build_put *p, const char *path, const char *link, struct err *e)
{
	const char *last, *from_last;
	auto_close int from = open_target(p, link, &from_last);
	auto_close int dir = -1;
	struct stat st, old;
	int r;

	if (from < 0 || !*from_last || fstatat(from, from_last, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(path, -ENOENT, "a hard link to a file that is not there", e);
	if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
		return fail(path, -EINVAL, "a hard link to something that is no file", e);
	dir = parent(p, path, &last, e);
	if (dir < 0)
		return dir;
	/* Of itself: it is there. */
	if (fstatat(dir, last, &old, AT_SYMLINK_NOFOLLOW) == 0 && old.st_ino == st.st_ino &&
	    old.st_dev == st.st_dev)
		return 0;
	r = clear(dir, last, path, e);
	if (r == 0 && linkat(from, from_last, dir, last, 0) < 0)
		r = fail_errno(path, e);
	return r;
}

static int put_other(struct build_put *p, const struct tar_entry *t, const char *path,
		     struct err *e)
{
	const char *last;
	auto_close int dir = parent(p, path, &last, e);
	int r = dir < 0 ? dir : clear(dir, last, path, e);

	if (r == 0)
		r = take_meta(p, t, path, e);
	if (r < 0)
		return r;
	return t->type == TAR_FILE ? put_file(p, dir, last, t, path, e)
				   : put_special(p, dir, last, t, path, e);
}

int build_put_entry(struct build_put *p, const struct tar_entry *t, const char *path,
		    const char *link, struct err *e)
{
	switch (t->type) {
	case TAR_DIR:
		return put_dir(p, t, path, e);
	case TAR_FILE:
	case TAR_SYMLINK:
	case TAR_FIFO:
		return put_other(p, t, path, e);
	case TAR_HARDLINK:
		return put_hardlink(p, path, link, e);
	case TAR_CHARACTER:
	case TAR_BLOCK_DEVICE:
		p->devices++;
		return 0;
	case TAR_TYPE_MAX:
		break;
	}
	return fail(path, -ENOTSUP, "an entry of an unknown type", e);
}

static int write_data(struct build_put *p, const struct tar_event *ev, struct err *e)
{
	if (ev->offset != p->at && lseek(p->file, (off_t)ev->offset, SEEK_SET) < 0)
		return err_sys(e, "write");
	p->at = ev->offset + ev->len;
	return fail_code("file", fs_write_all(p->file, ev->data, ev->len), e);
}

static int end_file(struct build_put *p, struct err *e)
{
	auto_close int fd = steal_fd(&p->file);
	int r;

	/* A hole at the end. */
	if (p->at < p->size && ftruncate(fd, (off_t)p->size) < 0)
		return err_sys(e, "write");
	r = settle(p, fd, "file", e);
	layer_meta_file_time(&p->meta, fd);
	return r;
}

int build_put_data(struct build_put *p, const struct tar_event *ev, struct err *e)
{
	if (p->file < 0)
		return 0;
	if (ev->kind == TAR_DATA)
		return write_data(p, ev, e);
	return ev->kind == TAR_ENTRY_END ? end_file(p, e) : 0;
}

void build_put_finish(struct build_put *p)
{
	layer_times_set(&p->times, p->root, open_dir);
}
