/* SPDX-License-Identifier: Apache-2.0 */
/*
 * root: directories and files inside the new root.
 *
 * The root's content may come from somebody else (an image, an earlier run of the agent).  Every
 * path is resolved by the kernel as if the root's descriptor were "/", and without magic links, so
 * that no symbolic link leads out.  Directories are made one component at a time from the parent's
 * descriptor; files are unlinked, never followed, and made with O_EXCL.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/compat.h"
#include "base/fs.h"
#include "base/mem.h"
#include "box/box_internal.h"

int root_open(int root_fd, const char *path, int flags, uint64_t resolve)
{
	while (*path == '/')
		path++;
	return fs_openat2(root_fd, *path ? path : ".", flags, 0,
			  RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve);
}

/* The caller's message names the operation and its target. */
static int explain(int code, struct err *e)
{
	if (code == -ELOOP)
		return err_set(e, ERR_REFUSED, ELOOP, "a symbolic link is in the way");
	if (code == -EACCES || code == -EOVERFLOW || code == -EPERM) {
		err_set(e, ERR_HOST, code,
			"cannot be made: its directory belongs to an id that the box does not "
			"have");
		return err_hint(e, "use a template whose files this user owns, for example one "
				   "made with: mmdebstrap --mode=unshare");
	}
	errno = -code;
	return err_sys(e, "make it in the root");
}

/* Make one component below cur_fd and open it; an object that appeared meanwhile is not followed.
 */
static int make_component(int cur_fd, const char *name, mode_t mode, const struct root_owner *o)
{
	if (mkdirat(cur_fd, name, mode) < 0) {
		/* A symbolic link that leads nowhere is in the way. */
		return errno == EEXIST ? -ELOOP : -errno;
	}
	if (o && fchownat(cur_fd, name, o->uid, o->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return fs_open_beneath(cur_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
}

int root_mkdirs(int root_fd, const char *path, mode_t mode, const struct root_owner *o,
		bool nofollow, int *ret_fd, struct err *e)
{
	uint64_t resolve = nofollow ? RESOLVE_NO_SYMLINKS : 0;
	auto_close int cur = root_open(root_fd, path, O_PATH | O_DIRECTORY, resolve);
	auto_free char *prefix = NULL;
	char *p;

	if (cur < 0 && cur != -ENOENT)
		return explain(cur, e);
	if (cur >= 0)
		goto done;
	cur = root_open(root_fd, "/", O_PATH | O_DIRECTORY, 0);
	prefix = xstrdup(path);
	p = prefix;
	while (cur >= 0 && *p) {
		char *slash;
		int next;

		while (*p == '/')
			p++;
		slash = strchr(p, '/');
		if (slash)
			*slash = '\0';
		next = root_open(root_fd, prefix, O_PATH | O_DIRECTORY, resolve);
		if (next == -ENOENT)
			next = make_component(cur, p, slash ? 0755 : mode, o);
		close(cur);
		cur = next;
		if (!slash)
			break;
		*slash = '/';
		p = slash;
	}
	if (cur < 0)
		return explain(cur, e);
done:
	if (ret_fd)
		*ret_fd = steal_fd(&cur);
	return 0;
}

int root_parent(int root_fd, const char *path, const struct root_owner *o, bool nofollow,
		int *ret_fd, const char **ret_name, struct err *e)
{
	const char *slash = strrchr(path, '/');
	auto_free char *dir = NULL;
	int r;

	if (!slash || !slash[1] || strcmp(slash, "/..") == 0 || strcmp(slash, "/.") == 0)
		return err_set(e, ERR_INPUT, EINVAL, "not an absolute path of a file");
	dir = slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
	r = root_mkdirs(root_fd, dir, 0755, o, nofollow, ret_fd, e);
	if (r < 0)
		return r;
	*ret_name = slash + 1;
	return 0;
}

/* Is the file already what root_write would make? Then a start does not touch the disk. */
static bool same_file(int dir, const char *name, const void *bytes, size_t n, mode_t mode,
		      const struct root_owner *o)
{
	auto_close int fd =
		openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	auto_buf old = BUF_INIT;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_nlink != 1 ||
	    (st.st_mode & 07777) != mode || (size_t)st.st_size != n ||
	    st.st_uid != (o ? o->uid : 0) || st.st_gid != (o ? o->gid : 0))
		return false;
	return fs_read_fd(fd, n, &old, NULL) == 0 && old.len == n &&
	       memcmp(buf_str(&old), bytes, n) == 0;
}

int root_write(int root_fd, const char *path, const void *bytes, size_t n, mode_t mode,
	       const struct root_owner *o, bool if_missing, struct err *e)
{
	auto_close int dir = -1;
	auto_close int fd = -1;
	const char *name;
	int r = root_parent(root_fd, path, o, false, &dir, &name, e);

	if (r < 0)
		return r;
	if (!if_missing && same_file(dir, name, bytes, n, mode, o))
		return 0;
	if (!if_missing && unlinkat(dir, name, 0) < 0 && errno != ENOENT)
		return explain(-errno, e);
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0 && errno == EEXIST && if_missing)
		return 0;
	if (fd < 0)
		return explain(-errno, e);
	r = fs_write_all(fd, bytes, n);
	if (r < 0) {
		errno = -r;
		return err_sys(e, "write");
	}
	if (o && (o->uid || o->gid) && fchown(fd, o->uid, o->gid) < 0)
		return err_sys(e, "chown");
	return 0;
}

static int make_empty_file(int root_fd, const char *path, const struct root_owner *o, bool nofollow,
			   struct err *e)
{
	auto_close int dir = -1;
	auto_close int fd = -1;
	const char *name;
	int r = root_parent(root_fd, path, o, nofollow, &dir, &name, e);

	if (r < 0)
		return r;
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return explain(errno == EEXIST ? -ELOOP : -errno, e);
	if (o && fchown(fd, o->uid, o->gid) < 0)
		return err_sys(e, "chown");
	return 0;
}

int root_target(int root_fd, const char *path, const struct root_target *t, int *ret_fd,
		struct err *e)
{
	uint64_t resolve = t->nofollow ? RESOLVE_NO_SYMLINKS : 0;
	auto_close int fd = root_open(root_fd, path, O_PATH, resolve);
	struct stat st;
	int r;

	if (fd == -ENOENT && t->existing)
		return err_set(e, ERR_NOT_FOUND, ENOENT, "the mount point does not exist");
	if (fd == -ENOENT) {
		if (t->is_dir)
			return root_mkdirs(root_fd, path, 0755, t->owner, t->nofollow, ret_fd, e);
		r = make_empty_file(root_fd, path, t->owner, t->nofollow, e);
		if (r < 0)
			return r;
		fd = root_open(root_fd, path, O_PATH, resolve);
	}
	if (fd < 0)
		return explain(fd, e);
	if (fstat(fd, &st) < 0)
		return err_sys(e, "stat");
	if (t->is_dir != S_ISDIR(st.st_mode))
		return err_set(e, ERR_REFUSED, t->is_dir ? ENOTDIR : EISDIR, "the mount point %s",
			       t->is_dir ? "is not a directory" : "is a directory");
	*ret_fd = steal_fd(&fd);
	return 0;
}

int root_make_reachable(int root_fd, const char *path, struct err *e)
{
	auto_free char *prefix = xstrdup(path);
	char *slash = prefix;

	while ((slash = strchr(slash + 1, '/'))) {
		auto_close int fd = -1;
		struct stat st;

		*slash = '\0';
		/* What is mounted from elsewhere keeps its modes. */
		fd = root_open(root_fd, prefix, O_RDONLY | O_DIRECTORY, RESOLVE_NO_XDEV);
		*slash = '/';
		if (fd == -EXDEV)
			continue;
		if (fd < 0 || fstat(fd, &st) < 0)
			return explain(fd < 0 ? fd : -errno, e);
		if ((st.st_mode & 0011) != 0011 && fchmod(fd, (st.st_mode & 07777) | 0011) < 0)
			return explain(-errno, e);
	}
	return 0;
}
