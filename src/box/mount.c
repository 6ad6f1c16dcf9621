/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount: the mount system calls, by descriptor.
 *
 * Everything is mounted detached first (fsopen/fsmount or open_tree), gets its attributes, and is
 * then moved onto a target that was opened before.  No call takes a path that somebody else could
 * change, except the overlay itself, whose target lies in a directory that only we see.
 *
 * Each mount's id is remembered, so that at the end mountinfo can be compared with what was meant.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/compat.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "box/box_internal.h"

void mount_list_free(struct mount_list *l)
{
	free(l->v);
	*l = (struct mount_list){ 0 };
}

bool mount_list_has(const struct mount_list *l, uint64_t id)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].id == id)
			return true;
	return false;
}

void mount_list_add(struct mount_list *l, uint64_t id, bool recursive)
{
	if (l->n == l->cap) {
		l->cap = l->cap ? l->cap * 2 : 128;
		l->v = xrealloc(l->v, l->cap, sizeof(*l->v));
	}
	l->v[l->n].id = id;
	l->v[l->n].recursive = recursive;
	l->n++;
}

uint64_t mount_attrs(uint32_t box_flags)
{
	static const struct {
		uint32_t flag;
		uint64_t attr;
	} table[] = {
		{ BOX_F_RO, MOUNT_ATTR_RDONLY },
		{ BOX_F_NOSUID, MOUNT_ATTR_NOSUID },
		{ BOX_F_NODEV, MOUNT_ATTR_NODEV },
		{ BOX_F_NOEXEC, MOUNT_ATTR_NOEXEC },
	};
	uint64_t attrs = 0;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (box_flags & table[i].flag)
			attrs |= table[i].attr;
	return attrs;
}

int mount_new(const char *fstype, const struct mount_option *o, size_t n, uint64_t attrs,
	      struct err *e)
{
	auto_close int fs = (int)syscall(SYS_fsopen, fstype, FSOPEN_CLOEXEC);
	int fd;

	if (fs < 0)
		return err_sys(e, "file system %s", fstype);
	for (size_t i = 0; i < n; i++) {
		unsigned cmd = o[i].value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;

		if (syscall(SYS_fsconfig, fs, cmd, o[i].key, o[i].value, 0) < 0)
			return err_sys(e, "file system %s: option %s", fstype, o[i].key);
	}
	if (syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return err_sys(e, "file system %s", fstype);
	fd = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, (unsigned)attrs);
	if (fd < 0)
		return err_sys(e, "file system %s: mount", fstype);
	return fd;
}

int mount_clone(int fd, bool recursive, uint64_t attrs, struct err *e)
{
	unsigned rec = recursive ? AT_RECURSIVE : 0;
	struct mount_attr a = { .attr_set = attrs, .propagation = MS_PRIVATE };
	int tree = (int)syscall(SYS_open_tree, fd, "",
				OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | rec);

	if (tree < 0)
		return err_sys(e, "copy the mount");
	if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | rec, &a, sizeof(a)) < 0) {
		int r = err_sys(e, "set mount attributes");

		close(tree);
		return r;
	}
	return tree;
}

int mount_remember(struct mount_list *l, int fd, bool recursive, struct err *e)
{
	struct statx sx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &sx) < 0)
		return err_sys(e, "mount id");
	if (!(sx.stx_mask & STATX_MNT_ID))
		return err_set(e, ERR_HOST, ENOSYS, "mount id: the kernel does not tell it");
	mount_list_add(l, sx.stx_mnt_id, recursive);
	return 0;
}

int mount_attach(struct mount_list *l, int tree_fd, int target_fd, bool recursive, struct err *e)
{
	if (syscall(SYS_move_mount, tree_fd, "", target_fd, "",
		    MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return err_sys(e, "mount");
	return mount_remember(l, tree_fd, recursive, e);
}

int mount_open_source(const char *path, uint32_t flags, uint64_t dev, uint64_t ino, int *ret_fd,
		      struct err *e)
{
	auto_close int fd = fs_openat2(AT_FDCWD, path, O_PATH | O_NOFOLLOW, 0,
				       RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
	bool is_dir = !(flags & BOX_F_IS_FILE);
	struct stat st;

	if (fd == -ELOOP)
		return err_set(e, ERR_REFUSED, ELOOP, "a component of the path is a symbolic link");
	if (fd == -ENOENT || fd == -ENOTDIR)
		return err_set(e, ERR_NOT_FOUND, fd, "no such file or directory on this machine");
	if (fd < 0) {
		errno = -fd;
		return err_sys(e, "open");
	}
	if (fstat(fd, &st) < 0)
		return err_sys(e, "stat");
	if ((dev || ino) && (st.st_dev != dev || st.st_ino != ino)) {
		err_set(e, ERR_REFUSED, ESTALE, "not the same file or directory any more");
		return err_hint(e, "it was replaced since the sandbox was made; make the sandbox "
				   "again with: ward run --recreate");
	}
	if (!(flags & BOX_F_ANY_TYPE) && is_dir != S_ISDIR(st.st_mode))
		return err_set(e, ERR_REFUSED, is_dir ? ENOTDIR : EISDIR, "%s",
			       is_dir ? "not a directory" : "is a directory");
	*ret_fd = steal_fd(&fd);
	return 0;
}

/* --- mountinfo -------------------------------------------------------------------------------- */

static int take_number(const char **p, const char *end, uint64_t *ret)
{
	char digits[24];
	size_t n = 0;

	while (*p + n < end && (*p)[n] >= '0' && (*p)[n] <= '9')
		n++;
	if (n == 0 || n >= sizeof(digits) || *p + n >= end || (*p)[n] != ' ')
		return -EINVAL;
	memcpy(digits, *p, n);
	digits[n] = '\0';
	*p += n + 1;
	return text_u64(digits, UINT64_MAX, ret);
}

static bool below_recursive(const struct mount_list *l, uint64_t parent)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].recursive && l->v[i].id == parent)
			return true;
	return false;
}

/* The fifth field, for a message. */
static char *mount_point(const char *p, const char *end)
{
	const char *stop;

	for (int skip = 0; skip < 2; skip++) { /* MAJOR:MINOR and the root within the source */
		p = memchr(p, ' ', (size_t)(end - p));
		if (!p)
			return xstrdup("?");
		p++;
	}
	stop = memchr(p, ' ', (size_t)(end - p));
	return xstrndup(p, (size_t)((stop ? stop : end) - p));
}

int mount_check_info(const char *text, size_t n, const struct mount_list *l, struct err *e)
{
	const char *end = text + n;
	struct mount_list known = { 0 }; /* mounts that came along below a recursive one */
	int r = 0;

	while (text < end && r == 0) {
		const char *nl = memchr(text, '\n', (size_t)(end - text));
		const char *stop = nl ? nl : end;
		uint64_t id;
		uint64_t parent;

		if (take_number(&text, stop, &id) < 0 || take_number(&text, stop, &parent) < 0) {
			r = err_set(e, ERR_SYSTEM, EBADMSG, "mountinfo: malformed line");
		} else if (!mount_list_has(l, id)) {
			if (below_recursive(l, parent) || below_recursive(&known, parent)) {
				mount_list_add(&known, id, true);
			} else {
				auto_free char *where = mount_point(text, stop);

				r = err_set(e, ERR_REFUSED, EXDEV,
					    "mount table: %s is mounted but not in the plan",
					    where);
			}
		}
		text = nl ? nl + 1 : end;
	}
	mount_list_free(&known);
	return r;
}
