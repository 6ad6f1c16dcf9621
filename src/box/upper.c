/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upper: the writable layer before it becomes part of the root.
 *
 * Its top directory is the box's "/": root's, 0755.
 *
 * A template that was made by real root (or by another user) is owned by ids that an ordinary
 * user's box does not have.  The kernel then refuses to create anything in its directories, mount
 * points included.  But a directory that exists in the writable layer as well is merged with the
 * template's and has the upper one's owner.  So the directories that the plan needs to create
 * something in are made here beforehand; the rest of such a template stays as it is, read-only.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/compat.h"
#include "base/fs.h"
#include "base/mem.h"
#include "box/box_internal.h"

/* The uppermost layer's directory at path; false when it is none, or reached through a link. */
static bool find_directory(const struct box_build *b, const char *path, struct stat *st)
{
	for (size_t i = 0; i < b->p->layers.n; i++) {
		auto_close int fd = root_open(b->layers[i], path, O_PATH, RESOLVE_NO_SYMLINKS);

		if (fd == -ENOENT)
			continue;
		return fd >= 0 && fstat(fd, st) == 0 && S_ISDIR(st->st_mode);
	}
	return false;
}

/* Make the part of path that the template has as directories. */
static int adopt_path(const struct box_build *b, const char *path, struct err *e)
{
	auto_free char *prefix = xstrdup(path);
	char *slash = prefix;

	while (slash) {
		struct stat st;

		slash = strchr(slash + 1, '/');
		if (slash)
			*slash = '\0';
		if (!find_directory(b, prefix, &st))
			return 0;
		if (mkdirat(b->upper_fd, prefix + 1, st.st_mode & 07777) < 0 && errno != EEXIST)
			return err_sys(e, "writable layer: make %s", prefix);
		if (slash)
			*slash = '/';
	}
	return 0;
}

static bool creates_something(const struct box_op *op)
{
	switch (op->type) {
	case BOX_OP_DIR:
	case BOX_OP_FILE:
	case BOX_OP_SYMLINK:
	case BOX_OP_TMPFS:
	case BOX_OP_PROC:
	case BOX_OP_SYSFS:
	case BOX_OP_BIND:
		return true;
	case BOX_OP_OVERLAY:
	case BOX_OP_USER:
	case BOX_OP_DEVPTS:
	case BOX_OP_MQUEUE:
	case BOX_OP_DEVICE:
	case BOX_OP_MASK:
	case BOX_OP_PIN:
	case BOX_OP_READONLY:
	case BOX_OP_PIVOT:
	case BOX_OP_SYSCTL:
	case BOX_OP_HOSTNAME:
	case BOX_OP_LOOPBACK:
	case BOX_OP_LISTEN:
	case BOX_OP_CAPTURE:
	case BOX_OP_SOCKET:
	case BOX_OP_FILL:
	case BOX_OP_MAX:
		break;
	}
	return false;
}

static int adopt_directories(const struct box_build *b, struct err *e)
{
	for (size_t i = 0; i < b->p->nops; i++) {
		const struct box_op *op = &b->p->ops[i];
		int r = creates_something(op) ? adopt_path(b, op->target, e) : 0;

		if (r < 0)
			return r;
	}
	return 0;
}

static bool layers_are_foreign(const struct box_build *b)
{
	for (size_t i = 0; i < b->p->layers.n; i++) {
		struct stat st;

		if (fstat(b->layers[i], &st) == 0 && st.st_uid == BOX_OVERFLOW_ID)
			return true;
	}
	return false;
}

int upper_prepare(const struct box_build *b, struct err *e)
{
	auto_free char *path = xasprintf("/proc/self/fd/%d", b->upper_fd);
	struct stat st;

	if (fstat(b->upper_fd, &st) < 0)
		return err_sys(e, "writable layer");
	if ((st.st_uid != 0 || st.st_gid != 0) &&
	    fchownat(b->upper_fd, "", 0, 0, AT_EMPTY_PATH) < 0)
		return err_sys(e, "writable layer: chown");
	if ((st.st_mode & 07777) != 0755 && chmod(path, 0755) < 0)
		return err_sys(e, "writable layer: chmod");
	return layers_are_foreign(b) ? adopt_directories(b, e) : 0;
}
