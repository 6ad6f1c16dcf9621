/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan_build: the box of a step of an image's build.
 *
 * What the step leaves in the root becomes a layer of an image, for other machines and other
 * people, so nothing of the root is Ward's: no account, no home, no configuration of a package
 * manager, and /run and /tmp are the image's own.  Name resolution is two files of the sandbox's
 * directory, mounted on top; what else the step needs of Ward is in /dev, a file system of its own.
 * The mount points that an image lacks are made in the writable layer: box_build_leavings names
 * them, for who makes a layer of it.
 */
#include "base/fs.h"
#include "base/mem.h"
#include "box/box_internal.h"

static const char *const mounted[] = { "hosts", "resolv.conf" };

void box_build_leavings(struct strv *leave_out, struct strv *if_filled)
{
	static const char *const kernel[] = { "dev", "proc", "sys" };

	for (size_t i = 0; i < ARRAY_SIZE(kernel); i++)
		strv_add(leave_out, kernel[i]);
	for (size_t i = 0; i < ARRAY_SIZE(mounted); i++)
		strv_addf(leave_out, "etc/%s", mounted[i]);
	strv_add(if_filled, "etc");
}

void plan_build(struct box_plan *p, const struct box_config *c)
{
	plan_add_op(p, BOX_OP_OVERLAY, BOX_F_NODEV, "/", NULL)->mode = 0755;
	for (size_t i = 0; i < ARRAY_SIZE(mounted); i++) {
		auto_free char *source = fs_join(c->dir, mounted[i]);
		auto_free char *target = fs_join("/etc", mounted[i]);

		plan_add_op(p, BOX_OP_BIND,
			    BOX_F_RO | BOX_F_NOSUID | BOX_F_NODEV | BOX_F_NOEXEC | BOX_F_IS_FILE,
			    target, source);
	}
	plan_add_kernel_fs(p, c);
	for (size_t i = 0; i < c->nfiles; i++)
		plan_add_file(p, c->files[i].path, c->files[i].mode, 0, c->files[i].content);
	plan_add_end(p, c);
}
