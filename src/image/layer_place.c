/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer_place: the files of a layer, below one directory.
 *
 * Names are literal.  A directory on the way is opened beneath the root without following any
 * symbolic link; what is in the way of a later entry, be it a link where a directory is needed, is
 * replaced, as a layer above would hide it.  Everything is then made in that directory by its last
 * component alone, exclusively, so that nothing is ever written through something that exists.
 *
 * The result is a lower layer of an overlay with `userxattr`: whiteouts are character devices 0:0
 * (which a user namespace may make), opaque directories have user.overlay.opaque.  Therefore no
 * entry of the archive may bring either.
 *
 * What is left out and counted: device nodes (a box could not use them), attributes that are not
 * the image's to set.  Sockets cannot be in an archive.  Owners beyond the ids that exist are
 * nobody's.
 *
 * Invariants: the directory of the last entry is kept open and forgotten whenever a directory is
 * removed; modes and owners are set through descriptors or without following; times of directories
 * come last.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "image/layer_internal.h"

#define OPAQUE_XATTR "user.overlay.opaque"

struct layer_place {
	int root;
	uint32_t ids;
	uint64_t dirs; /* how many may still be made that have no entry */
	struct layer_stats stats;
	struct layer_name name;
	struct layer_name target; /* of a hard link */
	/* the directory of the last entry */
	struct buf parent;
	int parent_fd; /* -1: none */
	struct buf dir_times;
	/* the file that is being written */
	int file; /* -1: the data of this entry belongs nowhere */
	uint64_t size;
	uint64_t at; /* where the next byte would be written */
	struct layer_meta meta;
};

static int fail(struct err *e, const struct buf *path, int code, const char *why)
{
	auto_free char *shown = text_escaped(buf_str(path));

	return err_set(e, ERR_INPUT, code, "layer: '/%.200s': %s", shown, why);
}

/* A full disk or quota is not the image's fault. */
static int fail_errno(struct err *e, const struct buf *path)
{
	auto_free char *shown = text_escaped(buf_str(path));

	return err_sys(e, "layer: '/%.200s'", shown);
}

struct layer_place *layer_place_new(int root_fd, uint32_t ids, uint64_t dirs)
{
	struct layer_place *p = xcalloc(1, sizeof(*p));

	p->root = root_fd;
	p->ids = ids;
	p->dirs = dirs;
	p->parent_fd = p->file = -1;
	return p;
}

static void forget_parent(struct layer_place *p)
{
	if (p->parent_fd >= 0)
		close(p->parent_fd);
	p->parent_fd = -1;
}

void layer_place_free(struct layer_place *p)
{
	if (!p)
		return;
	forget_parent(p);
	if (p->file >= 0)
		close(p->file);
	buf_free(&p->name.path);
	buf_free(&p->target.path);
	buf_free(&p->parent);
	buf_free(&p->dir_times);
	free(p);
}

/* --- directories on the way ------------------------------------------------------------------- */

static bool is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == 0;
}

static int set_opaque(int dir, const struct buf *path, struct err *e)
{
	return fsetxattr(dir, OPAQUE_XATTR, "y", 1, 0) < 0 ? fail_errno(e, path) : 0;
}

/* Remove what has the name; *ret_hidden: it was a whiteout. */
static int clear_way(struct layer_place *p, int dir, const char *name, bool *ret_hidden,
		     struct err *e)
{
	struct stat st;

	*ret_hidden = false;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : fail_errno(e, &p->name.path);
	*ret_hidden = is_whiteout(&st);
	if (!S_ISDIR(st.st_mode))
		return unlinkat(dir, name, 0) < 0 ? fail_errno(e, &p->name.path) : 0;
	forget_parent(p);
	return fs_remove_tree_at(dir, name, e);
}

/* Make the directory `name`, or keep the one there is; the descriptor is for reading. */
static int need_dir(struct layer_place *p, int dir, const char *name, struct err *e)
{
	bool hidden = false;
	int r, fd;

	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	if (errno != ENOENT) {
		r = clear_way(p, dir, name, &hidden, e);
		if (r < 0)
			return r;
	}
	if (p->dirs == 0)
		return fail(e, &p->name.path, -EFBIG, "too many directories");
	p->dirs--;
	if (mkdirat(dir, name, 0755) < 0)
		return fail_errno(e, &p->name.path);
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return fail_errno(e, &p->name.path);
	/* A directory in the place of something that is gone starts empty. */
	r = hidden ? set_opaque(fd, &p->name.path, e) : 0;
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

/* The directory `path`, with what is missing of it; the caller closes it. */
static int walk(struct layer_place *p, const char *path, struct err *e)
{
	int cur = fs_open_beneath(p->root, *path ? path : ".", O_RDONLY | O_DIRECTORY, 0);
	auto_free char *copy = NULL;
	char *at;

	if (cur >= 0)
		return cur;
	if (cur != -ENOENT && cur != -ENOTDIR && cur != -ELOOP) {
		errno = -cur;
		return fail_errno(e, &p->name.path);
	}
	copy = xstrdup(path);
	at = copy;
	cur = fs_open_beneath(p->root, ".", O_RDONLY | O_DIRECTORY, 0);
	while (cur >= 0 && at) {
		char *slash = strchr(at, '/');
		int next;

		if (slash)
			*slash = '\0';
		next = need_dir(p, cur, at, e);
		close(cur);
		cur = next;
		at = slash ? slash + 1 : NULL;
	}
	return cur;
}

/* The directory that holds the last component of path, borrowed; *ret_last points into path. */
static int parent_of(struct layer_place *p, const struct buf *path, const char **ret_last,
		     struct err *e)
{
	const char *slash = strrchr(buf_str(path), '/');
	size_t n = slash ? (size_t)(slash - path->data) : 0;

	*ret_last = slash ? slash + 1 : buf_str(path);
	if (p->parent_fd >= 0 && p->parent.len == n &&
	    memcmp(buf_str(&p->parent), buf_str(path), n) == 0)
		return p->parent_fd;
	forget_parent(p);
	buf_reset(&p->parent);
	buf_add(&p->parent, buf_str(path), n);
	p->parent_fd = walk(p, buf_str(&p->parent), e);
	return p->parent_fd;
}

/* --- attributes ------------------------------------------------------------------------------- */

static int fail_code(struct err *e, const struct buf *path, int r)
{
	errno = -r;
	return r < 0 ? fail_errno(e, path) : 0;
}

static int owner(struct layer_place *p, const struct tar_entry *entry, struct err *e)
{
	if (layer_meta_of(entry, p->ids, &p->meta) < 0)
		return fail(e, &p->name.path, -EINVAL, "its owner is no user id");
	if (p->ids > 1 && (p->meta.uid != entry->uid || p->meta.gid != entry->gid))
		p->stats.owners++;
	return 0;
}

static int set_xattrs(struct layer_place *p, int fd, const struct tar_entry *entry, struct err *e)
{
	return fail_code(e, &p->name.path,
			 layer_meta_xattrs(&p->meta, fd, entry, &p->stats.xattrs));
}

static int settle(struct layer_place *p, int fd, struct err *e)
{
	return fail_code(e, &p->name.path,
			 layer_meta_settle(&p->meta, fd, p->ids > 1, &p->stats.xattrs));
}

/* --- entries ---------------------------------------------------------------------------------- */

static int put_dir(struct layer_place *p, const struct tar_entry *entry, struct err *e)
{
	auto_close int fd = -1;
	const char *last;
	int dir, r;

	if (p->name.kind == LAYER_NAME_ROOT) {
		fd = fs_open_beneath(p->root, ".", O_RDONLY | O_DIRECTORY, 0);
	} else {
		dir = parent_of(p, &p->name.path, &last, e);
		if (dir < 0)
			return dir;
		fd = need_dir(p, dir, last, e);
	}
	if (fd < 0)
		return fd;
	r = set_xattrs(p, fd, entry, e);
	if (r == 0)
		r = settle(p, fd, e);
	if (r == 0 && layer_times_add(&p->dir_times, buf_str(&p->name.path), &p->meta) < 0)
		r = fail(e, &p->name.path, -EFBIG, "too many directories");
	return r;
}

/* The way is clear and the directory open. */
static int fresh(struct layer_place *p, const char **ret_last, struct err *e)
{
	bool hidden;
	int dir = parent_of(p, &p->name.path, ret_last, e);
	int r;

	if (dir < 0)
		return dir;
	if (faccessat(dir, *ret_last, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
		return dir;
	r = clear_way(p, dir, *ret_last, &hidden, e);
	/* Removing a tree has closed the directory. */
	return r < 0 ? r : parent_of(p, &p->name.path, ret_last, e);
}

static int put_file(struct layer_place *p, const struct tar_entry *entry, struct err *e)
{
	const char *last;
	int dir = fresh(p, &last, e);

	if (dir < 0)
		return dir;
	p->file = openat(dir, last, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (p->file < 0)
		return fail_errno(e, &p->name.path);
	p->size = entry->size;
	p->at = 0;
	return set_xattrs(p, p->file, entry, e);
}

static int put_symlink(struct layer_place *p, const struct tar_entry *entry, struct err *e)
{
	const char *last;
	int dir = fresh(p, &last, e);

	if (dir < 0)
		return dir;
	if (symlinkat(entry->link, dir, last) < 0 ||
	    (p->ids > 1 && fchownat(dir, last, p->meta.uid, p->meta.gid, AT_SYMLINK_NOFOLLOW) < 0))
		return fail_errno(e, &p->name.path);
	p->stats.xattrs += entry->nxattrs;
	layer_meta_time(&p->meta, dir, last);
	return 0;
}

static int put_fifo(struct layer_place *p, const struct tar_entry *entry, struct err *e)
{
	const char *last;
	int dir = fresh(p, &last, e);

	if (dir < 0)
		return dir;
	/* The umask is 0, and nothing but us is in this directory. */
	if (mknodat(dir, last, S_IFIFO | (p->meta.mode & 0777), 0) < 0 ||
	    (p->ids > 1 && fchownat(dir, last, p->meta.uid, p->meta.gid, AT_SYMLINK_NOFOLLOW) < 0))
		return fail_errno(e, &p->name.path);
	p->stats.xattrs += entry->nxattrs;
	layer_meta_time(&p->meta, dir, last);
	return 0;
}

static int put_hardlink(struct layer_place *p, const struct tar_entry *entry, struct err *e)
{
	const char *slash, *from_last, *last;
	auto_free char *from_path = NULL;
	auto_close int from = -1;
	struct stat st;
	int dir, r;

	r = layer_name_parse(entry->link, &p->target, e);
	if (r < 0)
		return r;
	if (p->target.kind != LAYER_NAME_PLAIN)
		return fail(e, &p->name.path, -EINVAL, "a hard link to no file");
	if (p->target.path.len == p->name.path.len &&
	    memcmp(p->target.path.data, p->name.path.data, p->name.path.len) == 0)
		return fail(e, &p->name.path, -EINVAL, "a hard link to itself");
	dir = fresh(p, &last, e);
	if (dir < 0)
		return dir;
	slash = strrchr(p->target.path.data, '/');
	from_last = slash ? slash + 1 : p->target.path.data;
	from_path = slash ? xstrndup(p->target.path.data, (size_t)(slash - p->target.path.data))
			  : xstrdup(".");
	from = fs_open_beneath(p->root, from_path, O_PATH | O_DIRECTORY, 0);
	if (from < 0 || fstatat(from, from_last, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(e, &p->name.path, -ENOENT,
			    "a hard link to a file that is not in this layer");
	if (S_ISDIR(st.st_mode) || S_ISCHR(st.st_mode))
		return fail(e, &p->name.path, -EINVAL, "a hard link to something that is no file");
	if (linkat(from, from_last, dir, last, 0) < 0)
		return fail_errno(e, &p->name.path);
	return 0;
}

static int put_whiteout(struct layer_place *p, struct err *e)
{
	const char *last;
	auto_close int fd = -1;
	int dir = parent_of(p, &p->name.path, &last, e);

	if (dir < 0)
		return dir;
	if (mknodat(dir, last, S_IFCHR, 0) == 0)
		return 0;
	if (errno != EEXIST)
		return fail_errno(e, &p->name.path);
	/* What this layer has of that name stays; of a directory, the layers' below is hidden. */
	fd = openat(dir, last, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? 0 : set_opaque(fd, &p->name.path, e);
}

static int put_opaque(struct layer_place *p, struct err *e)
{
	auto_close int fd = -1;

	fd = walk(p, buf_str(&p->name.path), e);
	if (fd < 0)
		return fd;
	forget_parent(p); /* walk may have replaced something */
	if (p->name.path.len == 0)
		p->stats.opaque_root = true;
	return set_opaque(fd, &p->name.path, e);
}

static int put_plain(struct layer_place *p, const struct tar_entry *entry, struct err *e)
{
	int r = owner(p, entry, e);

	if (r < 0)
		return r;
	if (p->name.kind == LAYER_NAME_ROOT && entry->type != TAR_DIR)
		return fail(e, &p->name.path, -ENOTDIR, "the top of a layer must be a directory");
	switch (entry->type) {
	case TAR_DIR:
		return put_dir(p, entry, e);
	case TAR_FILE:
		return put_file(p, entry, e);
	case TAR_SYMLINK:
		return put_symlink(p, entry, e);
	case TAR_HARDLINK:
		return put_hardlink(p, entry, e);
	case TAR_FIFO:
		return put_fifo(p, entry, e);
	case TAR_CHARACTER:
	case TAR_BLOCK_DEVICE:
		p->stats.devices++;
		return 0;
	case TAR_TYPE_MAX:
		break;
	}
	return fail(e, &p->name.path, -ENOTSUP, "an entry of an unknown type");
}

static int begin(struct layer_place *p, const struct tar_entry *entry, struct err *e)
{
	int r = layer_name_parse(entry->path, &p->name, e);

	p->stats.entries++;
	if (r < 0)
		return r;
	switch (p->name.kind) {
	case LAYER_NAME_ROOT:
	case LAYER_NAME_PLAIN:
		return put_plain(p, entry, e);
	case LAYER_NAME_WHITEOUT:
		return put_whiteout(p, e);
	case LAYER_NAME_OPAQUE:
		return put_opaque(p, e);
	case LAYER_NAME_IGNORED:
	case LAYER_NAME_KIND_MAX:
		break;
	}
	return 0;
}

static int end_file(struct layer_place *p, struct err *e)
{
	auto_close int fd = steal_fd(&p->file);
	int r;

	/* A hole at the end. */
	if (p->at < p->size && ftruncate(fd, (off_t)p->size) < 0)
		return fail_errno(e, &p->name.path);
	r = settle(p, fd, e);
	layer_meta_file_time(&p->meta, fd);
	return r;
}

static int write_data(struct layer_place *p, const struct tar_event *ev, struct err *e)
{
	int r;

	p->stats.bytes += ev->len;
	if (ev->offset != p->at && lseek(p->file, (off_t)ev->offset, SEEK_SET) < 0)
		return fail_errno(e, &p->name.path);
	p->at = ev->offset + ev->len;
	r = fs_write_all(p->file, ev->data, ev->len);
	if (r == 0)
		return 0;
	errno = -r;
	return fail_errno(e, &p->name.path);
}

int layer_place_event(struct layer_place *p, const struct tar_event *ev, struct err *e)
{
	switch (ev->kind) {
	case TAR_ENTRY:
		return begin(p, &ev->entry, e);
	case TAR_DATA:
		return p->file < 0 ? 0 : write_data(p, ev, e);
	case TAR_ENTRY_END:
		return p->file < 0 ? 0 : end_file(p, e);
	case TAR_MORE:
	case TAR_END:
		break;
	}
	return 0;
}

static int open_dir(int root, const char *path)
{
	return fs_open_beneath(root, *path ? path : ".", O_RDONLY | O_DIRECTORY, 0);
}

void layer_place_finish(struct layer_place *p, struct layer_stats *ret)
{
	layer_times_set(&p->dir_times, p->root, open_dir);
	*ret = p->stats;
}
