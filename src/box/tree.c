/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree: the root of a box without the box: its overlay, for a function that reads or writes it.
 *
 * A child with a user and a mount namespace of its own applies a plan of one operation.  The kernel
 * removes the mount with the namespace, so a kill leaves nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/compat.h"
#include "base/fs.h"
#include "base/mem.h"
#include "box/box_internal.h"

struct tree_run {
	struct box_build *build;
	int (*f)(int root_fd, void *arg, struct err *e);
	void *arg;
};

static int open_sources(void *arg, struct err *e)
{
	const struct tree_run *t = arg;

	umask(0);
	if (syscall(SYS_mount, NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_sys(e, "private mounts");
	return apply_open_sources(t->build, e);
}

static int run(void *arg, struct err *e)
{
	const struct tree_run *t = arg;
	auto_close int root = -1;
	int r = apply_plan(t->build, e);

	if (r < 0)
		return r;
	root = fs_openat2(t->build->root_fd, ".", O_RDONLY | O_DIRECTORY, 0, RESOLVE_NO_SYMLINKS);
	if (root < 0) {
		errno = -root;
		return err_sys(e, "root");
	}
	return t->f(root, t->arg, e);
}

int box_run_on_tree(const struct box_ids *ids, const struct strv *layers, const char *dir,
		    int (*f)(int root_fd, void *arg, struct err *e), void *arg, struct err *e)
{
	struct box_config *c = box_config_new();
	struct box_plan p = { 0 };
	struct box_build b;
	struct tree_run t = { .build = &b, .f = f, .arg = arg };
	const struct mapped_job job = {
		.namespaces = CLONE_NEWNS, .as_user = open_sources, .as_root = run, .arg = &t
	};
	int r;

	c->ids = *ids;
	c->dir = xstrdup(dir);
	p.dir = xstrdup(dir);
	strv_extend(&p.layers, layers);
	plan_add_op(&p, BOX_OP_OVERLAY, BOX_F_NODEV, "/", NULL);
	build_init(&b, c, &p);
	r = build_open_dirs(c, &b, e);
	if (r == 0)
		r = mapped_run(ids, &job, e);
	build_clear(&b);
	box_plan_clear(&p);
	box_config_free(c);
	return r;
}
