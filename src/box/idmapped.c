/* SPDX-License-Identifier: Apache-2.0 */
/*
 * idmapped: mounts whose ids the kernel translates; only when real root is the invoking user.
 *
 * Real root's own id does not exist in a box.  Its template, workspaces and volumes therefore get
 * id-mapped mounts, which only real root can make, outside: the template's ids 0..65535 become the
 * box's, and the owner of each bind becomes the agent.  They are sent to the child as detached
 * mounts, numbered as the operations of the plan; layers are numbered behind those.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/compat.h"
#include "base/mem.h"
#include "base/wire.h"
#include "box/box_internal.h"
#include "box/init_wire.h"

static int send_mount(int sock, size_t index, int tree, struct err *e)
{
	int r = wire_send(sock, BOX_WIRE_MOUNT, (uint32_t)index, NULL, 0, &tree, 1);

	return r < 0 ? err_set(e, ERR_SYSTEM, r, "the box ended early") : 0;
}

/* Copy the mount at an open source with a map of ids; real root only. */
static int idmapped_tree(int source, uint64_t attrs, int userns_fd, bool recursive, struct err *e)
{
	struct mount_attr a = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)userns_fd };
	unsigned rec = recursive ? AT_RECURSIVE : 0;
	auto_close int tree = mount_clone(source, recursive, attrs, e);

	if (tree < 0)
		return tree;
	if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | rec, &a, sizeof(a)) < 0) {
		int r = err_sys(e, "map the ids of the mount");

		return r == -EINVAL ? err_hint(e, "this file system cannot map ids; run Ward as an "
						  "ordinary user")
				    : r;
	}
	return steal_fd(&tree);
}

/* A layer that the box's own ids own is shown as it is; others belong to this machine's ids. */
static int layer_tree(const struct box_ids *ids, int source, int userns, struct err *e)
{
	struct stat st;

	if (fstat(source, &st) < 0)
		return err_sys(e, "stat");
	if (st.st_uid >= ids->uid[0].outside && st.st_uid - ids->uid[0].outside < BOX_IDS)
		return mount_clone(source, false, MOUNT_ATTR_RDONLY, e);
	return idmapped_tree(source, MOUNT_ATTR_RDONLY, userns, false, e);
}

static int send_idmapped_layers(const struct box_config *c, const struct box_plan *p, int sock,
				pid_t pid, struct err *e)
{
	char path[64];
	auto_close int userns = -1;

	if (p->layers.n == 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	userns = open(path, O_RDONLY | O_CLOEXEC);
	if (userns < 0)
		return err_sys(e, "open %s", path);
	for (size_t i = 0; i < p->layers.n; i++) {
		auto_close int source = -1;
		auto_close int tree = -1;
		int r = mount_open_source(p->layers.v[i], 0, 0, 0, &source, e);

		if (r == 0)
			r = tree = layer_tree(&c->ids, source, userns, e);
		if (r >= 0)
			r = send_mount(sock, p->nops + i, tree, e);
		if (r < 0)
			return err_prefix(e, "template %s", p->layers.v[i]);
	}
	return 0;
}

static int send_idmapped_bind(const struct box_config *c, const struct box_op *op, size_t index,
			      int sock, struct err *e)
{
	auto_close int userns = -1;
	auto_close int source = -1;
	auto_close int tree = -1;
	struct stat st;
	int r = mount_open_source(op->source, op->flags, op->dev, op->ino, &source, e);

	if (r == -ENOENT && (op->flags & BOX_F_OPTIONAL))
		return 0; /* the child finds the same */
	if (r == 0 && fstat(source, &st) < 0)
		r = err_sys(e, "stat");
	if (r == 0)
		r = mapped_owner_userns(&c->ids, st.st_uid, st.st_gid, &userns, e);
	if (r == 0)
		r = tree = idmapped_tree(source, mount_attrs(op->flags), userns, false, e);
	return r < 0 ? r : send_mount(sock, index, tree, e);
}

static int send_idmapped_binds(const struct box_config *c, const struct box_plan *p, int sock,
			       struct err *e)
{
	for (size_t i = 0; i < p->nops; i++) {
		const struct box_op *op = &p->ops[i];

		if (op->type != BOX_OP_BIND || !(op->flags & BOX_F_IDMAP))
			continue;
		if (send_idmapped_bind(c, op, i, sock, e) < 0)
			return err_prefix(e, "bind %s", op->source);
	}
	return 0;
}

int idmapped_send(const struct box_config *c, const struct box_plan *p, int sock, pid_t pid,
		  struct err *e)
{
	int r = send_idmapped_layers(c, p, sock, pid, e);

	return r < 0 ? r : send_idmapped_binds(c, p, sock, e);
}
