/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan_text: the plan as lines for `--dry-run`, as JSON, and its disposal.  Pure.
 *
 * One operation is one line: NAME TARGET [key=value...] [flags].  Foreign text (paths) is escaped,
 * file contents are given by their size only, since they may hold what the user passed with -e.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "box/box_internal.h"

static const char *const op_names[] = {
	[BOX_OP_OVERLAY] = "overlay",	[BOX_OP_DIR] = "dir",
	[BOX_OP_FILE] = "file",		[BOX_OP_SYMLINK] = "symlink",
	[BOX_OP_USER] = "user",		[BOX_OP_BIND] = "bind",
	[BOX_OP_TMPFS] = "tmpfs",	[BOX_OP_PROC] = "proc",
	[BOX_OP_SYSFS] = "sysfs",	[BOX_OP_DEVPTS] = "devpts",
	[BOX_OP_MQUEUE] = "mqueue",	[BOX_OP_DEVICE] = "device",
	[BOX_OP_MASK] = "mask",		[BOX_OP_READONLY] = "readonly",
	[BOX_OP_PIVOT] = "pivot",	[BOX_OP_SYSCTL] = "sysctl",
	[BOX_OP_HOSTNAME] = "hostname", [BOX_OP_LOOPBACK] = "loopback",
	[BOX_OP_LISTEN] = "listen",	[BOX_OP_PIN] = "pin",
	[BOX_OP_SOCKET] = "socket",	[BOX_OP_CAPTURE] = "capture",
	[BOX_OP_FILL] = "fill",
};
_Static_assert(ARRAY_SIZE(op_names) == BOX_OP_MAX, "every operation has a name");

static const struct {
	uint32_t flag;
	const char *name;
} flag_names[] = {
	{ BOX_F_RO, "ro" },
	{ BOX_F_NOSUID, "nosuid" },
	{ BOX_F_NODEV, "nodev" },
	{ BOX_F_NOEXEC, "noexec" },
	{ BOX_F_OPTIONAL, "optional" },
	{ BOX_F_AGENT, "agent" },
	{ BOX_F_IF_MISSING, "if-missing" },
	{ BOX_F_IDMAP, "idmap" },
	{ BOX_F_IS_FILE, "file" },
	{ BOX_F_RECURSIVE, "recursive" },
	{ BOX_F_EXISTING, "existing" },
	{ BOX_F_NOFOLLOW, "nofollow" },
	{ BOX_F_REACHABLE, "reachable" },
	{ BOX_F_ANY_TYPE, "any-type" },
	{ BOX_F_HALF, "half" },
	{ BOX_F_YIELD, "yield" },
	{ BOX_F_APPEND, "append" },
};

const char *box_op_name(enum box_op_type t)
{
	return (unsigned)t < BOX_OP_MAX ? op_names[t] : "unknown";
}

void box_plan_clear(struct box_plan *p)
{
	for (size_t i = 0; i < p->nops; i++) {
		free(p->ops[i].source);
		free(p->ops[i].target);
		free(p->ops[i].content);
	}
	free(p->ops);
	strv_free(&p->layers);
	free(p->dir);
	*p = (struct box_plan){ 0 };
}

static void print_text(struct buf *out, const char *key, const char *value)
{
	buf_printf(out, " %s", key);
	text_escape(out, value, strlen(value), 4096);
}

static void print_op(const struct box_plan *p, const struct box_op *op, struct buf *out)
{
	buf_puts(out, box_op_name(op->type));
	if (op->target)
		print_text(out, "", op->target);
	if (op->source)
		print_text(out, "from=", op->source);
	if (op->type == BOX_OP_OVERLAY) {
		for (size_t i = 0; i < p->layers.n; i++)
			print_text(out, "lower=", p->layers.v[i]);
		print_text(out, "dir=", p->dir);
	}
	if (op->content)
		buf_printf(out, " bytes=%zu", strlen(op->content));
	if (op->mode)
		buf_printf(out, " mode=%04o", (unsigned)op->mode);
	if (op->size)
		buf_printf(out, " size=%" PRIu64, op->size);
	if (op->inodes)
		buf_printf(out, " inodes=%" PRIu64, op->inodes);
	if (op->dev)
		buf_printf(out, " dev=%" PRIu64, op->dev);
	if (op->ino)
		buf_printf(out, " ino=%" PRIu64, op->ino);
	if (op->port)
		buf_printf(out, " port=%" PRIu32, op->port);
	for (size_t i = 0; i < ARRAY_SIZE(flag_names); i++)
		if (op->flags & flag_names[i].flag)
			buf_printf(out, " %s", flag_names[i].name);
	buf_putc(out, '\n');
}

void box_plan_print(const struct box_plan *p, struct buf *out)
{
	for (size_t i = 0; i < p->nops; i++)
		print_op(p, &p->ops[i], out);
}

static void set_number(struct json *j, const char *key, uint64_t v)
{
	if (v)
		json_set_uint(j, key, v);
}

static struct json *op_to_json(const struct box_plan *p, const struct box_op *op)
{
	struct json *j = json_object();
	struct json *flags = json_array();

	json_set_string(j, "op", box_op_name(op->type));
	if (op->target)
		json_set_string(j, "target", op->target);
	if (op->source)
		json_set_string(j, "source", op->source);
	if (op->type == BOX_OP_OVERLAY) {
		json_set_strv(j, "layers", &p->layers);
		json_set_string(j, "dir", p->dir);
	}
	if (op->content)
		json_set_uint(j, "bytes", strlen(op->content));
	set_number(j, "mode", op->mode);
	set_number(j, "size", op->size);
	set_number(j, "inodes", op->inodes);
	set_number(j, "dev", op->dev);
	set_number(j, "ino", op->ino);
	set_number(j, "port", op->port);
	for (size_t i = 0; i < ARRAY_SIZE(flag_names); i++)
		if (op->flags & flag_names[i].flag)
			json_append(flags, json_string(flag_names[i].name));
	json_set(j, "flags", flags);
	return j;
}

struct json *box_plan_to_json(const struct box_plan *p)
{
	struct json *j = json_array();

	for (size_t i = 0; i < p->nops; i++)
		json_append(j, op_to_json(p, &p->ops[i]));
	return j;
}
