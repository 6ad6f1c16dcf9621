/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apply: the interpreter of the plan.  It runs in the child, between clone3 and execve.
 *
 * First half, as the user: everything that lies on the host is opened by its canonical path,
 * without following a symbolic link, and compared with the inode that was recorded.  A descriptor
 * from before the new mount namespace could not be mounted, so this is the one and only resolution.
 *
 * Second half, as root of the outer user namespace: the operations in their order, each a small
 * function in a table.  The first failure ends the start; its message names the operation.
 *
 * Invariants: nothing is created outside the new root; nothing is mounted on a path that was
 * resolved outside it; a mask's source is the host's /dev/null, opened before the new root existed
 * and checked to be character device 1:3.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/compat.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "box/box_internal.h"

/* --- first half: sources -----------------------------------------------------------------------
 */

static int open_device(const char *path, uint64_t rdev, int *ret_fd, struct err *e)
{
	auto_close int fd = fs_openat2(AT_FDCWD, path, O_PATH | O_NOFOLLOW, 0, RESOLVE_NO_SYMLINKS);
	struct stat st;

	if (fd < 0) {
		errno = -fd;
		return err_sys(e, "%s", path);
	}
	if (fstat(fd, &st) < 0)
		return err_sys(e, "%s", path);
	if (!S_ISCHR(st.st_mode) || st.st_rdev != rdev)
		return err_set(e, ERR_HOST, ENODEV, "%s: not the device %u:%u on this machine",
			       path, major(rdev), minor(rdev));
	*ret_fd = steal_fd(&fd);
	return 0;
}

static int open_layers(struct box_build *b, struct err *e)
{
	for (size_t i = 0; i < b->p->layers.n; i++) {
		int r;

		if (b->layers[i] >= 0)
			continue;
		r = mount_open_source(b->p->layers.v[i], 0, 0, 0, &b->layers[i], e);
		if (r < 0)
			return err_prefix(e, "template %s", b->p->layers.v[i]);
	}
	return 0;
}

/* Open a directory of the sandbox again, in this mount namespace; it must be the same one. */
static int reopen(const struct box_build *b, const char *name, int *fd, struct err *e)
{
	auto_free char *path = fs_join(b->p->dir, name);
	struct stat st;
	int fresh;
	int r;

	if (fstat(*fd, &st) < 0)
		return err_sys(e, "%s", path);
	r = mount_open_source(path, 0, st.st_dev, st.st_ino, &fresh, e);
	if (r < 0)
		return err_prefix(e, "%s", path);
	close(*fd);
	*fd = fresh;
	return 0;
}

int apply_open_sources(struct box_build *b, struct err *e)
{
	int r = open_device("/dev/null", makedev(1, 3), &b->null_fd, e);

	if (r == 0)
		r = reopen(b, "upper", &b->upper_fd, e);
	if (r == 0)
		r = reopen(b, "work", &b->work_fd, e);
	if (r == 0)
		r = open_layers(b, e);
	for (size_t i = 0; i < b->p->nops && r == 0; i++) {
		const struct box_op *op = &b->p->ops[i];

		if (b->sources[i] >= 0)
			continue;
		if (op->type == BOX_OP_DEVICE) {
			r = open_device(op->source, op->dev, &b->sources[i], e);
		} else if (op->type == BOX_OP_BIND) {
			r = mount_open_source(op->source, op->flags, op->dev, op->ino,
					      &b->sources[i], e);
			if (r == -ENOENT && (op->flags & BOX_F_OPTIONAL))
				r = 0;
			else if (r < 0)
				err_prefix(e, "bind %s", op->source);
		}
	}
	return r;
}

/* --- second half: operations -------------------------------------------------------------------
 */

static const struct root_owner *owner_of(const struct box_build *b, const struct box_op *op,
					 struct root_owner *space)
{
	if (!(op->flags & BOX_F_AGENT))
		return NULL;
	space->uid = b->c->ids.agent_uid;
	space->gid = b->c->ids.agent_gid;
	return space;
}

/*
 * A directory that only we can reach: a tmpfs on top of the sandbox's own directory, in our mount
 * namespace. The overlay is mounted in it, and layers that came as detached mounts get a place.
 */
static int make_stage(struct box_build *b, int *ret_fd, struct err *e)
{
	static const struct mount_option options[] = { { "mode", "0700" }, { "nr_inodes", "512" } };
	auto_close int fd = mount_new("tmpfs", options, ARRAY_SIZE(options),
				      MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, e);
	int r;

	if (fd < 0)
		return fd;
	r = mount_attach(&b->mounts, fd, b->work_fd, false, e);
	if (r < 0)
		return r;
	if (mkdirat(fd, "root", 0755) < 0 || mkdirat(fd, "empty", 0755) < 0)
		return err_sys(e, "stage");
	*ret_fd = steal_fd(&fd);
	return 0;
}

static int stage_layer(struct box_build *b, int stage_fd, size_t i, struct err *e)
{
	char name[24];
	auto_close int target = -1;

	snprintf(name, sizeof(name), "%zu", i);
	if (mkdirat(stage_fd, name, 0755) < 0)
		return err_sys(e, "stage");
	target = fs_open_beneath(stage_fd, name, O_PATH | O_DIRECTORY, 0);
	if (target < 0)
		return err_set(e, ERR_SYSTEM, target, "stage: open failed");
	return mount_attach(&b->mounts, b->layers[i], target, true, e);
}

/*
 * mount(2) and not fsconfig: its option string may have a page, an fsconfig value only 255 bytes,
 * and the one-layer-a-call form exists since 6.7 only. All paths are descriptors of ours.
 * redirect_dir=nofollow is what "off" should be: with "off", kernels that are built to follow
 * redirects anyway refuse to combine it with userxattr.
 */
static int mount_overlay(struct box_build *b, int stage_fd, struct err *e)
{
	auto_buf options = BUF_INIT;

	buf_puts(&options, "userxattr,redirect_dir=nofollow,metacopy=off,index=off,xino=off");
	buf_printf(&options, ",upperdir=/proc/self/fd/%d,workdir=/proc/self/fd/%d", b->upper_fd,
		   b->work_fd);
	buf_puts(&options, ",lowerdir=");
	for (size_t i = 0; i < b->p->layers.n; i++)
		buf_printf(&options, "%s/proc/self/fd/%d", i ? ":" : "", b->layers[i]);
	if (b->p->layers.n == 0)
		buf_puts(&options, "empty");
	if (fchdir(stage_fd) < 0)
		return err_sys(e, "stage");
	if (syscall(SYS_mount, "overlay", "root", "overlay", MS_NODEV, buf_str(&options)) < 0) {
		int r = err_sys(e, "overlay");

		if (r == -ENODEV)
			return err_hint(e, "sudo modprobe overlay");
		if (r == -EINVAL)
			return err_hint(e,
					"the file system of %s may not be fit for it (network "
					"file systems are not); keep Ward's data elsewhere with "
					"XDG_DATA_HOME",
					b->p->dir);
		return r;
	}
	return 0;
}

static int op_overlay(struct box_build *b, size_t i, struct err *e)
{
	auto_close int stage_fd = -1;
	int r = upper_prepare(b, e);

	(void)i;
	if (r == 0)
		r = make_stage(b, &stage_fd, e);
	for (size_t k = 0; k < b->p->layers.n && b->layers_detached && r == 0; k++)
		r = stage_layer(b, stage_fd, k, e);
	if (r == 0)
		r = mount_overlay(b, stage_fd, e);
	if (r < 0)
		return r;
	b->root_fd = fs_openat2(stage_fd, "root", O_PATH | O_DIRECTORY, 0, RESOLVE_NO_SYMLINKS);
	if (b->root_fd < 0)
		return err_set(e, ERR_SYSTEM, b->root_fd, "overlay: open the root");
	return mount_remember(&b->mounts, b->root_fd, false, e);
}

static int write_file(struct box_build *b, const struct box_op *op, struct err *e)
{
	struct root_owner space;

	if (op->flags & BOX_F_APPEND)
		return append_apply(b, op, e);
	return root_write(b->root_fd, op->target, op->content, strlen(op->content), op->mode,
			  owner_of(b, op, &space), op->flags & BOX_F_IF_MISSING, e);
}

/* setfsuid(2) tells nothing but the id before; asking again shows whether it took. */
static bool switch_fs_ids(uint32_t uid, uint32_t gid)
{
	setfsgid(gid);
	setfsuid(uid);
	return (uint32_t)setfsgid((gid_t)-1) == gid && (uint32_t)setfsuid((uid_t)-1) == uid;
}

static int make_dir(struct box_build *b, const struct box_op *op, struct err *e)
{
	struct root_owner space;

	return root_mkdirs(b->root_fd, op->target, op->mode, owner_of(b, op, &space),
			   op->flags & BOX_F_NOFOLLOW, NULL, e);
}

static bool in_home(const struct box_build *b, const struct box_op *op)
{
	return fs_path_within(op->target, b->c->home) && strcmp(op->target, b->c->home) != 0;
}

/*
 * What belongs into the agent's home is made with the agent's rights: what it put there in an
 * earlier run, symbolic links for instance, leads no further than the agent gets by itself.
 */
static int make_as_owner(struct box_build *b, const struct box_op *op,
			 int (*make)(struct box_build *b, const struct box_op *op, struct err *e),
			 struct err *e)
{
	const struct box_ids *ids = &b->c->ids;
	int r;

	if (!(op->flags & BOX_F_AGENT) || !in_home(b, op))
		return make(b, op, e);
	if (!switch_fs_ids(ids->agent_uid, ids->agent_gid))
		return err_set(e, ERR_SYSTEM, EPERM, "cannot act as the agent");
	r = make(b, op, e);
	if (!switch_fs_ids(0, 0))
		return err_set(e, ERR_SYSTEM, EPERM, "cannot act as root again");
	return r;
}

/* Is it the place that failed, and the operation one that does not insist on it? */
static bool yields(const struct box_op *op, int r)
{
	static const int codes[] = { -ELOOP, -ENOTDIR, -EISDIR, -EACCES, -EEXIST };

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		if ((op->flags & BOX_F_YIELD) && r == codes[i])
			return true;
	}
	return false;
}

static int op_dir(struct box_build *b, size_t i, struct err *e)
{
	int r = make_as_owner(b, &b->p->ops[i], make_dir, e);

	return yields(&b->p->ops[i], r) ? 0 : r;
}

static int op_file(struct box_build *b, size_t i, struct err *e)
{
	return make_as_owner(b, &b->p->ops[i], write_file, e);
}

static bool is_link_to(int dir, const char *name, const char *want)
{
	char old[PATH_MAX];
	ssize_t n = readlinkat(dir, name, old, sizeof(old));

	return n >= 0 && (size_t)n == strlen(want) && memcmp(old, want, (size_t)n) == 0;
}

static int op_symlink(struct box_build *b, size_t i, struct err *e)
{
	const struct box_op *op = &b->p->ops[i];
	auto_close int dir = -1;
	const char *name;
	int r = root_parent(b->root_fd, op->target, NULL, false, &dir, &name, e);

	if (r < 0)
		return r;
	if (symlinkat(op->source, dir, name) == 0 ||
	    (errno == EEXIST && (op->flags & BOX_F_IF_MISSING)))
		return 0;
	if (errno == EEXIST && is_link_to(dir, name, op->source))
		return 0;
	if (errno == EEXIST && unlinkat(dir, name, 0) == 0 && symlinkat(op->source, dir, name) == 0)
		return 0;
	return err_sys(e, "symbolic link");
}

static int op_bind(struct box_build *b, size_t i, struct err *e)
{
	const struct box_op *op = &b->p->ops[i];
	const struct root_owner agent = { b->c->ids.agent_uid, b->c->ids.agent_gid };
	/* Directories that are made on the way belong to the agent in its home, else to root. */
	struct root_target t = {
		.is_dir = !(op->flags & BOX_F_IS_FILE),
		.existing = op->flags & BOX_F_EXISTING,
		.nofollow = op->flags & BOX_F_NOFOLLOW,
		.owner = in_home(b, op) ? &agent : NULL,
	};
	bool recursive = op->flags & BOX_F_RECURSIVE;
	auto_close int tree = -1;
	auto_close int target = -1;
	struct stat st;
	int r;

	if (b->sources[i] < 0)
		return 0;
	if (op->flags & BOX_F_ANY_TYPE) {
		if (fstat(b->sources[i], &st) < 0)
			return err_sys(e, "stat");
		t.is_dir = S_ISDIR(st.st_mode);
	}
	r = root_target(b->root_fd, op->target, &t, &target, e);
	if (yields(op, r))
		return 0;
	if (r == -ENOENT && (op->flags & BOX_F_EXISTING))
		return err_hint(e, "it lies in a workspace, where nothing is made for you: %s %s",
				op->flags & BOX_F_IS_FILE ? "touch" : "mkdir -p", op->target);
	if (r == 0 && (op->flags & BOX_F_REACHABLE))
		r = root_make_reachable(b->root_fd, op->target, e);
	if (r < 0)
		return r;
	if (b->detached[i])
		return mount_attach(&b->mounts, b->sources[i], target, recursive, e);
	tree = mount_clone(b->sources[i], recursive, mount_attrs(op->flags), e);
	/* A copy without the mounts below would uncover what they hide; the kernel refuses it. */
	if (tree == -EINVAL && !recursive) {
		err_set(e, ERR_REFUSED, EINVAL, "another file system is mounted inside it");
		return err_hint(e, "see which one: findmnt -R %s", op->source);
	}
	if (tree < 0)
		return tree;
	return mount_attach(&b->mounts, tree, target, recursive, e);
}

/* Mount a new file system instance on the operation's target, which becomes a directory. */
static int mount_on_target(struct box_build *b, const struct box_op *op, const char *fstype,
			   const struct mount_option *o, size_t n, int *ret_fd, struct err *e)
{
	const struct root_owner agent = { b->c->ids.agent_uid, b->c->ids.agent_gid };
	const struct root_target t = { .is_dir = true,
				       .existing = op->flags & BOX_F_EXISTING,
				       .nofollow = op->flags & BOX_F_NOFOLLOW,
				       .owner = in_home(b, op) ? &agent : NULL };
	auto_close int target = -1;
	auto_close int fd = mount_new(fstype, o, n, mount_attrs(op->flags), e);
	int r;

	if (fd < 0)
		return fd;
	r = root_target(b->root_fd, op->target, &t, &target, e);
	if (yields(op, r))
		return 0;
	if (r < 0)
		return r;
	r = mount_attach(&b->mounts, fd, target, false, e);
	if (r == 0 && ret_fd)
		*ret_fd = steal_fd(&fd);
	return r;
}

static int op_tmpfs(struct box_build *b, size_t i, struct err *e)
{
	const struct box_op *op = &b->p->ops[i];
	char mode[16];
	char size[24];
	char inodes[24];
	char uid[16];
	char gid[16];
	const struct mount_option o[] = {
		{ "mode", mode }, { "size", size }, { "nr_inodes", inodes },
		{ "uid", uid },	  { "gid", gid },
	};
	bool agent = op->flags & BOX_F_AGENT;

	snprintf(mode, sizeof(mode), "%o", (unsigned)op->mode);
	snprintf(size, sizeof(size), "%" PRIu64, op->size);
	snprintf(inodes, sizeof(inodes), "%" PRIu64, op->inodes);
	snprintf(uid, sizeof(uid), "%u", agent ? b->c->ids.agent_uid : 0);
	snprintf(gid, sizeof(gid), "%u", agent ? b->c->ids.agent_gid : 0);
	return mount_on_target(b, op, "tmpfs", o, ARRAY_SIZE(o), NULL, e);
}

/* The only thing that can fail here in a sound kernel: parts of the host's own proc are hidden. */
static int explain_hidden(int r, const char *path, struct err *e)
{
	if (r != -EPERM)
		return r;
	err_set(e, ERR_HOST, EPERM, "the kernel refuses a new one because parts of %s are covered",
		path);
	return err_hint(e, "inside a container, run Ward on the host, or uncover %s", path);
}

static int op_proc(struct box_build *b, size_t i, struct err *e)
{
	int r = mount_on_target(b, &b->p->ops[i], "proc", NULL, 0, &b->proc_fd, e);

	return explain_hidden(r, "/proc", e);
}

static int op_sysfs(struct box_build *b, size_t i, struct err *e)
{
	return explain_hidden(mount_on_target(b, &b->p->ops[i], "sysfs", NULL, 0, NULL, e), "/sys",
			      e);
}

static int op_mqueue(struct box_build *b, size_t i, struct err *e)
{
	return mount_on_target(b, &b->p->ops[i], "mqueue", NULL, 0, NULL, e);
}

enum { TTY_GROUP = 5 };

static int op_devpts(struct box_build *b, size_t i, struct err *e)
{
	const struct mount_option o[] = { { "newinstance", NULL },
					  { "ptmxmode", "0666" },
					  { "mode", "0620" },
					  { "max", "128" },
					  { "gid", "5" } };
	bool tty_group = idmap_outside(b->c->ids.gid, b->c->ids.ngid, TTY_GROUP) >= 0;

	return mount_on_target(b, &b->p->ops[i], "devpts", o, ARRAY_SIZE(o) - (tty_group ? 0 : 1),
			       &b->devpts_fd, e);
}

static int op_device(struct box_build *b, size_t i, struct err *e)
{
	const struct box_op *op = &b->p->ops[i];
	const struct root_target t = { .nofollow = true };
	auto_close int target = -1;
	auto_close int tree = mount_clone(b->sources[i], false, mount_attrs(op->flags), e);
	int r;

	if (tree < 0)
		return tree;
	r = root_target(b->root_fd, op->target, &t, &target, e);
	return r < 0 ? r : mount_attach(&b->mounts, tree, target, false, e);
}

/* An empty read-only directory; the first one is made, the others are copies of its mount. */
static int mask_directory(struct box_build *b, int target, struct err *e)
{
	static const struct mount_option o[] = { { "mode", "0555" }, { "nr_inodes", "1" } };
	const uint64_t attrs =
		MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
	auto_close int fd = -1;
	int r;

	fd = b->empty_fd >= 0 ? mount_clone(b->empty_fd, false, attrs, e)
			      : mount_new("tmpfs", o, ARRAY_SIZE(o), attrs, e);
	if (fd < 0)
		return fd;
	r = mount_attach(&b->mounts, fd, target, false, e);
	if (r == 0 && b->empty_fd < 0)
		b->empty_fd = steal_fd(&fd);
	return r;
}

static int op_mask(struct box_build *b, size_t i, struct err *e)
{
	const struct box_op *op = &b->p->ops[i];
	auto_close int target = root_open(b->root_fd, op->target, O_PATH | O_NOFOLLOW,
					  op->flags & BOX_F_NOFOLLOW ? RESOLVE_NO_SYMLINKS : 0);
	auto_close int tree = -1;
	struct stat st;

	if (target == -ENOENT && (op->flags & BOX_F_OPTIONAL))
		return 0;
	if (target == -ELOOP)
		return err_set(e, ERR_REFUSED, ELOOP, "a symbolic link cannot be hidden");
	if (target < 0)
		return err_set(e, ERR_SYSTEM, target, "%s", strerror(-target));
	if (fstat(target, &st) < 0)
		return err_sys(e, "stat");
	if (S_ISDIR(st.st_mode))
		return mask_directory(b, target, e);
	tree = mount_clone(b->null_fd, false,
			   MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, e);
	return tree < 0 ? tree : mount_attach(&b->mounts, tree, target, false, e);
}

static int op_readonly(struct box_build *b, size_t i, struct err *e)
{
	const struct box_op *op = &b->p->ops[i];
	auto_close int target =
		root_open(b->root_fd, op->target, O_PATH | O_NOFOLLOW, RESOLVE_NO_SYMLINKS);
	auto_close int tree = -1;

	if (target == -ENOENT && (op->flags & BOX_F_OPTIONAL))
		return 0;
	if (target < 0)
		return err_set(e, ERR_SYSTEM, target, "%s", strerror(-target));
	tree = mount_clone(target, false, MOUNT_ATTR_RDONLY, e);
	return tree < 0 ? tree : mount_attach(&b->mounts, tree, target, false, e);
}

static int make_pin(struct box_build *b, const struct box_op *op, struct err *e)
{
	return root_mkdirs(b->root_fd, op->target, 0755, NULL, true, NULL, e);
}

/*
 * What is mounted from the box's own view of the directory, so that whatever lies on the way there
 * (another volume, an id-mapped workspace) stays as it is.
 */
static int op_pin(struct box_build *b, size_t i, struct err *e)
{
	const struct box_op *op = &b->p->ops[i];
	auto_close int target =
		root_open(b->root_fd, op->target, O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
	auto_close int tree = -1;

	if (target == -ENOENT && (op->flags & BOX_F_AGENT)) {
		int r = make_as_owner(b, op, make_pin, e);

		if (r < 0)
			return yields(op, r) ? 0 : r;
		target = root_open(b->root_fd, op->target, O_PATH | O_DIRECTORY,
				   RESOLVE_NO_SYMLINKS);
	}
	if (yields(op, target))
		return 0;
	if (target == -ENOENT)
		return 0; /* what would be mounted below is not there either, or says so */
	if (target == -ELOOP)
		return err_set(e, ERR_REFUSED, ELOOP, "a symbolic link is in the way");
	if (target < 0)
		return err_set(e, ERR_SYSTEM, target, "%s", strerror(-target));
	tree = mount_clone(target, false, 0, e);
	return tree < 0 ? tree : mount_attach(&b->mounts, tree, target, false, e);
}

static int open_sysctl(struct box_build *b, const char *name, int flags, struct err *e)
{
	auto_free char *path = fs_join("sys", name);
	auto_close int fd = fs_openat2(b->proc_fd, path, flags, 0,
				       RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS);
	struct statfs fs;

	if (fd < 0) {
		errno = -fd;
		return err_sys(e, "open %s", name);
	}
	if (fstatfs(fd, &fs) < 0 || fs.f_type != PROC_SUPER_MAGIC)
		return err_set(e, ERR_REFUSED, EXDEV, "%s: not a file of proc", name);
	return steal_fd(&fd);
}

static int half_of(struct box_build *b, const char *name, char **ret, struct err *e)
{
	auto_close int fd = open_sysctl(b, name, O_RDONLY, e);
	auto_buf text = BUF_INIT;
	uint64_t u;
	int r = fd < 0 ? fd : fs_read_fd(fd, 64, &text, e);

	if (r < 0)
		return r;
	while (text.len && text.data[text.len - 1] == '\n')
		text.data[--text.len] = '\0';
	if (text_u64(buf_str(&text), INT32_MAX, &u) < 0)
		return err_set(e, ERR_SYSTEM, EBADMSG, "%s: not a number", name);
	*ret = xasprintf("%" PRIu64, u / 2);
	return 0;
}

static int op_sysctl(struct box_build *b, size_t i, struct err *e)
{
	const struct box_op *op = &b->p->ops[i];
	auto_free char *half = NULL;
	auto_close int fd = open_sysctl(b, op->target, O_WRONLY, e);
	const char *value;
	int r = fd;

	if (r >= 0 && (op->flags & BOX_F_HALF))
		r = half_of(b, op->source, &half, e);
	if (r == -ENOENT && (op->flags & BOX_F_OPTIONAL))
		return 0;
	if (r < 0)
		return r;
	value = half ? half : op->source;
	if (write(fd, value, strlen(value)) < 0)
		return err_sys(e, "write %s", value);
	return 0;
}

enum { DETACH = 2 /* MNT_DETACH; sys/mount.h clashes with linux/mount.h */ };

static int op_pivot(struct box_build *b, size_t i, struct err *e)
{
	(void)i;
	if (fchdir(b->root_fd) < 0)
		return err_sys(e, "enter the root");
	if (syscall(SYS_pivot_root, ".", ".") < 0)
		return err_sys(e, "pivot_root");
	/* The old root now lies on top of the new one, and "." is in it. */
	if (syscall(SYS_umount2, ".", DETACH) < 0)
		return err_sys(e, "detach the host's root");
	if (chdir("/") < 0)
		return err_sys(e, "enter the root");
	return 0;
}

static int op_hostname(struct box_build *b, size_t i, struct err *e)
{
	const char *name = b->p->ops[i].source;

	if (sethostname(name, strlen(name)) < 0)
		return err_sys(e, "sethostname");
	return 0;
}

static int op_loopback(struct box_build *b, size_t i, struct err *e)
{
	(void)b;
	(void)i;
	return netns_loopback_up(e);
}

static int op_listen(struct box_build *b, size_t i, struct err *e)
{
	return netns_listen((uint16_t)b->p->ops[i].port, &b->listen_fd, e);
}

static int op_capture(struct box_build *b, size_t i, struct err *e)
{
	(void)i;
	(void)e;
	netns_capture(&b->net);
	return 0;
}

enum { SOCKET_BACKLOG = 16 };

/* By the name alone, in its directory: a socket's path may have 107 bytes. */
static int op_socket(struct box_build *b, size_t i, struct err *e)
{
	const struct box_op *op = &b->p->ops[i];
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct root_owner space = { 0 };
	const struct root_owner *owner = owner_of(b, op, &space);
	auto_close int dir = -1;
	auto_close int fd = -1;
	const char *name;
	int r = root_parent(b->root_fd, op->target, NULL, true, &dir, &name, e);

	if (r < 0)
		return r;
	if (strlen(name) >= sizeof(a.sun_path))
		return err_set(e, ERR_INPUT, ENAMETOOLONG, "name too long");
	memcpy(a.sun_path, name, strlen(name));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || fchdir(dir) < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    chmod(name, op->mode) < 0 || (owner && lchown(name, owner->uid, owner->gid) < 0) ||
	    listen(fd, SOCKET_BACKLOG) < 0 || chdir("/") < 0)
		return err_sys(e, "socket");
	b->docker_fd = steal_fd(&fd);
	return 0;
}

/* --- the interpreter ---------------------------------------------------------------------------
 */

static int (*const op_table[])(struct box_build *b, size_t i, struct err *e) = {
	[BOX_OP_OVERLAY] = op_overlay,	 [BOX_OP_DIR] = op_dir,
	[BOX_OP_FILE] = op_file,	 [BOX_OP_SYMLINK] = op_symlink,
	[BOX_OP_USER] = users_apply,	 [BOX_OP_BIND] = op_bind,
	[BOX_OP_TMPFS] = op_tmpfs,	 [BOX_OP_PROC] = op_proc,
	[BOX_OP_SYSFS] = op_sysfs,	 [BOX_OP_DEVPTS] = op_devpts,
	[BOX_OP_MQUEUE] = op_mqueue,	 [BOX_OP_DEVICE] = op_device,
	[BOX_OP_MASK] = op_mask,	 [BOX_OP_READONLY] = op_readonly,
	[BOX_OP_PIVOT] = op_pivot,	 [BOX_OP_SYSCTL] = op_sysctl,
	[BOX_OP_HOSTNAME] = op_hostname, [BOX_OP_LOOPBACK] = op_loopback,
	[BOX_OP_LISTEN] = op_listen,	 [BOX_OP_PIN] = op_pin,
	[BOX_OP_SOCKET] = op_socket,	 [BOX_OP_CAPTURE] = op_capture,
	[BOX_OP_FILL] = fill_apply,
};
_Static_assert(ARRAY_SIZE(op_table) == BOX_OP_MAX, "every operation has a function");

int apply_plan(struct box_build *b, struct err *e)
{
	for (size_t i = 0; i < b->p->nops; i++) {
		const struct box_op *op = &b->p->ops[i];
		const char *what = op->target ? op->target : op->source;
		int r;

		/* The overlay is the root that all others need. */
		if (b->root_fd < 0 && op->type != BOX_OP_OVERLAY)
			return err_set(e, ERR_INPUT, EINVAL, "plan: no root for %s",
				       box_op_name(op->type));
		r = op_table[op->type](b, i, e);
		if (r < 0)
			return err_prefix(e, "%s%s%s", box_op_name(op->type), what ? " " : "",
					  what ? what : "");
	}
	return 0;
}

enum { MOUNTINFO_MAX = 4 << 20 };

int apply_verify(struct box_build *b, struct err *e)
{
	auto_buf text = BUF_INIT;
	auto_close int fd = fs_openat2(b->proc_fd, "1/mountinfo", O_RDONLY, 0,
				       RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS);
	int r;

	if (fd < 0) {
		errno = -fd;
		return err_sys(e, "mount table");
	}
	r = fs_read_fd(fd, MOUNTINFO_MAX, &text, e);
	return r < 0 ? r : mount_check_info(buf_str(&text), text.len, &b->mounts, e);
}
